"""Leap against direct, and the macro loop: conservation, tolerance, failures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cell.cells import aged_state, check_up, electrode_window
from fadecast.cell.aged import (
    Diagnosis,
    SlowState,
    held_lithium,
    lift,
    restrict,
    total_lithium,
)
from fadecast.cell.control import Limits
from fadecast.cell.extremes import Extremes
from fadecast.cell.health import CLOSED, fresh_mid_stoichiometry, stoichiometry_at
from fadecast.cell.model import Chemistry, build_cell
from fadecast.cell.profile import Stepping
from fadecast.decades.direct import direct
from fadecast.decades.leap import leap, march
from fadecast.decades.macro import Evaluated, Leap, Macro
from fadecast.decades.service import KELVIN, Operation, Service
from fadecast.decades.typical_days import choose_typical_days
from fadecast.decades.years import day_batch
from fadecast.outcome import Outcome
from fadecast.population.evidence import single_fits

from .test_typical_days import year

LANES, SPIN_UP = 4, 4
EXTREMES = Extremes(*np.array([[300.0], [2.5], [0.9], [0.2]]) * np.ones(LANES))
SEI = "SEI solvent diffusivity [m2.s-1]"


@pytest.fixture(scope="module")
def operation():
    chemistry = Chemistry(parameters={rate.name: rate.value for rate in single_fits() if rate.name != SEI})
    return Operation(build_cell(chemistry, (SEI,)), Limits(), Stepping(), 3600.0)


@pytest.fixture(scope="module")
def start(operation):
    lli, lam = jnp.linspace(0.1, 0.25, LANES)[None], jnp.linspace(0.05, 0.2, LANES)[None]
    diagnosis = Diagnosis(lli, lam, lam, jnp.full((1, LANES), 0.1), jnp.full((1, LANES), 2e-8))
    return aged_state(operation.cell, diagnosis, fresh_mid_stoichiometry(operation.cell))


def inputs(multiplier: float = 1.0) -> dict:
    value = next(rate.value for rate in single_fits() if rate.name == SEI)
    return {SEI: jnp.full((1, LANES), multiplier * value)}


def batch(operation, duty, count=10):
    return day_batch([choose_typical_days(duty, count, SPIN_UP)] * LANES, operation.cell, count + 2)


def soh(operation, slow, rates):
    return np.asarray(check_up(operation.cell, slow, rates).capacity)[0] / operation.cell.nominal_capacity


def last(service) -> SlowState:
    return SlowState(*(jnp.asarray(value[-1]) for value in service.slow))


def test_leap_agrees_with_direct_after_30_days(operation, start):
    """SOH within 0.01 percentage points, a twelfth of what is lost; throughput within 10 %."""
    duty, times = year(days=30), np.array([0.0, 30.0])
    tile = lambda values: jnp.asarray(np.repeat(values[..., None], LANES, axis=-1))  # noqa: E731
    leapt = leap(operation, Leap(), start, inputs(), batch(operation, duty), SPIN_UP, times)
    charge = jnp.full((1, LANES), duty.state_of_charge[0, 0])
    power, ambient = tile(duty.power * operation.cell.nameplate_energy), tile(duty.ambient + KELVIN)
    truth = direct(operation, start, inputs(), charge, power, ambient, times)
    before, mine, theirs = (
        soh(operation, slow, inputs()) for slow in (start, last(leapt.service), last(truth.service))
    )
    assert (before - theirs > 0.001).all()
    assert np.abs(mine - theirs).max() < 1e-4
    np.testing.assert_allclose(leapt.service.throughput[-1], truth.service.throughput[-1], rtol=0.1)
    assert leapt.cell_days != truth.cell_days == 30 * LANES


def test_decades_conserve_lithium_and_a_tighter_tolerance_changes_little(operation, start):
    times = np.linspace(0.0, 3650.0, 6)
    days = batch(operation, year(), count=3)
    histories = [leap(operation, Leap(tolerance=t), start, inputs(), days, SPIN_UP, times) for t in (5e-3, 1e-5)]
    for history in histories:
        slow = history.service.slow
        assert (history.outcome == Outcome.COMPLETED).all()
        cyclable = slow.inventory - held_lithium(operation.cell, slow)
        assert (np.diff(cyclable, axis=0) < 0).all()
        np.testing.assert_allclose(slow.inventory[-1], np.asarray(start.inventory), rtol=1e-14)
        assert_lifts_keep_lithium(operation, slow)
    coarse, fine = (soh(operation, last(h.service), inputs()) for h in histories)
    assert np.abs(coarse - fine).max() < 1e-3
    assert histories[0].cell_days < histories[1].cell_days
    for history in histories:
        assert (history.macro_steps[0], history.macro_steps[-1]) == (0.0, 3650.0)
        assert (np.diff(history.macro_steps) > 0.0).all()


def assert_lifts_keep_lithium(operation, slow):
    """Every state of a history: all lithium is in the full state, empty or full, and the slow state is read back."""
    for row in zip(*slow, strict=True):
        state = SlowState(*map(jnp.asarray, row))
        window = electrode_window(operation.cell, state, inputs())
        for charge in (0.05, 0.5, 0.95):
            at = stoichiometry_at(window, jnp.full((1, LANES), charge))
            y = lift(operation.cell, state, at, jnp.full((1, LANES), 290.0), inputs())
            np.testing.assert_allclose(total_lithium(operation.cell, y), state.inventory, rtol=1e-14)
            for mine, theirs in zip(restrict(operation.cell, y, state.inventory), state, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-13)


def test_a_march_of_given_steps_converges_to_a_leap_at_second_order(operation, start):
    """Two years: dead lithium, which grows fastest, at order 2; 32 steps within 1e-3 of each change of a fine leap."""
    days, service = batch(operation, year(), count=3), np.array([0.0, 730.0])

    def changes(slow):
        names = ("dead", "sei", "crack_length", "active_fraction_ne", "active_fraction_pe", "lam_lithium_ne")
        return np.concatenate([np.asarray(getattr(slow, name)) - np.asarray(getattr(start, name)) for name in names])

    marched = []
    for steps in (8, 16, 32):
        rows = march(operation, start, inputs(), days, SPIN_UP, np.linspace(*service, steps + 1))
        assert rows.sei.shape == (steps + 1, 1, LANES)
        np.testing.assert_array_equal(rows.sei[0], start.sei)
        marched.append(changes(SlowState(*(value[-1] for value in rows))))
    order = np.log2(np.abs((marched[0][0] - marched[1][0]) / (marched[1][0] - marched[2][0])))
    assert (np.abs(order - 2.0) < 0.3).all()
    leapt = leap(operation, Leap(tolerance=5e-8), start, inputs(), days, SPIN_UP, service)
    np.testing.assert_allclose(marched[2], changes(last(leapt.service)), rtol=1e-3)


def test_faster_sei_hotter_days_and_harder_duty_lose_more(operation, start):
    times = np.array([0.0, 730.0])
    duty = year()
    hot = duty.__class__(duty.power, duty.ambient + 15.0, duty.state_of_charge)
    hard = duty.__class__(2.0 * duty.power, duty.ambient, duty.state_of_charge)
    final = {
        name: soh(
            operation,
            last(leap(operation, Leap(), start, rates, batch(operation, d, 3), SPIN_UP, times).service),
            rates,
        )
        for name, d, rates in (
            ("base", duty, inputs()),
            ("sei", duty, inputs(3.0)),
            ("hot", hot, inputs()),
            ("hard", hard, inputs()),
        )
    }
    for name in ("sei", "hot", "hard"):
        assert (final[name] < final["base"]).all(), name


def test_a_lane_that_fails_is_frozen_and_leaves_the_others_unchanged(operation, start):
    """Others of its tile share its time steps, so they may differ by a share of the tolerance of 0.03, and no more."""
    times = np.array([0.0, 100.0, 200.0])
    days = batch(operation, year(), count=3)
    sick = inputs()[SEI].at[0, 1].set(np.nan)
    sound = leap(operation, Leap(), start, inputs(), days, SPIN_UP, times, np.array([0, 1, 0, 0]))
    broken = leap(operation, Leap(), start, {SEI: sick}, days, SPIN_UP, times)
    assert broken.outcome.tolist() == [0, Outcome.NOT_FINITE, 0, 0]
    assert broken.last_good[1] == -np.inf
    for mine, theirs in zip(broken.service.slow, sound.service.slow, strict=True):
        np.testing.assert_allclose(mine[..., [0, 2, 3]], theirs[..., [0, 2, 3]], rtol=1e-3)


def test_a_worn_out_pack_is_taken_out_of_service_at_a_resolved_time(operation):
    worn = jnp.linspace(0.25, 0.6, LANES)[None]
    diagnosis = Diagnosis(worn, 0.8 * worn, 0.8 * worn, jnp.full((1, LANES), 0.1), jnp.full((1, LANES), 2e-8))
    slow = aged_state(operation.cell, diagnosis, fresh_mid_stoichiometry(operation.cell))
    history = leap(
        operation, Leap(), slow, inputs(30.0), batch(operation, year(), 3), SPIN_UP, np.array([0.0, 1825.0, 3650.0])
    )
    assert (history.outcome[1:] == Outcome.CAPACITY_EXHAUSTED).any()
    ended = history.outcome == Outcome.CAPACITY_EXHAUSTED
    assert (history.last_good[ended] < 3650.0).all()
    assert np.isinf(history.last_good[~ended]).all()


class _Breaking:
    """Days that end the first lane at the predicted state, and are not a number for it at the corrected one."""

    cell_days = 1.0

    def __init__(self, operation: Operation, start: SlowState, rates: dict) -> None:
        self.operation, self.calls = operation, 0
        self.window = jax.tree.map(np.asarray, electrode_window(operation.cell, start, rates))
        still = Service.start(jax.tree.map(jnp.zeros_like, start))
        self.still = jax.tree.map(np.asarray, still)

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        self.calls += 1
        rate, porosity = self.still, np.full_like(self.window.capacity, 0.2)
        if self.calls > 1 and self.calls % 2 == 0:
            porosity[:, 0] = 0.01
        elif self.calls > 1:
            broken = rate.throughput.copy()
            broken[:, 0] = np.nan
            rate = rate._replace(throughput=broken)
        return Evaluated(rate, EXTREMES, self.window._replace(porosity=porosity), site=None)

    def deviation(self, one: SlowState, other: SlowState) -> np.ndarray:
        return np.zeros(LANES)


def test_a_state_that_breaks_beyond_an_end_of_life_is_not_gone_on_with(operation, start):
    """The two evaluations of a step tell different ends; the worse of the two alone would hide that one is broken."""
    days = _Breaking(operation, start, inputs())
    macro = Macro(days, Leap(first_step_days=20.0), np.zeros(LANES, np.int8), np.ones(LANES, dtype=bool))
    history = macro.run(Service.start(start), np.array([0.0, 50.0]))
    assert history.outcome.tolist() == [Outcome.PORES_CLOSED, 0, 0, 0]
    assert history.last_good.tolist() == [0.0, np.inf, np.inf, np.inf]
    assert all(np.isfinite(value).all() for value in jax.tree.leaves(history.service))


class _Closing(_Breaking):
    """Days that only close pores, each lane's by a power of time."""

    ends = np.array([400.0, 1500.0, 1507.0, 3000.0])

    def __init__(self, operation: Operation, start: SlowState, rates: dict, power: float) -> None:
        super().__init__(operation, start, rates)
        self.power = power
        self.still = self.still._replace(throughput=np.ones_like(self.still.throughput))

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        self.calls += 1
        porosity = 0.2 - (0.2 - CLOSED) * (np.asarray(state.throughput) / self.ends) ** self.power
        return Evaluated(self.still, EXTREMES, self.window._replace(porosity=porosity), site=None)


@pytest.mark.parametrize("power", [1.0, 0.5, 3.0])
def test_ends_are_come_to_without_groping_for_them(operation, start, power):
    """The pace of closing tells how far an end is, and steps after it are as long as before; groping takes 109."""
    days = _Closing(operation, start, inputs(), power)
    macro = Macro(days, Leap(), np.zeros(LANES, np.int8), np.ones(LANES, dtype=bool))
    history = macro.run(Service.start(start), np.array([0.0, 3650.0]))
    assert history.outcome.tolist() == [Outcome.PORES_CLOSED] * LANES
    np.testing.assert_allclose(history.last_good, days.ends, atol=0.1)
    steps, ends = np.diff(history.macro_steps), history.macro_steps[1:]
    assert max(steps[np.searchsorted(ends, end)] for end in days.ends) <= 10.0
    assert days.calls <= 40
