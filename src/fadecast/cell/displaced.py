"""Points around a cell that stand for the swings of its load inside a step: rates of ageing are averaged over them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.balance import active_fraction
from fadecast.cell.model import CellModel
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.ripple import Ripple, three_points

Lanes = Float[Array, "1 lanes"]


class Point(NamedTuple):
    """One of them, each field `(1, lanes)`; three of them together `(3, 1, lanes)`."""

    chance: Lanes
    """Weight of the point [1]."""
    current: Lanes
    """By how much the current is larger [A]."""
    surfaces: tuple[Lanes, ...]
    """By how much the surface of each diffusing block is further above its mean, in the units of the state."""


def three_displaced(
    cell: CellModel,
    ripple: Ripple,
    y: Float[Array, "states lanes"],
    decays: list[Float[Array, "n lanes"]],
    volts: Lanes,
) -> Point:
    """Scale the swings of a load step to each lane.

    Current and both surfaces swing together: the two numbers of an electrode are those of a surface that follows the
    current at once. Fluxes are shared by the active material that is left; a surface moves with a power of the
    diffusivity.

    Parameters
    ----------
    ripple
        Of the load step, fields `(1, lanes)`.
    y
        State at the start, in the precision of the nodes.
    decays
        Decay rates of the modes of each diffusing block [1/s].
    volts
        Voltage at the start [V].
    """
    place, chance = three_points(ripple.skewness, ripple.kurtosis)
    surfaces, nominal = [], cell.nameplate_energy / cell.nominal_capacity
    for block, decay in zip(diffusion_modes(cell), decays, strict=True):
        if block.closed:
            surfaces.append(jnp.zeros_like(place))
            continue
        side, swing = ("ne", ripple.ne) if block.rows == cell.rows["concentration_ne"] else ("pe", ripple.pe)
        diffusivity = decay[-1:] / float(block.decay[-1, 0])
        left = active_fraction(cell, y, side) / cell.phases[side].active_fraction
        scale = (-1.0 if side == "ne" else 1.0) / float(cell.scale[block.rows.start])
        factor = scale * nominal / volts / left * diffusivity ** (-swing.exponent)
        surfaces.append(factor[None] * (swing.mean[None] + place * swing.spread[None]))
    return Point(chance, place * (ripple.power / volts)[None], tuple(surfaces))
