"""The packs of a study: their states at the start of second life and the ageing rates of each draw."""

from collections import Counter
from dataclasses import field
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray as xr
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float, Int

from fadecast import variables
from fadecast.calibration.shipped_rates import SHIPPED, posterior
from fadecast.population.evidence import (
    DegradationModes,
    RetiredCandidates,
    Survivorship,
    candidate_soh,
    degradation_modes,
    film_resistance,
    retired_classes,
)
from fadecast.population.groups import DAYS_PER_MONTH, Groups, Packed, Simulated, choose_groups, pack_order
from fadecast.population.keys import Inside, Seed, Seeds
from fadecast.population.modes import MODE_NAMES, CapacityOf, scale_to_soh
from fadecast.population.posterior_rates import InService, sample_posterior_rates
from fadecast.population.priors import (
    LogNormalPrior,
    RatePrior,
    SharePrior,
    sample_lognormal,
    sample_rate,
    sample_share,
)
from fadecast.population.representatives import choose_representatives
from fadecast.population.retirement import LOW_LEVEL, RetiredPacks, cells_in_band, sample_retired
from fadecast.population.split import Split, diagnosed, diagnosed_soh, split_directions
from fadecast.population.triage import Triage, error_rates
from fadecast.settings import settings

DEAD_LITHIUM = "Dead lithium share of lithium loss"
CRACK_LENGTH = "Negative electrode initial crack length [m]"
CONTACT_RESISTANCE = "Contact resistance [Ohm]"
SELF_DISCHARGE = "Self-discharge [month-1]"
STATE_UNITS = {
    **dict.fromkeys(MODE_NAMES, "1"),
    DEAD_LITHIUM: "1",
    CRACK_LENGTH: "m",
    CONTACT_RESISTANCE: "ohm",
}


@settings
class ClassShare:
    """A class of retired cells and its share of the packs."""

    name: str
    """Class of retired cells: lmo_10ah, lfp_20ah, lfp_35ah or lfp_68ah; nmc_2ah, states of twelve cells aged in a
    laboratory; or nca_car, packs of cars in service on the day that they will retire."""
    weight: Annotated[float, Gt(0.0)] = 1.0
    """Share of the accepted packs, on any scale [1]."""


@settings
class Population:
    """Packs at the start of second life: from measured retired cells where these tell, else from priors.

    Measured spreads are between cells. Where a pack is as its representative cell, they are taken as the spread
    between packs; that overstates how much the means of packs differ, and leaves out weak cells in a pack. With
    `groups`, a share of them lies inside packs.
    """

    classes: tuple[ClassShare, ...] = (
        ClassShare(name="lmo_10ah"),
        ClassShare(name="lfp_20ah"),
        ClassShare(name="lfp_35ah"),
        ClassShare(name="lfp_68ah"),
    )
    """Classes of retired cells. Equal shares are an assumption: whose packs are in use is not public."""
    survivorship: Survivorship = "assumed"
    """How much sooner cars leave service that have lost more capacity than others, for `nca_car`: `none`, no sooner;
    `assumed`, twice as fast for every 10 points; `strong`, four times. Nothing measured tells."""
    soh_range: tuple[Annotated[float, Gt(0.0)], Annotated[float, Lt(1.0)]] = (0.60, 0.80)
    """Capacity over first-life nameplate accepted for second life [1]. Retired packs are said to keep
    50-80 %; the lower end is 0.60 because only 7 of 401 measured cells lie below it, all of one class."""
    triage: Triage = Triage()
    """The test by which packs are accepted: whether their SOH lies in `soh_range`."""
    split: Split = Split()
    """Which losses made the capacity loss of packs."""
    reference_resistance: Annotated[float, Ge(0.0)] = 0.0336
    """Cell resistance that the measured relative spread multiplies [ohm]: 10 s, half charge, 25 degC, median
    of six fresh LG M50 cells (Kuzhiyil, Damoulas, Widanage 2024)."""
    dead_lithium_share: SharePrior = SharePrior(median=0.05, logit_sd=1.0, pack_logit_sd=0.5)
    """Share of the lithium loss that is dead plated lithium [1]. An assumption (90 % of draws: 1-21 %):
    voltage curves cannot tell it from lithium in SEI."""
    crack_length: LogNormalPrior = LogNormalPrior(median=2e-8, log_sd=0.3, pack_log_sd=0.1)
    """Crack length of negative particles [m]. An assumption about the fresh 20 nm of OKane2022, whose own
    rate adds 1.2 pm in a 1 C cycle at 25 degC, 6 % in 1000 cycles."""
    rate_posterior: str | None = "lgm50"
    """Joint posterior of ageing rates: `lgm50` or `lfp` as shipped, or such a file of `fadecast calibrate`, relative to
    the study file. It also says how retention drifts off the model. Null: `rates` alone, and no drift."""
    drift_between_packs: Annotated[float, Ge(0.0), Le(1.0)] = 0.0
    """Share of the variance of that drift which packs of a draw do not have in common [1]. Each measured drift is
    that of a condition, so nothing tells; none of it diversifies by default."""
    rates: tuple[RatePrior, ...] = field(default_factory=film_resistance)
    """Further ageing-rate parameters, each by itself; by default how far film raises resistance, as fitted to the
    LG M50."""
    groups: Groups = Groups()
    """Groups in series that a pack is made of."""
    own_seed: Annotated[int, Ge(0), Lt(2**63)] | None = None
    """Seed of what packs have alone; null: that of the study. Fleets that are priced together need one each, or pack j
    of one is like pack j of the other."""
    representatives: Annotated[int, Ge(1)] | None = None
    """Packs of each site that are simulated, each standing for as many of it: chosen evenly by SOH, others in every
    draw. Null: every pack is."""

    def __post_init__(self) -> None:
        low, high = self.soh_range
        if not 0.0 < low < high <= candidate_soh():
            raise ValueError(
                f"soh_range is {low} to {high}; expected 0 < lower < upper <= {candidate_soh()}, the end of "
                "the measured candidates for a second life"
            )
        if not self.classes:
            raise ValueError("classes is empty; name at least one class of retired cells")
        unknown = {share.name for share in self.classes} - set(retired_classes())
        if unknown:
            raise ValueError(
                f"classes names {sorted(unknown)}; those with enough measured candidates for a second life "
                f"are {sorted(retired_classes())}"
            )
        names = [*STATE_UNITS, *(rate.name for rate in self.rates), *(share.name for share in self.classes)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"named more than once among states, rates and classes: {twice}; keep one of each")

    @property
    def candidates(self) -> list[RetiredCandidates]:
        """Candidates of each class, in the order of `classes`."""
        return [retired_classes(self.survivorship)[share.name] for share in self.classes]


