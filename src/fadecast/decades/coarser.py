"""A year of duty in longer load steps, and what they lose of it."""

import jax
import numpy as np

from fadecast.cell.model import CellModel
from fadecast.cell.ripple import Ripple, unresolved
from fadecast.decades.typical_days import YearOfDuty


def coarser(duty: YearOfDuty, factor: int) -> YearOfDuty:
    """Return a duty as means over some of its steps; state of charge is that at the start of each."""
    if factor == 1:
        return duty
    days = len(duty.power)
    power, ambient = (values.reshape(days, -1, factor).mean(axis=2) for values in (duty.power, duty.ambient))
    return YearOfDuty(power, ambient, duty.state_of_charge[:, ::factor])


def ripple_of_year(cell: CellModel, duty: YearOfDuty, factor: int) -> Ripple:
    """Return what a `coarser` duty loses of the power of a cell, fields `(days, coarse steps)`; the year repeats."""
    return ripple_of_days(cell, duty, np.arange(len(duty.power)), 0, factor)


def ripple_of_days(cell: CellModel, duty: YearOfDuty, day: np.ndarray, spin_up: int, factor: int) -> Ripple:
    """Return what a `coarser` duty loses of the power of a cell on some days.

    The day before is followed with each day, so that surfaces remember it.

    Parameters
    ----------
    duty
        In its own steps.
    day
        Index of each day in the year, shape `(days,)`.
    spin_up
        Coarse steps of the day before that are wanted too.
    factor
        Steps of the duty in a coarse one.

    Returns
    -------
    Ripple
        Fields `(days, spin_up + coarse steps)`.
    """
    steps = duty.power.shape[1]
    wanted = spin_up + steps // factor
    power = duty.power * cell.nameplate_energy
    each = [
        unresolved(cell, np.concatenate([power[which - 1], power[which]]), 86400.0 / steps, factor) for which in day
    ]
    return jax.tree.map(lambda *values: np.stack([value[-wanted:] for value in values]), *each)
