"""Services besides that of a site: regulation, cycling, rest."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.decades.typical_days import choose_typical_days
from fadecast.decades.years import year_of_duty
from fadecast.duty import (
    Cycling,
    Dispatch,
    Duty,
    Generator,
    Grid,
    LookAhead,
    Regulation,
    Site,
    Solar,
    Workload,
    make_duty,
)
from fadecast.duty.services import cycling_power, regulation_power
from fadecast.summary import duty_lines


def year(**settings):
    return make_duty(Site(), Duty(**settings), 1, 10, 3)


def averaged(minutes: float, seconds: float) -> float:
    """Return the standard deviation that means over some minutes keep of an Ornstein-Uhlenbeck process."""
    x = 60.0 * minutes / seconds
    return float(np.sqrt(2.0 * (x - 1.0 + np.exp(-x))) / x)


@pytest.mark.parametrize("minutes", [1, 15])
def test_regulation_has_the_spread_of_its_process(minutes):
    """Never saturated, the signal is the process itself, over the deviation of full power."""
    regulation = Regulation(kw_per_pack=1.0, full_deviation=10.0, correlation_seconds=400.0)
    power = regulation_power(np.random.default_rng(0), regulation, minutes)
    assert power.size == 8760 * 60 // minutes
    assert power.std() == pytest.approx(averaged(minutes, 400.0) / 10.0, rel=0.01)
    assert abs(power.mean()) < 5e-4


def test_regulation_asks_for_no_more_than_full_power():
    """Of a normal deviation cut off at its standard deviation, the mean square is 1 - 2 phi(1)."""
    regulation = Regulation(kw_per_pack=1.0, full_deviation=1.0, correlation_seconds=3600.0)
    power = regulation_power(np.random.default_rng(0), regulation, 1)
    assert abs(power).max() <= 1.0
    assert power.std() == pytest.approx(np.sqrt(1.0 - 2.0 * np.exp(-0.5) / np.sqrt(2.0 * np.pi)), rel=0.01)


def test_longer_steps_of_regulation_are_means_of_shorter():
    fine, coarse = (regulation_power(np.random.default_rng(5), Regulation(), minutes) for minutes in (5, 60))
    np.testing.assert_allclose(fine.reshape(-1, 12).mean(axis=1), coarse, atol=1e-12)


def test_the_grid_makes_up_what_regulation_loses():
    duty = year(service="regulation", timestep_minutes=5)
    soc, target = duty.state_of_charge.values, Regulation().charge_target
    assert abs(soc.mean() - target) < 0.01
    assert soc.min() > 0.3
    assert float(duty.unserved_power.max()) == 0.0
    assert float(duty.spilled_power.max()) == 0.0
    battery = duty.battery_power.values
    stored = np.where(battery > 0, battery / (0.97 * 0.98), battery * 0.97 * 0.98)
    # What the grid gives over the year is what both conversions lose, and what was asked more than offered.
    asked = float((duty.load_power - duty.solar_power).mean())
    assert float(duty.grid_power.mean()) == pytest.approx(float((stored - battery).mean()) + asked, rel=1e-3)
    assert float(duty_lines(duty)[-1].split()[1]) < 1e-12


@pytest.mark.parametrize(("restored", "minutes"), [(0.5, 60), (2.5, 60), (10.0, 15), (10.0, 60)])
def test_making_up_does_not_swing(restored, minutes):
    """However fast, and however long a step: the grid gives no more than what is missing at the start of the hour."""
    regulation = Regulation(kw_per_pack=1.0, restored_per_hour=restored)
    duty = year(service="regulation", timestep_minutes=minutes, regulation=regulation)
    assert float(abs(duty.battery_power).max()) < 2.5 * 10.0
    assert float(abs(duty.state_of_charge - regulation.charge_target)[:, 200:].max()) < 0.03


def test_other_services_have_no_part_in_a_site():
    """Neither its grid nor its generator nor its plans."""
    plant = {"grid": Grid(import_kw_per_pack=10.0, export_kw_per_pack=10.0), "generator": Generator(kw_per_pack=5.0)}
    for service in ("regulation", "cycling", "driving", "rest"):
        alone = year(service=service, timestep_minutes=60)
        beside = year(service=service, timestep_minutes=60, dispatch=Dispatch(policy="look_ahead"), **plant)
        for name in alone.data_vars:
            np.testing.assert_array_equal(alone[name], beside[name])


@pytest.mark.parametrize("service", ["site", "regulation", "cycling", "driving", "rest"])
def test_typical_days_can_be_chosen_for_every_service(service):
    typical = choose_typical_days(year_of_duty(year(service=service, timestep_minutes=60).isel(draw=0)), 4, 4)
    assert typical.weight.sum() == pytest.approx(1.0)
    assert (typical.weight > 0.0).all()
    assert all(np.isfinite(error) for error in typical.error.values())


def test_without_making_up_a_regulating_store_is_emptied_by_its_losses():
    duty = year(service="regulation", timestep_minutes=60, regulation=Regulation(restored_per_hour=0.0))
    assert float(duty.state_of_charge.min()) == Dispatch().soc_min
    assert float(duty.unserved_power.max()) > 0.0


@pytest.mark.parametrize("rate", [0.1, 0.25])
def test_cycles_go_from_limit_to_limit(rate):
    cycling = Cycling(charge_c_rate=rate, discharge_c_rate=0.2, rest_hours=2.0)
    duty = year(service="cycling", timestep_minutes=15, cycling=cycling)
    soc, limits = duty.state_of_charge.values[0], Dispatch()
    assert soc.min() == limits.soc_min
    assert soc.max() == limits.soc_max
    full = soc >= limits.soc_max
    cycles = (np.diff(full.astype(int)) == 1).sum()
    window = limits.soc_max - limits.soc_min
    quarters = np.ceil(4.0 * window / (0.9506 * rate)) + np.ceil(4.0 * window * 0.9506 / 0.2)
    hours = quarters / 4.0 + 4.0
    assert cycles == pytest.approx(8760.0 / hours, abs=1)
    # Of 0.65 of the nameplate, and what the converter loses.
    assert float(duty.pack_power.max()) == pytest.approx(0.2 * 0.65 / 0.97)
    assert float(-duty.pack_power.min()) == pytest.approx(rate * 0.65 * 0.97)
    # The last step of each half asks for no more than is left: a full year wastes nothing.
    assert float(duty.unserved_power.sum()) < 1e-3 * float(duty.load_power.sum())
    assert float(duty.spilled_power.sum()) < 1e-3 * float(duty.solar_power.sum())
    assert float(duty_lines(duty)[-1].split()[1]) < 1e-12


def test_a_cycle_at_half_the_rate_takes_twice_as_long():
    fast, slow = (
        cycling_power(Cycling(charge_c_rate=rate, discharge_c_rate=rate, rest_hours=0.0), 8.0, 10.0, 1.0, 60)
        for rate in (0.2, 0.1)
    )
    np.testing.assert_array_equal(fast[:8], [-2.0] * 4 + [2.0] * 4)
    np.testing.assert_array_equal(slow[:16], [-1.0] * 8 + [1.0] * 8)
    part = cycling_power(Cycling(charge_c_rate=0.2, discharge_c_rate=0.2, rest_hours=1.0), 5.0, 10.0, 0.8, 60)
    np.testing.assert_allclose(part[:8], [-2.0, -2.0, -2.0, -0.25, 0.0, 2.0, 2.0, 0.0])


def test_a_check_up_is_a_slow_cycle_after_whole_ones():
    plain = Cycling(charge_c_rate=0.2, discharge_c_rate=0.2, rest_hours=0.0)
    # Cycles of 8 h: three in the day, then one of 16 h.
    checked = replace(plain, check_up_days=1.0, check_up_c_rate=0.1)
    power = cycling_power(checked, 8.0, 10.0, 1.0, 60)
    day = np.tile([-2.0] * 4 + [2.0] * 4, 3)
    np.testing.assert_array_equal(power[:40], [*day, *[-1.0] * 8, *[1.0] * 8])
    np.testing.assert_array_equal(power[40:80], power[:40])
    assert cycling_power(replace(plain, check_up_days=0.01), 8.0, 10.0, 1.0, 60)[8] == -1.0


def test_check_ups_go_from_limit_to_limit_too():
    cycling = Cycling(check_up_days=7.0, check_up_c_rate=0.05)
    duty = year(service="cycling", timestep_minutes=15, cycling=cycling)
    slow = np.isclose(duty.pack_power.values, 0.05 * 0.65 / 0.97)
    # Nearly seven days of cycles and a day and a half of check-up.
    assert 42 <= (np.diff(slow.astype(int)) == 1).sum() <= 45
    assert float(duty.unserved_power.sum()) < 1e-3 * float(duty.load_power.sum())


def test_resting_packs_keep_their_charge_in_the_same_weather():
    rest, site = year(service="rest", timestep_minutes=60, rest_charge=0.8), year(timestep_minutes=60)
    np.testing.assert_array_equal(rest.pack_power, 0.0)
    np.testing.assert_allclose(rest.state_of_charge, 0.8)
    np.testing.assert_array_equal(rest.ambient_temperature, site.ambient_temperature)
    # No heat of their own.
    assert float(rest.pack_ambient_temperature.mean()) < float(site.pack_ambient_temperature.mean()) - 0.5


def test_a_store_alone_trades_by_plans():
    """Bought by night at 0.05, sold in the evening at 0.29 USD/kWh: a cycle a day, both ways at a profit."""
    prices = np.full(24, 0.1)
    prices[:6], prices[17:21] = 0.05, 0.30
    grid = Grid(
        import_kw_per_pack=14.0,
        export_kw_per_pack=14.0,
        buy_usd_per_kwh=tuple(prices),
        sell_usd_per_kwh=tuple(prices - 0.01),
    )
    duty = year(
        timestep_minutes=60,
        workload=Workload(accelerators_per_pack=0.0),
        solar=Solar(kw_per_pack=0.0),
        grid=grid,
        dispatch=Dispatch(policy="look_ahead"),
        look_ahead=LookAhead(reserve=0.0),
    )
    by_hour = duty.grid_power.values.reshape(365, 24).mean(axis=0)
    assert (by_hour[:6] > 0.0).any()
    assert by_hour[17:21].sum() < 0.9 * by_hour.clip(max=0.0).sum()
    usable = 10 * 78.0 * 0.65 * (0.95 - 0.10)
    assert -by_hour.clip(max=0.0).sum() == pytest.approx(usable * 0.97 * 0.98, rel=0.05)


def test_cycles_beyond_the_converters_are_refused():
    with pytest.raises(ValueError, match="converter_kw_per_pack"):
        Duty(service="cycling", cycling=Cycling(discharge_c_rate=1.0))
    with pytest.raises(ValueError, match="converter_kw_per_pack"):
        Duty(service="cycling", cycling=Cycling(check_up_days=7.0, check_up_c_rate=1.0))
