"""Posterior density of the electrodes behind one slow curve.

What a voltage model leaves over is not noise: half-cell curves change with age, and no electrode is uniform. Residuals
r at the points of a curve are taken as r ~ N(0, s_d^2 K + s_n^2 1), where K is a Matern 3/2 covariance over charge: a
smooth discrepancy of a size s_d of its own for each curve, beside noise s_n (Kennedy & O'Hagan 2001,
doi:10.1111/1467-9868.00294, for why it must be there). In the eigenvectors of K, which are found once, that costs no
more than white noise.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from fadecast.calibration.half_cell import LARGEST_SHARE
from fadecast.calibration.open_circuit import POINTS, Curve, Electrodes, State, edges, mean_voltages, stoichiometries
from fadecast.settings import settings

MODES = 48
"""Of the discrepancy of a curve that are told from noise."""
SMALLEST_NOISE = 2e-4
"""What half cells and curves are exact to from point to point, at best [V]."""
VOLT = 1e-2
"""Scale of voltages at a place of the posterior [V]."""
_OVER = 0.003
"""Stoichiometry by which a curve may leave its half-cell curves [1]: one standard deviation."""


@settings
class Priors:
    """What is known of electrodes before a curve is seen. Wide: a curve over most of the charge outweighs them."""

    capacity_ratio: Annotated[float, Gt(0.0)] = 1.2
    """Median capacity of an electrode's half-cell range over nominal capacity [1]."""
    capacity_log_sd: Annotated[float, Gt(0.0)] = 0.4
    """Standard deviation of its logarithm [1]."""
    middle: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    """Median stoichiometry of both electrodes at the middle of a curve [1]."""
    middle_sd: Annotated[float, Gt(0.0)] = 0.3
    """[1]."""
    polarisation: Annotated[float, Gt(0.0)] = 0.02
    """Standard deviation of what polarisation exceeds that of the half-cell curves by [V]."""
    share: Annotated[float, Gt(0.0), Le(LARGEST_SHARE)] = 0.1
    """Median share of the second negative material [1]."""
    share_log_sd: Annotated[float, Gt(0.0)] = 0.7
    """Standard deviation of its logarithm [1]."""
    discrepancy: Annotated[float, Gt(0.0)] = 0.005
    """Scale of the prior of s_d of a curve of the reference [V]: its square is gamma distributed."""
    discrepancy_shape: Annotated[float, Gt(0.0), Le(1.0)] = 0.3
    """Twice the shape of that distribution [1]. At 1 s_d is half-normal, which has it that every curve departs from the
    model, whatever it shows: intervals of curves with noise alone then hold 94 to 97 % where they say 90."""
    discrepancy_growth: Annotated[float, Ge(0.0)] = 2.0
    """Growth of that scale per capacity lost [1]: residuals of open-circuit fits grow by about half over a life."""
    discrepancy_length: Annotated[float, Gt(0.0)] = 0.05
    """Charge over which a discrepancy is correlated, over nominal capacity [1]."""
    noise: Annotated[float, Gt(0.0)] = 1e-3
    """Median of s_n [V]; its logarithm has a standard deviation of 1."""


class Problem(NamedTuple):
    """One curve, ready for its posterior."""

    curve: Curve
    modes: Float[Array, "MODES POINTS"]
    """Eigenvectors of K in rows, the largest."""
    variances: Float[Array, "MODES"]
    """Eigenvalues of K."""
    nominal: Float[Array, ""]
    """[A.h]."""


def make_problem(curve: Curve, nominal: Float[Array, ""], priors: Priors) -> Problem:
    """Find the eigenvectors of the discrepancy of a curve of a cell of nominal capacity [A.h]."""
    place = curve.step * jnp.arange(POINTS)
    distance = jnp.abs(place[:, None] - place[None]) / (priors.discrepancy_length * nominal)
    scaled = jnp.sqrt(3.0) * distance
    variances, vectors = jnp.linalg.eigh((1.0 + scaled) * jnp.exp(-scaled))
    return Problem(curve, vectors[:, -MODES:].T, variances[-MODES:], nominal)


