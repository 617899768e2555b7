"""Survival until the first shortfall: known truths, other implementations of Kaplan-Meier, and the claims."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats

from fadecast.outcome import Outcome
from fadecast.warranty import CashRemedy, Contract, Failures, ReplacementRemedy, Test, full_table, price
from fadecast.warranty.claims import settle
from fadecast.warranty.contract import inspection_times
from fadecast.warranty.intervals import half_widths
from fadecast.warranty.survival import survival

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_of, linear_fade

YEARLY = replace(ONE_INSPECTION, inspection_interval_years=1.0)
LEVEL = 0.70
"""That both guarantee."""
REPLACED = ReplacementRemedy(kind="replacement")


def survival_of(fade, contract=YEARLY):
    """Return the share of packs that have not fallen short after each inspection, all draws alike."""
    claims = settle(fade, contract, 0.0, PACK_KWH)
    return survival(claims.at_risk, claims.fallen, np.ones((1, fade.sizes["draw"])))[0]


def falling_or_failing(falls, fails, years):
    """Return packs that keep all until they fall to nothing, unless their run fails before (draw, pack)."""
    time = np.concatenate([[0.0], years])
    kept = np.where(time < falls[:, :, None], 1.0, 0.0)
    return fade_of(np.where(time < fails[:, :, None], kept, np.nan), time)


def random_fade(seed, failing=0.1, draws=3, packs=40):
    """Return packs at random around the guarantee, some of whose runs fail."""
    rng = np.random.default_rng(seed)
    retention = rng.normal(0.85, 0.1, (draws, packs, 11)).clip(0.0, 1.5)
    fails = np.where(rng.random((draws, packs)) < 10.0 * failing, rng.uniform(1.0, 11.0, (draws, packs)), np.inf)
    return fade_of(np.where(np.arange(11.0) < fails[:, :, None], retention, np.nan), np.arange(11.0))


def one_by_one(fade):
    """Return when each pack falls short or is last known at a yearly inspection, and whether it fell short."""
    times, fell = [], []
    for pack in fade["retention"].values.reshape(-1, fade.sizes["time"]):
        last, short = 0.0, False
        for year in range(1, len(pack)):
            if np.isnan(pack[year]):
                break
            last, short = float(year), bool(pack[year] < LEVEL)
            if short:
                break
        times.append(last)
        fell.append(short)
    return np.array(times), np.array(fell)


def test_exponential_ends_under_exponential_censoring():
    """Each draw is a sample of its own: of independent packs, whose error is binomial from inspection to inspection."""
    draws, packs, step = 400, 300, 0.1
    contract = replace(YEARLY, term_years=1.5, inspection_interval_years=step)
    rng, years = np.random.default_rng(5), inspection_times(contract)
    falls, fails = rng.exponential(1.0, (draws, packs)), rng.exponential(1.5, (draws, packs))
    claims = settle(falling_or_failing(falls, fails, years), contract, 0.0, PACK_KWH)
    truth, ends = np.exp(-years), -np.expm1(-step)
    # Greenwood's variance at the true chances: at risk is who has neither fallen before nor failed until now.
    at_risk = packs * np.exp(-(years - step)) * np.exp(-years / 1.5)
    error = truth * np.sqrt(np.cumsum(ends / ((1.0 - ends) * at_risk)))
    off = (survival(claims.at_risk, claims.fallen, np.eye(draws)) - truth) / error
    assert np.abs(off.mean(axis=0)).max() < 4.0 / np.sqrt(draws)
    # The standard deviation of 400 has an error of 3.5 %.
    assert off.std(axis=0) == pytest.approx(1.0, abs=0.14)
    # Packs that failed are not to be left out: those that end late are more likely to fail before.
    naive = np.array([(some[:, None] > years).mean(axis=0) for some in map(np.extract, falls < fails, falls)])
    assert ((truth - naive) / error).mean(axis=0).min() > 4.0 / np.sqrt(draws)


@pytest.mark.parametrize("seed", range(5))
def test_without_weights_it_is_that_of_scipy(seed):
    fade = random_fade(seed)
    times, fell = one_by_one(fade)
    assert 0 < fell.sum() < fell.size
    found = stats.ecdf(stats.CensoredData(uncensored=times[fell], right=times[~fell])).sf.evaluate(np.arange(1.0, 11.0))
    np.testing.assert_array_equal(survival_of(fade), found)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_lifelines(seed):
    why = "needs the package lifelines: pip install -c constraints.txt 'lifelines>=0.30'"
    lifelines = pytest.importorskip("lifelines", reason=why)
    fade = random_fade(seed)
    times, fell = one_by_one(fade)
    fitted = lifelines.KaplanMeierFitter().fit(times, fell)
    found = fitted.survival_function_at_times(np.arange(1.0, 11.0)).to_numpy()
    np.testing.assert_allclose(survival_of(fade), found, rtol=1e-12)


def test_by_hand():
    # One falls short after two years, one fails after three, one falls short after six, one keeps the guarantee.
    retention = np.full((1, 4, 11), 0.9)
    retention[0, 0, 2:] = 0.6
    retention[0, 1, 4:] = np.nan
    retention[0, 2, 6:] = 0.6
    expected = [1.0, 3 / 4, 3 / 4, 3 / 4, 3 / 4, *[3 / 4 * 1 / 2] * 5]
    np.testing.assert_allclose(survival_of(fade_of(retention, np.arange(11.0))), expected, rtol=1e-15)


def test_a_failed_pack_is_censored_and_claims_nothing():
    fade = linear_fade([[0.5, 0.6, 0.9]])
    fade["retention"][0, 0, 5:] = np.nan
    fade["outcome"] = (("draw", "pack"), [[Outcome.NOT_FINITE, Outcome.COMPLETED, Outcome.COMPLETED]])
    claims = settle(fade, YEARLY, 0.0, PACK_KWH)
    assert claims.at_risk[0].tolist() == [3.0] * 4 + [2.0] * 4 + [1.0] * 2
    assert claims.fallen[0].tolist() == [0.0] * 7 + [1.0] + [0.0] * 2
    assert np.isnan(claims.loss[0, 0])
    assert claims.count.sum() == 3.0


def test_a_pack_that_fell_short_before_its_run_failed_has_fallen_short():
    fade = linear_fade([[0.2, 0.9]])
    fade["retention"][0, 0, 6:] = np.nan
    assert survival_of(fade).tolist() == [1.0] * 3 + [0.5] * 7


@pytest.mark.parametrize("end", [Outcome.CAPACITY_EXHAUSTED, Outcome.PORES_CLOSED])
def test_the_end_of_life_is_a_shortfall(end):
    fade = linear_fade([[0.75, 0.9]])
    fade["retention"][0, 0, 5:] = np.nan
    fade["outcome"] = (("draw", "pack"), [[end, Outcome.COMPLETED]])
    assert survival_of(fade).tolist() == [1.0] * 4 + [0.5] * 6


def test_a_pack_that_recovers_has_fallen_short():
    fade = linear_fade([[0.9, 0.9]])
    fade["retention"][0, 0, 3] = 0.5
    assert survival_of(fade).tolist() == [1.0] * 2 + [0.5] * 8


def test_where_no_pack_is_left_it_stays():
    fade = linear_fade([[0.5, 0.9]])
    fade["retention"][0, 1, 9:] = np.nan
    assert survival_of(fade).tolist() == [1.0] * 6 + [0.5] * 4


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"deductible": 0.05},
        {"measure": "soh", "guarantee": ((0.0, 0.7), (10.0, 0.5))},
        {"inspection_interval_years": 2.5, "guarantee": ((4.0, 0.9), (10.0, 0.6)), "interpolation": "stepped"},
        {"remedy": REPLACED},
        {"power_guarantee": ((0.0, 0.9), (10.0, 0.8))},
    ],
)
def test_what_does_not_survive_is_paid(terms):
    rng = np.random.default_rng(7)
    fade = linear_fade(rng.uniform(0.5, 0.9, (5, 200)), soh_at_start=0.75)
    fade["resistance"] = fade["retention"].copy(data=0.05 / (1.0 - 0.6 * (1.0 - fade["retention"].values)))
    fade["resistance"].attrs["units"] = "ohm"
    contract = replace(YEARLY, **terms)
    paid = (settle(fade, contract, 0.0, PACK_KWH).loss > 0.0).mean()
    assert 0.1 < paid < 0.9
    assert 1.0 - survival_of(fade, contract)[-1] == pytest.approx(paid, abs=1e-14)


def test_a_pack_of_unknown_resistance_is_censored():
    fade = linear_fade([[0.6, 0.9]])
    fade["resistance"] = fade["retention"].copy(data=np.full((1, 2, 11), 0.05))
    fade["resistance"].attrs["units"] = "ohm"
    fade["resistance"][0, 0, 3:] = np.nan
    claims = settle(fade, replace(YEARLY, power_guarantee=((10.0, 0.8),)), 0.0, PACK_KWH)
    assert claims.at_risk[0].tolist() == [2.0] * 2 + [1.0] * 8
    assert claims.fallen.sum() == 0.0


def test_chance_and_terms_of_payment_change_nothing():
    fade = random_fade(1, failing=0.0)
    chance = replace(YEARLY, test=Test(bias_sd=0.05, noise_sd=0.05), failures=Failures(per_year=0.1))
    terms = replace(YEARLY, waiting_period_years=5.0, owner_share=0.5, limit_usd_per_kwh=1.0, remedy=REPLACED)
    for contract in (chance, terms):
        np.testing.assert_array_equal(survival_of(fade, contract), survival_of(fade))


def test_a_draw_that_counts_twice_is_two_draws():
    fade = random_fade(2, draws=4)
    claims = settle(fade, YEARLY, 0.0, PACK_KWH)
    weights = np.array([[2.0, 0.0, 1.0, 1.0], [1.0, 3.0, 0.0, 0.0]])
    found = survival(claims.at_risk, claims.fallen, weights)
    for row, draws in enumerate(([0, 0, 2, 3], [0, 1, 1, 1])):
        np.testing.assert_array_equal(found[row], survival_of(fade.isel(draw=draws)))


def test_more_packs_of_the_same_draws_make_it_no_surer():
    """Where packs of a draw are alike it is the t-interval of the share of draws."""
    draws = 12
    end = np.where(np.arange(draws) < 4, 0.5, 0.9)
    kept = (end > LEVEL).astype(float)
    expected = stats.t.ppf(0.95, draws - 1) * kept.std(ddof=1) / np.sqrt(draws)
    for packs in (1, 50):
        fade = linear_fade(np.repeat(end[:, None], packs, axis=1))
        priced = price(fade, YEARLY, PURE, PACK_KWH, 1)
        assert priced["survival"].values[-1] == pytest.approx(kept.mean())
        assert priced["survival_interval"].values[-1] == pytest.approx(expected, rel=0.06)


def _named(at_risk, fallen, weights):
    return {"survival": survival(at_risk, fallen, weights)}


@pytest.mark.parametrize("draws", [16, 64])
def test_coverage_of_its_interval(draws, monkeypatch):
    """Draws differ in how fast packs end, a tenth of which fail on the way."""
    monkeypatch.setattr("fadecast.warranty.intervals.REPLICATES", 400)
    years, packs, seeds = np.arange(1.0, 6.0), 200, 800
    rates = stats.gamma(a=4.0, scale=0.05)
    truth = 1.0 / (1.0 + 0.05 * years) ** 4.0
    hits = np.zeros(len(years))
    for seed in range(seeds):
        rng = np.random.default_rng([draws, seed])
        rate = rates.rvs(draws, random_state=rng)
        at_risk, fallen = np.zeros((2, draws, len(years)))
        left = np.full(draws, packs)
        for number in range(len(years)):
            left = rng.binomial(left, 0.98)
            at_risk[:, number] = left
            fallen[:, number] = rng.binomial(left, -np.expm1(-rate))
            left = left - fallen[:, number].astype(int)
        found = survival(at_risk, fallen, np.ones((1, draws)))[0]
        half = half_widths(partial(_named, at_risk, fallen), np.arange(draws), 0.90, seed)["survival"]
        hits += np.abs(found - truth) <= half
    np.testing.assert_allclose(hits / seeds, 0.90, atol=0.04)


def test_a_price_holds_it_for_each_inspection():
    fade = random_fade(3, failing=0.0, draws=6)
    contract = Contract(term_years=4.5, inspection_interval_years=2.0, remedy=CashRemedy(usd_per_kwh=100.0))
    priced = price(fade, contract, PURE, PACK_KWH, 1)
    assert priced["inspection"].values.tolist() == [2.0, 4.0, 4.5]
    assert priced["inspection"].attrs["units"] == "year"
    np.testing.assert_array_equal(priced["survival"], survival_of(fade, contract))
    table = full_table(priced).set_index("quantity")
    assert table.loc["survival_year_4.5", "value"] == priced["survival"].values[-1]
    assert table["high"].filter(like="survival").max() <= 1.0
