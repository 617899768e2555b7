import json
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from fadecast.measured import retired
from fadecast.measured.catalogue import MeasuredDataError

from .needs import needs

NAMEPLATE = 20.0
TOY = retired.RetiredClass("toy", "toy.xlsx", "Q", "LFP", "pouch", "electric car")


def sheets(soh, resistance_at):
    """Return one sheet per state of charge: cells of given SOH, resistance a function of the true charge."""
    result = {}
    for charge in range(20, 55, 5):
        sag = NAMEPLATE * resistance_at(charge / 100.0 / soh)
        result[f"SOC{charge}"] = pd.DataFrame(
            {"Qn": NAMEPLATE, "Q": soh * NAMEPLATE, "SOH": soh, "SOC": charge, "U13": 3.3, "U15": 3.3 - sag}
        )
    return result


@pytest.fixture
def read(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl", reason="pip install 'fadecast[measured]'")
    path = tmp_path / "toy.xlsx"
    monkeypatch.setattr(retired, "CLASSES", {"toy": TOY})
    monkeypatch.setattr(retired, "fetch", lambda name: {"toy.xlsx": path})

    def write_and_read(tables):
        with pd.ExcelWriter(path) as writer:
            for name, table in tables.items():
                table.to_excel(writer, sheet_name=name, index=False)
        return retired.retired_cells()

    return write_and_read


def test_resistance_is_read_at_the_same_share_of_what_a_cell_holds(read):
    soh = np.array([0.55, 0.7, 0.95])
    cells = read(sheets(soh, lambda charge: 0.004 + 0.01 * charge))
    assert cells["soh"].to_numpy() == pytest.approx(soh)
    assert cells["resistance"].to_numpy() == pytest.approx(0.004 + 0.01 * retired.MID_CHARGE)


def test_a_cell_named_twice_is_refused(read):
    with pytest.raises(MeasuredDataError, match="sheet SOC20: column 'Q' names a cell twice"):
        read(sheets(np.array([0.7, 0.7]), lambda charge: 0.005 + 0.0 * charge))


def test_soh_that_is_not_capacity_over_nameplate_is_refused(read):
    tables = sheets(np.array([0.7, 0.8]), lambda charge: 0.005 + 0.0 * charge)
    tables["SOC35"].loc[0, "SOH"] = 0.72
    with pytest.raises(MeasuredDataError, match=r"sheet SOC35: column 'SOH' is not Q / Qn"):
        read(tables)


def test_a_missing_sheet_and_a_missing_column_are_refused(read):
    tables = sheets(np.array([0.7, 0.8]), lambda charge: 0.005 + 0.0 * charge)
    with pytest.raises(MeasuredDataError, match=r"toy.xlsx, sheet SOC20: no column 'U13'"):
        read({name: table.drop(columns="U13") for name, table in tables.items()})
    del tables["SOC25"]
    with pytest.raises(MeasuredDataError, match=r"toy.xlsx: expected the sheets.*SOC25"):
        read(tables)


def test_a_cell_without_pulses_around_mid_charge_is_refused(read):
    with pytest.raises(MeasuredDataError, match=r"pulses from 0.50 to 1.25 of its capacity"):
        read(sheets(np.array([0.4]), lambda charge: 0.005 + 0.0 * charge))


def test_without_openpyxl_the_extra_is_named(monkeypatch, tmp_path):
    def no_openpyxl(*args, **kwargs):
        raise ImportError("Missing optional dependency 'openpyxl'")

    monkeypatch.setattr(retired, "CLASSES", {"toy": TOY})
    monkeypatch.setattr(retired, "fetch", lambda name: {"toy.xlsx": tmp_path / "toy.xlsx"})
    monkeypatch.setattr(pd, "read_excel", no_openpyxl)
    with pytest.raises(ImportError, match=r"fadecast\[measured\]"):
        retired.retired_cells()


def test_spread_recovers_a_known_truth():
    rng = np.random.default_rng(1)
    soh, log_resistance = rng.multivariate_normal([0.7, 0.0], [[0.03**2, -0.003], [-0.003, 0.2**2]], 20_000).T
    result = retired.spread(pd.DataFrame({"soh": soh, "resistance": 0.005 * np.exp(log_resistance)}))
    assert result["cells"] == 20_000
    assert result["resistance_log_sd"] == pytest.approx(0.2, rel=0.02)
    assert result["resistance_median_ohm"] == pytest.approx(0.005, rel=0.01)
    assert result["rank_correlation"] == pytest.approx(6.0 / np.pi * np.arcsin(-0.5 / 2.0), abs=0.02)
    assert result["soh"][10] == pytest.approx(0.7, abs=1e-3)
    assert result["soh"][0] == soh.min()
    assert result["relative_resistance"][10] == pytest.approx(1.0)


def test_too_few_candidates_give_no_spread(monkeypatch):
    monkeypatch.setattr(retired, "CLASSES", {"toy": TOY})
    monkeypatch.setattr(retired, "CATALOGUE", {"toy": retired.CATALOGUE["pulsebat_retired_ev"]})
    soh = np.concatenate([np.full(retired.FEWEST_CELLS - 1, 0.8), np.full(30, 0.98)])
    resistance = np.linspace(0.004, 0.006, soh.size)
    cells = pd.DataFrame({"retired_class": "toy", "cell": "1", "soh": soh, "resistance": resistance})
    entry = retired.summary(cells)["classes"]["toy"]
    assert entry["candidates"] is None
    assert entry["all"]["cells"] == soh.size


@needs("pulsebat_retired_ev")
@needs("pulsebat2_retired_lfp")
def test_committed_statistics_match_a_refit():
    pytest.importorskip("openpyxl", reason="pip install 'fadecast[measured]'")
    cells = retired.retired_cells()
    assert cells.groupby("retired_class").size().to_dict() == {
        "lmo_10ah": 95,
        "nmc_21ah": 52,
        "nmc_2ah": 67,
        "lfp_35ah": 56,
        "lfp_20ah": 102,
        "lfp_68ah": 96,
    }
    committed = json.loads(files("fadecast").joinpath("data/retired_cells.json").read_text())
    refit = retired.summary(cells)
    assert committed["sources"] == refit["sources"]
    assert list(committed["classes"]) == list(refit["classes"])
    for name, entry in refit["classes"].items():
        for group in ("all", "candidates"):
            if entry[group] is None:
                assert committed["classes"][name][group] is None
                continue
            for key, value in entry[group].items():
                np.testing.assert_allclose(committed["classes"][name][group][key], value, rtol=1e-5, err_msg=key)
