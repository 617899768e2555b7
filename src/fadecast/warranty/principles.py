"""Premium principles: what is asked for a loss beyond its mean, because it is not certain.

All are of the loss of all packs together per kWh of base energy, over draws. Distorted means weigh the worst draws
more: with S(x) the probability of losing more than x, the loss is priced at the integral of g(S(x)) (Wang, Young &
Panjer 1997, doi:10.1016/S0167-6687(97)00031-0).
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from fadecast.settings import settings
from fadecast.warranty.remedies import Array

PrincipleName = Literal[
    "cost_of_capital",
    "expected_value",
    "standard_deviation",
    "value_at_risk",
    "tail_value_at_risk",
    "wang",
    "proportional_hazard",
    "dual_power",
]
PRINCIPLES: tuple[PrincipleName, ...] = PrincipleName.__args__  # type: ignore[attr-defined]
"""Names of all of them."""


@settings
class Loadings:
    """How much each principle asks for. Assumptions where no source is named."""

    expected_value: Annotated[float, Ge(0.0)] = 0.25
    """Times the expected loss [1]."""
    standard_deviation: Annotated[float, Ge(0.0)] = 0.25
    """Times the standard deviation over draws [1]."""
    level: Annotated[float, Gt(0.0), Lt(1.0)] = 0.95
    """Probability level of value at risk and tail value at risk, asked for whole [1]."""
    wang: Annotated[float, Ge(0.0), Le(3.0)] = 0.45
    """Market price of risk: g(u) = Phi(Phi^-1(u) + wang) [1]. Default: fitted to catastrophe bonds (Wang 2004, Geneva
    Papers 29)."""
    proportional_hazard: Annotated[float, Ge(1.0), Le(10.0)] = 1.25
    """g(u) = u^(1 / proportional_hazard) [1]."""
    dual_power: Annotated[float, Ge(1.0), Le(100.0)] = 1.5
    """g(u) = 1 - (1 - u)^dual_power: the mean of the worst of so many draws [1]."""


def distortions(loadings: Loadings) -> Mapping[PrincipleName, Callable[[Array], Array]]:
    """Return the functions g of the principles that are distorted means."""
    return {
        "wang": lambda u: ndtr(ndtri(u) + loadings.wang),
        "proportional_hazard": lambda u: u ** (1.0 / loadings.proportional_hazard),
        "dual_power": lambda u: 1.0 - (1.0 - u) ** loadings.dual_power,
    }


def distorted_mean(
    loss: Float[Array, " draw"], weights: Float[Array, "replicate draw"], g: Callable[[Array], Array]
) -> Float[Array, " replicate"]:
    """Return the integral of g(S) of weighted draws, in the unit of the loss; losses may not be negative."""
    order = np.argsort(loss, kind="stable")
    ranked, weights = loss[order], weights[:, order]
    reached = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    beyond = np.clip(1.0 - np.concatenate([np.zeros_like(reached[:, :1]), reached], axis=1), 0.0, 1.0)
    return np.asarray(-np.diff(g(beyond), axis=1) @ ranked)


def mean_and_deviation(
    loss: Float[Array, " draw"], weights: Float[Array, "replicate draw"]
) -> tuple[Float[Array, " replicate"], Float[Array, " replicate"]]:
    """Return mean and standard deviation of weighted draws, the second unbiased in the square."""
    total, draws = weights.sum(axis=1), loss.size
    mean = weights @ loss / total
    squares = np.einsum("rd,rd->r", weights, (loss - mean[:, None]) ** 2)
    return np.asarray(mean), np.asarray(np.sqrt(squares / total * draws / max(draws - 1, 1)))
