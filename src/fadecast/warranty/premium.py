"""The price of a contract: expected loss, expenses and the cost of the capital behind it.

All rates and loads are per kWh of base energy, a portfolio ratio: total USD over total kWh.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import xarray as xr
from annotated_types import Ge, Gt, Lt, MinLen
from jaxtyping import Float, Int

from fadecast.settings import settings
from fadecast.variables import describe
from fadecast.warranty.claims import Claims, settle
from fadecast.warranty.contract import Contract
from fadecast.warranty.intervals import half_widths
from fadecast.warranty.observed import clusters
from fadecast.warranty.remedies import Array
from fadecast.warranty.tails import draws_needed, resolved, value_at_risk

SUMMARY_LEVEL = 0.995
"""Probability level of the summary line; every price dataset has it."""

Probability = Annotated[float, Gt(0.0), Lt(1.0)]


@settings
class Capital:
    """The capital that backs the contract, and what it costs.

    Capital is what a bad portfolio loss takes beyond the expected one. It is released as claims are paid, in
    proportion to the expected claims still unpaid, so that it is tied up for their mean time of payment:
    load = cost of capital * (bad loss - expected loss) * duration.
    This is the risk margin of Solvency II (Delegated Regulation (EU) 2015/35, articles 37 and 58) in
    continuous time, with the whole loss to the end of the term as the risk instead of that of one year.
    """

    cost_of_capital: Annotated[float, Ge(0.0), Lt(1.0)] = 0.06
    """Return above the risk-free rate that capital asks for [1/year]; 0: no load. Default: article 39 of the
    regulation as first adopted (4.75 % since Regulation (EU) 2026/269)."""
    capital_level: Probability = 0.995
    """Probability level of the bad loss [1]; where the draws do not resolve it, the highest resolved level of
    `levels` below it stands in. Default: that of Solvency II."""
    risk_measure: Literal["tvar", "var"] = "tvar"
    """Bad loss: the mean beyond the quantile, or the quantile."""
    standard_deviation_factor: Annotated[float, Gt(0.0)] = 3.0
    """Capital in standard deviations over draws [1], where no level is resolved. Default, an assumption: the
    0.995 TVaR is 2.9 standard deviations above the mean for a normal loss, 5.3 for an exponential one."""


@settings
class Premium:
    """How a contract is priced: expenses, discounting, capital, and how the price is reported."""

    expense_ratio: Annotated[float, Ge(0.0), Lt(1.0)] = 0.25
    """Expenses in proportion to the gross premium: acquisition, administration, taxes [1]. Default: US
    property-casualty insurers, first half of 2023 (25.2 %, NAIC)."""
    fixed_expenses_usd_per_kwh: Annotated[float, Ge(0.0)] = 0.0
    """Expenses on top, such as inspections [USD per kWh of base energy]. Default: none beyond the ratio."""
    discount_rate: Annotated[float, Ge(0.0), Lt(1.0)] = 0.04
    """Risk-free rate, compounded yearly [1/year]; risk is loaded apart. Default: close to the yield of
    ten-year US Treasury notes in 2023 to 2025."""
    capital: Capital = Capital()
    """Capital and its cost."""
    levels: Annotated[tuple[Probability, ...], MinLen(1)] = (0.90, 0.95, 0.99, 0.995)
    """Probability levels of the reported quantiles [1]; `capital_level` and 0.995 are always added."""
    confidence: Probability = 0.90
    """Probability that a reported interval holds what infinitely many draws would give [1]."""
    max_failed_share: Annotated[float, Ge(0.0), Lt(1.0)] = 0.02
    """Share of packs that may be left out because their forecast failed before the end of the term [1]. They
    may be the worst packs, so that leaving out more is refused. Default, an assumption."""


@settings
class Warranty:
    """The warranty section of a study: what is promised and how it is priced."""

    contract: Contract = Contract()
    """What is guaranteed."""
    premium: Premium = Premium()
    """How it is priced."""


@dataclass(frozen=True)
class _Pool:
    """Totals of the packs that were simulated, in each draw."""

    loss: Float[Array, " draw"]
    """Discounted claims [USD]."""
    loss_years: Float[Array, " draw"]
    """Discounted claims times their time of payment [USD.year]."""
    energy: Float[Array, " draw"]
    """Base energy [kWh]."""
    tail_events: Float[Array, " draw"]
    """Packs with the tail event [1]."""
    tail_packs: Float[Array, " draw"]
    """Packs in which it would have been seen [1]."""


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
    claims = settle(fade, contract, premium.discount_rate, pack_energy_kwh)
    _refuse_failed(claims, premium, contract)
    pool = _pool(claims)
    draws = pool.loss.size
    if draws == 1 and premium.capital.cost_of_capital > 0.0:
        raise ValueError(
            "1 draw shows no spread, so a capital load cannot be found: forecast 2 draws or more, or set "
            "premium.capital.cost_of_capital to 0"
        )
    levels = np.array(sorted({*premium.levels, premium.capital.capital_level, SUMMARY_LEVEL}))
    evaluate = partial(_evaluate, pool, premium, levels)
    values = {name: value[0] for name, value in evaluate(np.ones((1, draws))).items()}
    shared = clusters(fade)
    widths = half_widths(evaluate, shared, premium.confidence, seed)
    dataset = _dataset(fade, claims, levels, values, widths)
    dataset.attrs = {
        "coverage": "capacity fade only: sudden failures, defects and thermal events are not in the price",
        "capital_basis": _capital_basis(premium.capital, levels, draws)[1],
        "interval": f"{premium.confidence:g} Monte-Carlo interval from {_basis(shared)}, without model error",
        "contract": json.dumps(asdict(contract)),
        "premium_settings": json.dumps(asdict(premium)),
        "pack_energy_kwh": pack_energy_kwh,
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
    empty = np.flatnonzero(~(np.nansum(claims.base_energy, axis=1) > 0.0))
    if empty.size:
        raise ValueError(f"draw number {empty[0]} has no base energy left: all its packs failed or start at soh 0")


def _pool(claims: Claims) -> _Pool:
    return _Pool(
        loss=np.nansum(claims.loss, axis=1),
        loss_years=claims.loss_years,
        energy=np.nansum(claims.base_energy, axis=1),
        tail_events=claims.tail_events,
        tail_packs=claims.tail_packs,
    )


def _evaluate(
    pool: _Pool, premium: Premium, levels: Float[Array, " level"], weights: Float[Array, "replicate draw"]
) -> dict[str, Array]:
    """Price the portfolio when each draw counts as often as its weight says."""
    loss_ratio = pool.loss / pool.energy
    expected = (weights @ pool.loss) / (weights @ pool.energy)
    enough = resolved(levels, loss_ratio.size)
    quantile, tail = (np.where(enough, v, np.nan) for v in value_at_risk(loss_ratio, weights, levels))
    level, _ = _capital_basis(premium.capital, levels, loss_ratio.size)
    if level is None:
        capital = premium.capital.standard_deviation_factor * _standard_deviation(loss_ratio, weights)
    else:
        bad = tail if premium.capital.risk_measure == "tvar" else quantile
        # A quantile can lie below the mean.
        capital = np.maximum(bad[:, level] - expected, 0.0)
    load = premium.capital.cost_of_capital * capital * _ratio(weights @ pool.loss_years, weights @ pool.loss, 0.0)
    gross = (expected + premium.fixed_expenses_usd_per_kwh + load) / (1.0 - premium.expense_ratio)
    return {
        "expected_loss": expected,
        "expenses": premium.fixed_expenses_usd_per_kwh + premium.expense_ratio * gross,
        "capital_load": load,
        "premium": gross,
        "value_at_risk": quantile,
        "tail_value_at_risk": tail,
        "tail_event_probability": _ratio(weights @ pool.tail_events, weights @ pool.tail_packs, np.nan),
    }


def _capital_basis(capital: Capital, levels: Float[Array, " level"], draws: int) -> tuple[int | None, str]:
    """Return the index of the level that the capital rests on (None: standard deviation), and its name."""
    usable = np.flatnonzero(resolved(levels, draws) & (levels <= capital.capital_level))
    needed = draws_needed(capital.capital_level)
    wanted = f"{draws} draws do not resolve {capital.capital_level:g}, which needs {needed}"
    if not usable.size:
        return None, f"standard_deviation times {capital.standard_deviation_factor:g} ({wanted})"
    name = "tail_value_at_risk" if capital.risk_measure == "tvar" else "value_at_risk"
    index = int(usable[-1])
    if levels[index] == capital.capital_level:
        return index, f"{name} at {levels[index]:g}"
    return index, f"{name} at {levels[index]:g} ({wanted})"


def _standard_deviation(
    values: Float[Array, " draw"], weights: Float[Array, "replicate draw"]
) -> Float[Array, " replicate"]:
    total, draws = weights.sum(axis=1), values.size
    mean = weights @ values / total
    squares = np.einsum("rd,rd->r", weights, (values - mean[:, None]) ** 2)
    deviation: Array = np.sqrt(squares / total * draws / max(draws - 1, 1))
    return deviation


def _ratio(total: Float[Array, "..."], of: Float[Array, "..."], otherwise: float) -> Float[Array, "..."]:
    ratio: Array = np.divide(total, of, out=np.full_like(total, otherwise), where=of > 0.0)
    return ratio


def _dataset(
    fade: xr.Dataset,
    claims: Claims,
    levels: Float[Array, " level"],
    values: dict[str, Array],
    widths: dict[str, Array],
) -> xr.Dataset:
    packs = claims.base_energy.size
    arrays: dict[str, tuple[tuple[str, ...], Array]] = {
        "loss": (("draw", "pack"), claims.loss),
        "base_energy": (("draw", "pack"), claims.base_energy),
        "claim_amount": (("draw", "policy_year"), claims.paid),
        "failed_share": ((), np.asarray(claims.excluded / packs)),
        "exhausted_share": ((), np.asarray(claims.exhausted.sum() / packs)),
    }
    for name, value in values.items():
        dims = ("level",) if np.ndim(value) else ()
        arrays |= {name: (dims, value), f"{name}_interval": (dims, widths[name])}
    ids = {dim: fade[dim].values if dim in fade.coords else np.arange(fade.sizes[dim]) for dim in ("draw", "pack")}
    years = np.arange(1, claims.paid.shape[1] + 1)
    return xr.Dataset(arrays, coords={**ids, "level": levels, "policy_year": years})
