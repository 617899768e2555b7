"""The terminals, linearised: voltage and algebraic states as functions of the current at fixed differential states.

With current as the input a single-particle model is an ordinary differential equation but for the surface forms and
composite electrodes, which add a few algebraic states. Those are solved along with the current, by Newton's method.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.coupled import Coupled
from fadecast.cell.elimination import eliminate, layout
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.pieces import State, pieces_of

Lanes = Float[Array, "1 lanes"]

_LONGEST_STEP = 0.05  # [V]


class Terminals(NamedTuple):
    """Voltage and algebraic states, linear in the current about the one they were evaluated at."""

    voltage: Lanes
    """At that current, algebraic states made consistent to first order [V]."""
    slope: Lanes
    """Derivative of the voltage with respect to the current, algebraic states following [V.A-1]."""
    algebraic: Float[Array, "n lanes"]
    """Algebraic states at that current."""
    algebraic_slope: Float[Array, "n lanes"]
    """Their derivative with respect to the current."""

    def at(self, change: Lanes) -> tuple[Lanes, Float[Array, "n lanes"]]:
        """Voltage and algebraic states after a change of the current [A]."""
        return self.voltage + self.slope * change, self.algebraic + self.algebraic_slope * change


def algebraic_rows(cell: CellModel) -> slice:
    """Rows of the algebraic states."""
    return slice(cell.differential, len(cell.initial_state))


def with_algebraic(cell: CellModel, y: State, algebraic: Float[Array, "n lanes"]) -> State:
    """Return a state with the algebraic states, and with what else is solved along with them."""
    return pieces_of(y).solved(algebraic_rows(cell), algebraic) if len(algebraic) else y


def linearised(cell: CellModel, y: State, inputs: Inputs, current: Lanes) -> Terminals:
    """Take one Newton step of the algebraic states and linearise the terminals in the current.

    Potentials move by at most 50 mV, since exchange currents are exponential in them.
    """
    where = algebraic_rows(cell)
    if where.stop == where.start:
        voltage, slope = jax.jvp(
            lambda i: cell.voltage(y, {**inputs, CURRENT: i}), (current,), (jnp.ones_like(current),)
        )
        return Terminals(voltage, slope, y[where], y[where])
    state = pieces_of(y)
    start, plan = state.unknowns(where), layout(cell, isinstance(state, Coupled))
    back = np.argsort(np.concatenate([plan.inner, plan.outer]))

    def all_of(inner: Array, outer: Array, i: Lanes) -> tuple[Array, Array, Lanes]:
        there = state.solved(where, jnp.concatenate([inner, outer])[back])
        result = cell.evaluate(there, {**inputs, CURRENT: i})
        residual = there.residual(cell, result)
        return residual[plan.inner], residual[plan.outer], result["voltage"]

    (inside, outside, voltage), along = jax.linearize(all_of, start[plan.inner], start[plan.outer], current)
    still = jnp.zeros_like(current)[None]
    # Derivatives in several directions at once: a copy for each would multiply the compile time.
    directions = jnp.asarray(np.eye(plan.colours.max() + 2)[:, [*plan.colours, -1]], start.dtype)[:, :, None]
    seeds = jnp.broadcast_to(directions, (*directions.shape[:2], current.shape[1]))
    outers = jnp.concatenate([seeds[:, :-1], jnp.zeros_like(outside)[None]])
    currents = jnp.concatenate([seeds[:, -1:], still])
    diagonal = along(jnp.ones_like(inside), jnp.zeros_like(outside), still[0])[0]

    def follow(outer: Array, i: Array) -> Array:
        """Return how the inner unknowns follow the outer ones and the current."""
        rates = jax.vmap(lambda o, amperes: along(jnp.zeros_like(inside), o, amperes)[0])(outer, i)
        return -rates / diagonal[None]

    settled = -inside / diagonal
    inners = follow(outers, currents).at[-1].set(settled)
    _, changes, volts = jax.vmap(along)(inners, outers, currents)
    entries = {(int(r), int(c)): changes[plan.colours[c], r : r + 1] for r, c in np.argwhere(plan.pattern)}
    rows = range(len(plan.outer))
    off, by_current = outside + changes[-1], changes[-2]
    step, slope = (
        jnp.concatenate(side)
        for side in eliminate(entries, [[-side[r : r + 1] for r in rows] for side in (off, by_current)])
    )
    by_unknown = volts[plan.colours, 0]
    inner = follow(jnp.stack([step, slope]), jnp.concatenate([still, jnp.ones_like(still)]))
    newton, by_ampere = (jnp.concatenate(change)[back] for change in ((settled + inner[0], step), (inner[1], slope)))
    share = _damping(cell, newton)
    return Terminals(
        voltage=voltage + share * (volts[-1] + (by_unknown * step).sum(axis=0, keepdims=True)),
        slope=volts[-2] + (by_unknown * slope).sum(axis=0, keepdims=True),
        algebraic=start + share * newton,
        algebraic_slope=by_ampere,
    )


def consistent(cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs, iterations: int = 50) -> Array:
    """Solve the algebraic states of a state whose current is in `inputs`, from any reasonable guess."""
    where = algebraic_rows(cell)
    if where.stop == where.start:
        return y

    def improve(_: int, y: Array) -> Array:
        return y.at[where].set(linearised(cell, y, inputs, inputs[CURRENT]).algebraic)

    return jax.lax.fori_loop(0, iterations, improve, y)


def _damping(cell: CellModel, change: Float[Array, "n lanes"]) -> Lanes:
    """Share of a change of the algebraic states that moves no potential by more than 50 mV."""
    first = cell.differential
    volts = [k - first for name, rows in cell.rows.items() if "potential" in name for k in range(rows.start, rows.stop)]
    rows = np.array([k for k in volts if k >= 0])
    step = jnp.abs(change[rows] * jnp.asarray(cell.scale[rows + first, None], change.dtype)).max(axis=0, keepdims=True)
    return _LONGEST_STEP / jnp.maximum(step, _LONGEST_STEP)
