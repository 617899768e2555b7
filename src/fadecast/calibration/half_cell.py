"""Open-circuit potentials of electrodes as tables over their whole lithium content, ready for JAX.

An electrode of two active materials (graphite and silicon) is at one potential: at each potential its lithium is the
sum of what each material holds. Its table has one row for each share of the second material.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pybamm
from jaxtyping import Array, Float
from scipy.optimize import isotonic_regression

import fadecast.precision  # noqa: F401
from fadecast.cell.model import parameter_values

POINTS = 1001
"""Stoichiometries of a table, from 0 to 1."""
LARGEST_SHARE = 0.6
"""Of the second material in what an electrode can hold [1]."""
_SHARES = 31
_MOST_LEVELLED = 0.03
"""Noise of a half-cell curve that is levelled [V]."""
_ENDS = 1e-3
"""Stoichiometries that PyBaMM's fits of potentials are not asked beyond [1]."""


@dataclass(frozen=True)
class HalfCell:
    """Open-circuit potential of one active material."""

    stoichiometry: Float[np.ndarray, " n"]
    """Increasing, from 0 to 1 [1]."""
    potential: Float[np.ndarray, " n"]
    """Against lithium, never rising [V]."""


class Potential(NamedTuple):
    """Open-circuit potential of an electrode, one row where there is one material."""

    table: Float[Array, "shares points"]
    """At even steps of the share of the second material, from 0 to `LARGEST_SHARE`, and of stoichiometry, from 0 to 1
    [V]."""
    integral: Float[Array, "shares points"]
    """Of the table over stoichiometry, from 0 [V]."""

    @property
    def composite(self) -> bool:
        """Whether there is a second material."""
        return len(self.table) > 1


