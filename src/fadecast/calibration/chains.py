"""Hamiltonian Monte Carlo, by blackjax, in coordinates in which a posterior is about as wide as 1 in all directions."""

from collections.abc import Callable
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
from blackjax.mcmc.hmc import HMCState
from jaxtyping import Array, Float

LEAPS = 6
"""Of a path."""
_LENGTHS = (0.1, 0.9)
"""Of a leap, there."""


def run_chains(
    height: Callable[[Array], Array],
    wide: Array,
    start: Float[Array, "chains n"],
    key: Array,
    draws: int,
    thinning: Array,
) -> tuple[Array, Array, Array]:
    """Run chains in coordinates z, where a place is `wide @ z`.

    Parameters
    ----------
    height
        Log density at a place.
    wide
        `(n, n)`.
    start
        Places to begin at.
    key
        Of all random numbers.
    draws
        Kept of each chain.
    thinning
        Paths for each draw that is kept.

    Returns
    -------
    Places `(chains, draws, n)`, log densities and acceptance rates `(chains, draws)`.
    """
    kernel = blackjax.hmc.build_kernel()

    def density(z: Array) -> Array:
        return height(wide @ z)

    def move(_: Any, carry: tuple[HMCState, Array, Array]) -> tuple[HMCState, Array, Array]:
        state, _, key = carry
        key, own, other = jax.random.split(key, 3)
        # Of random length, so that no path closes on itself, and some are short enough where the density is narrow.
        length = jnp.exp(jax.random.uniform(other, minval=jnp.log(_LENGTHS[0]), maxval=jnp.log(_LENGTHS[1])))
        state, info = kernel(own, state, density, length, jnp.ones_like(state.position), LEAPS)
        return state, jnp.asarray(info.acceptance_rate), key

    def step(state: HMCState, key: Array) -> tuple[HMCState, tuple[Array, ...]]:
        state, acceptance, _ = jax.lax.fori_loop(0, thinning, move, (state, jnp.zeros(()), key))
        return state, (wide @ state.position, state.logdensity, acceptance)

    def chain(place: Array, key: Array) -> tuple[Array, ...]:
        state = blackjax.hmc.init(jnp.linalg.solve(wide, place), density)
        return jax.lax.scan(step, state, jax.random.split(key, draws))[1]

    places, heights, acceptance = jax.vmap(chain)(start, jax.random.split(key, len(start)))
    return places, heights, acceptance
