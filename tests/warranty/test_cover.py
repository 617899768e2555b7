"""Terms of a contract, each by a case that can be worked out on paper, and chance by its closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from fadecast.outcome import Outcome
from fadecast.variables import VARIABLES
from fadecast.warranty import (
    CashRemedy,
    Conditions,
    Contract,
    Failures,
    RepairRemedy,
    ReplacementRemedy,
    Test,
    Unserved,
    observed,
    price,
)
from fadecast.warranty.claims import discount_factor, settle

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_of, linear_fade

YEARLY = Contract(guarantee=((0.0, 0.8),), remedy=CashRemedy(usd_per_kwh=100.0))
"""80 % for ten years, inspected each year, 100 USD/kWh."""
RENEWED = replace(YEARLY, remedy=ReplacementRemedy(kind="replacement", price=((0.0, 200.0), (10.0, 100.0))))
NOISELESS = Test()


def usd_per_kwh(fade, contract, discount=0.0, seed=0):
    """Loss per kWh of base energy of each pack."""
    claims = settle(fade, contract, discount, PACK_KWH, seed)
    return claims.loss / claims.base_energy


def with_further(fade, **values):
    """Return a dataset with further variables, each given along time."""
    units = {name: VARIABLES[name].units for name in values}
    shape = fade["retention"].shape
    arrays = {
        name: xr.DataArray(np.broadcast_to(value, shape), dims=("draw", "pack", "time"), attrs={"units": units[name]})
        for name, value in values.items()
    }
    return fade.assign(arrays)


def half(**further):
    """A pack that loses half its capacity in ten years, 5 points a year, by the year."""
    return with_further(linear_fade([[0.5]]), **further)


def test_owed_by_hand():
    contract = replace(
        ONE_INSPECTION, remedy=CashRemedy(usd_per_kwh=200.0), deductible=0.05, limit_usd_per_kwh=30.0, owner_share=0.25
    )
    # 0.70 guaranteed: shortfalls of none, 0.05 (all deducted), 0.10 and 0.40 (above the limit).
    found = usd_per_kwh(linear_fade([[0.80, 0.65, 0.60, 0.30]]), contract)
    np.testing.assert_allclose(found, [[0.0, 0.0, 0.75 * 10.0, 30.0]], atol=1e-12)


def test_power_is_guaranteed_beside_capacity_and_nothing_is_paid_twice():
    contract = replace(YEARLY, power_guarantee=((0.0, 0.6),))
    years = np.arange(11.0)
    # Power falls to 1 / 2 at the end: 0.1 short; capacity is 0.3 short.
    fade = half(resistance=0.05 * (1.0 + years / 10.0))
    assert usd_per_kwh(fade, contract).item() == pytest.approx(30.0)
    assert usd_per_kwh(fade, replace(contract, guarantee=((0.0, 0.4),))).item() == pytest.approx(10.0)
    with pytest.raises(ValueError, match="no variable 'resistance'"):
        usd_per_kwh(linear_fade([[0.5]]), contract)
    fade["resistance"].attrs["units"] = "mohm"
    with pytest.raises(ValueError, match="'resistance' is in 'mohm', expected 'ohm'"):
        usd_per_kwh(fade, contract)


def test_nothing_is_owed_while_waiting():
    early = fade_of([[[1.0, 0.5, 1.0, 1.0]]], [0.0, 2.0, 4.0, 10.0])
    assert usd_per_kwh(early, YEARLY).item() == pytest.approx(30.0)
    assert usd_per_kwh(early, replace(YEARLY, waiting_period_years=2.0)).item() == pytest.approx(5.0)
    assert usd_per_kwh(early, replace(YEARLY, waiting_period_years=3.0)).item() == 0.0


def test_cover_ends_with_its_cycles_or_at_broken_terms():
    years = np.arange(11.0)
    # 5 A.h cells of which 2 A.h a day pass: 73 cycles of nameplate a year.
    fade = half(
        charge_throughput=730.0 * years,
        capacity=5.0 - 0.25 * years,
        temperature_max=30.0 + 2.0 * years,
        c_rate_max=0.2 + 0.04 * years,
        state_of_charge_max=0.8 + 0.01 * years,
        state_of_charge_min=0.2 - 0.01 * years,
    )
    for contract, last in (
        (replace(YEARLY, max_full_cycles=73.0 * 7.5), 7),
        (replace(YEARLY, conditions=Conditions(max_temperature=46.5)), 8),
        (replace(YEARLY, conditions=Conditions(max_c_rate=0.5)), 7),
        (replace(YEARLY, conditions=Conditions(max_state_of_charge=0.875)), 7),
        (replace(YEARLY, conditions=Conditions(min_state_of_charge=0.135)), 6),
        (replace(YEARLY, conditions=Conditions(max_c_rate=0.61, min_state_of_charge=0.09)), 10),
        (replace(YEARLY, conditions=Conditions(max_cycles_per_year=80.0)), 10),
        (replace(YEARLY, conditions=Conditions(max_cycles_per_year=70.0)), 0),
    ):
        claims = settle(fade, contract, 0.0, PACK_KWH)
        short = max(0.8 - (1.0 - 0.05 * last), 0.0)
        np.testing.assert_allclose(claims.loss / claims.base_energy, 100.0 * short, atol=1e-9)
        assert claims.voided.item() == (last < 10)


def test_of_the_levels_by_age_and_by_throughput_the_lower_one_is_guaranteed():
    years = np.arange(11.0)
    # 73 cycles of nameplate a year; 0.8 is guaranteed by age.
    fade = half(charge_throughput=730.0 * years, capacity=5.0 - 0.25 * years)
    for points, level in (
        (((365.0, 0.9), (730.0, 0.7)), 0.7),
        (((0.0, 0.9), (1460.0, 0.5)), 0.7),
        (((730.0, 0.9), (731.0, 0.6)), 0.8),
    ):
        contract = replace(YEARLY, cycle_guarantee=points, inspection_interval_years=10.0)
        assert usd_per_kwh(fade, contract).item() == pytest.approx(100.0 * (level - 0.5))
    # Yearly: the shortfall is the largest in year 9, after 657 cycles; in year 10 only 0.6 is guaranteed.
    stepped = replace(YEARLY, cycle_guarantee=((720.0, 0.8), (1000.0, 0.6)), interpolation="stepped")
    assert usd_per_kwh(fade, stepped).item() == pytest.approx(100.0 * (0.8 - 0.55))
    with pytest.raises(ValueError, match="no variable 'charge_throughput'"):
        usd_per_kwh(linear_fade([[0.5]]), stepped)
    with pytest.raises(ValueError, match=r"cycle_guarantee point \(5, 0.7\) follows .* cycles must rise"):
        replace(YEARLY, cycle_guarantee=((10.0, 0.8), (5.0, 0.7)))


def test_a_pack_at_the_end_of_its_life_does_no_more_cycles():
    years = np.arange(11.0)
    known = np.where(years < 6.0, 1.0, np.nan)
    fade = half(charge_throughput=730.0 * years * known, capacity=(5.0 - 0.25 * years) * known)
    fade["retention"], fade["soh"] = fade["retention"] * known, fade["soh"] * known
    fade["outcome"] = ("draw", "pack"), np.full((1, 1), Outcome.CAPACITY_EXHAUSTED)
    # 0.8 up to its 365 cycles and 0.3 after 584, which it would have done: it holds nothing in year 6.
    contract = replace(YEARLY, cycle_guarantee=((365.0, 0.8), (584.0, 0.3)))
    assert usd_per_kwh(fade, contract).item() == pytest.approx(80.0)


def test_a_pack_that_failed_does_no_more_cycles():
    years = np.arange(11.0)
    fade = half(charge_throughput=730.0 * years, capacity=5.0 - 0.25 * years)
    ends = Failures(defect_probability=1.0, defect_share=1.0, defect_years=1e-6)
    # Looked at in year 10 alone: 0.8 of those that ended before year 6, less of later ones, down to 0.3.
    contract = replace(YEARLY, cycle_guarantee=((365.0, 0.8), (584.0, 0.3)), failures=ends, waiting_period_years=9.5)
    found = [usd_per_kwh(fade, contract, seed=seed).item() for seed in range(40)]
    by_year = [80.0] * 6 + [80.0 - 50.0 * (73.0 * n - 365.0) / 219.0 for n in (6, 7)] + [30.0] * 2
    assert set(np.round(found, 9)) <= set(np.round(by_year, 9))
    assert 0.4 < np.mean(np.isclose(found, 80.0)) < 0.8


def test_a_new_pack_is_held_to_its_own_throughput():
    years = np.arange(11.0)
    fade = linear_fade([[0.5]]).assign(
        charge_throughput=(("draw", "pack", "time"), (730.0 * years)[None, None], {"units": "A.h"}),
        capacity=(("draw", "pack", "time"), (5.0 - 0.25 * years)[None, None], {"units": "A.h"}),
    )
    # 0.8 up to 438 cycles, less after: the first falls short in year 5, the new one, then five years old, in year 10.
    contract = replace(RENEWED, cycle_guarantee=((438.0, 0.8), (439.0, 0.1)))
    assert usd_per_kwh(fade, contract).item() == pytest.approx(usd_per_kwh(fade, RENEWED).item())
    assert usd_per_kwh(fade, replace(contract, cycle_guarantee=((300.0, 0.8), (301.0, 0.1)))).item() == 0.0


def test_a_pack_is_replaced_when_it_falls_short_and_again_when_the_new_one_does():
    # Below 0.8 first at year 5, where the price is 150; the new pack is five years old at year 10: 100.
    fade = linear_fade([[0.5]])
    claims = settle(fade, RENEWED, 0.04, PACK_KWH)
    assert claims.loss.item() / PACK_KWH == pytest.approx(150.0 * 1.04**-5 + 100.0 * 1.04**-10)
    np.testing.assert_array_equal(claims.count[0], [0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
    once = replace(RENEWED, remedy=replace(RENEWED.remedy, renewed=False))
    assert usd_per_kwh(fade, once).item() == pytest.approx(150.0)
    labour = replace(RENEWED, remedy=replace(RENEWED.remedy, labour_usd=780.0, salvage_usd_per_kwh=20.0))
    # What is taken out still holds 0.75 of its energy.
    assert usd_per_kwh(fade, labour).item() == pytest.approx(250.0 + 2 * (10.0 - 0.75 * 20.0))
    assert usd_per_kwh(fade, replace(RENEWED, limit_usd_per_kwh=180.0)).item() == pytest.approx(180.0)
    assert usd_per_kwh(fade, replace(RENEWED, owner_share=0.5)).item() == pytest.approx(125.0)


def mended(**terms):
    """Repairs that give 12 points back, at 100 USD/kWh and no labour; 100 USD/kWh in cash for what they do not."""
    given = {"kind": "repair", "restores": 0.12, "usd_per_kwh_restored": 100.0, "labour_usd": 0.0}
    return replace(YEARLY, remedy=RepairRemedy(**given | {"cash": CashRemedy(usd_per_kwh=100.0)} | terms))


def test_a_pack_is_repaired_as_often_as_may_be_and_then_paid_for():
    # 80 % to be kept, 5 points a year: repaired once it falls short, 12 points more make it 3 short after 7 years,
    # and 18 at the end, which are paid for.
    assert usd_per_kwh(half(), mended()).item() == pytest.approx(12.0 + 18.0)
    assert usd_per_kwh(half(), mended(labour_usd=500.0)).item() == pytest.approx(12.0 + 18.0 + 500.0 / PACK_KWH)
    # A second repair after 7 years leaves 6 points to pay for.
    assert usd_per_kwh(half(), mended(most=2)).item() == pytest.approx(2.0 * 12.0 + 6.0)
    assert usd_per_kwh(half(), mended(most=3)).item() == pytest.approx(3.0 * 12.0)


def test_what_a_repair_cannot_make_up_for_is_paid():
    # 20 points lost at once, 5 of them after the repair of the year before would have been.
    fade = fade_of([[[1.0, 1.0, 0.6, 0.6]]], [0.0, 4.5, 4.6, 10.0])
    assert usd_per_kwh(fade, mended()).item() == pytest.approx(20.0)
    # One that has ended is not repaired.
    ended = fade_of([[[1.0, 0.9, np.nan]]], [0.0, 4.5, 10.0]).assign(
        outcome=(("draw", "pack"), [[Outcome.CAPACITY_EXHAUSTED]])
    )
    assert usd_per_kwh(ended, mended()).item() == pytest.approx(80.0, abs=1.0)


def test_repairs_give_back_no_more_than_was_lost():
    # 5 short once, then level: the repair would lift the pack above its start.
    fade = fade_of([[[1.0, 0.75, 0.75]]], [0.0, 5.0, 10.0])
    contract = replace(mended(restores=0.9), guarantee=((0.0, 0.8),))
    assert usd_per_kwh(fade, contract).item() == pytest.approx(90.0)


def test_the_limit_holds_for_repairs_and_cash_together():
    contract = replace(mended(), limit_usd_per_kwh=20.0, owner_share=0.0)
    assert usd_per_kwh(half(), contract).item() == pytest.approx(20.0)
    assert usd_per_kwh(half(), replace(contract, limit_usd_per_kwh=7.0)).item() == pytest.approx(7.0)
    assert usd_per_kwh(half(), replace(mended(), owner_share=0.5)).item() == pytest.approx(15.0)


@settings(deadline=None)
@given(arrays(float, (2, 3, 6), elements=st.floats(0.05, 1.0)), st.floats(0.02, 0.4), st.integers(1, 3))
def test_repairs_are_those_of_a_loop_over_packs(retention, restores, most):
    time = np.arange(0.0, 12.0, 2.0)
    contract = mended(restores=restores, most=most)
    expected = np.zeros(retention.shape[:2])
    for place in np.ndindex(*expected.shape):
        repairs, cash = 0, 0.0
        for year in np.arange(1.0, 11.0):
            left = min(np.interp(year, time, retention[place]) + restores * repairs, retention[place][0])
            missing = 0.8 - left
            if 0.0 < missing <= restores and repairs < most:
                repairs += 1
            else:
                cash = max(cash, 100.0 * missing)
        expected[place] = 100.0 * restores * repairs + cash
    np.testing.assert_allclose(usd_per_kwh(fade_of(retention, time), contract), expected, rtol=1e-9, atol=1e-9)


trajectories = arrays(float, (2, 3, 6), elements=st.floats(0.0, 1.0))


@settings(deadline=None)
@given(trajectories, st.sampled_from([1.0, 2.0, 3.0]), st.floats(0.3, 0.9), st.floats(0.0, 0.5))
def test_replacements_are_those_of_a_loop_over_packs(retention, interval, level, share):
    time = np.arange(0.0, 12.0, 2.0)
    contract = replace(
        RENEWED,
        measure="soh",
        guarantee=((0.0, 1.0), (10.0, level)),
        inspection_interval_years=interval,
        owner_share=share,
    )
    expected = np.zeros(retention.shape[:2])
    inspections = [*np.arange(interval, 10.0, interval), 10.0]
    for place in np.ndindex(*expected.shape):
        began = 0.0
        for year in inspections:
            age = year - began
            if np.interp(age, time, retention[place]) < np.interp(age, [0.0, 10.0], [1.0, level]):
                expected[place] += (1.0 - share) * (200.0 - 10.0 * year)
                began = year
    np.testing.assert_allclose(usd_per_kwh(fade_of(retention, time), contract), expected, rtol=1e-9, atol=1e-9)


PACKS = 40_000


def level_packs(retention):
    """Packs that stand at one retention all the time."""
    return fade_of(np.full((1, PACKS, 2), retention), [0.0, 10.0])


@pytest.mark.parametrize(
    ("test", "probability"),
    [
        (Test(noise_sd=0.02, retest=False), norm.cdf(-1.0)),
        (Test(noise_sd=0.02), norm.cdf(-1.0) ** 2),
        # An error that stays is the same in the second test.
        (Test(bias_sd=0.02), norm.cdf(-1.0)),
        (Test(bias_sd=0.02, noise_sd=0.0, retest=False), norm.cdf(-1.0)),
    ],
)
def test_false_claims_are_as_likely_as_errors_are(test, probability):
    """Packs that stand two points above what is guaranteed."""
    claims = settle(level_packs(0.72), replace(ONE_INSPECTION, test=test), 0.0, PACK_KWH, seed=3)
    assert claims.false_claims.item() / PACKS == pytest.approx(probability, abs=4 * np.sqrt(probability / PACKS))
    assert claims.count.sum() == claims.false_claims.item()
    # Packs below are owed something by right.
    assert settle(level_packs(0.69), replace(ONE_INSPECTION, test=test), 0.0, PACK_KWH).false_claims.item() == 0


def test_what_an_unsure_test_finds_is_what_is_paid():
    """E max(x, 0) of a normal shortfall: sd (phi(d) - d Phi(-d)), one sd above the guarantee."""
    contract = replace(ONE_INSPECTION, test=Test(noise_sd=0.02, retest=False))
    expected = 100.0 * 0.02 * (norm.pdf(1.0) - norm.cdf(-1.0))
    assert usd_per_kwh(level_packs(0.72), contract).mean() == pytest.approx(expected, rel=0.03)
    # Of the worst of ten tests more is paid than of one.
    often = replace(contract, inspection_interval_years=1.0)
    assert usd_per_kwh(level_packs(0.72), often).mean() > 5.0 * expected
    handled = replace(ONE_INSPECTION, test=Test(noise_sd=0.02, handling_usd=50.0))
    first = settle(level_packs(0.72), handled, 0.0, PACK_KWH).loss
    without = settle(level_packs(0.72), replace(handled, test=Test(noise_sd=0.02)), 0.0, PACK_KWH).loss
    assert (first - without).mean() == pytest.approx(50.0 * norm.cdf(-1.0), rel=0.03)


def sudden(**values):
    return Failures(**{"per_year": 0.02, "log_sd": 0.0, **values})


def test_packs_that_end_claim_the_whole_guarantee():
    claims = settle(level_packs(0.9), replace(YEARLY, failures=sudden()), 0.0, PACK_KWH)
    ended = -np.expm1(-0.02 * 10.0)
    assert claims.failures.item() / PACKS == pytest.approx(ended, rel=0.03)
    assert (claims.loss / claims.base_energy).mean() == pytest.approx(80.0 * ended, rel=0.03)


def test_packs_that_end_and_are_replaced_are_a_poisson_process():
    fade = fade_of(np.full((1500, 25, 2), 0.9), [0.0, 10.0])
    contract = replace(RENEWED, failures=sudden(), inspection_interval_years=0.25)
    claims = settle(fade, contract, 0.0, PACK_KWH)
    count = claims.count.sum(axis=1)
    # At most one in a quarter: 40 Bernoulli trials of each pack.
    chance = -np.expm1(-0.02 * 0.25)
    assert count.mean() == pytest.approx(25 * 40 * chance, rel=0.02)
    assert count.var() == pytest.approx(25 * 40 * chance * (1.0 - chance), rel=0.1)
    # A rate that differs from draw to draw does not diversify.
    unsure = replace(contract, failures=sudden(log_sd=0.8))
    assert settle(fade, unsure, 0.0, PACK_KWH).count.sum(axis=1).var() > 3.0 * count.var()


def test_defects_come_in_batches():
    fade = fade_of(np.full((3000, 20, 2), 0.9), [0.0, 20.0])
    failures = Failures(defect_probability=0.1, defect_share=0.5, batches=2, defect_years=1e-6)
    contract = replace(YEARLY, failures=failures, inspection_interval_years=10.0)
    ended = settle(fade, contract, 0.0, PACK_KWH).failures
    assert ended.mean() == pytest.approx(20 * 0.1 * 0.5, rel=0.1)
    # None, one or two batches of ten: the share of draws without any, and the variance of a mixture.
    assert (ended == 0).mean() == pytest.approx((0.9 + 0.1 * 0.5**10) ** 2, abs=0.02)
    assert ended.var() == pytest.approx(2 * (0.1 * 27.5 - 0.25), rel=0.15)


def test_chance_belongs_to_draw_and_pack(monkeypatch):
    rng = np.random.default_rng(4)
    whole = linear_fade(rng.uniform(0.6, 0.9, (6, 8)))
    contract = replace(
        YEARLY,
        test=Test(bias_sd=0.01, noise_sd=0.01, handling_usd=3.0),
        failures=Failures(per_year=0.05, defect_probability=0.3),
    )
    loss = settle(whole, contract, 0.03, PACK_KWH, seed=7).loss
    few = settle(whole.isel(draw=slice(2), pack=slice(3)), contract, 0.03, PACK_KWH, seed=7).loss
    np.testing.assert_array_equal(loss[:2, :3], few)
    assert (settle(whole, contract, 0.03, PACK_KWH, seed=8).loss != loss).any()
    monkeypatch.setattr(observed, "_BLOCK", 2 * whole.retention[0].size)
    np.testing.assert_array_equal(settle(whole, contract, 0.03, PACK_KWH, seed=7).loss, loss)


def test_looking_at_a_pack_is_no_payment_and_the_dead_are_looked_at_once():
    looked = replace(ONE_INSPECTION, inspection_interval_years=1.0, test=Test(noise_sd=0.02, handling_usd=50.0))
    plain = replace(looked, test=Test(noise_sd=0.02))
    one, other = (settle(level_packs(0.72), contract, 0.0, PACK_KWH).count for contract in (looked, plain))
    np.testing.assert_array_equal(one, other)
    ended = linear_fade([[0.9]])
    dead = replace(YEARLY, test=Test(handling_usd=50.0), failures=Failures(per_year=1.0, log_sd=0.0))
    claims = settle(ended, dead, 0.0, PACK_KWH)
    assert claims.failures.item() == 1.0
    assert claims.loss.item() == pytest.approx(80.0 * PACK_KWH + 50.0)
    assert claims.count.sum() == 1.0


def test_a_pack_that_has_ended_breaks_no_terms():
    years = np.arange(11.0)
    fade = with_further(linear_fade([[0.95]]), charge_throughput=730.0 * years, capacity=5.0 - 0.025 * years)
    contract = replace(YEARLY, failures=Failures(per_year=3.0, log_sd=0.0), max_full_cycles=73.0 * 2.5)
    claims = settle(fade, contract, 0.0, PACK_KWH)
    assert claims.failures.item() == 1.0
    assert claims.voided.item() == 0.0
    assert claims.loss.item() == pytest.approx(80.0 * PACK_KWH)


@pytest.mark.parametrize("name", ["resistance", "temperature_max"])
def test_a_pack_of_which_a_term_is_not_known_is_left_out(name):
    known = {"resistance": 0.05, "temperature_max": 30.0}[name]
    values = np.where(np.arange(11.0) < 5.0, known, np.nan)
    terms = (
        {"power_guarantee": ((0.0, 0.6),)} if name == "resistance" else {"conditions": Conditions(max_temperature=46.0)}
    )
    assert settle(half(**{name: values}), replace(YEARLY, **terms), 0.0, PACK_KWH).excluded == 1
    assert settle(half(**{name: np.full(11, known)}), replace(YEARLY, **terms), 0.0, PACK_KWH).excluded == 0


def test_aggregate_terms_bound_the_largest_claim_and_leave_none_where_nothing_is_paid():
    fade = linear_fade([[0.5, 0.5]])
    none = settle(fade, replace(YEARLY, aggregate_deductible_usd_per_kwh=50.0), 0.0, PACK_KWH)
    assert (none.count.sum(), none.largest.max(), none.paid.sum()) == (0.0, 0.0, 0.0)
    capped = settle(fade, replace(ONE_INSPECTION, aggregate_limit_usd_per_kwh=1.0), 0.0, PACK_KWH)
    assert capped.largest.max() == pytest.approx(PACK_KWH)


def test_what_lies_between_aggregate_deductible_and_limit():
    # Two packs of half and 0.65: 0.3 and 0.15 short in the end, 22.5 USD/kWh together.
    fade = linear_fade([[0.5, 0.65]])
    contract = replace(YEARLY, aggregate_deductible_usd_per_kwh=5.0, aggregate_limit_usd_per_kwh=10.0)
    claims = settle(fade, contract, 0.0, PACK_KWH)
    assert claims.paid.sum() == pytest.approx(10.0 * 2 * PACK_KWH)
    assert claims.loss.sum() == pytest.approx(claims.paid.sum())
    np.testing.assert_allclose(claims.loss[0, 0] / claims.loss[0, 1], 2.0)
    # By the year: 2.5 at 5, 5 at 6, 8.75 at 7, 13.25 at 8, 17.5 at 9 (each over 2 packs), less 5, up to 10.
    gross = settle(fade, YEARLY, 0.0, PACK_KWH).paid.cumsum() / (2 * PACK_KWH)
    np.testing.assert_allclose(claims.paid[0].cumsum() / (2 * PACK_KWH), np.clip(gross - 5.0, 0.0, 10.0), atol=1e-12)


@given(arrays(float, (3, 4), elements=st.floats(0.0, 1.0)), st.floats(0.1, 30.0))
def test_layers_add_up_to_the_whole(end, border):
    fade = linear_fade(end)
    parts = [
        settle(fade, replace(YEARLY, **terms), 0.03, PACK_KWH).discounted
        for terms in (
            {},
            {"aggregate_limit_usd_per_kwh": border},
            {"aggregate_deductible_usd_per_kwh": border},
        )
    ]
    np.testing.assert_allclose(parts[1] + parts[2], parts[0], atol=1e-6)


def test_a_site_is_paid_for_what_packs_were_not():
    # 0.5 and 0.9: 0.7 together. Packs at 0.6 guarantee are paid 10 for the first; the site at 0.75 lacks 0.05.
    fade = linear_fade([[0.5, 0.9]])
    by_pack = replace(YEARLY, guarantee=((0.0, 0.6),))
    site = replace(by_pack, site_guarantee=((0.0, 0.75),))
    assert settle(fade, by_pack, 0.0, PACK_KWH).paid.sum() == pytest.approx(10.0 * PACK_KWH)
    # 5 USD/kWh over both packs is 10 USD per kWh of one: all of it has been paid.
    assert settle(fade, site, 0.0, PACK_KWH).paid.sum() == pytest.approx(10.0 * PACK_KWH, rel=1e-9)
    higher = replace(site, site_guarantee=((0.0, 0.8),))
    assert settle(fade, higher, 0.0, PACK_KWH).paid.sum() == pytest.approx(20.0 * PACK_KWH)


def test_a_site_is_credited_with_what_it_was_paid_before_its_packs():
    # The site is owed 4 at 6 years, by its own curve; the pack 30 at ten. The larger is paid, once.
    fade = fade_of([[[1.0, 0.65, 0.65, 0.3], [1.0, 0.95, 0.95, 0.95]]], [0.0, 1.0, 6.0, 10.0])
    both = replace(YEARLY, guarantee=((0.0, 0.6),), site_guarantee=((0.0, 0.9), (5.0, 0.5)))
    alone = replace(both, site_guarantee=None)
    paid = [settle(fade, contract, 0.0, PACK_KWH).paid.sum() / PACK_KWH for contract in (alone, both)]
    np.testing.assert_allclose(paid, [30.0, 30.0])


def test_rates_by_maturity():
    points = ((0.0, 0.02), (10.0, 0.04))
    assert discount_factor(points, 5.0) == pytest.approx(1.03**-5)
    assert discount_factor(((3.0, 0.05),), 10.0) == pytest.approx(discount_factor(0.05, 10.0))


def test_packs_in_service_are_guaranteed_and_the_larger_of_two_site_guarantees_is_paid():
    fade = linear_fade([[0.9, 0.9, 0.9, 0.9]])
    for name in ("retention", "soh"):
        fade[name][0, 3, 6:] = np.nan
    fade["outcome"] = ("draw", "pack"), [[0, 0, 0, Outcome.CAPACITY_EXHAUSTED]]
    # One of four has ended by year 6: 0.15 of the packs are missing to 0.9, and 0.05 in years in which 0.8 will do.
    contract = replace(YEARLY, guarantee=((0.0, 0.01),), availability_guarantee=((0.0, 0.9),))
    claims = settle(fade, contract, 0.0, PACK_KWH)
    assert claims.loss.sum() / claims.base_energy.sum() == pytest.approx(15.0)
    np.testing.assert_array_equal(np.flatnonzero(claims.paid[0]), [5])
    later = replace(contract, availability_guarantee=((5.0, 0.9), (5.5, 0.8)))
    assert settle(fade, later, 0.0, PACK_KWH).loss.sum() / (4 * PACK_KWH) == pytest.approx(5.0)
    # In the end 3 * 0.9 of 4 are held: 0.325 is missing to a whole site.
    both = replace(contract, site_guarantee=((0.0, 1.0),))
    assert settle(fade, both, 0.0, PACK_KWH).loss.sum() / (4 * PACK_KWH) == pytest.approx(32.5)
    none = replace(contract, availability_guarantee=((0.0, 0.75),))
    assert settle(fade, none, 0.0, PACK_KWH).loss.sum() / PACK_KWH == pytest.approx(1.0)


def test_sudden_failures_leave_fewer_packs_in_service():
    fade = linear_fade(np.full((200, 50), 0.9))
    failures = Failures(per_year=0.02, log_sd=0.0)
    contract = replace(YEARLY, guarantee=((0.0, 0.01),), availability_guarantee=((0.0, 1.0),), failures=failures)
    claims = settle(fade, contract, 0.0, PACK_KWH, 5)
    paid = claims.loss.sum(axis=1) / claims.base_energy.sum(axis=1)
    ended = 1.0 - np.exp(-0.02 * 10.0)
    assert paid.mean() == pytest.approx(100.0 * ended, abs=4.0 * paid.std() / np.sqrt(200))


def test_energy_that_is_not_delivered_is_paid_beyond_what_is_allowed():
    years = np.arange(11.0)
    fade = linear_fade([[0.9, 0.9]])
    total = np.stack([10.0 * years, 30.0 * years])[None]
    fade["energy_unserved"] = ("draw", "pack", "time"), total, {"units": "kW.h"}
    bare = replace(YEARLY, guarantee=((0.0, 0.01),))
    contract = replace(bare, unserved=Unserved(usd_per_kwh=0.5, allowed_kwh_per_kwh=0.1))
    claims = settle(fade, contract, 0.0, PACK_KWH)
    # 40 kWh a year, of which a tenth of 156 kWh is allowed.
    np.testing.assert_allclose(claims.paid[0], 0.5 * (40.0 - 15.6))
    np.testing.assert_allclose(claims.loss[0], 61.0)
    covered = price(fade, contract, PURE, PACK_KWH, 1).attrs["coverage"]
    assert covered.startswith("capacity fade and energy not delivered only: sudden failures")
    half_yearly = replace(contract, inspection_interval_years=0.5, owner_share=0.25)
    np.testing.assert_allclose(settle(fade, half_yearly, 0.0, PACK_KWH).paid[0], 0.75 * 0.5 * (40.0 - 15.6))
    waiting = replace(contract, waiting_period_years=3.0)
    assert (settle(fade, waiting, 0.0, PACK_KWH).paid[0] > 0.0).tolist() == [False] * 3 + [True] * 7
    paid = settle(fade, replace(contract, waiting_period_years=2.5), 0.0, PACK_KWH).paid[0]
    np.testing.assert_allclose(paid[1:4], [0.0, 6.1, 12.2])
    voided = replace(contract, max_full_cycles=73.0 * 4.5)
    worked = with_further(fade, charge_throughput=730.0 * years, capacity=5.0 - 0.1 * years)
    np.testing.assert_allclose(settle(worked, voided, 0.0, PACK_KWH).paid[0], [12.2] * 4 + [0.0] * 6)
    # The second pack ends in year 4, of which nothing is known: 10 kWh are within what is allowed of both. Then only
    # the first counts.
    for name in ("retention", "soh", "energy_unserved"):
        fade[name][0, 1, 4:] = np.nan
    fade["outcome"] = ("draw", "pack"), [[0, Outcome.CAPACITY_EXHAUSTED]]
    by_year = settle(fade, contract, 0.0, PACK_KWH).paid[0]
    np.testing.assert_allclose(by_year, [12.2, 12.2, 12.2, PACK_KWH, *[0.5 * (10.0 - 7.8)] * 6])
    with pytest.raises(ValueError, match="no variable 'energy_unserved'"):
        usd_per_kwh(linear_fade([[0.5]]), contract)
