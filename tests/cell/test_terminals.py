"""Algebraic states: solved along with the current, they give what the model without them gives in closed form."""

import jax.numpy as jnp
import numpy as np

from fadecast.cell.control import Bounds, Delivery, Held, Setting, first_guess, hold
from fadecast.cell.model import AMBIENT, CURRENT, CellModel, Chemistry, build_cell
from fadecast.cell.terminals import consistent

LANES = 5
# Side reactions would share the current; without them both forms are one Butler-Volmer equation.
BARE = {
    "sei": "none",
    "lithium_plating": "none",
    "particle_mechanics": "none",
    "loss_of_active_material": "none",
}


def cells() -> tuple[CellModel, CellModel]:
    return build_cell(Chemistry(**BARE)), build_cell(Chemistry(**BARE, surface_form="algebraic"))


def states(cell: CellModel) -> jnp.ndarray:
    y = jnp.tile(jnp.asarray(cell.initial_state)[:, None], (1, LANES))
    return y.at[cell.rows["concentration_ne"]].multiply(jnp.linspace(0.2, 1.0, LANES)[None])


def test_the_surface_potential_is_that_of_the_closed_form():
    plain, algebraic = cells()
    inputs = {AMBIENT: jnp.full((1, LANES), 298.15), CURRENT: jnp.linspace(-5.0, 8.0, LANES)[None]}
    y = consistent(algebraic, states(algebraic), inputs)
    assert np.abs(np.asarray(algebraic.evaluate(y, inputs)["algebraic"])).max() < 1e-9
    np.testing.assert_allclose(
        np.asarray(algebraic.voltage(y, inputs)), np.asarray(plain.voltage(states(plain), inputs)), atol=1e-7
    )


def test_power_is_met_with_algebraic_states():
    plain, algebraic = cells()
    demand = jnp.linspace(-15.0, 25.0, LANES)[None]
    inputs = {AMBIENT: jnp.full((1, LANES), 298.15)}
    bounds = Bounds(jnp.full((1, LANES), -50.0), jnp.full((1, LANES), 50.0))
    power = Setting.of(Held.POWER, demand)
    delivered = []
    for cell in (plain, algebraic):
        y = consistent(cell, states(cell), {**inputs, CURRENT: jnp.zeros((1, LANES))})
        before = Delivery(jnp.zeros_like(demand), jnp.full_like(demand, 3.7), y[cell.differential :])
        guess = first_guess(power, before, before.voltage)
        delivered.append(hold(cell, y, inputs, power, guess, 12, bounds).current)
    np.testing.assert_allclose(np.asarray(delivered[1]), np.asarray(delivered[0]), rtol=1e-7)
