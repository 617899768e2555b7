"""Where reinsurance pays, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.warranty import Capital, Loadings, Reinsurer, attachments

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_with_loss, linear_fade

MEAN, DRAWS = 5.0, 4000
EXPONENTIAL = -MEAN * np.log1p(-(np.arange(DRAWS) + 0.5) / DRAWS)
TAIL = replace(PURE, principle="tail_value_at_risk", loadings=Loadings(level=0.95))


def tried(premium, share, deviation=0.0):
    """Try attachments of exponential losses with a reinsurer who asks for a share and a part of the deviation more."""
    reinsurer = Reinsurer(expected_value=share, standard_deviation=deviation)
    return attachments(fade_with_loss(EXPONENTIAL), ONE_INSPECTION, replace(premium, reinsurer=reinsurer), PACK_KWH, 1)


@pytest.mark.parametrize(("share", "kept"), [(0.25, 0.2), (4.0, 0.8)])
def test_the_best_retention_is_that_of_cai_and_tan(share, kept):
    found = tried(TAIL, share)
    for kind in ("stop_loss", "excess_of_loss"):
        assert found["cession_saving"].sel(cession=kind).idxmax().item() == pytest.approx(kept)
    # Kept is the attachment in the tail, and of the rest the expected loss is e^(-d / mean).
    at = found.sel(cession="stop_loss", attachment_level=kept)
    d = -MEAN * np.log(1.0 - kept)
    assert at["attachment"].item() == pytest.approx(d, rel=0.01)
    assert at["cession_price"].item() == pytest.approx((1.0 + share) * MEAN * (1.0 - kept), rel=0.01)
    saved = MEAN * (1.0 + np.log(20.0)) - d - (1.0 + share) * MEAN * (1.0 - kept)
    assert at["cession_saving"].item() == pytest.approx(saved, rel=0.01)


def test_capital_that_costs_k_of_the_tail_keeps_as_much_as_its_price_is_worth():
    # One payment after ten years: k is 10 times the cost of capital, and the best is exceeded with k / (k + share).
    capital = Capital(cost_of_capital=0.03, capital_level=0.995)
    found = tried(replace(PURE, capital=capital), 0.7)
    assert found["cession_saving"].sel(cession="stop_loss").idxmax().item() == pytest.approx(0.7)


def test_without_a_load_for_risk_reinsurance_costs_its_loads():
    found = tried(replace(PURE, principle="expected_value", loadings=Loadings(expected_value=0.0)), 0.2, 0.1)
    assert (found["cession_saving"] < 0.0).all()
    whole = found.sel(attachment_level=0.0, cession="stop_loss")
    assert whole["attachment"].item() == 0.0
    assert -whole["cession_saving"].item() == pytest.approx(0.2 * MEAN + 0.1 * EXPONENTIAL.std(ddof=1), rel=1e-3)
    assert found["cession_saving_interval"].notnull().all()


def test_excess_of_loss_takes_what_packs_have_alone():
    # In each draw one pack of four loses 40 USD/kWh, the others nothing: packs differ, draws do not.
    retention = np.tile([0.3, 0.7, 0.7, 0.7], (500, 1))
    premium = replace(TAIL, reinsurer=Reinsurer(expected_value=0.0, standard_deviation=0.0))
    found = attachments(linear_fade(retention), ONE_INSPECTION, premium, PACK_KWH, 1)
    np.testing.assert_allclose(found["cession_saving"], 0.0, atol=1e-9)
    prices = found["cession_price"].sel(attachment_level=[0.0, 0.5, 0.9], cession="excess_of_loss")
    np.testing.assert_allclose(prices, [10.0, 10.0, 0.0], atol=1e-9)
