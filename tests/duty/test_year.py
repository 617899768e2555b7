"""The duty dataset: contract, conservation, seeds, scaling."""

import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter, ValidationError

from fadecast.duty import Container, Dispatch, Duty, Site, Solar, Workload, duty_years, make_duty
from fadecast.duty.climate import Coordinates
from fadecast.variables import VARIABLES

HOURLY = Duty(timestep_minutes=60)


@pytest.fixture(scope="module")
def year():
    return make_duty(Site(), HOURLY, draws=2, packs=64, seed=1)


def test_every_duty_variable_is_there(year):
    duty = {name for name, variable in VARIABLES.items() if variable.dims == ("draw", "hour")}
    assert set(year.data_vars) == duty
    assert dict(year.sizes) == {"draw": 2, "hour": 8760}
    assert year["pack_power"].attrs["units"] == "h-1"
    assert all(np.isfinite(year[name]).all() for name in duty)


@pytest.mark.parametrize("minutes", [5, 15, 30])
def test_hours_are_equal_steps_of_a_year(minutes):
    hours = make_duty(Site(), Duty(timestep_minutes=minutes), 1, 1, 0).hour.values
    assert hours[0] == 0
    assert hours[-1] == pytest.approx(8760 - minutes / 60)
    np.testing.assert_allclose(np.diff(hours), minutes / 60)


def test_energy_closes(year):
    served = year.load_power - year.unserved_power
    given = year.solar_power - year.spilled_power + year.battery_power
    np.testing.assert_allclose(served, given, atol=1e-9)


def test_a_draw_is_the_same_in_any_company(year):
    alone = make_duty(Site(), HOURLY, draws=1, packs=64, seed=1)
    for name in year.data_vars:
        np.testing.assert_array_equal(year[name].isel(draw=0), alone[name].isel(draw=0))


def test_years_come_one_by_one_as_they_come_together(year):
    for draw, alone in enumerate(duty_years(Site(), HOURLY, draws=2, packs=64, seed=1)):
        xr.testing.assert_identical(alone, year.isel(draw=[draw]))


def test_powers_grow_with_packs_and_packs_feel_the_same(year):
    full = make_duty(Site(), HOURLY, draws=2, packs=805, seed=1)
    np.testing.assert_allclose(full.load_power, year.load_power * 805 / 64)
    np.testing.assert_allclose(full.pack_power, year.pack_power, atol=1e-12)


def test_draws_and_seeds_differ(year):
    other = make_duty(Site(), HOURLY, draws=1, packs=64, seed=2)
    for name in ("it_power", "solar_power", "ambient_temperature"):
        assert not np.allclose(year[name][0], year[name][1])
        assert not np.allclose(year[name][0], other[name][0])


def test_another_workload_has_the_same_weather(year):
    other = make_duty(Site(), Duty(timestep_minutes=60, workload=Workload(training_share=1.0)), 1, 64, 1)
    np.testing.assert_array_equal(other.solar_power[0], year.solar_power[0])
    assert not np.allclose(other.it_power[0], year.it_power[0])


