"""The terminals, linearised: voltage and algebraic states as functions of the current at fixed differential states.

With current as the input a single-particle model is an ordinary differential equation but for the surface forms and
composite electrodes, which add a few algebraic states. Those are solved along with the current, by Newton's method.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, CellModel
from fadecast.cell.pieces import State, pieces_of

Lanes = Float[Array, "1 lanes"]


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


def linearised(cell: CellModel, y: State, inputs: Inputs, current: Lanes) -> Terminals:
    """Take one Newton step of the algebraic states and linearise the terminals in the current."""
    where = algebraic_rows(cell)
    start = y[where]
    one = jnp.ones_like(current)
    if where.stop == where.start:
        voltage, slope = jax.jvp(lambda i: cell.voltage(y, {**inputs, CURRENT: i}), (current,), (one,))
        return Terminals(voltage, slope, start, start)

    def both(values: Array, i: Lanes) -> tuple[Array, Lanes]:
        result = cell.evaluate(pieces_of(y).replace((where, values)), {**inputs, CURRENT: i})
        return result["algebraic"], result["voltage"]

    (residual, voltage), along = jax.linearize(both, start, current)
    none, still = jnp.zeros_like(start), jnp.zeros_like(current)
    by_current = along(none, one)[0]
    if _is_diagonal(cell):
        diagonal = along(jnp.ones_like(start), still)[0]
        change, slope = -residual / diagonal, -by_current / diagonal
    else:
        units = jnp.eye(len(start), dtype=start.dtype)[:, :, None] * one[None]
        jacobian = jax.vmap(lambda unit: along(unit, still)[0])(units)
        solved = jnp.linalg.solve(
            jnp.transpose(jacobian, (2, 1, 0)), -jnp.transpose(jnp.stack([residual, by_current]), (2, 1, 0))
        )
        change, slope = jnp.transpose(solved, (2, 1, 0))
    return Terminals(
        voltage=voltage + along(change, still)[1],
        slope=along(slope, one)[1],
        algebraic=start + change,
        algebraic_slope=slope,
    )


def consistent(cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs, iterations: int = 50) -> Array:
    """Solve the algebraic states of a state whose current is in `inputs`, from any reasonable guess.

    Potentials move by at most 50 mV an iteration, since exchange currents are exponential in them.
    """
    where = algebraic_rows(cell)
    if where.stop == where.start:
        return y

    def improve(_: int, y: Array) -> Array:
        change = linearised(cell, y, inputs, inputs[CURRENT]).algebraic - y[where]
        step = jnp.abs(change).max(axis=0, keepdims=True)
        return y.at[where].add(change * jnp.minimum(1.0, 0.05 / jnp.maximum(step, 1e-300)))

    return jax.lax.fori_loop(0, iterations, improve, y)


@cache
def _is_diagonal(cell: CellModel) -> bool:
    """Tell whether each algebraic equation holds one algebraic state only."""
    where = algebraic_rows(cell)
    with jax.ensure_compile_time_eval():
        inputs = {name: jnp.full((1, 1), value) for name, value in cell.inputs.items()}
        inputs |= {AMBIENT: jnp.full((1, 1), cell.reference_temperature)}
        inputs |= {CURRENT: jnp.full((1, 1), cell.nominal_capacity)}
        y = jnp.asarray(cell.initial_state)
        residual = jax.jacfwd(lambda column: cell.evaluate(column[:, None], inputs)["algebraic"][:, 0])
        jacobian = np.asarray(residual(y))[:, where]
    return bool(np.count_nonzero(jacobian) == np.count_nonzero(np.diag(jacobian)))
