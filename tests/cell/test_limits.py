"""Limits hold and energy closes whatever is asked, of whatever cell.

Impossible powers, -25 to 60 degC, empty and full, fresh and aged.

One compiled program follows one load step of a batch of lanes; an example is a whole batch.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.cell.aged import Diagnosis, aged_state, lift
from fadecast.cell.control import KELVIN, Limits, Window, derated, state_of_charge
from fadecast.cell.health import fresh_mid_stoichiometry, stoichiometry_at
from fadecast.cell.model import AMBIENT, CURRENT
from fadecast.cell.profile import Profile, Stepping, Totals, run_profile
from fadecast.decades.service import Operation, day_change, judge
from fadecast.outcome import Outcome

from .cells import electrode_window, fitted_cell, inputs_of, noisy_power

LANES, LOAD_STEP = 64, 900.0
USUAL = Limits()
# How far a limit may be passed: voltage [V] and current [A], which is what the default tolerance allows, and state of
# charge [1].
VOLTAGE, CURRENTS, CHARGE = 0.01, 0.01, 5e-4
BARE = Limits(charge_c_rate=10.0, discharge_c_rate=10.0, charge_derating=(), discharge_derating=())


class After(NamedTuple):
    """A batch after one load step; arrays `(1, lanes)` but for the state."""

    y: jax.Array
    voltage: jax.Array
    """By the model itself."""
    current: jax.Array
    celsius: jax.Array
    soc: jax.Array
    totals: Totals


@cache
def beginning():
    """Return a compiled function that starts aged cells at states of charge and temperatures."""
    cell = fitted_cell()
    middle = fresh_mid_stoichiometry(cell)

    @jax.jit
    def start(lli, lam, soc, celsius):
        none = jnp.zeros_like(lli)
        slow = aged_state(cell, Diagnosis(lli, lam, lam, none + 0.1, none + 2e-8), middle)
        window = electrode_window(cell, slow, inputs_of(cell, LANES))
        return slow, window, lift(cell, slow, stoichiometry_at(window, soc), celsius + KELVIN)

    return start


@cache
def load_step(limits: Limits):
    """Return a compiled function that asks a batch for a power [W] in an ambient [degC] for one load step."""
    cell, inputs = fitted_cell(), inputs_of(fitted_cell(), LANES)

    @jax.jit
    def follow(y: jax.Array, window: Window, power: jax.Array, ambient: jax.Array) -> After:
        profile = Profile(power, ambient + KELVIN)
        course = run_profile(cell, limits, Stepping(), LOAD_STEP, y, inputs, window, profile)
        current = course.trace.current
        here = {**inputs, AMBIENT: ambient + KELVIN, CURRENT: current}
        celsius = cell.physical(course.end, "temperature") - KELVIN
        soc = state_of_charge(cell, course.end, window)
        return After(course.end, cell.voltage(course.end, here), current, celsius, soc, course.totals)

    return follow


def ask(seed: int, lli: float, soc: float, celsius: float, c_rate: float, steps: int) -> list[str]:
    """Ask a batch for random powers, drawn extremes in its first half; return what was not kept, in words."""
    cell, rng = fitted_cell(), np.random.default_rng(seed)
    drawn = np.arange(LANES) < LANES // 2
    losses = np.where(drawn, lli, rng.uniform(0.0, 0.45, LANES))[None]
    charge = np.where(drawn, soc, rng.choice([0.0, 0.05, 0.5, 0.95, 1.0], LANES))[None]
    ambient = np.where(drawn, celsius, rng.uniform(-25.0, 60.0, LANES))[None]
    largest = np.where(drawn, c_rate, 10 ** rng.uniform(-2.0, 1.7, LANES)) * cell.nameplate_energy
    _, window, y = beginning()(losses, losses * rng.uniform(0.6, 1.0, (1, LANES)), charge, ambient)
    broken = []
    for _ in range(steps):
        # Every other pair of lanes is asked for all of it, on and off, the others for anything up to it.
        shares = np.where(np.arange(LANES) % 2, rng.uniform(-1.0, 1.0, LANES), rng.choice([-1.0, 0.0, 1.0], LANES))
        power = jnp.asarray((shares * largest)[None])
        after = load_step(USUAL)(y, window, power, ambient)
        broken += not_kept(USUAL, charge, np.asarray(power), after)
        y, charge = after.y, np.asarray(after.soc)
    return broken


def not_kept(limits: Limits, charge_before: np.ndarray, power: np.ndarray, after: After) -> list[str]:
    """Say which limits a load step did not keep, and whether its energy does not close."""
    cell = fitted_cell()
    lower, upper = cell.voltage_limits
    current, voltage, soc = (np.asarray(each) for each in (after.current, after.voltage, after.soc))
    demanded, delivered, unserved, spilled, *_ = (np.asarray(each) for each in after.totals)
    most = [
        rate * cell.nominal_capacity * np.asarray(derated(points, after.celsius))
        for rate, points in (
            (limits.charge_c_rate, limits.charge_derating),
            (limits.discharge_c_rate, limits.discharge_derating),
        )
    ]
    imbalance = np.abs(demanded - delivered - unserved + spilled) - 1e-12 * np.abs(demanded)
    excess = {
        "a number": np.where(np.isfinite(np.asarray(after.y)).all(axis=0), 0.0, np.inf),
        "upper voltage": np.where(current < 0, voltage - upper, 0.0) - VOLTAGE,
        "lower voltage": np.where(current > 0, lower - voltage, 0.0) - VOLTAGE,
        "charging current": -current - most[0] - CURRENTS,
        "discharging current": current - most[1] - CURRENTS,
        "highest charge": soc - np.maximum(charge_before, limits.soc_max) - CHARGE,
        "lowest charge": np.minimum(charge_before, limits.soc_min) - soc - CHARGE,
        "energy": imbalance,
        "no more than asked": np.abs(delivered) - np.abs(demanded) * (1.0 + 1e-12),
        "the way asked": -delivered * np.sign(demanded),
        "nothing unserved or spilled below zero": -np.minimum(unserved, spilled),
        "nothing unserved when charging": np.where(demanded <= 0, unserved, 0.0),
        "nothing spilled when discharging": np.where(demanded >= 0, spilled, 0.0),
    }
    return [f"{name} by {np.max(by):.2e}" for name, by in excess.items() if not (by <= 0.0).all()]


def started(soc: float, celsius: float) -> tuple[Window, jax.Array, jax.Array]:
    """Cells of 78 % of their lithium at a state of charge: their window, their state and the ambient [degC]."""
    ambient = jnp.full((1, LANES), celsius)
    loss = jnp.full((1, LANES), 0.22)
    _, window, y = beginning()(loss, 0.9 * loss, jnp.full((1, LANES), soc), ambient)
    return window, y, ambient


def test_nothing_is_unserved_where_no_limit_binds():
    """Not even what Newton's method or rounding leaves."""
    window, y, ambient = started(0.5, 25.0)
    for power in noisy_power(8, LANES, 3.0):
        after = load_step(USUAL)(y, window, jnp.asarray(power[None]), ambient)
        assert (np.asarray(after.totals.unserved) == 0.0).all()
        assert (np.asarray(after.totals.spilled) == 0.0).all()
        np.testing.assert_allclose(np.asarray(after.totals.delivered)[0], power / 4.0, rtol=1e-14)
        np.testing.assert_allclose(np.asarray(after.current * after.voltage)[0], power, rtol=1e-4)
        y = after.y


