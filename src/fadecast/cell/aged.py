"""The slow state of a cell: what ageing has changed, apart from where the lithium happens to be today.

A `SlowState` and a state of charge make a full state vector (`lift`); a full state vector gives its slow state back
(`restrict`). The lithium inventory is carried, not read back, so no lift or restriction loses or makes lithium.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.balance import lost_lithium, particle_lithium
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, POROSITY, ROUGHNESS, CellModel
from fadecast.cell.modes import diffusion_modes

# SEI keeps at least this share of a cell's lithium loss when material lost at half charge would have trapped more.
_SMALLEST_SEI_SHARE = 0.1

Lanes = Float[Array, "1 lanes"]


class SlowState(NamedTuple):
    """What ageing has changed in each cell, every field `(1, lanes)`."""

    sei: Lanes
    """SEI concentration in the negative electrode [mol.m-3]."""
    sei_cracks: Lanes
    """Concentration of SEI on cracks in the negative electrode, 0 where the cell has none [mol.m-3]."""
    dead: Lanes
    """Dead plated lithium concentration in the negative electrode [mol.m-3]."""
    crack_length: Lanes
    """Mean crack length of negative particles [m]."""
    active_fraction_ne: Lanes
    """Negative active material volume fraction [1]."""
    active_fraction_pe: Lanes
    """Positive active material volume fraction [1]."""
    lam_lithium_ne: Lanes
    """Lithium lost with negative active material since the start of service [mol]."""
    lam_lithium_pe: Lanes
    """Lithium lost with positive active material since the start of service [mol]."""
    inventory: Lanes
    """All lithium at the start of service: cyclable, in SEI and dead [mol]. Never changes."""


class Diagnosis(NamedTuple):
    """A retired cell as diagnostics describe it, every field `(1, lanes)`."""

    lli: Lanes
    """Loss of lithium inventory over first-life inventory, lithium trapped in lost material included [1]."""
    lam_ne: Lanes
    """Loss of negative active material [1]."""
    lam_pe: Lanes
    """Loss of positive active material [1]."""
    dead_share: Lanes
    """Share of the lost lithium that is dead plated lithium [1]."""
    crack_length: Lanes
    """Crack length of negative particles [m]."""


def fresh_state(cell: CellModel, lanes: int, inputs: Inputs | None = None) -> SlowState:
    """PyBaMM's own initial state as a slow state, at the parameter set's inputs where none are given."""
    y = cell.fresh(lanes, inputs)
    state = restrict(cell, y, jnp.zeros((1, lanes)))
    return state._replace(inventory=cell.fresh_lithium + held_lithium(cell, state))


def aged_state(
    cell: CellModel, diagnosis: Diagnosis, mid_stoichiometry: tuple[float, float], inputs: Inputs | None = None
) -> SlowState:
    """Start a cell as its diagnostics found it.

    Active fractions shrink at unchanged particle radius. Films are set by amount: PyBaMM makes their thickness, and the
    porosity they leave, from the area at hand, which is the aged one. The lost lithium is split into what was trapped
    in lost material (lost at half charge), dead lithium, and SEI; the split is a prior, since no diagnostic tells it
    apart. SEI on cracks, where a cell has it, is taken to have grown as thick as on the surface.

    Parameters
    ----------
    mid_stoichiometry
        Negative and positive stoichiometry of the fresh cell at half charge [1].
    inputs
        PyBaMM input parameters except current and ambient temperature, each `(1, lanes)`; of the parameter set where
        not given. They set the films of the new cell, and how much area the cracks have.
    """
    fresh = fresh_state(cell, diagnosis.lli.shape[1], inputs)
    lost = diagnosis.lli * cell.fresh_lithium
    dead = diagnosis.dead_share * lost
    trapped = (
        diagnosis.lam_ne * cell.negative.capacity * mid_stoichiometry[0]
        + diagnosis.lam_pe * cell.positive.capacity * mid_stoichiometry[1]
    )
    volume = cell.negative.volume
    sei = jnp.maximum(lost - dead - trapped, _SMALLEST_SEI_SHARE * lost) / (cell.lithium_per_sei * volume)
    cracked = _crack_share(cell, diagnosis.crack_length, inputs)
    state = fresh._replace(
        sei=fresh.sei + (1.0 - cracked) * sei,
        sei_cracks=fresh.sei_cracks + cracked * sei,
        dead=fresh.dead + dead / volume,
        crack_length=diagnosis.crack_length,
        active_fraction_ne=fresh.active_fraction_ne * (1.0 - diagnosis.lam_ne),
        active_fraction_pe=fresh.active_fraction_pe * (1.0 - diagnosis.lam_pe),
    )
    cyclable = (1.0 - diagnosis.lli) * cell.fresh_lithium
    return state._replace(inventory=cyclable + held_lithium(cell, state))


def _crack_share(cell: CellModel, crack_length: Lanes, inputs: Inputs | None) -> Lanes:
    """Share of cracks in the negative surface that SEI grows on [1]."""
    if "sei_cracks" not in cell.rows:
        return jnp.zeros_like(crack_length)
    lanes = crack_length.shape[1]
    y = cell.fresh(lanes, inputs).astype(crack_length.dtype)
    y = y.at[cell.rows["crack_length"]].set(cell.scaled(crack_length, "crack_length"))
    return 1.0 - 1.0 / _output(cell, y, ROUGHNESS, inputs)


def _output(cell: CellModel, y: Float[Array, "states lanes"], name: str, inputs: Inputs | None) -> Array:
    """Evaluate one output of the cell at rest."""
    given = {each: jnp.full_like(y[:1], value) for each, value in cell.inputs.items()} | dict(inputs or {})
    given |= {CURRENT: jnp.zeros_like(y[:1]), AMBIENT: jnp.full_like(y[:1], cell.reference_temperature)}
    return cell.evaluate(y, given)[name]


def held_lithium(cell: CellModel, slow: SlowState) -> Lanes:
    """Lithium that no longer cycles: in SEI, dead, or lost with active material in service [mol]."""
    in_films = cell.negative.volume * (cell.lithium_per_sei * (slow.sei + slow.sei_cracks) + slow.dead)
    return in_films + slow.lam_lithium_ne + slow.lam_lithium_pe


def cyclable_lithium(cell: CellModel, slow: SlowState) -> Lanes:
    """Lithium in the particles and reversibly plated [mol]."""
    return slow.inventory - held_lithium(cell, slow)


def lift(
    cell: CellModel, slow: SlowState, stoichiometry: Lanes, temperature: Lanes, inputs: Inputs | None = None
) -> Float[Array, "states lanes"]:
    """Make a rested full state: uniform particles and salt, no plated lithium, all cyclable lithium placed.

    Parameters
    ----------
    stoichiometry
        Negative-electrode stoichiometry [1].
    temperature
        Cell temperature [K].
    inputs
        PyBaMM input parameters except current and ambient temperature, each `(1, lanes)`; of the parameter set where
        not given. They set states that ageing leaves alone, and how much pore space films take.
    """
    lanes = stoichiometry.shape[1]
    concentration_ne = stoichiometry * cell.negative.maximum_concentration
    in_negative = slow.active_fraction_ne * cell.negative.volume * concentration_ne
    in_positive = cyclable_lithium(cell, slow) - in_negative
    blocks = {
        **{name: getattr(slow, name) for name in SlowState._fields if name != "inventory"},
        "concentration_ne": concentration_ne,
        "concentration_pe": in_positive / (slow.active_fraction_pe * cell.positive.volume),
        "temperature": temperature,
        "plated": jnp.zeros_like(temperature),
        "discharge_capacity": jnp.zeros_like(temperature),
        "charge_throughput": jnp.zeros_like(temperature),
    }
    # States that are not listed start as in a fresh cell.
    y = cell.fresh(lanes, inputs).astype(stoichiometry.dtype)
    for name, value in blocks.items():
        if name in cell.rows:
            rows = cell.rows[name]
            y = y.at[rows].set(cell.scaled(jnp.broadcast_to(value, (rows.stop - rows.start, lanes)), name))
    return _salt_at_rest(cell, y, inputs) if cell.pores_close else y


def _salt_at_rest(
    cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs | None
) -> Float[Array, "states lanes"]:
    """Spread the salt of the state evenly over the pores that films have left."""
    rows = cell.rows["electrolyte"]
    weights = jnp.asarray(next(block.weights for block in diffusion_modes(cell) if block.rows == rows), y.dtype)
    porosity = _output(cell, y, POROSITY, inputs)
    salt, pores = (jnp.sum(weights * value, axis=0, keepdims=True) for value in (y[rows], porosity))
    return y.at[rows].set(porosity * salt / pores)


def restrict(cell: CellModel, y: Float[Array, "states lanes"], inventory: Lanes) -> SlowState:
    """Read the slow state out of a full state."""
    held = {name: cell.physical(y, name) for name in SlowState._fields if name in cell.rows}
    return SlowState(**{"sei_cracks": jnp.zeros_like(y[:1]), **held}, inventory=inventory)


def total_lithium(cell: CellModel, y: Float[Array, "states lanes"]) -> Lanes:
    """All lithium of a full state: particles, plated, dead, in SEI, and lost with active material [mol]."""
    negative, positive = (particle_lithium(cell, y, side) + lost_lithium(cell, y, side) for side, _ in cell.electrodes)
    return negative + positive
