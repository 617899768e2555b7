"""Small systems of equations with few entries, the same pattern in every lane, solved without pivots."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.coupled import couple, surface_blocks
from fadecast.cell.model import AMBIENT, CURRENT, CellModel
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.pieces import Pieces

Lanes = Float[Array, "1 lanes"]


class Layout(NamedTuple):
    """Which unknowns are solved for how."""

    inner: np.ndarray
    """Places of the unknowns whose equations hold no other of them: eliminated first, row by row."""
    outer: np.ndarray
    """Places of all others."""
    pattern: np.ndarray
    """Which outer equations hold which outer unknowns once the inner ones are eliminated, `(outer, outer)`."""
    colours: np.ndarray
    """Outer unknowns of one colour are in no equation together, nor in the voltage: one derivative gives the columns of
    all, `(outer,)`."""


@cache
def layout(cell: CellModel, coupled: bool) -> Layout:
    """Find the layout of a cell's algebraic states, and of the surpluses of its particles where they are `coupled`."""
    entries, volts = _entries(cell, coupled)
    algebraic = [
        range(rows.start - cell.differential, rows.stop - cell.differential)
        for rows in cell.rows.values()
        if rows.start >= cell.differential
    ]
    inner: list[int] = []
    for block in algebraic:
        own = entries[np.ix_(block, block)]
        apart = not entries[np.ix_(block, inner)].any() and not entries[np.ix_(inner, block)].any()
        if len(block) > 1 and apart and (own == np.eye(len(block), dtype=bool)).all():
            inner.extend(block)
    outer = np.setdiff1d(np.arange(len(entries)), inner)
    first = np.array(sorted(inner), dtype=int)
    through = entries[np.ix_(outer, first)].astype(int) @ entries[np.ix_(first, outer)].astype(int) > 0
    pattern = entries[np.ix_(outer, outer)] | through
    watched = volts[outer] | (volts[first].astype(int) @ entries[np.ix_(first, outer)].astype(int) > 0)
    return Layout(first, outer, pattern, _colours(np.concatenate([pattern, watched[None]])))


def _entries(cell: CellModel, coupled: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tell which equations hold which unknowns and which of them the voltage holds, in charge and discharge."""
    blocks, first = diffusion_modes(cell), cell.differential
    y = cell.initial_state[:, None].copy()
    # Not a uniform profile, at which derivatives may be zero by chance.
    for block in blocks:
        y[block.rows] *= 0.9 + 0.02 * np.cos(np.arange(block.rows.stop - block.rows.start))[:, None]
    modes = [block.modes @ y[block.rows] for block in blocks]
    ones, decays = [np.ones_like(z) for z in modes], [block.decay for block in blocks]

    def residual(values: Array, current: float) -> Array:
        inputs = {name: jnp.full((1, 1), value) for name, value in cell.inputs.items()}
        inputs |= {AMBIENT: jnp.full((1, 1), cell.reference_temperature), CURRENT: jnp.full((1, 1), current)}
        state = Pieces(jnp.asarray(y))
        if coupled:
            given = ([jnp.asarray(part) for part in parts] for parts in (decays, modes, ones, ones))
            state = couple(cell, state, *given)
        there = state.solved(slice(first, len(y)), values[:, None])
        result = cell.evaluate(there, inputs)
        return jnp.concatenate([there.residual(cell, result), result["voltage"]])[:, 0]

    start = np.concatenate([y[first:, 0], np.zeros(len(surface_blocks(cell)) if coupled else 0)])
    with jax.ensure_compile_time_eval():
        jacobian = jax.jit(jax.jacfwd(residual))
        either = [np.asarray(jacobian(start, sign * cell.nominal_capacity)) != 0.0 for sign in (-1.0, 1.0)]
    found = either[0] | either[1]
    return found[:-1], found[-1]


def _colours(pattern: np.ndarray) -> np.ndarray:
    colours: list[int] = []
    for column in range(pattern.shape[1]):
        meets = {colours[k] for k in range(column) if (pattern[:, k] & pattern[:, column]).any()}
        colours.append(next(colour for colour in range(column + 1) if colour not in meets))
    return np.array(colours, dtype=int)


def eliminate(entries: Mapping[tuple[int, int], Lanes], sides: Sequence[Sequence[Lanes]]) -> list[list[Lanes]]:
    """Solve a system for several right-hand sides, each a value for every row.

    Rows with few entries are eliminated first. Every row must hold its own unknown.
    """
    matrix, right = dict(entries), [list(side) for side in sides]
    order = sorted(range(len(right[0])), key=lambda row: sum(row in place for place in matrix))
    for count, pivot in enumerate(order):
        for row in order[count + 1 :]:
            if (row, pivot) not in matrix:
                continue
            factor = matrix[row, pivot] / matrix[pivot, pivot]
            for column in order[count + 1 :]:
                if (pivot, column) in matrix:
                    matrix[row, column] = matrix.get((row, column), 0.0) - factor * matrix[pivot, column]
            for side in right:
                side[row] = side[row] - factor * side[pivot]
    for count, row in reversed(list(enumerate(order))):
        for side in right:
            for column in order[count + 1 :]:
                if (row, column) in matrix:
                    side[row] = side[row] - matrix[row, column] * side[column]
            side[row] = side[row] / matrix[row, row]
    return right
