"""Inference: serving relation, request rate, recovery."""

import numpy as np
import pytest

from fadecast.duty.inference import Inference, Requests, Serving, inference_power, request_rate
from fadecast.duty.load_fit import autocorrelation, fit_requests, fit_serving
from fadecast.duty.tables import normal_scores

REQUESTS, SERVING = Requests.measured(), Serving.measured()


def test_serving_power_runs_from_idle_to_full_and_rises():
    power = SERVING.power(np.linspace(0, 1, 101))
    assert power[0] == SERVING.idle
    assert power[-1] == pytest.approx(SERVING.full)
    assert (np.diff(power) > 0).all()


def test_serving_is_recovered():
    throughput = np.linspace(0.05, 1, 60)
    truth = Serving(idle=0.2, full=0.9, exponent=0.4)
    noise = np.random.default_rng(0).normal(0, 0.02, throughput.size)
    found = fit_serving(throughput, truth.power(throughput) + noise, 0.2)
    assert found.full == pytest.approx(0.9, abs=0.02)
    assert found.exponent == pytest.approx(0.4, abs=0.05)


def test_requests_are_recovered():
    rate = np.concatenate([request_rate(np.random.default_rng([1, k]), REQUESTS, 10)[: 144 * 364] for k in range(3)])
    found = fit_requests(rate, 1 / 6)
    np.testing.assert_allclose(found.hour_of_day, REQUESTS.hour_of_day, atol=0.05)
    assert found.fast_share == pytest.approx(REQUESTS.fast_share, abs=0.05)
    assert found.fast_hours == pytest.approx(REQUESTS.fast_hours, rel=0.15)
    assert found.slow_hours == pytest.approx(REQUESTS.slow_hours, rel=0.35)
    level = slice(2, -2)
    np.testing.assert_allclose(found.residual[level], REQUESTS.residual[level], atol=0.05)


def test_memory_is_the_one_declared():
    flat = Requests(np.ones(24), np.linspace(0.5, 1.5, 11), fast_share=0.6, fast_hours=1.0, slow_hours=30.0)
    score = normal_scores(request_rate(np.random.default_rng(2), flat, 10))
    lags = np.array([1, 6, 36, 144])
    np.testing.assert_allclose(autocorrelation(score, tuple(lags)), flat.correlation(lags / 6), atol=0.06)


def test_a_longer_step_is_the_mean_of_shorter_ones():
    fine, coarse = (
        inference_power(np.random.default_rng(3), Inference(), REQUESTS, SERVING, minutes) for minutes in (5, 60)
    )
    np.testing.assert_allclose(coarse, fine.reshape(-1, 12).mean(axis=1))


def test_requests_beyond_capacity_are_turned_away():
    busy = inference_power(np.random.default_rng(4), Inference(utilisation=1.0), REQUESTS, SERVING, 1)
    assert busy.max() == pytest.approx(SERVING.full)


def test_more_requests_take_more_power():
    low, high = (
        inference_power(np.random.default_rng(4), Inference(utilisation=u), REQUESTS, SERVING, 60) for u in (0.2, 0.8)
    )
    assert (high > low).all()
