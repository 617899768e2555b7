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
    hours = [np.asarray(each.duration) / 3600.0 for each in found.instructions]
    np.testing.assert_allclose(hours[0], [[0.15 * 5.0 / 1.5, 0.35 * 4.0 / 1.5]])
    np.testing.assert_allclose(hours[1], [[0.35 * 5.0 / 5.0, 0.35 * 4.0 / 5.0]])
    mean = (hours[0] * (SOC + 0.85) / 2.0 + hours[1] * 0.675 + hours[2] * 0.5) / sum(hours)
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
    with pytest.raises(ValueError, match="step 0: a current of 5 A does not lead to until_soc"):
        repeat_of(cell, (CyclingStep(c_rate=1.0, until_soc=0.9),), SOC, CAPACITY)
    unknown = CyclingStep(power=10.0, until_voltage=3.5), CyclingStep(c_rate=-1.0, until_soc=0.9)
    with pytest.raises(ValueError, match="step 1: until_soc needs a known state of charge"):
        repeat_of(cell, unknown, SOC, CAPACITY)
