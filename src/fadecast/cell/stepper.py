"""Stiff time steps of a batch of cells: extrapolated linearly implicit Euler with a structured Jacobian.

One step of length tau and two of tau/2 are combined to second order (Deuflhard, SIAM Rev. 27, 505, 1985,
doi:10.1137/1027140). The result is L-stable, and of second order with any matrix in place of the Jacobian, so the
matrix holds only what is stiff: solid diffusion (tridiagonal), the stripping of plated lithium (its full column), and
the heat balance (diagonal). Slow states reduce to the midpoint rule at a damped midpoint, which matters: crack growth
and loss of active material are steep powers of the concentration gradient just after a load jump.

The matrix conserves lithium: the columns of the diffusion blocks sum to zero under the particle's shell volumes,
and the plating column is the true one. What the product of active fraction and concentration leaves over is put right
in the states that count lithium lost with active material, so that lithium is balanced to rounding whatever the step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import total_lithium
from fadecast.cell.control import Delivery
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel

_COLOURS = 3

Control = Callable[[Float[Array, "states lanes"], Float[Array, "..."]], Delivery]
"""Gives the terminals' current and power at a state, held for a horizon [s]."""


class Matrix(NamedTuple):
    """The part of the Jacobian a step is implicit in."""

    lower: Float[Array, "points blocks lanes"]
    diagonal: Float[Array, "points blocks lanes"]
    upper: Float[Array, "points blocks lanes"]
    plated_column: Float[Array, "states lanes"]
    temperature: Float[Array, "1 lanes"]


class Step(NamedTuple):
    """What one step gives."""

    y: Float[Array, "states lanes"]
    """State at its end."""
    power: Float[Array, "1 lanes"]
    """Mean terminal power over it, discharge positive [W]."""
    current: Float[Array, "1 lanes"]
    """Mean current over it, discharge positive [A]."""
    error: Float[Array, "states lanes"]
    """Difference of the two first-order results: an upper estimate of the error of `y`."""


def extrapolated_step(
    cell: CellModel,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    tau: Float[Array, "..."],
) -> Step:
    """Advance every lane by one step.

    Parameters
    ----------
    y
        State, `(states, lanes)`.
    inputs
        PyBaMM input parameters except the current, each `(1, lanes)`.
    control
        Current and power at a state.
    tau
        Step [s], one for all lanes or one per lane `(1, lanes)`.
    """
    half = 0.5 * tau
    first = control(y, tau)
    start = {**inputs, CURRENT: first.current}
    slope = cell.rhs(y, start)
    matrix = stiff_matrix(cell, y, start)
    coarse = y + tau * _solve(cell, matrix, tau, slope)
    middle = y + half * _solve(cell, matrix, half, slope)
    second = control(middle, half)
    slope = cell.rhs(middle, {**inputs, CURRENT: second.current})
    fine = middle + half * _solve(cell, matrix, half, slope)
    new = _balanced(cell, y, 2.0 * fine - coarse)
    return Step(new, second.power, second.current, fine - coarse)


def _balanced(
    cell: CellModel, old: Float[Array, "states lanes"], new: Float[Array, "states lanes"]
) -> Float[Array, "states lanes"]:
    """Let the lithium lost with active material close the balance of a step.

    Lithium in a particle is a product of active fraction and concentration, which no linear method conserves; the
    remainder, of the order of the step's error, belongs to the two states that count this lithium.
    """
    drift = total_lithium(cell, new) - total_lithium(cell, old)
    names = ("lam_lithium_ne", "lam_lithium_pe")
    # The smallest number keeps the shares defined in a step that loses nothing.
    lost = [jnp.abs(cell.physical(new, name) - cell.physical(old, name)) + 1e-300 for name in names]
    for name, part in zip(names, lost, strict=True):
        correction = drift * (part / (lost[0] + lost[1]))
        new = new.at[cell.rows[name]].add(-correction / cell.scale[cell.rows[name], None])
    return new


