"""Measured second life of lithium iron phosphate cells that were worn by fast charging."""

import numpy as np
import pandas as pd

from fadecast.measured.catalogue import MeasuredDataError, check_columns, fetch, names_of

_SET = "uconn_lfp_first_second_life"
_THROUGHPUT, _HOURS = "Ampere-Hour Throughput (Ah)", "Total Time Elapsed (h)"
_RANGES = {_THROUGHPUT: (0.0, 1000.0), _HOURS: (0.0, 400.0), "RPT Number": (1, 200)}
_CAPACITY = (0.3, 1.4)
_GENTLE = 0.6
"""Mean current below which a week is one of second life [A]: its cells are cycled at 0.6 A, those before at 1.6 A or
more."""
_IDLE = 0.1
"""Mean current below which nothing was logged [A]."""
_RECOVERY = 7
"""Check-ups after the switch among which the capacity is highest."""
_SPENT = 0.70
"""Capacity over that at the start at which a series ends: half of what the cell was new, and in no use any more."""


def uconn_second_life() -> pd.DataFrame:
    """Return the capacity of cells in a second life at half their nominal capacity in an hour (Navidi et al. 2025).

    Cells of 1.2 A.h, three of each protocol of fast charging, went on at 0.6 A when they had 66 to 81 % of their first
    capacity left. Capacity, at C/3, rises by one to four percent in the weeks after, which loss of lithium or material
    cannot: a series starts where it is highest, and ends before 30 % of that is lost. Time is that of cycling; where
    the log leaves out a check-up, the interval is taken to be as long as the mean of the one before and the one after.

    Returns
    -------
    Columns `group` (of the first life), `cell`, `days`, `capacity` [A.h], and `start_soh`, the first of these over the
    first measured in the first life [1]; cells that never switched are left out.

    Raises
    ------
    MissingDataError, MeasuredDataError
        When the file is not there or not as expected.
    """
    path = fetch(_SET)["batch1_cycling_rpt.csv"]
    frame = pd.read_csv(path)
    # Of tests that went on when the file was made capacities are empty.
    known = frame.dropna(subset=["Capacity"]) if "Capacity" in frame else frame
    check_columns(known, path.name, _RANGES | {"Capacity": _CAPACITY})
    for column in ("Group", "Cell"):
        if column not in known:
            raise MeasuredDataError(f"{path.name}: no column {column!r}; it has {names_of(known)}")
    parts = [_second_life(cell) for _, cell in known.groupby(["Group", "Cell"])]
    # A start alone says nothing of what is lost after it.
    if not (found := [part for part in parts if len(part) > 1]):
        raise MeasuredDataError(f"{path.name}: no cell goes on at less than {_GENTLE} A to the end")
    return pd.concat(found, ignore_index=True)


def _second_life(cell: pd.DataFrame) -> pd.DataFrame:
    rows = cell.sort_values("RPT Number")
    current = rows[_THROUGHPUT].to_numpy() / rows[_HOURS].to_numpy()
    fast = np.flatnonzero(current >= _GENTLE)
    first = fast.max(initial=-1) + 1
    gentle = rows.iloc[first:]
    if not len(fast) or not len(gentle) or (current[first:] < _IDLE).any():
        return rows.iloc[:0]
    number, hours = gentle["RPT Number"].to_numpy(), gentle[_HOURS].to_numpy().copy()
    missing = np.diff(number, prepend=number[0] - 1) - 1
    hours[1:] += missing[1:] * 0.5 * (hours[1:] + hours[:-1])
    start = int(np.argmax(gentle["Capacity"].to_numpy()[:_RECOVERY]))
    spent = np.flatnonzero(gentle["Capacity"].to_numpy() < _SPENT * gentle["Capacity"].iloc[start])
    end = int(spent[spent > start].min(initial=len(gentle)))
    kept = gentle.iloc[start:end]
    days = np.cumsum(hours[start:end]) / 24.0
    return pd.DataFrame(
        {
            "group": kept["Group"],
            "cell": kept["Cell"],
            "days": days - days[0],
            "capacity": kept["Capacity"],
            "start_soh": kept["Capacity"].iloc[0] / rows["Capacity"].iloc[0],
        }
    )
