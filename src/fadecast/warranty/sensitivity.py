"""What a price hangs on: the same draws under other terms, other costs and faster fade, held against it by pairs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from fadecast.outcome import Outcome
from fadecast.variables import describe
from fadecast.warranty.claims import settle
from fadecast.warranty.contract import Contract, Curve
from fadecast.warranty.intervals import half_widths
from fadecast.warranty.observed import clusters
from fadecast.warranty.premium import Premium, levels_of
from fadecast.warranty.remedies import Array, CashRemedy, RepairRemedy
from fadecast.warranty.valuation import Pool, pool_of, quote

LARGEST = 50_000_000
"""Values of retention that a forecast may have for this: all are held in memory."""

_POINTS = 0.05
_SMALL = 1e-4
"""Step of a derivative in points or per cent: so small that hardly a pack comes to another side of a corner."""
_LEAST_LEVEL = 0.01


class Change(NamedTuple):
    """One thing that is otherwise."""

    name: str
    contract: Contract
    premium: Premium
    faster: float = 1.0
    """Times the loss of capacity since the start."""
    insured: Literal["all", "weak", "fading"] = "all"
    """Which packs of a draw: the half that starts weakest, or the half that will have kept least."""


class Slope(NamedTuple):
    """A change by a step, in the unit of the parameter's name."""

    step: float
    change: Change


def changes(contract: Contract, premium: Premium) -> Iterator[Change]:
    """Yield what is changed, one thing at a time."""
    by_cycles = contract.cycle_guarantee and _lower(contract.cycle_guarantee)
    lower = replace(contract, guarantee=_lower(contract.guarantee), cycle_guarantee=by_cycles)
    yield Change("guaranteed capacity 5 points lower", lower, premium)
    yield Change("deductible 2 points more", replace(contract, deductible=contract.deductible + 0.02), premium)
    yield Change("remedy 10 % dearer", _dearer(contract, 1.1), premium)
    test = contract.test
    unsure = replace(test, bias_sd=test.bias_sd + 0.01, noise_sd=test.noise_sd + 0.01)
    yield Change("tests err by a point more, lasting and not", replace(contract, test=unsure), premium)
    failures = contract.failures
    sudden = replace(failures, per_year=failures.per_year + 0.003)
    yield Change("3 sudden failures more in 1000 pack-years", replace(contract, failures=sudden), premium)
    defects = replace(failures, defect_probability=min(failures.defect_probability + 0.05, 1.0))
    yield Change("a batch in 20 more turns out defective", replace(contract, failures=defects), premium)
    termination = contract.termination
    leaving = replace(termination, per_year=min(termination.per_year + 0.05, 1.0))
    yield Change("one contract in 20 more is ended early each year", replace(contract, termination=leaving), premium)
    yield Change("fade 10 % faster", contract, premium, 1.1)
    yield Change("fade 25 % faster", contract, premium, 1.25)
    yield Change("only the half that starts weakest is insured", contract, premium, insured="weak")
    yield Change("only the half that will fade most is insured", contract, premium, insured="fading")
    yield Change("risk-free rate a point higher", contract, _higher(premium, 0.01))
    capital = replace(premium.capital, cost_of_capital=premium.capital.cost_of_capital + 0.02)
    yield Change("cost of capital 2 points higher", contract, replace(premium, capital=capital))


def slopes(contract: Contract, premium: Premium) -> Iterator[Slope]:
    """Yield what the premium is differentiated by.

    Under the same draws, errors and failures a small step gives the derivative of each path, which is that of the
    price where paths are continuous: of cash paid by the first test. A replacement, a repair or a second test makes
    paths jump; their step is a whole one, a finite difference.
    """
    jumps = not isinstance(contract.remedy, CashRemedy) or (contract.test.retest and contract.test.noise_sd > 0.0)
    step = 1.0 if jumps else _SMALL
    if contract.deductible + 0.01 * step < 1.0:
        less = replace(contract, deductible=contract.deductible + 0.01 * step)
        yield Slope(step, Change("a point of deductible", less, premium))
    yield Slope(step, Change("a per cent of faster fade", contract, premium, 1.0 + 0.01 * step))
    yield Slope(step, Change("a per cent on the price of the remedy", _dearer(contract, 1.0 + 0.01 * step), premium))
    rate = _higher(premium, 0.01 * _SMALL)
    yield Slope(_SMALL, Change("a point on the risk-free rate", contract, rate))
    capital = replace(premium.capital, cost_of_capital=premium.capital.cost_of_capital + 0.01 * _SMALL)
    yield Slope(_SMALL, Change("a point on the cost of capital", contract, replace(premium, capital=capital)))


