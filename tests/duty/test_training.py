"""Training jobs: equilibrium, energy, checkpoints, measured power, recovery."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.duty.load_fit import fit_training, slot_correlation
from fadecast.duty.tables import levels
from fadecast.duty.training import AcceleratorPower, Training, draw_timeline, interrupted, training_power
from fadecast.package_data import shipped

FULL = AcceleratorPower(idle=np.zeros(2), busy=np.ones(2))
PLAIN = Training(slots=4, occupancy=0.6, job_hours=20.0, job_spread=1.5, checkpoint_length=0.0)


def occupied(line, time):
    k = np.searchsorted(line.start, time, side="right") - 1
    return time < line.stop[k]


@pytest.mark.parametrize("hour", [0.0, 3.0, 100.0])
def test_slots_are_in_equilibrium_from_the_first_hour(hour):
    lines = (draw_timeline(np.random.default_rng([1, k]), PLAIN, FULL, 200.0) for k in range(4000))
    share = np.mean([occupied(line, np.array([hour]))[0] for line in lines])
    assert share == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / 4000))


def test_memory_of_a_slot():
    # With very short jobs, occupancy a day later is independent of occupancy now.
    short = replace(PLAIN, job_hours=0.2, job_spread=0.0)
    assert abs(slot_correlation(short, (24,))[0]) < 0.01
    # Renewal theory: at first the correlation falls at 1 / (mean job x share of time idle), whatever the law.
    slow = replace(PLAIN, job_hours=50.0, job_spread=0.0)
    assert slot_correlation(slow, (1,))[0] == pytest.approx(1 - 1 / (50 * 0.4), abs=0.01)


def test_power_is_the_occupied_share():
    power = training_power(np.random.default_rng(5), replace(PLAIN, slots=200), FULL, 60)
    assert power.min() >= 0
    assert power.max() <= 1
    assert power.mean() == pytest.approx(0.6, abs=0.02)


def test_slots_set_the_variance():
    one, many = (
        training_power(np.random.default_rng(2), replace(PLAIN, slots=n, job_hours=5.0, job_spread=0.5), FULL, 60)
        for n in (1, 16)
    )
    assert many.std() == pytest.approx(one.std() / 4, rel=0.1)


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_a_longer_step_is_the_mean_of_shorter_ones(minutes):
    year = Training()
    power = AcceleratorPower.measured()
    fine = training_power(np.random.default_rng(3), year, power, 5)
    coarse = training_power(np.random.default_rng(3), year, power, minutes)
    np.testing.assert_allclose(coarse, fine.reshape(coarse.size, -1).mean(axis=1), rtol=1e-8)


def test_checkpoints_take_their_share_of_a_job():
    always = Training(slots=1, occupancy=0.9999, job_hours=1e6, job_spread=0.0, checkpoint_length=6.0)
    power = training_power(np.random.default_rng(5), always, FULL, 1)
    assert power.mean() == pytest.approx(1 - 6 / 30, abs=1e-4)
    assert set(np.unique(power.round(6))) >= {0.0, 1.0}


ALWAYS = Training(slots=1, occupancy=0.9999, job_hours=1e6, job_spread=0.0, checkpoint_length=0.0)


@pytest.mark.parametrize("hours", [0.25, 1.0, 20.0])
def test_failures_take_their_share_of_a_job(hours):
    # Every 20 h and 1 h of restart each: 1 of 21 hours.
    failing = replace(ALWAYS, failure_hours=hours, restart_length=60.0)
    power = np.mean([training_power(np.random.default_rng([7, k]), failing, FULL, 60).mean() for k in range(8)])
    assert power == pytest.approx(hours / (hours + 1.0), abs=5e-3)


def test_a_failure_is_a_fall_to_idle_and_a_restart():
    failing = replace(ALWAYS, failure_hours=500.0, restart_length=30.0)
    power = training_power(np.random.default_rng(8), failing, FULL, 1)
    idle = np.flatnonzero(power < 1.0 - 1e-6)
    outages = np.split(idle, np.flatnonzero(np.diff(idle) > 1) + 1)
    assert 8 <= len(outages) <= 28
    for outage in outages:
        assert (1.0 - power[outage]).sum() == pytest.approx(30.0, abs=1e-6)


def test_jobs_that_fail_end_when_they_would_have_and_overlap_nowhere():
    failing = replace(PLAIN, failure_hours=3.0, restart_length=30.0)
    whole = draw_timeline(np.random.default_rng(9), PLAIN, FULL, 3000.0)
    line = interrupted(np.random.default_rng(10), failing, whole)
    assert line.start.size > 2 * whole.start.size
    assert (line.stop[:-1] <= line.start[1:] + 1e-12).all()
    assert (line.stop >= line.start).all()
    # All but those that failed less than a restart before their end.
    assert np.isin(whole.stop, line.stop).mean() > 0.8
    assert line.stop.max() <= whole.stop.max()
    time = np.linspace(0.0, 3000.0, 50_001)
    lost = occupied(whole, time) & ~occupied(line, time)
    assert not (occupied(line, time) & ~occupied(whole, time)).any()
    # A failure every 3 h of running, half an hour each: 1 of 7 of a job's hours.
    assert lost.sum() / occupied(whole, time).sum() == pytest.approx(1.0 / 7.0, abs=0.02)


def test_failures_are_drawn_beside_the_jobs():
    year, power = Training(slots=2), AcceleratorPower.measured()
    rare = replace(year, failure_hours=1e9)
    plain, undisturbed = (training_power(np.random.default_rng(3), each, power, 60) for each in (year, rare))
    np.testing.assert_array_equal(plain, undisturbed)


def test_time_weighted_power_follows_the_measured_distribution():
    power = AcceleratorPower.measured()
    acme = Training(slots=1, occupancy=0.67, job_hours=5.0, job_spread=0.5, checkpoint_length=0.0)
    drawn = np.concatenate([training_power(np.random.default_rng([6, k]), acme, power, 1) for k in range(4)])
    share = levels(power.busy.size)
    watts = np.linspace(0.12, 1.1, 50)
    measured = 0.33 * np.interp(watts, power.idle, share) + 0.67 * np.interp(watts, power.busy, share)
    found = np.searchsorted(np.sort(drawn), watts) / drawn.size
    assert np.abs(found - measured).max() < 0.03  # Kolmogorov-Smirnov distance


def test_a_fit_to_drawn_occupancy_gives_the_cluster_back():
    truth = Training(slots=10, occupancy=0.7, job_hours=100.0, job_spread=1.5, checkpoint_length=0.0)
    series = np.concatenate([training_power(np.random.default_rng([8, k]), truth, FULL, 60) for k in range(6)])
    found = fit_training(series, 60.0, (1, 4, 12, 24, 48, 96))
    assert found.occupancy == pytest.approx(0.7, abs=0.04)
    assert found.slots == pytest.approx(10, abs=2)
    assert abs(np.log(found.job_hours / 100.0)) < np.log(1.6)  # a grid step is 1.4
    assert abs(found.job_spread - 1.5) <= 0.5


def test_defaults_are_the_fit_that_ships():
    fits = shipped("ai_load")["training"]["occupancy"]
    philly, helios = fits["philly"], fits["helios_earth"]
    default = Training()
    assert default.slots in (philly["slots"], helios["slots"])
    assert default.occupancy == pytest.approx((philly["occupancy"] + helios["occupancy"]) / 2, abs=0.01)
    assert default.job_hours == pytest.approx(np.sqrt(philly["job_hours"] * helios["job_hours"]), rel=0.01)
    assert default.job_spread == philly["job_spread"] == helios["job_spread"]


def test_endless_checkpoints_are_refused():
    with pytest.raises(ValueError, match="shorter than"):
        Training(checkpoint_interval=5, checkpoint_length=5)
