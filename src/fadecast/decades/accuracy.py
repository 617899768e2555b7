"""What a macro step of the leap is off, in what a forecast is read for: capacity and resistance."""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from fadecast.cell.aged import SlowState, cyclable_lithium
from fadecast.cell.health import check_up
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel

T = TypeVar("T")

_RESISTANCE_SHARE = 0.1
"""An error of 1 % in resistance counts as one of 0.1 percentage points of SOH."""


class Rates(NamedTuple):
    """Rates about one Heun step, each a state of the same structure."""

    here: object
    """At its start."""
    ahead: object
    """At the end that Euler's method predicts."""
    there: object
    """At its end."""


def heun_error(step: float, rates: Rates, before: tuple[float, T] | None) -> T:
    """Estimate the error of the second-order result of a Heun step: what it has less than the solution.

    Heun's method takes the rate at a predicted end, which costs h/2 (f(there) - f(ahead)) against the trapezoidal
    rule; this has an error of -h³/12 y''' (Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, III.1),
    whose third derivative is the second divided difference of the rates about this step and the one before. Both parts
    are of third order, where the difference to Euler's method is of second.

    Parameters
    ----------
    step
        Length h [day].
    rates
        Per day.
    before
        Length of the step before and the rate at its start; without one the second part is left out.
    """

    def first(ahead: np.ndarray, there: np.ndarray) -> np.ndarray:
        return 0.5 * step * (there - ahead)

    error: T = jax.tree.map(first, rates.ahead, rates.there)
    if before is None:
        return error
    length, earlier = before

    def second(error: np.ndarray, earlier: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
        bend = ((there - here) / step - (here - earlier) / length) / (step + length)
        return error - step**3 / 6.0 * bend

    return jax.tree.map(second, error, earlier, rates.here, rates.there)


def deviation(cell: CellModel, inputs: Inputs, one: SlowState, other: SlowState) -> Float[np.ndarray, " lanes"]:
    """Compare two slow states: the largest difference in SOH, a tenth of that in resistance, inventory and material.

    Inventory and active materials count although a check-up may not see them: what limits a cell later is found there.

    Returns
    -------
    In fractions of the first-life cell; of resistance, of the first state's [1].
    """
    return np.asarray(_deviation(cell, inputs, one, other))


@partial(jax.jit, static_argnums=0)
def _deviation(cell: CellModel, inputs: Inputs, one: SlowState, other: SlowState) -> jax.Array:
    here, there = check_up(cell, one, inputs), check_up(cell, other, inputs)
    apart = [
        (there.capacity - here.capacity) / cell.nominal_capacity,
        _RESISTANCE_SHARE * (there.resistance - here.resistance) / here.resistance,
        (cyclable_lithium(cell, other) - cyclable_lithium(cell, one)) / cell.fresh_lithium,
        (other.active_fraction_ne - one.active_fraction_ne) / cell.negative.active_fraction,
        (other.active_fraction_pe - one.active_fraction_pe) / cell.positive.active_fraction,
    ]
    return jax.numpy.abs(jax.numpy.concatenate(apart)).max(axis=0)
