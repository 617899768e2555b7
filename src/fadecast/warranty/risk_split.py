"""What of the risk diversifies over packs, and what stays however many there are.

Packs of a draw share what is not known: rates, weather, load, defects of their batch. The loss of n packs of one draw
per kWh then varies over draws by systematic + individual / n (variances), which no n brings below the first.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fadecast.warranty.remedies import Array

FLEET_SIZES = np.array([1.0, 10.0, 100.0, 1000.0, 10_000.0, np.inf])
"""Packs that a premium is worked out for [1]."""


class Moments(NamedTuple):
    """Losses of packs per kWh of base energy in each draw: mean, variance between packs, and how many they are."""

    mean: Float[Array, " draw"]
    variance: Float[Array, " draw"]
    packs: Float[Array, " draw"]


def moments(loss: Float[Array, "draw pack"], energy: Float[Array, "draw pack"]) -> Moments:
    """Return the moments of losses [USD] per base energy [kWh]; NaN for packs that are not known.

    A pack counts by its share of the energy, as it does in the loss of all.
    """
    known = np.isfinite(energy) & (energy > 0.0)
    packs = known.sum(axis=1)
    share = np.where(known, energy, 0.0)
    share = share / share.sum(axis=1, keepdims=True)
    ratio = np.divide(loss, energy, out=np.zeros_like(loss), where=known)
    mean = (share * ratio).sum(axis=1)
    squares = packs * (share**2 * np.where(known, ratio - mean[:, None], 0.0) ** 2).sum(axis=1)
    # One pack does not say how packs differ.
    variance = np.where(packs > 1, squares * packs / np.maximum(packs - 1, 1), np.nan)
    return Moments(np.asarray(mean), np.asarray(variance), packs.astype(float))


def split_risk(of: Moments, weights: Float[Array, "replicate draw"]) -> dict[str, Array]:
    """Return the standard deviations of the systematic and the individual part [USD/kWh] of weighted draws.

    The second is that of one pack. What packs by themselves make the means of draws differ by is taken off the first.
    NaN where no draw has two packs.
    """
    known = np.isfinite(of.variance)
    if not known.any():
        nothing = np.full(len(weights), np.nan)
        return {"systematic_standard_deviation": nothing, "individual_standard_deviation": nothing}
    of, weights = Moments(*(part[known] for part in of)), weights[:, known]
    total, draws = weights.sum(axis=1), of.mean.size
    # A sample of draws may hold none of these.
    total = np.where(total > 0.0, total, np.nan)
    individual = weights @ of.variance / total
    mean = weights @ of.mean / total
    between = np.einsum("rd,rd->r", weights, (of.mean - mean[:, None]) ** 2) / total * draws / max(draws - 1, 1)
    noise = weights @ (of.variance / of.packs) / total
    return {
        "systematic_standard_deviation": np.sqrt(np.maximum(between - noise, 0.0)),
        "individual_standard_deviation": np.sqrt(individual),
    }


def of_weather(of: Moments, cluster: Int[np.ndarray, " draw"]) -> float:
    """Return the standard deviation that years of weather and load bring [USD/kWh], where draws share them.

    One-way analysis of variance of the means of draws over the years that they share; NaN where each has its own, for
    rates then differ as weather does.
    """
    count = np.bincount(cluster)
    if count.min() < 2 or len(count) < 2:
        return float("nan")
    means = np.bincount(cluster, of.mean) / count
    within = ((of.mean - means[cluster]) ** 2).sum() / (of.mean.size - len(count))
    between = (count * (means - of.mean.mean()) ** 2).sum() / (len(count) - 1)
    size = (of.mean.size - (count**2).sum() / of.mean.size) / (len(count) - 1)
    return float(np.sqrt(max((between - within) / size, 0.0)))


def scaled_deviation(systematic: Array, individual: Array, size: Array) -> Array:
    """Return the standard deviation over draws of the loss of fleets of some sizes [USD/kWh]."""
    return np.asarray(np.sqrt(systematic**2 + individual**2 / size))
