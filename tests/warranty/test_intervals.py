"""Does the interval hold the truth as often as it says? The draw is the unit of independence."""

import numpy as np
import pytest
from scipy import stats

from fadecast.warranty.intervals import half_widths
from fadecast.warranty.principles import mean_and_deviation


def _mean_of(values):
    return lambda weights: {"mean": weights @ values / values.size}


@pytest.fixture
def few_replicates(monkeypatch):
    """Widths to 4 % instead of 2 %, which does not show in a coverage, for more seeds."""
    monkeypatch.setattr("fadecast.warranty.intervals.REPLICATES", 400)


def _coverage(sample, truth, draws, seeds=800):
    hits = 0
    for seed in range(seeds):
        values = sample(np.random.default_rng([draws, seed]), draws)
        width = half_widths(_mean_of(values), np.arange(draws), 0.90, seed)["mean"]
        hits += abs(values.mean() - truth) <= width
    return hits / seeds


@pytest.mark.usefixtures("few_replicates")
@pytest.mark.parametrize("draws", [4, 8, 16, 64])
def test_coverage_of_uniform_losses(draws):
    assert _coverage(lambda rng, n: rng.uniform(0.0, 1.0, n), 0.5, draws) == pytest.approx(0.90, abs=0.04)


@pytest.mark.usefixtures("few_replicates")
def test_coverage_of_exponential_losses():
    assert _coverage(lambda rng, n: rng.exponential(1.0, n), 1.0, 64) == pytest.approx(0.90, abs=0.04)


@pytest.mark.usefixtures("few_replicates")
def test_of_four_skewed_draws_it_holds_less_than_it_says():
    # As documented: no interval from four draws alone can know of the tail.
    assert 0.76 < _coverage(lambda rng, n: rng.exponential(1.0, n), 1.0, 4) < 0.88


@pytest.mark.parametrize("draws", [2, 4, 300])
def test_for_a_mean_it_is_the_t_interval(draws):
    values = np.random.default_rng(draws).normal(size=draws)
    expected = stats.t.ppf(0.95, draws - 1) * values.std(ddof=1) / np.sqrt(draws)
    assert half_widths(_mean_of(values), np.arange(draws), 0.90, 0)["mean"] == pytest.approx(expected, rel=0.06)


def test_a_single_draw_has_no_interval():
    assert np.isnan(half_widths(_mean_of(np.ones(1)), np.arange(1), 0.90, 0)["mean"])


def test_sampling_in_blocks_changes_nothing(monkeypatch):
    values = np.random.default_rng(0).normal(size=10)
    whole = half_widths(_mean_of(values), np.arange(10), 0.90, 7)["mean"]
    monkeypatch.setattr("fadecast.warranty.intervals._BLOCK", 1000)
    assert half_widths(_mean_of(values), np.arange(10), 0.90, 7)["mean"] == pytest.approx(whole, rel=1e-12)


def test_draws_that_share_a_year_count_as_one():
    values = np.random.default_rng(1).normal(size=12)
    shared = half_widths(_mean_of(np.repeat(values, 5)), np.repeat(np.arange(12), 5), 0.90, 3)["mean"]
    assert shared == pytest.approx(half_widths(_mean_of(values), np.arange(12), 0.90, 3)["mean"], rel=1e-12)
    assert shared > 2.0 * half_widths(_mean_of(np.repeat(values, 5)), np.arange(60), 0.90, 3)["mean"]


def test_the_spread_over_draws_is_that_of_repeated_draws_whatever_a_row_of_weights_sums_to():
    """Where draws share years unevenly, rows of a bootstrap hold more or fewer draws than there are."""
    loss, cluster = 10.0 + np.random.default_rng(2).normal(size=8), np.arange(8) % 3
    weights = np.array([[3, 0, 0], [0, 1, 2], [1, 1, 1]])[:, cluster]
    assert sorted(weights.sum(axis=1)) == [7, 8, 9]
    expected = [np.std(np.repeat(loss, row)) * np.sqrt(8 / 7) for row in weights]
    np.testing.assert_allclose(mean_and_deviation(loss, weights.astype(float))[1], expected, rtol=1e-12)
