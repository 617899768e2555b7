"""What a portfolio costs when each draw counts as often as its weight says: every number of a price, once.

All rates and loads are per kWh of base energy, a portfolio ratio: total USD over total kWh.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fadecast.warranty.claims import Claims
from fadecast.warranty.emergence import emergence, return_levels, unpaid_after
from fadecast.warranty.layers import Split, cede
from fadecast.warranty.premium import Capital, Premium
from fadecast.warranty.principles import (
    PRINCIPLES,
    PrincipleName,
    distorted_mean,
    distortions,
    mean_and_deviation,
)
from fadecast.warranty.remedies import Array
from fadecast.warranty.risk_split import FLEET_SIZES, Moments, moments, scaled_deviation, split_risk
from fadecast.warranty.survival import survival
from fadecast.warranty.tails import draws_needed, resolved, value_at_risk

_PART = 2**18
"""Packs whose losses are looked at together (2 MB)."""


@dataclass(frozen=True)
class Pool:
    """Totals of the packs that were simulated, in each draw."""

    loss: Float[Array, " draw"]
    """Discounted claims [USD]."""
    ratio: Float[Array, " draw"]
    """Discounted claims per base energy of as many packs as those of the forecast stand for [USD/kWh]."""
    loss_years: Float[Array, " draw"]
    """Discounted claims times their time of payment [USD.year]."""
    energy: Float[Array, " draw"]
    """Base energy [kWh]."""
    tail_events: Float[Array, " draw"]
    """Packs with the tail event [1]."""
    tail_packs: Float[Array, " draw"]
    """Packs in which it would have been seen [1]."""
    split: Split
    """What reinsurance takes and leaves [USD]."""
    packs: float
    """Packs that those of the forecast stand for, in the mean over draws [1]."""
    weight: Float[Array, " draw"]
    """How much each draw counts [1]."""
    moments: Moments
    """Losses of single packs per base energy."""
    yearly: Float[Array, "draw policy_year"]
    """Claims by policy year per base energy [USD/kWh]."""
    claims: Claims
    """What they all come from."""


def pool_of(claims: Claims, premium: Premium, pack_weight: float) -> Pool:
    """Add up claims, of packs that each stand for `pack_weight`, by draw."""
    loss, energy = _by_draws(_totals, claims)
    of_packs = Moments(*_by_draws(moments, claims))
    return Pool(
        loss=loss,
        ratio=_of_all(loss / energy, of_packs, pack_weight, claims.weight),
        loss_years=claims.loss_years,
        energy=energy,
        tail_events=claims.tail_events,
        tail_packs=claims.tail_packs,
        split=Split(*_by_draws(partial(cede, premium.reinsurance), claims)),
        packs=float(of_packs.packs.mean() * pack_weight),
        weight=claims.weight,
        moments=of_packs,
        yearly=claims.paid / (energy[:, None] * pack_weight),
        claims=claims,
    )


def _by_draws(of: Callable[[Array, Array], tuple[Array, ...]], claims: Claims) -> list[Array]:
    """Work out what is of loss and energy of each draw, a few at a time: all packs at once take gigabytes."""
    step = max(1, _PART // claims.loss.shape[1])
    some = [slice(first, first + step) for first in range(0, len(claims.loss), step)]
    parts = [of(claims.loss[draws], claims.base_energy[draws]) for draws in some]
    return [np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)]


def _totals(loss: Array, energy: Array) -> tuple[Array, Array]:
    return np.nansum(loss, axis=1), np.nansum(energy, axis=1)


def _of_all(
    ratio: Float[Array, " draw"], of: Moments, pack_weight: float, weight: Float[Array, " draw"]
) -> Float[Array, " draw"]:
    """Return the losses of draws had all packs been simulated: closer to their mean, for chance evens out more.

    The spread of the sample is brought to that of the whole, as the split of risk says; its shape is kept.
    """
    if pack_weight == 1.0:
        return ratio
    systematic, individual = (float(part[0]) for part in split_risk(of, weight[None]).values())
    few, all_packs = of.packs.mean(), of.packs.mean() * pack_weight
    spreads = [np.sqrt(systematic**2 + individual**2 / size) for size in (all_packs, few)]
    scale = spreads[0] / spreads[1] if spreads[1] > 0.0 else 1.0
    mean = np.average(ratio, weights=weight)
    return np.maximum(mean + scale * (ratio - mean), 0.0)


class Quote(NamedTuple):
    """A premium by one principle and its parts [USD/kWh]."""

    expected: Float[Array, " replicate"]
    load: Float[Array, " replicate"]
    refund: Float[Array, " replicate"]
    gross: Float[Array, " replicate"]


def quote(
    pool: Pool,
    premium: Premium,
    levels: Float[Array, " level"],
    weights: Float[Array, "replicate draw"],
    principle: PrincipleName | None = None,
) -> Quote:
    """Return the premium of weighted draws by a principle, by default that of the settings."""
    expected = (weights @ pool.loss) / (weights @ pool.energy)
    load = load_for_risk(pool, premium, levels, pool.ratio, expected, weights, principle)
    gross = (expected + premium.fixed_expenses_usd_per_kwh + load) / kept_share(pool, premium, weights)
    return Quote(expected, load, gross * returned_share(pool, weights), gross)


def returned_share(pool: Pool, weights: Float[Array, "replicate draw"]) -> Float[Array, " replicate"]:
    """Return the expected present value of what owners who end early are given back of the premium, over it [1]."""
    return np.asarray((weights @ (pool.claims.refund * pool.energy)) / (weights @ pool.energy))


def kept_share(pool: Pool, premium: Premium, weights: Float[Array, "replicate draw"]) -> Float[Array, " replicate"]:
    """Return what expenses and owners who end early leave of a premium [1]; NaN where that is nothing."""
    kept = 1.0 - premium.expense_ratio - returned_share(pool, weights)
    return np.where(kept > 0.0, kept, np.nan)


def evaluate(
    pool: Pool, premium: Premium, levels: Float[Array, " level"], weights: Float[Array, "replicate draw"]
) -> dict[str, Array]:
    """Price the portfolio when each draw counts as often as its weight says."""
    energy = weights @ pool.energy
    enough = resolved(levels, pool.ratio, pool.weight)
    quantile, tail = (np.where(enough, v, np.nan) for v in value_at_risk(pool.ratio, weights, levels))
    quotes = {name: quote(pool, premium, levels, weights, name) for name in PRINCIPLES}
    expected, load, refund, gross = quotes[premium.principle]
    charged, net = expected + premium.fixed_expenses_usd_per_kwh, kept_share(pool, premium, weights)[:, None]
    ceded = [(weights @ taken) / energy for taken in pool.split.ceded]
    spreads = [
        mean_and_deviation(taken / pool.energy, weights)[1] for taken in (*pool.split.ceded, pool.split.retained)
    ]
    parts = split_risk(pool.moments, weights)
    systematic, individual = (part[:, None] for part in parts.values())
    fleets = scaled_deviation(systematic, individual, FLEET_SIZES)
    here = np.broadcast_to(scaled_deviation(systematic, individual, np.array(pool.packs)), fleets.shape)
    # The expected value principle asks nothing of spread.
    scale = np.ones_like(fleets) if premium.principle == "expected_value" else _ratio(fleets, here, 1.0)
    scale = np.where(np.isnan(fleets), np.nan, scale)
    packs = weights @ pool.moments.packs
    count = weights @ pool.claims.count.sum(axis=1)
    return {
        "expected_loss": expected,
        "expenses": premium.fixed_expenses_usd_per_kwh + premium.expense_ratio * gross,
        "capital_load": load,
        "refund": refund,
        "premium": gross,
        "value_at_risk": quantile,
        "tail_value_at_risk": tail,
        "tail_event_probability": _ratio(weights @ pool.tail_events, weights @ pool.tail_packs, np.nan),
        "principle_premium": np.stack([each.gross for each in quotes.values()], axis=1),
        "claims_per_pack": count / packs,
        "mean_claim": _ratio(weights @ pool.loss, count, np.nan),
        "ceded_loss": np.stack(ceded, axis=1) if ceded else np.zeros((len(weights), 0)),
        "ceded_standard_deviation": np.stack(spreads, axis=1)[:, :-1],
        "retained_loss": (weights @ pool.split.retained) / energy,
        "retained_standard_deviation": spreads[-1],
        **parts,
        "fleet_premium": (charged[:, None] + load[:, None] * scale) / net,
        "aggregate_exceedance": return_levels(pool.yearly, weights, pool.weight),
        "occurrence_exceedance": return_levels(pool.claims.largest, weights, pool.weight),
        "survival": survival(pool.claims.at_risk, pool.claims.fallen, weights),
        **emergence(unpaid_after(pool.yearly), pool.claims.discounted, weights, pool.weight),
    }


def load_for_risk(
    pool: Pool,
    premium: Premium,
    levels: Float[Array, " level"],
    loss: Float[Array, " draw"],
    expected: Float[Array, " replicate"],
    weights: Float[Array, "replicate draw"],
    principle: PrincipleName | None = None,
) -> Float[Array, " replicate"]:
    """Return what a principle asks for beyond an expected loss of draws, paid as that of the pool is [USD/kWh].

    NaN where draws do not resolve its level.
    """
    loadings, name = premium.loadings, principle or premium.principle
    mean, deviation = mean_and_deviation(loss, weights)
    match name:
        case "expected_value":
            return loadings.expected_value * expected
        case "standard_deviation":
            return loadings.standard_deviation * deviation
        case "value_at_risk" | "tail_value_at_risk":
            level = np.array([loadings.level])
            quantile, tail = value_at_risk(loss, weights, level)
            told = resolved(level, pool.ratio, pool.weight).all()
            bad = (tail if name == "tail_value_at_risk" else quantile)[:, 0]
            return np.maximum(bad - expected, 0.0) if told else np.full_like(bad, np.nan)
        case "cost_of_capital":
            return _capital_load(pool, loss, expected, weights, premium.capital, levels)
    return distorted_mean(loss, weights, distortions(loadings)[name]) - mean


def _capital_load(
    pool: Pool,
    loss: Float[Array, " draw"],
    expected: Float[Array, " replicate"],
    weights: Float[Array, "replicate draw"],
    settings: Capital,
    levels: Float[Array, " level"],
) -> Float[Array, " replicate"]:
    level, _ = capital_basis(settings, levels, pool)
    if level is None:
        capital = settings.standard_deviation_factor * mean_and_deviation(loss, weights)[1]
    else:
        quantile, tail = value_at_risk(loss, weights, levels)
        bad = tail if settings.risk_measure == "tvar" else quantile
        # A quantile can lie below the mean.
        capital = np.maximum(bad[:, level] - expected, 0.0)
    # Mean time of payment; 0 where nothing is paid.
    duration = _ratio(weights @ pool.loss_years, weights @ pool.loss, 0.0)
    return np.asarray(settings.cost_of_capital * capital * duration)


def capital_basis(capital: Capital, levels: Float[Array, " level"], pool: Pool) -> tuple[int | None, str]:
    """Return the index of the level that the capital rests on (None: standard deviation), and its name."""
    usable = np.flatnonzero(resolved(levels, pool.ratio, pool.weight) & (levels <= capital.capital_level))
    needed = draws_needed(capital.capital_level)
    wanted = f"{pool.ratio.size} draws do not resolve {capital.capital_level:g}, which needs {needed}"
    if not usable.size:
        return None, f"standard_deviation times {capital.standard_deviation_factor:g} ({wanted})"
    name = "tail_value_at_risk" if capital.risk_measure == "tvar" else "value_at_risk"
    index = int(usable[-1])
    if levels[index] == capital.capital_level:
        return index, f"{name} at {levels[index]:g}"
    return index, f"{name} at {levels[index]:g} ({wanted})"


def _ratio(total: Float[Array, "..."], of: Float[Array, "..."], otherwise: float) -> Float[Array, "..."]:
    ratio: Array = np.divide(total, of, out=np.full_like(total, otherwise), where=of > 0.0)
    return ratio
