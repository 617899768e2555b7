"""Cells that start aged: service goes on where it was cut, at any age, with PyBaMM's own model in agreement."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import SlowState, lift, restrict, total_lithium
from fadecast.cell.control import Limits
from fadecast.cell.health import degradation, window_met
from fadecast.cell.model import AMBIENT, CURRENT, Chemistry, build_cell, parameter_values
from fadecast.cell.profile import Profile, Stepping, Totals, run_profile
from fadecast.cell.reference import reference_run

from .cells import (
    LAM,
    LANES,
    LLI,
    aged,
    electrode_window,
    fitted_cell,
    fitted_chemistry,
    inputs_of,
    lift_at,
    noisy_power,
)

# Small enough time steps that their error, which is studied elsewhere, hides nothing here.
FINE = Stepping(nodes=6, tolerance=0.003)
DAYS, CUT, LOAD_STEP, KELVIN = 6, 3, 900.0, 298.15
AGEING = ("sei", "dead", "crack_length", "active_fraction_ne", "active_fraction_pe", "lam_lithium_ne", "lam_lithium_pe")


class Days(NamedTuple):
    """States of six cells at the end of each day, the first at the start, and what the days asked and got."""

    states: list[np.ndarray]
    totals: list[Totals]


@cache
def one_day():
    cell = fitted_cell()

    @jax.jit
    def run(y, slow, power):
        inputs = inputs_of(cell, LANES)
        window = electrode_window(cell, slow, inputs)
        profile = Profile(power, jnp.full_like(power, KELVIN))
        course = run_profile(cell, Limits(), FINE, LOAD_STEP, y, inputs, window, profile)
        return course.end, course.totals, window_met(cell, slow, inputs, window)

    return run


def power_of(day: int) -> np.ndarray:
    return noisy_power(96, LANES, 2.5, seed=day)


def follow(y: np.ndarray, inventory, first: int, last: int) -> Days:
    """Run some days; the windows of every morning must be met."""
    states, totals = [np.asarray(y)], []
    for day in range(first, last):
        slow = restrict(fitted_cell(), jnp.asarray(states[-1]), inventory)
        end, total, met = one_day()(states[-1], slow, jnp.asarray(power_of(day)))
        assert np.asarray(met).all()
        states.append(np.asarray(end))
        totals.append(jax.tree.map(np.asarray, total))
    return Days(states, totals)


@cache
def service() -> tuple[SlowState, Days]:
    slow = aged(fitted_cell(), LLI, LAM)
    return slow, follow(lift_at(fitted_cell(), slow, 0.5), slow.inventory, 0, DAYS)


def test_cells_down_to_half_their_capacity_run_days_and_keep_their_lithium():
    cell, (slow, days) = fitted_cell(), service()
    for state in days.states:
        assert np.isfinite(state).all()
        np.testing.assert_allclose(np.asarray(total_lithium(cell, state))[0], slow.inventory[0], rtol=1e-12)
    for total in days.totals:
        short = total.demanded - total.delivered
        np.testing.assert_allclose(short, total.unserved - total.spilled, atol=1e-5)
        # The 51 % cell meets its current limits now and then.
        assert np.abs(short[0, :5]).max() < 1e-5
        assert np.abs(short[0, 5]) < 1.0


def test_degradation_counts_from_the_first_life():
    """What service adds comes on top of what the cell had lost when it began, and only grows."""
    cell, (slow, days) = fitted_cell(), service()
    course = [degradation(cell, restrict(cell, jnp.asarray(state), slow.inventory)) for state in days.states]
    for field, first in zip(("lli", "lam_ne", "lam_pe"), (LLI, LAM, LAM), strict=True):
        values = np.stack([np.asarray(getattr(each, field))[0] for each in course])
        np.testing.assert_allclose(values[0], first, rtol=1e-11, atol=1e-13)
        assert (np.diff(values, axis=0) > 0).all()


def test_export_and_restart_continue_the_same_trajectory():
    """What a restart loses is profiles in the particles, plated lithium and heat, and of lithium nothing.

    Three days after, SEI differs by 2e-4 of its change in these days, cracks and material by 3e-3, dead lithium, which
    is made of the plated, by 1e-2; the profiles by 5e-4 of the maximum concentration, from up to 1e-2 at the restart.
    """
    cell, (slow, days) = fitted_cell(), service()
    cut = jnp.asarray(days.states[CUT])
    exported = SlowState(*(np.array(field) for field in restrict(cell, cut, slow.inventory)))
    stoichiometry = cell.mean_concentration(cut, "ne") / cell.negative.maximum_concentration
    again = lift(cell, SlowState(*map(jnp.asarray, exported)), stoichiometry, jnp.full((1, LANES), KELVIN))
    np.testing.assert_allclose(np.asarray(total_lithium(cell, again)), np.asarray(slow.inventory), rtol=1e-13)
    end = follow(np.asarray(again), slow.inventory, CUT, DAYS).states[-1]
    tolerance = {"sei": 2e-4, "dead": 1e-2}
    for name in AGEING:
        rows = cell.rows[name]
        change = days.states[DAYS][rows] - days.states[CUT][rows]
        error = np.abs((end - days.states[DAYS])[rows] / change).max()
        assert error < tolerance.get(name, 3e-3), (name, error)
    for name in ("concentration_ne", "concentration_pe"):
        rows = cell.rows[name]
        before, after = (np.abs(part[rows]).max() for part in (np.asarray(again - cut), end - days.states[DAYS]))
        assert after < 5e-4, (name, after)
        assert after < before < 1e-2, (name, before)


@pytest.mark.parametrize("lane", [0, 5])
def test_pybamms_own_model_goes_on_from_an_aged_state(lane):
    """A day from profiles, plated and dead lithium as service left them: within 2e-4 of each ageing state's change."""
    cell, (_, days) = fitted_cell(), service()
    start, end = days.states[1][:, lane], days.states[2][:, lane]
    truth = reference_run(fitted_chemistry(), start, power_of(1)[:, lane], np.full(96, KELVIN), LOAD_STEP)
    for name in AGEING:
        rows = cell.rows[name]
        error = np.abs((end[rows] - truth.states[name][-1]) / (truth.states[name][-1] - start[rows])).max()
        assert error < 2e-4, (name, error)
    for name in ("concentration_ne", "concentration_pe"):
        np.testing.assert_allclose(end[cell.rows[name]], truth.states[name][-1], atol=1e-5)


