"""State of degraded cells: the electrodes behind slow curves, sampled for many curves as one batch.

Several starts of Levenberg-Marquardt find the modes of the posterior, and Hamiltonian Monte Carlo samples around the
best, in coordinates in which its curvature is 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Bool, Float, Int
from scipy.stats import qmc

import fadecast.precision  # noqa: F401
from fadecast.calibration.chains import run_chains
from fadecast.calibration.curve_posterior import (
    VOLT,
    Priors,
    Problem,
    log_posterior,
    make_problem,
    residual_of,
    unpacked,
    weighted,
)
from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.open_circuit import POINTS, Curve, Electrodes, State
from fadecast.settings import settings

CHUNK = 64
"""Curves that are sampled at once."""
LONGER = 8
"""Steps of a chain for each draw that is kept, where chains disagreed."""
STARTS = 16
"""Of the search for modes, for each curve."""
_STEPS = 40
"""Of Levenberg-Marquardt at most."""
_ROUNDS = 4
"""Of fitting electrodes and sizes in turn."""
_NEAR = 0.3
"""Standard deviation of where chains begin, in those coordinates."""
_RIDGE = 0.05
"""Share of the curvature's covariance in that of the chains."""
_FLATTEST = 0.5
"""Curvature that the prior leaves at least."""
_RIVALS = 3
"""Other places that are refined beside the best."""
_SAME = 0.05
"""Capacities whose logarithms differ by more belong to another mode."""


@settings
class Sampling:
    """How the posterior is sampled."""

    chains: Annotated[int, Ge(2), Le(64)] = 4
    """Chains of each curve."""
    draws: Annotated[int, Ge(50), Le(100_000)] = 500
    """Kept of each chain."""
    warmup: Annotated[int, Ge(10), Le(100_000)] = 150
    """Left out at the start of each chain."""
    largest_disagreement: Annotated[float, Gt(1.0)] = 1.02
    """R-hat above which a curve is sampled once more, with longer chains [1]."""


class Fit(NamedTuple):
    """Posterior of a batch of curves."""

    state: State
    """Fields `(curves, chains, draws)`."""
    discrepancy: Float[Array, "curves chains draws"]
    """s_d [V]."""
    noise: Float[Array, "curves chains draws"]
    """s_n [V]."""
    best: State
    """Most probable, fields `(curves,)`."""
    residual: Float[Array, "curves POINTS"]
    """Measured voltage less that of `best` [V]."""
    acceptance: Float[Array, "curves chains draws"]
    """Probability with which a proposal was taken [1]."""
    log_posterior: Float[Array, "curves chains draws"]
    """Up to a constant."""
    second_mode: Float[Array, "curves"]
    """How far the best other mode lies below in log posterior; infinite where none was found."""


def fit_states(
    electrodes: Electrodes,
    curves: Curve,
    nominal_capacity: float,
    priors: Priors,
    sampling: Sampling,
    seed: int,
    observe: Callable[[int, str], None] = lambda done, what: None,
) -> Fit:
    """Sample the posterior of the electrodes behind each curve.

    Curves do not know of each other: each has its own chains. Those whose chains disagree run on, `LONGER` times as
    long, with as many draws kept.

    Parameters
    ----------
    electrodes
        Half cells.
    curves
        Leading dimension `curves`.
    nominal_capacity
        Of the cell [A.h].
    priors, sampling
        Settings.
    seed
        Of the chains.
    observe
        Told how many curves are done, and of what.
    """
    everything = np.arange(len(curves.direction))
    run = partial(_in_chunks, electrodes, curves, nominal_capacity, priors, sampling, seed)
    found = run(everything, 1, lambda done: observe(done, "sampled"))
    again = everything[disagreement(found) > sampling.largest_disagreement]
    if len(again):
        longer = run(again, LONGER, lambda done: observe(done, "sampled again"))
        found = jax.tree.map(lambda value, other: _replaced(value, again, other), found, longer)
    return found


