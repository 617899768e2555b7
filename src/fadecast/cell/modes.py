"""Diffusion modes: the eigenvectors of a cell's diffusion operators, in which diffusion is a set of decays.

Every block of states that diffuses (lithium in a particle, salt in the electrolyte) has a tridiagonal Jacobian that
at a uniform profile is one constant matrix times the diffusivity of the lane. Its eigenvectors are the same for all
lanes.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.model import AMBIENT, CURRENT, CellModel, diffusivity_of

# A profile of fewer points is not diffusion.
_FEWEST = 4


class Modes(NamedTuple):
    """One diffusing block of the state vector."""

    rows: slice
    """Rows of the state vector."""
    decay: np.ndarray
    """Decay rate of each mode at the reference state [1/s], increasing from 0, shape `(n, 1)`."""
    nodes: np.ndarray
    """Profile of each mode, in columns; the first is the one that does not decay, shape `(n, n)`."""
    modes: np.ndarray
    """Inverse of `nodes`: a profile's share of each mode."""
    above: np.ndarray
    """What each row but the last gets from the next at the reference state [1/s], shape `(n - 1, 1)`."""
    below: np.ndarray
    """What each row but the first gets from the one before [1/s], shape `(n - 1, 1)`."""
    weights: np.ndarray
    """Of each row in what diffusion conserves, summing to 1, shape `(n, 1)`."""
    diffusivity: str | None
    """Output of the cell that is the lane's mean diffusivity, where it has one."""
    reference_diffusivity: float
    """Its value at the reference state."""
    closed: bool
    """Whether nothing passes its ends or is made in it as a whole, so that its mean stays: salt."""


@cache
def diffusion_modes(cell: CellModel) -> tuple[Modes, ...]:
    """Find the diffusing blocks of a cell and their modes."""
    jacobian, outputs = fresh_at_rest(cell)
    found = []
    for name, rows in cell.rows.items():
        block = jacobian[rows, rows] if rows.stop <= cell.differential else jacobian[:0, :0]
        if len(block) < _FEWEST or not np.diag(block, 1).all():
            continue
        phase = cell.phases.get(name.removeprefix("concentration_"))
        if phase is None:
            if cell.differential < len(cell.initial_state):
                block = _without_reactions(block, cell.initial_state[rows])
            found.append(_modes(rows, block, _conserved(block), open_end=False))
        else:
            output = diffusivity_of(name)
            modes = _modes(rows, block, np.asarray(phase.shell_weights), open_end=True)
            found.append(modes._replace(diffusivity=output, reference_diffusivity=float(outputs[output][0, 0])))
    return tuple(found)


def relative_exchange(
    block: Modes, rates: Callable[[Float[Array, "n lanes"]], Float[Array, "n lanes"]], profile: Float[Array, "n lanes"]
) -> Float[Array, "m lanes"]:
    """Return what neighbouring rows exchange at a profile, both ways, over the same at the reference state [1]."""
    _, along = jax.linearize(rates, profile)
    place = np.arange(len(profile))[:, None] % 3
    # Every third column of a tridiagonal matrix at once.
    columns = [along(jnp.broadcast_to(jnp.asarray(place == k, profile.dtype), profile.shape)) for k in range(3)]
    above = jnp.select([place[1:] == k for k in range(3)], [column[:-1] for column in columns])
    below = jnp.select([place[:-1] == k for k in range(3)], [column[1:] for column in columns])
    reference = jnp.asarray(np.concatenate([block.above, block.below]), profile.dtype)
    return jnp.concatenate([above, below]) / reference


@cache
def fresh_at_rest(cell: CellModel) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Jacobian of the right-hand side, and the values, at the fresh state at rest."""

    def rates(column: Array) -> tuple[Array, dict[str, Array]]:
        inputs = {name: jnp.full((1, 1), value) for name, value in cell.inputs.items()}
        inputs |= {AMBIENT: jnp.full((1, 1), cell.reference_temperature), CURRENT: jnp.zeros((1, 1))}
        values = cell.evaluate(column[:, None], inputs)
        return values["rhs"][:, 0], values

    # The modes are constants of the program, also where they are first asked for inside one that is being traced.
    # Compiled as a whole: operation by operation it takes ten times as long.
    with jax.ensure_compile_time_eval():
        jacobian, values = jax.jit(jax.jacfwd(rates, has_aux=True))(jnp.asarray(cell.initial_state))
        return np.asarray(jacobian), {name: np.asarray(value) for name, value in values.items()}


def _without_reactions(block: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Diffusion of salt alone: where potentials are algebraic states, reactions depend on the salt where they are.

    That is on the diagonal; a uniform concentration, which the fresh state is, does not diffuse.
    """
    others = block - np.diag(np.diag(block))
    return others - np.diag(others @ rest / rest)


def _conserved(block: np.ndarray) -> np.ndarray:
    """Left null vector of a closed diffusion operator: the volumes of its rows."""
    left = np.linalg.svd(block.T)[2][-1]
    return left / left.sum()


def _modes(rows: slice, block: np.ndarray, weights: np.ndarray, open_end: bool) -> Modes:
    """Diagonalise a tridiagonal operator; the diagonal is such that its columns conserve.

    A particle's surface flux may depend on the two outermost concentrations: that is in the last row of the Jacobian,
    and not in the operator, whose last row follows from conservation.
    """
    high = weights[:-1] * np.diag(block, 1)
    low = weights[1:] * np.diag(block, -1)
    if open_end:
        low[-1] = -weights[-2] * block[-2, -2] - weights[-3] * block[-3, -2]
    exchange = np.diag(high, 1) + np.diag(low, -1)
    exchange -= np.diag(exchange.sum(axis=0))
    operator = exchange / weights[:, None]
    # Similar to a symmetric matrix by a diagonal scaling.
    ratio = np.concatenate([[1.0], np.cumprod(np.sqrt(np.diag(operator, 1) / np.diag(operator, -1)))])
    symmetric = operator * ratio[:, None] / ratio[None, :]
    values, vectors = np.linalg.eigh(0.5 * (symmetric + symmetric.T))
    values, vectors = -values[::-1], vectors[:, ::-1]
    values[0] = 0.0
    nodes, modes = vectors / ratio[:, None], vectors.T * ratio[None, :]
    # The mode that does not decay is the mean.
    total = modes[0].sum()
    nodes[:, 0], modes[0] = nodes[:, 0] * total, modes[0] / total
    return Modes(
        rows=rows,
        decay=values[:, None],
        nodes=nodes,
        modes=modes,
        above=np.diag(operator, 1)[:, None],
        below=np.diag(operator, -1)[:, None],
        weights=weights[:, None],
        diffusivity=None,
        reference_diffusivity=1.0,
        closed=not open_end,
    )
