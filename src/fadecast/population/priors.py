"""Priors of what was not measured: rates of ageing, and hidden states of a pack.

Each has a spread over draws (what is not known, common to all packs) and one over packs (how packs differ).
Only the second diversifies in a portfolio, so a parameter nobody has measured belongs mainly to the first. Of packs of
groups (`inside`), results hold the groups of each pack after each other in place of packs.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float
from scipy.special import expit, logit

from fadecast.population.keys import Inside, Seed, draw_normals, pack_normals
from fadecast.settings import settings

NonNegative = Annotated[float, Ge(0.0)]


@settings
class RatePrior:
    """An ageing-rate parameter: a reference value times a log-normal multiplier of median one."""

    name: str
    """PyBaMM parameter that it sets."""
    value: float
    """Reference value [`units`]."""
    units: str
    """Units as in the PyBaMM parameter's name."""
    log_sd: NonNegative
    """Standard deviation of the log multiplier over draws [1]."""
    pack_log_sd: NonNegative = 0.0
    """Standard deviation of a further log multiplier over the packs of a draw [1]."""


@settings
class LogNormalPrior:
    """A positive hidden state: log-normal over draws, and over the packs of a draw."""

    median: Annotated[float, Gt(0.0)]
    """Median, in the unit of the state."""
    log_sd: NonNegative
    """Standard deviation of its logarithm over draws [1]."""
    pack_log_sd: NonNegative
    """Standard deviation of its logarithm over the packs of a draw [1]."""


@settings
class SharePrior:
    """A share between 0 and 1: normal in log-odds over draws, and over the packs of a draw."""

    median: Annotated[float, Gt(0.0), Lt(1.0)]
    """Median [1]."""
    logit_sd: NonNegative
    """Standard deviation of its log-odds over draws [1]."""
    pack_logit_sd: NonNegative
    """Standard deviation of its log-odds over the packs of a draw [1]."""


def sample_lognormal(
    seed: Seed, name: str, prior: LogNormalPrior, draws: int, packs: int, inside: Inside | None = None
) -> Float[np.ndarray, "draw pack"]:
    """Return a positive state of each pack, in the unit of the prior."""
    multiplier = np.exp(_deviations(seed, name, prior.log_sd, prior.pack_log_sd, draws, packs, inside))
    return np.asarray(prior.median * multiplier)


def sample_rate(
    seed: Seed, prior: RatePrior, draws: int, packs: int, inside: Inside | None = None
) -> Float[np.ndarray, "draw pack"]:
    """Return a rate of each pack [`prior.units`], the same for all packs of a draw if `pack_log_sd` is 0."""
    multiplier = np.exp(_deviations(seed, prior.name, prior.log_sd, prior.pack_log_sd, draws, packs, inside))
    return np.asarray(prior.value * multiplier)


def sample_share(
    seed: Seed, name: str, prior: SharePrior, draws: int, packs: int, inside: Inside | None = None
) -> Float[np.ndarray, "draw pack"]:
    """Return a share of each pack [1]."""
    deviations = _deviations(seed, name, prior.logit_sd, prior.pack_logit_sd, draws, packs, inside)
    return np.asarray(expit(logit(prior.median) + deviations))


def _deviations(
    seed: Seed, name: str, draw_sd: float, pack_sd: float, draws: int, packs: int, inside: Inside | None
) -> Float[np.ndarray, "draw pack"]:
    columns = packs if inside is None else packs * inside.groups
    deviations = np.broadcast_to(draw_sd * draw_normals(seed, name, draws), (draws, columns))
    if pack_sd > 0.0:
        deviations = deviations + pack_sd * pack_normals(seed, name, draws, packs, 1, inside)[..., 0]
    return deviations
