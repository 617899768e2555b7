"""State of health and resistance of the packs, as retired cells of the chosen classes have them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from fadecast.population.evidence import RetiredCandidates
from fadecast.population.keys import Inside, Seed, pack_normals, pack_uniforms
from fadecast.population.triage import Triage, pass_triage

FEWEST_CELLS = 5
"""Fewest measured cells of a class inside the retirement band before it is sampled from."""

LOW_LEVEL = 0.05
"""Quantile of a class's resistance that its packs' resistance is an excess over."""


@dataclass(frozen=True)
class RetiredPacks:
    """SOH, excess of resistance (over the class median) above the class's `LOW_LEVEL` quantile, and class."""

    soh: Float[np.ndarray, "draw pack"]
    excess_resistance: Float[np.ndarray, "draw pack"]
    member: Int[np.ndarray, "draw pack"]

    def taken(self, columns: Int[np.ndarray, "draw column"]) -> "RetiredPacks":
        """Return some of them."""
        fields = (self.soh, self.excess_resistance, self.member)
        return RetiredPacks(*(np.take_along_axis(field, columns, axis=1) for field in fields))


def cells_in_band(retired: RetiredCandidates, soh_range: tuple[float, float]) -> float:
    """Return how many measured cells of a class the retirement band holds, by its quantile table."""
    low, high = soh_range
    return retired.cells * (retired.share_below(high) - retired.share_below(low))


def sample_retired(
    seed: Seed,
    classes: Sequence[RetiredCandidates],
    weights: Sequence[float],
    soh_range: tuple[float, float],
    draws: int,
    packs: int,
    inside: Inside | None = None,
    triage: Triage | None = None,
) -> RetiredPacks:
    """Sample class, SOH and resistance of each pack, or of each group of packs of one class.

    SOH is the inverse of the class's measured distribution, restricted to what passes the triage. Resistance has the
    class's measured distribution, joined to SOH by a Gaussian copula of Spearman's correlation. The copula is that of
    all candidates of the class, so a band narrower than theirs keeps their conditional resistance.

    Parameters
    ----------
    seed
        Of the study.
    classes, weights
        Classes of retired cells, and their shares of the packs (any scale).
    soh_range
        Band of SOH accepted for second life [1].
    draws, packs
        How many.
    inside
        Groups of a pack: the fields then hold those of each pack after each other.
    triage
        The test that packs, or groups, have passed; by default one without error.

    Raises
    ------
    ValueError
        When a class has fewer than `FEWEST_CELLS` measured cells in the band, or next to none passes.
    """
    for retired in classes:
        held = cells_in_band(retired, soh_range)
        # Half a cell of slack: the count is read from a quantile table, not from the cells.
        if held < FEWEST_CELLS - 0.5:
            raise ValueError(
                f"class {retired.name!r} has about {held:.0f} measured cells of SOH {soh_range[0]} to "
                f"{soh_range[1]}, {FEWEST_CELLS} are needed; its cells run from {retired.soh[0]:.2f} to "
                f"{retired.soh[-1]:.2f}: widen soh_range or leave the class out"
            )
    bounds = np.cumsum(weights) / np.sum(weights)
    choice = pack_uniforms(seed, "retired class", draws, packs)[..., 0]
    member = np.minimum(np.searchsorted(bounds, choice, side="right"), len(classes) - 1)
    if inside is not None:
        member = np.repeat(member, inside.groups, axis=1)
    level = pack_uniforms(seed, "soh", draws, packs, 1, inside)[..., 0]
    independent = pack_normals(seed, "resistance", draws, packs, 1, inside)[..., 0]
    soh, excess = np.empty((2, *member.shape))
    for index, retired in enumerate(classes):
        chosen = member == index
        passed = pass_triage(triage or Triage(), retired, soh_range, level[chosen], independent[chosen])
        soh[chosen] = np.interp(passed.soh_rank, retired.levels, retired.soh)
        excess[chosen] = _excess(retired, passed.resistance)
    return RetiredPacks(soh, excess, member)


def _excess(retired: RetiredCandidates, normal: Float[np.ndarray, " pack"]) -> Float[np.ndarray, " pack"]:
    resistance = np.interp(ndtr(normal), retired.levels, retired.relative_resistance)
    low = np.interp(LOW_LEVEL, retired.levels, retired.relative_resistance)
    return np.asarray(np.maximum(resistance - low, 0.0))
