"""Laboratory protocols: every instruction ends where it should, conserves lithium, and depends on its own lane only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import total_lithium
from fadecast.cell.control import Delivery, Held, Setting, hold
from fadecast.cell.health import laboratory_protocol
from fadecast.cell.model import AMBIENT, CURRENT
from fadecast.cell.protocol import USUAL, Instruction, Precision, Record, rest, run_protocol
from fadecast.cell.reference import reference_protocol

from .cells import LAM, LANES, LLI, aged, fitted_cell, fitted_chemistry, inputs_of, laboratory, lift_at

CURRENTS, POWERS, VOLTAGES = Held


def setting(soc: float = 0.5):
    cell = fitted_cell()
    slow = aged(cell, LLI, LAM)
    return cell, {**inputs_of(cell, LANES), AMBIENT: jnp.full((1, LANES), 298.15)}, lift_at(cell, slow, soc)


def run(cell, y, inputs, *protocol: Instruction, precision: Precision = USUAL) -> tuple[jax.Array, Record]:
    """Run a protocol filled up with nothing to the length of the laboratory's, which makes it the same program."""
    nothing = (rest(0.0),) * (len(laboratory_protocol(cell)) - len(protocol))
    end, record = run_protocol(cell, y, inputs, (*protocol, *nothing), precision)
    return end, Record(*(np.asarray(values)[: len(protocol)] for values in record))


@pytest.mark.parametrize(
    ("held", "values"), [(VOLTAGES, (2.8, 4.15)), (POWERS, (-15.0, 25.0)), (CURRENTS, (-5.0, 8.0))]
)
def test_a_tester_keeps_what_it_is_set_to(held, values):
    cell, inputs, y = setting()
    value = jnp.linspace(*values, LANES)[None]
    still = jnp.zeros_like(value)
    start = Delivery(still, still, y[cell.differential :])
    found = hold(cell, y, inputs, Setting(jnp.full((1, LANES), held), value), start, 12)
    volts = cell.voltage(y, {**inputs, CURRENT: found.current})
    kept = {CURRENTS: found.current, POWERS: found.current * volts, VOLTAGES: volts}[held]
    np.testing.assert_allclose(np.asarray(kept), np.asarray(value), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.asarray(found.power), np.asarray(found.current * volts), rtol=1e-12, atol=1e-12)


def test_instructions_end_at_their_limits_and_conserve_lithium():
    cell, slow, y, end, record = laboratory()
    low, high = cell.voltage_limits
    amperes = np.array([each.value for each in laboratory_protocol(cell)])
    charges, holds, discharges, rests = [0, 5, 10], [1, 6, 11], [3, 8], [2, 4, 7, 9, 12, 14]
    assert np.abs(record.voltage[charges] - high).max() < 2e-6
    assert np.abs(record.voltage[holds] - high).max() < 2e-6
    assert np.abs(record.voltage[discharges] - low).max() < 2e-6
    assert np.abs(record.current[holds] + cell.nominal_capacity / 50).max() < 1e-5
    assert (record.limited[[*charges, *holds, *discharges]] == 1).all()
    assert (record.limited[[*rests, 13, 15, 16]] == 0).all()
    steady = [*charges, *discharges, 13, 15, 16]
    hours = record.duration[steady] / 3600.0
    np.testing.assert_allclose(record.charge[steady], amperes[steady, None] * hours, rtol=1e-10)
    np.testing.assert_allclose(record.charge[13], 0.5 * record.charge[3], rtol=1e-10)
    assert np.abs(record.charge[rests]).max() < 1e-12
    assert np.abs(record.energy[rests]).max() < 1e-12
    passed = cell.physical(end, "discharge_capacity") - cell.physical(y, "discharge_capacity")
    np.testing.assert_allclose(np.asarray(passed)[0], record.charge.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(total_lithium(cell, end)), np.asarray(slow.inventory), rtol=1e-12)


