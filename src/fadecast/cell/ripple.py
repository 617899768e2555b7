"""What a load loses where its steps are made longer: swings inside a step, and what they do at particle surfaces.

Cracks grow, and material is lost, with steep powers of how far the surface of a particle is from its mean. That
follows a load with the memory of diffusion: swings of a second hardly move it, swings of many minutes move it as much
as a steady current would. So the swings are passed through the linear diffusion of both particles, each in its modes
(exactly: power is constant within a step of the fine load), and only the first three moments of what comes out are
kept for each coarse step. Rates of ageing are then averaged over two points that have these moments.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.signal import lfilter

from fadecast.cell.balance import FARADAY
from fadecast.cell.model import CellModel
from fadecast.cell.modes import Modes, diffusion_modes
from fadecast.cell.quadrature import Rule, step_samples

# Multiples of the reference diffusivity between which a power law is drawn: about those of 10 and 45 degC.
_SLOWER, _FASTER = 0.5, 2.0

# Looks at a surface within each step of the fine load: it moves as the root of time after a jump.
_LOOKS = 4

# Skewness of a spread so narrow is rounding; what is larger than this makes a point too far out to be a swing.
_NARROW, _MOST_SKEWED = 1e-9, 4.0


class Swing(NamedTuple):
    """What a coarse load misses at the surface of one particle, every field `(load steps, lanes)`.

    Concentration at the surface less the mean, as a discharge moves it: falling in a negative, rising in a positive
    particle. Of the fresh cell at the reference temperature and its nameplate voltage.
    """

    mean: Float[Array, "steps lanes"]
    """Mean over the step of what is missed [mol.m-3]."""
    spread: Float[Array, "steps lanes"]
    """Standard deviation of it within the step [mol.m-3]."""
    exponent: Float[Array, "steps lanes"]
    """Power of the diffusivity, taken negative, that both go with [1]: 1/2 for fast swings, 1 for slow ones."""


class Ripple(NamedTuple):
    """Swings of a load inside its steps, every field `(load steps, lanes)`."""

    power: Float[Array, "steps lanes"]
    """Standard deviation of the power within the step [W]."""
    skewness: Float[Array, "steps lanes"]
    """Of the swings at the surfaces, mean of both particles [1]."""
    ne: Swing
    """Of the negative particle."""
    pe: Swing
    """Of the positive particle."""

    def delivered(self, share: Float[Array, "steps lanes"]) -> "Ripple":
        """Return the swings where only a share of the power is delivered [1]."""
        ne, pe = (Swing(share * swing.mean, share * swing.spread, swing.exponent) for swing in (self.ne, self.pe))
        return Ripple(share * self.power, self.skewness, ne, pe)


class Points(NamedTuple):
    """Two points that have the first three moments of a spread of 1: `(2, steps, lanes)`-like pairs."""

    place: Float[Array, "2 ..."]
    """In standard deviations [1]."""
    weight: Float[Array, "2 ..."]
    """Summing to 1."""


class Particle(NamedTuple):
    """Linear diffusion in one particle, in its modes without the mean."""

    decay: np.ndarray
    """Of each mode at the reference state [1/s], shape `(modes,)`."""
    gain: np.ndarray
    """Rate at which the surface moves by each mode per ampere of discharge, in the direction of discharge
    [mol.m-3.A-1.s-1], shape `(modes,)`."""


def unresolved(cell: CellModel, power: Float[np.ndarray, "fine"], fine_step: float, factor: int) -> Ripple:
    """Return what means over some steps of a load lose of it, NumPy fields of shape `(coarse steps,)`.

    Both loads start from rest: what is before the start is not remembered. A particle forgets in some minutes.

    Parameters
    ----------
    power
        Terminal power of the cell, discharge positive [W].
    fine_step
        Length of its steps [s].
    factor
        Fine steps in a coarse one.

    Raises
    ------
    ValueError
        When the load is not whole coarse steps, or an electrode has several active materials or an unresolved
        particle: how they share a current is not known beforehand.
    """
    if len(power) % factor:
        raise ValueError(f"a load of {len(power)} steps is not whole coarse steps of {factor}; cut it")
    missed = power.reshape(-1, factor) - power.reshape(-1, factor).mean(axis=1, keepdims=True)
    amperes = missed.ravel() / (cell.nameplate_energy / cell.nominal_capacity)
    found = [_swing(particle, amperes, fine_step, factor) for particle in particles(cell)]
    skewness = np.mean([skewness for _, skewness in found], axis=0)
    return Ripple(missed.std(axis=1), skewness, *(swing for swing, _ in found))


def particles(cell: CellModel) -> Iterator[Particle]:
    """Return the negative and the positive particle."""
    blocks = {block.rows.start: block for block in diffusion_modes(cell)}
    for side in ("ne", "pe"):
        rows = cell.rows.get(f"concentration_{side}")
        if side not in cell.phases or rows is None or rows.start not in blocks:
            raise ValueError(
                f"swings within a load step need the {side} electrode to be one active material with its particle "
                "resolved along the radius: set decades.variance_correction to false"
            )
        block, phase = blocks[rows.start], cell.phases[side]
        # Mean concentration per ampere-second; all of it passes the outermost row.
        charge = 1.0 / (FARADAY * phase.volume * phase.active_fraction * block.weights[-1, 0])
        yield Particle(block.decay[1:, 0], charge * block.modes[1:, -1] * (_surface(block) @ block.nodes[-2:, 1:]))


def _surface(block: Modes) -> np.ndarray:
    """Weights of the two outermost rows in the concentration at the surface: on a straight line, as PyBaMM has it."""
    edges = np.cbrt(np.concatenate([[0.0], np.cumsum(block.weights[:, 0])]))
    middle = 0.5 * (edges[1:] + edges[:-1])
    share = (edges[-1] - middle[-1]) / (middle[-1] - middle[-2])
    return np.array([-share, 1.0 + share])


def _swing(particle: Particle, amperes: np.ndarray, fine_step: float, factor: int) -> tuple[Swing, np.ndarray]:
    """Return the moments of what is missed at a surface, and its skewness."""
    slow, here, fast = (_moments(particle, ratio, amperes, fine_step, factor) for ratio in (_SLOWER, 1.0, _FASTER))
    floor = np.finfo(float).tiny
    exponent = np.log(np.maximum(slow[1], floor) / np.maximum(fast[1], floor)) / np.log(_FASTER / _SLOWER)
    mean, spread, third = here
    skewed = spread > _NARROW * max(spread.max(initial=0.0), floor)
    skewness = np.where(skewed, third / np.where(skewed, spread, 1.0) ** 3, 0.0)
    return Swing(mean, spread, exponent), np.clip(skewness, -_MOST_SKEWED, _MOST_SKEWED)


def _moments(
    particle: Particle, ratio: float, amperes: np.ndarray, fine_step: float, factor: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard deviation and third central moment over each coarse step, at a multiple of diffusivity."""
    rule = step_samples(Rule(_LOOKS, _LOOKS))
    surface = surface_response(particle, ratio, amperes, fine_step, rule.time).reshape(-1, factor, _LOOKS)
    weight = rule.weight / factor
    mean = (surface @ weight).sum(axis=1)
    away = surface - mean[:, None, None]
    second, third = (((away**power) @ weight).sum(axis=1) for power in (2, 3))
    return mean, np.sqrt(second), third


