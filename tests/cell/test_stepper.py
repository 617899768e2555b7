"""Time steps: modes, quadrature, conservation of lithium, order, error control, agreement with PyBaMM's own solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import total_lithium
from fadecast.cell.control import Limits
from fadecast.cell.health import stoichiometry_at
from fadecast.cell.model import AMBIENT, CURRENT, Chemistry, build_cell
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.node import _diffusivity
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.quadrature import Rule, step_nodes, step_samples
from fadecast.cell.reference import reference_run

from .cells import (
    WIDE,
    aged,
    electrode_window,
    equal_steps,
    fitted_cell,
    fitted_chemistry,
    inputs_of,
    lift_at,
    noisy_power,
)


@pytest.mark.parametrize(("model", "stretch"), [("SPM", 0.0), ("SPM", 1.0), ("SPMe", 0.0)])
def test_modes_are_those_of_pybamms_diffusion_operators(model, stretch):
    """At a uniform profile the Jacobian of each block is the modes' operator times the lane's diffusivity."""
    cell = build_cell(Chemistry(model=model, electrolyte_points=6, particle_stretch=stretch))
    y = jnp.asarray(cell.initial_state)[:, None]
    inputs = {AMBIENT: jnp.full((1, 1), 310.0), CURRENT: jnp.zeros((1, 1))}
    y = y.at[cell.rows["temperature"]].multiply(310.0 / 298.15)
    exact = np.asarray(jax.jacfwd(lambda column: cell.rhs(column[:, None], inputs)[:, 0])(y[:, 0]))
    blocks = diffusion_modes(cell)
    assert len(blocks) == {"SPM": 2, "SPMe": 3}[model]
    for block in blocks:
        operator = -block.nodes @ (block.decay * block.modes)
        part = exact[block.rows, block.rows]
        factor = float(_diffusivity(cell, block, y, inputs)[0, 0])
        # The surface flux, which is not diffusion, is in the last row.
        np.testing.assert_allclose(factor * operator[:-1], part[:-1], atol=1e-9 * np.abs(part).max())
        np.testing.assert_allclose(block.nodes @ block.modes, np.eye(len(part)), atol=1e-12)
        assert np.abs(block.modes[0] @ operator).max() < 1e-12 * np.abs(operator).max()
        assert (np.diff(block.decay[:, 0]) > 0).all()
        assert factor > 1.0


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8])
def test_quadrature_is_exact_for_powers_of_the_root_of_time(count):
    rule = step_nodes(count)
    times = np.cumsum(rule.length)
    assert times[-1] == pytest.approx(1.0, rel=1e-14)
    for power in range(2 * count - 2):
        assert rule.weight @ times ** (power / 2) == pytest.approx(1 / (power / 2 + 1), rel=1e-11)


@pytest.mark.parametrize(("nodes", "count"), [(2, 4), (4, 8), (6, 12), (8, 16)])
def test_samples_integrate_and_mix_powers_of_the_root_of_time(nodes, count):
    rule, knots = step_samples(Rule(nodes, count, estimate=True)), np.cumsum(step_nodes(nodes).length)
    times = (rule.mixing @ np.sqrt(knots)) ** 2
    for power in range(nodes):
        np.testing.assert_allclose(rule.mixing @ knots ** (power / 2), times ** (power / 2), atol=1e-12)
    for power in range(2 * count - 1):
        assert rule.weight @ times ** (power / 2) == pytest.approx(1 / (power / 2 + 1), rel=1e-11)
    for power in range(count // 2):
        assert rule.embedded @ times ** (power / 2) == pytest.approx(1 / (power / 2 + 1), rel=1e-11)
    assert (np.diff(times) > -1e-12).all()
    assert (rule.weight * rule.embedded == 0.0).all()
    own = step_samples(Rule(nodes, count))
    np.testing.assert_array_equal(own.weight, rule.weight[rule.embedded == 0.0])


@pytest.mark.parametrize("tolerance", [None, 0.03])
def test_lithium_is_conserved_to_rounding_over_two_noisy_days(tolerance):
    cell = fitted_cell()
    slow = aged(cell, [0.05, 0.15, 0.25], [0.05, 0.1, 0.2])
    steps = 2 * 96
    profile = Profile(
        jnp.asarray(noisy_power(steps, 3, 6.0)), jnp.full((steps, 3), 273.15) + jnp.asarray([[0.0, 25.0, 45.0]])
    )
    inputs = inputs_of(cell, 3)
    window = electrode_window(cell, slow, inputs)
    y = lift_at(cell, slow, 0.5)
    limits = Limits(charge_derating=(), discharge_derating=())
    end = run_profile(cell, limits, Stepping(tolerance=tolerance), 900.0, y, inputs, window, profile).end
    assert np.isfinite(np.asarray(end)).all()
    lost = np.asarray(cell.physical(end, "sei") - cell.physical(y, "sei")) * cell.negative.volume
    drift = np.asarray(total_lithium(cell, end) / total_lithium(cell, y) - 1.0)
    assert (lost > 0).all()
    assert np.abs(drift).max() < 1e-12


def test_fixed_steps_converge_with_second_order():
    """A jump of the current, followed for 20 minutes in equal steps: all kinds of states alike."""
    cell = fitted_cell()
    inputs = {**inputs_of(cell, 1), AMBIENT: jnp.full((1, 1), 298.15)}
    slow = aged(cell, [0.1], [0.1])
    end = equal_steps(cell, inputs, jnp.full((1, 1), 2.5), lift_at(cell, slow, 0.5))
    truth = end(4096)
    for name in ("concentration_ne", "concentration_pe", "sei", "temperature"):
        errors = np.array([np.abs((end(n) - truth)[cell.rows[name]]).max() for n in (16, 32, 64)])
        order = np.log2(errors[:-1] / errors[1:])
        # The positive particle is all but steady by then: what is left falls faster.
        allowed = (1.7, 4.0) if name == "concentration_pe" else (1.7, 2.3)
        assert ((order > allowed[0]) & (order < allowed[1])).all(), (name, order, errors)


WATCHED = ("sei", "plated", "dead", "crack_length", "active_fraction_ne", "active_fraction_pe")


def minute_load(stepping: Stepping, steps: int = 180) -> np.ndarray:
    """Changes of the watched states of three cells under one-minute load at 1C, shape `(states, 3)`."""
    cell = fitted_cell()
    slow = aged(cell, [0.1] * 3, [0.1] * 3)
    inputs = inputs_of(cell, 3)
    window = electrode_window(cell, slow, inputs)
    y = lift_at(cell, slow, 0.5)
    kelvin = jnp.asarray([[273.15, 298.15, 318.15]])
    profile = Profile(jnp.asarray(noisy_power(steps, 3, 9.0, seed=2)), jnp.broadcast_to(kelvin, (steps, 3)))
    end = jax.jit(lambda y: run_profile(cell, WIDE, stepping, 60.0, y, inputs, window, profile).end)(y)
    return np.concatenate([np.asarray(end - y)[cell.rows[name]] for name in WATCHED])


def test_the_tolerance_controls_the_error():
    """A smaller tolerance, a smaller error: about as much, and always below the tolerance.

    With two nodes: four resolve a minute of this load so well that no tolerance above 0.005 divides many.
    """
    truth = minute_load(Stepping(nodes=8, samples=24, tolerance=None, steps=2))
    errors = [
        np.abs(minute_load(Stepping(nodes=2, samples=6, tolerance=tolerance)) / truth - 1.0).max()
        for tolerance in (0.02, 0.005, 0.0025)
    ]
    assert (np.diff(errors) < 0).all(), errors
    assert errors[-1] < 0.35 * errors[0], errors
    assert (np.array(errors) < [0.02, 0.005, 0.0025]).all(), errors
    assert np.abs(minute_load(Stepping()) / truth - 1.0).max() < 2e-3


def test_agreement_with_idaklu():
    """Four hours of one-minute load on an aged cell: each ageing state against PyBaMM at 1e-8.

    Within 1e-3 of each state's change; concentrations within 1e-5 of the maximum, voltage within 1 mV rms, temperature
    within 0.01 K.
    """
    cell, chemistry = fitted_cell(), fitted_chemistry()
    steps, load_step = 4 * 60, 60.0
    slow = aged(cell, [0.15], [0.12])
    y = lift_at(cell, slow, 0.5, 303.15)
    power, ambient = noisy_power(steps, 1, 5.0, seed=4), np.full((steps, 1), 303.15)
    inputs = inputs_of(cell, 1)
    window = electrode_window(cell, slow, inputs)
    stepping = Stepping(nodes=8, samples=16, tolerance=0.002)
    mine = run_profile(
        cell, WIDE, stepping, load_step, y, inputs, window, Profile(jnp.asarray(power), jnp.asarray(ambient))
    )
    truth = reference_run(chemistry, np.asarray(y)[:, 0], power[:, 0], ambient[:, 0], load_step)
    for name in (*WATCHED, "lam_lithium_ne", "lam_lithium_pe", "charge_throughput"):
        rows = cell.rows[name]
        change = truth.states[name][-1] - np.asarray(y)[rows, 0]
        error = np.abs(np.asarray(mine.end)[rows, 0] - truth.states[name][-1]) / np.abs(change)
        assert error.max() < 1e-3, (name, error.max())
    for name in ("concentration_ne", "concentration_pe"):
        np.testing.assert_allclose(np.asarray(mine.end)[cell.rows[name], 0], truth.states[name][-1], atol=1e-5)
    voltage = np.asarray(mine.trace.voltage)[:, 0]
    assert np.sqrt(np.mean((voltage - truth.voltage) ** 2)) < 1e-3
    rows = cell.rows["temperature"]
    temperature = float(cell.physical(mine.end, "temperature")[0, 0])
    assert abs(temperature - float(truth.states["temperature"][-1, 0] * cell.scale[rows][0])) < 0.01


@pytest.mark.parametrize("soh_loss", [(0.45, 0.4), (0.38, 0.3), (0.3, 0.22), (0.2, 0.12)])
def test_cells_of_50_to_80_percent_run_a_day(soh_loss):
    cell = fitted_cell()
    slow = aged(cell, [soh_loss[0]], [soh_loss[1]])
    inputs = inputs_of(cell, 1)
    window = electrode_window(cell, slow, inputs)
    share = float(window.capacity[0, 0]) / cell.nominal_capacity
    assert 0.45 < share < 0.85
    profile = Profile(jnp.asarray(noisy_power(96, 1, 4.0)), jnp.full((96, 1), 298.15))
    course = run_profile(cell, Limits(), Stepping(), 900.0, lift_at(cell, slow, 0.5), inputs, window, profile)
    assert np.isfinite(np.asarray(course.end)).all()
    assert float(stoichiometry_at(window, jnp.ones((1, 1)))[0, 0]) < 1.0
