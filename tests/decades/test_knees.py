"""Fade that runs away: where the negative electrode becomes the smaller one, and where its loss feeds on itself."""

import jax.numpy as jnp
import numpy as np
import pytest

from cell.cells import aged_state, check_up
from fadecast.cell.aged import Diagnosis, SlowState
from fadecast.cell.control import Limits
from fadecast.cell.health import fresh_mid_stoichiometry
from fadecast.cell.model import Chemistry, build_cell
from fadecast.cell.profile import Stepping
from fadecast.decades.leap import march
from fadecast.decades.macro import Leap
from fadecast.decades.service import Operation, Service
from fadecast.decades.typical_days import YearOfDuty
from fadecast.outcome import Outcome
from fadecast.population.evidence import single_fits

from .repeated import SPIN_UP, Repeated
from .test_typical_days import year

DAYS = 300
RATE, EXPONENT = (f"Negative electrode LAM constant {term}" for term in ("proportional term [s-1]", "exponential term"))
TIMES = np.arange(0.0, DAYS + 1, 10.0)
# Of direct mode, which the slow test runs: ends of service of the last two cells, knees of the first two [day].
ENDS, KNEES = (208.0, 188.0), (90.0, 90.0)
# Losses 16 and 20 times as fast as fitted; and two that go with the fourth power of stress, which they raise.
LOSSES = ((16.0, 2.0), (20.0, 2.0), (3.6e4, 4.0), (4e4, 4.0))


class Knee:
    """Cold cells under a hard duty of six days that repeat, all of them typical days."""

    def __init__(self) -> None:
        rates = {rate.name: rate.value for rate in single_fits()}
        rate = rates.pop(RATE)
        rates["Dead lithium decay constant [s-1]"] = 3e-5
        self.operation = Operation(
            build_cell(Chemistry(parameters=rates), (RATE, EXPONENT)), Limits(), Stepping(), 3600.0
        )
        factor, exponent = jnp.asarray(LOSSES).T[:, None]
        self.inputs = {RATE: rate * factor, EXPONENT: exponent}
        self.lanes = factor.shape[1]
        diagnosis = (jnp.full((1, self.lanes), value) for value in (0.1, 0.2, 0.05, 0.1, 2e-8))
        cell = self.operation.cell
        self.start = aged_state(cell, Diagnosis(*diagnosis), fresh_mid_stoichiometry(cell))
        made_up = year(days=6)
        duty = YearOfDuty(2.0 * made_up.power, made_up.ambient - 10.0, made_up.state_of_charge)
        self.days = Repeated(self.operation, self.inputs, self.lanes, duty)

    def soh(self, slow: SlowState) -> np.ndarray:
        """Return SOH, `(times, lanes)`."""
        rows = (SlowState(*(jnp.asarray(value[time]) for value in slow)) for time in range(len(slow.sei)))
        capacity = [np.asarray(check_up(self.operation.cell, row, self.inputs).capacity)[0] for row in rows]
        return np.stack(capacity) / self.operation.cell.nominal_capacity


def knee_time(times: np.ndarray, soh: np.ndarray) -> np.ndarray:
    """Return when SOH is highest above the straight line between its ends, `(lanes,)`."""
    line = soh[0] + (soh[-1] - soh[0]) * ((times - times[0]) / (times[-1] - times[0]))[:, None]
    return times[(soh - line).argmax(axis=0)]


@pytest.fixture(scope="module")
def knee():
    return Knee()


@pytest.fixture(scope="module")
def leapt(knee):
    return knee.days.leap(knee.start, TIMES, Leap())


def test_macro_steps_shrink_where_a_loss_feeds_on_itself(knee, leapt):
    """Service ends when it does day by day, and knees come within the 10 days of the output."""
    assert leapt.outcome.tolist() == [0, 0, *2 * [Outcome.CAPACITY_EXHAUSTED]]
    np.testing.assert_allclose(leapt.last_good[2:], ENDS, atol=2.0)
    np.testing.assert_allclose(knee_time(TIMES, knee.soh(leapt.service.slow))[:2], KNEES, atol=10.0)
    steps, ends = np.diff(leapt.macro_steps), leapt.macro_steps[1:]
    collapse = (ends > 150.0) & (ends < leapt.last_good[2] + 1.0)
    assert steps[collapse].max() < 0.5 * steps[ends < 70.0].max()
    assert steps[collapse].min() < 0.1 * steps[ends < 70.0].max()
    assert steps[ends > 220.0].max() > 5.0 * steps[collapse].min()


@pytest.mark.slow
def test_knees_come_as_they_come_day_by_day(knee, leapt):
    """The anode becomes the smaller electrode and lithium plates; stress grows with what it has destroyed.

    SOH is within 0.2 points where the anode is the smaller one. Two steps of 150 days are 3 points off after the first,
    and beyond all material after the second.
    """
    truth = knee.days.direct(knee.start, TIMES)
    mine, theirs = knee.soh(leapt.service.slow), knee.soh(truth.service.slow)
    assert truth.outcome.tolist() == leapt.outcome.tolist()
    np.testing.assert_allclose(truth.last_good[2:], ENDS, atol=0.5)
    np.testing.assert_array_equal(knee_time(TIMES, theirs)[:2], KNEES)
    assert np.abs(mine - theirs)[:, :2].max() < 2e-3
    assert (truth.service.slow.dead[-1, 0, :2] > 1.5 * truth.service.slow.dead[0, 0, :2]).all()
    begin = knee.days.days._replace(state_of_charge=knee.days.beginning(Service.start(knee.start)))
    far = march(knee.operation, knee.start, knee.inputs, begin, SPIN_UP, np.linspace(0.0, DAYS, 3))
    middle = knee.soh(SlowState(*(value[:2] for value in far)))[1]
    assert (np.abs(middle - theirs[15])[2:] > 0.03).all()
    assert not (far.active_fraction_ne[-1, 0, 2:] > 0.0).any()
