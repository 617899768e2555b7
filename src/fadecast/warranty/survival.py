"""How long packs keep what is guaranteed: the share that has not yet fallen short, whatever becomes of their claims.

A pack falls short at the first inspection of the contract that finds its shortfall above 0 (`contract.shortfall`: the
larger of capacity and power missing, beyond the deductible), as the forecast has it: before errors of tests, sudden
failures, defects, waiting period, terms of use and remedies. One at the end of its life falls short; one whose run
failed is followed up to the last inspection at which it is known, and is censored there. One that its fleet replaced
keeps the values of its last day, as in the price. The end of the term censors the others.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fadecast.warranty.contract import Contract, inspection_times, shortfall
from fadecast.warranty.observed import Block, interpolate
from fadecast.warranty.remedies import Array


class Followed(NamedTuple):
    """Packs of each draw, from inspection to inspection [1]."""

    at_risk: Float[Array, "draw inspection"]
    """Known at this inspection and all before, and not fallen short at one before."""
    fallen: Float[Array, "draw inspection"]
    """Of these, fall short at this one."""


def follow(block: Block, contract: Contract, time: Float[Array, " time"]) -> Followed:
    """Follow packs up to their first shortfall, or as long as they are known.

    Parameters
    ----------
    block
        Some draws of a forecast.
    contract
        What is guaranteed, and when it is inspected.
    time
        Of the forecast [year].
    """
    years = inspection_times(contract)
    at_risk, fallen = np.zeros((2, len(block.soh), len(years)))
    followed = np.isfinite(block.soh[:, :, 0])
    for number, year in enumerate(years):
        missing = _missing(block, contract, time, float(year))
        followed &= np.isfinite(missing)
        short = followed & (missing > 0.0)
        at_risk[:, number], fallen[:, number] = followed.sum(axis=1), short.sum(axis=1)
        followed &= ~short
    return Followed(at_risk, fallen)


def _missing(block: Block, contract: Contract, time: Float[Array, " time"], year: float) -> Float[Array, "draw pack"]:
    capacity, power, cycles = interpolate(block.measured(contract), time, year), None, None
    if contract.power_guarantee is not None:
        power = block.power(interpolate(block.further["resistance"], time, year))
    if contract.cycle_guarantee is not None:
        cycles = block.full_cycles(interpolate(block.throughput, time, year))
    return shortfall(contract, np.asarray(year), capacity, power, cycles)


def survival(
    at_risk: Float[Array, "draw inspection"],
    fallen: Float[Array, "draw inspection"],
    weights: Float[Array, "replicate draw"],
) -> Float[Array, "replicate inspection"]:
    """Return the share of packs that have not fallen short after each inspection, of weighted draws [1].

    The product limit, S(t) = prod over inspections up to t of 1 - d / n, with n packs at risk of which d fall
    (Kaplan & Meier 1958, 10.1080/01621459.1958.10501452, equation 2b). Packs of one draw are not independent, so that
    the interval is not Greenwood's: draws are resampled by their weights. With all weights 1 it is
    `scipy.stats.ecdf` of the packs, which takes no weights. Where no pack is at risk any more it stays as it was.

    Parameters
    ----------
    at_risk, fallen
        As of `follow`.
    weights
        How often each draw counts.
    """
    known, lost = weights @ at_risk, weights @ fallen
    kept = np.divide(known - lost, known, out=np.ones_like(known), where=known > 0.0)
    return np.asarray(np.cumprod(kept, axis=1), dtype=np.float64)
