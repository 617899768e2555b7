"""Piecewise polynomials of measured curves, evaluated for many lanes without a search."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


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

    def evaluate(x: Float[Array, "n lanes"]) -> Float[Array, "n lanes"]:
        bucket = jnp.clip((x - breaks[0]) / width, 0, count - 1).astype(jnp.int32)
        piece = jnp.asarray(pieces)[bucket]
        piece = piece + (x >= jnp.asarray(next_break)[piece])
        distance = x - jnp.asarray(breaks)[piece]
        result = jnp.asarray(coefficients[0])[piece]
        for power in coefficients[1:]:
            result = result * distance + jnp.asarray(power)[piece]
        return result

    return evaluate