def half_cell(charge: Float[np.ndarray, " n"], potential: Float[np.ndarray, " n"]) -> HalfCell:
    """Return the potential of a material from a slow measured curve.

    Potential falls as lithium enters, which says which end of the curve is full. Where noise makes it rise it is
    levelled, as little as can be (pool adjacent violators).

    Parameters
    ----------
    charge
        Passed, or stoichiometry, rising or falling, on any scale; its ends become 0 and 1.
    potential
        [V].

    Raises
    ------
    ValueError
        When there are fewer than 10 points, or potential does not depend on charge.
    """
    order = np.argsort(charge, kind="stable")
    charge, potential = charge[order], potential[order]
    distinct = np.concatenate([[True], np.diff(charge) > 0.0])
    charge, potential = charge[distinct], potential[distinct]
    if len(charge) < 10:
        raise ValueError(f"a half-cell curve has {len(charge)} points; must have 10 at least")
    stoichiometry = (charge - charge[0]) / (charge[-1] - charge[0])
    tenth = max(1, len(charge) // 10)
    first, last = potential[:tenth].mean(), potential[-tenth:].mean()
    if first == last:
        raise ValueError("the potential of a half-cell curve does not depend on charge")
    if first < last:
        stoichiometry, potential = 1.0 - stoichiometry[::-1], potential[::-1]
    return HalfCell(stoichiometry, falling(potential))


def electrode(material: HalfCell, second: HalfCell | None = None) -> Potential:
    """Tabulate the potential of an electrode of one or two materials."""
    grid = np.linspace(0.0, 1.0, POINTS)
    if second is None:
        return _tabulated(np.interp(grid, material.stoichiometry, material.potential)[None])
    # Where either has a point of its own, from high to low.
    potentials = -np.unique(-np.concatenate([material.potential, second.potential]))
    held = [np.interp(-potentials, -each.potential, each.stoichiometry) for each in (material, second)]
    shares = np.linspace(0.0, LARGEST_SHARE, _SHARES)
    rows = [np.interp(grid, (1.0 - share) * held[0] + share * held[1], potentials) for share in shares]
    return _tabulated(np.stack(rows))


def _tabulated(table: Float[np.ndarray, "shares points"]) -> Potential:
    steps = 0.5 * (table[:, 1:] + table[:, :-1]) / (POINTS - 1)
    integral = np.concatenate([np.zeros((len(table), 1)), np.cumsum(steps, axis=1)], axis=1)
    return Potential(jnp.asarray(table), jnp.asarray(integral))


def parameter_set_half_cell(name: str, side: str, phase: str = "", way: str = "") -> HalfCell:
    """Return the potential that a PyBaMM parameter set gives a material.

    Parameters
    ----------
    name
        Parameter set.
    side
        `negative` or `positive`.
    phase
        `Primary` or `Secondary` for an electrode of two materials.
    way
        `lithiation` or `delithiation` where the set tells them apart; else the one that is neither.

    Raises
    ------
    ValueError
        When the set has no such potential.
    """
    try:
        values = parameter_values(name)
    except Exception as error:
        raise ValueError(f"no PyBaMM set {name!r} ({(str(error) or type(error).__name__).splitlines()[0]})") from None
    full = f"{phase}: " * bool(phase) + f"{side.capitalize()} electrode {way} OCP [V]".replace("  ", " ")
    if full not in values:
        others = [key for key in values if key.endswith("OCP [V]")]
        raise ValueError(f"PyBaMM set {name} has no {full!r}; it has {others}")
    if not callable(values[full]):
        raise ValueError(f"PyBaMM set {name}: {full!r} is a number; must depend on stoichiometry")
    grid = np.linspace(0.0, 1.0, POINTS)
    potential = values.evaluate(values[full](pybamm.Vector(np.clip(grid, _ENDS, 1.0 - _ENDS))))
    return HalfCell(grid, falling(np.asarray(potential, dtype=float).ravel()))


def falling(potential: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Level a potential where it rises, as little as can be.

    Raises
    ------
    ValueError
        When it is not finite, does not fall, or would have to be levelled by more than noise.
    """
    if not np.isfinite(potential).all():
        raise ValueError("the potential of a half cell is not finite everywhere")
    level = np.asarray(isotonic_regression(potential, increasing=False).x)
    most = float(np.abs(level - potential).max())
    if most > _MOST_LEVELLED or np.ptp(level) == 0.0:
        raise ValueError(
            f"the potential of a half cell rises by {most:.3g} V where it must fall with lithium; must be one slow "
            f"curve in one direction, with noise of {_MOST_LEVELLED:g} V at most"
        )
    return level


def potential_at(
    electrode: Potential, stoichiometry: Float[Array, " n"], share: Float[Array, ""] | float = 0.0
) -> Float[Array, " n"]:
    """Interpolate the potential [V]; beyond 0 and 1 the last step goes on as a straight line."""

    def row(table: Array, _: Array, index: Array, along: Array) -> Array:
        return table[index] + along * (table[index + 1] - table[index])

    return _interpolated(electrode, stoichiometry, share, row)


def integral_at(
    electrode: Potential, stoichiometry: Float[Array, " n"], share: Float[Array, ""] | float = 0.0
) -> Float[Array, " n"]:
    """Integrate `potential_at` from 0 to a stoichiometry [V]."""

    def row(table: Array, integral: Array, index: Array, along: Array) -> Array:
        rise = table[index + 1] - table[index]
        return integral[index] + (along * table[index] + 0.5 * along**2 * rise) / (POINTS - 1)

    return _interpolated(electrode, stoichiometry, share, row)


def _interpolated(
    electrode: Potential, stoichiometry: Array, share: Array | float, row: Callable[..., Array]
) -> Float[Array, " n"]:
    place = stoichiometry * (POINTS - 1)
    index = jnp.clip(place.astype(int), 0, POINTS - 2)
    if not electrode.composite:
        return row(electrode.table[0], electrode.integral[0], index, place - index)
    height = share / LARGEST_SHARE * (len(electrode.table) - 1)
    below = jnp.clip(jnp.asarray(height).astype(int), 0, len(electrode.table) - 2)
    low, high = (row(electrode.table[n], electrode.integral[n], index, place - index) for n in (below, below + 1))
    return low + (height - below) * (high - low)
