"""Measured power of computing, from a file: repeated through the year, by the step."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import xarray as xr
from annotated_types import Gt
from jaxtyping import Float

from fadecast.duty.sun import HOURS
from fadecast.formats import TRACE_SUFFIXES
from fadecast.settings import settings

_DAY = 24.0
# Power over rated power that is taken for a wrong unit.
_HIGHEST = 2.0


@settings
class Trace:
    """A file of measured power: `.csv`, `.csv.gz`, `.parquet` (needs the extra `parquet`) or netCDF (`.nc`)."""

    file: str
    """Path, relative to the study file."""
    rated: Annotated[float, Gt(0)]
    """Power in the file that counts as the racks' rated power, in the unit of the file."""
    power: str = "power"
    """Column or variable of the power."""
    time: str = "time"
    """Column or coordinate of the time at which each power begins: dates, whose hour of the day counts, or seconds
    since midnight. It must rise; each power holds until the next."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Power held from each time to the next."""

    start: Float[np.ndarray, "n"]
    """Since midnight of the first day [h]."""
    length: Float[np.ndarray, "n"]
    """[h]; the last is the median of the others."""
    power: Float[np.ndarray, "n"]
    """Power over rated power [1]."""

    @property
    def period(self) -> float:
        """Time after which it repeats [h]: its whole days, all of it where it is shorter."""
        whole = float(self.length.sum())
        return whole // _DAY * _DAY or whole


@lru_cache(maxsize=4)
def read_trace(trace: Trace) -> Measurement:
    """Read a file of measured power.

    Raises
    ------
    ValueError
        When it is not there or not of a known kind, lacks a column, or its times or powers cannot be.
    """
    path = Path(trace.file)
    if not trace.file.endswith(TRACE_SUFFIXES):
        raise ValueError(f"{trace.file} is of no known kind; must end in {', '.join(TRACE_SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"no file {path}")
    time, column = _columns(path, trace)
    hours = _hours(time, trace)
    power = pd.to_numeric(column, errors="coerce").to_numpy(float) / trace.rated
    if hours.size < 2:
        raise ValueError(f"{trace.power!r} has {hours.size} rows; must have 2 at least")
    if not (np.diff(hours) > 0.0).all():
        row = int(np.argmin(np.diff(hours) > 0.0)) + 1
        raise ValueError(f"{trace.time!r} does not rise at row {row}; must rise")
    wrong = ~np.isfinite(power) | (power < 0.0) | (power > _HIGHEST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{trace.power!r} is {power[row] * trace.rated:g} at row {row}; must be a number from 0 to {_HIGHEST:g} "
            f"times rated ({trace.rated:g})"
        )
    steps = np.diff(hours)
    return Measurement(hours, np.append(steps, np.median(steps)), power)


def _columns(path: Path, trace: Trace) -> tuple[pd.Series, pd.Series]:
    if path.name.endswith(".nc"):
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            table = dataset.load().to_dataframe().reset_index()
    elif path.name.endswith(".parquet"):
        try:
            table = pd.read_parquet(path)
        except ImportError:
            raise ValueError("needs pyarrow to be read; install fadecast[parquet]") from None
    else:
        table = pd.read_csv(path)
    for name in (trace.time, trace.power):
        if name not in table:
            raise ValueError(f"has no column {name!r}; has {', '.join(map(repr, table.columns))}")
    return table[trace.time], table[trace.power]


def _hours(time: pd.Series, trace: Trace) -> Float[np.ndarray, "n"]:
    """Return hours since midnight of the first day."""
    if pd.api.types.is_numeric_dtype(time):
        return time.to_numpy(float) / 3600.0
    known = pd.api.types.is_datetime64_any_dtype(time)
    dates = time if known else pd.to_datetime(time, errors="coerce", format="ISO8601")
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise ValueError(f"{trace.time!r} is {time.iloc[row]!r} at row {row}; must be a date (ISO 8601) or seconds")
    since = dates.to_numpy("datetime64[ns]") - dates.iloc[0].normalize().to_datetime64()
    return np.asarray(since / np.timedelta64(1, "h"))


def trace_power(rng: np.random.Generator, measured: Measurement, step_minutes: int) -> Float[np.ndarray, "step"]:
    """Return a year of power over rated power [1], as means over steps; it begins with a day of the trace at random.

    Hours of the day are kept. The energy of each step is that of the trace, however the two divide time.
    """
    days = max(1, round(measured.period / _DAY))
    shift = _DAY * rng.integers(days)
    edges = np.arange(HOURS * 60 // step_minutes + 1) * step_minutes / 60.0
    return np.asarray(np.diff(_energy(measured, edges + shift)) * 60.0 / step_minutes)


def _energy(measured: Measurement, hour: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return energy over rated power [h] from the start of the trace to each hour since midnight of its first day."""
    ends = np.concatenate([[0.0], np.cumsum(measured.length)])
    used = np.concatenate([[0.0], np.cumsum(measured.length * measured.power)])
    whole = float(np.interp(measured.period, ends, used))
    times, rest = np.divmod(hour - measured.start[0], measured.period)
    return times * whole + np.interp(rest, ends, used)
