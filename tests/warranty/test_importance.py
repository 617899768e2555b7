"""Importance sampling of bad batches, against the binomial numbers that they have in truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fadecast.warranty import Contract, Failures, ReplacementRemedy, exceedance, price

from .hand_made import PACK_KWH, PURE, linear_fade

BATCHES, PROBABILITY = 4, 0.02
CONTRACT = Contract(
    remedy=ReplacementRemedy(kind="replacement", price=((0.0, 100.0),)),
    failures=Failures(batches=BATCHES, defect_probability=PROBABILITY, defect_share=1.0, defect_years=1e-9),
)
SAMPLED = replace(PURE, defect_sampling=0.4, levels=(0.9, 0.995))
BAD = stats.binom(BATCHES, PROBABILITY)
"""A pack of each batch, of which none fades: 25 USD/kWh for each that is bad."""


def priced(premium, draws, seed=1):
    return price(linear_fade(np.full((draws, BATCHES), 0.9)), CONTRACT, premium, PACK_KWH, seed)


def test_prices_of_a_tilted_sample_are_those_of_the_contract():
    found = priced(SAMPLED, 1000)
    for name, truth in (
        ("expected_loss", 100.0 * PROBABILITY),
        ("failures_per_pack", PROBABILITY),
        ("claims_per_pack", PROBABILITY),
    ):
        assert found[name].item() == pytest.approx(truth, rel=0.1)
    assert found["draw_weight"].mean().item() == pytest.approx(1.0, rel=0.05)
    # The tail: two bad batches of four, at 0.2 % and more.
    tail = found.sel(level=0.995)
    assert BAD.sf(0) > 0.005 > BAD.sf(1)
    assert tail["value_at_risk"].item() == pytest.approx(25.0)
    beyond = 25.0 * sum(BAD.sf(number) for number in range(1, BATCHES)) / 0.005
    assert tail["tail_value_at_risk"].item() == pytest.approx(25.0 + beyond, rel=0.15)
    curve = exceedance(found)
    for number in range(1, BATCHES):
        at_least = curve["probability"][curve["loss"] > 25.0 * number - 1.0].max()
        assert at_least == pytest.approx(BAD.sf(number - 1), rel=0.25)


def test_it_resolves_a_tail_that_as_many_plain_draws_do_not():
    plain = priced(replace(SAMPLED, defect_sampling=None), 1000)
    assert np.isnan(plain.sel(level=0.995)["tail_value_at_risk"])
    assert np.isfinite(priced(SAMPLED, 1000).sel(level=0.995)["tail_value_at_risk_interval"])


def test_sampled_as_they_are_draws_count_once_and_nothing_moves():
    same = priced(replace(SAMPLED, defect_sampling=PROBABILITY), 200)
    plain = priced(replace(SAMPLED, defect_sampling=None), 200)
    np.testing.assert_allclose(same["draw_weight"], 1.0, rtol=1e-12)
    for name in ("expected_loss", "expected_loss_interval", "survival", "telemetry_deviation"):
        np.testing.assert_allclose(same[name], plain[name], rtol=1e-9)


def test_the_interval_of_the_expected_loss_holds_it(monkeypatch):
    monkeypatch.setattr("fadecast.warranty.intervals.REPLICATES", 200)
    held = 0
    for seed in range(100):
        found = priced(SAMPLED, 100, seed)
        held += abs(found["expected_loss"] - 100.0 * PROBABILITY).item() <= found["expected_loss_interval"].item()
    # Draws are spread evenly, so that intervals are wider than need be.
    assert held >= 86
