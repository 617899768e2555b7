import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from fadecast.scoring import LEVELS, crps, levels_of, root_of_time, score


def test_crps_of_normal_draws_is_the_closed_form():
    """Gneiting & Raftery 2007, eq. 5: s (z (2 F(z) - 1) + 2 f(z) - 1 / sqrt(pi))."""
    draws = 0.9 + 0.02 * np.random.default_rng(0).normal(size=200_000)
    for measured in (0.9, 0.93, 0.80):
        z = (measured - 0.9) / 0.02
        expected = 0.02 * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - 1.0 / np.sqrt(np.pi))
        assert crps(draws[:, None], measured) == pytest.approx(expected, rel=0.01)


def test_crps_of_few_draws_is_not_biased():
    rng = np.random.default_rng(1)
    found = np.mean([crps(rng.normal(size=(5, 1)), 0.3) for _ in range(20_000)])
    expected = 0.3 * (2.0 * norm.cdf(0.3) - 1.0) + 2.0 * norm.pdf(0.3) - 1.0 / np.sqrt(np.pi)
    assert found == pytest.approx(expected, abs=0.01)


def test_readings_of_a_draw_are_not_taken_for_draws():
    """What all readings of a draw have in common is as uncertain as the draws are few; the rest is smoothed."""
    rng = np.random.default_rng(2)
    exact = 0.3 * (2.0 * norm.cdf(0.3) - 1.0) + 2.0 * norm.pdf(0.3) - 1.0 / np.sqrt(np.pi)
    alike = rng.normal(size=(4000, 24, 1))
    readings = np.sqrt(0.5) * (alike + rng.normal(size=(4000, 24, 16)))
    found = np.array([crps(each, 0.3) for each in readings])
    assert found.mean() == pytest.approx(exact, abs=0.008)
    assert found.std() < 0.9 * np.std([crps(each[:, :1], 0.3) for each in readings])
    truth = rng.normal(size=4000)
    low, middle, high = levels_of(readings)
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.90, abs=0.012)
    assert (middle <= truth).mean() == pytest.approx(0.5, abs=0.02)


def test_readings_that_are_all_alike_change_nothing():
    """And those that have nothing in common are as many draws."""
    draws = np.random.default_rng(3).normal(size=(5, 48, 1))
    same = np.repeat(draws, 16, axis=2)
    np.testing.assert_allclose(levels_of(same), levels_of(draws), rtol=1e-9)
    np.testing.assert_allclose(
        levels_of(draws), np.quantile(draws[..., 0], LEVELS, axis=1, method="weibull"), rtol=1e-9
    )
    assert crps(same[0], 0.3) == pytest.approx(crps(draws[0], 0.3), rel=1e-9)
    apart = np.random.default_rng(4).normal(size=(1, 200, 8))
    every = np.quantile(apart.ravel(), LEVELS, method="weibull")
    np.testing.assert_allclose(levels_of(apart)[:, 0], every, atol=0.02)


@given(st.lists(st.floats(0.5, 1.0), min_size=2, max_size=30), st.floats(0.5, 1.0))
def test_crps_is_the_mean_over_pairs(draws, measured):
    values = np.array(draws)
    pairs = np.abs(values[:, None] - values).sum() / (len(values) * (len(values) - 1.0))
    assert crps(values[:, None], measured) == pytest.approx(np.abs(values - measured).mean() - 0.5 * pairs, abs=1e-12)


def test_a_score_says_error_interval_and_coverage():
    forecast = np.stack([np.ones(101), np.linspace(0.90, 1.0, 101), np.linspace(0.80, 0.90, 101)])
    found = score(forecast[..., None], np.array([1.0, 0.89, 0.86]))
    assert found.error == pytest.approx(-0.01)
    assert found.fade == pytest.approx(0.14)
    assert found.inside
    assert found.width == pytest.approx(0.1 * (0.95 - 0.05) * 102 / 100)
    assert found.inside_share == 0.5


@pytest.mark.parametrize("draws", [20, 48, 400])
def test_intervals_of_few_draws_hold_as_many_as_those_of_many(draws):
    rng = np.random.default_rng(draws)
    low, middle, high = levels_of(rng.normal(size=(20_000, draws, 1)))
    truth = rng.normal(size=20_000)
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.90, abs=0.008)
    assert (middle <= truth).mean() == pytest.approx(0.5, abs=0.012)


def test_a_root_of_time_predicts_a_root_of_time():
    days = np.array([0.0, 50.0, 100.0, 400.0])
    others = [1.0 - rate * np.sqrt(days) for rate in (1e-3, 2e-3, 4e-3)]
    assert root_of_time([days] * 3, others, 900.0) == pytest.approx(1.0 - 2e-3 * 30.0)
