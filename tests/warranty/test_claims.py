"""Claims against closed forms, invariances, and a plain loop over packs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fadecast.outcome import Outcome
from fadecast.warranty import (
    CashRemedy,
    Contract,
    Failures,
    Layer,
    Premium,
    ReplacementRemedy,
    Test,
    observed,
    price,
)
from fadecast.warranty.claims import settle

from .hand_made import ONE_INSPECTION, PACK_KWH, fade_of, linear_fade

YEARLY = replace(ONE_INSPECTION, inspection_interval_years=1.0)
retentions = arrays(float, (2, 3, 6), elements=st.floats(0.0, 1.0))
TIME = np.arange(0.0, 12.0, 2.0)


def _usd(fade, contract, discount_rate=0.0):
    return settle(fade, contract, discount_rate, PACK_KWH).loss


def _falling(retention):
    return np.minimum.accumulate(retention, axis=2)


def test_uniform_retention_at_the_end():
    a, b, level, packs = 0.5, 0.9, 0.70, 4000
    end = a + (b - a) * (np.arange(packs) + 0.5) / packs
    expected = 100.0 * (level - a) ** 2 / (2.0 * (b - a)) * PACK_KWH
    assert _usd(linear_fade(end[None]), ONE_INSPECTION).mean() == pytest.approx(expected, rel=1e-6)


def test_payments_of_a_steady_fade_are_an_annuity():
    rate, fade_per_year, years = 0.04, 0.03, 10
    contract = replace(YEARLY, guarantee=((0.0, 1.0),))
    annuity = (1.0 - (1.0 + rate) ** -years) / rate
    claims = settle(linear_fade([[1.0 - fade_per_year * years]]), contract, rate, PACK_KWH)
    assert claims.loss.item() == pytest.approx(100.0 * fade_per_year * annuity * PACK_KWH, rel=1e-12)
    np.testing.assert_allclose(claims.paid, 100.0 * fade_per_year * PACK_KWH, rtol=1e-12)
    # Mean time of payment of an annuity: sum k v^k / sum v^k.
    k = np.arange(1, years + 1)
    duration = np.sum(k * (1.0 + rate) ** -k) / annuity
    assert claims.loss_years.item() / claims.loss.item() == pytest.approx(duration, rel=1e-12)


def test_one_late_payment_is_discounted_once():
    loss = _usd(linear_fade([[0.5]]), ONE_INSPECTION, discount_rate=0.05).item()
    assert loss == pytest.approx(100.0 * 0.2 * PACK_KWH * 1.05**-10, rel=1e-12)


@given(retentions, st.sampled_from([0.5, 1.0, 2.5, 10.0]))
def test_payments_telescope_to_the_final_shortfall(retention, interval):
    fade = fade_of(_falling(retention), TIME)
    contract = replace(ONE_INSPECTION, inspection_interval_years=interval)
    final = 100.0 * np.maximum(0.70 - fade.retention.values[:, :, -1], 0.0)
    base = fade.soh.values[:, :, 0] * PACK_KWH
    np.testing.assert_allclose(_usd(fade, contract), final * base, rtol=1e-9, atol=1e-9)


def test_a_pack_that_recovers_keeps_what_it_was_paid_and_gets_no_more():
    fade = fade_of([[[1.0, 0.5, 0.9, 0.55, 0.4]]], [0.0, 1.0, 2.0, 3.0, 4.0])
    claims = settle(fade, replace(YEARLY, term_years=4.0), 0.0, 1.0)
    np.testing.assert_allclose(claims.paid, [[20.0, 0.0, 0.0, 10.0]], rtol=1e-12)


@given(retentions, st.floats(0.1, 5.0))
def test_twice_the_price_twice_the_loss(retention, factor):
    fade = fade_of(retention, TIME)
    dearer = replace(YEARLY, remedy=CashRemedy(usd_per_kwh=100.0 * factor))
    np.testing.assert_allclose(_usd(fade, dearer, 0.03), factor * _usd(fade, YEARLY, 0.03), rtol=1e-9, atol=1e-12)


@given(retentions, st.floats(0.0, 1.0), st.floats(0.0, 0.5), st.floats(1.0, 100.0))
def test_loss_rises_with_the_guarantee_and_falls_with_deductible_limit_and_rate(retention, share, cut, limit):
    fade = fade_of(retention, TIME)
    loss = _usd(fade, YEARLY, 0.02)
    higher = replace(YEARLY, guarantee=((10.0, 0.70 + 0.30 * share),))
    assert np.all(_usd(fade, higher, 0.0) >= _usd(fade, YEARLY, 0.0) - 1e-9)
    assert np.all(_usd(fade, replace(YEARLY, deductible=cut), 0.02) <= loss + 1e-9)
    limited = _usd(fade, replace(YEARLY, limit_usd_per_kwh=limit), 0.02)
    assert np.all(limited <= np.minimum(loss, limit * fade.soh.values[:, :, 0] * PACK_KWH) + 1e-9)
    assert np.all(_usd(fade, YEARLY, 0.05) <= loss + 1e-9)


@given(retentions, st.permutations(range(3)))
def test_order_of_packs_does_not_matter(retention, order):
    fade = fade_of(retention, TIME)
    np.testing.assert_array_equal(_usd(fade.isel(pack=order), YEARLY), _usd(fade, YEARLY)[:, order])


def test_against_a_plain_loop_over_packs():
    rng = np.random.default_rng(3)
    time = np.array([0.0, 0.7, 2.0, 3.1, 5.5, 8.0, 11.0])
    fade = fade_of(rng.uniform(0.3, 1.0, (4, 5, time.size)), time, soh_at_start=0.8)
    contract = Contract(
        term_years=9.5,
        guarantee=((0.0, 1.0), (4.0, 0.85), (9.0, 0.6)),
        measure="soh",
        inspection_interval_years=1.5,
        remedy=CashRemedy(usd_per_kwh=150.0),
        deductible=0.03,
        limit_usd_per_kwh=60.0,
    )
    years = [1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 9.5]
    loss, paid = np.zeros((4, 5)), np.zeros((4, 10))
    for d, p in np.ndindex(4, 5):
        had = 0.0
        for year in years:
            missing = np.interp(year, [0, 4, 9], [1, 0.85, 0.6]) - np.interp(year, time, fade.soh.values[d, p])
            due = min(60.0, 150.0 * max(0.0, missing - 0.03))
            payment = max(0.0, due - had) * PACK_KWH
            had = max(had, due)
            loss[d, p] += payment * 1.04**-year
            paid[d, int(np.ceil(year)) - 1] += payment
    claims = settle(fade, contract, 0.04, PACK_KWH)
    assert loss.min() > 0.0
    np.testing.assert_allclose(claims.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(claims.paid, paid, rtol=1e-12)


def test_base_energy_is_what_the_measure_refers_to():
    fade = linear_fade([[0.8, 0.6]], soh_at_start=0.75)
    np.testing.assert_allclose(settle(fade, YEARLY, 0.0, PACK_KWH).base_energy, 0.75 * PACK_KWH)
    by_nameplate = replace(YEARLY, measure="soh")
    np.testing.assert_allclose(settle(fade, by_nameplate, 0.0, PACK_KWH).base_energy, PACK_KWH)


def test_fresh_packs_are_the_same_by_either_measure():
    fade = linear_fade([[0.8, 0.6]])
    np.testing.assert_array_equal(_usd(fade, YEARLY), _usd(fade, replace(YEARLY, measure="soh")))


def test_reading_in_blocks_changes_nothing(monkeypatch):
    fade = linear_fade(np.random.default_rng(1).uniform(0.4, 0.9, (9, 4)))
    whole = settle(fade, YEARLY, 0.03, PACK_KWH)
    monkeypatch.setattr(observed, "_BLOCK", 2 * fade.retention[0].size)
    parts = settle(fade, YEARLY, 0.03, PACK_KWH)
    for name in vars(whole):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)


UNSURE = {"test": Test(bias_sd=0.01, noise_sd=0.01), "failures": Failures(per_year=0.02, defect_probability=0.3)}


@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize(
    "contract",
    [
        replace(YEARLY, site_guarantee=((0.0, 0.8),)),
        replace(YEARLY, **UNSURE, aggregate_deductible_usd_per_kwh=5.0),
        replace(YEARLY, **UNSURE, remedy=ReplacementRemedy(kind="replacement")),
    ],
)
def test_no_price_hangs_on_threads_or_on_how_many_draws_are_looked_at_together(monkeypatch, contract, threads):
    fade = linear_fade(np.random.default_rng(1).uniform(0.4, 0.9, (25, 4)))
    layers = (Layer(kind="excess_of_loss", attachment_usd_per_kwh=10.0), Layer(kind="stop_loss", share=0.5))
    whole = price(fade, contract, Premium(reinsurance=layers), PACK_KWH, seed=2)
    monkeypatch.setattr("fadecast.warranty.claims._THREADS", threads)
    monkeypatch.setattr(observed, "_BLOCK", 5 * fade.retention[0].size)
    monkeypatch.setattr(observed, "_PART", 2 * fade.retention[0].size)
    monkeypatch.setattr("fadecast.warranty.valuation._PART", 3 * 4)
    assert price(fade, contract, Premium(reinsurance=layers), PACK_KWH, seed=2).identical(whole)


def test_failed_packs_carry_neither_loss_nor_energy():
    good = linear_fade([[0.5, 0.6]])
    fade = linear_fade([[0.5, 0.1, 0.6]])
    fade["retention"][0, 1, 6:] = np.nan  # after the three years of the tail event
    with_failed, without = settle(fade, YEARLY, 0.0, PACK_KWH), settle(good, YEARLY, 0.0, PACK_KWH)
    assert with_failed.excluded == 1
    assert np.isnan(with_failed.loss[0, 1])
    assert np.isnan(with_failed.base_energy[0, 1])
    assert (with_failed.tail_packs.item(), with_failed.tail_events.item()) == (3.0, 1.0)
    np.testing.assert_array_equal(with_failed.paid, without.paid)
    assert np.nansum(with_failed.loss) == without.loss.sum()


def test_a_run_that_fails_after_the_term_is_priced():
    fade = linear_fade([[0.5]], years=12.0, times=13)
    fade["retention"][0, 0, 11:] = np.nan
    assert settle(fade, YEARLY, 0.0, PACK_KWH).excluded == 0


def test_an_exhausted_pack_claims_the_whole_guarantee():
    fade = linear_fade([[0.5, 0.9]])
    fade["retention"][0, 0, 8:] = np.nan
    fade["soh"][0, 0, 8:] = np.nan
    fade["outcome"] = (("draw", "pack"), [[Outcome.CAPACITY_EXHAUSTED, Outcome.COMPLETED]])
    claims = settle(fade, YEARLY, 0.0, PACK_KWH)
    assert (claims.excluded, claims.exhausted.tolist()) == (0, [1.0])
    np.testing.assert_allclose(claims.loss, [[70.0 * PACK_KWH, 0.0]], rtol=1e-12)


def test_tail_event_is_a_fall_below_080_within_three_years():
    # At three years: 0.79, 0.81, a dip between that recovers, and one that comes too late.
    end = [[1 - 0.21 / 3 * 10, 1 - 0.19 / 3 * 10, 0.9, 0.9]]
    fade = linear_fade(end)
    fade["retention"][0, 2, 2] = 0.75
    fade["retention"][0, 3, 4] = 0.75
    claims = settle(fade, YEARLY, 0.0, PACK_KWH)
    assert (claims.tail_events.item(), claims.tail_packs.item()) == (2.0, 4.0)
    # The same fade seen at 0, 5 and 10 years only: the first pack is below 0.80 between them.
    assert settle(linear_fade(end, times=3), YEARLY, 0.0, PACK_KWH).tail_events.item() == 1.0


@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan])
def test_a_pack_without_energy_is_refused(energy):
    with pytest.raises(ValueError, match="pack_energy_kwh"):
        settle(linear_fade([[0.5]]), YEARLY, 0.0, energy)


def test_a_pack_lost_before_three_years_says_nothing_about_the_tail_event():
    fade = linear_fade([[0.9, 0.9]])
    fade["retention"][0, 1, 2:] = np.nan
    claims = settle(fade, YEARLY, 0.0, PACK_KWH)
    assert (claims.tail_packs.item(), claims.tail_events.item()) == (1.0, 0.0)
