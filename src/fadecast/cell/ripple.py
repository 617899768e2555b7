"""What a load loses where its steps are made longer: swings inside a step, and what they do at particle surfaces.

Cracks grow, and material is lost, with steep powers of how far the surface of a particle is from its mean. That
follows a load with the memory of diffusion: swings of a second hardly move it, swings of many minutes move it as much
as a steady current would. So the swings are passed through the linear diffusion of both particles, each in its modes
(exactly: power is constant within a step of the fine load), and only the first four moments of what comes out are
kept for each coarse step. Rates of ageing are then averaged over three points that have these moments.
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

# What is left of swings that are over falls exponentially, and with any power: larger ones than this are not drawn.
_STEEPEST = 2.0

# Looks at a surface within each step of the fine load: it moves as the root of time after a jump.
_LOOKS = 4

# A spread so narrow beside the widest is rounding and has no shape; points are not put further out than these allow.
_NARROW, _MOST_SKEWED, _MOST_PEAKED = 1e-9, 4.0, 30.0


Values = Float[Array | np.ndarray, "steps lanes"]
"""On the way to a profile a NumPy array, maybe with the axes before `lanes` still apart."""


class Swing(NamedTuple):
    """What a coarse load misses at the surface of one particle, every field `(load steps, lanes)`.

    Concentration at the surface less the mean, as a discharge moves it: falling in a negative, rising in a positive
    particle. Of the fresh cell at the reference temperature and its nameplate voltage.
    """

    mean: Values
    """Mean over the step of what is missed [mol.m-3]."""
    spread: Values
    """Standard deviation of it within the step [mol.m-3]."""
    exponent: Values
    """Power of the diffusivity, taken negative, that both go with [1]: 1/2 for fast swings, 1 for slow ones."""


class Ripple(NamedTuple):
    """Swings of a load inside its steps, every field `(load steps, lanes)`."""

    power: Values
    """Standard deviation of the power within the step [W]."""
    skewness: Values
    """Of the swings at the surfaces, mean of both particles [1]."""
    kurtosis: Values
    """Of the same, 3 for a normal distribution [1]."""
    ne: Swing
    """Of the negative particle."""
    pe: Swing
    """Of the positive particle."""

    def delivered(self, share: Values) -> "Ripple":
        """Return the swings where only a share of the power is delivered [1]."""
        ne, pe = (Swing(share * swing.mean, share * swing.spread, swing.exponent) for swing in (self.ne, self.pe))
        return Ripple(share * self.power, self.skewness, self.kurtosis, ne, pe)


class Points(NamedTuple):
    """Three points that stand for a distribution of mean 0 and variance 1, fields `(3, steps, lanes)`."""

    place: Float[Array, "3 steps lanes"]
    """In standard deviations [1]."""
    weight: Float[Array, "3 steps lanes"]
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
    skewness, kurtosis = np.mean([shape for _, shape in found], axis=0)
    return Ripple(missed.std(axis=1), skewness, kurtosis, *(swing for swing, _ in found))


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
    """Return the moments of what is missed at a surface, and its skewness and kurtosis, `(2, coarse steps)`."""
    slow, here, fast = (_moments(particle, ratio, amperes, fine_step, factor) for ratio in (_SLOWER, 1.0, _FASTER))
    floor = np.finfo(float).tiny
    exponent = np.log(np.maximum(slow[1], floor) / np.maximum(fast[1], floor)) / np.log(_FASTER / _SLOWER)
    exponent = exponent.clip(0.0, _STEEPEST)
    mean, spread, third, fourth = here
    wide = spread > _NARROW * max(spread.max(initial=0.0), floor)
    unit = np.where(wide, spread, 1.0)
    skewness = np.where(wide, third / unit**3, 0.0).clip(-_MOST_SKEWED, _MOST_SKEWED)
    kurtosis = np.where(wide, fourth / unit**4, 3.0).clip(1.0 + skewness**2, _MOST_PEAKED)
    return Swing(mean, spread, exponent), np.stack([skewness, kurtosis])


def _moments(
    particle: Particle, ratio: float, amperes: np.ndarray, fine_step: float, factor: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard deviation, third and fourth central moment over each coarse step.

    At a multiple `ratio` of the reference diffusivity.
    """
    rule = step_samples(Rule(_LOOKS, _LOOKS))
    surface = surface_response(particle, ratio, amperes, fine_step, rule.time).reshape(-1, factor, _LOOKS)
    weight = rule.weight / factor
    mean = (surface @ weight).sum(axis=1)
    away = surface - mean[:, None, None]
    second, third, fourth = (((away**power) @ weight).sum(axis=1) for power in (2, 3, 4))
    return mean, np.sqrt(second), third, fourth


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


def three_points(skewness: Values, kurtosis: Values) -> Points:
    """Return the mean and two points around it that have a skewness and a kurtosis of at least 1 + its square.

    Of a normal distribution they are Gauss's and Hermite's: the mean by two thirds and a sixth each at the root of 3.
    """
    root = jnp.sqrt(4.0 * kurtosis - 3.0 * skewness**2)
    above, below = 0.5 * (skewness + root), 0.5 * (skewness - root)
    high, low = 1.0 / (above * root), -1.0 / (below * root)
    return Points(jnp.stack([above, jnp.zeros_like(above), below]), jnp.stack([high, 1.0 - high - low, low]))