def disagreement(fit: Fit) -> Float[np.ndarray, "curves"]:
    """Return the largest rank-normalised split R-hat of each curve over its electrodes, by ArviZ [1]."""
    shape = fit.discrepancy.shape
    varied = [each for each in fit.state if np.ptp(each) > 0.0]
    values = np.stack([*varied, fit.discrepancy, fit.noise]).reshape(-1, *shape)
    return np.asarray([max(float(arviz().rhat(value)) for value in values[:, n]) for n in range(shape[0])])


def _replaced(value: np.ndarray, rows: np.ndarray, by: np.ndarray) -> np.ndarray:
    value = value.copy()
    value[rows] = by
    return value


def _in_chunks(
    electrodes: Electrodes,
    curves: Curve,
    nominal_capacity: float,
    priors: Priors,
    sampling: Sampling,
    seed: int,
    chosen: Int[np.ndarray, "curves"],
    thinning: int,
    observe: Callable[[int], None],
) -> Fit:
    size = min(CHUNK, len(curves.direction))
    parts = []
    for first in range(0, len(chosen), size):
        # The last chunk is filled up, so that one program does for all.
        rows = chosen[np.minimum(np.arange(first, first + size), len(chosen) - 1)]
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(rows)
        part = Curve(*(jnp.asarray(each)[rows] for each in curves))
        inputs = part, keys, jnp.asarray(nominal_capacity), jnp.asarray(thinning)
        found = _fit(electrodes, *inputs, priors=priors, sampling=sampling)
        kept = min(size, len(chosen) - first)
        parts.append(jax.tree.map(lambda value, kept=kept: np.asarray(value)[:kept], found))
        observe(first + kept)
    return jax.tree.map(lambda *values: np.concatenate(values), *parts)


def _starts(curve: Curve, nominal: Float[Array, ""], priors: Priors, composite: bool) -> Float[Array, "STARTS n"]:
    """Spread windows over what they can be."""
    places = jnp.asarray(qmc.Sobol(6 if composite else 5, rng=0, scramble=False).random(STARTS) + 0.5 / STARTS)
    passed = POINTS * curve.step / nominal
    log = jnp.log(priors.capacity_ratio) + priors.capacity_log_sd * 2.0 * (places[:, :2] - 0.5)
    log = jnp.maximum(log, jnp.log(1.03 * passed))
    half = 0.5 * passed * jnp.exp(-log)
    middles = half + (1.0 - 2.0 * half) * places[:, 2:4]
    others = jnp.zeros((STARTS, 2 if composite else 1)).at[:, 1:].set(3.0 * (places[:, 5:6] - 0.7))
    sizes = jnp.log(jnp.asarray([priors.discrepancy, priors.noise]) / VOLT)
    return jnp.concatenate([log, middles, others, jnp.tile(sizes, (STARTS, 1))], axis=1)


def _search(electrodes: Electrodes, problem: Problem, priors: Priors) -> tuple[Array, Array]:
    """Return the most probable place, and how far below it the best of another mode lies."""
    starts = _starts(problem.curve, problem.nominal, priors, electrodes.negative.composite)
    descend = partial(_descend, electrodes=electrodes, problem=problem, priors=priors)
    places = jax.vmap(partial(descend, white=True, steps=_STEPS))(starts)
    heights = jax.vmap(partial(log_posterior, electrodes=electrodes, problem=problem, priors=priors))(places)
    heights = jnp.where(jnp.isfinite(heights), heights, -jnp.inf)
    best = jnp.argmax(heights)
    # The best of other modes too, since sizes of discrepancy and noise of their own may lift them.
    others = jax.lax.top_k(jnp.where(_apart(places, places[best]), heights, -jnp.inf), _RIVALS)[1]
    chosen = places[jnp.concatenate([best[None], others])]

    def refine(place: Array, _: None) -> tuple[Array, None]:
        # The electrodes for these sizes of discrepancy and noise, then the sizes for these electrodes.
        place = descend(place, white=False, steps=_STEPS)
        return _resized(place, electrodes, problem, priors), None

    chosen = jax.vmap(lambda place: jax.lax.scan(refine, place, None, length=_ROUNDS)[0])(chosen)
    heights = jax.vmap(partial(log_posterior, electrodes=electrodes, problem=problem, priors=priors))(chosen)
    heights = jnp.where(jnp.isfinite(heights), heights, -jnp.inf)
    best = jnp.argmax(heights)
    below = heights[best] - jnp.max(jnp.where(_apart(chosen, chosen[best]), heights, -jnp.inf))
    return chosen[best], below


