"""How an inspection measures, and what ends packs besides fade, and contracts.

Random numbers belong to a draw and a pack.
"""

import zlib
from functools import lru_cache
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Bool, Float
from scipy.special import ndtri
from scipy.stats.qmc import Sobol

from fadecast.settings import settings
from fadecast.warranty.remedies import Array

Probability = Annotated[float, Ge(0.0), Le(1.0)]

_STAGE = zlib.crc32(b"warranty claims")
_RATE, _END, _BATCHES = 0, 1, 2


@settings
class Test:
    """How a pack is measured at an inspection: a claim is triggered by what is measured, not by what is."""

    __test__ = False

    bias_sd: Annotated[float, Ge(0.0), Le(0.2)] = 0.0
    """Standard deviation over packs of an error that stays: the tester, the pack's temperature [fraction of base
    energy]. Default: a test without error."""
    noise_sd: Annotated[float, Ge(0.0), Le(0.2)] = 0.0
    """Standard deviation of an error that is another in every test [fraction of base energy]."""
    retest: bool = True
    """Whether a pack that falls short is tested again; what is owed then follows from the second test, and nothing is
    if that finds no shortfall. Without, the worst of many tests is paid for."""
    handling_usd: Annotated[float, Ge(0.0)] = 0.0
    """What each pack that falls short in its first test costs to look at, owed or not [USD]."""


@settings
class Failures:
    """Packs that end at once, by themselves or with others of their batch. Off by default: rates are zero."""

    per_year: Probability = 0.0
    """Median over draws of the rate of sudden failures of a pack [1/year]. A prior to set here is 0.003: of electric
    cars of model years 2016 and later under 1 %, of those of 2015 3.9 % had their pack replaced by 2024, recalls left
    out (Recurrent, some 20,000 cars); retired packs are older."""
    log_sd: Annotated[float, Ge(0.0), Le(3.0)] = 0.8
    """Standard deviation over draws of its logarithm [1]: packs in second life have no record."""
    batches: Annotated[int, Ge(1), Le(10_000)] = 4
    """Batches of like make that the packs are of, in turn."""
    defect_probability: Probability = 0.0
    """Probability that a batch turns out defective within the term, in a draw [1]. Two makers' packs of that decade
    were recalled whole (Chevrolet Bolt, Hyundai Kona): 0.05 a batch is of that order."""
    defect_share: Probability = 0.3
    """Share of a defective batch that ends [1]. An assumption."""
    defect_years: Annotated[float, Gt(0.0), Le(100.0)] = 2.0
    """Time over which they end, one after the other [year]. An assumption."""


@settings
class Termination:
    """Contracts that their owner ends before the term: a site closes, or its packs are sold."""

    per_year: Probability = 0.0
    """Rate at which the contract of a draw ends, with all of its packs [1/year]. Default: none ends early."""
    refund_share: Probability = 1.0
    """Share of the unearned premium that the owner is given back; it is earned by time, evenly over the term [1].
    Default: all of it (pro rata); less is a penalty on ending early (short rate)."""


def lasting_error(test: Test, seed: int, draws: range, packs: int) -> Float[Array, "draws packs"]:
    """Return the error that each pack has in every test [fraction of base energy]."""
    return _normal(test.bias_sd, seed, "bias", draws, packs)


def passing_error(
    test: Test, seed: int, draws: range, packs: int, inspection: int, again: bool
) -> Float[Array, "draws packs"]:
    """Return the error that each pack has beside in a test at an inspection [fraction of base energy]."""
    return _normal(test.noise_sd, seed, f"noise {inspection}{' again' if again else ''}", draws, packs)


def _normal(deviation: float, seed: int, stream: str, draws: range, packs: int) -> Float[Array, "draws packs"]:
    found = np.zeros((len(draws), packs))
    if deviation > 0.0:
        for row, draw in zip(found, draws, strict=True):
            _generator(seed, stream, draw).standard_normal(out=row)
    found *= deviation
    return found


