"""Changes of a price that can be worked out, and by pairs."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.outcome import Outcome
from fadecast.warranty import Capital, Premium, ReplacementRemedy, price, sensitivities

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_with_loss, linear_fade


def found(fade, contract=ONE_INSPECTION, premium=PURE):
    return sensitivities(fade, contract, premium, PACK_KWH, 1)


def change(dataset, words, name="premium_change"):
    (place,) = (n for n, what in enumerate(dataset["change"].values) if words in str(what))
    return float(dataset[name][place])


def test_changes_of_a_certain_loss_by_hand():
    # 0.40 left of 0.70 at 100 USD/kWh after ten years: 30 USD/kWh.
    dataset = found(linear_fade([[0.4]] * 3, times=2), premium=replace(PURE, discount_rate=0.03))
    worth = 1.03**-10
    for words, expected in (
        ("guaranteed capacity", -5.0 * worth),
        ("deductible", -2.0 * worth),
        ("dearer", 3.0 * worth),
        ("fade 10 %", 6.0 * worth),
        ("fade 25 %", 15.0 * worth),
        ("risk-free rate", 30.0 * (1.04**-10 - worth)),
        ("cost of capital", 0.0),
    ):
        assert change(dataset, words) == pytest.approx(expected, abs=1e-9)
        assert change(dataset, words, "premium_change_interval") == pytest.approx(0.0, abs=1e-9)


def test_a_change_is_known_better_than_the_price():
    losses = np.random.default_rng(0).uniform(5.0, 20.0, 60)
    premium = Premium(capital=Capital(cost_of_capital=0.06))
    fade = fade_with_loss(losses)
    dataset = found(fade, premium=premium)
    whole = price(fade, ONE_INSPECTION, premium, PACK_KWH, 1)["premium_interval"].item()
    assert 0.0 < change(dataset, "dearer", "premium_change_interval") < 0.2 * whole
    assert change(dataset, "cost of capital") > 0.0
    assert change(dataset, "cost of capital", "expected_loss_change") == 0.0
    assert change(dataset, "sudden failures") > 0.0


def test_changes_are_those_of_two_prices():
    fade = linear_fade(np.random.default_rng(2).uniform(0.5, 0.8, (30, 4)))
    remedy = ReplacementRemedy(kind="replacement", price=((0.0, 200.0), (10.0, 100.0)))
    contract = replace(ONE_INSPECTION, inspection_interval_years=1.0, remedy=remedy)
    dearer = replace(contract, remedy=replace(remedy, price=((0.0, 220.0), (10.0, 110.0))))
    premium = Premium(yield_curve=((1.0, 0.02), (10.0, 0.04)))
    dataset = found(fade, contract, premium)
    one, other = (price(fade, each, premium, PACK_KWH, 1)["premium"].item() for each in (contract, dearer))
    assert change(dataset, "dearer") == pytest.approx(other - one, rel=1e-9)
    steeper = replace(premium, yield_curve=((1.0, 0.03), (10.0, 0.05)))
    assert change(dataset, "risk-free") == pytest.approx(
        price(fade, contract, steeper, PACK_KWH, 1)["premium"].item() - one, rel=1e-9
    )


def test_owners_who_know_their_packs_insure_those_that_claim():
    # Of two packs of a draw one lacks 0.30 of 0.70 at the end, the other nothing: 15 USD/kWh of both, 30 of the first.
    fade = linear_fade([[0.4, 0.9], [0.9, 0.4], [0.4, 0.9]], times=2)
    dataset = found(fade)
    assert change(dataset, "will fade most") == pytest.approx(15.0)
    assert change(dataset, "will fade most", "premium_change_interval") == pytest.approx(0.0, abs=1e-9)
    # All start alike, so that the first of each draw are taken: two of the three that claim.
    assert change(dataset, "starts weakest") == pytest.approx(20.0 - 15.0)


def test_the_weak_half_is_that_of_the_state_at_the_start():
    fade = linear_fade([[0.4, 0.9, 0.4, 0.9]] * 2, times=2)
    start = np.array([0.6, 0.8, 0.7, 0.9])[None, :, None]
    fade["soh"] = fade["soh"] * start
    assert change(found(fade), "starts weakest") == pytest.approx(30.0 - 30.0 * (0.6 + 0.7) / 3.0)


def test_packs_at_the_end_of_their_life_fade_most_and_failed_ones_least():
    fade = linear_fade([[0.9, 0.8, np.nan, np.nan]] * 2, times=2)
    fade["retention"][:, :, 0] = 1.0
    fade["soh"][:, :, 0] = 1.0
    ended, failed = Outcome.CAPACITY_EXHAUSTED, Outcome.NOT_FINITE
    fade["outcome"] = (("draw", "pack"), np.array([[0, 0, ended, failed]] * 2))
    premium = replace(PURE, max_failed_share=0.5)
    # The one that ended measures 0 of 0.70: 70 USD/kWh, of three that are known, or of two.
    assert change(found(fade, premium=premium), "will fade most") == pytest.approx(70.0 / 2.0 - 70.0 / 3.0)


def slope(dataset, words, name="premium_slope"):
    (place,) = (n for n, what in enumerate(dataset["sensitivity"].values) if words in str(what))
    return float(dataset[name][place])


def test_derivatives_of_uniform_losses_are_the_closed_forms():
    a, b, draws = 0.5, 0.9, 2000
    kept = a + (b - a) * (np.arange(draws) + 0.5) / draws
    dataset = found(linear_fade(kept[:, None], times=2), premium=replace(PURE, discount_rate=0.03))
    worth = 1.03**-10
    # The loss is 100 (0.7 - m) of those that keep m < 0.7: a share of (0.7 - a) / (b - a).
    short, mean = (0.7 - a) / (b - a), (0.7 + a) / 2.0
    for words, expected in (
        ("deductible", -1.0 * short * worth),
        ("faster fade", (1.0 - mean) * short * worth),
        ("price of the remedy", 0.01 * 100.0 * (0.7 - mean) * short * worth),
        ("risk-free rate", -0.1 / 1.03 * 100.0 * (0.7 - mean) * short * worth),
    ):
        assert slope(dataset, words) == pytest.approx(expected, rel=2e-3, abs=1e-9)
    assert slope(dataset, "deductible", "premium_slope_interval") > 0.0


def test_a_derivative_by_the_cost_of_capital_is_capital_times_its_time():
    fade = fade_with_loss(np.random.default_rng(0).uniform(5.0, 20.0, 60))
    premium = replace(PURE, capital=Capital(cost_of_capital=0.05))
    load = price(fade, ONE_INSPECTION, premium, PACK_KWH, 1)["capital_load"].item()
    assert slope(found(fade, premium=premium), "cost of capital") == pytest.approx(0.01 * load / 0.05, rel=1e-6)


def test_where_paths_jump_it_is_the_difference_of_a_whole_step():
    fade = linear_fade(np.random.default_rng(2).uniform(0.6, 0.8, (40, 5)))
    contract = replace(ONE_INSPECTION, remedy=ReplacementRemedy(kind="replacement"))
    less = replace(contract, deductible=0.01)
    one, other = (price(fade, each, PURE, PACK_KWH, 1)["premium"].item() for each in (contract, less))
    assert slope(found(fade, contract), "deductible") == pytest.approx(other - one, rel=1e-9)
    assert other < one
