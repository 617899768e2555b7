"""Contracts that owners end early: what is no longer owed, and what is given back, by closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.warranty import CashRemedy, Contract, Premium, Termination, price
from fadecast.warranty.claims import settle

from .hand_made import PACK_KWH, PURE, fade_of, linear_fade

YEARS = np.arange(11.0)
STEADY = Contract(guarantee=((0.0, 1.0),), remedy=CashRemedy(usd_per_kwh=100.0))
"""Of a pack that loses 5 points a year it pays 5 USD/kWh at the end of each."""
RATE, DRAWS = 0.15, 20_000


def many(packs: int = 1, draws: int = DRAWS):
    """Packs that lose 5 points a year, in many draws."""
    return fade_of(np.broadcast_to(1.0 - 0.05 * YEARS, (draws, packs, 11)), YEARS)


def test_claims_and_refunds_of_owners_who_leave_at_a_constant_rate():
    contract = replace(STEADY, termination=Termination(per_year=RATE, refund_share=0.9))
    found = price(many(draws=4_000), contract, replace(PURE, expense_ratio=0.2), PACK_KWH, 3)
    expected = 5.0 * np.exp(-RATE * YEARS[1:]).sum()
    unearned = 1.0 - (1.0 - np.exp(-RATE * 10.0)) / (RATE * 10.0)
    loss, refund, premium = (found[name].item() for name in ("expected_loss", "refund", "premium"))
    assert abs(loss - expected) < 2.0 * found["expected_loss_interval"]
    assert abs(refund / premium - 0.9 * unearned) < 0.005
    assert loss == pytest.approx(premium * (1.0 - 0.2) - refund)
    assert found["ended_share"].item() == pytest.approx(1.0 - np.exp(-RATE * 10.0), abs=0.01)


def test_a_refund_is_worth_less_the_later_it_is():
    contract = replace(STEADY, termination=Termination(per_year=RATE))
    delta = np.log(1.04)
    # The integral of rate e^(-(rate + delta) t) (1 - t / 10) over the term.
    both = RATE + delta
    expected = RATE / both * (1.0 - (1.0 - np.exp(-both * 10.0)) / (both * 10.0))
    claims = settle(many(), contract, 0.04, PACK_KWH, 3)
    assert claims.refund.mean() == pytest.approx(expected, abs=4.0 * claims.refund.std() / np.sqrt(DRAWS))


def test_all_packs_of_a_draw_leave_at_once_and_nothing_is_paid_after():
    claims = settle(many(2), replace(STEADY, termination=Termination(per_year=RATE)), 0.0, PACK_KWH, 3)
    np.testing.assert_array_equal(claims.loss[:, 0], claims.loss[:, 1])
    paid = claims.paid > 0.0
    assert (np.diff(paid.astype(int), axis=1) <= 0).all()
    assert 0.0 < claims.ended.mean() < 1.0
    assert (claims.refund[claims.ended == 0.0] == 0.0).all()


@pytest.mark.parametrize("rate", [0.0, 5e-324, 1e-300])
def test_an_owner_who_is_as_good_as_never_leaving_never_does(rate):
    """However small a rate is as a number."""
    claims = settle(many(draws=50), replace(STEADY, termination=Termination(per_year=rate)), 0.0, PACK_KWH, 3)
    assert (claims.ended == 0.0).all()
    assert (claims.refund == 0.0).all()
    np.testing.assert_array_equal(claims.loss, settle(many(draws=50), STEADY, 0.0, PACK_KWH, 3).loss)


def test_a_site_is_not_paid_after_the_end_either():
    ends = Termination(per_year=1.0)
    contract = replace(STEADY, guarantee=((0.0, 0.01),), site_guarantee=((0.0, 1.0),), termination=ends)
    claims = settle(many(), contract, 0.0, PACK_KWH, 3)
    # Of ten payments of 5, those before an exponential time of mean 1 year.
    mean = 5.0 * np.exp(-YEARS[1:]).sum()
    assert claims.loss.mean() / PACK_KWH == pytest.approx(mean, abs=4.0 * claims.loss.std() / PACK_KWH / DRAWS**0.5)


def test_of_contracts_that_none_ends_nothing_is_given_back():
    found = price(linear_fade([[0.5, 0.9], [0.6, 0.7]]), STEADY, Premium(), PACK_KWH, 1)
    assert (found["refund"].item(), found["ended_share"].item()) == (0.0, 0.0)
    parts = found["expected_loss"] + found["expenses"] + found["capital_load"]
    assert found["premium"].item() == pytest.approx(parts.item())


def test_refunds_that_leave_nothing_are_refused():
    contract = replace(STEADY, termination=Termination(per_year=1.0))
    with pytest.raises(ValueError, match=r"expenses take 0.25 of the premium .* give 0.8\d* of it back"):
        price(many(), contract, Premium(), PACK_KWH, 1)