def make_population(
    population: Population,
    draws: int,
    packs: int,
    seed: int,
    capacity_of: CapacityOf,
    sites: int = 1,
    service: InService | None = None,
) -> xr.Dataset:
    """Sample the packs of a study.

    SOH and resistance come from measured retired cells, the split of the losses from measured LG M50T cells;
    the split is scaled so that `capacity_of` gives exactly the sampled SOH. Dead lithium and cracks are priors. Rates
    are drawn from the joint posterior of measured cells for where the packs will be. Draw i and pack j are the same
    whatever the number of draws and packs; which of them are representatives is not.

    Parameters
    ----------
    population
        Settings.
    draws, packs
        How many, at least 1.
    seed
        Of the study, at least 0.
    capacity_of
        Capacity over fresh capacity of cells with given LLI, LAM_NE, LAM_PE, from the cell engine.
    sites
        Sites that the packs are divided among, one after the other.
    service
        Where packs will be and how they age, by `fadecast.population.in_service`; needed with a `rate_posterior`.

    Returns
    -------
    `parameter_value(draw, pack, parameter)` with coordinates `parameter_units` and `parameter_kind`,
    `initial_soh(draw, pack)`, `retired_class(draw, pack)`, `retention_drift(draw, pack)`, and
    `pack_number(draw, pack)` with `pack_weight`: which of the packs these are, and for how many each stands. The
    attributes name what is measured, what is a prior, and where a measurement is used outside its range or chemistry.
    Packs of several groups also have `group_parameter_value(draw, pack, group, parameter)`, `group_initial_soh`,
    `group_self_discharge`, `group_weight` and `balancing`; `parameter_value` is then the mean over the groups of a
    pack, `initial_soh` that of the weakest.

    Raises
    ------
    ValueError
        When a class has too few measured cells in the band, a pack's SOH cannot be reached, sites have fewer packs
        than representatives, or there is no such posterior of rates.
    """
    seeds: Seed = seed if population.own_seed is None else Seeds(seed, population.own_seed)
    classes = population.candidates
    weights = [share.weight for share in population.classes]
    inside = population.groups.inside
    everything = sample_retired(seeds, classes, weights, population.soh_range, draws, packs, inside, population.triage)
    numbers, columns = _simulated_packs(population, everything, sites, seeds)
    retired = everything.taken(columns)
    states = _states(population, retired, draws, packs, columns, seeds, capacity_of, inside)
    rates, drift = _rates(population, service, draws, packs, seeds, inside)
    values = np.stack([*states, *(np.take_along_axis(each, columns, axis=1) for each in rates.values())], axis=-1)
    soh, member, simulated = retired.soh, retired.member, None
    if inside is not None:
        alone = Inside(inside.groups, 1.0)
        leaks = sample_lognormal(seeds, SELF_DISCHARGE, population.groups.self_discharge, draws, packs, alone)
        leaks = np.take_along_axis(leaks, columns, axis=1) / DAYS_PER_MONTH
        by_pack = (part.reshape(draws, -1, inside.groups, *part.shape[2:]) for part in (values, retired.soh, leaks))
        simulated = choose_groups(population.groups, Packed(*by_pack))
        values = (simulated.weight[:, None] * simulated.parameters).sum(axis=2)
        soh, member = simulated.soh.min(axis=2), member[:, :: inside.groups]
    units = [name.rpartition("[")[2].rstrip("]") if name.endswith("]") else "1" for name in rates]
    dataset = xr.Dataset(
        {
            "parameter_value": (("draw", "pack", "parameter"), values),
            "initial_soh": (("draw", "pack"), soh),
            "retention_drift": (("draw", "pack"), np.take_along_axis(drift, numbers, axis=1)),
            "retired_class": (("draw", "pack"), np.array([entry.name for entry in classes])[member]),
            "pack_number": (("draw", "pack"), numbers),
            "pack_weight": packs / numbers.shape[1],
        },
        coords={
            "draw": np.arange(draws),
            "pack": np.arange(numbers.shape[1]),
            "parameter": [*STATE_UNITS, *rates],
            "parameter_units": ("parameter", [*STATE_UNITS.values(), *units]),
            "parameter_kind": ("parameter", ["state"] * len(STATE_UNITS) + ["rate"] * len(rates)),
        },
        attrs={"seed": seed, **_explanation(population, classes, retired), **_rate_source(population, service)},
    )
    return variables.describe(dataset if simulated is None else _with_groups(dataset, simulated, population.groups))


