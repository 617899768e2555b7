"""Time steps: linear algebra, conservation of lithium, order, and agreement with PyBaMM's own solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import total_lithium
from fadecast.cell.control import Limits, hold_current
from fadecast.cell.health import electrode_window, stoichiometry_at
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT
from fadecast.cell.profile import Profile, Substeps, run_profile
from fadecast.cell.reference import reference_run
from fadecast.cell.stepper import _tridiagonal, extrapolated_step, stiff_matrix

from .cells import aged, fitted_cell, fitted_chemistry, inputs_of, lift_at, noisy_power

WIDE = Limits(charge_c_rate=10.0, discharge_c_rate=10.0, soc_min=0.0, soc_max=1.0)


def test_tridiagonal_solve_is_the_dense_solve():
    rng = np.random.default_rng(0)
    low, high, right = rng.normal(size=(3, 7, 4))
    diagonal = 4.0 + rng.uniform(size=(7, 4))
    solution = _tridiagonal(*(jnp.asarray(part) for part in (low, diagonal, high, right)))
    for lane in range(4):
        dense = np.diag(diagonal[:, lane]) + np.diag(low[1:, lane], -1) + np.diag(high[:-1, lane], 1)
        np.testing.assert_allclose(np.asarray(solution)[:, lane], np.linalg.solve(dense, right[:, lane]), rtol=1e-12)


def state_under_load(lanes: int = 3) -> tuple[jax.Array, Inputs]:
    cell = fitted_cell()
    slow = aged(cell, [0.1] * lanes, [0.08] * lanes)
    y = lift_at(cell, slow, 0.6)
    inputs = {**inputs_of(cell, lanes), AMBIENT: jnp.full((1, lanes), 293.15)}
    current = jnp.linspace(-2.0, 4.0, lanes)[None]
    for _ in range(10):
        y = extrapolated_step(cell, y, inputs, lambda state, _: hold_current(cell, state, inputs, current), 20.0).y
    return y, {**inputs, CURRENT: current}


def test_the_matrix_is_the_jacobian_inside_the_particles_and_conserves_lithium():
    cell = fitted_cell()
    y, inputs = state_under_load()
    matrix = stiff_matrix(cell, y, inputs)
    exact = np.asarray(
        jax.jacfwd(lambda column: cell.rhs(column[:, None], {k: v[:, :1] for k, v in inputs.items()})[:, 0])(y[:, 0])
    )
    for block, name in enumerate(("concentration_ne", "concentration_pe")):
        part = exact[cell.rows[name], cell.rows[name]]
        np.testing.assert_allclose(np.asarray(matrix.upper)[:-1, block, 0], np.diag(part, 1), rtol=1e-9)
        inner = np.diag(part)[:-2]  # the surface flux, left explicit, depends on the two outermost points
        np.testing.assert_allclose(np.asarray(matrix.diagonal)[:-2, block, 0], inner, rtol=1e-6)
    flow = jax.jvp(lambda state: total_lithium(cell, state), (y,), (matrix.plated_column,))[1]
    scale = abs(float(matrix.plated_column[cell.rows["plated"]][0, 0])) * cell.negative.volume
    assert np.abs(np.asarray(flow)).max() < 1e-9 * scale * 1000.0


def test_lithium_is_conserved_to_rounding_over_two_noisy_days():
    cell = fitted_cell()
    slow = aged(cell, [0.05, 0.15, 0.25], [0.05, 0.1, 0.2])
    steps = 2 * 96
    profile = Profile(
        jnp.asarray(noisy_power(steps, 3, 6.0)), jnp.full((steps, 3), 273.15) + jnp.asarray([[0.0, 25.0, 45.0]])
    )
    inputs = inputs_of(cell, 3)
    window = electrode_window(cell, slow, inputs)
    y = lift_at(cell, slow, 0.5)
    end = run_profile(cell, Limits(), Substeps().lengths(900.0), y, inputs, window, profile).end
    assert np.isfinite(np.asarray(end)).all()
    lost = np.asarray(cell.physical(end, "sei") - cell.physical(y, "sei")) * cell.negative.volume
    drift = np.asarray(total_lithium(cell, end) / total_lithium(cell, y) - 1.0)
    assert (lost > 0).all()
    assert np.abs(drift).max() < 1e-12


def test_fixed_steps_converge_with_second_order():
    cell = fitted_cell()
    inputs = {**inputs_of(cell, 1), AMBIENT: jnp.full((1, 1), 298.15)}
    slow = aged(cell, [0.1], [0.1])

    @jax.jit
    def end(steps):
        def advance(k, y):
            current = 1.5 * jnp.sin(2 * jnp.pi * jnp.full((1, 1), k + 0.5) / steps)
            return extrapolated_step(
                cell, y, inputs, lambda s, _: hold_current(cell, s, inputs, current), 1200.0 / steps
            ).y

        return jax.lax.fori_loop(0, steps, advance, lift_at(cell, slow, 0.5))

    truth = end(8192)
    watched = [cell.rows[name] for name in ("concentration_ne", "concentration_pe", "sei")]
    errors = np.array([max(np.abs((end(n) - truth)[rows]).max() for rows in watched) for n in (256, 512, 1024)])
    order = np.log2(errors[:-1] / errors[1:])
    assert (np.abs(order - 2.0) < 0.3).all(), order


def test_agreement_with_idaklu():
    """Four hours of one-minute load on an aged cell, twelve time steps a minute: each state against PyBaMM at 1e-8.

    Tolerances are shares of each state's change: 1e-6 for SEI, 1e-4 for plated and dead lithium, 2e-2 for crack
    growth and loss of negative active material, 3e-3 of positive: these are steep powers of the gradient just after
    a load jump. Concentrations within 1e-4 of
    the maximum, voltage within 1 mV rms, temperature within 0.01 K.
    """
    cell, chemistry = fitted_cell(), fitted_chemistry()
    steps, load_step = 4 * 60, 60.0
    slow = aged(cell, [0.15], [0.12])
    y = lift_at(cell, slow, 0.5, 303.15)
    power, ambient = noisy_power(steps, 1, 5.0, seed=4), np.full((steps, 1), 303.15)
    inputs = inputs_of(cell, 1)
    window = electrode_window(cell, slow, inputs)
    lengths = Substeps(count=12, growth=1.4).lengths(load_step)
    mine = run_profile(cell, WIDE, lengths, y, inputs, window, Profile(jnp.asarray(power), jnp.asarray(ambient)))
    truth = reference_run(chemistry, np.asarray(y)[:, 0], power[:, 0], ambient[:, 0], load_step)
    tolerance = {
        "sei": 1e-6,
        "plated": 1e-4,
        "dead": 1e-4,
        "crack_length": 2e-2,
        "active_fraction_ne": 2e-2,
        "active_fraction_pe": 3e-3,
        "lam_lithium_ne": 2e-2,
        "lam_lithium_pe": 3e-3,
        "charge_throughput": 1e-5,
    }
    for name, allowed in tolerance.items():
        rows = cell.rows[name]
        change = truth.states[name][-1] - np.asarray(y)[rows, 0]
        error = np.abs(np.asarray(mine.end)[rows, 0] - truth.states[name][-1]) / np.abs(change)
        assert error.max() < allowed, (name, error.max())
    for name in ("concentration_ne", "concentration_pe"):
        np.testing.assert_allclose(np.asarray(mine.end)[cell.rows[name], 0], truth.states[name][-1], atol=1e-4)
    voltage = np.asarray(mine.trace.voltage)[:, 0]
    assert np.sqrt(np.mean((voltage - truth.voltage) ** 2)) < 1e-3
    temperature = np.asarray(mine.trace.temperature)[:, 0]
    assert np.abs(temperature - truth.states["temperature"][:, 0] * cell.scale[cell.rows["temperature"]]).max() < 0.01


@pytest.mark.parametrize("soh_loss", [(0.45, 0.4), (0.38, 0.3), (0.3, 0.22), (0.2, 0.12)])
def test_cells_of_50_to_80_percent_run_a_day(soh_loss):
    cell = fitted_cell()
    slow = aged(cell, [soh_loss[0]], [soh_loss[1]])
    inputs = inputs_of(cell, 1)
    window = electrode_window(cell, slow, inputs)
    share = float(window.capacity[0, 0]) / cell.nominal_capacity
    assert 0.45 < share < 0.85
    profile = Profile(jnp.asarray(noisy_power(96, 1, 4.0)), jnp.full((96, 1), 298.15))
    course = run_profile(cell, Limits(), Substeps().lengths(900.0), lift_at(cell, slow, 0.5), inputs, window, profile)
    assert np.isfinite(np.asarray(course.end)).all()
    assert float(stoichiometry_at(window, jnp.ones((1, 1)))[0, 0]) < 1.0
