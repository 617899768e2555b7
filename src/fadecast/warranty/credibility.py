"""What telemetry will tell: how far measured years of a fleet narrow down what is still to be paid.

Each draw in turn is taken for the truth: its fleet is measured, and all draws are weighed by how likely they make what
was measured (importance weights of a sequential Bayesian update). What is still unpaid is then expected by these
weights, with the spread that is left. Averages over all truths say what a year of telemetry is worth before it is had.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fadecast.warranty.remedies import Array
from fadecast.warranty.tails import DRAWS_BEYOND

MOST_YEARS = 3
"""Years of telemetry that are looked at."""
RANGE = (0.05, 0.95)
"""Between these quantiles over truths lies what is expected once the telemetry is had."""
_BLOCK = 2**22


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


def telemetry(
    level: Float[Array, "draw policy_year"],
    unpaid: Float[Array, "draw policy_year"],
    error: float,
    years: int = MOST_YEARS,
) -> Telemetry:
    """Weigh draws by what is measured of their fleets, year after year.

    Parameters
    ----------
    level
        Mean over the packs of a draw of what the contract measures, at the end of each policy year [fraction].
    unpaid
        Claims after each policy year [USD/kWh].
    error
        Standard deviation of an error that the mean of a fleet is measured with, another each year [fraction].
    years
        How many are looked at.
    """
    rows = [_after(level[:, : year + 1], unpaid[:, year], error) for year in range(min(years, level.shape[1] - 1))]
    return Telemetry(*np.array(rows).reshape(-1, len(Telemetry._fields)).T)


def _after(level: Float[Array, "draw year"], rest: Float[Array, " draw"], error: float) -> tuple[float, ...]:
    """Return the fields of `Telemetry` after some years."""
    draws = len(level)
    if draws < DRAWS_BEYOND:
        deviation = float(rest.std(ddof=1)) if draws > 1 else np.nan
        return deviation, np.nan, np.nan, np.nan, draws - 1.0
    expected, variance, effective = np.empty((3, draws))
    step = max(1, _BLOCK // draws)
    for first in range(0, draws, step):
        truth = slice(first, first + step)
        # A year without an inspection tells nothing.
        apart = np.nan_to_num((level[truth, None] - level[None]) / error)
        log = -0.5 * (apart**2).sum(axis=2)
        # A draw is no evidence for itself.
        log[np.arange(len(log)), np.arange(first, first + len(log))] = -np.inf
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        expected[truth] = weight @ rest
        variance[truth] = np.maximum(weight @ rest**2 - expected[truth] ** 2, 0.0)
        effective[truth] = 1.0 / (weight**2).sum(axis=1)
    left = float(np.median(effective))
    told = left >= DRAWS_BEYOND
    low, high = np.quantile(expected, RANGE) if told else (np.nan, np.nan)
    return float(rest.std(ddof=1)), float(np.sqrt(variance.mean())) if told else np.nan, low, high, left
