"""Cells at the start of their second life: what their capacity says of the lithium they lost, given lost material."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from fadecast.cell.aged import Diagnosis, Lanes, SlowState, aged_state, fresh_state
from fadecast.cell.health import check_up, fresh_mid_stoichiometry
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel

DEAD_SHARE = 0.5
"""Of the lithium lost in a first life, what is dead, and neither film nor inside lost material [1]. Assumed: capacity
does not tell; what a thicker film makes of growth is part of how film growth departs from its law."""

Met = Bool[Array, " lanes"]
_ROUNDS = 8
_CLOSE = 1e-3
"""Largest difference from the capacity asked for, over that of a new cell [1]."""
_SPAN = (0.01, 0.9)
"""Lithium lost that is looked at [1]."""


def second_life(cell: CellModel, lam_ne: Lanes, start_soh: Lanes, inputs: Inputs) -> tuple[SlowState, Met]:
    """Return cells of a given capacity that have lost some negative material.

    What lithium they have lost is found by the secant method.

    Parameters
    ----------
    lam_ne
        Negative active material lost [1].
    start_soh
        Capacity over that of a new cell [1].
    inputs
        PyBaMM input parameters, each `(1, lanes)`.

    Returns
    -------
    The slow state, and whether it has the capacity: not where the negative electrode that is left takes too little
    lithium.
    """
    return _second_life(cell, lam_ne, start_soh, dict(inputs), fresh_mid_stoichiometry(cell))


@partial(jax.jit, static_argnums=(0, 4))
def _second_life(
    cell: CellModel, lam_ne: Lanes, start_soh: Lanes, inputs: dict[str, jax.Array], middle: tuple[float, float]
) -> tuple[SlowState, Met]:
    lanes = lam_ne.shape[1]
    fresh = fresh_state(cell, lanes, inputs)
    new = check_up(cell, fresh, inputs).capacity
    none = jnp.zeros_like(lam_ne)

    def state(lli: Lanes) -> SlowState:
        dead = jnp.full_like(lli, DEAD_SHARE)
        return aged_state(cell, Diagnosis(lli, lam_ne, none, dead, fresh.crack_length), middle, inputs)

    def surplus(lli: Lanes) -> Lanes:
        return check_up(cell, state(lli), inputs).capacity / new - start_soh

    def advance(_: int, carry: tuple[Lanes, Lanes, Lanes, Lanes]) -> tuple[Lanes, Lanes, Lanes, Lanes]:
        before, at, there, here = carry
        slope = (here - there) / jnp.where(at == before, 1.0, at - before)
        # Capacity falls as lithium is lost, if slowly where the negative electrode limits it.
        following = jnp.clip(at - here / jnp.minimum(slope, -0.1), *_SPAN)
        return at, following, here, surplus(following)

    first = jnp.clip(1.0 - start_soh, *_SPAN)
    second = first + 0.02
    _, found, _, left = jax.lax.fori_loop(0, _ROUNDS, advance, (first, second, surplus(first), surplus(second)))
    return state(found), jnp.abs(left[0]) <= _CLOSE