def test_plated_lithium_counts_as_charge():
    """It goes into the particles by itself: a limit of charge that leaves it out is passed without any current."""
    cell, full = fitted_cell(), USUAL.soc_max
    window, y, ambient = started(full, 15.0)
    plated = jnp.full((1, LANES), 200.0)
    emptier = cell.physical(y, "concentration_ne") - plated / cell.physical(y, "active_fraction_ne")
    y = y.at[cell.rows["plated"]].set(cell.scaled(plated, "plated"))
    y = y.at[cell.rows["concentration_ne"]].set(cell.scaled(emptier, "concentration_ne"))
    np.testing.assert_allclose(np.asarray(state_of_charge(cell, y, window)), full, atol=1e-12)
    for _ in range(4):
        after = load_step(USUAL)(y, window, jnp.full((1, LANES), -20.0), ambient)
        y = after.y
        assert (np.asarray(after.soc) < full + 1e-6).all()
    assert (np.asarray(cell.physical(y, "plated")) < 0.5 * 200.0).all()


@pytest.mark.parametrize("soc", [0.6, 0.95])
def test_a_cold_cell_asked_for_several_c_is_tapered(soc):
    """At -25 degC without derating: what a cell can give it gives, however much is asked."""
    cell = fitted_cell()
    window, y, ambient = started(soc, -25.0)
    c_rate = jnp.geomspace(0.5, 50.0, LANES)[None]
    after = load_step(BARE)(y, window, c_rate * cell.nameplate_energy, ambient)
    assert np.isfinite(np.asarray(after.y)).all()
    delivered, met = np.asarray(after.totals.delivered)[0], np.asarray(after.totals.unserved)[0] == 0.0
    np.testing.assert_array_equal(met, np.arange(LANES) < met.sum())
    assert 8 < met.sum() < 32
    assert (np.diff(delivered) > -1e-3 * delivered[-1]).all()
    assert (np.asarray(after.current) > 0.0).all()
    assert (np.asarray(after.voltage) > cell.voltage_limits[0] - VOLTAGE).all()


