"""Draws of a posterior moved to what it would be if some cells had not been seen, by sequential Monte Carlo.

What cells say is taken back by and by: draws are weighed by what that makes of their density, drawn again by their
weights, and moved by Hamiltonian Monte Carlo (Del Moral, Doucet and Jasra 2006, doi:10.1111/j.1467-9868.2006.00553.x;
to leave cells out, Bornn, Doucet and Gottardo 2010, doi:10.1016/j.csda.2009.06.018). Where the posterior without a cell
lies in several parts, weights say how much of it is in each of those that draws begin in; a chain stays long in the
part that it comes to first.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax

import fadecast.precision  # noqa: F401
from fadecast.calibration.coordinates import Density, Round, spread_of

_LEFT = 0.5
"""Effective draws of a stage over all, at least [1]."""
_LEAST = 1e-6
"""Of all, that a stage must be able to take back."""
_ACCEPTED = 0.75
"""Of paths; steps grow or shrink towards it."""
_FIRST_STEP = 0.05
_WAY = 2.0
"""Length of a path, in standard deviations of the draws."""
_STEPS = (4, 256)
"""Of a path, at least and at most."""
_JITTER = (0.6, 1.2)
"""Of the step of a path, over the one for all: of one length, paths would go round together where all is alike."""
_TOGETHER = 8
"""Paths in a batch: of all of a group, numbers would not stay in the cache of a core."""


class Moved(NamedTuple):
    """Draws that were moved, and how the last stage went."""

    z: Float[np.ndarray, "groups draws n"]
    divergent: Int[np.ndarray, " groups"]
    """Paths of the last stage that diverged."""
    acceptance: Float[np.ndarray, " groups"]
    """Of the last paths, mean."""
    log_evidence: Float[np.ndarray, " groups"]
    """Log of the marginal likelihood of what is still known over that of all, as each group has it."""
    shares: Float[np.ndarray, " stages"]
    """Of what is taken back, after each stage."""


Forget = Callable[[Float[np.ndarray, "groups draws n"], Array, Float[np.ndarray, " cells"], Array], Moved]


def forget(density: Density, moves: int) -> Forget:
    """Return what moves draws from the posterior given all cells to that given some.

    Parameters
    ----------
    density
        See `Density`.
    moves
        Paths of each draw in a stage.

    Returns
    -------
    A function of draws, of a matrix that makes their covariance about 1, of which cells are known in the end, 1, and
    which not, 0, and of a key. Groups of draws have only stages, coordinates and steps of paths in common: where they
    differ in the end, there were too few draws or moves. It raises ValueError where next to nothing can be taken back.
    """
    paths = _paths(density)

    @jax.jit
    def change(known: Array, z: Array) -> Array:
        return jax.lax.map(lambda each: density(known, each) - density(jnp.ones_like(known), each), z)

    def run(draws: np.ndarray, wide: Array, known: np.ndarray, key: Array) -> Moved:
        z, step, shares, evidence = draws, _FIRST_STEP, [0.0], np.zeros(len(draws))
        while shares[-1] < 1.0:
            told = np.asarray(change(jnp.asarray(known), jnp.asarray(z.reshape(-1, z.shape[-1]))))
            told = np.where(np.isfinite(told), told, -np.inf).reshape(z.shape[:2])
            more = bearable(told, 1.0 - shares[-1])
            shares.append(1.0 if more == 1.0 - shares[-1] else shares[-1] + more)
            evidence += logsumexp(more * told, axis=1) - np.log(z.shape[1])
            weights = softmax(more * told, axis=1)
            again, now, key = jax.random.split(key, 3)
            about = spread_of(z, wide, weights)
            offsets = np.asarray(jax.random.uniform(again, (len(z),)))
            chosen = np.stack([picked(weights[n], offsets[n]) for n in range(len(z))])
            z = np.take_along_axis(z, chosen[..., None], axis=1)
            between, diverged = jnp.asarray(1.0 + shares[-1] * (known - 1.0)), []
            for move in jax.random.split(now, moves):
                z, divergent, acceptance = paths(between, about, z, step, move)
                step *= float(np.exp(acceptance.mean() - _ACCEPTED))
                diverged.append(divergent.sum(axis=1))
        return Moved(z, np.sum(diverged, axis=0), acceptance.mean(axis=1), evidence, np.array(shares[1:]))

    return run


def merged(
    z: Float[np.ndarray, "groups draws n"], log_evidence: Float[np.ndarray, " groups"]
) -> Float[np.ndarray, "merged n"]:
    """Return as many draws of all groups: more of those that have more evidence, for they met more of the posterior."""
    weights = np.repeat(softmax(log_evidence) / z.shape[1], z.shape[1])
    return z.reshape(-1, z.shape[-1])[picked(weights, 0.5)]


def picked(weights: Float[np.ndarray, " draws"], offset: float) -> Int[np.ndarray, " draws"]:
    """Return which draws are drawn by weights that sum to 1: at even steps through these, `offset` of one in."""
    at = (np.arange(len(weights)) + offset) / len(weights)
    return np.searchsorted(np.cumsum(weights)[:-1], at, side="right")


def bearable(change: Float[np.ndarray, "groups draws"], left: float) -> float:
    """Return how much of a change of the log density all groups bear at once: `left`, or less.

    Raises
    ------
    ValueError
        When that is next to nothing.
    """

    def spare(more: float) -> float:
        weights = softmax(more * change, axis=1)
        return float((1.0 / (weights**2).sum(axis=1)).min()) / change.shape[1] - _LEFT

    if np.isfinite(change).mean(axis=1).min() < _LEFT or spare(_LEAST) < 0.0:
        raise ValueError("draws without some cells: most of those given all have no density without these")
    if spare(left) >= 0.0:
        return left
    return float(brentq(spare, _LEAST, left, xtol=_LEAST / 10.0))


def _paths(density: Density) -> Callable[..., tuple[np.ndarray, ...]]:
    """Return what moves each draw along one path, groups of them side by side on as many cores as there are."""
    kernel = blackjax.hmc.build_kernel()
    compiled: dict[tuple[int, ...], Callable[..., tuple[Array, ...]]] = {}

    def group(known: Array, about: Round, z: Array, step: Array, key: Array) -> tuple[Array, ...]:
        def there(u: Array) -> Array:
            return density(known, about.middle + about.wide @ u)

        def path(given: tuple[Array, Array]) -> tuple[Array, ...]:
            u, key = given
            jitter, run = jax.random.split(key)
            own = step * jax.random.uniform(jitter, minval=_JITTER[0], maxval=_JITTER[1])
            steps = jnp.clip(jnp.round(_WAY / step), *_STEPS).astype(int)
            state, info = kernel(run, blackjax.hmc.init(u, there), there, own, jnp.ones_like(u), steps)
            return about.middle + about.wide @ state.position, info.is_divergent, info.acceptance_rate

        starts = jax.scipy.linalg.solve(about.wide, (z - about.middle[None]).T).T
        z, divergent, acceptance = jax.lax.map(path, (starts, jax.random.split(key, len(z))), batch_size=_TOGETHER)
        return z, divergent, jnp.nan_to_num(acceptance)

    def run(known: Array, about: Round, z: np.ndarray, step: float, key: Array) -> tuple[np.ndarray, ...]:
        first, keys = jnp.asarray(step), jax.random.split(key, len(z))
        # Before there are threads: each would compile it.
        if z.shape not in compiled:
            compiled[z.shape] = jax.jit(group).lower(known, about, jnp.asarray(z[0]), first, keys[0]).compile()

        def ended(given: tuple[np.ndarray, Array]) -> tuple[np.ndarray, ...]:
            return tuple(map(np.asarray, compiled[z.shape](known, about, jnp.asarray(given[0]), first, given[1])))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return tuple(map(np.stack, zip(*pool.map(ended, zip(z, keys, strict=True)), strict=True)))

    return run