def _simulated_packs(
    population: Population, retired: RetiredPacks, sites: int, seed: Seed
) -> tuple[Int[np.ndarray, "draw pack"], Int[np.ndarray, "draw column"]]:
    """Choose the packs to simulate: their numbers, and the columns of their groups."""
    order = pack_order(population.groups, retired)
    draws = len(order)
    numbers = np.tile(np.arange(order.shape[1]), (draws, 1))
    if population.representatives is not None:
        weakest = np.take_along_axis(retired.soh, order.reshape(draws, -1), axis=1).reshape(order.shape).min(axis=2)
        numbers = choose_representatives(
            seed if isinstance(seed, int) else seed.common, weakest, sites, population.representatives
        )
    return numbers, np.take_along_axis(order, numbers[:, :, None], axis=1).reshape(draws, -1)


def _states(
    population: Population,
    retired: RetiredPacks,
    draws: int,
    packs: int,
    columns: Int[np.ndarray, "draw column"],
    seed: Seed,
    capacity_of: CapacityOf,
    inside: Inside | None,
) -> list[Float[np.ndarray, "draw column"]]:
    """Sample the states of some packs, or of their groups, in the order of `STATE_UNITS`."""

    def some(values: Float[np.ndarray, "draw pack"]) -> Float[np.ndarray, "draw column"]:
        return np.take_along_axis(values, columns, axis=1)

    directions = np.stack([some(each) for each in split_directions(population.split, seed, draws, packs, inside)])
    states = {
        **dict(zip(MODE_NAMES, scale_to_soh(directions, retired.soh, capacity_of), strict=True)),
        DEAD_LITHIUM: some(sample_share(seed, DEAD_LITHIUM, population.dead_lithium_share, draws, packs, inside)),
        CRACK_LENGTH: some(sample_lognormal(seed, CRACK_LENGTH, population.crack_length, draws, packs, inside)),
        CONTACT_RESISTANCE: population.reference_resistance * retired.excess_resistance,
    }
    return [states[name] for name in STATE_UNITS]


def _rates(
    population: Population, service: InService | None, draws: int, packs: int, seed: Seed, inside: Inside | None
) -> tuple[dict[str, Float[np.ndarray, "draw column"]], Float[np.ndarray, "draw pack"]]:
    """Sample the rates of all packs, or of their groups, and how retention of packs drifts off the model [year-1]."""
    rates, drift = {}, np.zeros((draws, packs))
    if population.rate_posterior is not None:
        if service is None:
            raise ValueError("rates of a posterior hang on where packs will be; pass `service`, or no rate_posterior")
        between = population.drift_between_packs
        found = sample_posterior_rates(population.rate_posterior, service, seed, draws, packs, between, inside)
        rates, drift = dict(found.rates), found.drift
    for rate in population.rates:
        if rate.name in rates:
            raise ValueError(f"rates names {rate.name!r}, which the rate_posterior sets already")
        rates[rate.name] = sample_rate(seed, rate, draws, packs, inside)
    return rates, drift