def surface_response(
    particle: Particle, ratio: float, amperes: Float[np.ndarray, "fine"], step: float, times: Float[np.ndarray, "looks"]
) -> Float[np.ndarray, "fine looks"]:
    """Return how far a surface is from the mean in the direction of discharge [mol.m-3], from rest at the start.

    Parameters
    ----------
    ratio
        Diffusivity over that of the reference state [1].
    amperes
        Current, discharge positive, constant within each step [A].
    step
        Length of a step [s].
    times
        When to look, in steps after the start of each [1].
    """
    found = np.zeros((len(amperes), len(times)))
    for decay, gain in zip(ratio * particle.decay, particle.gain, strict=True):
        # Where the mode settles, and by how much it misses that at the start of each step.
        settled = gain / decay * amperes
        kept = np.exp(-decay * step)
        at_start = lfilter([0.0, 1.0], [1.0, -kept], (1.0 - kept) * settled)
        found += settled[:, None] + (at_start - settled)[:, None] * np.exp(-decay * step * times)
    return found


def two_points(skewness: Float[Array, "..."]) -> Points:
    """Return two points with mean 0, variance 1 and this skewness: Gauss's rule of two for any distribution."""
    half = 0.5 * skewness
    root = jnp.sqrt(1.0 + half**2)
    above, below = half + root, half - root
    weight = -below / (above - below)
    return Points(jnp.stack([above, below]), jnp.stack([weight, 1.0 - weight]))