def test_whichever_end_comes_first():
    cell, inputs, y = setting(0.9)
    low = cell.voltage_limits[0]
    seconds = jnp.asarray([[10.0, 60.0, 600.0, 1e6, 1e6, 1e6]])
    _, record = run(
        cell,
        y,
        inputs,
        Instruction(POWERS, 10.0, seconds, voltage=low),
        Instruction(POWERS, 10.0, voltage=4.3),
        Instruction(CURRENTS, -1.0, 120.0),
    )
    assert record.limited[0].tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(record.duration[0, :3], [10.0, 60.0, 600.0], rtol=1e-12)
    np.testing.assert_allclose(record.energy[0], 10.0 * record.duration[0] / 3600.0, rtol=1e-6)
    assert np.abs(record.voltage[0, 3:] - low).max() < 2e-6
    # A limit that is met from the start takes no time.
    assert (record.limited[1] == 1).all()
    assert (record.duration[1] == 0).all()
    np.testing.assert_allclose(record.charge[2], -120.0 / 3600.0, rtol=1e-12)


def test_lanes_do_not_touch_each_other():
    cell, inputs, y = setting()
    discharge = Instruction(CURRENTS, jnp.asarray([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]), voltage=3.0)
    hold_on = Instruction(VOLTAGES, 3.9, 5000.0, current=0.2)
    one, ones = run(cell, y, inputs, discharge, hold_on)
    mixed = Instruction(CURRENTS, jnp.asarray([[1.0, 7.0, 0.5, 1.5, 0.2, 9.0]]), voltage=3.0)
    two, twos = run(cell, y, inputs, mixed, hold_on)
    assert (np.asarray(two)[:, 0] == np.asarray(one)[:, 0]).all()
    for mine, others in zip(twos, ones, strict=True):
        assert (mine[:, 0] == others[:, 0]).all()
    assert not np.allclose(twos.duration[0, 1:], ones.duration[0, 1:])


def test_a_lane_that_fails_stands_still():
    """What no cell delivers is not a number in the record of that lane, and nothing else."""
    cell, inputs, y = setting()
    watts = jnp.asarray([[10.0, 10.0, 1e4, 10.0, 10.0, 10.0]])
    end, record = run(cell, y, inputs, Instruction(POWERS, watts, 60.0), rest(60.0))
    failed = np.isnan(record.duration).all(axis=0)
    assert failed.tolist() == [False, False, True, False, False, False]
    assert np.isfinite(np.asarray(end)).all()
    sound = ~failed
    np.testing.assert_allclose(record.energy[0, sound], 10.0 / 60.0, rtol=1e-6)


def test_a_share_needs_a_current_and_an_earlier_instruction():
    cell, inputs, y = setting()
    with pytest.raises(ValueError, match="share of the charge of instruction 1"):
        run(cell, y, inputs, Instruction(CURRENTS, 1.0, share_of=(1, 0.5)), rest(1.0))


@pytest.mark.parametrize("limit", ["voltage", "passed"])
def test_a_held_voltage_cannot_end_at_a_voltage_or_a_charge(limit):
    with pytest.raises(ValueError, match="give it a current or a duration"):
        Instruction(VOLTAGES, 4.2, **{limit: 4.1})


def test_powers_end_where_all_that_was_passed_is_what_it_is_to_be():
    """Counted from the start of the protocol, both ways, each lane its own; one that is there already stops at once."""
    cell, inputs, y = setting()
    target = jnp.linspace(0.5, 1.0, LANES)[None]
    protocol = (
        Instruction(POWERS, 12.0, passed=target),
        Instruction(POWERS, -8.0, passed=0.1),
        Instruction(CURRENTS, -1.0, passed=0.3),
        Instruction(CURRENTS, 2.0, passed=0.6),
    )
    end, record = run(cell, y, inputs, *protocol)
    passed = np.cumsum(record.charge, axis=0)
    close = 2e-6 * cell.nominal_capacity
    np.testing.assert_allclose(passed[0], target[0], atol=close)
    np.testing.assert_allclose(passed[1], 0.1, atol=close)
    np.testing.assert_allclose(record.charge[2], 0.0, atol=close)
    np.testing.assert_allclose(passed[3], 0.6, atol=close)
    np.testing.assert_allclose(record.duration[3], 0.5 * 3600.0 / 2.0, rtol=1e-5)
    np.testing.assert_allclose(record.energy[:2], np.array([[12.0], [-8.0]]) * record.duration[:2] / 3600.0, rtol=1e-6)
    assert (record.limited == 1).all()
    np.testing.assert_allclose(total_lithium(cell, end), total_lithium(cell, y), rtol=1e-10)


