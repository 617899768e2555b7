"""Derivatives of what a run ends with and of electrode windows, against finite differences."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import Diagnosis, aged_state, lift, restrict
from fadecast.cell.health import (
    check_up,
    degradation,
    electrode_window,
    fresh_mid_stoichiometry,
    stoichiometry_at,
)
from fadecast.cell.model import CONTACT_RESISTANCE, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile

from .cells import WIDE, aged, fitted_cell, fitted_chemistry, inputs_of, lift_at, noisy_power

VARIED = (
    "SEI solvent diffusivity [m2.s-1]",
    "Negative electrode LAM constant proportional term [s-1]",
    CONTACT_RESISTANCE,
)
FACTORS = np.array([[0.8, 1.3], [1.1, 0.7], [1.0, 2.0]])
AGEING = ("sei", "dead", "crack_length", "active_fraction_ne")


@cache
def results():
    """Six hours of one-hour load and a check-up: results `(results, lanes)` over logarithms of the inputs' factors."""
    cell = build_cell(fitted_chemistry(), VARIED)
    lanes = FACTORS.shape[1]
    # PyBaMM's contact resistance is zero: a factor would change nothing.
    defaults = {**inputs_of(cell, lanes), CONTACT_RESISTANCE: jnp.full((1, lanes), 5e-3)}
    slow = aged(cell, [0.1] * lanes, [0.1] * lanes)
    profile = Profile(jnp.asarray(noisy_power(6, lanes, 5.0, seed=3)), jnp.full((6, lanes), 308.15))
    window = electrode_window(cell, slow, defaults)
    start = lift_at(cell, slow, 0.5, 308.15)

    def run(logs):
        inputs = {name: defaults[name] * jnp.exp(log)[None] for name, log in zip(VARIED, logs, strict=True)}
        stepping = Stepping(tolerance=None, nodes=3)
        end = run_profile(cell, WIDE, stepping, 3600.0, start, inputs, window, profile).end
        after = restrict(cell, end, slow.inventory)
        lost = [getattr(after, name) - getattr(slow, name) for name in AGEING]
        return jnp.concatenate([*check_up(cell, after, inputs), *lost])

    return jax.jit(run)


def states() -> np.ndarray:
    """Sizes of what the results were read from, `(results, lanes)`: they bound the rounding of a difference."""
    cell = build_cell(fitted_chemistry(), VARIED)
    lanes = FACTORS.shape[1]
    slow = aged(cell, [0.1] * lanes, [0.1] * lanes)
    return np.abs(np.concatenate([np.zeros((2, lanes)), *(np.asarray(getattr(slow, name)) for name in AGEING)]))


@pytest.mark.slow
def test_forward_derivatives_are_those_of_finite_differences():
    """Within 1e-5 of each derivative, apart from the rounding of the differences: of results, and of states."""
    run, logs = results(), jnp.log(jnp.asarray(FACTORS))
    value, size = np.abs(np.asarray(run(logs))), states()
    forward = jax.jit(lambda direction: jax.jvp(run, (logs,), (direction,))[1])
    own = {VARIED[0]: [0, 1, 2], VARIED[1]: [0, 5], CONTACT_RESISTANCE: [0, 1]}
    for index, name in enumerate(VARIED):
        direction = jnp.zeros_like(logs).at[index].set(1.0)
        step = 3e-3
        near, far = ((run(logs + h * direction) - run(logs - h * direction)) / (2 * h) for h in (step, 2 * step))
        difference, exact = np.asarray((4 * near - far) / 3), np.asarray(forward(direction))
        rounding = 1e-8 * value + 4.0 * np.finfo(float).eps * size / step
        assert (np.abs(difference - exact) <= 1e-5 * np.abs(exact) + rounding).all(), (name, exact, difference)
        np.testing.assert_allclose(exact[own[name]], difference[own[name]], rtol=1e-4)
        assert (np.abs(exact[own[name]]) > 0).all()


@pytest.mark.slow
def test_a_contact_resistance_adds_itself_and_its_heat():
    """At one temperature the pulse resistance rises by the contact's own; its heat makes the other parts smaller."""
    slopes = {}
    for thermal in ("isothermal", "lumped"):
        cell = build_cell(dataclasses.replace(fitted_chemistry(), thermal=thermal), (CONTACT_RESISTANCE,))
        slow = aged(cell, [0.1, 0.1], [0.1, 0.1])

        def resistance(contact, cell=cell, slow=slow):
            return check_up(cell, slow, {CONTACT_RESISTANCE: contact}).resistance

        contact = jnp.asarray([[5e-3, 1e-2]])
        slopes[thermal] = np.asarray(jax.jit(lambda c, r=resistance: jax.jvp(r, (c,), (jnp.ones_like(c),))[1])(contact))
    np.testing.assert_allclose(slopes["isothermal"], 1.0, rtol=1e-9)
    assert (slopes["lumped"] < 1.0).all()


