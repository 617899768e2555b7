"""What telemetry tells, against a conjugate update."""

import numpy as np
import pytest

from fadecast.warranty import Contract, price
from fadecast.warranty.credibility import Without, telemetry

from .hand_made import PACK_KWH, PURE, linear_fade

DRAWS = 4000
RATE = 0.02 + 0.004 * np.random.default_rng(0).normal(size=DRAWS)
"""Capacity that the fleets of draws lose in a year."""
YEARS = np.arange(1.0, 11.0)
LEVEL = 1.0 - RATE[:, None] * YEARS
UNPAID = 1000.0 * RATE[:, None] * (10.0 - YEARS)


def test_a_normal_rate_is_known_as_a_conjugate_update_says():
    """The rate is normal, years measure it times 1, 2, 3 with a normal error: precisions add up."""
    error = 0.01
    found = telemetry(LEVEL[:, :3], UNPAID, error, 1)
    for n in range(3):
        precision = 1.0 / 0.004**2 + (YEARS[: n + 1] ** 2).sum() / error**2
        expected = 1000.0 * (10.0 - YEARS[n]) / np.sqrt(precision)
        assert found.deviation[n] == pytest.approx(1000.0 * (10.0 - YEARS[n]) * RATE.std(), rel=1e-3)
        assert found.deviation_left[n] == pytest.approx(expected, rel=0.05)
        # What is known of a variance is what is left of it and what its expectation varies by.
        told = np.sqrt(found.deviation[n] ** 2 - found.deviation_left[n] ** 2)
        assert found.high[n] - found.low[n] == pytest.approx(2.0 * 1.645 * told, rel=0.07)
    assert (np.diff(found.deviation_left / found.deviation) < 0.0).all()
    assert (found.low < found.high).all()


def test_standard_errors_are_how_far_other_draws_come_out_elsewhere():
    """Of 400 samples of 150 draws, in threes that are alike. A jackknife is too wide in the mean (Efron and Stein)."""
    found = []
    for seed in range(400):
        rate = np.repeat(0.02 + 0.004 * np.random.default_rng([seed, 7]).normal(size=50), 3)
        level, unpaid = 1.0 - rate[:, None] * YEARS[:3], 1000.0 * rate[:, None] * (10.0 - YEARS)
        found.append(telemetry(level, unpaid, 0.01, 1, cluster=np.repeat(np.arange(50), 3)))
    for name in ("deviation", "deviation_left"):
        values = np.array([getattr(each, name) for each in found])
        errors = np.array([getattr(each, f"{name}_error") for each in found])
        ratio = np.sqrt((errors**2).mean(axis=0)) / values.std(axis=0)
        # 400 samples know their own spread to 4 %.
        assert (ratio > 0.92).all()
        assert (ratio < 1.2).all()


def test_two_draws_do_not_tell_how_well_they_know_their_spread():
    rest = np.array([1.0, 4.0, 2.0])
    assert np.isnan(Without(np.arange(2)).error_of_deviation(rest[:2], np.ones(2)))
    assert np.isnan(Without(np.array([0, 0, 1])).error_of_deviation(rest, np.ones(3)))
    spreads = np.array([np.std(np.delete(rest, n), ddof=1) for n in range(3)])
    expected = np.sqrt(2.0 / 3.0 * np.sum((spreads - spreads.mean()) ** 2))
    assert Without(np.arange(3)).error_of_deviation(rest, np.ones(3)) == pytest.approx(expected)


def test_without_a_cluster_is_as_if_its_draws_were_not_there():
    rng = np.random.default_rng(3)
    rest, weight = rng.exponential(size=30), rng.dirichlet(np.ones(30), size=4)
    cluster = np.repeat(np.arange(10), 3)[rng.permutation(30)]
    found = Without(cluster)._variances(weight, rest)
    for n in range(10):
        kept = cluster != n
        for row, expected in zip(weight[:, kept], found[:, n], strict=True):
            mean = np.average(rest[kept], weights=row)
            assert np.average((rest[kept] - mean) ** 2, weights=row) == pytest.approx(expected)


def test_useless_telemetry_tells_nothing():
    found = telemetry(LEVEL[:, :3], UNPAID, 1e3, 1)
    np.testing.assert_allclose(found.deviation_left, found.deviation, rtol=1e-3)
    np.testing.assert_allclose(found.draws_left, DRAWS - 1, rtol=1e-6)


def test_too_few_draws_are_said_to_be_too_few():
    found = telemetry(LEVEL[:15, :3], UNPAID[:15], 0.005, 1)
    assert np.isnan(found.deviation_left).all()
    assert (found.draws_left < 20).all()


def test_a_price_says_what_telemetry_will_tell():
    fade = linear_fade(0.75 - 0.05 * np.random.default_rng(1).normal(size=(300, 5)))
    found = price(fade, Contract(guarantee=((0.0, 0.8),)), PURE, PACK_KWH, 1)
    assert found["telemetry_year"].values.tolist() == [1, 2, 3]
    assert (found["telemetry_deviation_left"] < found["telemetry_deviation"]).all()
    for name in ("telemetry_deviation", "telemetry_deviation_left"):
        assert (found[f"{name}_interval"] > 0.0).all()
        assert (found[f"{name}_interval"] < found[name]).all()
    # A fleet is measured each year, whenever the contract looks at it.
    rarely = price(fade, Contract(guarantee=((0.0, 0.8),), inspection_interval_years=10.0), PURE, PACK_KWH, 1)
    assert (rarely["telemetry_deviation_left"] < rarely["telemetry_deviation"]).all()
    short = price(fade, Contract(guarantee=((0.0, 0.8),), term_years=1.0), PURE, PACK_KWH, 1)
    assert short.sizes["telemetry_year"] == 0
