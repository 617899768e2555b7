"""How well every law foretells each condition that was left out, and what weight each law so earns in a mixture."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize
from scipy.special import logsumexp

from fadecast.calibration.joint_model import Evidence
from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.left_out import Untold, left_out, redrawn, untold
from fadecast.calibration.likelihood import pointwise

_AGAIN = 8
"""Times that what is not told is drawn anew for each draw."""


def foretold(
    law: AgeingLaw, evidence: Evidence, folds: Float[np.ndarray, "folds draws n"]
) -> Float[np.ndarray, " folds"]:
    """Return the log predictive density of the capacity of what each fold is without, per check-up."""

    @jax.jit
    def density(untold: Untold, draws: Array, key: Array) -> tuple[Array, Array]:
        return jax.vmap(partial(pointwise, law, evidence))(redrawn(law, evidence, untold, draws, key))

    scores = []
    for number, (out, draws) in enumerate(zip(left_out(evidence), folds, strict=True)):
        free, told = untold(law, evidence, out), []
        for key in jax.random.split(jax.random.key(number), _AGAIN):
            values = []
            for part, series, cells in zip(
                density(free, jnp.asarray(draws), key),
                evidence[:2],
                np.split(out, [len(evidence.stored.temperature)]),
                strict=True,
            ):
                known = np.isfinite(series.losses[:, 0]) & (cells[:, None] > 0.0)
                values.append(np.asarray(part)[:, :, 0][:, known])
            told.append(np.concatenate(values, axis=1))
        together = np.concatenate(told)
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
