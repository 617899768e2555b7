"""The slow charge or discharge in a cycler's table, from which the state of electrodes is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from fadecast.measured.catalogue import MeasuredDataError

Direction = Literal["charge", "discharge"]

_CONSTANT = 0.05
"""Share by which a constant current may vary."""
_FEWEST = 100
_OFFSET = 0.01
"""Share of the largest current that counts as rest."""
_FLICKER = 0.01
"""Share of a stretch's charge that may pass off the level without an end."""
_SLOWEST = 1.0 / 300.0
"""Of nominal capacity per hour: what is slower is an offset at rest."""
_LEAST_SPAN = 0.02  # [V]
_FASTEST = 0.2
"""Of nominal capacity per hour: what is faster is no slow curve."""
_WRONG_WAY = 0.02
"""Share of the rise and fall of voltage that may be against the current: noise."""
_PARTIAL = 0.8
"""Share of nominal capacity below which a curve is said to be partial."""


@dataclass(frozen=True)
class SlowCurve:
    """A slow curve at constant current, in the order of measurement."""

    charge: Float[np.ndarray, " n"]
    """Passed, rising as the cell is charged [A.h]."""
    voltage: Float[np.ndarray, " n"]
    """[V]."""
    current: float
    """Mean size, NaN where not measured [A]."""
    temperature: float
    """Mean, NaN where not measured [degC]."""
    notes: tuple[str, ...]
    """What was chosen, and what a reader of results should know."""


def slow_curve(rows: pd.DataFrame, direction: Direction, nominal_capacity: float, path: Path) -> SlowCurve:
    """Find the longest stretch of constant current in a direction.

    Parameters
    ----------
    rows
        Of `fadecast.measured.cycler.read_cycling`.
    direction
        `charge` or `discharge`.
    nominal_capacity
        Of the cell [A.h].
    path
        For messages.

    Raises
    ------
    MeasuredDataError
        When there is none, it is too fast or too short, or voltage goes against the current.
    """
    if "time" not in rows:
        return _untimed(rows, nominal_capacity, path)
    stretch = _longest(rows, -1.0 if direction == "charge" else 1.0)
    if len(stretch) < _FEWEST:
        raise MeasuredDataError(
            f"{path}: the longest {direction} at constant current has {len(stretch)} rows; must have {_FEWEST} at "
            f"least. Its currents are from {rows['current'].min():g} to {rows['current'].max():g} A, discharge"
            " positive: is the sign right (table.discharge)?"
        )
    current, charge = float(stretch["current"].abs().mean()), stretch["charge"].to_numpy()
    voltage, passed = stretch["voltage"].to_numpy(), abs(charge[-1] - charge[0])
    lines = f"lines {stretch['line'].iloc[0]} to {stretch['line'].iloc[-1]}"
    _check_direction(voltage, direction, f"{path}, {lines}")
    if current > _FASTEST * nominal_capacity:
        raise MeasuredDataError(
            f"{path}: the {direction} of {lines} runs at {current / nominal_capacity:.2g} of nominal capacity per "
            f"hour; must be {_FASTEST:g} at most to tell the state of the electrodes (check nominal_capacity and units)"
        )
    if current < _SLOWEST * nominal_capacity:
        raise MeasuredDataError(
            f"{path}: the {direction} of {lines} runs at {current:.3g} A, {current / nominal_capacity:.2g} of nominal "
            f"capacity per hour; must be {_SLOWEST:.2g} at least (check nominal_capacity, units and rows)"
        )
    notes = [f"{direction} of {lines}: {passed:.4g} A.h at C/{nominal_capacity / current:.0f}"]
    if passed < _PARTIAL * nominal_capacity:
        notes.append(f"a partial curve: {passed / nominal_capacity:.0%} of nominal capacity")
    temperature = stretch["temperature"].mean()
    return SlowCurve(charge, voltage, current, float(temperature), tuple(notes))


def _untimed(rows: pd.DataFrame, nominal_capacity: float, path: Path) -> SlowCurve:
    """Take a whole table as one curve of voltage over charge."""
    charge, voltage = rows["charge"].to_numpy(), rows["voltage"].to_numpy()
    if len(rows) < _FEWEST:
        raise MeasuredDataError(f"{path}: a curve of {len(rows)} rows; must have {_FEWEST} at least")
    order = np.argsort(charge, kind="stable")
    _check_direction(voltage[order], "charge", f"{path}, all lines by rising charge")
    passed = float(np.ptp(charge))
    if passed <= 0.0:
        raise MeasuredDataError(f"{path}: a curve over no charge; must pass some")
    notes = [f"{len(rows)} rows over {passed:.4g} A.h"]
    if passed < _PARTIAL * nominal_capacity:
        notes.append(f"a partial curve: {passed / nominal_capacity:.0%} of nominal capacity")
    return SlowCurve(charge, voltage, np.nan, float(rows["temperature"].mean()), tuple(notes))


def _longest(rows: pd.DataFrame, sign: float) -> pd.DataFrame:
    """Return the stretch over which most charge passes at constant current of a sign, without a break."""
    current, charge = sign * rows["current"].to_numpy(), rows["charge"].to_numpy()
    # An offset of the cycler at rest is no current.
    flowing = current > _OFFSET * np.abs(current).max()
    found, most = rows.iloc[:0], 0.0
    for start, end in _runs(flowing):
        passed = np.abs(np.diff(charge[start:end], prepend=charge[start]))
        level = _weighted_median(current[start:end], passed)
        steady = np.abs(current[start:end] - level) <= _CONSTANT * level
        for first, last in _joined(_runs(steady), charge[start:end]):
            whole = abs(charge[start + last - 1] - charge[start + first])
            if whole > most:
                found, most = rows.iloc[start + first : start + last][steady[first:last]], whole
    return found


def _joined(runs: list[tuple[int, int]], charge: Float[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Join runs between which next to no charge passes: a row or two off the level are no end."""
    little = _FLICKER * abs(charge[-1] - charge[0])
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and abs(charge[first] - charge[joined[-1][1] - 1]) < little:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _runs(flags: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Return where stretches of true begin, and where they are over."""
    steps = np.diff(np.concatenate([[0], flags.astype(int), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def _weighted_median(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]) -> float:
    """Return the value at which half the charge has passed: rows are logged more often where little flows."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])


def _check_direction(voltage: Float[np.ndarray, " n"], direction: Direction, place: str) -> None:
    if np.ptp(voltage) < _LEAST_SPAN:
        raise MeasuredDataError(f"{place}: voltage spans {np.ptp(voltage):.3g} V; must change to tell of electrodes")
    smooth = voltage[:: max(1, len(voltage) // 50)]
    steps = np.diff(smooth) if direction == "charge" else -np.diff(smooth)
    against = -steps[steps < 0.0].sum() / max(np.abs(steps).sum(), 1e-12)
    if against > 0.5:
        raise MeasuredDataError(
            f"{place}: voltage goes from {voltage[0]:.3f} to {voltage[-1]:.3f} V on {direction}: the current is "
            "reversed; set table.discharge to the other sign"
        )
    if against > _WRONG_WAY:
        raise MeasuredDataError(
            f"{place}: {against:.0%} of the movement of voltage is against the {direction}; must be {_WRONG_WAY:.0%} "
            "at most: this is no single slow curve"
        )