@pytest.mark.slow
def test_a_lane_that_breaks_down_has_its_outcome_code():
    """At -22 degC lithium plated before fills the surface of particles within a minute of discharging.

    Hours of charging in the cold plate as much as half an ampere-hour; the usual limits do not allow that. Time steps
    do not follow how such a surface fills up, and say so.
    """
    cell = fitted_cell()
    limits = Limits(charge_derating=(), discharge_derating=())
    operation = Operation(cell, limits, Stepping(), LOAD_STEP)
    ambient, loss = jnp.full((1, LANES), -22.0), jnp.full((1, LANES), 0.1)
    slow, window, y = beginning()(loss, 0.9 * loss, jnp.full((1, LANES), 0.7), ambient)
    plated = jnp.linspace(0.0, 3000.0, LANES)[None]
    y = y.at[cell.rows["plated"]].set(cell.scaled(plated, "plated"))
    profile = Profile(jnp.full((4, LANES), 0.7 * cell.nameplate_energy), (ambient + KELVIN).repeat(4, axis=0))
    course = jax.jit(operation.run)(y, inputs_of(cell, LANES), window, profile)
    change = jax.tree.map(np.asarray, day_change(operation, course, slow))
    codes = judge(cell, jax.tree.map(np.asarray, slow), jax.tree.map(np.asarray, window), change)
    broken = ~np.isfinite(np.asarray(course.end)).all(axis=0)
    assert 0 < broken.sum() < LANES // 2
    np.testing.assert_array_equal(codes, np.where(broken, Outcome.NOT_FINITE, Outcome.COMPLETED))


BATCHES = {
    "seed": st.integers(0, 2**32 - 1),
    "lli": st.floats(0.0, 0.45),
    "soc": st.sampled_from([0.0, 0.05, 0.06, 0.5, 0.94, 0.95, 1.0]),
    "celsius": st.floats(-25.0, 60.0),
    "c_rate": st.sampled_from([0.1, 1.0, 5.0, 50.0]),
}


@given(**BATCHES)
@settings(max_examples=8, deadline=None)
def test_limits_hold_and_energy_closes(seed, lli, soc, celsius, c_rate):
    assert not ask(seed, lli, soc, celsius, c_rate, steps=6)


@pytest.mark.slow
@given(**BATCHES)
@settings(max_examples=400, deadline=None)
def test_limits_hold_and_energy_closes_in_many_batches(seed, lli, soc, celsius, c_rate):
    assert not ask(seed, lli, soc, celsius, c_rate, steps=24)


@pytest.mark.parametrize(
    ("seed", "drawn"),
    [
        pytest.param(33, (0.0, 0.0, 0.0, 0.1), id="a worn cell drawn empty"),
        pytest.param(59, (0.0, 0.0, 0.0, 0.1), id="a charge that warms the cell"),
        pytest.param(0, (0.4375, 0.5, 0.0, 5.0), id="a worn cell asked for 5C"),
    ],
)
def test_a_limit_that_starts_to_bind_within_a_load_step_holds(seed, drawn):
    """The temperature and the surfaces that the nodes of one undivided time step predict are not those it comes to."""
    assert not ask(seed, *drawn, steps=12)