def test_step_length_keeps_load_sun_and_cycles(year):
    fine = make_duty(Site(), Duty(timestep_minutes=15), draws=2, packs=64, seed=1)
    for name, tolerance in [("it_power", 1e-9), ("solar_power", 1e-9), ("ambient_temperature", 1e-9)]:
        hourly = fine[name].values.reshape(2, 8760, 4).mean(axis=2)
        np.testing.assert_allclose(hourly, year[name], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(abs(fine.pack_power).mean(), abs(year.pack_power).mean(), rtol=0.03)


def test_default_site_is_the_reference_site(year):
    whole = 805 / 64
    assert whole * float(year.load_power.mean()) / 1e3 == pytest.approx(2.0, abs=1.0)  # MW for 2,000 accelerators
    assert float(abs(year.battery_power).max()) * whole / 1e3 <= 12.0 + 1e-9  # MW of converters
    assert 805 * Dispatch().pack_kwh / 1e3 == pytest.approx(63, abs=0.5)  # MWh
    summer = year.sel(hour=slice(24 * 90, 24 * 273))
    assert float(summer.unserved_power.sum() / summer.load_power.sum()) < 0.002
    assert float(year.unserved_power.sum() / year.load_power.sum()) < 0.04


def test_without_sun_nothing_is_served():
    dark = make_duty(Site(), Duty(timestep_minutes=60, solar=Solar(kw_per_pack=0.0)), 1, 8, 0)
    np.testing.assert_allclose(dark.unserved_power, dark.load_power)
    np.testing.assert_array_equal(dark.state_of_charge, Dispatch().soc_min)


def test_a_container_without_power_follows_the_weather():
    """A dark site has none: its air is that of a container that is neither heated nor cooled."""
    dark = Duty(timestep_minutes=60, solar=Solar(kw_per_pack=0.0))
    open_air = Duty(
        timestep_minutes=60, solar=Solar(kw_per_pack=0.0), container=Container(heat_below=-60, cool_above=90)
    )
    held, free = (make_duty(Site(), duty, 1, 8, 0).pack_ambient_temperature.values for duty in (dark, open_air))
    np.testing.assert_allclose(held, free, atol=1e-9)
    assert free.min() < -5.0


def test_a_larger_battery_leaves_less_unserved():
    unserved = [
        float(
            make_duty(Site(), Duty(timestep_minutes=60, dispatch=Dispatch(pack_kwh=kwh)), 1, 8, 0).unserved_power.sum()
        )
        for kwh in (40.0, 78.0, 150.0)
    ]
    assert unserved[0] > unserved[1] > unserved[2]


def test_a_hotter_place_is_hotter_inside_and_cools_more():
    reno, vegas = (make_duty(Site(climate=name), HOURLY, 1, 8, 0) for name in ("reno", "las_vegas"))
    assert float(vegas.pack_ambient_temperature.mean()) > float(reno.pack_ambient_temperature.mean()) + 3
    assert float((vegas.load_power / vegas.it_power).mean()) > float((reno.load_power / reno.it_power).mean())


@pytest.mark.parametrize(
    "settings",
    [
        {"timestep_minutes": 7},
        {"solar": {"kw_per_pack": -1.0}},
        {"solar": {"colour": "blue"}},
        {"dispatch": {"soc_min": 0.9, "soc_max": 0.2}},
        {"workload": {"training": {"occupancy": 1.0}}},
        {"dispatch": {"converter_efficiency": float("nan")}},
    ],
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        TypeAdapter(Duty).validate_python(settings)


def test_settings_are_read_from_plain_values():
    read = TypeAdapter(Duty).validate_python({"timestep_minutes": 15, "solar": {"mount": "single_axis"}})
    assert read == Duty(solar=Solar(mount="single_axis"))


def test_coordinates_move_sun_and_air():
    there = Coordinates(latitude=-39.48, longitude=-119.77, altitude=641.0, utc_offset=-8.0)
    here, moved = (make_duty(Site(coordinates=place), HOURLY, 1, 8, 0) for place in (None, there))
    assert float((moved["ambient_temperature"] - here["ambient_temperature"]).mean()) == pytest.approx(
        6.5 * 0.7, abs=1.0
    )
    # South of the equator January is summer.
    january, july = slice(0, 31 * 24), slice(181 * 24, 212 * 24)
    for name in ("solar_power", "ambient_temperature"):
        sums = [[float(duty[name][0, month].sum()) for month in (january, july)] for duty in (here, moved)]
        assert sums[0][0] < sums[0][1]
        assert sums[1][0] > sums[1][1]


def test_clocks_that_are_not_of_the_place_are_refused():
    with pytest.raises(ValueError, match=r"utc_offset of -8 h at a longitude of 119\.77"):
        Coordinates(latitude=39.0, longitude=119.77, altitude=0.0, utc_offset=-8.0)
    Coordinates(latitude=0.0, longitude=179.0, altitude=0.0, utc_offset=-12.0)
