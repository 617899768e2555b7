"""The estimated error of a macro step is the error, and it counts what a forecast is read for."""

import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import fresh_state
from fadecast.cell.health import Health
from fadecast.cell.model import Chemistry, build_cell
from fadecast.decades import accuracy
from fadecast.decades.accuracy import Rates, deviation, heun_error

CHANGES = (("crack_length", 1.02), ("sei", 1.5), ("active_fraction_ne", 0.97), ("active_fraction_pe", 0.96))


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


def test_a_deviation_is_the_worst_of_capacity_a_tenth_of_resistance_lithium_and_material(monkeypatch):
    """With a check-up that reads capacity off the positive material and resistance off the cracks."""
    monkeypatch.setattr(
        accuracy, "check_up", lambda _, slow, inputs: Health(5.0 * slow.active_fraction_pe, 1e6 * slow.crack_length)
    )
    # A cell of its own: programs that were traced for it are nobody else's.
    cell = build_cell.__wrapped__(Chemistry(), ())
    one = fresh_state(cell, 5)
    factor = {name: jnp.ones((1, 5)).at[0, lane].set(value) for lane, (name, value) in enumerate(CHANGES, start=1)}
    other = one._replace(**{name: getattr(one, name) * value for name, value in factor.items()})
    film = 0.5 * float(one.sei[0, 0]) * cell.lithium_per_sei * cell.negative.volume / cell.fresh_lithium
    np.testing.assert_allclose(deviation(cell, {}, one, other), [0.0, 0.002, film, 0.03, 0.04], rtol=1e-9, atol=1e-15)
