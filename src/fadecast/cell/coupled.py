"""A state between nodes whose particles follow the flux through their surfaces, solved along with the terminals.

Two phases of an electrode share one potential, so the flux into each depends on both surfaces, the more the steeper
their open-circuit potentials: a flux that is taken before the surface has moved swings from node to node. Here the
correction of a node is a linear function of the flux, and the flux one more unknown of the algebraic equations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.model import CellModel
from fadecast.cell.modes import Modes, diffusion_modes
from fadecast.cell.pieces import Pieces

Block = Float[Array, "n lanes"]
Lanes = Float[Array, "1 lanes"]


@dataclass(frozen=True)
class Surface:
    """How the profile of one particle follows from what its surface gets beyond what was expected."""

    rows: slice
    """Rows of the state vector."""
    expected: Block
    """Profile with what was expected."""
    response: Block
    """Change of the profile for one more unit [s]."""
    offset: Lanes
    """What decay takes from the outermost row at the expected profile, less all it was expected to get [1/s]."""
    decay: Lanes
    """Its change for one more unit [1]."""


@dataclass(frozen=True)
class Coupled(Pieces):
    """A state that gets profiles along with its algebraic rows; after them come the surplus rates at each surface."""

    surfaces: tuple[Surface, ...] = ()
    surplus: tuple[Lanes, ...] = ()
    """Rate of the outermost row of each particle beyond the expected one [1/s]."""

    def solved(self, rows: slice, values: Float[Array, "m lanes"]) -> Self:
        """Return the state with its unknowns."""
        count = rows.stop - rows.start
        surplus = tuple(values[count + n : count + n + 1] for n in range(len(self.surfaces)))
        profiles = [(s.rows, s.expected + s.response * more) for s, more in zip(self.surfaces, surplus, strict=True)]
        return replace(self.replace((rows, values[:count]), *profiles), surplus=surplus)

    def unknowns(self, rows: slice) -> Float[Array, "m lanes"]:
        """Return algebraic rows and surpluses."""
        return jnp.concatenate([self[rows], *self.surplus])

    def residual(self, cell: CellModel, values: Mapping[str, Block]) -> Float[Array, "m lanes"]:
        """Return by how much algebraic equations and surpluses are off."""
        off = [
            more * (1.0 - surface.decay) - _outermost(cell, surface.rows, values) - surface.offset
            for surface, more in zip(self.surfaces, self.surplus, strict=True)
        ]
        return jnp.concatenate([values["algebraic"], *off])


def _outermost(cell: CellModel, rows: slice, values: Mapping[str, Block]) -> Lanes:
    """Return the rate of the outermost row of a particle."""
    last = rows.stop - 1
    name, start = next((n, where.start) for n, where in cell.equations.items() if where.start <= last < where.stop)
    return values[name][last - start : last - start + 1]


def surface_blocks(cell: CellModel) -> tuple[int, ...]:
    """Which of the diffusing blocks are particles."""
    return tuple(n for n, block in enumerate(diffusion_modes(cell)) if not block.closed)


def couple(
    cell: CellModel,
    state: Pieces,
    decays: Sequence[Block],
    predicted: Sequence[Block],
    sources: Sequence[Block],
    gains: Sequence[Block],
) -> Coupled:
    """Let the particles of a predicted state follow the flux through their surfaces.

    Parameters
    ----------
    decays
        Decay rate of each mode of each diffusing block [1/s].
    predicted
        Modes of each block.
    sources
        What was expected to drive them [1/s].
    gains
        Change of each mode for one more unit of its source [s].
    """
    blocks, surfaces = diffusion_modes(cell), []
    for n in surface_blocks(cell):
        block, z, gain = blocks[n], predicted[n], gains[n]
        into, out = (jnp.asarray(part, z.dtype) for part in (block.modes[:, -1:], block.nodes[-1:]))
        surfaces.append(
            Surface(
                rows=block.rows,
                expected=state[block.rows],
                response=jnp.asarray(block.nodes, z.dtype) @ (gain * into),
                offset=out @ (decays[n] * z - sources[n]),
                decay=out @ (decays[n] * gain * into),
            )
        )
    none = jnp.zeros_like(predicted[0][:1])
    return Coupled(state.whole, state.parts, tuple(surfaces), (none,) * len(surfaces))


def moved(block: Modes, z: Block, gain: Block, surplus: Lanes) -> Block:
    """Return the modes of a particle with a surplus."""
    return z + gain * jnp.asarray(block.modes[:, -1:], z.dtype) * surplus
