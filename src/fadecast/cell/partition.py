"""Which states of a cell are advanced how."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.model import CellModel
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.pieces import Pieces, State

_RELAXING = ("plated", "hysteresis", "surface_potential")
"""Beginnings of the names of states that relax within seconds or minutes, each by itself."""

_COURSE = ("temperature", "discharge_capacity", "charge_throughput")
"""States that follow the load and are smooth between nodes."""

Blocks = tuple[Float[Array, "n lanes"], ...]


@dataclass(frozen=True)
class Group:
    """Blocks of the state vector that are advanced alike.

    Values of a group are one array for each block: XLA makes slow loops of what is put together and taken apart again.
    """

    blocks: tuple[slice, ...]
    """Rows of each block."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(block.stop - block.start for block in self.blocks)

    def read(self, y: State) -> Blocks:
        """Return the group's blocks of a state, or of its time derivative."""
        return tuple(y[block] for block in self.blocks)

    def add(self, y: Float[Array, "states lanes"], change: Blocks) -> Float[Array, "states lanes"]:
        """Add to the group's blocks of a state, in the precision of the state."""
        for block, part in zip(self.blocks, change, strict=True):
            y = y.at[block].add(part.astype(y.dtype))
        return y

    def parts(self, values: Sequence[Array]) -> list[tuple[slice, Array]]:
        """Return the group's values as parts of a state."""
        return list(zip(self.blocks, values, strict=True))


@dataclass(frozen=True)
class Partition:
    """Rows of the state vector that are neither modes nor algebraic."""

    relaxing: Group
    """States that follow a linear equation of their own."""
    course: Group
    """Temperature and charge counters: integrated from their rates at the nodes."""
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
        When the cell has algebraic states or an electrolyte, whose coupling to surface fluxes the time steps take
        explicitly: that is neither accurate nor always stable.
    """
    if cell.differential < len(cell.initial_state) or "electrolyte" in cell.rows:
        kind = "an electrolyte" if "electrolyte" in cell.rows else "algebraic states"
        raise SteppingError(
            f"time steps know no cell with {kind}: choose `model: SPM` without surface form, composite electrodes or "
            "SEI on cracks. Its rates, voltage and outputs can be evaluated all the same (`build_cell`)"
        )
    in_modes = [block.rows for block in diffusion_modes(cell)]
    names = [name for name, rows in sorted(cell.rows.items(), key=_start) if rows not in in_modes]
    relaxing = [name for name in names if name.startswith(_RELAXING)]
    course = [name for name in names if name in _COURSE]
    ageing = [name for name in names if name not in (*relaxing, *course)]
    shares = [
        _share(cell, name) * cell.scale[cell.rows[name]] / (cell.rows[name].stop - cell.rows[name].start)
        for name in [*ageing, *relaxing]
    ]
    groups = [Group(tuple(cell.rows[name] for name in group)) for group in (relaxing, course, ageing)]
    return Partition(groups[0], groups[1], groups[2], np.concatenate(shares)[:, None])


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
        volume = next(phase.volume for side, phase in cell.phases.items() if side.startswith("ne"))
        return volume * (cell.lithium_per_sei if family.startswith("sei") else 1.0) / cell.fresh_lithium
    if family.startswith("crack_length"):
        return 1.0 / float(cell.initial_state[cell.rows[name]][0] * cell.scale[cell.rows[name]][0])
    return 1.0 if family.startswith("porosity") else 0.0
