"""Training by the second: means, swings in step and out of step, floors and storage."""

import numpy as np
import pytest

from fadecast.duty.swings import Swings, swinging_power
from fadecast.duty.training import AcceleratorPower, Training, training_power

# One kind of job that never ends within the hours looked at.
STEADY = AcceleratorPower(idle=np.array([0.2, 0.2]), busy=np.array([0.7, 0.7]))
ENDLESS = Training(slots=1, occupancy=0.999, job_hours=1e5, job_spread=0.0, checkpoint_length=0.0)
ALIKE = Swings(iteration_seconds=5.0, iteration_spread=0.0, waiting=0.2)


def drawn(training=ENDLESS, swings=ALIKE, power=STEADY, hours=(0.0, 2.0), seed=0, step=1.0):
    return swinging_power(np.random.default_rng(seed), training, power, swings, hours, step)


@pytest.mark.parametrize("failure_hours", [None, 2.0])
@pytest.mark.parametrize("hours", [(0.0, 4.0), (3000.0, 3004.0)])
def test_minutes_are_those_of_the_drawn_year(hours, failure_hours):
    """Of the same jobs, checkpoints, failures and gaps; a minute holds a whole number of iterations but for one."""
    training, power = Training(failure_hours=failure_hours), AcceleratorPower.measured()
    minutes = slice(round(hours[0] * 60), round(hours[1] * 60))
    year = training_power(np.random.default_rng(3), training, power, 1)[minutes]
    swings = Swings(iteration_seconds=0.5, iteration_spread=0.0)
    seconds = swinging_power(np.random.default_rng(3), training, power, swings, hours)
    np.testing.assert_allclose(seconds.reshape(-1, 60).mean(axis=1), year, atol=2e-3)


def test_a_job_computes_and_waits_and_keeps_its_mean():
    wave = drawn(step=0.1)
    assert wave.max() == pytest.approx(0.2 + 0.5 / 0.8)
    assert wave.min() == pytest.approx(0.2)
    assert wave.mean() == pytest.approx(0.7, abs=1e-3)


def test_iterations_have_their_time():
    wave = drawn() - 0.7
    spectrum = np.abs(np.fft.rfft(wave - wave.mean()))
    assert np.fft.rfftfreq(wave.size, 1.0)[spectrum.argmax()] == pytest.approx(1.0 / 5.0, rel=1e-3)


def test_jobs_out_of_step_swing_by_the_root_of_their_number():
    swings = Swings(iteration_seconds=5.0, iteration_spread=0.5, waiting=0.2)
    one, many = (
        np.mean([drawn(Training(**vars(ENDLESS) | {"slots": slots}), swings, seed=k).std() for k in range(6)])
        for slots in (1, 25)
    )
    assert many == pytest.approx(one / 5.0, rel=0.15)


def test_a_floor_fills_the_waits_and_costs_its_energy():
    floor = drawn(swings=Swings(**vars(ALIKE) | {"power_floor": 0.6}), step=0.1)
    assert floor.min() == pytest.approx(0.6)
    assert floor.mean() == pytest.approx(0.7 + 0.2 * (0.6 - 0.2), abs=1e-3)
    flat = drawn(swings=Swings(**vars(ALIKE) | {"power_floor": 1.0}))
    assert flat.std() < 1e-12


@pytest.mark.parametrize("seconds", [5.0, 60.0])
def test_storage_passes_on_what_a_low_pass_does(seconds):
    """Of a slow square wave's main harmonic: 1 over the root of 1 + (2 pi f T) squared."""
    slow = Swings(iteration_seconds=120.0, iteration_spread=0.0, waiting=0.5)
    plain, stored = (drawn(swings=Swings(**vars(slow) | {"storage_seconds": s})) for s in (0.0, seconds))
    harmonic = [np.abs(np.fft.rfft(wave[-3600:]))[30] for wave in (plain, stored)]
    assert harmonic[1] / harmonic[0] == pytest.approx(1.0 / np.hypot(1.0, 2.0 * np.pi * seconds / 120.0), rel=0.02)
    assert stored.mean() == pytest.approx(plain.mean(), abs=0.01)


def test_the_same_seconds_whatever_is_asked_before_and_after():
    short, long = drawn(hours=(1.0, 1.5)), drawn(hours=(0.5, 1.5))
    np.testing.assert_array_equal(short, long[1800:])