def unpacked(u: Float[Array, "n"], nominal: Float[Array, ""], composite: bool) -> tuple[State, Array, Array]:
    """Return the electrodes, s_d and s_n at a place where all of them are numbers of order one."""
    share = LARGEST_SHARE * jax.nn.sigmoid(u[5]) if composite else jnp.zeros(())
    state = State(nominal * jnp.exp(u[0]), nominal * jnp.exp(u[1]), u[2], u[3], VOLT * u[4], share)
    return state, VOLT * jnp.exp(u[-2]), jnp.hypot(VOLT * jnp.exp(u[-1]), SMALLEST_NOISE)


def residual_of(electrodes: Electrodes, curve: Curve, state: State) -> Float[Array, "POINTS"]:
    """Return measured less modelled voltage [V]."""
    return curve.voltage - mean_voltages(electrodes, state, curve)


def _beyond(curve: Curve, state: State) -> Float[Array, "4"]:
    """How far the ends of a curve lie outside the half cells, in standard deviations."""
    ends = jnp.stack(stoichiometries(state, edges(curve)[jnp.asarray([0, -1])])).ravel()
    return (jnp.maximum(-ends, 0.0) + jnp.maximum(ends - 1.0, 0.0)) / _OVER


def standardised(u: Float[Array, "n"], priors: Priors, composite: bool) -> Float[Array, "m"]:
    """Return what has a standard normal prior."""
    ratio = jnp.log(priors.capacity_ratio)
    parts = [*((u[:2] - ratio) / priors.capacity_log_sd), *((u[2:4] - priors.middle) / priors.middle_sd)]
    parts.append(VOLT * u[4] / priors.polarisation)
    if composite:
        middle = jnp.log(priors.share / (LARGEST_SHARE - priors.share)) if priors.share < LARGEST_SHARE else 3.0
        parts.append((u[5] - middle) / priors.share_log_sd)
    return jnp.stack(parts)


def log_posterior(u: Float[Array, "n"], electrodes: Electrodes, problem: Problem, priors: Priors) -> Float[Array, ""]:
    """Return the log posterior density at a place of `unpacked`, up to a constant."""
    curve = problem.curve
    state, discrepancy, noise = unpacked(u, problem.nominal, electrodes.negative.composite)
    residual = curve.trust * residual_of(electrodes, curve, state)
    along = problem.modes @ residual
    variance = discrepancy**2 * problem.variances + noise**2
    rest = residual @ residual - along @ along
    likelihood = (
        jnp.sum(along**2 / variance + jnp.log(variance)) + rest / noise**2 + 2 * (POINTS - MODES) * jnp.log(noise)
    )
    parts = jnp.concatenate([standardised(u, priors, electrodes.negative.composite), _beyond(curve, state)])
    scale = priors.discrepancy * (1.0 + priors.discrepancy_growth * jnp.maximum(curve.loss, 0.0))
    sizes = (
        (discrepancy / scale) ** 2
        - 2.0 * priors.discrepancy_shape * u[-2]
        + (u[-1] - jnp.log(priors.noise / VOLT)) ** 2
    )
    return -0.5 * (likelihood + jnp.sum(parts**2) + sizes)


def weighted(
    electrode: Array, sizes: Array, electrodes: Electrodes, problem: Problem, priors: Priors, white: bool
) -> Float[Array, "m"]:
    """Return what is squared and summed in minus twice the log posterior, as a function of the electrodes."""
    composite = electrodes.negative.composite
    place = jnp.concatenate([electrode, sizes])
    state, discrepancy, noise = unpacked(place, problem.nominal, composite)
    residual = problem.curve.trust * residual_of(electrodes, problem.curve, state)
    if white:
        voltage = residual / priors.discrepancy
    else:
        along = problem.modes @ residual
        spread = jnp.sqrt(discrepancy**2 * problem.variances + noise**2)
        voltage = jnp.concatenate([along / spread, (residual - along @ problem.modes) / noise])
    return jnp.concatenate([voltage, standardised(place, priors, composite), _beyond(problem.curve, state)])
