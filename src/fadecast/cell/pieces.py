"""A state vector of which some rows are held apart, so that a derivative with respect to them touches nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.affine import Affine, written_out


@dataclass(frozen=True)
class Pieces:
    """A state vector with some rows replaced: what lowered functions read of a state, without assembling it.

    JAX follows a tangent of one piece only through what reads that piece; of an assembled array it would follow all
    rows.
    """

    whole: Float[Array, "states lanes"]
    """The state where nothing is replaced."""
    parts: tuple[tuple[slice, Float[Array, "n lanes"] | Affine], ...] = ()
    """Replaced rows and their values; a later part replaces an earlier one of the same rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole state."""
        return self.whole.shape

    @property
    def dtype(self) -> jnp.dtype:
        """Of the state."""
        return self.whole.dtype

    def replace(self, *parts: tuple[slice, Float[Array, "n lanes"] | Affine]) -> Self:
        """Return the state with more rows replaced: the same as before, or rows not yet replaced."""
        new = [where for where, _ in parts]
        return replace(self, parts=(*(part for part in self.parts if part[0] not in new), *parts))

    def solved(self, rows: slice, values: Float[Array, "n lanes"]) -> Self:
        """Return the state with its unknowns: algebraic rows."""
        return self.replace((rows, values))

    def unknowns(self, rows: slice) -> Float[Array, "n lanes"]:
        """Return the unknowns of the state."""
        return self[rows]

    def residual(self, cell: Any, values: Mapping[str, Float[Array, "n lanes"]]) -> Float[Array, "n lanes"]:
        """Return by how much the equations of the unknowns are off, from what the cell evaluates at the state."""
        del cell
        return values["algebraic"]

    def column(self, rows: slice) -> Float[Array, "n lanes"] | Affine:
        """Return some rows, as the affine column that replaces them where one does."""
        return next((v for where, v in self.parts if isinstance(v, Affine) and where == rows), None) or self[rows]

    def __getitem__(self, rows: slice) -> Float[Array, "n lanes"]:
        """Return some rows, put together from no more than they need."""
        row, values = rows.start, []
        for where, value in sorted(self.parts, key=lambda part: part[0].start):
            first, last = max(row, where.start), min(rows.stop, where.stop)
            if first >= last:
                continue
            if row < first:
                values.append(self.whole[row:first])
            values.append(jnp.asarray(written_out(value))[first - where.start : last - where.start])
            row = last
        if row < rows.stop or not values:
            values.append(self.whole[row : rows.stop])
        return values[0] if len(values) == 1 else jnp.concatenate(values)

    def assembled(self) -> Float[Array, "states lanes"]:
        """Return the state as one array."""
        return self[slice(0, self.shape[0])]


State = Float[Array, "states lanes"] | Pieces
"""A state, whole or in pieces."""


def pieces_of(y: State) -> Pieces:
    """Return a state as pieces."""
    return y if isinstance(y, Pieces) else Pieces(y)


def is_traced(y: State) -> bool:
    """Tell whether a state of arrays is part of a program that is being traced; one of affine columns is none."""
    arrays = (y.whole, *(value for _, value in y.parts)) if isinstance(y, Pieces) else (y,)
    # A tangent that is followed outside a program has a value behind it, and would make a program of its own.
    return not any(isinstance(a, Affine) for a in arrays) and any(
        isinstance(a, jax.core.Tracer) and a.to_concrete_value() is None for a in arrays
    )


def _flattened(y: Pieces) -> tuple[tuple[Any, ...], tuple[tuple[int, int], ...]]:
    return (y.whole, *(value for _, value in y.parts)), tuple((rows.start, rows.stop) for rows, _ in y.parts)


def _restored(places: tuple[tuple[int, int], ...], arrays: tuple[Any, ...]) -> Pieces:
    whole, *values = arrays
    return Pieces(whole, tuple((slice(*place), value) for place, value in zip(places, values, strict=True)))


jax.tree_util.register_pytree_node(Pieces, _flattened, _restored)
