"""The estimated error of a macro step is the error, and it counts what a forecast is read for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import Diagnosis, aged_state
from fadecast.cell.health import check_up, fresh_mid_stoichiometry
from fadecast.cell.model import Chemistry, build_cell
from fadecast.decades.accuracy import Rates, deviation, heun_error


def rate(y: np.ndarray) -> np.ndarray:
    """Two linear, coupled states: decay, and growth at the other's pace."""
    return np.array([-0.3 * y[0], 0.2 * y[0] + 0.1 * y[1]])


def solution(y: np.ndarray, time: float) -> np.ndarray:
    decay, growth = np.exp(-0.3 * time), np.exp(0.1 * time)
    return np.array([y[0] * decay, y[1] * growth + 0.5 * y[0] * (growth - decay)])


def estimated_and_true(step: float) -> tuple[np.ndarray, np.ndarray]:
    earlier, y = np.array([1.0, 0.5]), solution(np.array([1.0, 0.5]), step)
    predicted = y + step * rate(y)
    new = y + 0.5 * step * (rate(y) + rate(predicted))
    estimate = heun_error(step, Rates(rate(y), rate(predicted), rate(new)), (step, rate(earlier)))
    return estimate, solution(y, step) - new


def test_the_estimate_is_the_error_of_a_step_to_leading_order():
    """At a step of 0.1 within 6 %, and half as far at half the step; the error itself is of third order."""
    (rough, error), (fine, finer) = estimated_and_true(0.1), estimated_and_true(0.05)
    np.testing.assert_allclose(rough, error, rtol=0.06)
    np.testing.assert_allclose(fine, finer, rtol=0.03)
    np.testing.assert_allclose(np.log2(error / finer), 3.0, atol=0.1)


def test_without_a_step_before_the_part_of_the_prediction_is_left():
    error = heun_error(2.0, Rates(np.ones(1), np.array([1.5]), np.array([1.2])), None)
    np.testing.assert_allclose(error, [-0.3])


@pytest.fixture(scope="module")
def cell():
    return build_cell(Chemistry(), ())


def test_a_deviation_is_the_worst_of_capacity_a_tenth_of_resistance_lithium_and_material(cell):
    losses = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [2e-8, 2e-8, 2e-8]]
    one = aged_state(cell, Diagnosis(*jnp.asarray(losses)[:, None]), fresh_mid_stoichiometry(cell))
    # Nothing; film alone, which takes lithium and adds resistance; positive material that capacity does not need.
    other = one._replace(
        sei=one.sei * jnp.array([[1.0, 1.1, 1.0]]),
        active_fraction_pe=one.active_fraction_pe * jnp.array([[1.0, 1.0, 0.99]]),
    )
    off = deviation(cell, {}, one, other)
    here, there = (jax.jit(check_up, static_argnums=0)(cell, state, {}) for state in (one, other))
    capacity = np.abs(np.asarray(there.capacity - here.capacity))[0] / cell.nominal_capacity
    assert off[0] < 1e-12
    assert off[1] >= capacity[1] > 1e-3
    assert off[1] >= 0.1 * float(there.resistance[0, 1] / here.resistance[0, 1] - 1.0) > 0.0
    assert off[2] == pytest.approx(0.009, rel=1e-6)
