"""What is held likely of the ageing of cells of one make.

One law for all: rates at 25 degC with Arrhenius corrections. On it, what the law does not explain, each part with a
spread that is itself unknown: a smooth field over temperature and charge by which film growth departs from the law (a
Gaussian process: a condition nobody measured leans on its neighbours, and far from all of them is as wide as the
spread), departures of conditions and of single cells in the loss of material and of cycled cells in film growth, and
a discrepancy of each cell that grows with time. Two things are found at check-ups and are no ageing at rest or in
cycling: lithium that moves into or out of the part of the negative electrode that no positive one faces (Lewerenz et
al. 2018, doi:10.1016/j.est.2018.02.014), and what the check-ups cost, which goes with the root of their number.

All unknowns are standard normal beforehand: a vector `z`, which `unfold` turns into numbers with units. Field,
discrepancies and, in a second life, departures of conditions are so where their spread is at its middle: measurements
tell them well, and a sampler would otherwise have to move all of them whenever it moves the spread.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.rate_tables import Table
from fadecast.calibration.rates import GAS_CONSTANT
from fadecast.decades.service import KELVIN

YEAR = 365.25
SIDES = ("ne", "pe")

_TRANSITION = 0.03
"""Width in charge of the passage of graphite from its second to its first stage [1]."""
_JITTER = 1e-6
_SPREADS = {"field": "field_sd", "growth": "growth_sd"}
_SPREADS_WORN = {"condition": "condition_sd"}
"""Of cells in a second life: check-ups every other week tell what those of one first life lose."""
_FIELD_KELVIN, _FIELD_CHARGE = 30.0, 0.3
"""How far the field reaches in temperature [K] and charge [1]. Given: three temperatures cannot tell."""


class Prior(NamedTuple):
    """Of one number: normal, or its logarithm is."""

    middle: float
    sd: float
    logarithmic: bool = False

    def value(self, z: Array) -> Array:
        """Return the number of a standard normal one."""
        if self.logarithmic:
            return self.middle * jnp.exp(self.sd * z)
        return self.middle + self.sd * z


COMMON: Mapping[str, Prior] = {
    "film_energy": Prior(0.0, 15e3),
    "energy_ne": Prior(40e3, 20e3),
    "energy_pe": Prior(40e3, 20e3),
    "overhang": Prior(0.02, 0.7, logarithmic=True),
    "overhang_rest": Prior(0.30, 0.15),
    "overhang_stage": Prior(0.008, 0.7, logarithmic=True),
    "overhang_stage_at": Prior(0.60, 0.06),
    "overhang_days": Prior(60.0, 1.0, logarithmic=True),
    "overhang_energy": Prior(30e3, 15e3),
    "check_up": Prior(0.004, 0.7, logarithmic=True),
    "check_up_material": Prior(0.01, 0.7, logarithmic=True),
    "field_sd": Prior(0.3, 0.5, logarithmic=True),
    "cycling_sd": Prior(0.3, 0.5, logarithmic=True),
    "condition_sd": Prior(0.2, 0.5, logarithmic=True),
    "cell_sd": Prior(0.2, 0.5, logarithmic=True),
    "growth_sd": Prior(0.003, 0.3, logarithmic=True),
    "noise": Prior(0.003, 0.5, logarithmic=True),
    "noise_material": Prior(0.01, 0.5, logarithmic=True),
}
"""Energies [J.mol-1], overhang capacities over the cell's and charges [1], times [day]; `_sd` of logarithms of rates
but `growth_sd`, of retention in a year [1]; noise of retention and of material lost [1]."""


SECOND_LIFE: Mapping[str, Prior] = {
    "start_sd": Prior(0.5, 0.3, logarithmic=True),
    "noise_second": Prior(0.005, 0.7, logarithmic=True),
}
"""Of cells in a second life: spread of the logarithm of the material lost before, and noise of their retention [1]."""


class Series(NamedTuple):
    """What was measured of cells of one protocol, padded with NaN."""

    temperature: Float[np.ndarray, " cells"]
    """[degC]"""
    charge: Float[np.ndarray, " cells"]
    """Mean state of charge [1]."""
    days: Float[np.ndarray, "cells times"]
    """Check-ups after the start."""
    losses: Float[np.ndarray, "cells quantities times"]
    """See `rate_tables.QUANTITIES` [1]."""
    spread: Float[np.ndarray, "cells times"]
    """Standard deviation of capacity between the cells behind a mean, over that at the start; 0 for one cell [1]."""
    group: np.ndarray | None = None
    """Number of the condition that each cell is of, from 0; by temperature where there is none."""
    start_soh: Float[np.ndarray, " cells"] | None = None
    """Capacity at the start over that of a new cell [1]; none where cells were new."""


class Evidence(NamedTuple):
    """Stored cells, cycled cells, and what the engine predicts of both."""

    stored: Series
    cycled: Series
    stored_table: Table
    cycled_table: Table
    priors: Mapping[str, Prior] = COMMON
    """What is held likely of the common quantities."""


class Unfolded(NamedTuple):
    """A vector of unknowns as numbers."""

    common: dict[str, Array]
    """By the names of the priors."""
    rates: Float[Array, " unknowns"]
    """Logarithms of the multiples of fitted unknowns at 25 degC; those of storage are the first."""
    field: Float[Array, " places"]
    """Departure of film growth at the places of `places`, first those of storage."""
    stored: Float[Array, "cells unknowns"]
    """Logarithms of the multiples in stored cells."""
    cycled: Float[Array, "cells unknowns"]
    """Logarithms of the multiples in cycled cells."""
    cycling: Float[Array, " groups"]
    """Departure of film growth in the cycled cells of each condition."""
    condition: Float[Array, "groups sides"]
    """Departure of their loss of material."""
    growth: Float[Array, " cells"]
    """Discrepancy of each cell, stored first, after a year [1]; of none in a second life."""


def places(evidence: Evidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return temperature [degC] and charge where film growth is asked for, and which of them each cycled cell is at.

    Cycled cells of one set temperature are at one place, the mean of them, whatever their condition; numbers count from
    the first of these places.
    """
    groups = conditions(evidence.cycled.temperature)
    mean = [evidence.cycled.temperature[groups == n].mean() for n in range(count_of(groups))]
    charge = [evidence.cycled.charge[groups == n].mean() for n in range(count_of(groups))]
    stored = evidence.stored
    return np.concatenate([stored.temperature, mean]), np.concatenate([stored.charge, charge]), groups


