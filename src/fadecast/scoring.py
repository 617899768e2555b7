"""Scores of forecasts against what was measured: error, coverage, sharpness, and the continuous ranked probability."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

LEVELS = (0.05, 0.5, 0.95)
"""Quantiles of a forecast."""


class Score(NamedTuple):
    """How a forecast of one cell came true at its last check-up."""

    error: float
    """Median forecast less measured retention [1]."""
    fade: float
    """Measured loss [1]."""
    inside: bool
    """Whether the 90 % interval holds it."""
    width: float
    """Of the 90 % interval [1]."""
    crps: float
    """Continuous ranked probability score [1]."""
    inside_share: float
    """Share of all check-ups that their 90 % intervals hold [1]."""


def crps(forecast: Float[np.ndarray, "draw reading"], measured: float) -> float:
    """Return the continuous ranked probability score of draws: E|X - y| - E|X - X'| / 2, in the unit of both.

    Gneiting & Raftery 2007, doi:10.1198/016214506000001437, eq. 21, without bias (Ferro 2014): pairs are of different
    draws.
    """
    draws, readings = forecast.shape
    apart = _apart(forecast.reshape(1, -1))[0] - _apart(forecast).sum()
    pairs = 0.5 * draws * (draws - 1) * readings**2
    return float(np.abs(forecast - measured).mean() - 0.5 * apart / pairs)


def _apart(values: Float[np.ndarray, "row value"]) -> Float[np.ndarray, " row"]:
    """Return the sum of the differences of all pairs of a row."""
    count = values.shape[1]
    return np.asarray((2.0 * np.arange(count) - count + 1.0) * np.sort(values, axis=1)).sum(axis=1)


def levels_of(forecast: Float[np.ndarray, "time draw reading"]) -> Float[np.ndarray, "level time"]:
    """Return the quantiles `LEVELS` of what draws are of, at each time.

    By expected rank, p (n + 1): of n draws and what they foretell, alike, nine in ten then lie between the outer two
    (Hyndman & Fan 1996, doi:10.1080/00031305.1996.10473566, definition 6). By the rank of the draws alone it would be
    86 % of 48 draws. Readings count for as many as would be independent.
    """
    return np.stack([_quantiles(each) for each in forecast], axis=1)


def _quantiles(forecast: Float[np.ndarray, "draw reading"]) -> Float[np.ndarray, " level"]:
    """Return the quantiles `LEVELS` at one time.

    Means over the part of all readings that one of as many independent ones stands for, at its expected rank.
    """
    count, readings = _independent(forecast), np.sort(forecast, axis=None)
    rank = np.clip(np.array(LEVELS) * (count + 1.0), 1.0, count)
    below = np.append(0.0, np.cumsum(readings)) / readings.size
    share = np.arange(readings.size + 1) / readings.size
    upper, lower = (np.interp(at / count, share, below) for at in (rank, rank - 1.0))
    return np.asarray(count * (upper - lower))


def _independent(forecast: Float[np.ndarray, "draw reading"]) -> float:
    """Return how many independent readings tell a mean rank as well, by how alike those of a draw are.

    The design effect of clusters (Kish 1965, Survey Sampling, ch. 5); of ranks, since one draw may be far off.
    """
    draws, readings = forecast.shape
    ranks = rankdata(forecast).reshape(forecast.shape)
    within = ranks.var(axis=1, ddof=1).mean() if readings > 1 else 0.0
    between = readings * ranks.mean(axis=1).var(ddof=1)
    whole = between + (readings - 1) * within
    alike = np.clip((between - within) / whole, 0.0, 1.0) if whole else 1.0
    return float(draws * readings / (1.0 + (readings - 1) * alike))


def score(forecast: Float[np.ndarray, "time draw reading"], measured: Float[np.ndarray, " time"]) -> Score:
    """Score a forecast of retention at the check-ups of one cell, the first of which is the start.

    Parameters
    ----------
    forecast
        Draws at each check-up, and readings of each draw [1].
    measured
        Retention [1].
    """
    low, middle, high = levels_of(forecast[1:])
    inside = (measured[1:] >= low) & (measured[1:] <= high)
    return Score(
        error=float(middle[-1] - measured[-1]),
        fade=float(1.0 - measured[-1]),
        inside=bool(inside[-1]),
        width=float(high[-1] - low[-1]),
        crps=crps(forecast[-1], float(measured[-1])),
        inside_share=float(inside.mean()),
    )


def root_of_time(
    days: list[Float[np.ndarray, " time"]], retention: list[Float[np.ndarray, " time"]], until: float
) -> float:
    """Return the retention that a square root of time predicts, its rate the median of other cells [1].

    Parameters
    ----------
    days, retention
        Of the other cells at their check-ups [day], [1].
    until
        Time of the prediction [day].
    """
    rates = [float(np.sqrt(t) @ (1.0 - r) / np.maximum(t.sum(), 1e-12)) for t, r in zip(days, retention, strict=True)]
    return float(1.0 - np.median(rates) * np.sqrt(until))
