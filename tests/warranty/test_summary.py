import re

import numpy as np
import pytest

from fadecast.warranty import Premium, exceedance, price, price_table, summary_line

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_with_loss, linear_fade


def _price(fade, premium=PURE):
    return price(fade, ONE_INSPECTION, premium, PACK_KWH, 1)


def test_summary_line_of_few_draws():
    priced = _price(linear_fade([[0.6], [0.5]]))
    number = f"{priced['premium_interval'].item():.4f}"
    assert summary_line(priced) == (
        f"premium_usd_per_kwh: 15.0000 +- {number}  var_99.5: not_resolved  tvar_99.5: not_resolved"
    )


def test_summary_line_of_many_draws():
    line = summary_line(_price(fade_with_loss(np.random.default_rng(0).uniform(0.0, 50.0, 4000))))
    number = r"(\d+\.\d{4})"
    match = re.fullmatch(rf"premium_usd_per_kwh: {number} \+- {number}  var_99.5: {number}  tvar_99.5: {number}", line)
    assert match
    premium, width, quantile, tail = map(float, match.groups())
    assert premium == pytest.approx(25.0, abs=2.0 * width)
    assert 49.0 < quantile < tail < 50.0


def test_one_draw_prints_no_interval():
    assert "15.0000 +- not_resolved" in summary_line(_price(linear_fade([[0.6, 0.5]])))


def test_table_has_every_priced_quantity_with_its_interval():
    priced = _price(fade_with_loss(np.random.default_rng(0).uniform(0.0, 50.0, 250)), Premium())
    table = price_table(priced).set_index("quantity")
    assert list(table.columns) == ["value", "units", "low", "high"]
    for name in ("premium", "expected_loss", "expenses", "capital_load"):
        row = table.loc[name]
        assert row["value"] == priced[name].item()
        assert row["high"] - row["low"] == pytest.approx(2.0 * priced[f"{name}_interval"].item())
    assert table.loc["value_at_risk_90", "low"] < table.loc["value_at_risk_90", "value"]
    assert np.isnan(table.loc["tail_value_at_risk_99.5", "value"])
    assert table.loc["failed_share", "high"] == 0.0


def test_table_intervals_stay_where_the_quantity_can_be():
    table = price_table(_price(linear_fade([[0.3], [0.9]]))).set_index("quantity")
    assert tuple(table.loc["tail_event_probability", ["value", "low", "high"]]) == (0.5, 0.0, 1.0)
    assert table.loc["premium", "low"] == 0.0


def test_exceedance_by_hand():
    curve = exceedance(_price(linear_fade([[0.5, 0.5], [0.9, 0.9], [0.6, 0.4], [0.8, 0.8]])))
    np.testing.assert_allclose(curve["loss"], [0.0, 0.0, 20.0, 20.0], atol=1e-9)
    np.testing.assert_allclose(curve["probability"], [1.0, 1.0, 0.5, 0.5])


def test_area_under_the_exceedance_curve_is_the_expected_loss():
    priced = _price(fade_with_loss(np.random.default_rng(0).uniform(0.0, 50.0, 100)))
    curve = exceedance(priced)
    area = np.sum(np.diff(curve["loss"], prepend=0.0) * curve["probability"])
    assert area == pytest.approx(priced["expected_loss"].item(), rel=1e-12)
