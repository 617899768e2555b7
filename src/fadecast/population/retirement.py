"""State of health and resistance of the packs, as retired cells of the chosen classes have them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from fadecast.population.evidence import RetiredCandidates
from fadecast.population.keys import Inside, pack_normals, pack_uniforms

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
    seed: int,
    classes: Sequence[RetiredCandidates],
    weights: Sequence[float],
    soh_range: tuple[float, float],
    draws: int,
    packs: int,
    inside: Inside | None = None,
) -> RetiredPacks:
    """Sample class, SOH and resistance of each pack, or of each group of packs of one class.

    SOH is the inverse of the class's measured distribution, restricted to the band. Resistance has the
    class's measured distribution, joined to SOH by a Gaussian copula of Spearman's correlation rho_s:
    rho = 2 sin(pi rho_s / 6) (Pearson 1907, for normal variables). The copula is that of all
    candidates of the class, so a band narrower than theirs keeps their conditional resistance.

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

    Raises
    ------
    ValueError
        When a class has fewer than `FEWEST_CELLS` measured cells in the band.
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
        low, high = (retired.share_below(bound) for bound in soh_range)
        rank = low + (high - low) * level[chosen]
        soh[chosen] = np.interp(rank, retired.levels, retired.soh)
        excess[chosen] = _excess(retired, rank, independent[chosen])
    return RetiredPacks(soh, excess, member)


def _excess(
    retired: RetiredCandidates, soh_rank: Float[np.ndarray, " pack"], independent: Float[np.ndarray, " pack"]
) -> Float[np.ndarray, " pack"]:
    rho = 2.0 * np.sin(np.pi * retired.rank_correlation / 6.0)
    inside = np.clip(soh_rank, 1e-12, 1.0 - 1e-12)
    normal = rho * ndtri(inside) + np.sqrt(1.0 - rho**2) * independent
    resistance = np.interp(ndtr(normal), retired.levels, retired.relative_resistance)
    low = np.interp(LOW_LEVEL, retired.levels, retired.relative_resistance)
    return np.asarray(np.maximum(resistance - low, 0.0))
