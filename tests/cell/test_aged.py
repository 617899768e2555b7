"""Aged cells: the slow state, electrode windows against PyBaMM, and a check-up against PyBaMM."""

import jax.numpy as jnp
import numpy as np
import pybamm
import pytest

from fadecast.cell.aged import SlowState, fresh_state, held_lithium, lift, restrict, total_lithium
from fadecast.cell.balance import FARADAY
from fadecast.cell.control import Limits
from fadecast.cell.health import window_met
from fadecast.cell.model import AMBIENT, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile

from .cells import aged, electrode_window, fitted_cell, inputs_of, lift_at, noisy_power

LLI, LAM = [0.0, 0.05, 0.1, 0.2, 0.3], [0.0, 0.05, 0.1, 0.15, 0.2]


def test_lifting_and_restricting_gives_the_slow_state_back():
    cell = fitted_cell()
    slow = aged(cell, LLI, LAM)
    y = lift(cell, slow, jnp.full((1, 5), 0.4), jnp.full((1, 5), 300.0))
    back = restrict(cell, y, slow.inventory)
    for field in SlowState._fields:
        np.testing.assert_allclose(np.asarray(getattr(back, field)), np.asarray(getattr(slow, field)), rtol=1e-13)
    np.testing.assert_allclose(np.asarray(total_lithium(cell, y)), np.asarray(slow.inventory), rtol=1e-14)


def test_lithium_that_is_lost_is_somewhere():
    cell = fitted_cell()
    slow, fresh = aged(cell, LLI, LAM), fresh_state(cell, 5)
    cyclable = np.asarray(slow.inventory - held_lithium(cell, slow))[0]
    np.testing.assert_allclose(cyclable, (1.0 - np.array(LLI)) * cell.fresh_lithium, rtol=1e-13)
    np.testing.assert_allclose(np.asarray(slow.active_fraction_ne / fresh.active_fraction_ne)[0], 1 - np.array(LAM))
    assert (np.asarray(slow.sei) >= np.asarray(fresh.sei)).all()


def test_windows_are_those_of_pybamms_electrode_soh_solver():
    cell = fitted_cell()
    slow = aged(cell, LLI, LAM)
    window = electrode_window(cell, slow, inputs_of(cell, 5))
    solver = pybamm.lithium_ion.ElectrodeSOHSolver(pybamm.ParameterValues("OKane2022"))
    for lane, (lli, lam) in enumerate(zip(LLI, LAM, strict=True)):
        to_ah = FARADAY / 3600.0
        truth = solver.solve(
            {
                "Q_n": cell.negative.capacity * to_ah * (1 - lam),
                "Q_p": cell.positive.capacity * to_ah * (1 - lam),
                "Q_Li": cell.fresh_lithium * to_ah * (1 - lli),
            }
        )
        mine = [float(value[0, lane]) for value in window[:3]]
        assert mine == pytest.approx([truth["x_0"], truth["x_100"], truth["Q"]], rel=1e-6)
    assert np.asarray(window_met(cell, slow, inputs_of(cell, 5), window)).all()


def test_an_impossible_cell_does_not_meet_its_window():
    cell = fitted_cell()
    slow = aged(cell, [0.995], [0.0])
    inputs = inputs_of(cell, 1)
    assert not np.asarray(window_met(cell, slow, inputs, electrode_window(cell, slow, inputs))).any()


def test_a_full_state_saved_and_loaded_goes_on_as_if_nothing_happened():
    cell = fitted_cell()
    slow = aged(cell, [0.1], [0.1])
    inputs = inputs_of(cell, 1)
    window = electrode_window(cell, slow, inputs)
    steps = Stepping(tolerance=None)
    power, ambient = jnp.asarray(noisy_power(48, 1, 4.0)), jnp.full((48, 1), 298.15)

    def run(y, part):
        return run_profile(cell, Limits(), steps, 900.0, y, inputs, window, Profile(power[part], ambient[part])).end

    start = lift_at(cell, slow, 0.5)
    whole = run(start, slice(0, 48))
    again = run(jnp.asarray(np.asarray(run(start, slice(0, 24)))), slice(24, 48))
    np.testing.assert_allclose(np.asarray(again), np.asarray(whole), rtol=1e-13, atol=1e-15)


def test_history_matters_a_thick_film_grows_slowly():
    """Sixty days of rest: a thin film takes far more lithium than a thick one under diffusion-limited growth."""
    cell = fitted_cell()
    thin = fresh_state(cell, 1)
    thick = aged(cell, [0.12], [0.0])
    lost = []
    for slow in (thin, thick):
        inputs = inputs_of(cell, 1)
        window = electrode_window(cell, slow, inputs)
        profile = Profile(jnp.zeros((60 * 48, 1)), jnp.full((60 * 48, 1), 298.15))
        end = run_profile(cell, Limits(), Stepping(), 1800.0, lift_at(cell, slow, 0.5), inputs, window, profile).end
        lost.append(float((cell.physical(end, "sei") - slow.sei)[0, 0]))
    assert lost[0] > 3 * lost[1] > 0


def test_the_law_of_sei_is_a_choice_that_matters():
    rates = []
    for law in ("solvent-diffusion limited", "reaction limited"):
        cell = build_cell(Chemistry(sei=law))
        y = jnp.asarray(cell.initial_state)[:, None]
        inputs = {AMBIENT: jnp.full((1, 1), 298.15), "Current function [A]": jnp.zeros((1, 1))}
        rates.append(float(cell.rhs(y, inputs)[cell.rows["sei"]][0, 0]))
    assert rates[0] > 0
    assert rates[1] > 0
    assert rates[0] != pytest.approx(rates[1])
