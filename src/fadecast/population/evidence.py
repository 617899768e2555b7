"""The committed statistics of measured cells that the population is sampled from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float

from fadecast.package_data import shipped
from fadecast.population.priors import RatePrior

Survivorship = Literal["none", "assumed", "strong"]
"""How much sooner cars leave service whose packs have lost more than others, as named in the table of cars."""

_CARS, _LIKE_CARS = "nca_car", "nmc_2ah"
"""Class of packs of cars in service, and the one that lends them its resistance: none is known, and of the measured
classes that is the only other of layered nickel oxide."""


@dataclass(frozen=True)
class RetiredCandidates:
    """Cells of one class that are candidates for a second life.

    `soh` and `relative_resistance` (over the class median) are quantiles at `levels`; `rank_correlation` is
    Spearman's between the two.
    """

    name: str
    chemistry: str
    citation: str
    cells: int
    levels: Float[np.ndarray, " level"]
    soh: Float[np.ndarray, " level"]
    relative_resistance: Float[np.ndarray, " level"]
    rank_correlation: float
    aged_in: Literal["service", "laboratory", "service, not retired"] = "service"
    """How they came to be as they are; where not retired, SOH is what their fade says of the day they will be."""
    resistance_of: str | None = None
    """Class whose resistance is taken, where their own is not known."""

    def share_below(self, soh: float) -> float:
        """Return the share of the candidates whose SOH is below a value."""
        return float(np.interp(soh, self.soh, self.levels))


@dataclass(frozen=True)
class DegradationModes:
    """Losses of lithium and active material per capacity lost, over LG M50T cells: log-normal slopes.

    The order is loss of lithium inventory, of negative, of positive active material.
    """

    chemistry: str
    citation: str
    cells: int
    soh_min: float
    log_mean: Float[np.ndarray, " 3"]
    log_covariance: Float[np.ndarray, "3 3"]


@cache
def retired_classes(survivorship: Survivorship = "assumed") -> Mapping[str, RetiredCandidates]:
    """Return the classes of cells that have candidates enough to be sampled."""
    table = shipped("retired_cells")
    citations = {source["name"]: source["citation"] for source in table["sources"]}
    classes = {}
    for name, entry in table["classes"].items():
        candidates = entry["candidates"]
        if candidates is not None:
            classes[name] = RetiredCandidates(
                name=name,
                chemistry=entry["chemistry"],
                citation=citations[entry["source"]],
                cells=candidates["cells"],
                levels=np.array(table["levels"]),
                soh=np.array(candidates["soh"]),
                relative_resistance=np.array(candidates["relative_resistance"]),
                rank_correlation=candidates["rank_correlation"],
                aged_in=entry["aged_in"],
            )
    return {**classes, _CARS: _cars(survivorship, classes[_LIKE_CARS])}


def _cars(survivorship: Survivorship, like: RetiredCandidates) -> RetiredCandidates:
    table = shipped("cars_in_service")
    candidates = table["candidates"][survivorship]
    return replace(
        like,
        name=_CARS,
        chemistry=table["chemistry"],
        citation="; ".join([*(source["citation"] for source in table["sources"]), like.citation]),
        cells=candidates["cells"],
        soh=np.array(candidates["soh"]),
        aged_in="service, not retired",
        resistance_of=like.name,
    )


@cache
def candidate_soh() -> float:
    """Return the SOH above which measured cells were not taken as candidates for a second life."""
    return float(shipped("retired_cells")["candidate_soh"])


@cache
def degradation_modes() -> DegradationModes:
    """Return the measured relation of lithium and active-material losses to capacity loss."""
    table = shipped("lgm50_degradation_modes")
    fit = table["modes_per_capacity_lost"]
    sd = np.array(fit["slope_log_sd"])
    return DegradationModes(
        chemistry=table["chemistry"],
        citation=table["sources"][0]["citation"],
        cells=len(fit["cells"]),
        soh_min=fit["soh_min"],
        log_mean=np.array(fit["slope_log_mean"]),
        log_covariance=np.array(fit["slope_log_correlation"]) * sd[:, None] * sd,
    )


@cache
def single_fits() -> tuple[RatePrior, ...]:
    """Return rates fitted to each condition of LG M50 cells by itself, with their spread over conditions."""
    fields = ("name", "value", "units", "log_sd")
    return tuple(RatePrior(**{field: rate[field] for field in fields}) for rate in shipped("lgm50_rates")["rates"])


def film_resistance() -> tuple[RatePrior, ...]:
    """Return the one rate that the joint posterior leaves out: how far film raises resistance."""
    return tuple(rate for rate in single_fits() if rate.name == "SEI resistivity [Ohm.m]")
