"""Cells whose fade is forecast and scored: what was done to them, what was measured, and what may be known of them."""

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le, MinLen
from jaxtyping import Float

from fadecast.calibrating import Name
from fadecast.calibration.joint_model import conditions
from fadecast.calibration.makes import MAKES, MakeName
from fadecast.calibration.shipped_rates import NEAR
from fadecast.decades.regimes import CyclingStep, Fraction
from fadecast.document import Document, shown
from fadecast.locations import beside
from fadecast.measured import lgm50, sony_lfp, uconn_lfp
from fadecast.settings import settings
from fadecast.table_file import read_table

SetName = Literal[
    "kuzhiyil2024_lgm50_calendar",
    "kirkaldy2024_lgm50t_expt2_2",
    "schimpe2018_lfp_calendar",
    "uconn_lfp_first_second_life",
]
_LGM50_STORED, _LGM50_CYCLED, _LFP_STORED, _LFP_SECOND_LIFE = get_args(SetName)
_STORED_SETS = (_LGM50_STORED, _LFP_STORED)
STORED = CyclingStep(rest=True, hours=24.0)
SECOND_LIFE_STEPS = CyclingStep(c_rate=0.5, until_voltage=2.0), CyclingStep(c_rate=-0.5, until_voltage=3.6)
"""Of iron phosphate in a second life, by full cycles; at which voltages they were ended is not known, so that they are
taken to be the limits of the parameter set."""
SECOND_LIFE_CELSIUS = 25.0
"""Not recorded: that of a laboratory."""
_SECOND_LIFE_SOH = (0.72, 0.81)
"""Capacity over that of a new cell at the start of a second life that was measured [1]."""
_SECOND_LIFE_DAYS = 117.0
"""Longest second life that was measured [day]."""


@settings
class MeasuredFade:
    """Capacity of a cell at its check-ups."""

    file: str
    """CSV beside the score file."""
    days: str = "days"
    """Column of the time since the start [day]; the first row is the start."""
    capacity: str = "capacity"
    """Column of the capacity, in any unit."""


@settings
class CellUnderTest:
    """A cell, what is done to it, and what was measured of it."""

    name: Name
    """Names the cell in results."""
    make: MakeName = "lgm50"
    """Make that it is of, or is taken to age like."""
    ambient: Annotated[float, Ge(-40.0), Le(80.0)]
    """Temperature [degC]."""
    start_soc: Fraction
    """State of charge at which a repeat begins, or the cell is stored [1]."""
    start_soh: Annotated[float, Ge(0.5), Le(0.95)] | None = None
    """Capacity over that of a new cell where it starts a second life, of make `lfp` only [1]; none where it is new."""
    steps: Annotated[tuple[CyclingStep, ...], MinLen(1)] = (STORED,)
    """What is repeated until the last check-up; by default storage."""
    check_up_days: tuple[Annotated[float, Gt(0.0), Le(36_525.0)], ...] = ()
    """Times of check-ups [day]; those of `measured` where there is no need for others."""
    check_up_cycles: tuple[Annotated[float, Gt(0.0), Le(1e6)], ...] = ()
    """Check-ups by equivalent full cycles of nominal capacity, in place of days."""
    check_ups_age: bool = True
    """Whether each check-up ages the cell as those of fitted cells did; false where times are for reading only."""
    measured: MeasuredFade | None = None
    """What was measured; without it the cell is forecast and not scored."""


class Case(NamedTuple):
    """A cell to forecast."""

    name: str
    group: str
    """Set that it is of, or `cells`."""
    ambient: float
    """[degC]"""
    start_soc: float
    steps: tuple[CyclingStep, ...]
    days: Float[np.ndarray, " time"]
    """Check-ups [day], from 0; empty where they are by cycles."""
    cycles: Float[np.ndarray, " time"]
    """Check-ups by equivalent full cycles, from 0; empty where they are by days."""
    measured: Float[np.ndarray, " time"] | None
    """Retention at the check-ups [1]."""
    without: str | None
    """Fitted condition that the forecast may not know of; none for a cell that is of none."""
    check_ups_age: bool = True
    """Whether each check-up ages the cell as those of fitted cells did."""
    make: str = "lgm50"
    start_soh: float | None = None
    """Capacity at the start over that of a new cell; none where it is new [1]."""


def beyond_fitted(case: Case) -> Iterator[str]:
    """Say where a cell is asked for more than the fitted cells were."""
    make, worn = MAKES[case.make], case.start_soh is not None
    low, high = (SECOND_LIFE_CELSIUS - NEAR, SECOND_LIFE_CELSIUS + NEAR) if worn else make.celsius
    if not low <= case.ambient <= high:
        yield f"temperature outside {low:g} to {high:g} degC"
    least, most = _SECOND_LIFE_SOH
    if case.start_soh is not None and not least <= round(case.start_soh, 2) <= most:
        yield f"start_soh outside {least:g} to {most:g}"
    if case.group == "cells" and case.steps != (SECOND_LIFE_STEPS if worn else (STORED,)):
        yield make.cycled_by
    longest = _SECOND_LIFE_DAYS if worn else make.days
    if len(case.days) and case.days[-1] > longest:
        yield f"longer than {longest:g} days"


def may_know(case: Case, other: Case) -> bool:
    """Tell whether a rival's forecast of a cell may know another: stored as warm, or cycled under another condition."""
    if other.group != case.group or other.name == case.name:
        return False
    if case.group in _STORED_SETS:
        return abs(other.ambient - case.ambient) <= NEAR
    return other.without != case.without


