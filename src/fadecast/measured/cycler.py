"""Tables of battery cyclers: read by a map of columns, brought to one set of units, and checked row by row.

What is wrong with a table is said with the line of the file. Repairs are few, and each is stated: rows without numbers
and repeated times are left out where they are few, and a temperature in kelvin is brought to degrees. Nothing else is
guessed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fadecast.measured.catalogue import MeasuredDataError, names_of
from fadecast.settings import settings
from fadecast.table_file import check_width, head_of, read_table

_MOST_REPAIRED = 0.01
"""Share of rows that are left out before a table is refused."""
_VOLTAGE = (0.0, 5.5)
_LARGEST = 1e12
"""Of any number, in the units of the house: seconds of 30,000 years."""
_SHOWN = 5
_LONGEST_REASON = 500
"""Characters of what a reader of others complains of."""
_KELVIN = 273.15
_GAP = 20.0
"""Time steps longer than this many times the usual are gaps."""
_CHARGE_TOLERANCE = 0.02
"""Between the charge that a table states and the integral of its current [1]."""

_SCALES: Mapping[str, Mapping[str, float]] = {
    "time": {"s": 1.0, "min": 60.0, "h": 3600.0},
    "current": {"A": 1.0, "mA": 1e-3},
    "voltage": {"V": 1.0, "mV": 1e-3},
    "charge": {"A.h": 1.0, "mA.h": 1e-3, "C": 1.0 / 3600.0},
    "temperature": {"degC": 1.0, "K": 1.0},
}


@settings
class Columns:
    """Names of the columns of a table; by default the labels of the Battery Data Format."""

    time: str | None = "Test Time / s"
    """Rises from row to row; null, with `current`, where a table is a curve of voltage over charge."""
    current: str | None = "Current / A"
    voltage: str = "Voltage / V"
    charge: str | None = None
    """Charge passed or capacity, counted in one direction through a step; without it current is integrated. Of a curve
    without time: charge of the cell, rising as it is charged."""
    temperature: str | None = None


@settings
class Units:
    """Units of the columns."""

    time: Literal["s", "min", "h"] = "s"
    current: Literal["A", "mA"] = "A"
    voltage: Literal["V", "mV"] = "V"
    charge: Literal["A.h", "mA.h", "C"] = "A.h"
    temperature: Literal["degC", "K"] = "degC"


@settings
class Table:
    """How the tables of a cycler are laid out."""

    format: Literal["columns", "bdf"] = "columns"
    """`columns`: CSV or parquet with the columns named below. `bdf`: Battery Data Format, or an export of Neware,
    BioLogic, Basytec, Digatron, Landt or Novonix, by the `batterydf` library (extra `measured`)."""
    columns: Columns = Columns()
    """Names of the columns, for `columns`."""
    units: Units = Units()
    """Units of the columns, for `columns`."""
    discharge: Literal["negative", "positive"] = "negative"
    """Sign of the current on discharge."""


@dataclass(frozen=True)
class Cycling:
    """A checked table."""

    rows: pd.DataFrame
    """`line` of the file, `time` [s], `current` [A] (positive on discharge), `voltage` [V], `charge` [A.h] (rising on
    charge), `temperature` [degC] (NaN where not given), and the columns of the file that are numbers or text."""
    notes: tuple[str, ...]
    """What was repaired, and what a reader of results should know."""

    @property
    def timed(self) -> bool:
        """Whether it has time and current, or is a curve of voltage over charge."""
        return "time" in self.rows


def read_cycling(path: Path, table: Table, where: Mapping[str, Any] | None = None) -> Cycling:
    """Read a table of a cycler.

    Parameters
    ----------
    path
        CSV or parquet.
    table
        How it is laid out.
    where
        Columns and the values they must have in the rows to read; by default all rows.

    Raises
    ------
    MeasuredDataError
        When the file cannot be read, lacks a column, or holds what cannot be: says where, what and what to do.
    """
    frame, table = _frame(path, table)
    first = 1 if path.name.endswith(".parquet") else 2
    frame = _chosen(frame.reset_index(drop=True), where or {}, path)
    notes: list[str] = []
    raw = _columns(frame, table, path)
    rows = _physical(_numbers(raw, path, first, notes), table, path, notes)
    if table.columns.time is None:
        notes.append("no current or time: rate, gaps and direction were not checked")
    else:
        rows = _rising(rows, path, notes)
        notes.extend(_gaps(rows, path))
        rows["charge"] = _charge(rows, path)
    # A column that happens to be called time is no checked time.
    others = frame.drop(columns=[c for c in frame.columns if c in ("line", *_SCALES)]).loc[rows["line"] - first]
    return Cycling(pd.concat([rows, others.set_axis(rows.index)], axis=1), tuple(notes))


def _frame(path: Path, table: Table) -> tuple[pd.DataFrame, Table]:
    if not path.is_file():
        raise MeasuredDataError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; must be a table")
    try:
        if table.format == "bdf":
            labels = Columns(voltage=table.columns.voltage)
            check_width(head_of(path))
            return _battery_data_format(path), Table(columns=labels, discharge=table.discharge)
        return read_table(path, skip_blank_lines=False), table
    except ImportError as error:
        raise MeasuredDataError(
            f"{path}: reading it needs {error.name}; install it with: pip install 'fadecast[measured]'"
        ) from None
    except Exception as error:
        # The readers behind bdf raise what they like, at any length.
        reason = (str(error) or type(error).__name__).splitlines()[0][:_LONGEST_REASON]
        raise MeasuredDataError(f"{path}: {reason}") from None


def _battery_data_format(path: Path) -> pd.DataFrame:
    import bdf

    return bdf.read(path, validate=False)


def _columns(frame: pd.DataFrame, table: Table, path: Path) -> pd.DataFrame:
    named = {key: getattr(table.columns, key) for key in _SCALES}
    if (named["time"] is None) != (named["current"] is None) or (named["time"] is None and named["charge"] is None):
        raise MeasuredDataError(
            f"{path}: table.columns names time {named['time']!r}, current {named['current']!r} and charge "
            f"{named['charge']!r}; must name time and current, or charge alone"
        )
    missing = [f"{key} {name!r}" for key, name in named.items() if name is not None and name not in frame]
    if missing:
        raise MeasuredDataError(f"{path}: no column for {', '.join(missing)}; it has {names_of(frame)}")
    twice = [f"{key} {name!r}" for key, name in named.items() if name in frame.columns[frame.columns.duplicated()]]
    if twice:
        raise MeasuredDataError(f"{path}: more than one column for {', '.join(twice)}; must be one each")
    if frame.empty:
        raise MeasuredDataError(f"{path}: has no rows")
    kinds = {f"{key} {name!r}": frame[name].dtype for key, name in named.items() if name is not None}
    # Dates and truth values would pass for numbers.
    wrong = [f"{which} is {kind}" for which, kind in kinds.items() if kind.kind not in "fiuO"]
    if wrong:
        raise MeasuredDataError(f"{path}: {', '.join(wrong)}; must be numbers")
    return pd.DataFrame({key: frame[name] for key, name in named.items() if name is not None})


def _numbers(raw: pd.DataFrame, path: Path, first: int, notes: list[str]) -> pd.DataFrame:
    """Leave out the rows in which a number is missing, where they are few."""
    numbers = raw.apply(pd.to_numeric, errors="coerce").astype(float)
    needed = numbers.drop(columns="temperature", errors="ignore")
    wrong = ~np.isfinite(needed).all(axis=1).to_numpy()
    numbers.insert(0, "line", numbers.index.to_numpy() + first)
    if wrong.any():
        column = needed.columns[(~np.isfinite(needed[wrong])).any()][0]
        where = f"no number in {column} at {_lines(numbers['line'][wrong])}"
        if wrong.mean() > _MOST_REPAIRED:
            raise MeasuredDataError(
                f"{path}: {where}: {wrong.mean():.1%} of all rows, must be {_MOST_REPAIRED:.0%} at most"
            )
        notes.append(f"left out {wrong.sum()} rows: {where}")
    return numbers[~wrong].reset_index(drop=True)


def _physical(rows: pd.DataFrame, table: Table, path: Path, notes: list[str]) -> pd.DataFrame:
    """Bring columns to the units of the house."""
    for key in _SCALES.keys() & set(rows.columns):
        rows[key] *= _SCALES[key][getattr(table.units, key)]
    for key in _SCALES.keys() & set(rows.columns):
        endless = rows[key].abs() > _LARGEST
        if endless.any():
            value, where = rows[key][endless].iloc[0], _lines(rows["line"][endless])
            raise MeasuredDataError(
                f"{path}: {key} is {value:g} at {where}; must be between -{_LARGEST:g} and {_LARGEST:g}"
            )
    beyond = (rows["voltage"] < _VOLTAGE[0]) | (rows["voltage"] > _VOLTAGE[1])
    if beyond.any():
        value, hint = rows["voltage"][beyond].iloc[0], ""
        if 1e3 < rows["voltage"].median() < 1e3 * _VOLTAGE[1]:
            hint = "; these look like millivolts: set units.voltage to mV"
        raise MeasuredDataError(
            f"{path}: voltage {value:g} V at {_lines(rows['line'][beyond])}; must be {_VOLTAGE[0]:g} to "
            f"{_VOLTAGE[1]:g} V{hint}"
        )
    if "current" in rows and table.discharge == "negative":
        rows["current"] = -rows["current"]
    if "temperature" not in rows:
        rows["temperature"] = np.nan
    elif table.units.temperature == "K" or rows["temperature"].median() > 200.0:
        if table.units.temperature != "K":
            notes.append(f"temperature is about {rows['temperature'].median():.0f}: taken as kelvin")
        rows["temperature"] -= _KELVIN
    return rows


def _rising(rows: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """Leave out repeated times; refuse time that runs backwards."""
    step = np.diff(rows["time"], prepend=-np.inf)
    if (step < 0.0).any():
        at = rows[step < 0.0]
        raise MeasuredDataError(f"{path}: time runs backwards at {_lines(at['line'])}; must rise from row to row")
    repeated = step == 0.0
    if repeated.mean() > _MOST_REPAIRED:
        raise MeasuredDataError(
            f"{path}: the same time twice at {_lines(rows['line'][repeated])}: {repeated.mean():.1%} of all rows, must "
            f"be {_MOST_REPAIRED:.0%} at most"
        )
    if repeated.any():
        notes.append(f"left out {repeated.sum()} rows: the same time twice at {_lines(rows['line'][repeated])}")
    return rows[~repeated].reset_index(drop=True)


def _gaps(rows: pd.DataFrame, path: Path) -> Iterator[str]:
    """Say where rows are missing under current."""
    step = np.diff(rows["time"])
    if not len(step):
        raise MeasuredDataError(f"{path}: has {len(rows)} rows; must have 2 at least")
    flowing = (rows["current"].to_numpy()[:-1] != 0.0) & (rows["current"].to_numpy()[1:] != 0.0)
    long = flowing & (step > _GAP * np.median(step)) & (step > 60.0)
    if long.any():
        worst = int(np.argmax(np.where(long, step, 0.0)))
        yield (
            f"{long.sum()} gaps under current, the longest {step[worst] / 60.0:.1f} min after line "
            f"{rows['line'].iloc[worst]}"
        )


def _charge(rows: pd.DataFrame, path: Path) -> np.ndarray:
    """Return charge that rises as the cell is charged [A.h], from the current, or as stated where both agree."""
    current, hours = rows["current"].to_numpy(), rows["time"].to_numpy() / 3600.0
    passed = -0.5 * (current[1:] + current[:-1]) * np.diff(hours)
    integral = np.concatenate([[0.0], np.cumsum(passed)])
    if "charge" not in rows:
        return integral
    stated = np.diff(rows["charge"].to_numpy())
    # A counter that starts anew, or counts each direction by itself, goes by its size between two rows of a step.
    same = np.sign(current[1:]) == np.sign(current[:-1])
    flows = same & (np.abs(passed) > 0.0) & (np.abs(stated) < 10.0 * np.quantile(np.abs(stated), 0.99) + 1e-12)
    if not flows.any():
        raise MeasuredDataError(f"{path}: no current flows")
    ratio = np.abs(stated[flows]).sum() / np.abs(passed[flows]).sum()
    if abs(ratio - 1.0) > _CHARGE_TOLERANCE:
        hint = next(
            (f"; set units.charge to {u}" for u, s in _SCALES["charge"].items() if abs(ratio * s - 1) < 0.05), ""
        )
        raise MeasuredDataError(
            f"{path}: the stated charge is {ratio:.4g} times the integral of the current; must agree within "
            f"{_CHARGE_TOLERANCE:.0%}{hint or ': check the units of current, charge and time'}"
        )
    steps = np.where(flows, np.sign(passed) * np.abs(stated), passed)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _lines(lines: pd.Series) -> str:
    """Name lines of a file, the first few."""
    shown = ", ".join(str(line) for line in lines[:_SHOWN])
    more = len(lines) - _SHOWN
    return f"line{'s' * (len(lines) > 1)} {shown}" + (f" and {more} more" if more > 0 else "")


def _chosen(rows: pd.DataFrame, where: Mapping[str, Any], path: Path) -> pd.DataFrame:
    """Return the rows in which some columns have some values."""
    for column, value in where.items():
        if column not in rows:
            raise MeasuredDataError(f"{path}: no column {column!r}; it has {names_of(rows)}")
        try:
            rows = rows[rows[column] == value]
        except (TypeError, ValueError):
            raise MeasuredDataError(
                f"{path}: what column {column!r} holds cannot be held against {value!r}; must be numbers or text"
            ) from None
        if rows.empty:
            raise MeasuredDataError(f"{path}: no row in which {column!r} is {value!r}")
    return rows
