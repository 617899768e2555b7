"""What ageing needs of a profile: in a particle no more than its surface and its mean."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.affine import Affine
from fadecast.cell.model import AMBIENT, CURRENT, CellModel
from fadecast.cell.modes import Modes, diffusion_modes
from fadecast.cell.partition import partition

# Rows at the surface that PyBaMM extrapolates from.
_OUTER = 2

_SAME = 1e-9


class Outline(NamedTuple):
    """A few numbers that stand for a profile, linear in it."""

    read: np.ndarray
    """Of the modes, `(numbers, modes)`."""
    write: np.ndarray | None
    """A profile that has these numbers, `(points, numbers)`; none where they are the profile."""
    raised: np.ndarray
    """Numbers of a profile that is 1 at its surface and 0 in the mean, `(numbers, 1)`."""

    def profile(self, numbers: Float[Array, "numbers lanes"]) -> Affine | Float[Array, "points lanes"]:
        """Return the profile, not written out if there is more to it than the numbers."""
        return numbers if self.write is None else Affine(self.write, np.zeros((len(self.write), 1)), numbers)


@cache
def outlines(cell: CellModel) -> tuple[Outline, ...]:
    """Find the outline of each diffusing block: surface and mean where ageing depends on nothing else, else all."""
    jacobian = _ageing_jacobian(cell)
    return tuple(
        _surface_and_mean(block) if _is_enough(jacobian[:, block.rows], block) else _whole(block)
        for block in diffusion_modes(cell)
    )


def _whole(block: Modes) -> Outline:
    """Keep all of a profile."""
    short = _surface_and_mean(block)
    assert short.write is not None
    return Outline(block.nodes, None, short.write @ short.raised)


def _surface_and_mean(block: Modes) -> Outline:
    """Read how far the outermost rows are from the mean, and the mean."""
    read = np.eye(1, len(block.nodes)).repeat(_OUTER + 1, axis=0)
    read[:_OUTER] = block.nodes[-_OUTER:] - read[:_OUTER]
    outer = block.weights[-_OUTER:, 0]
    away = np.concatenate([np.tile(-outer / (1.0 - outer.sum()), (len(block.nodes) - _OUTER, 1)), np.eye(_OUTER)])
    # PyBaMM draws a line through both rows.
    raised = np.array([[1.0]] * _OUTER + [[0.0]])
    return Outline(read, np.concatenate([away, np.ones((len(away), 1))], axis=1), raised)


def _is_enough(jacobian: np.ndarray, block: Modes) -> bool:
    """Tell whether the inner rows of a profile matter by their share of the mean only."""
    inner = jacobian[:, :-_OUTER] / block.weights[:-_OUTER, 0]
    size = np.abs(inner).max(axis=1, keepdims=True)
    return bool((np.abs(inner - inner.mean(axis=1, keepdims=True)) <= _SAME * size).all())


def _ageing_jacobian(cell: CellModel) -> np.ndarray:
    """Jacobian of the rates of ageing and of the algebraic equations.

    At a state with gradients and a current, in which nothing is zero by chance.
    """
    parts = partition(cell)
    y = cell.initial_state.copy()
    for block in diffusion_modes(cell):
        y[block.rows] *= 1.0 + 0.02 * np.cos(np.arange(block.rows.stop - block.rows.start))

    def rates(column: Array) -> Array:
        inputs = {name: jnp.full((1, 1), value) for name, value in cell.inputs.items()}
        inputs |= {AMBIENT: jnp.full((1, 1), cell.reference_temperature)}
        inputs |= {CURRENT: jnp.full((1, 1), -cell.nominal_capacity)}
        values = cell.evaluate(column[:, None], inputs)
        change = values["rhs"]
        return jnp.concatenate([*parts.ageing.read(change), *parts.relaxing.read(change), values["algebraic"]])[:, 0]

    with jax.ensure_compile_time_eval():
        return np.asarray(jax.jit(jax.jacfwd(rates))(jnp.asarray(y)))