def measured_fade(fade: MeasuredFade, document: Document, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Read check-up days, from 0, and retention [1]; `key` is that of the score file.

    Raises
    ------
    InputError
        When the file is not there or not what it should be.
    """
    try:
        path = beside(document.path.resolve().parent, fade.file)
    except ValueError as error:
        raise document.refuse([f"{key}.file: got {shown(fade.file)}, which {error}"]) from None
    try:
        table = read_table(path)[[fade.days, fade.capacity]].apply(pd.to_numeric, errors="coerce")
    except (OSError, KeyError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise document.refuse([f"{key}: {fade.file}: {reason}; must be a CSV file with these columns"]) from None
    values = table.to_numpy(float)
    days, capacity = values.T
    sound = len(days) > 1 and np.isfinite(values).all() and (np.diff(days) > 0.0).all() and (capacity > 0).all()
    if not sound:
        raise document.refuse(
            [
                f"{key}: {fade.file}: must have two rows at least, numbers only, {fade.days!r} rising and "
                f"{fade.capacity!r} positive"
            ]
        )
    return days - days[0], capacity / capacity[0]


def case_of(cell: CellUnderTest, document: Document, key: str) -> Case:
    """Return a cell of a score file, which has it under `key`.

    Raises
    ------
    InputError
        When what was measured of it is not there or not what it should be.
    """
    days, measured = np.array([0.0, *cell.check_up_days]), None
    if cell.measured is not None:
        days, measured = measured_fade(cell.measured, document, f"{key}.measured")
    cycles = np.array([0.0, *cell.check_up_cycles]) if cell.check_up_cycles else np.empty(0)
    if len(cycles) and measured is not None and len(measured) != len(cycles):
        raise document.refuse(
            [
                f"{key}.check_up_cycles: has {len(cycles) - 1} check-ups; must have those of measured, "
                f"{len(measured) - 1} after the start"
            ]
        )
    at = np.empty(0) if len(cycles) else days
    held = cell.name, "cells", cell.ambient, cell.start_soc, cell.steps
    return Case(*held, at, cycles, measured, None, cell.check_ups_age, cell.make, cell.start_soh)


def stored_name(temperature: float, charge: float) -> str:
    """Name a storage condition."""
    return f"{temperature:g} degC, {100.0 * charge:g}%"


def cases_of(name: SetName) -> Iterator[Case]:
    """Yield the cells of a measured set, each to be forecast without its own condition.

    Raises
    ------
    MissingDataError, MeasuredDataError
        When a file is not there or not as expected.
    """
    if name == _LGM50_CYCLED:
        yield from cycled_cases()
    elif name == _LGM50_STORED:
        yield from _stored_cases(name, "lgm50", lgm50.lgm50_calendar().dropna())
    elif name == _LFP_SECOND_LIFE:
        yield from _second_life_cases()
    else:
        yield from _stored_cases(name, "lfp", sony_lfp.sony_lfp_calendar())


def _stored_cases(group: SetName, make: MakeName, calendar: pd.DataFrame) -> Iterator[Case]:
    for _, data in calendar.groupby(["temperature", "soc"]):
        temperature, soc = (float(data[name].iloc[0]) for name in ("temperature", "soc"))
        held = stored_name(temperature, soc)
        days, capacity = data["days"].to_numpy(), data["capacity"].to_numpy()
        place = group, temperature, soc, (STORED,), days, np.empty(0), capacity / capacity[0]
        yield Case(held if make == "lgm50" else f"{make} {held}", *place, held, make=make)


def cycled_steps(hours: float) -> tuple[CyclingStep, ...]:
    """Return what cells cycled between 70 and 85 % of charge went through in a cycle of so many hours."""
    charge, discharge = CyclingStep(c_rate=-0.3, until_soc=0.85), CyclingStep(c_rate=1.0, until_soc=0.70)
    return charge, discharge, CyclingStep(rest=True, hours=round(hours - 0.15 / 0.3 - 0.15, 2))


def cycled_cases() -> Iterator[Case]:
    """Cells of LG M50T cycled between 70 and 85 % of charge, each without those at its temperature."""
    cells = list(lgm50.lgm50_cycling().groupby("cell"))
    temperatures = np.array([data["surface_temperature"].mean() for _, data in cells])
    for (name, data), celsius, group in zip(cells, temperatures, conditions(temperatures, NEAR), strict=True):
        days, capacity = data["days"].to_numpy(), data["capacity"].to_numpy()
        steps = cycled_steps(24.0 * days[-1] / float(data["cycles"].iloc[-1]))
        retention = capacity / capacity[0]
        yield Case(f"cell {name}", _LGM50_CYCLED, celsius, 0.70, steps, days, np.empty(0), retention, f"cycled {group}")


def _second_life_cases() -> Iterator[Case]:
    """Cells of iron phosphate in a second life, each without those of its first life's protocol."""
    table = uconn_lfp.uconn_second_life()
    groups = sorted(table["group"].unique())
    for (group, name), data in table.groupby(["group", "cell"]):
        days, capacity = data["days"].to_numpy(), data["capacity"].to_numpy()
        held = f"lfp {group} {name}", _LFP_SECOND_LIFE, SECOND_LIFE_CELSIUS, 1.0, SECOND_LIFE_STEPS
        yield Case(
            *held,
            days,
            np.empty(0),
            capacity / capacity[0],
            f"cycled {groups.index(group)}",
            make="lfp",
            start_soh=float(data["start_soh"].iloc[0]),
        )
