"""Power control inside the limits: what is demanded is delivered or accounted for, whatever is asked."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.cell.control import Limits, Window, deliver_power, state_of_charge
from fadecast.cell.health import electrode_window
from fadecast.cell.model import AMBIENT, CURRENT
from fadecast.cell.profile import Profile, Substeps, run_profile

from .cells import aged, fitted_cell, inputs_of, lift_at

LANES = 16
LIMITS = Limits(charge_c_rate=0.5, discharge_c_rate=1.0, soc_min=0.1, soc_max=0.9)


def setting(soc: float):
    cell = fitted_cell()
    slow = aged(cell, [0.2] * LANES, [0.15] * LANES)
    inputs = inputs_of(cell, LANES)
    y = lift_at(cell, slow, soc)
    return cell, y, {**inputs, AMBIENT: jnp.full((1, LANES), 298.15)}, electrode_window(cell, slow, inputs)


def test_power_is_met_inside_the_limits():
    cell, y, inputs, window = setting(0.5)
    demand = jnp.linspace(-6.0, 12.0, LANES)[None]
    delivery = deliver_power(cell, LIMITS, y, inputs, demand, window, jnp.asarray(60.0))
    volts = cell.voltage(y, {**inputs, CURRENT: delivery.current})
    np.testing.assert_allclose(np.asarray(delivery.current * volts), np.asarray(demand), atol=1e-9)
    np.testing.assert_allclose(np.asarray(delivery.power), np.asarray(demand), atol=1e-9)


def test_each_limit_binds():
    cell, y, inputs, window = setting(0.5)
    ask = lambda watts, state, horizon: deliver_power(  # noqa: E731
        cell, LIMITS, state, inputs, jnp.full((1, LANES), watts), window, jnp.asarray(horizon)
    )
    assert np.allclose(ask(200.0, y, 1.0).current, LIMITS.discharge_c_rate * cell.nominal_capacity)
    assert np.allclose(ask(-200.0, y, 1.0).current, -LIMITS.charge_c_rate * cell.nominal_capacity)
    # A long horizon: the current may use up the state-of-charge window and no more.
    room = 0.4 * np.asarray(window.capacity)
    assert np.allclose(ask(30.0, y, 7200.0).current, room / 2.0)
    _, high, _, _ = setting(0.999)
    wide = Limits(charge_c_rate=3.0, discharge_c_rate=3.0, soc_min=0.0, soc_max=1.0)
    charge = deliver_power(cell, wide, high, inputs, jnp.full((1, LANES), -40.0), window, jnp.asarray(1.0))
    volts = cell.voltage(high, {**inputs, CURRENT: charge.current})
    assert (np.asarray(charge.current) < 0).all()
    np.testing.assert_allclose(np.asarray(volts), cell.voltage_limits[1], atol=1e-6)


@jax.jit
def follow(y, inputs, window: Window, power, ambient):
    return run_profile(fitted_cell(), LIMITS, Substeps().lengths(900.0), y, inputs, window, Profile(power, ambient))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 300.0), st.floats(0.0, 1.0), st.floats(248.0, 323.0))
def test_any_demand_is_delivered_or_accounted_for(seed, watts, soc, kelvin):
    cell, y, inputs, window = setting(float(np.clip(soc, 0.1, 0.9)))
    power = jnp.asarray(np.random.default_rng(seed).normal(0.0, watts + 1e-9, (24, LANES)))
    course = follow(y, inputs, window, power, jnp.full((24, LANES), kelvin))
    totals = course.totals
    for part in (*totals, *course.trace, course.end):
        assert np.isfinite(np.asarray(part)).all()
    balance = totals.demanded - totals.delivered - totals.unserved + totals.spilled
    assert np.abs(np.asarray(balance)).max() < 1e-6 * (1.0 + float(jnp.abs(power).sum(axis=0).max()))
    at_end = np.asarray(state_of_charge(cell, course.end, window))
    assert (at_end > LIMITS.soc_min - 0.01).all()
    assert (at_end < LIMITS.soc_max + 0.01).all()
    assert (np.asarray(jnp.abs(course.trace.current)) <= cell.nominal_capacity + 1e-9).all()