def _with_groups(dataset: xr.Dataset, simulated: Simulated, groups: Groups) -> xr.Dataset:
    """Add what the groups of packs are."""
    dims = ("draw", "pack", "group")
    return dataset.assign(
        group_parameter_value=((*dims, "parameter"), simulated.parameters),
        group_initial_soh=(dims, simulated.soh),
        group_self_discharge=(dims, simulated.self_discharge),
        group_weight=("group", simulated.weight),
        balancing=groups.balancing,
    ).assign_coords(group=np.arange(len(simulated.weight)))


def _mode_source(split: Split, modes: DegradationModes) -> str:
    if split.posterior is None:
        source = f"LLI : LAM_NE : LAM_PE per capacity lost of {modes.cells} LG M50T cells"
    else:
        cells = diagnosed(split.posterior).shape[1]
        source = f"LLI : LAM_NE : LAM_PE per capacity lost of {cells} cells diagnosed by slow curves"
    return source if split.factors == (1.0, 1.0, 1.0) else f"{source}, times {split.factors} by assumption"


def _rate_source(population: Population, service: InService | None) -> dict[str, str]:
    if population.rate_posterior is None or service is None:
        return {"rate_source": "rates of the study, each by itself"}
    name = population.rate_posterior
    return {
        "rate_source": f"joint posterior {name if name in SHIPPED else Path(name).name} of the law {service.law.name}; "
        "film growth as measured cells say of the temperatures and charges in service; retention drifts off the model",
        "rate_citations": str(posterior(name).attrs.get("sources", "")),
    }


def _how_aged(entry: RetiredCandidates, survivorship: Survivorship) -> str:
    """Say what a class is where it is not of measured retired cells."""
    if entry.aged_in == "laboratory":
        return f"{entry.name} are states of cells aged in a laboratory, as many of each SOH as its plan wanted"
    if entry.aged_in == "service, not retired":
        return (
            f"{entry.name} are packs of cars in service, at the SOH that their fade says of the day they will retire "
            f"(survivorship: {survivorship}), with the resistance of {entry.resistance_of}"
        )
    return ""


def _triage(population: Population, classes: list[RetiredCandidates]) -> dict[str, str | float]:
    triage = population.triage
    rates = error_rates(triage, classes, [share.weight for share in population.classes], population.soh_range)
    error = f", error {triage.soh_sd:g}" if triage.test == "capacity" else ""
    return {
        "triage": f"{triage.test} test of SOH{error}",
        "triage_accepted_share": rates.accepted,
        "triage_wrongly_accepted_share": rates.wrongly_accepted,
        "triage_wrongly_rejected_share": rates.wrongly_rejected,
    }


def _explanation(
    population: Population, classes: list[RetiredCandidates], retired: RetiredPacks
) -> dict[str, str | float]:
    modes = degradation_modes()
    low, high = population.soh_range
    support = ", ".join(f"{entry.name} {cells_in_band(entry, population.soh_range):.0f}" for entry in classes)
    aside = "; ".join(filter(None, (_how_aged(entry, population.survivorship) for entry in classes)))
    chemistries = ", ".join(sorted({entry.chemistry for entry in classes}))
    posterior = population.split.posterior
    split_of = modes.chemistry if posterior is None else "diagnosed"
    least = modes.soh_min if posterior is None else diagnosed_soh(posterior)
    cited = [modes.citation] if posterior is None else []
    inside = population.groups.inside
    spread = "spread between packs equal to that between cells"
    if inside is not None:
        spread = f"{inside.share:g} of the variance between cells lies inside packs; self-discharge; balancing"
    return {
        "soh_source": f"measured 1 C capacity over nameplate of retired cells, SOH {low} to {high}; "
        f"cells in the band by class: {support}{'; ' if aside else ''}{aside}",
        **_triage(population, classes),
        "resistance_source": "measured spread of 5 s pulse resistance of these cells, or those named above, above its "
        f"{LOW_LEVEL} quantile, times {population.reference_resistance} ohm",
        "mode_source": _mode_source(population.split, modes),
        "state_priors": f"not measured, assumed: {DEAD_LITHIUM}; {CRACK_LENGTH}; {spread}",
        "cross_chemistry": f"SOH and resistance spread of {chemistries} cells and loss split of "
        f"{split_of} cells are used together, whatever the chemistry of the modelled cell",
        "extrapolation": f"the loss split was measured down to SOH {least:.2f} and is used as far as "
        f"{retired.soh.min():.2f}",
        "extrapolated_share": float(np.mean(retired.soh < least)),
        "citations": "; ".join(dict.fromkeys([*(entry.citation for entry in classes), *cited])),
    }
