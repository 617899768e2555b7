"""Sample what is not known of ageing: the No-U-Turn sampler on all cells, then again without each condition in turn."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from fadecast.calibration.joint_model import COMMON, Evidence, log_density, sizes
from fadecast.calibration.laws import AgeingLaw

_SHRINKAGE = 0.2
_DOUBLINGS = 9
"""Of the length of a path, at most."""


class Effort(NamedTuple):
    """How long to sample."""

    chains: int = 4
    pilot: int = 400
    warmup: int = 500
    draws: int = 1000
    fold_warmup: int = 150
    fold_draws: int = 200


class Sampled(NamedTuple):
    """Draws from the posterior."""

    z: Float[np.ndarray, "chains draws n"]
    """See `joint_model.unfold`."""
    divergent: Float[np.ndarray, "chains draws"]
    acceptance: Float[np.ndarray, "chains draws"]
    steps: Float[np.ndarray, "chains draws"]
    """Of a path."""
    wide: Float[np.ndarray, "n n"]
    """Makes the covariance of the posterior about 1."""


def sample(law: AgeingLaw, evidence: Evidence, effort: Effort, seed: int) -> Sampled:
    """Draw from the posterior given all cells: blackjax's No-U-Turn sampler, step and mass adapted.

    A pilot moves in coordinates in which the posterior is round where it is highest; its draws say where all is.
    """
    cells = len(evidence.stored.temperature) + len(evidence.cycled.temperature)
    density = partial(log_density, law, evidence, jnp.ones(cells))
    spreads = jnp.array([name.endswith("_sd") for name in COMMON])
    count = sum(sizes(law, evidence).values())
    given = jnp.concatenate([spreads, jnp.zeros(count - len(COMMON), bool)])
    # Spreads at their middle: with them the density is highest where they are far too wide.
    top, wide = highest(
        lambda z: density(jnp.where(given, 0.0, z)) - 0.5 * (jnp.where(given, z, 0.0) ** 2).sum(), count
    )
    pilot = _chains(density, top, wide, effort.chains, effort.pilot, effort.pilot, seed)
    middle, wide = spread_of(pilot.z, wide)
    return _chains(density, middle, wide, effort.chains, effort.warmup, effort.draws, seed + 1)


def starts_of(whole: Sampled, middle: Array, wide: Array) -> Float[Array, "chains n"]:
    """Return the last draw of each chain in the coordinates that `wide` makes."""
    return jnp.linalg.solve(wide, (whole.z[:, -1] - np.asarray(middle)).T).T


def spread_of(z: Float[np.ndarray, "chains draws n"], wide: Array) -> tuple[Array, Array]:
    """Return the mean of draws, and a matrix that makes their covariance 1; `wide` is one that does so about."""
    flat = z.reshape(-1, z.shape[-1])
    there = np.linalg.solve(np.asarray(wide), (flat - flat.mean(axis=0)).T)
    covariance = np.cov(there)
    # Few draws see all directions: what they say of pairs is taken back a little, where that is said of round ones.
    shrunk = (1.0 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diag(covariance))
    return jnp.asarray(flat.mean(axis=0)), wide @ jnp.asarray(np.linalg.cholesky(shrunk))


def _chains(
    density: Callable[[Array], Array], middle: Array, wide: Array, chains: int, warmup: int, draws: int, seed: int
) -> Sampled:
    keys = jax.vmap(partial(jax.random.split, num=3))(jax.random.split(jax.random.key(seed), chains))
    starts = jax.vmap(lambda key: jax.random.normal(key, middle.shape))(keys[:, 0])
    parts = jax.jit(jax.vmap(partial(_chain, density, middle, wide, warmup, draws)))(starts, keys[:, 1:])
    z, divergent, acceptance, steps = (np.asarray(part) for part in parts)
    return Sampled(z, divergent, acceptance, steps, np.asarray(wide))


def _chain(
    density: Callable[[Array], Array],
    middle: Array,
    wide: Array,
    warmup: int,
    draws: int,
    start: Array,
    keys: Array,
) -> tuple[Array, ...]:
    """Return places, and whether each path to one diverged, its acceptance and its steps.

    `start` is in the coordinates that `wide` makes.
    """

    def there(u: Array) -> Array:
        return density(middle + wide @ u)

    warm, run = keys
    adapt = blackjax.window_adaptation(blackjax.nuts, there, target_acceptance_rate=0.9, max_num_doublings=_DOUBLINGS)
    (state, parameters), _ = adapt.run(warm, start, warmup)
    step = blackjax.nuts(there, **parameters).step

    def one(state, key):  # type: ignore[no-untyped-def]
        state, info = step(key, state)
        place = middle + wide @ state.position
        return state, (place, info.is_divergent, info.acceptance_rate, info.num_integration_steps)

    return jax.lax.scan(one, state, jax.random.split(run, draws))[1]


def highest(density: Callable[[Array], Array], count: int) -> tuple[Array, Array]:
    """Return where a density is highest, and a matrix that makes its curvature there 1 in all directions."""
    down = jax.jit(jax.value_and_grad(lambda z: -density(z)))
    found = minimize(
        lambda z: tuple(map(np.asarray, down(jnp.asarray(z)))),
        np.zeros(count),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 10000, "maxfun": 20000, "ftol": 1e-13, "gtol": 1e-4, "maxcor": 30},
    )
    curvature = -np.asarray(jax.jit(jax.hessian(density))(jnp.asarray(found.x)))
    values, directions = np.linalg.eigh(curvature)
    # Nothing is held for wider than it was beforehand.
    return jnp.asarray(found.x), jnp.asarray(directions / np.sqrt(np.maximum(values, 1.0)))


def sample_folds(
    law: AgeingLaw,
    evidence: Evidence,
    whole: Sampled,
    kept: Float[np.ndarray, "folds cells"],
    effort: Effort,
    seed: int,
    numbers: Sequence[int],
) -> Iterator[tuple[int, Float[np.ndarray, "chains draws n"]]]:
    """Draw from the posteriors given some of the cells, in the coordinates that the posterior of all is round in.

    Chains begin at its draws: where it is bent, few other places are near it, and short chains do not get there. Those
    draws know what the fold does not, so chains that have not left them yet would agree: R-hat does not see it. What a
    fold gives does not hang on which others are asked for.

    Parameters
    ----------
    whole
        Given all cells.
    kept
        1 for the cells that a fold knows, stored first.
    numbers
        Of the folds that are asked for.

    Yields
    ------
    The number of a fold, and its draws.
    """
    middle, wide = spread_of(whole.z, jnp.asarray(whole.wide))
    starts = starts_of(whole, middle, wide)

    @jax.jit
    def run(known: Array, keys: Array) -> Array:
        density = partial(log_density, law, evidence, known)
        return jax.vmap(partial(_chain, density, middle, wide, effort.fold_warmup, effort.fold_draws))(starts, keys)[0]

    for number in numbers:
        # The next but one: those of the posterior of all and of its pilot are taken.
        keys = jax.vmap(jax.random.split)(jax.random.split(jax.random.key(seed + 2 + number), len(starts)))
        yield number, np.asarray(run(jnp.asarray(kept[number]), keys))
