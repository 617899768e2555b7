"""When losses come: bad years, what is still unpaid after each year, and how a premium is earned."""

import numpy as np
from jaxtyping import Float, Int

from fadecast.warranty.remedies import Array
from fadecast.warranty.tails import DRAWS_BEYOND, resolved, value_at_risk

RETURN_PERIODS = np.array([10.0, 20.0, 50.0, 100.0, 250.0])
"""Mean time between years at least so bad [year]."""
RESERVE_LEVEL = 0.95
"""Probability level of the high reserve [1]."""


def emergence(
    unpaid: Float[Array, "draw policy_year"],
    discounted: Float[Array, "draw policy_year"],
    weights: Float[Array, "replicate draw"],
    weight: Float[Array, " draw"],
) -> dict[str, Array]:
    """Follow the losses of weighted draws through the term.

    Parameters
    ----------
    unpaid
        Claims that are made after each policy year, per kWh of base energy [USD/kWh].
    discounted
        Discounted claims of each policy year [USD].
    weights
        How often each draw counts.
    weight
        The same, of the draws as they are.

    Returns
    -------
    On `(replicate, policy_year)`: `reserve`, the expected claims still unpaid at the end of each year; `reserve_high`,
    the same at `RESERVE_LEVEL` over draws, NaN where they do not resolve it [USD/kWh]; `earned_share`, the share of
    the expected discounted claims made until then, by which a premium is earned, NaN where no claim is made [1].
    """
    level = np.array([RESERVE_LEVEL])
    columns = [value_at_risk(year, weights, level)[0][:, 0] for year in unpaid.T]
    high = np.stack(columns, axis=1) if resolved(level, unpaid[:, 0], weight).all() else np.nan
    made = np.cumsum(weights @ discounted, axis=1)
    all_made = made[:, -1:]
    return {
        "reserve": weights @ unpaid / weights.sum(axis=1, keepdims=True),
        "reserve_high": np.broadcast_to(high, made.shape),
        "earned_share": np.divide(made, all_made, out=np.full_like(made, np.nan), where=all_made > 0.0),
    }


def unpaid_after(yearly: Float[Array, "draw policy_year"]) -> Float[Array, "draw policy_year"]:
    """Return what is claimed after each policy year, in the unit of the yearly claims."""
    return np.asarray((yearly.sum(axis=1, keepdims=True) - np.cumsum(yearly, axis=1)).clip(min=0.0))


def return_levels(
    yearly: Float[Array, "draw policy_year"], weights: Float[Array, "replicate draw"], weight: Float[Array, " draw"]
) -> Float[Array, "replicate return_period"]:
    """Return what a year reaches once in each of `RETURN_PERIODS`, the years of all weighted draws taken together.

    Years of a draw are not independent: a level counts as resolved where 20 draws have a year that reaches it, by
    their `weight`, each counting once.
    """
    order = np.argsort(yearly, axis=None, kind="stable")
    ranked, draw = yearly.ravel()[order], order // yearly.shape[1]
    at = np.stack([_ranks(row[draw]) for row in weights])
    once = ranked[_ranks(weight[draw])]
    reach = weight[:, None] * (yearly.max(axis=1)[:, None] >= once)
    # Of nothing all years are as bad: there must have been years enough to show worse.
    enough = np.where(once > 0.0, _effective(reach), _effective(weight) * yearly.shape[1] / RETURN_PERIODS)
    return np.where(enough >= DRAWS_BEYOND, ranked[at], np.nan)


def _effective(weight: Float[Array, "draw ..."]) -> Float[Array, "..."]:
    """Return how many draws of one weight would tell as much [1]."""
    return np.asarray(weight.sum(axis=0) ** 2 / np.maximum((weight**2).sum(axis=0), 1e-300))


def _ranks(weights: Float[Array, " year"]) -> Int[np.ndarray, " return_period"]:
    """Return which of ranked years is the first that is reached so seldom."""
    passed = np.cumsum(weights)
    return np.searchsorted(passed, (1.0 - 1.0 / RETURN_PERIODS) * passed[-1] * (1.0 - 1e-12))