@pytest.mark.slow
def test_capacity_moves_with_the_crossing():
    """The forward derivative of a capacity is its change, although lengths are found by repetition.

    Differences of two runs carry the noise of their precision, 1e-6 of the capacity and 1e-5 V, over their distance.
    """
    cell, inputs, y = setting()
    low, rows = cell.voltage_limits[0], cell.rows["concentration_ne"]
    along = jnp.zeros_like(y).at[rows].set(0.1 * y[rows])

    def measure(y):
        _, record = run_protocol(cell, y, inputs, [Instruction(CURRENTS, 5.0, voltage=low), rest(600.0)])
        return jnp.concatenate([record.charge[0], record.voltage[1]])

    _, slope = jax.jit(lambda y: jax.jvp(measure, (y,), (along,)))(y)
    step = 0.02
    change = np.asarray(measure(y + step * along) - measure(y - step * along)) / (2 * step)
    np.testing.assert_allclose(np.asarray(slope)[:LANES], change[:LANES], rtol=2e-3)
    np.testing.assert_allclose(np.asarray(slope)[LANES:], change[LANES:], atol=2e-5 / (2 * step))


@pytest.mark.slow
def test_capacities_converge_with_the_precision():
    cell, inputs, y = setting()
    protocol = laboratory_protocol(cell)
    truth, *coarser = (
        run_protocol(cell, y, inputs, protocol, Precision(factor * 4e-3, factor * 5e-3, factor * 0.05, nodes=nodes))[1]
        for factor, nodes in ((0.05, 8), (0.3, 4), (1.0, 4), (4.0, 4))
    )
    errors = [float(jnp.abs(record.charge[3] / truth.charge[3] - 1.0).max()) for record in coarser]
    assert errors[0] < errors[1] < errors[2], errors
    assert errors[1] < 1e-5, errors


def test_every_kind_of_setting_agrees_with_pybamm():
    """Current, power, rest and voltage, one after the other, both ways: voltage, current and charge at the end of each.

    The current of a voltage hold is where a protocol is least exact, like the duration of one that ends at a current.
    """
    cell, inputs, y = setting(0.5)
    protocol = (
        Instruction(CURRENTS, 4.0, 600.0),
        Instruction(POWERS, 15.0, 600.0),
        rest(300.0),
        Instruction(VOLTAGES, 3.8, 900.0),
        Instruction(POWERS, -8.0, 600.0),
        Instruction(CURRENTS, -2.0, 300.0),
    )
    _, mine = run(cell, y, inputs, *protocol)
    lane = 2
    _, found = reference_protocol(fitted_chemistry(), np.asarray(y)[:, lane], protocol, 298.15)
    truth = Record(*map(np.asarray, found))
    np.testing.assert_allclose(mine.voltage[:, lane], truth.voltage[:, 0], atol=5e-5)
    np.testing.assert_allclose(mine.current[:, lane], truth.current[:, 0], rtol=6e-3, atol=1e-9)
    np.testing.assert_allclose(mine.charge[:, lane], truth.charge[:, 0], atol=2e-4)
    np.testing.assert_allclose(mine.duration[:, lane], truth.duration[:, 0], rtol=1e-9)
    steady = [0, 1, 4, 5]
    np.testing.assert_allclose(mine.current[steady, lane], truth.current[steady, 0], rtol=2e-5)
    watts = mine.energy[steady, lane] / mine.duration[steady, lane] * 3600.0
    np.testing.assert_allclose(watts[[1, 2]], [15.0, -8.0], rtol=1e-9)
    assert (np.sign(watts) == [1, 1, -1, -1]).all()
