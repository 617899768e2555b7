"""Drawn weather against the climate it is drawn from."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.duty.climate import MONTH_OF_DAY, Climate, Coordinates, Site
from fadecast.duty.climate_fit import fit_climate, pooled
from fadecast.duty.sun import clear_sky
from fadecast.duty.weather import draw_weather

YEARS = 24
NAMES = ("reno", "las_vegas", "elko")


def draw(climate, minutes, years=YEARS):
    sky = clear_sky(climate.place, minutes)
    return [draw_weather(np.random.default_rng([9, k]), climate, sky) for k in range(years)]


def by_hour(values):
    return values.reshape(8760, -1).mean(axis=1)


@pytest.fixture(scope="module")
def reno():
    return Climate.load("reno")


@pytest.mark.parametrize("name", NAMES)
def test_monthly_irradiation_is_that_of_the_typical_year(name):
    climate = Climate.load(name)
    sun = np.mean([by_hour(year.irradiance) for year in draw(climate, 60)], axis=0).reshape(365, 24).sum(axis=1) / 1e3
    monthly = np.bincount(MONTH_OF_DAY, sun)
    np.testing.assert_allclose(monthly, climate.irradiation, rtol=0.07)
    assert monthly.sum() == pytest.approx(climate.irradiation.sum(), rel=0.015)


@pytest.mark.parametrize("name", NAMES)
def test_monthly_temperature_is_that_of_the_typical_year(name):
    climate = Climate.load(name)
    daily = np.mean([by_hour(year.temperature) for year in draw(climate, 60)], axis=0).reshape(365, 24).mean(axis=1)
    monthly = np.bincount(MONTH_OF_DAY, daily) / np.bincount(MONTH_OF_DAY)
    np.testing.assert_allclose(monthly, climate.temperature.mean(axis=1), atol=1.5)
    assert daily.mean() == pytest.approx(climate.temperature.mean(), abs=0.4)


HERE = Coordinates(latitude=36.0, longitude=-115.0, altitude=2341.0, utc_offset=-8.0)


def test_a_climate_somewhere_else_has_its_sun_and_the_air_of_its_altitude(reno):
    moved = reno.at(HERE)
    assert (moved.place.latitude, moved.place.source) == (36.0, reno.place.source)
    np.testing.assert_allclose(moved.temperature, reno.temperature - 6.5, atol=1e-9)
    np.testing.assert_array_equal(moved.day_clearness, reno.day_clearness)
    # Three degrees further south the winter sun stands higher.
    winter = [clear_sky(climate.place, 60).clear.reshape(365, 24)[:31].sum() for climate in (moved, reno)]
    assert 1.08 < winter[0] / winter[1] < 1.20


def test_the_mean_of_one_climate_is_itself(reno):
    mean = pooled([reno], "mean")
    for field in ("day_clearness", "hour_ratio", "temperature", "anomaly_sd", "wind_speed"):
        np.testing.assert_allclose(getattr(mean, field), getattr(reno, field))
    assert (mean.place.altitude, mean.place.source) == (reno.place.altitude, "mean")


def test_temperatures_of_a_mean_are_brought_to_one_altitude_first(reno):
    higher = reno.at(replace(HERE, altitude=reno.place.altitude + 1000.0))
    mean = pooled([reno, higher], "mean")
    assert mean.place.altitude == reno.place.altitude + 500.0
    np.testing.assert_allclose(mean.temperature, reno.temperature - 3.25)


def test_nevada_lies_between_its_stations():
    nevada, others = Climate.load("nevada"), [Climate.load(name) for name in NAMES]
    assert 36.0 < nevada.place.latitude < 41.0
    assert nevada.place.source.count("72") == 9
    means = [climate.temperature.mean() for climate in others]
    assert min(means) < nevada.temperature.mean() < max(means)


def test_a_fit_to_drawn_years_gives_the_climate_back(reno):
    fits = [
        fit_climate(reno.place, by_hour(year.irradiance), hour_ends(year.temperature), year.wind_speed[::4])
        for year in draw(reno, 15)
    ]

    def mean(name):
        return np.mean([getattr(fit, name) for fit in fits], axis=0)

    assert mean("day_persistence") == pytest.approx(reno.day_persistence, abs=0.06)
    # Hours are joined by straight lines, which adds 0.08 of persistence.
    assert mean("hour_persistence") == pytest.approx(reno.hour_persistence + 0.08, abs=0.03)
    assert mean("anomaly_persistence") == pytest.approx(reno.anomaly_persistence, abs=0.06)
    np.testing.assert_allclose(mean("anomaly_sd"), reno.anomaly_sd, rtol=0.2)
    np.testing.assert_allclose(mean("swing_slope"), reno.swing_slope, atol=0.05)
    np.testing.assert_allclose(mean("day_clearness")[:, 10], reno.day_clearness[:, 10], atol=0.05)
    np.testing.assert_allclose(mean("wind_speed"), reno.wind_speed, rtol=1e-6)


def hour_ends(values):
    """Return the temperature at 1, 2, ... 24 o'clock from quarter-hour middles."""
    ends = (values[3::4] + np.roll(values, -1)[3::4]) / 2
    ends[-1] = values[-1]
    return ends


