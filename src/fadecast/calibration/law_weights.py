"""Each condition left out in turn: how well every law foretells it, and what weight each law so earns in a mixture."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import logsumexp

from fadecast.calibration.joint_model import Evidence, conditions, count_of, pointwise
from fadecast.calibration.laws import AgeingLaw


def left_out(evidence: Evidence) -> Float[np.ndarray, "folds cells"]:
    """Return which cells each fold is without: 1 for these, stored cells first.

    A storage condition is left out alone, cycled cells with all at their temperature.
    """
    stored, groups = len(evidence.stored.temperature), conditions(evidence.cycled.temperature)
    cells = stored + len(groups)
    out = np.zeros((stored + count_of(groups), cells))
    out[range(stored), range(stored)] = 1.0
    for number in range(count_of(groups)):
        out[stored + number, stored:][groups == number] = 1.0
    return out


def foretold(
    law: AgeingLaw, evidence: Evidence, folds: Float[np.ndarray, "folds draws n"]
) -> Float[np.ndarray, " folds"]:
    """Return the log predictive density of the capacity of what each fold is without, per check-up."""
    density = jax.jit(jax.vmap(partial(pointwise, law, evidence)))
    scores = []
    for out, draws in zip(left_out(evidence), folds, strict=True):
        parts = [np.asarray(part)[:, :, 0] for part in density(jnp.asarray(draws))]
        values = []
        for part, series, cells in zip(
            parts, evidence[:2], np.split(out, [len(evidence.stored.temperature)]), strict=True
        ):
            known = np.isfinite(series.losses[:, 0]) & (cells[:, None] > 0.0)
            values.append(part[:, known])
        together = np.concatenate(values, axis=1)
        scores.append(float(np.mean(logsumexp(together, axis=0) - np.log(len(together)))))
    return np.array(scores)


def stacked(scores: Float[np.ndarray, "laws folds"]) -> Float[np.ndarray, " laws"]:
    """Return the weights of the mixture of laws that foretells best what was left out.

    Stacking of predictive distributions (Yao et al. 2018, doi:10.1214/17-BA1091, eq. 4).
    """
    count = len(scores)

    def loss(free: np.ndarray) -> float:
        weights = np.exp(free - logsumexp(free))
        return -float(logsumexp(scores, axis=0, b=weights[:, None]).mean())

    found = minimize(
        loss, np.zeros(count), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-8, "maxiter": 4000}
    )
    return np.asarray(np.exp(found.x - logsumexp(found.x)))
