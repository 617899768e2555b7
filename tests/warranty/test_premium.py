"""The premium against closed forms, its parts, its capital, its interval, its refusals."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from fadecast.outcome import Outcome
from fadecast.warranty import Capital, CashRemedy, Contract, Premium, price

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_with_loss, linear_fade


def _price(fade, premium=PURE, contract=ONE_INSPECTION, seed=1):
    return price(fade, contract, premium, PACK_KWH, seed)


def _spread(draws, packs=3, seed=0):
    rng = np.random.default_rng(seed)
    return linear_fade(rng.uniform(0.45, 0.9, (draws, 1)) + rng.uniform(-0.05, 0.05, (draws, packs)))


def test_expected_loss_of_uniform_retention_is_the_closed_form():
    a, b, n = 0.5, 0.9, 64
    grid = a + (b - a) * (np.arange(n * n).reshape(n, n) + 0.5) / n**2
    priced = _price(linear_fade(grid, soh_at_start=0.72))
    assert priced["premium"].item() == pytest.approx(100.0 * (0.70 - a) ** 2 / (2.0 * (b - a)), rel=1e-5)


def test_price_is_total_usd_over_total_kwh():
    fade = linear_fade([[0.5, 0.7]])
    fade["soh"] = fade["soh"] * xr.DataArray([0.9, 0.3], dims="pack")
    priced = _price(fade)
    assert priced["premium"].item() == pytest.approx(20.0 * 0.9 / (0.9 + 0.3))
    assert priced["premium"].item() == pytest.approx((priced.loss.sum() / priced.base_energy.sum()).item())


def test_price_per_kwh_does_not_depend_on_pack_size_or_dim_order():
    fade = _spread(30)
    small = price(fade, ONE_INSPECTION, Premium(), 1.0, 1)
    large = price(fade.transpose("time", "pack", "draw"), ONE_INSPECTION, Premium(), 500.0, 1)
    assert large["premium"].item() == pytest.approx(small["premium"].item(), rel=1e-12)
    assert large["loss"].sum().item() == pytest.approx(500.0 * small["loss"].sum().item(), rel=1e-12)


def test_claims_by_policy_year_sum_to_the_loss_without_discount():
    contract = Contract(guarantee=((0.0, 1.0), (10.0, 0.75)), inspection_interval_years=0.5)
    priced = _price(_spread(5), contract=contract)
    np.testing.assert_allclose(priced.claim_amount.sum("policy_year"), priced.loss.sum("pack"), rtol=1e-12)


def test_premium_is_the_sum_of_its_parts_and_expenses_are_a_share_of_it():
    premium = Premium(expense_ratio=0.2, fixed_expenses_usd_per_kwh=1.5)
    priced = _price(_spread(50), premium)
    gross, loss, load = (priced[name].item() for name in ("premium", "expected_loss", "capital_load"))
    assert gross == pytest.approx(loss + priced["expenses"].item() + load)
    assert priced["expenses"].item() == pytest.approx(1.5 + 0.2 * gross)
    assert gross == pytest.approx((loss + load + 1.5) / 0.8)
    assert load > 0.0


def test_a_steeper_fade_costs_more():
    fade = _spread(50)
    worse = fade.assign(retention=fade.retention**1.2)
    assert _price(worse, Premium())["premium"] > _price(fade, Premium())["premium"]


@pytest.mark.parametrize(
    ("draws", "basis"),
    [
        (12, "standard_deviation times 3 (12 draws do not resolve 0.95, which needs 400)"),
        (250, "tail_value_at_risk at 0.9 (250 draws do not resolve 0.95, which needs 400)"),
        (400, "tail_value_at_risk at 0.95"),
    ],
)
def test_capital_rests_on_the_highest_resolved_level(draws, basis):
    premium = replace(PURE, capital=Capital(cost_of_capital=0.05, capital_level=0.95), levels=(0.5, 0.9))
    if draws == 12:
        premium = replace(premium, levels=(0.9,))
    loss = np.random.default_rng(draws).uniform(0.0, 50.0, draws)
    priced = _price(fade_with_loss(loss), premium)
    assert priced.attrs["capital_basis"] == basis
    if basis.startswith("standard"):
        capital = 3.0 * loss.std(ddof=1)
    else:
        beyond = round(draws * (0.05 if draws == 400 else 0.1))
        capital = np.sort(loss)[-beyond:].mean() - loss.mean()
    # One payment, after ten years: capital is tied up for ten.
    assert priced["capital_load"].item() == pytest.approx(0.05 * 10.0 * capital, rel=1e-9)


def test_capital_by_quantile_at_its_own_level_not_at_a_higher_one():
    premium = replace(PURE, capital=Capital(cost_of_capital=0.05, capital_level=0.9, risk_measure="var"))
    loss = np.random.default_rng(0).permutation(np.arange(1.0, 401.0) / 8.0)
    priced = _price(fade_with_loss(loss), premium)
    assert np.isfinite(priced["value_at_risk"].sel(level=0.95))
    assert priced.attrs["capital_basis"] == "value_at_risk at 0.9"
    assert priced["capital_load"].item() == pytest.approx(0.05 * 10.0 * (45.0 - loss.mean()), rel=1e-9)


def test_a_quantile_below_the_mean_takes_no_capital():
    premium = replace(PURE, capital=Capital(capital_level=0.9, risk_measure="var"))
    loss = np.where(np.arange(200) < 10, 40.0, 0.0)
    assert _price(fade_with_loss(loss), premium)["capital_load"].item() == 0.0


def test_capital_is_released_as_claims_are_paid():
    # Yearly payments of equal size, no discount: their mean time is 5.5 years.
    contract = Contract(guarantee=((0.0, 1.0),), remedy=CashRemedy(usd_per_kwh=100.0))
    end = np.array([[0.9], [0.7]])
    priced = _price(linear_fade(end), replace(PURE, capital=Capital(cost_of_capital=0.1)), contract)
    spread = 3.0 * np.std([10.0, 30.0], ddof=1)
    assert priced["capital_load"].item() == pytest.approx(0.1 * 5.5 * spread, rel=1e-9)


def test_certain_losses_need_no_capital():
    priced = _price(linear_fade(np.full((40, 2), 0.6)), Premium(expense_ratio=0.0, discount_rate=0.0))
    assert priced["capital_load"].item() == pytest.approx(0.0, abs=1e-9)
    assert priced["premium"].item() == pytest.approx(10.0)
    assert priced["premium_interval"].item() == pytest.approx(0.0, abs=1e-9)


def test_no_claims_no_premium():
    priced = _price(linear_fade(np.full((4, 2), 0.95)), Premium())
    assert (priced["premium"].item(), priced["capital_load"].item()) == (0.0, 0.0)


def test_exponential_tail_is_within_its_interval():
    scale, level, draws = 5.0, 0.99, 4000
    loss = np.random.default_rng(5).exponential(scale, draws)
    at = _price(fade_with_loss(loss)).sel(level=level)
    for name, truth in (
        ("value_at_risk", -scale * np.log(1.0 - level)),
        ("tail_value_at_risk", scale * (1.0 - np.log(1.0 - level))),
    ):
        assert abs(at[name].item() - truth) < 2.0 * at[f"{name}_interval"].item() < 0.3 * truth


def test_levels_the_draws_do_not_resolve_are_nan():
    priced = _price(_spread(400))
    np.testing.assert_array_equal(np.isnan(priced["value_at_risk"]), [False, False, True, True])
    np.testing.assert_array_equal(np.isnan(priced["tail_value_at_risk_interval"]), [False, False, True, True])


def test_interval_covers_the_loaded_premium(monkeypatch):
    """Expected loss and 3 standard deviations of capital for ten years, uniform losses."""
    monkeypatch.setattr("fadecast.warranty.intervals.REPLICATES", 400)
    premium = replace(PURE, capital=Capital(cost_of_capital=0.06))
    truth = 25.0 + 0.06 * 10.0 * 3.0 * 50.0 / np.sqrt(12.0)
    hits, seeds = 0, 250
    for seed in range(seeds):
        loss = np.random.default_rng([9, seed]).uniform(0.0, 50.0, 16)
        priced = _price(fade_with_loss(loss), premium, seed=seed)
        hits += abs(priced["premium"].item() - truth) <= priced["premium_interval"].item()
    assert hits / seeds == pytest.approx(0.90, abs=0.04)


def test_more_packs_of_the_same_draws_do_not_narrow_the_interval():
    end = np.random.default_rng(2).uniform(0.5, 0.7, (20, 1))
    one, many = (_price(linear_fade(np.repeat(end, packs, axis=1))) for packs in (1, 50))
    assert many["premium_interval"].item() == pytest.approx(one["premium_interval"].item(), rel=1e-9)


def test_four_times_the_draws_halve_the_interval():
    few, many = (_price(_spread(draws))["premium_interval"].item() for draws in (100, 400))
    assert many / few == pytest.approx(0.5, rel=0.25)


def test_seed_moves_only_the_intervals():
    fade = _spread(10)
    one, same, other = (_price(fade, Premium(), seed=seed) for seed in (1, 1, 2))
    assert one.identical(same)
    assert one["premium"].item() == other["premium"].item()
    assert one["premium_interval"].item() != other["premium_interval"].item()


def test_tail_event_probability_counts_packs_over_draws():
    # Linear fade to 0.3 after ten years is 0.79 after three, to 0.4 it is 0.82.
    priced = _price(linear_fade([[0.3, 0.4], [0.4, 0.4]]))
    assert priced["tail_event_probability"].item() == 0.25
    assert priced["tail_event_probability_interval"].item() > 0.0


def test_tail_event_of_a_short_forecast_is_unknown():
    priced = _price(linear_fade([[0.9], [0.8]], years=2.0), contract=replace(ONE_INSPECTION, term_years=2.0))
    assert np.isnan(priced["tail_event_probability"].item())


def test_failed_packs_are_counted_and_more_than_allowed_are_refused():
    fade = _spread(10, packs=10)
    fade["retention"][3, 4, 5:] = np.nan
    fade["soh"][3, 4, 5:] = np.nan
    fade["outcome"] = xr.full_like(fade.soh[:, :, 0], Outcome.COMPLETED, dtype=int)
    fade["outcome"][3, 4] = Outcome.NOT_FINITE
    priced = _price(fade, replace(PURE, max_failed_share=0.01))
    assert priced["failed_share"].item() == 0.01
    with pytest.raises(ValueError, match="1 of 100 packs lack soh at the start or retention at an inspection"):
        _price(fade, replace(PURE, max_failed_share=0.009))


@pytest.mark.parametrize("measure", ["retention", "soh"])
def test_exhausted_packs_are_priced_not_left_out(measure):
    fade = linear_fade([[0.9, 0.9], [0.9, 0.9]])
    for name in ("retention", "soh"):
        fade[name][0, 0, 9:] = np.nan
    fade["outcome"] = (("draw", "pack"), [[Outcome.CAPACITY_EXHAUSTED, 0], [0, 0]])
    priced = _price(fade, contract=replace(ONE_INSPECTION, measure=measure))
    assert (priced["failed_share"].item(), priced["exhausted_share"].item()) == (0.0, 0.25)
    assert priced["premium"].item() == pytest.approx(70.0 / 4)


def test_a_draw_without_packs_is_refused():
    fade = linear_fade([[0.6], [0.6]])
    fade["retention"][1, 0, 10] = np.nan
    with pytest.raises(ValueError, match="draw number 1 has no base energy left"):
        _price(fade, replace(PURE, max_failed_share=0.6))


def test_one_draw_gives_a_price_without_interval_but_no_capital_load():
    fade = linear_fade([[0.6, 0.5]])
    priced = _price(fade)
    assert priced["premium"].item() == pytest.approx(15.0)
    assert np.isnan(priced["premium_interval"].item())
    with pytest.raises(ValueError, match="forecast 2 draws or more"):
        _price(fade, Premium())


def test_the_dataset_explains_itself_and_survives_a_file(tmp_path):
    priced = _price(_spread(30).assign_coords(draw=np.arange(5, 35)), Premium())
    assert priced["premium"].attrs["units"] == "USD.kW-1.h-1"
    assert "fade only" in priced.attrs["coverage"]
    assert priced["draw"].values[0] == 5
    priced.to_netcdf(tmp_path / "price.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "price.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load(), priced)


def test_a_forecast_on_disk_prices_as_one_in_memory(tmp_path):
    fade = _spread(8)
    fade.to_netcdf(tmp_path / "fade.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "fade.nc", engine="h5netcdf") as lazy:
        assert _price(lazy, Premium()).identical(_price(fade, Premium()))
