"""Ageing rates of packs by the joint posterior of measured cells (docs/rates.md).

A draw takes one sample of the posterior: its rates, its energies, and what it does not know of a place where no cell
was measured. Packs of a draw stand at one site and are alike but for the loss of material, which cells differ in.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from fadecast.calibration.joint_model import SIDES, inverse
from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.makes import MAKES
from fadecast.calibration.rates import ACTIVATION_ENERGY
from fadecast.calibration.shipped_rates import leaning, make_of, posterior
from fadecast.cell.model import Chemistry, parameter_values
from fadecast.cell.parameters import LAM_ENERGY
from fadecast.population.keys import Inside, Seed, draw_normals, draw_uniforms, pack_normals

TEMPERATURES = np.arange(-30.0, 71.0, 5.0)
"""Temperatures that time in service is counted at [degC]."""
CHARGES = np.arange(0.05, 1.0, 0.1)
"""States of charge that it is counted at [1]."""

_SAMPLE, _FIELD, _CYCLING, _CONDITION, _DRIFT = (
    f"rate posterior/{part}" for part in ("sample", "field", "cycling", "condition", "drift")
)


class InService(NamedTuple):
    """Where the packs of a study will be, and the law they age by."""

    law: AgeingLaw
    energy: float
    """Activation energy of film growth in the parameter set [J.mol-1]."""
    time: Float[np.ndarray, "duty temperature charge"]
    """Share of the year that a draw of the duty spends near each of `TEMPERATURES` and `CHARGES` [1]."""


class PosteriorRates(NamedTuple):
    """Rates of all packs of a study."""

    rates: dict[str, Float[np.ndarray, "draw column"]]
    """By PyBaMM parameter, in its units; a column is a pack, or a group of one."""
    drift: Float[np.ndarray, "draw pack"]
    """Change of retention beside the model [year-1]."""


def in_service(chemistry: Chemistry, duty: xr.Dataset) -> InService:
    """Return where packs under a duty will be.

    Parameters
    ----------
    chemistry
        Of their cells.
    duty
        With `pack_ambient_temperature` and `state_of_charge` on `draw` and `hour`. Cells are taken to be as warm as
        the air around them; at a fifth of their capacity in an hour they are within a degree or two.

    Raises
    ------
    ValueError
        When no fitted law is that of the chemistry.
    """
    law = law_of(chemistry)
    if law is None:
        raise ValueError(f"no posterior of rates for this chemistry; there is one for {fitted_chemistries()}")
    energy = float(parameter_values(chemistry.source)[ACTIVATION_ENERGY])
    return InService(law, energy, np.stack([_shares(duty.isel(draw=n)) for n in range(duty.sizes["draw"])]))


def law_of(chemistry: Chemistry) -> AgeingLaw | None:
    """Return the fitted law that a chemistry ages by; none where there is none."""
    laws = (law for make in MAKES.values() for law in make.laws.values())
    return next((law for law in laws if _ages_by(law, chemistry)), None)


def holds(found: xr.Dataset, law: AgeingLaw) -> bool:
    """Tell whether a posterior has draws of a law."""
    return law.name in found["law"].values and MAKES[make_of(found)].laws[law.name] is law


def fitted_chemistries() -> str:
    """Name the chemistries that rates were fitted to."""
    return "; ".join(
        f"{law.chemistry.parameter_set}, sei {law.chemistry.sei}, loss_of_active_material "
        f"{list(_what_ages(law.chemistry)[2])}{_given(law.chemistry)}"
        for make in MAKES.values()
        for law in make.laws.values()
        if law.name in posterior(make.name)["law"].values
    )


def posterior_parameters(law: AgeingLaw) -> tuple[str, ...]:
    """Return the PyBaMM parameters that a posterior sets."""
    return (*(unknown.parameter for unknown in law.cycled), ACTIVATION_ENERGY, *LAM_ENERGY.values())


def sample_posterior_rates(
    source: str,
    service: InService,
    seed: Seed,
    draws: int,
    packs: int,
    drift_between_packs: float,
    inside: Inside | None = None,
) -> PosteriorRates:
    """Sample the rates of packs; draw i and pack j are the same whatever the number of draws and packs.

    Film growth is that of the law times what the field of departures says of the temperatures and charges in service,
    averaged over the year as growth is. Of the loss of material, a draw has its departure from the law at a temperature
    nobody measured, and each cell its own; where measured cells were in a second life, a pack has that of a first life.

    Parameters
    ----------
    source
        Name of a make, or the path of a posterior that `fadecast calibrate` made.
    service
        See `in_service`.
    drift_between_packs
        Share of the variance of the discrepancy that packs of a draw do not have in common [1].

    Raises
    ------
    ValueError
        When there is no such posterior, or it does not hold the law.
    """
    law = service.law
    found = posterior(source)
    if not holds(found, law):
        raise ValueError(
            f"posterior {source} holds no draws of the law {law.name} of this chemistry; set rate_posterior to null"
        )
    found = found.sel(law=law.name)
    count = found.sizes["draw"]
    chosen = np.minimum((draw_uniforms(seed, _SAMPLE, draws)[:, 0] * count).astype(int), count - 1)
    # Stored in single precision; what is made of it is not.
    found = found[["common", "rate", "field"]].isel(draw=chosen).astype(float)
    common = {str(name): found["common"].sel(quantity=name).to_numpy()[:, None] for name in found["quantity"].values}
    logs = found["rate"].transpose("draw", "unknown").to_numpy()
    energy = service.energy + common["film_energy"]
    film = _field_in_service(found, common["field_sd"], energy, service, seed)
    if not law.start:
        # In a second life, film grows as in storage.
        film = film + common["cycling_sd"] * draw_normals(seed, _CYCLING, draws)
    columns = packs if inside is None else packs * inside.groups
    rates = {}
    for n, unknown in enumerate(law.cycled):
        log = logs[:, n : n + 1]
        side = n - len(law.stored)
        if n < len(law.film):
            log = log + film
        elif side >= 0:
            if law.start:
                # Packs come from first lives of their own, and all cells of one from the same.
                lives = pack_normals(seed, unknown.parameter, draws, packs, 1)[..., 0]
                log = log + common["condition_sd"] * np.repeat(lives, columns // packs, axis=1)
            else:
                condition = common["condition_sd"] * draw_normals(seed, _CONDITION, draws, len(SIDES))
                cells = pack_normals(seed, unknown.parameter, draws, packs, 1, inside)[..., 0]
                log = log + condition[:, side : side + 1] + common["cell_sd"] * cells
        rates[unknown.parameter] = np.broadcast_to(unknown.centre * np.exp(log), (draws, columns))
    energies = {ACTIVATION_ENERGY: energy, **{LAM_ENERGY[side]: common[f"energy_{side}"] for side in SIDES}}
    rates |= {name: np.broadcast_to(value, (draws, columns)) for name, value in energies.items()}
    shared = np.sqrt(1.0 - drift_between_packs) * draw_normals(seed, _DRIFT, draws)
    own = np.sqrt(drift_between_packs) * pack_normals(seed, _DRIFT, draws, packs)[..., 0]
    return PosteriorRates(rates, common["growth_sd"] * (shared + own))


def _shares(duty: xr.Dataset) -> Float[np.ndarray, "temperature charge"]:
    rows, columns = (
        np.abs(duty[name].values[:, None] - nodes).argmin(axis=1)
        for name, nodes in (("pack_ambient_temperature", TEMPERATURES), ("state_of_charge", CHARGES))
    )
    shares = np.zeros((len(TEMPERATURES), len(CHARGES)))
    np.add.at(shares, (rows, columns), 1.0 / len(rows))
    return shares


def _field_in_service(
    found: xr.Dataset,
    spread: Float[np.ndarray, "draw 1"],
    energy: Float[np.ndarray, "draw 1"],
    service: InService,
    seed: Seed,
) -> Float[np.ndarray, "draw 1"]:
    """Return the logarithm of the mean of the field's factor over the year, weighted as film growth is."""
    temperature, charge = (part.ravel() for part in np.meshgrid(TEMPERATURES, CHARGES, indexing="ij"))
    on_known, left = leaning(found, temperature, charge)
    known = found["field"].transpose("draw", "place").to_numpy()
    draws = len(known)
    field = known @ on_known + spread * (draw_normals(seed, _FIELD, draws, len(temperature)) @ left.T)
    time = service.time.reshape(len(service.time), -1)[np.arange(draws) % len(service.time)]
    weight = time * np.exp(energy * inverse(temperature))
    return np.asarray(np.log((weight * np.exp(field)).sum(axis=1) / weight.sum(axis=1)))[:, None]


def _ages_by(law: AgeingLaw, chemistry: Chemistry) -> bool:
    """Tell whether a chemistry ages by a law: what the law gives parameters, it has to as well."""
    given = chemistry.parameters
    as_given = all(given.get(name) == value for name, value in law.chemistry.parameters.items())
    return as_given and _what_ages(law.chemistry) == _what_ages(chemistry)


def _given(chemistry: Chemistry) -> str:
    return f", parameters {dict(chemistry.parameters)}" if chemistry.parameters else ""


def _what_ages(chemistry: Chemistry) -> tuple[str, str, tuple[str, str]]:
    loss = chemistry.loss_of_active_material
    both = (loss, loss) if isinstance(loss, str) else loss
    return chemistry.source, chemistry.sei, both
