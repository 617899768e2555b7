"""Films that close the pores: in service that ends a pack, whose last days are approached in short steps."""

import jax.numpy as jnp
import numpy as np
import pybamm
import pytest

from cell.cells import aged_state, check_up, electrode_window
from fadecast.cell.aged import Diagnosis, SlowState
from fadecast.cell.control import Limits
from fadecast.cell.health import fresh_mid_stoichiometry, window_met
from fadecast.cell.model import Chemistry, build_cell
from fadecast.cell.profile import Stepping
from fadecast.decades.macro import Leap
from fadecast.decades.service import Operation
from fadecast.decades.typical_days import YearOfDuty
from fadecast.outcome import Outcome

from .repeated import Repeated
from .test_typical_days import year

DAYS = 96
GROWTH, VOLUME = "SEI solvent diffusivity [m2.s-1]", "SEI partial molar volume [m3.mol-1]"
FASTER = (100.0, 400.0, 1600.0)
"""Diffusivities over that of the set; films grow with the root of them."""
TIMES = np.arange(0.0, DAYS + 1, 6.0)
END = 53.0
"""Of the last one in direct mode, which the slow test runs [day]."""


class Closing:
    """Retired cells of a porosity of 0.18 under a duty of six days that repeat, up to 0.65C."""

    def __init__(self) -> None:
        values = pybamm.ParameterValues("OKane2022")
        chemistry = Chemistry(
            model="SPMe",
            sei_porosity_change="true",
            lithium_plating_porosity_change="true",
            electrolyte_points=10,
            particle_points=8,
            parameters={VOLUME: 0.5 * values[VOLUME]},
        )
        self.operation = Operation(build_cell(chemistry, (GROWTH,)), Limits(), Stepping(), 3600.0)
        self.lanes, made_up = len(FASTER), year(days=6)
        self.inputs = {GROWTH: values[GROWTH] * jnp.asarray([FASTER])}
        duty = YearOfDuty(5.0 * made_up.power, made_up.ambient, made_up.state_of_charge)
        self.days = Repeated(self.operation, self.inputs, self.lanes, duty)
        self.start = self.aged(0.1)

    def aged(self, lli: float) -> SlowState:
        """Cells that have lost some of their lithium."""
        diagnosis = (jnp.full((1, self.lanes), value) for value in (lli, 0.05, 0.05, 0.1, 2e-8))
        return aged_state(
            self.operation.cell, Diagnosis(*diagnosis), fresh_mid_stoichiometry(self.operation.cell), self.inputs
        )

    def state(self, slow: SlowState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """SOH [1], resistance [ohm] and porosity [1], each `(times, lanes)`."""
        rows = [SlowState(*(jnp.asarray(value[time]) for value in slow)) for time in range(len(slow.sei))]
        cell = self.operation.cell
        health = [check_up(cell, row, self.inputs) for row in rows]
        pores = [np.asarray(electrode_window(cell, row, self.inputs).porosity)[0] for row in rows]
        soh, ohms = (np.stack([np.asarray(each[n])[0] for each in health]) for n in range(2))
        return soh / cell.nominal_capacity, ohms, np.stack(pores)


@pytest.fixture(scope="module")
def closing():
    return Closing()


@pytest.fixture(scope="module")
def leapt(closing):
    return closing.days.leap(closing.start, TIMES, Leap())


@pytest.mark.slow
def test_macro_steps_shrink_where_pores_close(closing, leapt):
    """The last cell is taken out at a porosity of 0.05, its salt limiting what it takes before; the others go on."""
    assert leapt.outcome.tolist() == [0, 0, Outcome.PORES_CLOSED]
    np.testing.assert_allclose(leapt.last_good[2], END, atol=2.0)
    steps, ends = np.diff(leapt.macro_steps), leapt.macro_steps[1:]
    there = (ends[:-1] < leapt.last_good[2]) & (leapt.last_good[2] <= ends[1:])
    assert steps[1:][there].tolist() == [10.0]
    assert steps[0] > 15.0
    assert steps[-1] > 15.0
    spilled = leapt.service.spilled[TIMES == 48.0, 0][0]
    assert spilled[2] > 1.01 * spilled[0]


@pytest.mark.slow
def test_a_cell_that_starts_with_closed_pores_is_infeasible(closing):
    """Not at the end of its life: that its films take all pores is the parameter set's word."""
    cell, slow = closing.operation.cell, closing.aged(0.3)
    window = electrode_window(cell, slow, closing.inputs)
    assert (np.asarray(window.porosity) < 0.05).all()
    assert not np.asarray(window_met(cell, slow, closing.inputs, window)).any()
    sound = electrode_window(cell, closing.start, closing.inputs)
    assert np.asarray(window_met(cell, closing.start, closing.inputs, sound)).all()


@pytest.mark.slow
def test_pores_close_as_they_do_day_by_day(closing, leapt):
    """Also where a quarter of the capacity and all pores go within two months, which the first step hardly resolves."""
    truth = closing.days.direct(closing.start, TIMES)
    assert truth.outcome.tolist() == leapt.outcome.tolist()
    np.testing.assert_allclose(truth.last_good[2], END, atol=0.5)
    serving = np.minimum(truth.last_good, leapt.last_good)[None] >= TIMES[:, None]
    (soh, ohms, _), (right, true_ohms, pores) = map(closing.state, (leapt.service.slow, truth.service.slow))
    off, relative = (np.where(serving, np.abs(each), 0.0).max(axis=0) for each in (soh - right, ohms / true_ohms - 1.0))
    assert (off < [2e-4, 5e-4, 3e-3]).all(), off
    assert (relative < [1e-3, 3e-3, 0.025]).all(), relative
    assert pores[serving[:, 2], 2].min() < 0.06
    assert true_ohms[serving[:, 2], 2].max() > 2.0 * true_ohms[0, 2]
