"""Measured power of computing, from a file: repeated through the year, by the step."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.duty.sun import HOURS
from fadecast.formats import TRACE_SUFFIXES
from fadecast.netcdf_file import first_line, open_foreign
from fadecast.settings import settings
from fadecast.table_file import read_table

_DAY = 24.0
# Power over rated power that is taken for a wrong unit.
_HIGHEST = 2.0
# Hours of 1,000 years: seconds since 1970 are well within, and a trace of more has no day to begin with.
_LATEST = 8.8e6
_SECONDS = ("s", "sec", "second", "seconds")
# Columns that a message names.
_SHOWN = 20


@settings
class Trace:
    """A file of measured power: `.csv`, `.csv.gz`, `.parquet` (needs the extra `parquet`) or netCDF (`.nc`)."""

    file: str
    """Path, absolute or relative to the study file, whose folder a relative one may not leave."""
    rated: Annotated[float, Gt(0)]
    """Power in the file that counts as the racks' rated power, in the unit of the file."""
    power: str = "power"
    """Column or variable of the power."""
    time: str = "time"
    """Column or coordinate of the time at which each power begins: dates, whose hour of the day counts, or seconds
    since midnight. It must rise; each power holds until the next."""
    utc_offset: Annotated[float, Ge(-14), Le(14)] | None = None
    """Clock of the site less universal time [h]: needed, and used, where dates carry an offset of their own."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Power held from each time to the next."""

    start: Float[np.ndarray, "n"]
    """Since midnight of the first day [h]."""
    length: Float[np.ndarray, "n"]
    """[h]; the last is the median of the others, or until midnight where no more than two of those are missing."""
    power: Float[np.ndarray, "n"]
    """Power over rated power [1]."""

    @property
    def period(self) -> float:
        """Time after which it repeats [h]: its whole days. A shorter one repeats as it is, whatever the hour."""
        whole = float(self.length.sum())
        return (whole + 1e-9) // _DAY * _DAY or whole


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
    return _read(trace, path.stat().st_mtime_ns, path.stat().st_size)


@lru_cache(maxsize=4)
def _read(trace: Trace, *_: int) -> Measurement:
    """Read the file as it was at a time and of a size."""
    time, column = _columns(Path(trace.file), trace)
    if len(time) < 2:
        raise ValueError(f"{trace.power!r} has {len(time)} rows; must have 2 at least")
    hours = _hours(time, trace)
    with np.errstate(over="ignore"):
        power = pd.to_numeric(column, errors="coerce").to_numpy(float) / trace.rated
    with np.errstate(invalid="ignore"):
        rises = np.isfinite(hours) & np.concatenate([[True], np.diff(hours) > 0.0])
    if not rises.all():
        row = int(np.argmin(rises))
        raise ValueError(f"{trace.time!r} does not rise at row {row}; must rise")
    if np.abs(hours).max() > _LATEST:
        raise ValueError(f"{trace.time!r} reaches {np.abs(hours).max():g} h; must be within {_LATEST:g} h of midnight")
    wrong = ~np.isfinite(power) | (power < 0.0) | (power > _HIGHEST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{trace.power!r} is {power[row] * trace.rated:g} at row {row}; must be a number from 0 to {_HIGHEST:g} "
            f"times rated ({trace.rated:g})"
        )
    step = float(np.median(np.diff(hours)))
    length = np.append(np.diff(hours), step)
    missing = -float(length.sum()) % _DAY
    if missing <= 2.0 * step < _DAY / 2.0:
        length[-1] += missing
    return Measurement(hours, length, power)


def _columns(path: Path, trace: Trace) -> tuple[pd.Series, pd.Series]:
    try:
        if path.name.endswith(".nc"):
            return _variables(path, trace)
        table = read_table(path)
    except ImportError:
        raise ValueError("needs pyarrow to be read; install fadecast[parquet]") from None
    if trace.time == table.index.name:
        table = table.reset_index()
    for name in (trace.time, trace.power):
        if name not in table:
            raise ValueError(f"has no column {name!r}; has {_named(table.columns)}")
        if isinstance(table[name], pd.DataFrame):
            raise ValueError(f"has more than one column {name!r}; must be one")
    return table[trace.time], table[trace.power]


def _named(names: Iterable[Hashable]) -> str:
    return ", ".join(map(repr, islice(names, _SHOWN)))


def _variables(path: Path, trace: Trace) -> tuple[pd.Series, pd.Series]:
    with open_foreign(path) as dataset:
        for name in (trace.time, trace.power):
            if name not in dataset.variables:
                raise ValueError(f"has no variable {name!r}; has {_named(dataset.variables)}")
        time, power = dataset[trace.time], dataset[trace.power]
        if time.ndim != 1 or power.dims != time.dims:
            raise ValueError(f"{trace.power!r} has dims {power.dims}; must have that of {trace.time!r} only")
        units = time.attrs.get("units", "s")
        if units not in _SECONDS:
            raise ValueError(f"{trace.time!r} is in {units!r:.40}; must be dates, or seconds since midnight")
        try:
            return pd.Series(time.values), pd.Series(power.values)
        except Exception as error:
            raise ValueError(f"cannot be read ({first_line(error)})") from None


def _hours(time: pd.Series, trace: Trace) -> Float[np.ndarray, "n"]:
    """Return hours since midnight of the first day."""
    if pd.api.types.is_numeric_dtype(time):
        return time.to_numpy(float) / 3600.0
    # Dates of several offsets, as where summer time ends, are first made of one.
    universal = pd.to_datetime(time, errors="coerce", format="ISO8601", utc=True)
    if universal.isna().any():
        row = int(universal.isna().to_numpy().argmax())
        raise ValueError(f"{trace.time!r} is {time.iloc[row]!r} at row {row}; must be a date (ISO 8601) or seconds")
    dates = universal.dt.tz_localize(None)
    if pd.to_datetime(time.iloc[:1], format="ISO8601").dt.tz is not None:
        if trace.utc_offset is None:
            raise ValueError(f"{trace.time!r} carries an offset from universal time; give utc_offset, the site's [h]")
        dates = dates + pd.Timedelta(hours=trace.utc_offset)
    since = dates.to_numpy("datetime64[ns]") - dates.iloc[0].normalize().to_datetime64()
    return np.asarray(since / np.timedelta64(1, "h"))


def trace_power(rng: np.random.Generator, measured: Measurement, step_minutes: int) -> Float[np.ndarray, "step"]:
    """Return a year of power over rated power [1], as means over steps; it begins with a day of the trace at random.

    Hours of the day are kept. The energy of each step is that of the trace, however the two divide time.
    """
    days = max(1, round(measured.period / _DAY))
    shift = _DAY * rng.integers(days)
    edges = np.arange(HOURS * 60 // step_minutes + 1) * step_minutes / 60.0
    # A difference of sums: rounding must not make a power of nothing negative.
    return np.asarray(np.diff(_energy(measured, edges + shift)) * 60.0 / step_minutes).clip(min=0.0)


def _energy(measured: Measurement, hour: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return energy over rated power [h] from the start of the trace to each hour since midnight of its first day."""
    ends = np.concatenate([[0.0], np.cumsum(measured.length)])
    used = np.concatenate([[0.0], np.cumsum(measured.length * measured.power)])
    whole = float(np.interp(measured.period, ends, used))
    times, rest = np.divmod(hour - measured.start[0], measured.period)
    return times * whole + np.interp(rest, ends, used)
