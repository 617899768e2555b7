"""Weather files of each format, against the year that they were written from, and what is refused."""

import gzip

import numpy as np
import pandas as pd
import pytest

from fadecast.duty import Duty, Site, make_duty
from fadecast.duty.climate import MONTH_DAYS, Climate
from fadecast.duty.climate_fit import fit_climate
from fadecast.duty.sun import clear_sky
from fadecast.duty.weather import draw_weather
from fadecast.duty.weather_file import climate_of, read_weather
from fadecast.measured.catalogue import data_root

RENO = Climate.load("reno")
FILES = "solar/nrel_sam_nsrdb_tmy"
COLUMNS = ("ghi", "temp", "wind")


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    """Hours of one drawn year of Reno, to the digits of a file."""
    drawn = draw_weather(np.random.default_rng(4), RENO, clear_sky(RENO.place, 60))
    wind = np.random.default_rng(5).uniform(0.0, 9.0, 8760)
    table = pd.DataFrame({"ghi": drawn.irradiance, "temp": drawn.temperature, "wind": wind}).round(1)
    hour = np.arange(8760)
    day = np.repeat(np.concatenate([np.arange(count) + 1 for count in MONTH_DAYS]), 24)
    return table.assign(month=np.repeat(np.arange(12) + 1, 24 * MONTH_DAYS), day=day, hour=hour % 24)


def as_epw(year: pd.DataFrame) -> str:
    head = ["LOCATION,Somewhere,NV,USA,made,0,39.483,-119.767,-8.0,1341.0", *["HEADER"] * 7]
    rows = [
        f"2021,{r.month},{r.day},{r.hour + 1},0,?,{r.temp},0,50,86000,0,0,300,{r.ghi},0,0,0,0,0,0,90,{r.wind}"
        + ",0" * 13
        for r in year.itertuples()
    ]
    return "\n".join([*head, *rows])


def as_tmy3(year: pd.DataFrame) -> str:
    head = '724880,"SOMEWHERE",NV,-8.0,39.483,-119.767,1341'
    names = "Date (MM/DD/YYYY),Time (HH:MM),GHI (W/m^2),Dry-bulb (C),Wspd (m/s)"
    rows = [f"{r.month:02d}/{r.day:02d}/1990,{r.hour + 1:02d}:00,{r.ghi},{r.temp},{r.wind}" for r in year.itertuples()]
    return "\n".join([head, names, *rows])


def as_sam(year: pd.DataFrame, minute: int = 30, offset: float = -8) -> str:
    head = ["Source,Latitude,Longitude,Time Zone,Elevation", f"made,39.483,-119.767,{offset},1341"]
    rows = [f"2021,{r.month},{r.day},{r.hour},{minute},{r.ghi},{r.temp},{r.wind}" for r in year.itertuples()]
    return "\n".join([*head, "Year,Month,Day,Hour,Minute,GHI,Temperature,Wind Speed", *rows])


FORMATS = {"a.epw": as_epw, "a.csv": as_tmy3, "b.csv": as_sam}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_year_is_read_as_it_was_written(name, zipped, year, tmp_path):
    text, path = FORMATS[name](year), tmp_path / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    found = read_weather(path)
    for values, column in zip(found[1:], COLUMNS, strict=True):
        np.testing.assert_array_equal(values, year[column])
    place = found.place
    assert (place.latitude, place.longitude, place.altitude, place.utc_offset) == (39.483, -119.767, 1341.0, -8.0)
    own = fit_climate(place, *(year[column].to_numpy() for column in COLUMNS))
    np.testing.assert_array_equal(climate_of(str(path)).day_clearness, own.day_clearness)


def test_half_hours_are_averaged_and_the_leap_day_is_left_out(year, tmp_path):
    leap_day = year[(year["month"] == 2) & (year["day"] == 28)].assign(day=29, temp=50.0)
    hours = pd.concat([year[:1416], leap_day, year[1416:]], ignore_index=True)
    halves = hours.loc[hours.index.repeat(2)].copy()
    halves["temp"] += np.tile([-0.5, 0.5], len(hours))
    path = tmp_path / "half.csv"
    path.write_text(as_sam(halves))
    np.testing.assert_allclose(read_weather(path).temperature, year["temp"], atol=1e-12)


def test_what_is_not_a_year_of_weather_is_refused(year, tmp_path):
    path = tmp_path / "x.csv"
    cases = {
        as_sam(year[:-1]): "8759 rows; must be a year",
        as_sam(year.assign(temp=year["temp"].where(year.index != 7, 99.9))): "temp_air is 99.9 in row 8 of the table",
        as_sam(year).replace("GHI", "Beam"): "no column for ghi",
        as_sam(year, offset=8): "falls while the sun is down at 39.483, -119.767",
        as_sam(year, minute=10): "minutes are not of hours",
        as_sam(year).replace("Elevation", "Height"): "not EPW, TMY3 or a CSV of SAM or NSRDB: 'elevation'",
        "nothing of the kind": "not EPW, TMY3",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_weather(path)
    with pytest.raises(ValueError, match="no file"):
        climate_of(str(tmp_path / "not_there.epw"))


def test_irradiance_is_put_together_from_its_parts(year, tmp_path):
    """A beam of half of what falls on the ground, on a day's course of the sun."""
    sky = clear_sky(read_weather(_written(tmp_path, as_sam(year))).place, 60)
    height = np.cos(np.radians(sky.zenith))
    beam = np.where(height > 0.1, 0.5 * year["ghi"] / np.maximum(height, 0.1), 0.0)
    parts = year.assign(dni=beam.round(3), dhi=(year["ghi"] - beam * np.maximum(height, 0.0)).round(3))
    rows = [f"{r.month},{r.day},{r.hour},{r.dni},{r.dhi},{r.temp},{r.wind}" for r in parts.itertuples()]
    head = as_sam(year).split("\n")[:2]
    text = "\n".join([*head, "Month,Day,Hour,DNI,DHI,Tdry,Wspd", *rows])
    # The sun at the middle of an hour is not its mean over it.
    np.testing.assert_allclose(read_weather(_written(tmp_path, text)).irradiance, year["ghi"], atol=8.0)


def _written(folder, text):
    path = folder / "some.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("town", ["phoenix", "tucson", "blythe", "daggett"])
def test_years_drawn_for_a_measured_place_have_its_sun_and_warmth(town):
    files = sorted((data_root() / FILES).glob(f"{town}*psm*.csv.gz"))
    if not files:
        pytest.skip(f"no weather of {town} in {data_root() / FILES}; see the catalogue for where it is published")
    measured = read_weather(files[0])
    climate = climate_of(str(files[0]))
    sky = clear_sky(climate.place, 60)
    years = [draw_weather(np.random.default_rng([3, k]), climate, sky) for k in range(12)]
    sun = np.mean([year.irradiance.sum() for year in years])
    assert sun == pytest.approx(measured.irradiance.sum(), rel=0.02)
    assert np.mean([year.temperature.mean() for year in years]) == pytest.approx(measured.temperature.mean(), abs=0.5)
    assert len({year.irradiance.sum() for year in years}) == len(years)


def test_a_duty_is_drawn_from_a_weather_file(year, tmp_path):
    path = tmp_path / "site.epw"
    path.write_text(as_epw(year))
    duty = make_duty(Site(climate=str(path)), Duty(timestep_minutes=60), draws=16, packs=4, seed=1)
    means = duty["ambient_temperature"].mean("hour").to_numpy()
    # A year has 0.9 K of standard deviation.
    assert means.mean() == pytest.approx(year["temp"].mean(), abs=0.7)
    assert 0.3 < means.std() < 2.0