def conditions(temperature: np.ndarray, near: float = 3.0) -> np.ndarray:
    """Give cells a number each by temperature; those closer than `near` to the one before [K] share it."""
    order = np.argsort(temperature)
    number = np.cumsum(np.diff(temperature[order], prepend=-np.inf) > near) - 1
    return np.asarray(number[np.argsort(order)])


def conditions_of(cycled: Series) -> np.ndarray:
    """Return the number of the condition of each cycled cell."""
    return conditions(cycled.temperature) if cycled.group is None else cycled.group


def count_of(groups: np.ndarray) -> int:
    """Return how many groups cells are of: none where no cell is."""
    return int(groups.max(initial=-1)) + 1


def sizes(law: AgeingLaw, evidence: Evidence) -> dict[str, int]:
    """Return how many unknowns there are of each kind, in their order in `z`."""
    stored, cycled = len(evidence.stored.temperature), len(evidence.cycled.temperature)
    groups = count_of(conditions_of(evidence.cycled))
    return {
        "common": len(evidence.priors),
        "rates": len(law.fitted),
        "field": stored + count_of(conditions(evidence.cycled.temperature)),
        # How fast film grows in a second life is lost in what stress costs.
        "cycling": 0 if law.start else groups,
        "condition": len(law.stress) * groups,
        # What cells of one first life differ by is what they had lost before, which is summed over.
        "cell": 0 if law.start else len(law.stress) * cycled,
        "growth": stored + (0 if law.start else cycled),
    }


def sections(law: AgeingLaw, evidence: Evidence) -> dict[str, slice]:
    """Return where in `z` the unknowns of each kind are."""
    counts = sizes(law, evidence)
    ends = np.cumsum(list(counts.values()))
    return {name: slice(int(end) - count, int(end)) for (name, count), end in zip(counts.items(), ends, strict=True)}


