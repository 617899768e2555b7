"""The price of a contract: expected loss, expenses and what is asked for risk.

All rates and loads are per kWh of base energy, a portfolio ratio: total USD over total kWh.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fadecast.variables import describe
from fadecast.warranty.claims import Claims, settle
from fadecast.warranty.contract import Contract, inspection_times
from fadecast.warranty.credibility import telemetry
from fadecast.warranty.emergence import RETURN_PERIODS, unpaid_after
from fadecast.warranty.intervals import half_widths, spread_factor
from fadecast.warranty.observed import clusters
from fadecast.warranty.premium import Premium, levels_of, needs_spread
from fadecast.warranty.principles import PRINCIPLES
from fadecast.warranty.remedies import Array
from fadecast.warranty.risk_split import FLEET_SIZES, of_weather
from fadecast.warranty.valuation import Pool, capital_basis, evaluate, pool_of, returned_share


def price(fade: xr.Dataset, contract: Contract, premium: Premium, pack_energy_kwh: float, seed: int) -> xr.Dataset:
    """Price a contract on a fade forecast.

    Parameters
    ----------
    fade
        `retention` and `soh` on `draw`, `pack`, `time`, with `time` in units `year` from 0 to the end of the
        term or later; if there are any `outcome` on `draw`, `pack`, `pack_weight` and `duty_draw` on `draw`. Anything
        else is ignored.
    contract
        What is guaranteed.
    premium
        How it is priced.
    pack_energy_kwh
        First-life nameplate energy of one pack [kWh].
    seed
        Seed of the Monte-Carlo intervals; the prices do not depend on it.

    Returns
    -------
    The price variables of `fadecast.variables`. Quantiles that the draws do not resolve are NaN, as are
    intervals from a single draw. Attributes name what the capital load rests on (`capital_basis`), the terms,
    how many years of weather and load the draws share (`years_of_duty`), and that only fade is covered.

    Raises
    ------
    ValueError
        If the dataset is not as described, more packs failed than `max_failed_share`, or a single draw is to
        carry a capital load.
    """
    claims = settle(
        fade, contract, premium.yield_curve or premium.discount_rate, pack_energy_kwh, seed, premium.defect_sampling
    )
    _refuse_failed(claims, premium, contract)
    pool = pool_of(claims, premium, float(fade.get("pack_weight", 1.0)))
    draws = pool.loss.size
    if draws == 1 and needs_spread(premium):
        raise ValueError(
            "1 draw shows no spread, so a capital load cannot be found: forecast 2 draws or more, or set "
            "premium.capital.cost_of_capital to 0 or premium.principle to expected_value"
        )
    levels = levels_of(premium)

    def evaluated(weights: Float[Array, "replicate draw"]) -> dict[str, Array]:
        return evaluate(pool, premium, levels, weights * pool.weight)

    _refuse_refunds(pool, premium)
    values = {name: value[0] for name, value in evaluated(np.ones((1, draws))).items()}
    shared = clusters(fade)
    widths = half_widths(evaluated, shared, premium.confidence, seed)
    dataset = _dataset(fade, pool, levels, values, widths, [layer.kind for layer in premium.reinsurance])
    told = telemetry(claims.level, unpaid_after(pool.yearly), premium.telemetry_error, seed, pool.weight, shared)
    for name, found in told._asdict().items():
        width = name.replace("_error", "_interval")
        half = found if width == name else found * spread_factor(int(shared.max()) + 1, premium.confidence)
        dataset[f"telemetry_{width}"] = ("telemetry_year", half)
    years = np.arange(1, len(told.deviation) + 1)
    dataset = dataset.assign_coords(telemetry_year=years, inspection=inspection_times(contract))
    # Draws of unlike weight are no analysis of variance.
    dataset["weather_standard_deviation"] = np.nan if np.ptp(pool.weight) else of_weather(pool.moments, shared)
    dataset.attrs = {
        "coverage": _coverage(contract),
        "principle": premium.principle,
        "capital_basis": capital_basis(premium.capital, levels, pool)[1],
        "interval": f"{premium.confidence:g} Monte-Carlo interval from {_basis(shared)}, without model error",
        "contract": json.dumps(asdict(contract)),
        "premium_settings": json.dumps(asdict(premium)),
        "pack_energy_kwh": pack_energy_kwh,
        "pack_weight": float(fade.get("pack_weight", 1.0)),
        "seed": seed,
        "years_of_duty": int(shared.max()) + 1,
    }
    return describe(dataset)


def _basis(shared: Int[np.ndarray, " draw"]) -> str:
    years = int(shared.max()) + 1
    return f"{shared.size} draws" + (f" that share {years} years of weather and load" if years < shared.size else "")


def _refuse_failed(claims: Claims, premium: Premium, contract: Contract) -> None:
    packs = claims.base_energy.size
    if claims.excluded > premium.max_failed_share * packs:
        raise ValueError(
            f"{claims.excluded} of {packs} packs lack soh at the start or {contract.measure} at an "
            f"inspection up to year {contract.term_years:g}; premium.max_failed_share allows a share of "
            f"{premium.max_failed_share:g}. Mend them (their outcome says how) or allow more: those left out "
            "may be the worst"
        )
    empty = np.flatnonzero(~(claims.base_energy > 0.0).any(axis=1))
    if empty.size:
        raise ValueError(f"draw number {empty[0]} has no base energy left: all its packs failed or start at soh 0")


def _refuse_refunds(pool: Pool, premium: Premium) -> None:
    returned = returned_share(pool, pool.weight[None]).item()
    if premium.expense_ratio + returned >= 1.0:
        raise ValueError(
            f"expenses take {premium.expense_ratio:g} of the premium and contracts that end early give {returned:g} of "
            "it back: nothing is left to pay claims from; lower contract.termination.per_year or its refund_share"
        )


def _coverage(contract: Contract) -> str:
    """Say what the price is for."""
    failures = contract.failures
    chances = {"sudden failures": failures.per_year > 0.0, "defects": failures.defect_probability > 0.0}
    fade = "capacity fade" if contract.power_guarantee is None else "fade of capacity and power"
    of_site = {"packs out of service": contract.availability_guarantee, "energy not delivered": contract.unserved}
    held = [fade, *(what for what, priced in chances.items() if priced), *(what for what in of_site if of_site[what])]
    left = [*(what for what, priced in chances.items() if not priced), "thermal events"]
    return f"{_listed(held)} only: {_listed(left)} are not in the price"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


_DIMS = {
    "value_at_risk": "level",
    "tail_value_at_risk": "level",
    "principle_premium": "principle",
    "ceded_loss": "layer",
    "ceded_standard_deviation": "layer",
    "fleet_premium": "fleet_size",
    "aggregate_exceedance": "return_period",
    "occurrence_exceedance": "return_period",
    "reserve": "policy_year",
    "reserve_high": "policy_year",
    "earned_share": "policy_year",
    "survival": "inspection",
}


def _dataset(
    fade: xr.Dataset,
    pool: Pool,
    levels: Float[Array, " level"],
    values: dict[str, Array],
    widths: dict[str, Array],
    layers: Sequence[str],
) -> xr.Dataset:
    claims = pool.claims
    packs = claims.base_energy.size
    known = float(claims.weight @ np.isfinite(claims.base_energy).sum(axis=1))
    arrays: dict[str, tuple[tuple[str, ...], Array]] = {
        "loss": (("draw", "pack"), claims.loss),
        "base_energy": (("draw", "pack"), claims.base_energy),
        "draw_weight": (("draw",), claims.weight),
        "claim_amount": (("draw", "policy_year"), claims.paid),
        "failed_share": ((), np.asarray(claims.excluded / packs)),
        "exhausted_share": ((), np.asarray(claims.exhausted.sum() / packs)),
        "false_claim_share": ((), np.asarray(claims.weight @ claims.false_claims / known)),
        "voided_share": ((), np.asarray(claims.weight @ claims.voided / known)),
        "ended_share": ((), np.asarray(np.average(claims.ended, weights=claims.weight))),
        "failures_per_pack": ((), np.asarray(claims.weight @ claims.failures / known)),
    }
    for name, value in values.items():
        dims = (_DIMS[name],) if name in _DIMS else ()
        arrays |= {name: (dims, value), f"{name}_interval": (dims, widths[name])}
    ids = {dim: fade[dim].values if dim in fade.coords else np.arange(fade.sizes[dim]) for dim in ("draw", "pack")}
    coords = {
        **ids,
        "level": levels,
        "policy_year": np.arange(1, claims.paid.shape[1] + 1),
        "principle": list(PRINCIPLES),
        "fleet_size": FLEET_SIZES,
        "return_period": RETURN_PERIODS,
        "layer": np.arange(len(layers)),
        "layer_kind": ("layer", np.array(layers, dtype=str)),
    }
    return xr.Dataset(arrays, coords=coords)
