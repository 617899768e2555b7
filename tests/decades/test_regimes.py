import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.control import Held
from fadecast.cell.model import Chemistry, build_cell
from fadecast.decades.regimes import CyclingStep, repeat_of

SOC, CAPACITY = jnp.array([[0.70, 0.50]]), jnp.array([[5.0, 4.0]])


@pytest.fixture(scope="module")
def cell():
    return build_cell(Chemistry())


def test_a_state_of_charge_ends_a_current_by_the_capacity_of_each_lane(cell):
    steps = (
        CyclingStep(c_rate=-0.3, until_soc=0.85),
        CyclingStep(c_rate=1.0, until_soc=0.5),
        CyclingStep(rest=True, hours=2.0),
    )
    found = repeat_of(cell, steps, SOC, CAPACITY)
    for instruction, soc in zip(found.instructions, (0.85, 0.5), strict=False):
        np.testing.assert_allclose(instruction.passed, (SOC - soc) * CAPACITY)
    hours = (0.85 - SOC) * CAPACITY / 1.5, 0.35 * CAPACITY / 5.0
    mean = (hours[0] * (SOC + 0.85) / 2.0 + hours[1] * 0.675 + 2.0 * 0.5) / (sum(hours) + 2.0)
    np.testing.assert_allclose(found.mean_state_of_charge, mean)


def test_steps_become_instructions(cell):
    steps = (
        CyclingStep(c_rate=-0.5, until_voltage=4.2),
        CyclingStep(voltage=4.2, until_c_rate=0.05),
        CyclingStep(power=10.0, until_voltage=2.5),
        CyclingStep(current=-1.0, hours=0.5),
    )
    found = repeat_of(cell, steps, SOC, CAPACITY).instructions
    assert [each.held for each in found] == [Held.CURRENT, Held.VOLTAGE, Held.POWER, Held.CURRENT]
    assert [float(each.value) for each in found] == [-2.5, 4.2, 10.0, -1.0]
    assert (found[0].voltage, found[1].current, found[2].voltage) == (4.2, 0.25, 2.5)
    # Where no voltage is named, the cell's limits are.
    assert found[3].voltage == cell.voltage_limits[1]
    (drawn,) = repeat_of(cell, (CyclingStep(power=5.0, hours=1.0),), SOC, CAPACITY).instructions
    assert drawn.voltage == cell.voltage_limits[0]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, "holds nothing; must hold one of"),
        ({"c_rate": 1.0, "rest": True, "hours": 1.0}, "must hold one of"),
        ({"c_rate": 1.0}, "ends by nothing; must end by"),
        ({"rest": True, "until_soc": 0.5}, "must end by"),
        ({"voltage": 4.2, "until_voltage": 4.1}, "must end by"),
        ({"c_rate": 0.0, "hours": 1.0}, "must not be: write rest"),
    ],
)
def test_steps_that_hold_or_end_nothing_are_refused(step, message):
    with pytest.raises(ValueError, match=message):
        CyclingStep(**step)


def test_states_of_charge_that_cannot_be_are_refused(cell):
    for step in (CyclingStep(c_rate=1.0, until_soc=0.9), CyclingStep(power=-5.0, until_soc=0.1)):
        with pytest.raises(ValueError, match="step 0: does not lead to until_soc"):
            repeat_of(cell, (step,), SOC, CAPACITY)


def test_charges_are_counted_from_the_start_whatever_went_before(cell):
    """Also where a power or a voltage in between leaves nobody knowing how full the cell is."""
    steps = (
        CyclingStep(power=10.0, hours=0.1),
        CyclingStep(c_rate=1.0, until_soc=0.3),
        CyclingStep(power=-10.0, until_soc=0.7),
        CyclingStep(c_rate=-1.0, until_voltage=4.0),
        CyclingStep(c_rate=-1.0, until_soc=0.9),
    )
    found = repeat_of(cell, steps, SOC, CAPACITY)
    passed = [each.passed for each in found.instructions]
    assert passed[0] is None
    assert passed[3] is None
    for number, soc in ((1, 0.3), (2, 0.7), (4, 0.9)):
        np.testing.assert_allclose(passed[number], (SOC - soc) * CAPACITY)
    np.testing.assert_allclose(found.full_cycles, 0.5 * ((SOC - 0.3) + 0.6), rtol=1e-6)


def test_the_mean_charge_is_that_over_time(cell):
    """Of powers by the middle voltage; of what ends at a voltage in between an hour is taken."""
    volts = 0.5 * sum(cell.voltage_limits)
    power = 5.0 * volts
    steps = CyclingStep(power=power, until_soc=0.3), CyclingStep(power=-power, until_soc=0.7, hours=0.1)
    found = repeat_of(cell, steps, jnp.array([[0.7]]), jnp.array([[5.0]]))
    # 0.4 h down, and 0.1 h that stop short of the end: what was asked for counts as reached.
    np.testing.assert_allclose(found.mean_state_of_charge, 0.5, rtol=1e-9)
    between = CyclingStep(power=10.0, until_voltage=3.2), CyclingStep(power=-10.0, until_voltage=4.0)
    found = repeat_of(cell, between, SOC, CAPACITY)
    np.testing.assert_allclose(found.mean_state_of_charge, SOC)
    low = CyclingStep(c_rate=1.0, hours=5.0), CyclingStep(c_rate=-1.0, until_soc=0.5)
    found = repeat_of(cell, low, jnp.array([[0.5]]), jnp.array([[5.0]]))
    np.testing.assert_allclose(found.mean_state_of_charge, 0.25)
    np.testing.assert_allclose(found.low_passes, 1.0)
