"""Check-ups: capacity and resistance as PyBaMM's own experiment gives them, fresh and down to half the capacity."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from fadecast.cell.control import Held
from fadecast.cell.health import Health, check_up, degradation, laboratory_health, laboratory_protocol
from fadecast.cell.protocol import Instruction, rest
from fadecast.cell.reference import reference_protocol

from .cells import LAM, LANES, LLI, fitted_chemistry, inputs_of, laboratory, lift_at

AMBIENT = 298.15
# Fresh, 79 % and 51 % in the usual suite, the others by hand.
EACH = [pytest.param(lane, marks=[] if lane in (0, 2, 5) else pytest.mark.slow) for lane in range(LANES)]


@cache
def quick() -> Health:
    cell, slow, *_ = laboratory()
    return Health(
        *(np.asarray(value) for value in jax.jit(check_up, static_argnums=0)(cell, slow, inputs_of(cell, LANES)))
    )


AGEING = ("sei", "plated", "dead", "crack_length", "active_fraction_ne", "active_fraction_pe")


@pytest.mark.parametrize("lane", EACH)
def test_a_laboratory_check_up_is_pybamms_experiment(lane):
    """Capacities and resistances within 2e-5 of IDAKLU at 1e-8, through all 17 instructions; ageing within 1e-3."""
    cell, slow, y, end, record = laboratory()
    protocol = list(laboratory_protocol(cell))
    seconds = {13: float(record.duration[13, lane])}  # PyBaMM knows no share of an earlier charge.
    for number, duration in seconds.items():
        protocol[number] = replace(protocol[number], duration=duration, share_of=None)
    start = np.asarray(y)[:, lane]
    true, theirs = reference_protocol(fitted_chemistry(), start, protocol, AMBIENT)
    lost = degradation(cell, slow)
    mine, truth = laboratory_health(cell, record, lost), laboratory_health(cell, theirs, lost)
    for name in ("capacity_c10", "capacity_c2", "resistance_100ms", "resistance_10s"):
        assert getattr(mine, name)[0, lane] == pytest.approx(float(getattr(truth, name)[0, 0]), rel=2e-5), name
    np.testing.assert_allclose(record.voltage[:, lane], theirs.voltage[:, 0], atol=2e-5)
    np.testing.assert_allclose(record.charge[:, lane], theirs.charge[:, 0], atol=2e-4)
    for name in AGEING:
        rows = cell.rows[name]
        error = np.abs(np.asarray(end)[rows, lane] - true[rows]) / np.abs(true[rows] - start[rows])
        assert error.max() < 1e-3, (name, error)


@pytest.mark.parametrize("lane", EACH)
def test_the_check_up_of_a_forecast_is_pybamms_from_rest(lane):
    """Capacity within 2e-5, resistance within 2e-6 of IDAKLU at 1e-8 from the same rested cell."""
    cell, slow, half, *_ = laboratory()
    full = lift_at(cell, slow, 1.0)
    discharge = Instruction(Held.CURRENT, 0.1 * cell.nominal_capacity, voltage=cell.voltage_limits[0])
    pulse = Instruction(Held.CURRENT, cell.nominal_capacity, 10.0)

    def tested(y, protocol):
        return reference_protocol(fitted_chemistry(), np.asarray(y)[:, lane], protocol, AMBIENT)[1]

    capacity = float(tested(full, [discharge]).charge[0, 0])
    voltage = tested(half, [rest(1e-3), pulse]).voltage[:, 0]
    resistance = float(voltage[0] - voltage[1]) / cell.nominal_capacity
    assert quick().capacity[0, lane] == pytest.approx(capacity, rel=2e-5)
    assert quick().resistance[0, lane] == pytest.approx(resistance, rel=2e-6)


def test_both_check_ups_tell_the_same_of_a_cell():
    """The tester leaves out what flows below C/50, 0.2 to 0.4 % of the capacity; more current, less capacity."""
    cell, slow, _, _, record = laboratory()
    tester = laboratory_health(cell, record, degradation(cell, slow))
    left_out = 1.0 - tester.capacity_c10 / quick().capacity
    assert ((left_out > 1e-3) & (left_out < 5e-3)).all()
    assert (tester.capacity_c2 < tester.capacity_c10).all()
    assert (tester.resistance_10s > tester.resistance_100ms).all()
    np.testing.assert_allclose(tester.resistance_10s, quick().resistance, rtol=1e-2)


def test_degradation_is_that_of_the_diagnosis():
    cell, slow, *_ = laboratory()
    found = degradation(cell, slow)
    for mine, given in zip(found, (LLI, LAM, LAM), strict=True):
        np.testing.assert_allclose(np.asarray(mine)[0], given, rtol=1e-12, atol=1e-14)
