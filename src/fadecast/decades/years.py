"""How years are made of days: its settings, and duty datasets as years, typical days and batches of them."""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from annotated_types import Ge, Gt, Le

from fadecast.cell.model import CellModel
from fadecast.decades.coarser import coarser
from fadecast.decades.leap import DayBatch
from fadecast.decades.macro import Leap
from fadecast.decades.representation import Representation, representation
from fadecast.decades.service import KELVIN
from fadecast.decades.typical_days import TypicalDays, YearOfDuty, choose_typical_days
from fadecast.settings import settings

DAYS_PER_YEAR = 365.0


@settings
class Decades:
    """How years are made of days."""

    mode: Literal["leap", "direct"] = "leap"
    """`leap`: rates of typical days are integrated; `direct`: every day is simulated."""
    typical_days: Annotated[int, Ge(1), Le(363)] = 8
    """Clusters of days of a year; the hottest day and the day of the emptiest store come on top."""
    spin_up_hours: Annotated[float, Gt(0), Le(24)] = 4.0
    """Part of the day before that settles concentrations and temperature before a typical day counts [h]."""
    load_step_minutes: Literal[1, 5, 15, 30, 60] | None = None
    """Load step that packs are followed in [min], whole steps of the duty, whose means they carry; null: that of the
    duty."""
    variance_correction: bool = True
    """Whether ageing sees the swings that means over `load_step_minutes` leave out (`experiments/load_step`)."""
    output_interval_days: Annotated[float, Ge(1), Le(3650)] = 73.0
    """Interval of the forecast's time axis [day]; a fifth of a year by default."""
    leap: Leap = Leap()
    """Macro steps of the leap mode."""
    check_days: Annotated[int, Ge(0), Le(3650)] = 365
    """Days over which 16 lanes are simulated day by day to measure the error of the leap; 0 leaves that out."""


def forecast_times(decades: Decades, years: float) -> np.ndarray:
    """Return the times of a forecast [day], from 0 to the last year."""
    end = years * DAYS_PER_YEAR
    return np.append(np.arange(0.0, end - 1e-6, decades.output_interval_days), end)


def coarseness(decades: Decades, duty: xr.Dataset) -> int:
    """Return how many steps of a duty dataset are in a load step."""
    if decades.load_step_minutes is None:
        return 1
    hour = duty["hour"].values
    return round(decades.load_step_minutes / (60.0 * (hour[1] - hour[0])))


def year_of_duty(duty: xr.Dataset) -> YearOfDuty:
    """Fold the duty of one draw into days."""
    steps = int(np.searchsorted(duty["hour"].values, 24.0))
    names = ("pack_power", "pack_ambient_temperature", "state_of_charge")
    return YearOfDuty(*(duty[name].values.reshape(-1, steps) for name in names))


def represented(decades: Decades, duty: xr.Dataset, draw: int) -> Representation:
    """Compare the year of a draw with the typical days that are chosen for it."""
    year = coarser(year_of_duty(duty.isel(draw=draw)), coarseness(decades, duty))
    steps_per_hour = year.power.shape[1] / 24.0
    return representation(
        year, choose_typical_days(year, decades.typical_days, round(decades.spin_up_hours * steps_per_hour))
    )


def day_batch(typical: list[TypicalDays], cell: CellModel, count: int) -> DayBatch:
    """Typical days of each lane, in watts and kelvins of one cell, filled up to `count` with days of no weight."""
    filled = [days.filled(count) for days in typical]

    def stacked(*values: np.ndarray) -> np.ndarray:
        return np.stack(values, axis=-1)

    def stack(name: str) -> np.ndarray:
        return stacked(*(getattr(days, name) for days in filled))

    return DayBatch(
        weight=jnp.asarray(stack("weight")),
        state_of_charge=jnp.asarray(stack("state_of_charge")),
        power=jnp.asarray(stack("power").swapaxes(0, 1) * cell.nameplate_energy),
        ambient=jnp.asarray(stack("ambient").swapaxes(0, 1) + KELVIN),
        ripple=jax.tree.map(
            lambda *values: jnp.asarray(stacked(*values).swapaxes(0, 1)), *(days.ripple for days in filled)
        ),
    )
