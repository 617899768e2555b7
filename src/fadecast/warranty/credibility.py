"""What telemetry will tell: how far measured years of a fleet narrow down what is still to be paid.

Each draw in turn is taken for the truth: its fleet is measured with an error, and all draws are weighed by how likely
they make what was measured (importance weights of a sequential Bayesian update). What is still unpaid is then expected
by these weights, with the spread that is left. Averages over truths say what a year of telemetry is worth beforehand.
"""

import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fadecast.warranty.principles import mean_and_deviation
from fadecast.warranty.remedies import Array
from fadecast.warranty.tails import DRAWS_BEYOND

MOST_YEARS = 3
"""Years of telemetry that are looked at."""
RANGE = (0.05, 0.95)
"""Between these quantiles over truths lies what is expected once the telemetry is had."""
_BLOCK = 2**22
_MOST_TRUTHS = 2000
_NOTHING = 1e-12
"""Weight of the other draws below which one holds all of it."""
_STAGE = zlib.crc32(b"warranty telemetry")


class Telemetry(NamedTuple):
    """After each of the first years, per kWh of base energy [USD/kWh]."""

    deviation: Float[Array, " telemetry_year"]
    """Standard deviation over draws of what is unpaid, if nothing is measured."""
    deviation_left: Float[Array, " telemetry_year"]
    """The same by the weights that measured years give, in the mean over truths; NaN where fewer than 20 draws are left
    to tell, in the median over truths."""
    low: Float[Array, " telemetry_year"]
    """Low end of `RANGE` of what is then expected to be unpaid."""
    high: Float[Array, " telemetry_year"]
    """High end of it."""
    draws_left: Float[Array, " telemetry_year"]
    """Effective number of draws, the median over truths [1]."""
    deviation_error: Float[Array, " telemetry_year"]
    """Standard error of `deviation`, by leaving out in turn what draws have in common."""
    deviation_left_error: Float[Array, " telemetry_year"]
    """The same of `deviation_left`: left out as truths and as what they are held for."""


def telemetry(
    level: Float[Array, "draw year"],
    unpaid: Float[Array, "draw policy_year"],
    error: float,
    seed: int,
    weight: Float[Array, " draw"] | None = None,
    cluster: Int[np.ndarray, " draw"] | None = None,
) -> Telemetry:
    """Weigh draws by what is measured of their fleets, year after year.

    Parameters
    ----------
    level
        Mean over the packs of a draw of what the contract measures, after 1, 2 and 3 years [fraction].
    unpaid
        Claims after each policy year [USD/kWh].
    error
        Standard deviation of an error that the mean of a fleet is measured with, another each year [fraction].
    seed
        Of these errors.
    weight
        How much each draw counts [1]; None: as much as any other.
    cluster
        Number from 0 of what draws have in common; None: each has its own.
    """
    cluster = np.arange(len(level)) if cluster is None else cluster
    weight = np.ones(len(level)) if weight is None else weight
    years = min(level.shape[1], unpaid.shape[1] - 1)
    count = min(len(level), _MOST_TRUTHS)
    # As many truths as each draw counts for.
    truths = np.searchsorted(np.cumsum(weight) / weight.sum(), (np.arange(count) + 0.5) / count)
    noise = error * np.random.default_rng([seed, _STAGE]).normal(size=(len(truths), level.shape[1]))
    measured = level[truths] + noise
    after = [
        _after(measured[:, : year + 1], level[:, : year + 1], truths, unpaid[:, year], error, weight, cluster)
        for year in range(years)
    ]
    return Telemetry(*np.array(after).reshape(-1, len(Telemetry._fields)).T)


