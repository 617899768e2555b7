"""Quantiles of the portfolio loss over draws, and whether there are draws enough to name them."""

import numpy as np
from jaxtyping import Bool, Float

from fadecast.warranty.remedies import Array

DRAWS_BEYOND = 20
"""Draws that must lie beyond a quantile before it is named: a bootstrap cannot invent a tail."""


def draws_needed(level: float) -> int:
    """Return how many draws resolve a level: 4,000 for 0.995."""
    return int(np.ceil(np.round(DRAWS_BEYOND / (1.0 - level), 6)))


def resolved(
    levels: Float[Array, " level"], loss: Float[Array, " draw"], weight: Float[Array, " draw"]
) -> Bool[np.ndarray, " level"]:
    """Return which levels have at least `DRAWS_BEYOND` draws beyond them; draws of unlike weight count for fewer."""
    worst = weight[np.argsort(-loss, kind="stable")]
    mass, squares = np.cumsum(worst), np.cumsum(worst**2)
    beyond = np.searchsorted(mass, (1.0 - levels) * mass[-1] * (1.0 + 1e-9), side="right")
    effective = np.where(beyond > 0, mass[beyond - 1] ** 2 / squares[beyond - 1], 0.0)
    return np.asarray(np.round(effective, 6) >= DRAWS_BEYOND)


def value_at_risk(
    loss: Float[Array, " draw"], weights: Float[Array, "replicate draw"], levels: Float[Array, " level"]
) -> tuple[Float[Array, "replicate level"], Float[Array, "replicate level"]]:
    """Return quantile and tail mean of weighted draws.

    VaR is the smallest loss that a share `level` of the draws does not exceed, TVaR the mean of the worst
    share 1 - level, where the draw at the quantile counts in part:
    TVaR = VaR + E[max(0, X - VaR)] / (1 - level)
    (Rockafellar & Uryasev 2002, 10.1016/S0378-4266(02)00271-6, theorem 10; it is the expected shortfall of
    Acerbi & Tasche 2002, 10.1016/S0378-4266(02)00283-2).

    Parameters
    ----------
    loss
        Loss of each draw, in any unit.
    weights
        How often each draw counts.
    levels
        Probability levels.

    Returns
    -------
    VaR and TVaR in the unit of `loss`.
    """
    order = np.argsort(loss, kind="stable")
    ranked, weights = loss[order], weights[:, order]
    cumulative = np.cumsum(weights, axis=1)
    total = cumulative[:, -1]
    quantiles, tails = np.empty((2, weights.shape[0], levels.size))
    for column, level in enumerate(levels):
        # The margin keeps 0.995 * 4000, which is not exactly 3980, at rank 3980.
        rank = np.sum(cumulative < level * total[:, None] - 1e-6, axis=1)
        quantile = ranked[rank]
        beyond = np.einsum("rd,rd->r", weights, np.maximum(ranked - quantile[:, None], 0.0)) / total
        quantiles[:, column] = quantile
        tails[:, column] = quantile + beyond / (1.0 - level)
    return quantiles, tails
