"""Which states of a cell are advanced how."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.model import CellModel
from fadecast.cell.modes import diffusion_modes, fresh_at_rest
from fadecast.cell.pieces import Pieces, State

_RELAXING = ("plated", "hysteresis", "surface_potential")
"""Beginnings of the names of states that relax within seconds or minutes, each by itself."""

_COURSE = ("temperature", "discharge_capacity", "charge_throughput")
"""States that follow the load and are smooth between nodes."""

_BARE = ("sei_cracks",)
"""Beginnings of the names of films that start bare."""

# Least square of a film: a prediction must not take it below nothing.
_THINNEST = 1e-24

Blocks = tuple[Float[Array, "n lanes"], ...]


@dataclass(frozen=True)
class Group:
    """Blocks of the state vector that are advanced alike.

    Values of a group are one array for each block: XLA makes slow loops of what is put together and taken apart again.
    """

    blocks: tuple[slice, ...]
    """Rows of each block."""
    squared: tuple[bool, ...]
    """Which of them are followed as their squares."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(block.stop - block.start for block in self.blocks)

    def read(self, y: State) -> Blocks:
        """Return what is followed of a state: its blocks, or their squares."""
        return tuple(y[block] ** 2 if square else y[block] for block, square in self._each())

    def rates(self, change: State, values: Sequence[Array]) -> Blocks:
        """Return the rates of what is followed, where it has these values, from the time derivative of the state."""
        return tuple(
            2.0 * _root(value) * change[block] if square else change[block]
            for (block, square), value in zip(self._each(), values, strict=True)
        )

    def add(self, y: Float[Array, "states lanes"], change: Blocks) -> Float[Array, "states lanes"]:
        """Add to what is followed of a state, in the precision of the state."""
        for (block, square), part in zip(self._each(), change, strict=True):
            part = part.astype(y.dtype)
            y = y.at[block].set(_root(y[block] ** 2 + part) if square else y[block] + part)
        return y

    def parts(self, values: Sequence[Array]) -> list[tuple[slice, Array]]:
        """Return what is followed as parts of a state."""
        return [
            (block, _root(value) if square else value)
            for (block, square), value in zip(self._each(), values, strict=True)
        ]

    def _each(self) -> Iterator[tuple[slice, bool]]:
        return zip(self.blocks, self.squared, strict=True)


def _root(square: Float[Array, "n lanes"]) -> Float[Array, "n lanes"]:
    return jnp.sqrt(jnp.maximum(square, _THINNEST))


@dataclass(frozen=True)
class Partition:
    """Rows of the state vector that are neither modes nor algebraic."""

    relaxing: Group
    """States that follow a linear equation of their own."""
    course: Group
    """Temperature, charge counters and films that start bare: integrated from their rates at the nodes."""
    ageing: Group
    """States that change a little in each step: integrated from more samples of their rates."""
    share: np.ndarray
    """Fraction of a cell (its lithium, its active material) that one unit of each ageing row and then of each relaxing
    row is. Shape `(rows, 1)`."""

    def temperature(self, cell: CellModel, y: Pieces) -> Float[Array, "1 lanes"]:
        """Cell temperature [K]; 0 where it is not a state."""
        if "temperature" not in cell.rows:
            return jnp.zeros((1, y.shape[1]), y.dtype)
        rows = cell.rows["temperature"]
        return float(cell.reference[rows.start]) + float(cell.scale[rows.start]) * y[rows]


class SteppingError(NotImplementedError):
    """A cell that can be evaluated but not followed in time."""


@cache
def partition(cell: CellModel) -> Partition:
    """Sort the differential states of a cell.

    Raises
    ------
    SteppingError
        When the cell has algebraic states and a particle that is not resolved as concentrations along its radius.
    """
    unresolved = [side for side in cell.phases if not _is_resolved(cell, side)]
    if cell.differential < len(cell.initial_state) and unresolved:
        raise SteppingError(
            "time steps solve surface potentials along with concentrations at the surface, which particles "
            f"{', '.join(unresolved)} have no profile of: set particle to Fickian diffusion. Rates, voltage and "
            "outputs can be evaluated all the same (`build_cell`)"
        )
    in_modes = [block.rows for block in diffusion_modes(cell)]
    names = [
        name
        for name, rows in sorted(cell.rows.items(), key=_start)
        if rows not in in_modes and rows.start < cell.differential
    ]
    relaxing = [name for name in names if name.startswith(_RELAXING)]
    bare = [name for name in names if name.startswith(_BARE) and _is_singular(cell, cell.rows[name])]
    course = [name for name in names if name in (*_COURSE, *bare)]
    ageing = [name for name in names if name not in (*relaxing, *course)]
    shares = [
        _share(cell, name) * cell.scale[cell.rows[name]] / (cell.rows[name].stop - cell.rows[name].start)
        for name in [*ageing, *relaxing]
    ]
    groups = [
        Group(tuple(cell.rows[name] for name in group), tuple(name in bare for name in group))
        for group in (relaxing, course, ageing)
    ]
    return Partition(groups[0], groups[1], groups[2], np.concatenate(shares)[:, None])


def _is_resolved(cell: CellModel, side: str) -> bool:
    """Tell whether a particle is a diffusing block."""
    return cell.rows.get(f"concentration_{side}") in [block.rows for block in diffusion_modes(cell)]


def _is_singular(cell: CellModel, rows: slice) -> bool:
    """Tell whether the rate of a bare film goes as one over its thickness: that of the square is then finite.

    So it is where growth is limited by transport through the film, and not where it is limited by a reaction.
    """
    jacobian, values = fresh_at_rest(cell)
    own = np.diag(jacobian[rows, rows]) * cell.initial_state[rows]
    return bool((own < -0.5 * values["rhs"][rows, 0]).all())


def _start(block: tuple[str, slice]) -> int:
    return int(block[1].start)


def _share(cell: CellModel, name: str) -> float:
    """Return the fraction of a cell that one unit [mol, mol.m-3, 1 or m] of a state is."""
    family = name.removesuffix("_primary").removesuffix("_secondary")
    if family.startswith("active_fraction"):
        return 1.0 / cell.phases[name.removeprefix("active_fraction_")].active_fraction
    if family.startswith("lam_lithium"):
        return 1.0 / cell.fresh_lithium
    if family in ("sei", "sei_cracks", "plated", "dead"):
        return (
            cell.electrode_volume("ne")
            * (cell.lithium_per_sei if family.startswith("sei") else 1.0)
            / cell.fresh_lithium
        )
    if family.startswith("crack_length"):
        return 1.0 / float(cell.initial_state[cell.rows[name]][0] * cell.scale[cell.rows[name]][0])
    return 1.0 if family.startswith("porosity") else 0.0
