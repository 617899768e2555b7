"""Groups of a pack: how they differ, how packs are built from them, and which are simulated.

A pack is `n_series` groups at one current. A group is cells in parallel, lumped into one cell.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float, Int

from fadecast.population.keys import Inside
from fadecast.population.priors import LogNormalPrior
from fadecast.population.retirement import RetiredPacks
from fadecast.settings import settings

DAYS_PER_MONTH = 365.25 / 12.0


@settings
class Groups:
    """What packs are made of; by default each is as one representative cell."""

    n_series: Annotated[int, Ge(1), Le(1000)] = 1
    """Groups in series of a pack; about 96 in a 400 V vehicle. 1: each pack is as one cell, and nothing else here
    matters."""
    weakest: Annotated[int, Ge(1), Le(999)] | None = None
    """Groups of a pack that are simulated each: those of the lowest capacity at the start. All others are then one
    more, of their mean parameters: one is enough where balancing keeps up with self-discharge; where it does not, the
    mean hides the group that leaks most (`experiments/pack_groups`). Null: every group is simulated."""
    within_share: Annotated[float, Ge(0), Le(1)] = 0.2
    """Share of the variance between cells (SOH, resistance, loss split and what priors let differ between packs) that
    lies between the groups of one pack [1]; the rest lies between packs. Assumed: cells of three retired modules are
    said to scatter by 2.4 % in SOH (arXiv 2507.14020), retired cells accepted here by 5 %, and (2.4/5)^2 is 0.23."""
    sorting: Literal["random", "capacity", "resistance"] = "random"
    """How packs are built. `random`: of the groups they came with, spread by `within_share`. Else all groups of a draw
    and a class of cells are sorted by capacity or resistance at the start, and packs are filled in that order; a pack
    then depends on how many there are."""
    self_discharge: LogNormalPrior = LogNormalPrior(median=0.01, log_sd=0.3, pack_log_sd=0.3)
    """Charge that a group loses by itself, beside side reactions of the model, over its capacity [1/month]. Its spread
    over packs is one between groups, each by itself. Assumed; a few per cent a month are usual, side reactions
    included."""
    balancing: Annotated[float, Ge(0), Le(1)] = 0.005
    """Most charge that passive balancing takes from a group, over nameplate capacity [1/day]; 0: none. Default: as
    0.1 A for 3 h a day from 60 A.h, assumed."""

    def __post_init__(self) -> None:
        """Check that some groups are left to be lumped."""
        if self.weakest is not None and self.weakest >= max(self.n_series, 2):
            raise ValueError(
                f"weakest is {self.weakest} of {self.n_series} groups in series; must be fewer: leave it out (null) to "
                "simulate every group"
            )

    @property
    def inside(self) -> Inside | None:
        """How groups share the spread between cells; None where a pack is one cell."""
        return None if self.n_series == 1 else Inside(self.n_series, self.within_share)


class Packed(NamedTuple):
    """The groups of each pack, `(draw, pack, group)` or with parameters after that."""

    parameters: Float[np.ndarray, "draw pack group parameter"]
    soh: Float[np.ndarray, "draw pack group"]
    """Capacity over nameplate at the start [1]."""
    self_discharge: Float[np.ndarray, "draw pack group"]
    """[1/day]"""


class Simulated(NamedTuple):
    """The groups of each pack that are simulated."""

    parameters: Float[np.ndarray, "draw pack group parameter"]
    soh: Float[np.ndarray, "draw pack group"]
    self_discharge: Float[np.ndarray, "draw pack group"]
    weight: Float[np.ndarray, " group"]
    """Share of the pack's groups that each stands for [1]."""


def pack_order(groups: Groups, retired: RetiredPacks) -> Int[np.ndarray, "draw pack group"]:
    """Fill packs with the groups that were sampled: the column of each group of each pack. Packs keep their class."""
    member = retired.member
    order = np.tile(np.arange(member.shape[1]), (len(member), 1))
    if groups.sorting != "random" and groups.inside is not None:
        key = retired.soh if groups.sorting == "capacity" else retired.excess_resistance
        for draw, row in enumerate(member):
            for each in np.unique(row):
                columns = np.flatnonzero(row == each)
                order[draw, columns] = columns[np.argsort(key[draw, columns], kind="stable")]
    return order.reshape(len(order), -1, groups.n_series)


def choose_groups(groups: Groups, packed: Packed) -> Simulated:
    """Choose which groups of packs to simulate, the weakest first."""
    n, k = groups.n_series, groups.weakest
    weakest = np.argsort(packed.soh, axis=2, kind="stable")
    parameters, soh, leaks = (_taken_in_pack(values, weakest) for values in packed)
    if k is None:
        return Simulated(parameters, soh, leaks, np.full(n, 1.0 / n))
    weight = np.append(np.full(k, 1.0 / n), (n - k) / n)
    return Simulated(_lumped(parameters, k), _lumped(soh, k), _lumped(leaks, k), weight)


def _lumped(values: np.ndarray, kept: int) -> np.ndarray:
    """Keep the first groups of each pack, and make one mean group of the rest."""
    return np.concatenate([values[:, :, :kept], values[:, :, kept:].mean(axis=2, keepdims=True)], axis=2)


def _taken_in_pack(values: np.ndarray, order: Int[np.ndarray, "draw pack group"]) -> np.ndarray:
    return np.take_along_axis(values, order.reshape(*order.shape, *(1,) * (values.ndim - 3)), axis=2)
