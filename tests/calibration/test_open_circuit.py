import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.calibration.open_circuit import (
    POINTS,
    charge_at,
    curve,
    edges,
    inventory,
    mean_voltages,
    open_circuit_voltage,
    stoichiometries,
)

from .cells import graphite_nmc, made_up, silicon_graphite_nmc


def one(electrodes, seed=0):
    cells = made_up(electrodes, 1, seed, noise=0.0)
    return tuple(jax.tree.map(lambda value: value[0], part) for part in cells)


@pytest.mark.parametrize("electrodes", [graphite_nmc, silicon_graphite_nmc])
def test_voltages_are_means_of_the_open_circuit_voltage(electrodes):
    curve, state = one(electrodes())
    fine = 200
    charge = curve.step * ((jnp.arange(POINTS * fine) + 0.5) / fine - 0.5 * POINTS)
    rest = open_circuit_voltage(electrodes(), state, charge).reshape(POINTS, fine).mean(axis=1)
    expected = rest + curve.direction * state.polarisation
    np.testing.assert_allclose(mean_voltages(electrodes(), state, curve), expected, atol=2e-6)


def test_rows_are_brought_to_steps_whatever_their_spacing():
    rng = np.random.default_rng(1)
    charge = np.sort(rng.uniform(0.0, 5.0, 4000))
    charge[[0, -1]] = 0.0, 5.0
    found = curve(charge, 3.0 + 0.2 * charge, -1.0, loss=0.1)
    middles = np.asarray(edges(found)[:-1] + 0.5 * found.step) + 2.5
    np.testing.assert_allclose(found.voltage, 3.0 + 0.2 * middles, atol=1e-4)
    np.testing.assert_allclose(POINTS * found.step, 5.0)
    backwards = curve(charge[::-1], 3.0 + 0.2 * charge[::-1], -1.0, loss=0.1)
    for ours, theirs in zip(found, backwards, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_energy_of_a_curve_is_kept():
    charge = np.concatenate([np.linspace(0.0, 1.0, 50), np.linspace(1.001, 5.0, 3000)])
    voltage = 3.0 + np.tanh(charge - 1.0)
    found = curve(charge, voltage, 1.0)
    energy = np.trapezoid(voltage, charge)
    np.testing.assert_allclose(float(found.voltage.sum() * found.step), energy, rtol=1e-12)


def test_steep_ends_are_trusted_less():
    charge = np.linspace(0.0, 5.0, 2000)
    found = curve(charge, 3.7 - 0.7 * np.exp(-charge / 0.02), -1.0)
    assert found.trust[0] < 0.3
    assert found.trust[-1] > 0.999


@settings(deadline=None, max_examples=30)
@given(shift=st.floats(-1.0, 1.0))
def test_lithium_does_not_depend_on_where_charge_is_counted_from(shift):
    _, state = one(graphite_nmc())
    x, y = stoichiometries(state, jnp.asarray(shift))
    np.testing.assert_allclose(inventory(state._replace(x_middle=x, y_middle=y)), inventory(state), rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(place=st.floats(-0.45, 0.45))
def test_charge_is_found_by_its_voltage(place):
    curve, state = one(graphite_nmc(), 3)
    charge = place * POINTS * curve.step
    voltage = open_circuit_voltage(graphite_nmc(), state, charge[None])[0]
    found = charge_at(graphite_nmc(), state, voltage)
    back = open_circuit_voltage(graphite_nmc(), state, found[None])[0]
    np.testing.assert_allclose(back, voltage, atol=1e-9)


def test_a_limit_beyond_the_half_cells_is_their_end():
    _, state = one(graphite_nmc(), 3)
    x, y = stoichiometries(state, charge_at(graphite_nmc(), state, 0.1))
    assert min(float(x), 1.0 - float(y)) == pytest.approx(0.0, abs=1e-6)