def _after(
    measured: Float[Array, "truth year"],
    level: Float[Array, "draw year"],
    truths: Int[np.ndarray, " truth"],
    rest: Float[Array, " draw"],
    error: float,
    prior: Float[Array, " draw"],
    cluster: Int[np.ndarray, " draw"],
) -> tuple[float, ...]:
    """Return the fields of `Telemetry` after some years."""
    draws = len(level)
    deviation = mean_and_deviation(rest, prior[None])[1].item() if draws > 1 else np.nan
    without = Without(cluster)
    deviation_error = without.error_of_deviation(rest, prior)
    if draws < DRAWS_BEYOND:
        return deviation, np.nan, np.nan, np.nan, draws - 1.0, deviation_error, np.nan
    expected, variance, effective = np.empty((3, len(truths)))
    step = max(1, _BLOCK // draws)
    for first in range(0, len(truths), step):
        some = slice(first, first + step)
        log = np.log(prior) - 0.5 * (((measured[some, None] - level[None]) / error) ** 2).sum(axis=2)
        # A draw is no evidence for itself.
        log[np.arange(len(log)), truths[some]] = -np.inf
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        expected[some] = weight @ rest
        variance[some] = np.maximum(weight @ rest**2 - expected[some] ** 2, 0.0)
        effective[some] = 1.0 / (weight**2).sum(axis=1)
        without.add(weight, rest, truths[some])
    left = float(np.median(effective))
    told = left >= DRAWS_BEYOND
    low, high = np.quantile(expected, RANGE) if told else (np.nan, np.nan)
    deviation_left, left_error = (float(np.sqrt(variance.mean())), without.error()) if told else (np.nan, np.nan)
    return deviation, deviation_left, low, high, left, deviation_error, left_error


class Without:
    """What deviations would be without each cluster of draws: their standard errors by the jackknife.

    (Efron and Stein 1981, doi:10.1214/aos/1176345462.)
    """

    def __init__(self, cluster: Int[np.ndarray, " draw"]) -> None:
        self._cluster, self._order = cluster, np.argsort(cluster, kind="stable")
        self._first = np.flatnonzero(np.diff(cluster[self._order], prepend=-1))
        self._variance, self._truths = np.zeros((2, len(self._first)))

    def error_of_deviation(self, rest: Float[Array, " draw"], prior: Float[Array, " draw"]) -> float:
        """Return the standard error of the deviation over weighted draws [USD/kWh]."""
        weight = (prior / prior.sum())[None]
        draws = len(rest) - np.bincount(self._cluster)
        if draws.min() < 2:
            return np.nan
        return self._jackknife(np.sqrt(self._variances(weight, rest)[0] * draws / (draws - 1)))

    def add(
        self, weight: Float[Array, "truth draw"], rest: Float[Array, " draw"], truths: Int[np.ndarray, " truth"]
    ) -> None:
        """Add the variances of some truths; one that is left out itself is no truth then."""
        variance = self._variances(weight, rest)
        variance[np.arange(len(truths)), self._cluster[truths]] = np.nan
        self._variance += np.nansum(variance, axis=0)
        self._truths += np.isfinite(variance).sum(axis=0)

    def error(self) -> float:
        """Return the standard error of the deviation that is left, in the mean over truths [USD/kWh]."""
        return self._jackknife(np.sqrt(self._variance / np.maximum(self._truths, 1.0)))

    def _variances(self, weight: Float[Array, "truth draw"], rest: Float[Array, " draw"]) -> Array:
        """Return the variance by weights that sum to 1, without each cluster, `(truth, cluster)`."""
        sums = []
        for values in (weight, weight * rest, weight * rest**2):
            of_clusters = np.add.reduceat(values[:, self._order], self._first, axis=1)
            sums.append(values.sum(axis=1, keepdims=True) - of_clusters)
        left, first, second = sums
        left = np.where(left > _NOTHING, left, np.nan)
        return np.asarray(np.maximum(second / left - (first / left) ** 2, 0.0))

    def _jackknife(self, values: Float[Array, " cluster"]) -> float:
        count = len(values)
        return float(np.sqrt((count - 1) / count * np.sum((values - values.mean()) ** 2))) if count > 1 else np.nan