def test_both_modes_differentiate_a_window_and_agree():
    cell = fitted_cell()
    slow = aged(cell, [0.1, 0.2], [0.1, 0.05])
    inputs = inputs_of(cell, 2)

    def total(sei, fraction):
        return electrode_window(cell, slow._replace(sei=sei, active_fraction_ne=fraction), inputs).capacity.sum()

    at = slow.sei, slow.active_fraction_ne
    reverse = jax.jit(jax.grad(total, argnums=(0, 1)))(*at)
    function = jax.jit(total)
    forward = jax.jit(lambda *along: jax.jvp(total, at, along)[1])
    for which, lane in ((0, 0), (0, 1), (1, 0), (1, 1)):
        unit = [jnp.zeros((1, 2)), jnp.zeros((1, 2))]
        unit[which] = unit[which].at[0, lane].set(1.0)
        h = 1e-6 * float(at[which][0, lane])
        up, down = (float(function(*(a + sign * h * u for a, u in zip(at, unit, strict=True)))) for sign in (1.0, -1.0))
        exact = float(reverse[which][0, lane])
        np.testing.assert_allclose(float(forward(*unit)), exact, rtol=1e-9)
        np.testing.assert_allclose((up - down) / (2 * h), exact, rtol=1e-5)


# Two ageing rates, kinetics, heat transfer, a resistance and a part of the initial state.
KINDS = (
    "SEI solvent diffusivity [m2.s-1]",
    "Negative electrode LAM constant proportional term [s-1]",
    "Lithium plating kinetic rate constant [m.s-1]",
    "Total heat transfer coefficient [W.m-2.K-1]",
    CONTACT_RESISTANCE,
    "Initial SEI thickness [m]",
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_both_modes_differentiate_a_run_and_its_check_up_as_differences_do():
    """Six hours of one-hour load from an aged start: capacity, resistance, LLI and LAM over six kinds of parameter."""
    cell = build_cell(fitted_chemistry(), KINDS)
    factors = np.array([0.8, 1.3])
    # PyBaMM's contact resistance is zero: a factor would change nothing.
    defaults = {**inputs_of(cell, 2), CONTACT_RESISTANCE: jnp.full((1, 2), 5e-3)}
    middle, tenth = fresh_mid_stoichiometry(cell), jnp.full((1, 2), 0.1)
    window = electrode_window(cell, aged(cell, [0.1] * 2, [0.1] * 2), defaults)
    profile = Profile(jnp.asarray(noisy_power(6, 2, 5.0, seed=3)), jnp.full((6, 2), 308.15))

    def results(logs):
        inputs = {name: defaults[name] * jnp.exp(log)[None] for name, log in zip(KINDS, logs, strict=True)}
        slow = aged_state(cell, Diagnosis(tenth, tenth, tenth, tenth, 2e-7 * tenth), middle, inputs)
        start = lift(cell, slow, stoichiometry_at(window, 5.0 * tenth), jnp.full((1, 2), 308.15), inputs)
        stepping = Stepping(tolerance=None, nodes=3)
        end = run_profile(cell, WIDE, stepping, 3600.0, start, inputs, window, profile).end
        after = restrict(cell, end, slow.inventory)
        return jnp.concatenate([*check_up(cell, after, inputs), *degradation(cell, after)])

    def all_reverse(logs):
        value, pull = jax.vjp(results, logs)
        units = jnp.broadcast_to(jnp.eye(len(value))[:, :, None], (len(value), *value.shape))
        return value, jax.vmap(lambda unit: pull(unit)[0])(units)

    logs = jnp.log(jnp.asarray(np.tile(factors, (len(KINDS), 1))))
    value, reverse = (np.asarray(part) for part in jax.jit(all_reverse)(logs))
    forward_along = jax.jit(lambda unit: jax.jvp(results, (logs,), (unit,)))
    run, step = jax.jit(results), 3e-4
    for index, name in enumerate(KINDS):
        unit = jnp.zeros_like(logs).at[index].set(1.0)
        same, forward = (np.asarray(part) for part in forward_along(unit))
        np.testing.assert_allclose(value, same, rtol=1e-13, err_msg=name)
        # Losses are small differences of numbers near one.
        rounding = 1e-13 * np.abs(reverse).max()
        np.testing.assert_allclose(reverse[:, index], forward, rtol=1e-9, atol=rounding, err_msg=name)
        assert (np.abs(forward[:2]) > 0).all(), name
        # A warm lane is close to where its heat would run away: differences must be as small as rounding lets them.
        near, far = ((run(logs + h * unit) - run(logs - h * unit)) / (2 * h) for h in (step, 2 * step))
        np.testing.assert_allclose(forward, (4 * near - far) / 3, rtol=1e-4, atol=1e-10, err_msg=name)
