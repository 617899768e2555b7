"""Control: what is asked is held, and each limit binds."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.control import (
    KELVIN,
    Bounds,
    Delivery,
    Held,
    Limits,
    Setting,
    charge_bounds,
    current_bounds,
    derated,
    first_guess,
    hold,
)
from fadecast.cell.model import AMBIENT, CURRENT

from .cells import aged, electrode_window, fitted_cell, inputs_of, lift_at

LANES = 16
LIMITS = Limits(charge_c_rate=0.5, discharge_c_rate=1.0, soc_min=0.1, soc_max=0.9)
NOMINAL = fitted_cell().nominal_capacity


@cache
def setting(soc: float):
    cell = fitted_cell()
    slow = aged(cell, [0.2] * LANES, [0.15] * LANES)
    inputs = inputs_of(cell, LANES)
    y = lift_at(cell, slow, soc)
    return cell, y, {**inputs, AMBIENT: jnp.full((1, LANES), 298.15)}, electrode_window(cell, slow, inputs)


def deliver(limits, cell, y, inputs, window, asked, horizon, held=Held.POWER, iterations=3):
    bounds = current_bounds(cell, limits, y, inputs, charge_bounds(cell, limits, y, window, jnp.asarray(horizon)))
    request = Setting.of(held, asked)
    before = Delivery(jnp.zeros_like(asked), jnp.full_like(asked, 3.7), y[cell.differential :])
    return hold(cell, y, inputs, request, first_guess(request, before, before.voltage), iterations, bounds)


def test_power_is_met_inside_the_limits():
    cell, y, inputs, window = setting(0.5)
    demand = jnp.linspace(-6.0, 12.0, LANES)[None]
    delivery = deliver(LIMITS, cell, y, inputs, window, demand, 60.0)
    volts = cell.voltage(y, {**inputs, CURRENT: delivery.current})
    np.testing.assert_allclose(np.asarray(delivery.current * volts), np.asarray(demand), atol=1e-9)
    np.testing.assert_allclose(np.asarray(delivery.power), np.asarray(demand), atol=1e-14)


def test_each_limit_binds():
    cell, y, inputs, window = setting(0.5)
    ask = lambda watts, horizon: deliver(  # noqa: E731
        LIMITS, cell, y, inputs, window, jnp.full((1, LANES), watts), horizon
    )
    assert np.allclose(ask(200.0, 1.0).current, LIMITS.discharge_c_rate * NOMINAL)
    assert np.allclose(ask(-200.0, 1.0).current, -LIMITS.charge_c_rate * NOMINAL)
    # A long horizon: the current may use up the state-of-charge window and no more.
    room = 0.4 * np.asarray(window.capacity)
    assert np.allclose(ask(30.0, 7200.0).current, room / 2.0)
    cell, high, inputs, window = setting(0.999)
    wide = Limits(charge_c_rate=3.0, discharge_c_rate=3.0, soc_min=0.0, soc_max=1.0)
    charge = deliver(wide, cell, high, inputs, window, jnp.full((1, LANES), -40.0), 1.0, iterations=6)
    volts = cell.voltage(high, {**inputs, CURRENT: charge.current})
    assert (np.asarray(charge.current) < 0).all()
    np.testing.assert_allclose(np.asarray(volts), cell.voltage_limits[1], atol=1e-6)


@pytest.mark.parametrize("held", [Held.CURRENT, Held.VOLTAGE])
def test_the_same_limits_hold_for_a_current_and_a_voltage(held):
    cell, y, inputs, window = setting(0.5)
    far = {Held.CURRENT: (-50.0, 50.0), Held.VOLTAGE: (5.0, 2.0)}[held]
    for value, current in zip(far, (-LIMITS.charge_c_rate, LIMITS.discharge_c_rate), strict=True):
        found = deliver(LIMITS, cell, y, inputs, window, jnp.full((1, LANES), value), 1.0, held, iterations=8)
        np.testing.assert_allclose(np.asarray(found.current), current * NOMINAL, rtol=1e-12)
    near = {Held.CURRENT: 1.0, Held.VOLTAGE: 3.7}[held]
    found = deliver(LIMITS, cell, y, inputs, window, jnp.full((1, LANES), near), 1.0, held, iterations=8)
    volts = cell.voltage(y, {**inputs, CURRENT: found.current})
    np.testing.assert_allclose(np.asarray(found.current if held is Held.CURRENT else volts), near, rtol=1e-12)


def test_currents_fall_with_temperature_at_both_ends():
    celsius = jnp.linspace(-40.0, 80.0, 481)[None]
    for points in (LIMITS.charge_derating, LIMITS.discharge_derating, ((20.0, 0.3),), ()):
        known = np.interp(np.asarray(celsius), *np.transpose(points)) if points else np.ones(celsius.shape)
        np.testing.assert_allclose(np.asarray(derated(points, celsius)), known, atol=1e-14)
    cell, y, inputs, _ = setting(0.5)
    free = Bounds(jnp.full((1, LANES), -1e3), jnp.full((1, LANES), 1e3))
    for degrees, charge, discharge in ((-25.0, 0.0, 0.0), (5.0, 0.5, 1.0), (25.0, 1.0, 1.0), (44.0, 0.2, 1.0)):
        kelvin = cell.scaled(jnp.full((1, LANES), degrees + KELVIN), "temperature")
        found = current_bounds(cell, LIMITS, y.at[cell.rows["temperature"]].set(kelvin), inputs, free)
        np.testing.assert_allclose(np.asarray(found.low), -charge * LIMITS.charge_c_rate * NOMINAL, atol=1e-12)
        np.testing.assert_allclose(np.asarray(found.high), discharge * LIMITS.discharge_c_rate * NOMINAL, atol=1e-12)
