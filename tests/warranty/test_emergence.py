"""When losses come, worked out by hand and by closed forms."""

import numpy as np
import pytest

from fadecast.warranty import CashRemedy, Contract, price
from fadecast.warranty.emergence import RETURN_PERIODS, emergence, return_levels, unpaid_after
from fadecast.warranty.intervals import half_widths

from .hand_made import PACK_KWH, PURE, fade_of

YEARLY = Contract(guarantee=((0.0, 0.8),), term_years=4.0, remedy=CashRemedy(usd_per_kwh=100.0))
TIME = [0.0, 1.0, 2.0, 3.0, 4.0]


def test_reserves_and_earning_by_hand():
    # Two draws that owe 10 at 2 years and 10 more at 3; and 20 at 4.
    fade = fade_of([[[1.0, 0.8, 0.7, 0.6, 0.6]], [[1.0, 0.9, 0.85, 0.8, 0.6]]], TIME)
    found = price(fade, YEARLY, PURE, PACK_KWH, 1)
    np.testing.assert_allclose(found["reserve"], [20.0, 15.0, 10.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(found["earned_share"], [0.0, 0.25, 0.5, 1.0], atol=1e-9)
    assert np.isnan(found["reserve_high"]).all()
    assert (found["reserve_interval"] > 1e-9).values.tolist() == [False, True, True, False]


def test_the_high_reserve_is_the_quantile_over_draws():
    rng = np.random.default_rng(2)
    yearly = rng.exponential(size=(400, 3))
    unpaid = unpaid_after(yearly)
    found = emergence(unpaid, yearly, np.ones((1, 400)), np.ones(400))
    np.testing.assert_allclose(found["reserve_high"][0, 0], np.sort(yearly[:, 1:].sum(axis=1))[379])
    assert np.isnan(emergence(unpaid[:399], yearly[:399], np.ones((1, 399)), np.ones(399))["reserve_high"]).all()


def test_nothing_claimed_is_nothing_earned():
    found = price(fade_of(np.full((3, 2, 5), 0.9), TIME), YEARLY, PURE, PACK_KWH, 1)
    assert np.isnan(found["earned_share"]).all()
    np.testing.assert_array_equal(found["reserve"], 0.0)
    # Twelve years do not show what one in ten is, although none of them has a claim.
    assert np.isnan(found["aggregate_exceedance"]).all()
    many = price(fade_of(np.full((100, 2, 5), 0.9), TIME), YEARLY, PURE, PACK_KWH, 1)
    np.testing.assert_array_equal(many["aggregate_exceedance"], [0.0, 0.0, np.nan, np.nan, np.nan])


def test_return_levels_of_exponential_years():
    yearly = np.random.default_rng(1).exponential(7.0, size=(20_000, 10))
    (found,) = return_levels(yearly, np.ones((1, 20_000)), np.ones(20_000))
    np.testing.assert_allclose(found, 7.0 * np.log(RETURN_PERIODS), rtol=0.03)


def test_a_draw_that_weighs_three_is_there_three_times():
    yearly = np.random.default_rng(2).exponential(7.0, size=(600, 5))
    weights = np.random.default_rng(3).integers(0, 4, size=(2, 600))
    for row, found in zip(weights, return_levels(yearly, weights.astype(float), np.ones(600)), strict=True):
        expected = np.quantile(np.repeat(yearly, row, axis=0), 1.0 - 1.0 / RETURN_PERIODS, method="inverted_cdf")
        np.testing.assert_array_equal(found[:4], expected[:4])


@pytest.mark.slow
def test_intervals_of_return_levels_hold_the_truth_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr("fadecast.warranty.intervals.REPLICATES", 400)
    truth, hits = 7.0 * np.log(RETURN_PERIODS[:4]), 0.0
    for seed in range(400):
        yearly = np.random.default_rng(seed).exponential(7.0, size=(400, 10))
        (value,) = return_levels(yearly, np.ones((1, 400)), np.ones(400))
        width = half_widths(
            lambda weights, of=yearly: {"level": return_levels(of, weights, np.ones(400))}, np.arange(400), 0.90, seed
        )
        hits += np.abs(value[:4] - truth) <= width["level"][:4]
    np.testing.assert_allclose(hits / 400, 0.90, atol=0.04)


def test_a_return_level_needs_twenty_draws_that_reach_it():
    yearly = np.random.default_rng(1).exponential(7.0, size=(200, 10))
    (found,) = return_levels(yearly, np.ones((1, 200)), np.ones(200))
    # 2,000 years: 20 of them are beyond once in a hundred, in at most as many draws.
    assert np.isfinite(found[RETURN_PERIODS <= 50.0]).all()
    assert np.isnan(found[RETURN_PERIODS == 250.0]).all()


@pytest.mark.parametrize("weight", [1.0, 60.0])
def test_packs_that_stand_for_others_change_no_rate(weight):
    fade = fade_of([[[1.0, 0.8, 0.7, 0.6, 0.6]] * 2], TIME).assign(pack_weight=weight)
    found = price(fade, YEARLY, PURE, PACK_KWH, 1)
    np.testing.assert_allclose(found["reserve"], [20.0, 10.0, 0.0, 0.0], atol=1e-9)
