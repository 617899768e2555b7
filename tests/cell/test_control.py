"""Power control inside the limits: what is demanded is delivered or accounted for, whatever is asked."""

import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import lift
from fadecast.cell.control import Limits, current_bounds, deliver_power, power_guess, state_of_charge
from fadecast.cell.health import electrode_window, stoichiometry_at
from fadecast.cell.model import AMBIENT, CURRENT
from fadecast.cell.profile import Profile, Stepping, run_profile

from .cells import aged, fitted_cell, inputs_of, lift_at

LANES = 16
LIMITS = Limits(charge_c_rate=0.5, discharge_c_rate=1.0, soc_min=0.1, soc_max=0.9)


def setting(soc: float):
    cell = fitted_cell()
    slow = aged(cell, [0.2] * LANES, [0.15] * LANES)
    inputs = inputs_of(cell, LANES)
    y = lift_at(cell, slow, soc)
    return cell, y, {**inputs, AMBIENT: jnp.full((1, LANES), 298.15)}, electrode_window(cell, slow, inputs)


def deliver(cell, limits, y, inputs, demand, window, horizon, iterations=3):
    bounds = current_bounds(cell, limits, y, window, jnp.asarray(horizon))
    return deliver_power(
        cell, bounds, y, inputs, demand, power_guess(cell, y, demand, jnp.full_like(demand, 3.7)), iterations
    )


def test_power_is_met_inside_the_limits():
    cell, y, inputs, window = setting(0.5)
    demand = jnp.linspace(-6.0, 12.0, LANES)[None]
    delivery = deliver(cell, LIMITS, y, inputs, demand, window, 60.0)
    volts = cell.voltage(y, {**inputs, CURRENT: delivery.current})
    np.testing.assert_allclose(np.asarray(delivery.current * volts), np.asarray(demand), atol=1e-9)
    np.testing.assert_allclose(np.asarray(delivery.power), np.asarray(demand), atol=1e-9)


def test_each_limit_binds():
    cell, y, inputs, window = setting(0.5)
    ask = lambda watts, state, horizon: deliver(  # noqa: E731
        cell, LIMITS, state, inputs, jnp.full((1, LANES), watts), window, horizon
    )
    assert np.allclose(ask(200.0, y, 1.0).current, LIMITS.discharge_c_rate * cell.nominal_capacity)
    assert np.allclose(ask(-200.0, y, 1.0).current, -LIMITS.charge_c_rate * cell.nominal_capacity)
    # A long horizon: the current may use up the state-of-charge window and no more.
    room = 0.4 * np.asarray(window.capacity)
    assert np.allclose(ask(30.0, y, 7200.0).current, room / 2.0)
    _, high, _, _ = setting(0.999)
    wide = Limits(charge_c_rate=3.0, discharge_c_rate=3.0, soc_min=0.0, soc_max=1.0)
    charge = deliver(cell, wide, high, inputs, jnp.full((1, LANES), -40.0), window, 1.0)
    volts = cell.voltage(high, {**inputs, CURRENT: charge.current})
    assert (np.asarray(charge.current) < 0).all()
    np.testing.assert_allclose(np.asarray(volts), cell.voltage_limits[1], atol=1e-6)


def test_any_demand_is_delivered_or_accounted_for():
    """Demands from nothing to far beyond what a cell can do, from 0 to 50 degC, at every state of charge."""
    cell = fitted_cell()
    rng = np.random.default_rng(0)
    slow = aged(cell, [0.2] * LANES, [0.15] * LANES)
    inputs = inputs_of(cell, LANES)
    window = electrode_window(cell, slow, inputs)
    soc, kelvin = jnp.asarray(rng.uniform(0.1, 0.9, (1, LANES))), rng.uniform(273.0, 323.0, (1, LANES))
    y = lift(cell, slow, stoichiometry_at(window, soc), jnp.asarray(kelvin))
    power = jnp.asarray(rng.normal(0.0, np.linspace(0.0, 100.0, LANES), (48, LANES)))
    profile = Profile(power, jnp.asarray(np.repeat(kelvin, 48, axis=0)))
    course = run_profile(cell, LIMITS, Stepping(), 900.0, y, inputs, window, profile)
    totals = course.totals
    for part in (*totals, *course.trace, course.end):
        assert np.isfinite(np.asarray(part)).all()
    balance = totals.demanded - totals.delivered - totals.unserved + totals.spilled
    assert np.abs(np.asarray(balance)).max() < 1e-6
    assert (np.asarray(totals.unserved)[0, 1:] > 0).any()
    at_end = np.asarray(state_of_charge(cell, course.end, window))
    assert (at_end > LIMITS.soc_min - 0.01).all()
    assert (at_end < LIMITS.soc_max + 0.01).all()
    assert (np.asarray(jnp.abs(course.trace.current)) <= cell.nominal_capacity + 1e-9).all()