def test_films_of_an_aged_cell_follow_from_its_lithium_and_its_area():
    """PyBaMM makes thickness and porosity from amounts and the area at hand: nothing to reset, and pores may close."""
    thickness, porosity = "X-averaged negative SEI thickness [m]", "X-averaged negative electrode porosity"
    molar_volume = "SEI partial molar volume [m3.mol-1]"
    chemistry = Chemistry(sei_porosity_change="true", lithium_plating_porosity_change="true")
    values = parameter_values(chemistry.parameter_set)
    cell = build_cell(chemistry, (molar_volume,), outputs=(thickness, porosity))
    assert not any(name.startswith("porosity") for name in cell.rows)
    # The last two have lost no material: all their lithium is in films.
    lli, lam = [*LLI[:4], 0.15, 0.3], np.array([*LAM[:4], 0.0, 0.0])
    slow = aged(cell, lli, list(lam))
    kelvin = jnp.full((1, LANES), KELVIN)
    y = lift(cell, slow, jnp.full((1, LANES), 0.3), kelvin)
    inputs = {**inputs_of(cell, LANES), AMBIENT: kelvin, CURRENT: jnp.zeros((1, LANES))}
    found = cell.evaluate(y, inputs)
    fresh_area = 3.0 * cell.negative.active_fraction / values["Negative particle radius [m]"]
    area = fresh_area * (1.0 - lam)
    film = np.asarray(slow.sei)[0] * values[molar_volume]
    np.testing.assert_allclose(np.asarray(found[thickness])[0], film / area, rtol=1e-10)
    metal = np.asarray(slow.dead)[0] * values["Lithium metal partial molar volume [m3.mol-1]"] * (1.0 - lam)
    grown = film - area * values["Initial SEI thickness [m]"] + metal
    open_pores = np.asarray(found[porosity])[0]
    np.testing.assert_allclose(open_pores, values["Negative electrode porosity"] - grown, rtol=1e-9)
    assert (open_pores > 0).tolist() == [True, True, True, True, False, False]
    # A denser film leaves them open.
    denser = cell.evaluate(y, {**inputs, molar_volume: 0.25 * inputs[molar_volume]})[porosity]
    assert (np.asarray(denser) > 0).all()
