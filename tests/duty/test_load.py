"""Cooling, racks and container: limits, hand values, direction of effects."""

import numpy as np
import pytest

from fadecast.duty.container import Climatised, Container, condition
from fadecast.duty.cooling import Cooling, coefficient_of_performance, site_load
from fadecast.duty.training import Training
from fadecast.duty.workload import Measured, Workload, draw_it_power


def test_cooling_by_hand():
    # 27 degC supply, 40 degC outdoors + 10 K: 0.4 x 300.15 / 23.
    assert coefficient_of_performance(Cooling(), np.array([40.0]))[0] == pytest.approx(0.4 * 300.15 / 23)


def test_cooling_obeys_carnot_and_falls_with_heat():
    ambient = np.linspace(-20, 50, 71)
    found = coefficient_of_performance(Cooling(best=1e9), ambient)
    lift = ambient + 10 - 27
    assert (found[lift > 0] < 300.15 / lift[lift > 0]).all()
    assert (np.diff(coefficient_of_performance(Cooling(), ambient)) <= 0).all()


def test_free_cooling_has_a_limit():
    cold = coefficient_of_performance(Cooling(), np.array([-20.0, 0.0]))
    np.testing.assert_array_equal(cold, 11.7)


def test_site_load_is_more_than_computing():
    load = site_load(Cooling(), np.array([100.0]), np.array([0.0]))
    assert load[0] == pytest.approx(100 * 1.05 * (1 + 1 / 11.7))


def test_rack_power_stays_between_idle_servers_and_measured_peak():
    measured = Measured.load()
    year = draw_it_power(np.random.default_rng(0), Workload(), measured, 60)
    top = measured.server_offset + (1 - measured.server_offset) * max(measured.accelerator.busy[-1], 1.0)
    assert measured.server_offset < year.min()
    assert year.max() < top


def test_share_of_training_is_linear():
    measured = Measured.load()
    train, half, infer = (
        draw_it_power(np.random.default_rng(1), Workload(training_share=share), measured, 60)
        for share in (1.0, 0.5, 0.0)
    )
    np.testing.assert_allclose(half, (train + infer) / 2)


def test_more_jobs_take_more_power():
    measured = Measured.load()
    few, many = (
        draw_it_power(np.random.default_rng(1), Workload(training=Training(occupancy=o)), measured, 60).mean()
        for o in (0.2, 0.95)
    )
    assert many > 1.1 * few


def follow(container: Container, ambient, heat=0.0, step_hours=0.25):
    """Return the air of 5 packs [degC] and the power of its heat pump [kW] step by step, from the first outdoor air."""
    numbers, air, found = Climatised.of(container, 5), np.asarray(ambient[0]), []
    for outside in ambient:
        _, air, power = condition(numbers, air, outside, np.full_like(outside, heat), step_hours)
        found.append((air, power))
    return np.transpose(np.array(found), (1, 0, 2))


def test_container_keeps_its_band():
    ambient = np.random.default_rng(0).uniform(-20, 45, (500, 3))
    air, power = follow(Container(heat_below=15.0, cool_above=28.0, highest_w=1e4), ambient)
    assert air.min() >= 15.0
    assert air.max() <= 28.0
    inside = (air > 15.0) & (air < 28.0)
    assert (power[inside] == 0.0).all()
    assert (power[~inside] > 0.0).all()


def test_container_follows_a_step_exponentially():
    wide = Container(heat_below=-60.0, cool_above=90.0, time_constant=3.0)
    ambient = np.concatenate([np.zeros((1, 1)), np.full((40, 1), 10.0)])
    hours = 0.25 * np.arange(41)
    np.testing.assert_allclose(follow(wide, ambient)[0][:, 0], 10 * (1 - np.exp(-hours / 3)), atol=1e-12)
    np.testing.assert_allclose(follow(wide, np.full((9, 2), 21.0))[0], 21.0)


def test_heat_of_packs_warms_a_container_by_what_passes_its_walls():
    wide = Container(heat_below=-60.0, cool_above=90.0, loss_w_per_k=20.0)
    air, power = follow(wide, np.full((400, 1), 5.0), heat=0.8)
    assert air[-1, 0] == pytest.approx(5.0 + 800.0 / (5 * 20.0))
    assert (power == 0.0).all()


@pytest.mark.parametrize(("outside", "performance"), [(45.0, 4.0), (-10.0, 2.0)])
def test_a_held_container_takes_what_passes_its_walls(outside, performance):
    """In the steady state, whatever the step: 5 packs of 20 W/K, heat of 0.3 kW."""
    container = Container(
        heat_below=10.0,
        cool_above=30.0,
        loss_w_per_k=20.0,
        cooling_performance=4.0,
        heating_performance=2.0,
        highest_w=1e4,
    )
    held = min(max(outside, 10.0), 30.0)
    expected = abs(0.1 * (held - outside) - 0.3) / performance
    for step_hours in (0.25, 1.0):
        air, power = follow(container, np.full((100, 1), outside), heat=0.3, step_hours=step_hours)
        assert air[-1, 0] == held
        assert power[-1, 0] == pytest.approx(expected)


def test_a_heat_pump_at_its_limit_gives_what_it_can():
    """5 packs of 20 W/K at -30 degC: 5 x 50 W of electricity are 0.5 kW of heat, 5 K."""
    container = Container(heat_below=10.0, loss_w_per_k=20.0, heating_performance=2.0, highest_w=50.0)
    air, power = follow(container, np.full((200, 1), -30.0))
    np.testing.assert_allclose(air[-1], -25.0)
    np.testing.assert_allclose(power[1:], 0.25)


def test_a_crossed_band_is_refused():
    with pytest.raises(ValueError, match="lower the first"):
        Container(heat_below=30, cool_above=20)