def _apart(places: Float[Array, "m n"], place: Float[Array, " n"]) -> Bool[Array, " m"]:
    """Return which places are of another mode than one."""
    return jnp.abs(places[:, :2] - place[:2][None]).max(axis=1) > _SAME


def _descend(place: Array, electrodes: Electrodes, problem: Problem, priors: Priors, white: bool, steps: int) -> Array:
    """Fit the electrodes with discrepancy and noise as they are."""

    def residuals(electrode: Array, _: None) -> Array:
        return weighted(electrode, place[-2:], electrodes, problem, priors, white)

    solver: Any = optx.LevenbergMarquardt(rtol=1e-6, atol=1e-8)
    found = optx.least_squares(residuals, solver, place[:-2], max_steps=steps, throw=False).value
    return jnp.concatenate([found, place[-2:]])


def _resized(place: Array, electrodes: Electrodes, problem: Problem, priors: Priors) -> Array:
    """Fit the sizes of discrepancy and noise with the electrodes as they are."""

    def depth(sizes: Array, _: None) -> Array:
        return -log_posterior(jnp.concatenate([place[:-2], sizes]), electrodes, problem, priors)

    found = optx.minimise(depth, optx.BFGS(rtol=1e-4, atol=1e-4), place[-2:], max_steps=_STEPS, throw=False).value
    return jnp.concatenate([place[:-2], found])


def _sample(
    electrodes: Electrodes,
    problem: Problem,
    best: Array,
    key: Array,
    priors: Priors,
    sampling: Sampling,
    thinning: Array,
) -> tuple[Array, Array, Array]:
    """Return places, log posterior and acceptance, `(chains, draws, ...)`."""

    def height(u: Array) -> Array:
        return log_posterior(u, electrodes, problem, priors)

    # Of the squares: potentials from tables have kinks, and second derivatives that mean nothing.
    slope = jax.jacfwd(lambda u: weighted(u, best[-2:], electrodes, problem, priors, white=False))(best[:-2])
    sizes = -jax.hessian(lambda u: height(jnp.concatenate([best[:-2], u])))(best[-2:])
    curvature, axes = jnp.linalg.eigh(jax.scipy.linalg.block_diag(slope.T @ slope, sizes))
    # A direction that the data say nothing about is as wide as its prior at most, and priors are of order one.
    wide = axes / jnp.sqrt(jnp.maximum(curvature, _FLATTEST))[None]
    keys = jax.random.split(key, 3)
    start = best[None] + _NEAR * jax.random.normal(keys[0], (sampling.chains, len(best))) @ wide.T
    tried, _, _ = run_chains(height, wide, start, keys[1], sampling.warmup, thinning)
    # Where chains have been tells more than the curvature at one place.
    settled = tried[:, sampling.warmup // 2 :].reshape(-1, len(best))
    wide = jnp.linalg.cholesky(jnp.cov(settled.T) + _RIDGE * wide @ wide.T)
    return run_chains(height, wide, tried[:, -1], keys[2], sampling.draws, thinning)


@partial(jax.jit, static_argnames=("priors", "sampling"))
def _fit(
    electrodes: Electrodes,
    curves: Curve,
    keys: Array,
    nominal: Array,
    thinning: Array,
    priors: Priors,
    sampling: Sampling,
) -> Fit:
    def each(curve: Curve, key: Array) -> Fit:
        composite = electrodes.negative.composite
        problem = make_problem(curve, nominal, priors)
        best, second = _search(electrodes, problem, priors)
        places, heights, acceptance = _sample(electrodes, problem, best, key, priors, sampling, thinning)
        state, discrepancy, noise = jax.vmap(jax.vmap(lambda u: unpacked(u, nominal, composite)))(places)
        top, _, _ = unpacked(best, nominal, composite)
        return Fit(state, discrepancy, noise, top, residual_of(electrodes, curve, top), acceptance, heights, second)

    return jax.vmap(each)(curves, keys)
