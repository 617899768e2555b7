"""Lithium: where it is, and how the particles' means follow from that."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.model import CellModel, Side

FARADAY = 96485.33212  # [C.mol-1], CODATA 2018

Lanes = Float[Array, "1 lanes"]


def particle_lithium(cell: CellModel, y: Float[Array, "states lanes"], side: Side) -> Lanes:
    """Lithium in the particles of one electrode [mol]."""
    parts = [
        phase.volume * active_fraction(cell, y, name) * cell.mean_concentration(y, name)
        for name, phase in cell.phases.items()
        if name.startswith(side)
    ]
    return sum(parts[1:], start=parts[0])


def sites(cell: CellModel, y: Float[Array, "states lanes"], side: Side) -> Lanes | float:
    """Sites for lithium in the particles of one electrode [mol]."""
    parts = [
        phase.volume * active_fraction(cell, y, name) * phase.maximum_concentration
        for name, phase in cell.phases.items()
        if name.startswith(side)
    ]
    return sum(parts[1:], start=parts[0])


def lost_lithium(cell: CellModel, y: Float[Array, "states lanes"], side: Side) -> Lanes:
    """Lithium of one electrode outside its particles: in SEI, plated, dead, or lost with active material [mol]."""
    volume = cell.electrode_volume(side)
    total = jnp.zeros_like(y[:1])
    for name in cell.rows:
        family = name.removesuffix("_primary").removesuffix("_secondary")
        if family == f"lam_lithium_{side}":
            total = total + cell.physical(y, name)
        elif side == "ne" and family in ("sei", "sei_cracks", "plated", "dead"):
            each = cell.lithium_per_sei if family.startswith("sei") else 1.0
            total = total + volume * each * cell.physical(y, name).mean(axis=0, keepdims=True)
    return total


def balanced(
    cell: CellModel, old: Float[Array, "states lanes"], new: Float[Array, "states lanes"]
) -> Float[Array, "states lanes"]:
    """Let the mean concentration of each electrode's particles close the balance of a step.

    What leaves the particles of one electrode went through the terminals or is held: quadratures of rates that
    balance at each node leave only the error of products (active fraction times concentration) and of relaxing states.
    """
    passed = (cell.physical(new, "discharge_capacity") - cell.physical(old, "discharge_capacity")) * 3600.0 / FARADAY
    sides: tuple[tuple[Side, float], ...] = (("ne", -1.0), ("pe", 1.0))
    for side, sign in sides:
        names = [f"concentration_{name}" for name in cell.phases if name.startswith(side)]
        if not all(name in cell.rows for name in names):
            continue
        held = lost_lithium(cell, new, side) - lost_lithium(cell, old, side)
        missing = particle_lithium(cell, old, side) + sign * passed - held - particle_lithium(cell, new, side)
        room = sum(
            phase.volume * active_fraction(cell, new, name)
            for name, phase in cell.phases.items()
            if name.startswith(side)
        )
        for name in names:
            rows = cell.rows[name]
            new = new.at[rows].add(missing / room / jnp.asarray(cell.scale[rows, None], new.dtype))
    return new


def active_fraction(cell: CellModel, y: Float[Array, "states lanes"], phase: str) -> Lanes | float:
    """Volume fraction of one of the `phases` [1]."""
    name = f"active_fraction_{phase}"
    return cell.physical(y, name) if name in cell.rows else cell.phases[phase].active_fraction