def stiff_matrix(cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs) -> Matrix:
    """Find the stiff part of the Jacobian from coloured Jacobian-vector products."""
    seeds = _Seeds.of(cell)
    _, product = jax.linearize(lambda state: cell.rhs(state, inputs), y)
    columns = jax.vmap(lambda seed: product(jnp.broadcast_to(seed, y.shape)))(jnp.asarray(seeds.vectors, y.dtype))
    bands = [
        _conservative_band(columns[:_COLOURS, rows], electrode.shell_weights)
        for rows, electrode in zip(seeds.particles, (cell.negative, cell.positive), strict=True)
    ]
    low, diagonal, high = (jnp.stack(parts, axis=1) for parts in zip(*bands, strict=True))
    return Matrix(low, diagonal, high, columns[_COLOURS], columns[_COLOURS + 1, cell.rows["temperature"]])


@dataclass(frozen=True)
class _Seeds:
    """Directions of the Jacobian-vector products: three colours of particle nodes, plated lithium, temperature."""

    vectors: np.ndarray
    particles: tuple[slice, slice]

    @classmethod
    def of(cls, cell: CellModel) -> "_Seeds":
        vectors = np.zeros((_COLOURS + 2, len(cell.initial_state), 1))
        particles = (cell.rows["concentration_ne"], cell.rows["concentration_pe"])
        for rows in particles:
            for colour in range(_COLOURS):
                vectors[colour, rows.start + colour : rows.stop : _COLOURS] = 1.0
        vectors[_COLOURS, cell.rows["plated"]] = 1.0
        vectors[_COLOURS + 1, cell.rows["temperature"]] = 1.0
        return cls(vectors, particles)


def _conservative_band(
    columns: Float[Array, "3 points lanes"], weights: np.ndarray
) -> tuple[Float[Array, "points lanes"], Float[Array, "points lanes"], Float[Array, "points lanes"]]:
    """Read the off-diagonals of one diffusion block; the diagonal is such that no lithium enters or leaves."""
    points = len(weights)
    node = np.arange(points)
    low = columns[(node - 1) % _COLOURS, node].at[0].set(0.0)
    high = columns[(node + 1) % _COLOURS, node].at[-1].set(0.0)
    shell = jnp.asarray(weights, columns.dtype)[:, None]
    from_below = jnp.pad((shell * high)[:-1], ((1, 0), (0, 0)))
    from_above = jnp.pad((shell * low)[1:], ((0, 1), (0, 0)))
    return low, -(from_below + from_above) / shell, high


def _solve(
    cell: CellModel, matrix: Matrix, step: Float[Array, "..."], right: Float[Array, "states lanes"]
) -> Float[Array, "states lanes"]:
    """Solve `(1 - step · matrix) k = right`: plated lithium first, then what it feeds, then diffusion and heat."""
    plated, temperature = cell.rows["plated"], cell.rows["temperature"]
    k_plated = right[plated] / (1.0 - step * matrix.plated_column[plated])
    k = right + step * matrix.plated_column * k_plated
    k = k.at[plated].set(k_plated)
    k = k.at[temperature].set(k[temperature] / (1.0 - step * matrix.temperature))
    particles = (cell.rows["concentration_ne"], cell.rows["concentration_pe"])
    block_step = jnp.broadcast_to(step, k_plated.shape)[:, None, :]
    diffused = _tridiagonal(
        -block_step * matrix.lower,
        1.0 - block_step * matrix.diagonal,
        -block_step * matrix.upper,
        jnp.stack([k[rows] for rows in particles], axis=1),
    )
    for block, rows in enumerate(particles):
        k = k.at[rows].set(diffused[:, block])
    return k


def _tridiagonal(
    low: Float[Array, "n *m"],
    diagonal: Float[Array, "n *m"],
    high: Float[Array, "n *m"],
    right: Float[Array, "n *m"],
) -> Float[Array, "n *m"]:
    """Thomas algorithm down the first axis. Scans, since XLA takes minutes over unrolled sweeps."""

    def eliminate(carry, row):  # type: ignore[no-untyped-def]
        a, b, c, d = row
        pivot = b - a * carry[0]
        ratio, value = c / pivot, (d - a * carry[1]) / pivot
        return (ratio, value), (ratio, value)

    def substitute(below, row):  # type: ignore[no-untyped-def]
        ratio, value = row
        x = value - ratio * below
        return x, x

    zero = jnp.zeros_like(right[0])
    _, swept = jax.lax.scan(eliminate, (zero, zero), (low, diagonal, high, right))
    _, solution = jax.lax.scan(substitute, zero, swept, reverse=True)
    return solution
