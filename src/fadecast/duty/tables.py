"""Drawing from a table of quantiles."""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import signal, special

Array = np.ndarray[Any, np.dtype[np.float64]]


def levels(count: int) -> Array:
    """Return the probabilities of a table of `count` equally spaced quantiles, 0 and 1 included."""
    return np.linspace(0.0, 1.0, count)


def from_normal(z: Float[np.ndarray, "n"], quantiles: Float[np.ndarray, "level"]) -> Float[np.ndarray, "n"]:
    """Map standard normal scores to the distribution whose equally spaced quantiles are given."""
    return np.asarray(np.interp(special.ndtr(z), levels(quantiles.size), quantiles))


def normal_scores(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return the standard normal scores of the ranks of a sample (Blom: (rank - 3/8) / (n + 1/4))."""
    rank = values.argsort(kind="stable").argsort(kind="stable") + 1.0
    return np.asarray(special.ndtri((rank - 0.375) / (values.size + 0.25)))


def red_noise(rng: np.random.Generator, count: int, persistence: float) -> Float[np.ndarray, "count"]:
    """Return a stationary first-order autoregression of unit variance with the given lag-1 correlation."""
    shocks = rng.standard_normal(count)
    shocks[1:] *= np.sqrt(1.0 - persistence**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -persistence], shocks))
