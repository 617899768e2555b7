"""Monte-Carlo interval of a price: how far it would move with other draws.

The draw is the unit of independence: packs that share a draw share its weather, workload and ageing rates, so
resampling packs would pretend to more than is known. Whole draws, or all draws that share a year of weather and
workload, are resampled (cluster bootstrap), the price
is computed anew each time, and its standard error widens to an interval by Student's t with one degree of
freedom less than there are of these. For an average this is the textbook t-interval. Bootstrap percentiles are
not used: with four draws they are too short by half.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from fadecast.warranty.remedies import Array

REPLICATES = 2000
"""Bootstrap samples: they give the half-width to 2 %."""
_BLOCK = 2**22
"""Weights held at once (32 MB)."""
_STAGE = zlib.crc32(b"warranty")
"""Key of this stage's random numbers beside the study's seed."""

Statistic = Callable[[Float[Array, "replicate draw"]], Mapping[str, Array]]
"""Named quantities for weighted draws; `replicate` is the first dimension of each."""


def half_widths(
    statistic: Statistic, cluster: Int[np.ndarray, " draw"], confidence: float, seed: int
) -> dict[str, Array]:
    """Return the half-width of the Monte-Carlo interval of every quantity.

    Parameters
    ----------
    statistic
        Computes the quantities from the weights of the draws.
    cluster
        Number from 0 of what draws have in common, the same for draws that are not independent.
    confidence
        Probability that the interval holds the value of infinitely many draws.
    seed
        Seed of the study.

    Returns
    -------
    Half-widths, in the units and shapes of the quantities without `replicate`; NaN for a single cluster, which
    says nothing about its error.
    """
    count = int(cluster.max()) + 1
    replicates = list(_replicates(statistic, cluster, count, seed))
    # The bootstrap variance of a mean is (n - 1) / n of the unbiased one.
    factor = spread_factor(count, confidence) * np.sqrt(count / max(count - 1, 1))
    return {name: factor * np.std(np.concatenate([r[name] for r in replicates]), axis=0) for name in replicates[0]}


def spread_factor(count: int, confidence: float) -> float:
    """Return by how many standard errors an interval reaches either way, of so many clusters; NaN of one."""
    return float(stats.t.ppf(0.5 + 0.5 * confidence, count - 1)) if count > 1 else np.nan


def _replicates(
    statistic: Statistic, cluster: Int[np.ndarray, " draw"], count: int, seed: int
) -> Iterator[Mapping[str, Array]]:
    rng = np.random.default_rng([seed, _STAGE])
    step = max(1, _BLOCK // cluster.size)
    for first in range(0, REPLICATES, step):
        size = min(step, REPLICATES - first)
        weights = rng.multinomial(count, np.full(count, 1.0 / count), size=size).astype(np.float64)
        yield statistic(weights[:, cluster])
