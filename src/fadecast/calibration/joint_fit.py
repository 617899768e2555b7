"""Sample what is not known of ageing: the No-U-Turn sampler on all cells; its draws, moved to forget each condition."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from fadecast.calibration.coordinates import Density, Round, spread_of
from fadecast.calibration.forgetting import Moved, forget
from fadecast.calibration.joint_model import Evidence, sizes
from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.left_out import redrawn, untold
from fadecast.calibration.likelihood import log_density

_DOUBLINGS = 9
"""Of the length of a path, at most."""


class Effort(NamedTuple):
    """How long to sample."""

    chains: int = 4
    pilot: int = 400
    warmup: int = 500
    draws: int = 1000
    fold_draws: int = 64
    fold_moves: int = 6


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
    all_cells = jnp.ones(len(evidence.stored.temperature) + len(evidence.cycled.temperature))
    density = partial(log_density, law, evidence)
    spreads = jnp.array([name.endswith("_sd") for name in evidence.priors])
    count = sum(sizes(law, evidence).values())
    given = jnp.concatenate([spreads, jnp.zeros(count - len(evidence.priors), bool)])
    # Spreads at their middle: with them the density is highest where they are far too wide.
    top, wide = highest(
        lambda z: density(all_cells, jnp.where(given, 0.0, z)) - 0.5 * (jnp.where(given, z, 0.0) ** 2).sum(), count
    )
    begun = _begun(effort.chains, count, seed)
    pilot = _chains(density, effort.pilot, effort.pilot, all_cells, Round(top, wide), *begun)
    begun = _begun(effort.chains, count, seed + 1)
    return _chains(density, effort.warmup, effort.draws, all_cells, spread_of(pilot.z, wide), *begun)


def _begun(chains: int, count: int, seed: int) -> tuple[Array, Array]:
    """Return where chains begin, and their keys."""
    keys = jax.vmap(partial(jax.random.split, num=3))(jax.random.split(jax.random.key(seed), chains))
    return jax.vmap(lambda key: jax.random.normal(key, (count,)))(keys[:, 0]), keys[:, 1:]


def _chains(
    density: Density, warmup: int, draws: int, known: Array, about: Round, starts: Array, keys: Array
) -> Sampled:
    """Run chains, given the cells that are known, coordinates, starts in them and keys.

    Each chain by itself and as many at a time as there are cores: as a batch all would wait for the longest path.
    """
    # Before there are threads: each would compile it.
    chain = jax.jit(partial(_chain, density, warmup, draws)).lower(known, about, starts[0], keys[0]).compile()

    def ended(start: Array, key: Array) -> tuple[np.ndarray, ...]:
        return tuple(map(np.asarray, chain(known, about, start, key)))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = zip(*pool.map(ended, starts, keys), strict=True)
        z, divergent, acceptance, steps = map(np.stack, parts)
    return Sampled(z, divergent, acceptance, steps, np.asarray(about.wide))


def _chain(
    density: Density,
    warmup: int,
    draws: int,
    known: Array,
    about: Round,
    start: Array,
    keys: Array,
) -> tuple[Array, ...]:
    """Return places, and whether each path to one diverged, its acceptance and its steps."""

    def there(u: Array) -> Array:
        return density(known, about.middle + about.wide @ u)

    warm, run = keys
    adapt = blackjax.window_adaptation(blackjax.nuts, there, target_acceptance_rate=0.9, max_num_doublings=_DOUBLINGS)
    (state, parameters), _ = adapt.run(warm, start, warmup)
    step = blackjax.nuts(there, **parameters).step

    def one(state, key):  # type: ignore[no-untyped-def]
        state, info = step(key, state)
        place = about.middle + about.wide @ state.position
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
    out: Float[np.ndarray, "folds cells"],
    effort: Effort,
    seed: int,
    numbers: Sequence[int],
) -> Iterator[tuple[int, Moved]]:
    """Draw from the posteriors given some of the cells.

    Draws of the posterior of all, as many of each chain, are moved; what a fold does not tell is drawn anew in the end.
    What a fold gives does not hang on which others are asked for.

    Parameters
    ----------
    whole
        Given all cells.
    out
        1 for the cells that a fold is without, stored first.
    numbers
        Of the folds that are asked for.

    Yields
    ------
    The number of a fold, and its draws.
    """
    run = forget(partial(log_density, law, evidence), effort.fold_moves)
    anew = jax.jit(partial(redrawn, law, evidence))
    begun = whole.z[:, np.linspace(0, whole.z.shape[1] - 1, effort.fold_draws).astype(int)]
    for number in numbers:
        # The next but one: those of the posterior of all and of its pilot are taken.
        key, last = jax.random.split(jax.random.key(seed + 2 + number))
        free = untold(law, evidence, out[number])
        moved = run(begun, jnp.asarray(whole.wide), 1.0 - out[number], key)
        flat = anew(free, jnp.asarray(moved.z.reshape(-1, moved.z.shape[-1])), last)
        yield number, moved._replace(z=np.asarray(flat).reshape(moved.z.shape))
