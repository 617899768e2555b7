"""The cell model and how it is operated, as settings and as what a forecast runs."""

import xarray as xr

from fadecast.cell.control import Limits
from fadecast.cell.model import CONTACT_RESISTANCE, CellModel, Chemistry
from fadecast.cell.profile import Stepping
from fadecast.cell.series import Series
from fadecast.decades.service import Operation
from fadecast.decades.years import Decades, coarseness
from fadecast.settings import settings


@settings
class Cell:
    """The cell model and how it is operated."""

    chemistry: Chemistry = Chemistry()
    """PyBaMM model and parameter set."""
    limits: Limits = Limits()
    """Limits of the battery management system."""
    stepping: Stepping = Stepping()
    """Division of a load step into time steps."""


def make_operation(
    cell: CellModel, settings: Cell, decades: Decades, duty: xr.Dataset, population: xr.Dataset
) -> Operation:
    """Operate a lowered cell under a duty dataset, in packs as a population has them."""
    hour = duty["hour"].values
    load_step = float(3600.0 * (hour[1] - hour[0])) * coarseness(decades, duty)
    if "group" not in population.dims:
        return Operation(cell, settings.limits, settings.stepping, load_step)
    series = Series(tuple(float(weight) for weight in population["group_weight"].values))
    bleed = float(population["balancing"]) * cell.nominal_capacity
    return Operation(cell, settings.limits, settings.stepping, load_step, series, bleed)


def varied_parameters(population: xr.Dataset) -> tuple[str, ...]:
    """Names of the PyBaMM parameters that a population dataset varies."""
    kinds = population["parameter_kind"].values
    names = population["parameter"].values
    return tuple(
        str(name) for name, kind in zip(names, kinds, strict=True) if kind == "rate" or name == CONTACT_RESISTANCE
    )
