"""Premium principles, layers and the split of risk against closed forms and samples with a known answer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fadecast.warranty import Capital, Layer, Loadings, Premium, price
from fadecast.warranty.layers import cede
from fadecast.warranty.principles import PRINCIPLES, distorted_mean, distortions
from fadecast.warranty.risk_split import FLEET_SIZES, moments, of_weather, scaled_deviation, split_risk

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_with_loss, linear_fade

MANY = 200_000
EXPONENTIAL = -10.0 * np.log1p(-(np.arange(MANY) + 0.5) / MANY)
"""Equal-probability points of an exponential loss of mean 10."""
ONCE = np.ones((1, MANY))


def asked(principle, loss=EXPONENTIAL, **loadings):
    g = distortions(Loadings(**loadings))[principle]
    return distorted_mean(loss, np.ones((1, loss.size)), g).item()


def test_distorted_means_of_an_exponential_loss():
    # S(x)^(1/r) is the tail of an exponential of mean r times as large; the mean of the worst of n is 10 (1 + 1/2 ...).
    assert asked("proportional_hazard", proportional_hazard=1.25) == pytest.approx(12.5, rel=2e-4)
    assert asked("dual_power", dual_power=3.0) == pytest.approx(10.0 * (1 + 1 / 2 + 1 / 3), rel=2e-4)


def test_wangs_principle_moves_a_normal_loss_by_its_standard_deviations():
    from scipy.special import ndtri

    normal = 100.0 + 8.0 * ndtri((np.arange(MANY) + 0.5) / MANY)
    assert asked("wang", normal, wang=0.45) == pytest.approx(100.0 + 0.45 * 8.0, rel=1e-4)


@given(st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any))
def test_a_weight_is_a_draw_that_often(weights):
    loss = np.array([5.0, 1.0, 0.0, 7.0, 2.0])
    for g in distortions(Loadings()).values():
        weighted = distorted_mean(loss, np.array([weights], float), g).item()
        repeated = np.repeat(loss, weights)
        assert weighted == pytest.approx(distorted_mean(repeated, np.ones((1, repeated.size)), g).item(), rel=1e-12)


def priced(losses, **premium):
    return price(fade_with_loss(losses), ONE_INSPECTION, replace(PURE, **premium), PACK_KWH, 1)


def test_a_certain_loss_is_asked_for_at_its_mean_by_all_but_the_expected_value_principle():
    found = priced(np.full(40, 12.0))["principle_premium"]
    for name in PRINCIPLES:
        expected = np.nan if name.endswith("value_at_risk") else 15.0 if name == "expected_value" else 12.0
        np.testing.assert_allclose(found.sel(principle=name), expected, rtol=1e-9)
    resolved = priced(np.full(400, 12.0))["principle_premium"]
    np.testing.assert_allclose(resolved.sel(principle=["value_at_risk", "tail_value_at_risk"]), 12.0, rtol=1e-9)


def test_the_principle_of_the_study_is_that_of_the_premium():
    losses = np.random.default_rng(0).uniform(0.0, 20.0, 500)
    for name in PRINCIPLES:
        found = priced(losses, principle=name, expense_ratio=0.2, capital=Capital(), fixed_expenses_usd_per_kwh=1.0)
        np.testing.assert_allclose(found["premium"], found["principle_premium"].sel(principle=name), rtol=1e-12)
        parts = found["expected_loss"] + found["expenses"] + found["capital_load"]
        np.testing.assert_allclose(found["premium"], parts, rtol=1e-12)
        assert found["capital_load"] > 0.0


def exponential_packs(packs=1):
    loss = EXPONENTIAL[:, None] * np.ones(packs) * PACK_KWH
    return loss, np.full_like(loss, PACK_KWH)


@pytest.mark.parametrize("kind", ["excess_of_loss", "stop_loss"])
def test_a_layer_of_an_exponential_loss(kind):
    loss, energy = exponential_packs()
    layer = Layer(kind=kind, attachment_usd_per_kwh=8.0, limit_usd_per_kwh=15.0, share=0.6)
    expected = 0.6 * 10.0 * (np.exp(-0.8) - np.exp(-2.3))
    assert cede((layer,), loss, energy).ceded.mean() / PACK_KWH == pytest.approx(expected, rel=1e-3)
    open_ended = replace(layer, limit_usd_per_kwh=None, share=1.0)
    assert cede((open_ended,), loss, energy).ceded.mean() / PACK_KWH == pytest.approx(10.0 * np.exp(-0.8), rel=1e-3)


def test_a_programme_by_hand():
    # Losses of 10 and 50 USD/kWh. A tenth of each is ceded: 9, 45. Of each above 20 up to 20: 0, 20; left 9, 25.
    # Together 17 a kWh: above 15 half of it, 1.
    loss, energy = np.array([[10.0, 50.0]]) * PACK_KWH, np.full((1, 2), PACK_KWH)
    layers = (
        Layer(kind="stop_loss", attachment_usd_per_kwh=15.0, share=0.5),
        Layer(kind="excess_of_loss", attachment_usd_per_kwh=20.0, limit_usd_per_kwh=20.0),
        Layer(kind="quota_share", share=0.1),
    )
    found = cede(layers, loss, energy)
    np.testing.assert_allclose(found.ceded[:, 0], np.array([2.0, 20.0, 6.0]) * PACK_KWH)
    np.testing.assert_allclose(found.retained, 32.0 * PACK_KWH)


losses = arrays(float, (4, 3), elements=st.floats(0.0, 100.0))
borders = st.floats(0.0, 50.0)


@given(losses, borders, st.floats(0.5, 30.0), st.floats(0.05, 1.0))
def test_what_is_ceded_and_what_is_left_are_the_whole(loss, attachment, limit, share):
    energy = np.full_like(loss, 2.0)
    layers = (
        Layer(kind="excess_of_loss", attachment_usd_per_kwh=attachment, limit_usd_per_kwh=limit, share=share),
        Layer(kind="excess_of_loss", attachment_usd_per_kwh=attachment + limit),
        Layer(kind="stop_loss", attachment_usd_per_kwh=attachment / 2.0, share=share),
        Layer(kind="quota_share", share=share / 2.0),
    )
    found = cede(layers, loss, energy)
    np.testing.assert_allclose(found.ceded.sum(axis=0) + found.retained, loss.sum(axis=1), rtol=1e-9, atol=1e-9)
    assert (found.ceded >= 0.0).all()
    assert (found.retained >= -1e-9).all()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("quota_share", 0.6), ("quota_share", 0.5)], "quota_share layers take 1.1 of the loss above 0"),
        (
            [("stop_loss", 0.6, 5.0, 10.0), ("stop_loss", 0.5, 10.0, 1.0)],
            "stop_loss layers take 1.1 of the loss above 10",
        ),
        ([("quota_share", 0.6, 5.0)], "give no attachment"),
    ],
)
def test_layers_that_take_more_than_there_is_are_refused(layers, message):
    names = ("kind", "share", "attachment_usd_per_kwh", "limit_usd_per_kwh")
    with pytest.raises(ValueError, match=message):
        Premium(reinsurance=tuple(Layer(**dict(zip(names, layer, strict=False))) for layer in layers))


def test_a_price_says_what_reinsurance_takes_and_leaves():
    losses = np.random.default_rng(0).uniform(0.0, 20.0, 400)
    layer = Layer(kind="stop_loss", attachment_usd_per_kwh=10.0)
    found = priced(losses, reinsurance=(layer,))
    assert found["layer_kind"].item() == "stop_loss"
    np.testing.assert_allclose(found["ceded_loss"], np.maximum(losses - 10.0, 0.0).mean(), rtol=1e-9)
    np.testing.assert_allclose(found["ceded_loss"] + found["retained_loss"], found["expected_loss"].item(), rtol=1e-12)
    np.testing.assert_allclose(found["retained_standard_deviation"], np.minimum(losses, 10.0).std(ddof=1), rtol=1e-9)
    assert 0.0 < found["ceded_loss_interval"].item() < 1.0
    assert found["premium"] == priced(losses)["premium"]


SYSTEMATIC, INDIVIDUAL = 2.0, 6.0


def shared_losses(draws, packs, seed=1):
    """Losses that packs of a draw share in part [USD for each of 1 kWh]."""
    rng = np.random.default_rng(seed)
    return 30.0 + SYSTEMATIC * rng.normal(size=(draws, 1)) + INDIVIDUAL * rng.normal(size=(draws, packs))


def test_what_packs_share_is_told_from_what_each_has_alone():
    """Also with three packs a draw, whose means differ by chance more than by what they share."""
    for packs in (3, 20):
        loss = shared_losses(200_000, packs)
        found = split_risk(moments(loss, np.ones_like(loss)), np.ones((1, len(loss))))
        assert found["systematic_standard_deviation"].item() == pytest.approx(SYSTEMATIC, rel=0.05)
        assert found["individual_standard_deviation"].item() == pytest.approx(INDIVIDUAL, rel=0.02)


def test_the_spread_of_a_fleet_is_that_of_fleets_of_that_size():
    for size in (2, 40):
        spread = shared_losses(20_000, size, seed=2).mean(axis=1).std()
        expected = scaled_deviation(np.array(SYSTEMATIC), np.array(INDIVIDUAL), np.array(float(size)))
        assert spread == pytest.approx(expected, rel=0.02)


def test_a_larger_fleet_costs_less_a_kwh_down_to_a_limit():
    rng = np.random.default_rng(3)
    end = 0.65 - 0.02 * rng.normal(size=(300, 1)) - 0.03 * rng.normal(size=(300, 30))
    found = price(linear_fade(end, times=2), ONE_INSPECTION, Premium(), PACK_KWH, 1)
    by_size = found["fleet_premium"].values
    assert (np.diff(by_size) < 0.0).all()
    assert by_size[-1] > found["expected_loss"].item() / 0.75
    # The fleet of the forecast has 30 packs: its premium lies between those of 10 and 100.
    assert by_size[2] < found["premium"].item() < by_size[1]
    assert FLEET_SIZES[-1] == np.inf


def test_a_few_packs_that_stand_for_many_are_priced_as_the_many():
    rng = np.random.default_rng(6)
    shared = 0.02 * rng.normal(size=(2000, 1))
    end = 0.66 + shared + 0.08 * rng.normal(size=(2000, 200))
    whole = price(linear_fade(end, times=2), ONE_INSPECTION, Premium(), PACK_KWH, 1)
    few = price(linear_fade(end[:, :8], times=2).assign(pack_weight=25.0), ONE_INSPECTION, Premium(), PACK_KWH, 1)
    alone = price(linear_fade(end[:, :8], times=2), ONE_INSPECTION, Premium(), PACK_KWH, 1)
    assert few["capital_load"].item() == pytest.approx(whole["capital_load"].item(), rel=0.1)
    assert alone["capital_load"].item() > 1.3 * whole["capital_load"].item()
    assert few["expected_loss"].item() == pytest.approx(alone["expected_loss"].item(), rel=1e-12)
    at = {"level": 0.99}
    assert few["value_at_risk"].sel(at).item() == pytest.approx(whole["value_at_risk"].sel(at).item(), rel=0.1)


def test_one_pack_a_draw_does_not_say_what_diversifies():
    found = price(fade_with_loss(np.arange(30.0)), ONE_INSPECTION, Premium(), PACK_KWH, 1)
    assert np.isnan(found["individual_standard_deviation"])
    assert np.isnan(found["fleet_premium"]).all()


def test_the_expected_value_principle_asks_nothing_of_spread():
    fade = linear_fade(np.random.default_rng(2).uniform(0.5, 0.8, (30, 4)))
    found = price(fade, ONE_INSPECTION, Premium(principle="expected_value"), PACK_KWH, 1)
    np.testing.assert_allclose(found["fleet_premium"], found["premium"].item())
    one = price(fade.isel(draw=[0]), ONE_INSPECTION, Premium(principle="expected_value"), PACK_KWH, 1)
    assert one["premium"].item() > 0.0
    with pytest.raises(ValueError, match="1 draw shows no spread"):
        price(fade.isel(draw=[0]), ONE_INSPECTION, Premium(principle="wang"), PACK_KWH, 1)


def test_layers_that_meet_are_not_refused_for_their_last_digits():
    first = Layer(kind="excess_of_loss", attachment_usd_per_kwh=1.1, limit_usd_per_kwh=2.2)
    Premium(reinsurance=(first, Layer(kind="excess_of_loss", attachment_usd_per_kwh=3.3)))


def test_years_of_weather_that_draws_share_are_told_apart():
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(400), 5)
    mean = 30.0 + 1.5 * rng.normal(size=400)[cluster] + SYSTEMATIC * rng.normal(size=2000)
    of = moments(mean[:, None], np.ones((2000, 1)))
    assert of_weather(of, cluster) == pytest.approx(1.5, rel=0.15)
    # One year that all draws share does not say how years differ.
    assert np.isnan(of_weather(of, np.zeros(2000, int)))
    assert np.isnan(of_weather(of, np.arange(2000)))
