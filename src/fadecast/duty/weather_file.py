"""Weather files of any place: one year of hours as EPW, TMY3 or the CSV of SAM and NSRDB, made into a climate."""

import gzip
import warnings
from io import StringIO
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pandas as pd
import pvlib
from jaxtyping import Float

from fadecast.duty.climate import Climate, Place
from fadecast.duty.climate_fit import fit_climate
from fadecast.duty.sun import HOURS, clear_sky
from fadecast.formats import WEATHER_SUFFIXES
from fadecast.table_file import check_width

# Name of a column in SAM's and NSRDB's tables, in lower case → what it is.
_COLUMNS = {
    "temperature": "temp_air",
    "tdry": "temp_air",
    "wind speed": "wind_speed",
    "wspd": "wind_speed",
}
# Between which values a column can be.
_POSSIBLE = {
    "ghi": (0.0, 1500.0),
    "dni": (0.0, 1500.0),
    "dhi": (0.0, 1500.0),
    "temp_air": (-70.0, 60.0),
    "wind_speed": (0.0, 75.0),
}

# Bytes of a year of half hours with all columns of any format, several times over; a small file can hold gigabytes.
_LARGEST = 64_000_000
# Share of the year's irradiation that may fall while the sun of the stated place is down: twilight.
_AT_NIGHT = 0.02


class WeatherYear(NamedTuple):
    """One year of weather in local standard time, without 29 February."""

    place: Place
    irradiance: Float[np.ndarray, "8760"]
    """Global horizontal irradiance, mean of the hour that ends at 1, 2, ... 24 o'clock [W/m2]."""
    temperature: Float[np.ndarray, "8760"]
    """Air temperature [degC]."""
    wind_speed: Float[np.ndarray, "8760"]
    """[m/s]"""


def climate_of(name: str) -> Climate:
    """Return a shipped climate by name, one written as `.json`, or the fit to a weather file.

    Raises
    ------
    ValueError
        If there is no such climate or file, or the file is not a year of weather.
    """
    if not name.endswith(WEATHER_SUFFIXES):
        return Climate.load(name)
    year = read_weather(Path(name))
    try:
        with warnings.catch_warnings():
            # Of a year in which nothing changes numpy warns, and the check says what came of it.
            warnings.simplefilter("ignore", RuntimeWarning)
            climate = fit_climate(year.place, year.irradiance, year.temperature, year.wind_speed)
        climate.check()
    except ValueError as error:
        raise ValueError(f"{Path(name).name}: no climate can be fitted to this year: {error}") from None
    return climate


def read_weather(path: Path) -> WeatherYear:
    """Read one year of hourly weather; half hours are averaged, 29 February is left out.

    Formats are told apart by suffix and first line: EnergyPlus `.epw`; TMY3, SAM and NSRDB (PSM) as `.csv`. Either may
    be gzipped.

    Raises
    ------
    ValueError
        If there is no such file, its header or columns are not those of a format, it is not a year of hours, or the
        sun shines at night by its place and time zone.
    """
    if not path.is_file():
        raise ValueError(f"no file {path}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST:,} bytes")
        check_width(content)
        table, place = _parsed(path, StringIO(content.decode("utf-8"), newline=None))
    except Exception as error:
        # pandas and pvlib raise what comes up, of which none is a year of weather.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path.name} is not EPW, TMY3 or a CSV of SAM or NSRDB: {reason}") from None
    irradiance = _irradiance(path, table, place)
    year = WeatherYear(place, irradiance, _hourly(path, table, "temp_air"), _hourly(path, table, "wind_speed"))
    _check_sun(path, year)
    return year


def _parsed(path: Path, file: TextIO) -> tuple[pd.DataFrame, Place]:
    """Return a table with columns of pvlib's names, in order of time, and the place."""
    start = file.readline()
    file.seek(0)
    if ".epw" in path.suffixes:
        table, meta = pvlib.iotools.read_epw(file)
    elif start.lower().startswith("source,"):
        return _sam(path, file)
    else:
        table, meta = pvlib.iotools.read_tmy3(file)
    return table, _place(path, *(float(meta[key]) for key in ("latitude", "longitude", "altitude", "TZ")))


def _sam(path: Path, file: TextIO) -> tuple[pd.DataFrame, Place]:
    """Parse two lines on the place and a table whose names vary in case and spelling."""
    names, values = (file.readline().strip().lower().split(",") for _ in range(2))
    meta = dict(zip(names, values, strict=False))
    table = pd.read_csv(file, low_memory=False).rename(columns=str.lower).rename(columns=_COLUMNS)
    if twice := sorted(table.columns[table.columns.duplicated()]):
        raise ValueError(f"there are two columns for {twice[0]}")
    if (table.get("minute", pd.Series([30])) % 30 != 0).any():
        raise ValueError("minutes are not of hours or half hours")
    place = _place(path, *(float(meta[key]) for key in ("latitude", "longitude", "elevation", "time zone")))
    table.index = pd.DatetimeIndex(pd.to_datetime({"year": 2020, "month": table["month"], "day": table["day"]}))
    return table, place


def _place(path: Path, latitude: float, longitude: float, altitude: float, utc_offset: float) -> Place:
    return Place(f"weather file {path.name}", "that of the file", latitude, longitude, altitude, utc_offset)


def _irradiance(path: Path, table: pd.DataFrame, place: Place) -> Float[np.ndarray, "8760"]:
    """Return global horizontal irradiance, from its direct and diffuse parts where the table has these only."""
    if "ghi" in table or not {"dni", "dhi"} <= set(table):
        return _hourly(path, table, "ghi")
    height = np.maximum(np.cos(np.radians(clear_sky(place, 5).zenith)), 0.0).reshape(HOURS, 12).mean(axis=1)
    return _hourly(path, table, "dhi") + height * _hourly(path, table, "dni")


def _hourly(path: Path, table: pd.DataFrame, name: str) -> Float[np.ndarray, "8760"]:
    """Return one column as 8760 means of hours, checked against what it can be."""
    low, high = _POSSIBLE[name]
    if name not in table:
        raise ValueError(f"{path.name} has no column for {name}")
    days = pd.DatetimeIndex(table.index)
    leap = (days.month == 2) & (days.day == 29) & (len(table) % (HOURS + 24) == 0)
    values = pd.to_numeric(table.loc[~leap, name], errors="coerce").to_numpy(float)
    if len(values) not in (HOURS, 2 * HOURS):
        raise ValueError(f"{path.name} has {len(table)} rows; must be a year of hours or half hours")
    wrong = np.flatnonzero(~((values >= low) & (values <= high)))
    if wrong.size:
        raise ValueError(
            f"{path.name}: {name} is {values[wrong[0]]:g} in row {wrong[0] + 1} of the table and out of range in "
            f"{wrong.size} in all; must be {low:g} to {high:g}"
        )
    return values.reshape(HOURS, -1).mean(axis=1)


def _check_sun(path: Path, year: WeatherYear) -> None:
    """Refuse sunshine at night: the place or the time zone is another."""
    dark = clear_sky(year.place, 5).clear.reshape(HOURS, 12).max(axis=1) == 0.0
    at_night = year.irradiance[dark].sum() / max(year.irradiance.sum(), 1.0)
    if at_night > _AT_NIGHT:
        raise ValueError(
            f"{path.name}: {100 * at_night:.0f} % of the irradiation falls while the sun is down at "
            f"{year.place.latitude:g}, {year.place.longitude:g}; is the time zone ({year.place.utc_offset:+g} h) right?"
        )