def unfold(law: AgeingLaw, evidence: Evidence, z: Float[Array, " n"]) -> Unfolded:
    """Turn a vector of unknowns into numbers."""
    counts = sizes(law, evidence)
    parts = {name: z[at] for name, at in sections(law, evidence).items()}
    common = {name: prior.value(parts["common"][n]) for n, (name, prior) in enumerate(evidence.priors.items())}
    rates = jnp.stack([unknown.log_sd * parts["rates"][n] for n, unknown in enumerate(law.fitted)])
    temperature, charge, where = places(evidence)
    factor = jnp.asarray(np.linalg.cholesky(correlation(temperature, charge)))
    field = evidence.priors["field_sd"].middle * (factor @ parts["field"])
    stored_cells = len(evidence.stored.temperature)
    film, material = len(law.film), len(law.material)
    departure = common["film_energy"] * inverse(temperature) + field
    ones = jnp.ones((stored_cells, 1))
    stored = jnp.concatenate(
        [rates[None, :film] + departure[:stored_cells, None], ones * rates[None, film : film + material]], axis=1
    )
    group, groups = conditions_of(evidence.cycled), count_of(conditions_of(evidence.cycled))
    cycling = common["cycling_sd"] * parts["cycling"] if counts["cycling"] else jnp.zeros(groups)
    of_cells = departure[stored_cells + where] + cycling[group]
    # Where a departure is told well, it counts in its spread's middle, and else in its spread.
    of_conditions = evidence.priors["condition_sd"].middle if law.start else common["condition_sd"]
    driven = len(law.stress)
    condition = of_conditions * parts["condition"].reshape(groups, driven)
    energies = jnp.stack([common[f"energy_{side}"] for side in SIDES[:driven]])
    departures = inverse(evidence.cycled.temperature)[:, None] * energies[None] + condition[group]
    if counts["cell"]:
        departures = departures + common["cell_sd"] * parts["cell"].reshape(-1, driven)
    stress = rates[None, film + material : len(law.cycled)] + departures
    ones = jnp.ones((len(where), 1))
    cycled = jnp.concatenate(
        [rates[None, :film] + of_cells[:, None], ones * rates[None, film : film + material], stress], axis=1
    )
    growth = evidence.priors["growth_sd"].middle * parts["growth"]
    return Unfolded(common, rates, field, stored, cycled, cycling, condition, growth)


def inverse(temperature: np.ndarray) -> np.ndarray:
    """Return what an activation energy is multiplied by [mol.J-1] at temperatures [degC]; 0 at 25 degC."""
    return (1.0 / 298.15 - 1.0 / (np.asarray(temperature) + KELVIN)) / GAS_CONSTANT


def correlation(temperature: np.ndarray, charge: np.ndarray) -> Float[np.ndarray, "n n"]:
    """Return the correlations of the field by which film growth departs from its law."""
    apart = ((temperature[:, None] - temperature) / _FIELD_KELVIN) ** 2
    # Once differentiable: rougher than a squared exponential, and its factors are well conditioned.
    distance = np.sqrt(3.0 * (apart + ((charge[:, None] - charge) / _FIELD_CHARGE) ** 2))
    return np.asarray((1.0 + distance) * np.exp(-distance) + _JITTER * np.eye(len(temperature)))


def overhang(
    common: Mapping[str, Array], temperature: np.ndarray, charge: np.ndarray, days: Float[np.ndarray, "cells times"]
) -> Float[Array, "cells times"]:
    """Capacity that lithium in the overhang takes, less than none where it gives some [1].

    Uptake goes with the charge that the cell stands at over that it was delivered at, and with a stage of the graphite
    that is passed on the way; as a diffusion into a sheet it begins with the root of time and ends.
    """

    def held(at: Array) -> Array:
        stage = jax.nn.sigmoid((at - common["overhang_stage_at"]) / _TRANSITION)
        return common["overhang"] * at + common["overhang_stage"] * stage

    amount = held(jnp.asarray(charge)) - held(common["overhang_rest"])
    time = common["overhang_days"] * jnp.exp(-common["overhang_energy"] * inverse(temperature))
    return amount[:, None] * jnp.tanh(jnp.sqrt(days / time[:, None]))


def log_spreads(law: AgeingLaw, evidence: Evidence, z: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return the logarithm of the spread of each unknown beforehand, given the common quantities in `z`."""
    at, spreads, names = sections(law, evidence), jnp.zeros(z.shape), list(evidence.priors)
    for name, spread in (_SPREADS | _SPREADS_WORN if law.start else _SPREADS).items():
        spreads = spreads.at[at[name]].set(evidence.priors[spread].sd * z[names.index(spread)])
    return spreads