def sensitivities(
    fade: xr.Dataset, contract: Contract, premium: Premium, pack_energy_kwh: float, seed: int
) -> xr.Dataset:
    """Price a contract again with one thing changed at a time, and differentiate its premium.

    Parameters
    ----------
    fade, contract, premium, pack_energy_kwh, seed
        As of `fadecast.warranty.price`; the forecast has at most `LARGEST` values.

    Returns
    -------
    `premium_change` and `expected_loss_change` on `change`, and `premium_slope` on `sensitivity`, per unit named there,
    with the half-widths of their Monte-Carlo intervals. All share draws, errors of tests and failures, so that a change
    is known better than the price.
    """
    weight, levels = float(fade.get("pack_weight", 1.0)), levels_of(premium)

    def pool(change: Change, forecast: xr.Dataset) -> Pool:
        discount = change.premium.yield_curve or change.premium.discount_rate
        claims = settle(forecast, change.contract, discount, pack_energy_kwh, seed, premium.defect_sampling)
        return pool_of(claims, change.premium, weight)

    listed, small = list(changes(contract, premium)), list(slopes(contract, premium))
    every = [Change("as it is", contract, premium), *listed, *(slope.change for slope in small)]
    steps = np.array([slope.step for slope in small])
    pools = [pool(every[0], fade)]
    known = pools[0].claims.base_energy > 0.0
    for change in every[1:]:
        faded = _faded(fade, change.faster)
        pools.append(pool(change, _chosen(faded, change.insured, contract.term_years, known)))

    def differences(weights: Float[Array, "replicate draw"]) -> dict[str, Array]:
        quotes = [
            quote(each, change.premium, levels, weights * each.weight)
            for each, change in zip(pools, every, strict=True)
        ]
        now, *others = quotes
        dearer = np.stack([other.gross - now.gross for other in others], axis=1)
        expected = np.stack([other.expected - now.expected for other in others], axis=1)
        return {
            "premium_change": dearer[:, : len(listed)],
            "expected_loss_change": expected[:, : len(listed)],
            "premium_slope": dearer[:, len(listed) :] / steps,
        }

    values = differences(np.ones((1, pools[0].loss.size)))
    widths = half_widths(differences, clusters(fade), premium.confidence, seed)
    dims = {"premium_slope": "sensitivity"}
    arrays = {name: (dims.get(name, "change"), value[0]) for name, value in values.items()}
    arrays |= {f"{name}_interval": (dims.get(name, "change"), width) for name, width in widths.items()}
    coords = {"change": [change.name for change in listed], "sensitivity": [slope.change.name for slope in small]}
    return describe(xr.Dataset(arrays, coords=coords))


def _dearer(contract: Contract, factor: float) -> Contract:
    """Return a contract whose remedy costs so many times as much."""
    remedy = contract.remedy
    if isinstance(remedy, CashRemedy):
        return replace(contract, remedy=replace(remedy, usd_per_kwh=factor * remedy.usd_per_kwh))
    if isinstance(remedy, RepairRemedy):
        restored, labour = factor * remedy.usd_per_kwh_restored, factor * remedy.labour_usd
        cash = replace(remedy.cash, usd_per_kwh=factor * remedy.cash.usd_per_kwh)
        return replace(contract, remedy=replace(remedy, usd_per_kwh_restored=restored, labour_usd=labour, cash=cash))
    price = tuple((year, factor * usd) for year, usd in remedy.price)
    return replace(contract, remedy=replace(remedy, price=price))


def _higher(premium: Premium, rate: float) -> Premium:
    """Return the same with a higher risk-free rate."""
    curve = premium.yield_curve
    steeper = None if curve is None else tuple((year, here + rate) for year, here in curve)
    return replace(premium, discount_rate=premium.discount_rate + rate, yield_curve=steeper)


def _lower(curve: Curve) -> Curve:
    return tuple((year, max(level - _POINTS, _LEAST_LEVEL)) for year, level in curve)


def _chosen(fade: xr.Dataset, insured: str, term_years: float, known: Bool[np.ndarray, "draw pack"]) -> xr.Dataset:
    """Return the half of the packs of each draw that owners would insure who knew; unknown packs come last."""
    if insured == "all":
        return fade
    by = fade["soh"].isel(time=0) if insured == "weak" else fade["retention"].sel(time=term_years, method="nearest")
    # The run of a pack at the end of its life has ended: none keeps less.
    if "outcome" in fade and insured == "fading":
        by = by.where(~fade["outcome"].isin([outcome for outcome in Outcome if outcome.end_of_life]), 0.0)
    order = np.argsort(np.where(known, by.transpose("draw", "pack"), np.nan), axis=1, kind="stable")
    half = xr.DataArray(order[:, : max(order.shape[1] // 2, 1)], dims=("draw", "pack"))
    draws = xr.DataArray(np.arange(len(order)), dims="draw")
    return fade.drop_vars("pack", errors="ignore").isel(draw=draws, pack=half)


def _faded(fade: xr.Dataset, faster: float) -> xr.Dataset:
    """Return the forecast with a larger loss of capacity since the start."""
    if faster == 1.0:
        return fade
    retention = (1.0 - faster * (1.0 - fade["retention"])).clip(min=0.0)
    start = fade["soh"].isel(time=0)
    if ((start > 0.0) & ~(retention.isel(time=0) > 0.0)).any():
        first = fade["retention"].isel(time=0).where(start > 0.0).min(skipna=False).item()
        raise ValueError(f"'retention' is {first:g} at time 0; must be 1: losses are counted from the start of service")
    return fade.assign(
        retention=retention.assign_attrs(fade["retention"].attrs),
        soh=(start * retention).assign_attrs(fade["soh"].attrs),
    )
