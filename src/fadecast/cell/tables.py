"""Tables of measured curves and surfaces, evaluated for many lanes."""

import functools
from collections.abc import Callable, Sequence
from itertools import product

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def piecewise_polynomial(
    breaks: np.ndarray, coefficients: np.ndarray
) -> Callable[[Float[Array, "n lanes"]], Float[Array, "n lanes"]]:
    """Make a function that evaluates a piecewise polynomial, the end pieces extended outside the breaks.

    The piece is looked up in buckets no wider than the narrowest piece, so that a bucket meets at most one
    break and one comparison settles it.

    Parameters
    ----------
    breaks
        Increasing abscissae, shape `(pieces + 1,)`.
    coefficients
        Local coefficients, highest power first, shape `(degree + 1, pieces)` as in `scipy.interpolate.PPoly`.
    """
    width = np.diff(breaks).min()
    count = int(np.ceil((breaks[-1] - breaks[0]) / width)) + 1
    bucket_starts = breaks[0] + width * np.arange(count)
    last_piece = len(breaks) - 2
    pieces = np.clip(np.searchsorted(breaks, bucket_starts, side="right") - 1, 0, last_piece).astype(np.int32)
    next_break = np.append(breaks[1:-1], np.inf)
    entries = np.stack([breaks[:-1], *coefficients])

    def evaluate(x: Float[Array, "n lanes"]) -> Float[Array, "n lanes"]:
        bucket = jnp.clip((x - float(breaks[0])) / float(width), 0, count - 1).astype(jnp.int32)
        piece = _entries(pieces, bucket)
        piece = piece + (x >= _entries(next_break.astype(x.dtype), piece))
        start, *powers = _looked_up(entries.astype(x.dtype), piece)
        return functools.reduce(lambda result, power: result * (x - start) + power, powers)

    return evaluate


def _looked_up(table: np.ndarray, places: Int[Array, "n lanes"]) -> Float[Array, "rows n lanes"]:
    """Return columns of a table.

    A look-up has no vector form on a CPU, nor has a loop that it is part of. XLA makes no such loop of it and what
    follows where a product with a constant matrix, here the identity, stands between.
    """
    found = jnp.stack([_entries(row, places) for row in table])
    identity = jnp.eye(len(table), dtype=found.dtype)
    return jnp.matmul(identity, found.reshape(len(table), -1), precision="highest").reshape(found.shape)


def _entries(table: np.ndarray, places: Int[Array, "n lanes"]) -> Array:
    return jnp.asarray(table).at[places].get(mode="promise_in_bounds", wrap_negative_indices=False)


def multilinear(axes: Sequence[np.ndarray], values: np.ndarray) -> Callable[..., Float[Array, "n lanes"]]:
    """Make a function that interpolates linearly in each variable of a grid, the end cells extended outside.

    Parameters
    ----------
    axes
        Increasing grid points of each variable.
    values
        Table on the grid, one dimension per variable.
    """

    def evaluate(*points: Float[Array, "n lanes"]) -> Float[Array, "n lanes"]:
        cells, shares = [], []
        for point, axis in zip(points, map(jnp.asarray, axes), strict=True):
            cell = jnp.clip(jnp.searchsorted(axis, point, side="right") - 1, 0, len(axis) - 2)
            cells.append(cell)
            shares.append((point - axis[cell]) / (axis[cell + 1] - axis[cell]))
        total = jnp.zeros(jnp.broadcast_shapes(*(jnp.shape(point) for point in points)))
        for corner in product((0, 1), repeat=len(axes)):
            weight = jnp.ones_like(total)
            for side, share in zip(corner, shares, strict=True):
                weight = weight * (share if side else 1.0 - share)
            entry = tuple(cell + side for cell, side in zip(cells, corner, strict=True))
            total = total + weight * jnp.asarray(values)[entry]
        return total

    return evaluate
