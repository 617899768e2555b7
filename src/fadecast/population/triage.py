"""Triage: which retired cells get a second life, by a test that may err, and how often it does."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from fadecast.population.evidence import RetiredCandidates
from fadecast.settings import settings

_CELLS = 20_000
"""Evenly spaced by SOH among the candidates of a class, where shares are counted."""
_WITHIN = 1e-12
"""Of 0 and 1 that a rank stays."""

Ranks = Float[np.ndarray, " cell"]


@settings
class Triage:
    """The test that decides between a second life and recycling, by the band `soh_range`."""

    test: Literal["exact", "capacity", "pulse"] = "exact"
    """`exact`: SOH without error, an assumption. `capacity`: a capacity test with an error of `soh_sd`. `pulse`: SOH as
    the 5 s resistance tells it by the rank correlation that was measured in each class."""
    soh_sd: Annotated[float, Ge(0.0), Le(0.2)] = 0.02
    """Standard deviation of a capacity test's error, for `capacity` [1]. An assumption: temperature, rate and a rest
    cut short move a measured capacity by 1 to 3 %."""


class Accepted(NamedTuple):
    """Cells that passed."""

    soh_rank: Ranks
    """Rank of SOH among the candidates of the class [1]."""
    resistance: Ranks
    """Normal score of resistance among them."""


class ErrorRates(NamedTuple):
    """How often a test errs, over the candidates of a class."""

    accepted: float
    """Share of candidates that pass [1]."""
    wrongly_accepted: float
    """Share of those that pass whose SOH is outside the band [1]."""
    wrongly_rejected: float
    """Share of those inside the band that do not pass [1]."""
    soh_accepted: float
    """Mean SOH of those that pass [1]."""


def rho_of(retired: RetiredCandidates) -> float:
    """Return the correlation of normal scores of SOH and resistance: rho = 2 sin(pi rho_s / 6) (Pearson 1907)."""
    return float(2.0 * np.sin(np.pi * retired.rank_correlation / 6.0))


def pass_triage(
    triage: Triage, retired: RetiredCandidates, soh_range: tuple[float, float], level: Ranks, independent: Ranks
) -> Accepted:
    """Sample cells that pass.

    Parameters
    ----------
    triage
        The test.
    retired
        Class of the cells.
    soh_range
        Band of SOH that is to be accepted [1].
    level
        Uniform, one of each cell.
    independent
        Normal, of each cell: of resistance where SOH decides, of SOH where resistance does.

    Raises
    ------
    ValueError
        When next to no candidate passes.
    """
    rho = rho_of(retired)
    rest = np.sqrt(1.0 - rho**2)
    if triage.test == "pulse":
        low, high = _resistance_band(retired, soh_range)
        if high - low < 1e-3:
            raise _none_pass(triage, retired, soh_range)
        resistance = _score(low + (high - low) * level)
        return Accepted(ndtr(rho * resistance + rest * independent), resistance)
    if triage.test == "exact" or triage.soh_sd == 0.0:
        low, high = (retired.share_below(bound) for bound in soh_range)
        rank = low + (high - low) * level
    else:
        ranks = (np.arange(_CELLS) + 0.5) / _CELLS
        passed = np.concatenate([[0.0], np.cumsum(_passing(triage, retired, soh_range, ranks))])
        if passed[-1] < 1e-3 * _CELLS:
            raise _none_pass(triage, retired, soh_range)
        rank = np.interp(level, passed / passed[-1], np.linspace(0.0, 1.0, _CELLS + 1))
    return Accepted(rank, rho * _score(rank) + rest * independent)


def _none_pass(triage: Triage, retired: RetiredCandidates, soh_range: tuple[float, float]) -> ValueError:
    return ValueError(
        f"class {retired.name!r}: next to no cell passes a {triage.test} test for SOH {soh_range[0]} to {soh_range[1]} "
        f"(its SOH and resistance have a rank correlation of {retired.rank_correlation:.2f}); choose another test or "
        "band, or leave the class out"
    )


def error_rates(
    triage: Triage, classes: Sequence[RetiredCandidates], weights: Sequence[float], soh_range: tuple[float, float]
) -> ErrorRates:
    """Count how often a test errs among the candidates of some classes, as shares of the packs that are accepted.

    Parameters
    ----------
    triage
        The test.
    classes, weights
        Classes of retired cells, and their shares of the accepted packs, on any scale.
    soh_range
        Band of SOH that is to be accepted [1].

    Raises
    ------
    ValueError
        When next to no candidate of a class passes.
    """
    ranks = (np.arange(_CELLS) + 0.5) / _CELLS
    rows = []
    for retired in classes:
        soh = np.interp(ranks, retired.levels, retired.soh)
        inside = (soh >= soh_range[0]) & (soh <= soh_range[1])
        passing = _passing(triage, retired, soh_range, ranks)
        accepted = passing.mean()
        if accepted < 1e-3:
            raise _none_pass(triage, retired, soh_range)
        wrong = (passing * ~inside).sum() / passing.sum()
        lost = ((1.0 - passing) * inside).sum() / inside.sum()
        rows.append((accepted, wrong, lost, (passing * soh).sum() / passing.sum()))
    shares = np.asarray(weights) / np.sum(weights)
    accepted, wrong, lost, mean = np.transpose(rows)
    # To accept its share, a class needs candidates in proportion to share over acceptance.
    needed = shares / accepted
    inside = accepted * (1.0 - wrong) / (1.0 - lost)
    rejected = (needed * inside * lost).sum() / (needed * inside).sum()
    return ErrorRates(float(1.0 / needed.sum()), float(shares @ wrong), float(rejected), float(shares @ mean))


def _passing(triage: Triage, retired: RetiredCandidates, soh_range: tuple[float, float], ranks: Ranks) -> Ranks:
    """Return the probability with which cells of ranks of SOH pass."""
    soh = np.interp(ranks, retired.levels, retired.soh)
    if triage.test == "pulse":
        low, high = (_score(bound) for bound in _resistance_band(retired, soh_range))
        rho = rho_of(retired)
        rest = np.sqrt(1.0 - rho**2)
        middle = rho * _score(ranks)
        return np.asarray(ndtr((high - middle) / rest) - ndtr((low - middle) / rest))
    if triage.test == "exact" or triage.soh_sd == 0.0:
        return ((soh >= soh_range[0]) & (soh <= soh_range[1])).astype(float)
    low, high = ((bound - soh) / triage.soh_sd for bound in soh_range)
    return np.asarray(ndtr(high) - ndtr(low))


def _resistance_band(retired: RetiredCandidates, soh_range: tuple[float, float]) -> tuple[float, float]:
    """Return between which ranks of resistance the most likely SOH lies in the band."""
    rho = rho_of(retired)
    if abs(rho) < _WITHIN:
        median = float(np.interp(0.5, retired.levels, retired.soh))
        return (0.0, 1.0) if soh_range[0] <= median <= soh_range[1] else (0.0, 0.0)
    ends = [float(ndtr(_score(retired.share_below(bound)) / rho)) for bound in soh_range]
    # What lies beyond all candidates is no bound.
    ends = [
        float(rho < 0.0) if bound <= retired.soh[0] else float(rho > 0.0) if bound >= retired.soh[-1] else end
        for bound, end in zip(soh_range, ends, strict=True)
    ]
    return min(ends), max(ends)


def _score(rank: float | Ranks) -> Ranks:
    return np.asarray(ndtri(np.clip(rank, _WITHIN, 1.0 - _WITHIN)))
