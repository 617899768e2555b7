"""Months of a repeated protocol by leaps, against every repeat, and against a day of rest of the years' engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cell.cells import electrode_window
from fadecast.calibration.laws import SEI_DIFFUSIVITY
from fadecast.cell.aged import SlowState, fresh_state, lift, restrict
from fadecast.cell.control import Held, Limits
from fadecast.cell.health import stoichiometry_at
from fadecast.cell.model import AMBIENT, Chemistry, build_cell
from fadecast.cell.parameters import LAM_RATE
from fadecast.cell.profile import Stepping
from fadecast.cell.protocol import Instruction, rest, run_protocol
from fadecast.decades.cycling import Regime, cycles_per_day, follow
from fadecast.decades.leap import DayBatch, march
from fadecast.decades.macro import Leap
from fadecast.decades.regimes import CyclingStep, repeat_of
from fadecast.decades.service import Operation

LANES, REPEATS = 2, 120
VARIED = (SEI_DIFFUSIVITY, *LAM_RATE.values())
ONES = jnp.ones((1, LANES))


@pytest.fixture(scope="module")
def operation():
    limits = Limits(soc_min=0.0, soc_max=1.0, charge_derating=(), discharge_derating=())
    return Operation(build_cell(Chemistry(), VARIED), limits, Stepping(), 3600.0)


def rates(operation, film, material):
    factors = dict.fromkeys(VARIED, material) | {SEI_DIFFUSIVITY: film}
    return {name: operation.cell.inputs[name] * jnp.asarray([factor]) for name, factor in factors.items()}


def last(history) -> SlowState:
    return jax.tree.map(lambda value: jnp.asarray(value[-1]), history.service.slow)


def protocol(capacity):
    charge = Instruction(Held.CURRENT, -1.5, duration=0.15 * capacity / 1.5 * 3600.0)
    return charge, Instruction(Held.CURRENT, 5.0, duration=0.15 * capacity / 5.0 * 3600.0), rest(1260.0)


def test_leaps_over_cycles_end_where_every_cycle_ends(operation):
    """Five days of cells that age some fifty times too fast: losses within 2 %."""
    cell = operation.cell
    inputs = rates(operation, [20.0, 60.0], [40.0, 80.0])
    slow, ambient = fresh_state(cell, LANES, inputs), 301.0 * ONES
    window = electrode_window(cell, slow, inputs)
    lab = {**inputs, AMBIENT: ambient}
    y = lift(cell, slow, stoichiometry_at(window, 0.7 * ONES), ambient, lab)
    steps = protocol(window.capacity)
    hours = 0.0
    for _ in range(REPEATS):
        y, record = run_protocol(cell, y, lab, steps)
        hours = hours + np.asarray(record.duration.sum(axis=0)) / 3600.0
    truth = restrict(cell, y, slow.inventory)
    regime = Regime(0.7 * ONES, ambient, lambda capacity: steps)
    days = float(hours[0]) / 24.0
    found = last(
        follow(operation, Leap(first_step_days=0.5, tolerance=1e-4), slow, inputs, regime, np.array([0.0, days]))
    )
    for name in ("sei", "active_fraction_ne", "active_fraction_pe"):
        before, theirs, ours = (np.asarray(getattr(each, name)) for each in (slow, truth, found))
        np.testing.assert_allclose(ours - before, theirs - before, rtol=0.02, err_msg=name)


@pytest.mark.slow
def test_storage_is_a_day_of_rest(operation):
    inputs = rates(operation, [20.0, 60.0], [1.0, 1.0])
    slow = fresh_state(operation.cell, LANES, inputs)
    ambient = jnp.array([[298.15, 318.15]])
    times = np.array([0.0, 60.0])
    regime = Regime(0.5 * ONES, ambient, lambda capacity: (rest(86400.0),))
    ours = last(follow(operation, Leap(tolerance=1e-4), slow, inputs, regime, times))
    idle = jnp.zeros((24, 1, LANES))
    days = DayBatch(ONES, 0.5 * ONES, idle, ambient[None] + idle)
    theirs = march(operation, slow, inputs, days, 0, 60.0 * np.linspace(0.0, 1.0, 25) ** 2)
    grown = np.asarray(theirs.sei[-1]) - np.asarray(slow.sei)
    np.testing.assert_allclose(np.asarray(ours.sei) - np.asarray(slow.sei), grown, rtol=0.02)


def test_lithium_is_conserved_and_throughput_counted(operation):
    inputs = rates(operation, [20.0, 60.0], [8.0, 16.0])
    slow = fresh_state(operation.cell, LANES, inputs)
    regime = Regime(0.7 * ONES, 298.15 * ONES, protocol)
    history = follow(operation, Leap(tolerance=1e-3), slow, inputs, regime, np.array([0.0, 30.0]))
    np.testing.assert_array_equal(last(history).inventory, slow.inventory)
    per_day = cycles_per_day(operation, slow, inputs, regime)
    cycles = np.asarray(history.service.throughput)[-1, 0] / (2.0 * operation.cell.nominal_capacity)
    np.testing.assert_allclose(cycles, 30.0 * per_day, rtol=0.03)
    assert history.outcome.tolist() == [0, 0]


def test_a_repeat_that_ends_elsewhere_than_it_began_passes_the_same_from_the_second_on(operation):
    """And a cell that cannot pass what a step asks of it stops at its limits, and is charged no further for that."""
    cell = operation.cell
    inputs, start = rates(operation, [1.0, 1.0], [1.0, 1.0]), 0.9 * ONES
    slow = fresh_state(cell, LANES, inputs)
    window, lab = electrode_window(cell, slow, inputs), {**inputs, AMBIENT: 298.15 * ONES}
    steps = (
        CyclingStep(c_rate=1.0, until_soc=0.0),
        CyclingStep(c_rate=-1.0, until_soc=0.7),
        CyclingStep(rest=True, hours=0.3),
    )
    y = lift(cell, slow, stoichiometry_at(window, start), lab[AMBIENT], lab)
    instructions = repeat_of(cell, steps, start, window.capacity).instructions
    y, first = run_protocol(cell, y, lab, instructions)
    _, again = run_protocol(cell, y, lab, instructions)
    for record in (first, again):
        np.testing.assert_allclose(record.voltage[0], cell.voltage_limits[0], atol=1e-5)
    assert (np.asarray(first.charge[0]) < 0.9 * np.asarray(window.capacity[0])).all()
    close = 3e-6 * cell.nominal_capacity
    np.testing.assert_allclose(first.charge.sum(axis=0), 0.2 * window.capacity[0], atol=close)
    np.testing.assert_allclose(again.charge.sum(axis=0), 0.0, atol=close)
