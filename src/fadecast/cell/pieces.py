"""A state vector of which some rows are held apart, so that a derivative with respect to them touches nothing else."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Pieces:
    """A state vector with some rows replaced: what lowered functions read of a state, without assembling it.

    JAX follows a tangent of one piece only through what reads that piece; of an assembled array it would follow all
    rows.
    """

    whole: Float[Array, "states lanes"]
    """The state where nothing is replaced."""
    parts: tuple[tuple[slice, Float[Array, "n lanes"]], ...] = ()
    """Replaced rows and their values; a later part replaces an earlier one of the same rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole state."""
        return self.whole.shape

    @property
    def dtype(self) -> jnp.dtype:
        """Of the state."""
        return self.whole.dtype

    def replace(self, *parts: tuple[slice, Float[Array, "n lanes"]]) -> "Pieces":
        """Return the state with more rows replaced: the same as before, or rows not yet replaced."""
        new = [where for where, _ in parts]
        return Pieces(self.whole, (*(part for part in self.parts if part[0] not in new), *parts))

    def __getitem__(self, rows: slice) -> Float[Array, "n lanes"]:
        """Return some rows."""
        for where, value in self.parts:
            if where.start <= rows.start and rows.stop <= where.stop:
                return value[rows.start - where.start : rows.stop - where.start]
        if all(rows.stop <= where.start or where.stop <= rows.start for where, _ in self.parts):
            return self.whole[rows]
        return self.assembled()[rows]

    def assembled(self) -> Float[Array, "states lanes"]:
        """Return the state as one array."""
        row, values = 0, []
        for where, value in sorted(self.parts, key=lambda part: part[0].start):
            values += [self.whole[row : where.start], value]
            row = where.stop
        return jnp.concatenate([*values, self.whole[row:]])


State = Float[Array, "states lanes"] | Pieces
"""A state, whole or in pieces."""


def pieces_of(y: State) -> Pieces:
    """Return a state as pieces."""
    return y if isinstance(y, Pieces) else Pieces(y)
