"""Derivatives of what a run ends with and of electrode windows, against finite differences."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import restrict
from fadecast.cell.health import check_up, electrode_window
from fadecast.cell.model import CONTACT_RESISTANCE, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile

from .cells import aged, fitted_cell, fitted_chemistry, inputs_of, lift_at, noisy_power
from .test_stepper import WIDE

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
