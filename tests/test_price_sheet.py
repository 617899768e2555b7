"""The price sheet: all that a price holds, escaped, with what is not resolved said so."""

import numpy as np
import pytest

import hand_made_study
from fadecast.figures import make_price_figures
from fadecast.price_sheet import render_price_sheet
from fadecast.warranty import Contract, Failures, Layer, Premium, Test, full_table, price, sensitivities
from fadecast.wording import money
from test_report import HOSTILE, Page

CONTRACT = Contract(guarantee=((0.0, 0.9), (10.0, 0.8)), test=Test(noise_sd=0.01), failures=Failures(per_year=0.003))


def priced():
    return price(hand_made_study.fade(30, 6), CONTRACT, Premium(), 78.0, hand_made_study.SEED)


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    """A price with reinsurance, and its page."""
    premium = Premium(reinsurance=(Layer(kind="stop_loss", attachment_usd_per_kwh=10.0),))
    fade = hand_made_study.fade(30, 6)
    found = price(fade, CONTRACT, premium, 78.0, hand_made_study.SEED)
    found = found.merge(sensitivities(fade, CONTRACT, premium, 78.0, hand_made_study.SEED), combine_attrs="override")
    return found, Page(render_price_sheet(HOSTILE, found, make_price_figures(found, tmp_path_factory.mktemp("sheet"))))


def test_a_sheet_holds_every_number_of_the_price(sheet):
    found, page = sheet
    for name in ("premium", "expected_loss", "capital_load", "retained_standard_deviation"):
        assert money(found[name].item()) in page.text
    for name in ("principle_premium", "fleet_premium", "reserve", "ceded_loss"):
        for value in found[name].values:
            assert (money(value) if np.isfinite(value) else "not resolved") in page.text
    for words in ("Sudden failures", "defects and thermal events are not in the price", "tests err as the terms say"):
        assert words.lower() in page.text.lower()
    for number, name in enumerate(found["change"].values):
        assert str(name) in page.text
        assert f"{found['premium_change'].values[number]:+.2f}" in page.text
    assert "What telemetry will tell" in page.text
    assert "Not agreed" in page.text
    assert "power guarantee" in page.text


def test_a_sheet_needs_nothing_beside_it_and_runs_nothing(sheet):
    _, page = sheet
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert len(page.sources) == 3
    assert all(value.startswith("data:image/png;base64,") for _, _, value in page.sources)


def test_a_sheet_without_reinsurance_has_no_table_of_it(tmp_path):
    page = Page(render_price_sheet("plain", priced(), make_price_figures(priced(), tmp_path)))
    assert "Expected loss" in page.text
    assert "stop loss" not in page.text.lower()
    assert "Standard deviation after reinsurance" in page.text


def test_the_table_of_a_price_has_a_row_for_each_number(sheet):
    found, _ = sheet
    table = full_table(found).set_index("quantity")
    assert table.index.is_unique
    assert table.loc["premium_wang", "value"] == found["principle_premium"].sel(principle="wang")
    assert table.loc["premium_of_packs_inf", "value"] == found["fleet_premium"].values[-1]
    assert table.loc["reserve_year_3", "value"] == found["reserve"].sel(policy_year=3)
    assert table.loc["ceded_loss_layer_0", "low"] <= table.loc["ceded_loss_layer_0", "value"]
    assert np.isnan(table.loc["aggregate_exceedance_years_250", "value"])
    assert table.loc["failures_per_pack", "value"] == found["failures_per_pack"]
