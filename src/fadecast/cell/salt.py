"""How much current the salt of an electrolyte carries.

Salt is drawn from one collector and gathers at the other. Where it runs out, or no longer dissolves, the voltage of a
cell ends the current. A single-particle model takes means over an electrode, and its voltage does not see the
collectors; so its current is kept to what the salt allows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.ageing import rates_of
from fadecast.cell.control import Bounds
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, POROSITY, CellModel
from fadecast.cell.modes import diffusion_modes, relative_exchange
from fadecast.cell.pieces import Pieces

_STEPS = 4
_GAMMA = 1.0 - 0.5**0.5

Lanes = Float[Array, "1 lanes"]


class _Exchange(NamedTuple):
    """What neighbouring rows of the electrolyte exchange at a profile, `(rows, lanes)` [1/s]."""

    below: Float[Array, "rows lanes"]
    """What each row gets from the one before; nothing the first."""
    here: Float[Array, "rows lanes"]
    """What it loses."""
    above: Float[Array, "rows lanes"]
    """What it gets from the next; nothing the last."""

    def __call__(self, profile: Float[Array, "rows lanes"]) -> Float[Array, "rows lanes"]:
        """Return how fast a profile changes."""
        before, after = (jnp.roll(profile, by, axis=0) for by in (1, -1))
        return self.below * before + self.here * profile + self.above * after

    def implicit(self, step: Float[Array, ""], right: Float[Array, "rows lanes"]) -> Float[Array, "rows lanes"]:
        """Solve `x - step self(x) = right`."""
        before, here, after = (-step * self.below).T, (1.0 - step * self.here).T, (-step * self.above).T
        return jax.lax.linalg.tridiagonal_solve(before, here, after, right.T[..., None])[..., 0].T

    def after(self, source: Float[Array, "rows lanes"], seconds: Float[Array, ""]) -> Float[Array, "rows lanes"]:
        """Return what a constant source adds in some time.

        By the L-stable method of second order of two stages (Alexander, SIAM J. Numer. Anal. 14, 1006, 1977,
        doi:10.1137/0714068), which is exact where the profile comes to rest.
        """
        step, total = seconds / _STEPS, jnp.zeros_like(source)
        for _ in range(_STEPS):
            first = self.implicit(_GAMMA * step, self(total) + source)
            second = self.implicit(_GAMMA * step, self(total + (1.0 - _GAMMA) * step * first) + source)
            total = total + step * ((1.0 - _GAMMA) * first + _GAMMA * second)
        return total


def carried_by_salt(
    cell: CellModel,
    allowed: tuple[float, float],
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    horizon: Float[Array, ""],
) -> Bounds:
    """Find the currents that, held for a horizon, keep the concentration of salt in a range everywhere.

    Diffusion is linearised at the profile: as salt gets scarce it diffuses faster, so that more is left.

    Parameters
    ----------
    allowed
        Lowest and highest concentration [mol.m-3].
    inputs
        PyBaMM input parameters except the current, each `(1, lanes)`.
    horizon
        [s]
    """
    still = jnp.zeros_like(y[:1])
    block = next(block for block in diffusion_modes(cell) if block.rows == cell.rows["electrolyte"])

    def rates(profile: Float[Array, "rows lanes"], current: Lanes) -> Float[Array, "rows lanes"]:
        state = Pieces(y).replace((block.rows, profile))
        return rates_of(cell, cell.rates(state, {**inputs, CURRENT: current}))[block.rows]

    profile = y[block.rows]
    ratios = relative_exchange(block, lambda salt: rates(salt, still), profile)
    above, below = jnp.split(ratios * jnp.asarray(np.concatenate([block.above, block.below]), y.dtype), 2)
    ends, weights = jnp.zeros_like(still), jnp.asarray(block.weights, y.dtype)
    above, below = jnp.concatenate([above, ends]), jnp.concatenate([ends, below])
    # What the neighbours get: diffusion conserves.
    lost = jnp.roll(weights * above, 1, axis=0) + jnp.roll(weights * below, -1, axis=0)
    exchange = _Exchange(below, -lost / weights, above)
    at_rest, by_ampere = jax.jvp(lambda current: rates(profile, current), (still,), (jnp.ones_like(still),))
    pores = cell.evaluate(y, {**inputs, CURRENT: still})[POROSITY]
    then, gained = profile + exchange.after(at_rest, horizon), exchange.after(by_ampere, horizon)
    least, most = (cell.scaled(each * pores, "electrolyte") for each in allowed)
    left, room = jnp.maximum(then - least, 0.0), jnp.maximum(most - then, 0.0)

    def largest(rising: Float[Array, "rows lanes"], falling: Float[Array, "rows lanes"]) -> Lanes:
        spare, by_ampere = jnp.where(gained > 0.0, rising, falling), jnp.abs(gained)
        amperes = jnp.where(by_ampere > 0.0, spare / jnp.where(by_ampere > 0.0, by_ampere, 1.0), jnp.inf)
        return amperes.min(axis=0, keepdims=True)

    return Bounds(-largest(left, room), largest(room, left))
