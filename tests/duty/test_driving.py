"""First life: energy of a year on the road, ways through the phases of a cycle, nights at the charger."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.duty import Dispatch, Driving, Duty, Site, make_duty
from fadecast.duty.driving import PHASE_SPEED, driving_power
from fadecast.summary import duty_lines

NEVER = 1e-9
ALIKE = Driving(yearly_km=15_000.0, yearly_spread=0.0, driven_days=1.0, trip_spread=0.0)


def year(seed=0, minutes=15, **settings):
    return driving_power(np.random.default_rng(seed), replace(ALIKE, **settings), minutes)


def test_phases_are_as_fast_as_the_regulation_says():
    np.testing.assert_allclose(PHASE_SPEED, [18.9, 39.5, 56.7, 92.0], atol=0.05)


def test_power_is_rolling_and_air_resistance():
    free = replace(ALIKE, driveline_efficiency=1.0, auxiliary_kw=0.0)
    speed = PHASE_SPEED[3] / 3.6
    rolling, air = 1850.0 * 9.81 * 0.01 * speed, 0.6 * 0.53 * speed**3
    assert free.phase_power[3] == pytest.approx((rolling + air) / 1e3)
    assert replace(ALIKE, auxiliary_kw=3.0).phase_power == pytest.approx(ALIKE.phase_power + 2.0)


def test_a_year_of_equal_ways_takes_what_they_take():
    # 730 ways of 20.55 km: low, medium and high, then 5.5 km of extra high.
    way = 15_000.0 / 730.0
    parts = np.array([3.095, 4.756, 7.162, way - 15.013])
    expected = 730.0 * (parts / PHASE_SPEED * ALIKE.phase_power).sum()
    power = year(minutes=1, charge_kw=NEVER)
    assert power.max() <= ALIKE.phase_power.max() + 1e-6
    assert power.sum() / 60.0 == pytest.approx(expected, rel=1e-6)
    assert 100.0 < 1e3 * expected / 15_000.0 < 200.0


@pytest.mark.parametrize("minutes", [5, 15, 60])
def test_a_longer_step_is_the_mean_of_shorter_ones(minutes):
    fine, coarse = (driving_power(np.random.default_rng(3), Driving(), step) for step in (1, minutes))
    np.testing.assert_allclose(coarse, fine.reshape(coarse.size, -1).mean(axis=1), atol=1e-9)


def test_short_ways_stay_in_town():
    power = year(yearly_km=1_000.0, minutes=1)
    assert power.max() == pytest.approx(ALIKE.phase_power[0])


def test_a_parked_car_neither_drives_nor_charges():
    power = year(minutes=1).reshape(365, 1440)
    np.testing.assert_allclose(power[:, 14 * 60 : 15 * 60], 0.0, atol=1e-6)
    np.testing.assert_allclose(power[:, :180], -ALIKE.charge_kw, atol=1e-6)


def test_days_are_driven_as_often_as_asked():
    power = driving_power(np.random.default_rng(1), Driving(driven_days=0.6), 15).reshape(365, 96)
    assert (power.max(axis=1) > 0.0).mean() == pytest.approx(0.6, abs=0.08)


def test_cars_differ_as_measured_ones_do():
    driving = Driving(trip_spread=0.0, driven_days=1.0, charge_kw=NEVER)
    energy = [np.maximum(driving_power(np.random.default_rng(k), driving, 60), 0.0).sum() for k in range(400)]
    # Energy goes nearly as distance.
    assert np.log(energy).std() == pytest.approx(0.61, rel=0.15)


def test_a_car_starts_the_day_full_and_its_balance_closes():
    new = Dispatch(usable_fraction=0.95)
    duty = make_duty(Site(), Duty(service="driving", timestep_minutes=15, dispatch=new), 2, 10, 3)
    soc = duty["state_of_charge"].values.reshape(2, 365, 96)
    assert np.median(soc[:, :, 16]) == pytest.approx(new.soc_max, abs=1e-6)
    assert 0.3 < soc.min(axis=2).mean() < 0.95
    assert float(duty_lines(duty)[-1].split()[1]) < 1e-9
    assert float(duty["unserved_power"].sum() / duty["load_power"].sum()) < 0.02


def test_a_small_pack_leaves_people_on_the_road():
    small = Duty(service="driving", dispatch=Dispatch(pack_kwh=10.0))
    duty = make_duty(Site(), small, 1, 10, 3)
    assert float(duty["unserved_power"].sum() / duty["load_power"].sum()) > 0.05


def test_ways_that_nobody_drives_without_a_charge_are_refused():
    with pytest.raises(ValueError, match=r"driving: 60000 km on 0\.8 of the days are ways of 103 km; must be 75"):
        Driving(yearly_km=60_000.0)


def test_few_ways_of_the_default_are_cut():
    free = Driving(charge_kw=NEVER, auxiliary_kw=0.0)
    rng = np.random.default_rng(3)
    mean = np.log(19_300.0 * np.exp(0.61 * rng.standard_normal((4000, 1))) / (730.0 * 0.8)) - 0.32
    ways = rng.lognormal(np.broadcast_to(mean, (4000, 300)), free.trip_spread)
    cut = 1.0 - np.minimum(ways, 300.0).sum() / ways.sum()
    assert 0.005 < cut < 0.025