def ends_suddenly(
    failures: Failures, seed: int, draws: range, packs: int, inspection: int, years: float
) -> Bool[np.ndarray, "draws packs"]:
    """Return which packs fail by themselves in the years before an inspection: failures have no memory."""
    if failures.per_year == 0.0:
        return np.zeros((len(draws), packs), dtype=bool)
    normal = ndtri(chances(seed, draws, failures.batches)[:, _RATE])
    probability = -np.expm1(-failures.per_year * np.exp(failures.log_sd * normal) * years)
    chance = np.stack([_generator(seed, f"failure {inspection}", draw).random(packs) for draw in draws])
    return np.asarray(chance < probability[:, None])


def defect_years(
    failures: Failures, sampled: float | None, seed: int, draws: range, packs: int, term: float
) -> Float[Array, "draws packs"]:
    """Return when each pack ends by the defect of its batch [year]; infinite where it does not.

    `sampled` is the probability of a defective batch in the sample, None for that of the failures.
    """
    found = np.full((len(draws), packs), np.inf)
    if failures.defect_probability == 0.0:
        return found
    probability = failures.defect_probability if sampled is None else sampled
    batch = np.arange(packs) % failures.batches
    of_batches = chances(seed, draws, failures.batches)[:, _BATCHES:]
    for row, draw in enumerate(draws):
        bad, when = np.split(of_batches[row], 2)
        defective, onset = bad < probability, term * when
        # A stream each: what a pack has does not hang on how many there are.
        chance, delay = (_generator(seed, f"defects of packs, {what}", draw).random(packs) for what in ("ends", "when"))
        ends = defective[batch] & (chance < failures.defect_share)
        found[row] = np.where(ends, onset[batch] + failures.defect_years * delay, np.inf)
    return found


def likelihood_ratio(failures: Failures, sampled: float | None, seed: int, draws: range) -> Float[Array, " draws"]:
    """Return how much more likely the bad batches of each draw are than in the sample [1]."""
    right = failures.defect_probability
    if sampled is None or right == 0.0:
        return np.ones(len(draws))
    bad = np.sum(chances(seed, draws, failures.batches)[:, _BATCHES : _BATCHES + failures.batches] < sampled, axis=1)
    return np.asarray((right / sampled) ** bad * ((1.0 - right) / (1.0 - sampled)) ** (failures.batches - bad))


def ends_early(termination: Termination, failures: Failures, seed: int, draws: range) -> Float[Array, " draws"]:
    """Return when the contract of each draw is ended by its owner [year]; infinite where none is."""
    if termination.per_year == 0.0:
        return np.full(len(draws), np.inf)
    waited = -np.log1p(-chances(seed, draws, failures.batches)[:, _END])
    # An owner who is as good as never leaving leaves at a time that no number holds.
    with np.errstate(over="ignore"):
        return np.asarray(waited / termination.per_year)


def chances(seed: int, draws: range, batches: int) -> Float[Array, "draws chances"]:
    """Return the uniform numbers that all packs of a draw share, each evenly spread over the draws.

    They are the points of a Sobol sequence, scrambled (Matousek 1998, doi:10.1006/jcom.1998.0489): few draws hold close
    to as many bad batches and high rates as there should be. Point i is of draw i, however many draws there are.

    Returns
    -------
    In columns: the rate of failures, the end of the contract, and for each batch whether it is defective, and when.
    """
    return _points(seed, batches, (draws.stop - 1).bit_length())[draws.start : draws.stop]


@lru_cache(maxsize=2)
def _points(seed: int, batches: int, power: int) -> Float[Array, "draws chances"]:
    return np.asarray(Sobol(_BATCHES + 2 * batches, rng=_generator(seed, "what packs share", 0)).random_base2(power))


def _generator(seed: int, stream: str, draw: int) -> np.random.Generator:
    return np.random.default_rng([seed, _STAGE, zlib.crc32(stream.encode()), draw])