def test_the_sun_is_down_at_night_and_the_sky_is_clear_at_most(reno):
    sky = clear_sky(reno.place, 15)
    for year in draw(reno, 15, 3):
        assert (year.irradiance[sky.apparent_zenith > 90] == 0).all()
        assert (year.irradiance >= 0).all()
        daily = (year.irradiance.reshape(365, -1).sum(axis=1)) / sky.clear.reshape(365, -1).sum(axis=1)
        assert daily.max() <= reno.day_clearness.max() + 1e-9
        assert daily.min() >= reno.day_clearness.min() - 1e-9


def test_the_same_days_at_every_step_length(reno):
    fine, coarse = (draw(reno, minutes, 1)[0] for minutes in (5, 15))
    days = [year.irradiance.reshape(365, -1).mean(axis=1) for year in (fine, coarse)]
    np.testing.assert_allclose(days[0], days[1], rtol=0.005)
    np.testing.assert_allclose(by_hour(fine.temperature), by_hour(coarse.temperature), atol=0.2)


def test_noon_is_at_noon(reno):
    sky = clear_sky(reno.place, 15)
    noon = sky.hour[np.argmin(sky.zenith.reshape(365, 96)[170]) + 170 * 96] % 24
    # Solar noon at 119.77 W in the zone of 120 W is within the equation of time (16 min) of 12 o'clock.
    assert noon == pytest.approx(12.0, abs=0.4)
    assert sky.zenith.min() == pytest.approx(reno.place.latitude - 23.44, abs=0.1)


def test_a_windless_flat_climate_has_no_weather(reno):
    flat = replace(reno, anomaly_sd=np.zeros(12), swing_slope=np.zeros(12))
    year = draw(flat, 60, 1)[0].temperature.reshape(365, 24)
    np.testing.assert_allclose(year[5, 1:-1], year[20, 1:-1])


def test_places_keep_their_order():
    mean = {name: Climate.load(name).temperature.mean() for name in NAMES}
    assert mean["elko"] < mean["reno"] < mean["las_vegas"]


def test_a_climate_survives_its_file(reno, tmp_path):
    reno.write(tmp_path / "copy.json")
    copy = Climate.load(str(tmp_path / "copy.json"))
    assert copy.place == reno.place
    np.testing.assert_array_equal(copy.temperature, reno.temperature)
    assert copy.day_persistence == reno.day_persistence


@pytest.mark.parametrize(("name", "said"), [("atlantis", "weather_reno"), ("nowhere.json", "no file")])
def test_an_unknown_climate_is_refused(name, said):
    with pytest.raises(ValueError, match=said):
        Climate.load(Site(climate=name).climate)


def test_an_incomplete_year_is_refused(reno):
    hours = np.ones(8760)
    with pytest.raises(ValueError, match="expected 8760 finite"):
        fit_climate(reno.place, np.where(np.arange(8760) == 5, np.nan, hours), hours, hours)
