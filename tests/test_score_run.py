"""`fadecast score` as a user calls it."""

import contextlib
import io
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from fadecast.calibration.joint_model import COMMON
from fadecast.calibration.makes import MAKES
from fadecast.calibration.shipped_rates import Condition, Drawn
from fadecast.cli import main
from fadecast.score_run import _at_check_ups, _Forecast, _times
from fadecast.scored_cells import SECOND_LIFE_STEPS, STORED, Case, beyond_fitted, may_know

SUMMARY = re.compile(r"^cells: (\d+) median_abs_error_pp: ([\d.]+) coverage_90: ([\d.]+)$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One stored cell that was measured, and one that is forecast only."""
    folder = tmp_path_factory.mktemp("score")
    days = np.array([0.0, 60.0, 120.0])
    frame = pd.DataFrame({"day": days + 7.0, "mAh": 4900.0 * (1.0 - 2.5e-3 * np.sqrt(days))})
    frame.to_csv(folder / "cell.csv", index=False)
    study = {
        "name": "two",
        "draws": 20,
        "laws": ["solvent"],
        "tolerance": 5e-3,
        "cells": [
            {
                "name": "measured",
                "ambient": 25.0,
                "start_soc": 0.5,
                "measured": {"file": "cell.csv", "days": "day", "capacity": "mAh"},
            },
            {"name": "hot", "ambient": 55.0, "start_soc": 0.9, "check_up_days": [100.0]},
        ],
    }
    (folder / "two.yaml").write_text(yaml.safe_dump(study))
    return folder


@pytest.fixture(scope="module")
def done(folder):
    said = io.StringIO()
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(said):
        main(["score", str(folder / "two.yaml"), "--out", str(folder / "out")])
    assert stop.value.code == 0
    assert SUMMARY.match(said.getvalue().splitlines()[-1])
    return folder / "out"


def test_forecasts_have_intervals_at_every_check_up(done):
    table = pd.read_csv(done / "forecast.csv")
    assert table.groupby("cell")["days"].apply(list).to_dict() == {"measured": [0.0, 60.0, 120.0], "hot": [0.0, 100.0]}
    later = table[table["days"] > 0.0]
    assert (later["retention_p05"] < later["retention_p50"]).all()
    assert (later["retention_p50"] < later["retention_p95"]).all()
    hot = later[later["cell"] == "hot"].iloc[0]
    assert hot["retention_p50"] < later[later["cell"] == "measured"]["retention_p50"].min()
    assert hot["extrapolates"] == "temperature outside 0 to 45 degC"
    assert (table["equivalent_full_cycles"] == 0.0).all()


def test_cells_of_another_make_are_forecast_by_its_own_rates(tmp_path):
    """Iron phosphate, half charged, at the check-ups of fitted cells: near what these lost, and it says how long."""
    days = [6.8, 16.5, 30.7, 49.4, 73.3, 101.1]
    stored = {"make": "lfp", "start_soc": 0.5, "check_up_days": [*days, 300.0]}
    cells = [{"name": name, "ambient": ambient, **stored} for name, ambient in (("cool", 15.0), ("hot", 45.0))]
    config = tmp_path / "lfp.yaml"
    config.write_text(
        yaml.safe_dump({"name": "lfp", "draws": 20, "laws": ["solvent"], "tolerance": 5e-3, "cells": cells})
    )
    with pytest.raises(SystemExit) as stop:
        main(["score", str(config), "--out", str(tmp_path / "out")])
    assert stop.value.code == 0
    table = pd.read_csv(tmp_path / "out" / "forecast.csv").set_index(["cell", "days"])
    loss = 1.0 - table["retention_p50"]
    # Schimpe et al. 2018 measured 0.55 and 0.95 % at the first check-up, 1.5 and 3.7 % at the last of these.
    assert 0.003 < loss["cool", 6.8] < 0.009
    assert 0.007 < loss["hot", 6.8] < 0.013
    assert 0.010 < loss["cool", 101.1] < 0.018
    assert 0.032 < loss["hot", 101.1] < 0.042
    assert table.loc[("hot", 300.0), "extrapolates"] == "longer than 234 days"


def test_readings_of_a_draw_have_its_own_check_ups():
    """Without noise and discrepancy all of them are alike: the ageing of the draw, and what check-ups cost in it."""
    common = {name: np.full(3, prior.middle) for name, prior in COMMON.items()}
    common |= {name: np.zeros(3) for name in ("noise", "growth_sd", "overhang", "overhang_stage")}
    common["check_up"] = np.array([0.0, 0.01, 0.03])
    days = np.array([0.0, 50.0, 200.0])
    case = Case("one", "cells", 25.0, 0.5, (STORED,), days, np.empty(0), None, None)
    retention = np.array([[1.0, 1.0, 1.0], [0.99, 0.98, 0.97], [0.98, 0.96, 0.94]])
    drawn, held = Drawn({}, common), Condition(25.0, 0.5, rests=True)
    found = _at_check_ups(case, held, days, np.zeros((3, 3)), retention, drawn, np.random.default_rng(0)).retention
    expected = retention - np.sqrt(np.arange(3.0))[:, None] * common["check_up"]
    np.testing.assert_allclose(found, np.broadcast_to(expected[..., None], found.shape), rtol=1e-9)
    assert found.shape[2] > 1
    # Where no draw is left there are no readings.
    none = _at_check_ups(case, held, days, np.zeros((3, 0)), np.zeros((3, 0)), drawn, np.random.default_rng(0))
    assert [part.shape for part in none] == [(3, 0), (3, 0), (3, 0, found.shape[2])]


def test_a_second_life_is_forecast_from_the_capacity_it_starts_with(tmp_path):
    """Two worn cells of iron phosphate."""
    steps = [{"c_rate": 0.5, "until_voltage": 2.0}, {"c_rate": -0.5, "until_voltage": 3.6}]
    cell = {"make": "lfp", "ambient": 25.0, "start_soc": 1.0, "steps": steps, "check_up_days": [15.0, 30.0]}
    cells = [{"name": "good", "start_soh": 0.8}, {"name": "bad", "start_soh": 0.65}]
    config = tmp_path / "second.yaml"
    content = {"name": "second", "draws": 24, "tolerance": 1e-2, "cells": [cell | each for each in cells]}
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit) as stop:
        main(["score", str(config), "--out", str(tmp_path / "out")])
    assert stop.value.code == 0
    table = pd.read_csv(tmp_path / "out" / "forecast.csv").set_index(["cell", "days"])
    assert (table.loc[(slice(None), 30.0), "retention_p50"] < 0.999).all()
    assert table.loc[("good", 30.0), "retention_p05"] < 0.97
    # Measured second lives began at 72 to 81 % of the capacity.
    assert table.loc[("bad", 30.0), "extrapolates"] == "start_soh outside 0.72 to 0.81"
    assert pd.isna(table.loc[("good", 30.0), "extrapolates"])
    # A cell of less capacity passes less in a cycle, which takes less time.
    cycles = table["equivalent_full_cycles"]
    assert cycles["bad", 30.0] == pytest.approx(cycles["good", 30.0], rel=0.05)


def test_a_cell_that_most_draws_cannot_follow_is_left_out_and_the_others_are_scored(
    folder, tmp_path, capsys, monkeypatch
):
    def few(times, draws):
        shape = times, draws
        return [_Forecast(np.zeros(shape), np.zeros(shape), np.linspace(1.0, 0.9, draws * times).reshape(*shape, 1))]

    monkeypatch.setattr("fadecast.score_run._forecasts", lambda *_: {"measured": few(3, 19), "hot": few(2, 18)})
    with pytest.raises(SystemExit) as stop:
        main(["score", str(folder / "two.yaml"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 0
    said = capsys.readouterr().out.splitlines()
    assert "not forecast: hot: 2 of 20 draws cannot follow the protocol to its end" in said
    assert SUMMARY.match(said[-1])[1] == "1"
    table = pd.read_csv(tmp_path / "out" / "forecast.csv").set_index("cell")
    assert table.loc["hot", "days"].tolist() == [0.0, 100.0]
    assert table.loc["hot", "draws"].tolist() == [18, 18]
    assert table.loc["hot", "retention_p05":"retention_p95"].isna().all(axis=None)
    assert table.loc["measured", "retention_p50"].notna().all()


def test_check_ups_by_cycles_are_reached_by_the_slowest_draw_that_passes_any_charge():
    def case(name, days=(), cycles=()):
        return Case(name, "cells", 25.0, 0.5, (), np.array(days), np.array(cycles), None, None)

    batch = [case("by days", days=[0.0, 400.0]), case("by cycles", cycles=[0.0, 100.0])]
    times = _times(batch, np.array([[1.0, 1.0, 1.0], [2.0, 0.5, np.nan]]))
    assert 200.0 < times[-2] < 250.0
    assert times[-1] == 400.0
    # Of a cell that no draw can begin with, nothing is refused here.
    assert len(_times(batch[1:], np.full((1, 3), np.nan))) == 2
    with pytest.raises(ValueError, match="by cycles: the protocol passes no charge"):
        _times(batch, np.array([[1.0, 1.0], [0.0, np.nan]]))


def test_where_no_cell_can_follow_its_protocol_nothing_is_written(folder, tmp_path, capsys, monkeypatch):
    none = _Forecast(*(np.empty(shape) for shape in ((2, 0), (2, 0), (2, 0, 16))))
    monkeypatch.setattr("fadecast.score_run._forecasts", lambda *_: {"measured": [none], "hot": [none]})
    with pytest.raises(SystemExit) as stop:
        main(["score", str(folder / "two.yaml"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "hot: 20 of 20 draws cannot follow the protocol to its end" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_new_cell_that_cycles_as_worn_ones_did_is_none_that_was_fitted():
    case = Case("new", "cells", 25.0, 1.0, SECOND_LIFE_STEPS, np.array([30.0]), np.empty(0), None, None, make="lfp")
    assert list(beyond_fitted(case._replace(start_soh=0.8))) == []
    assert list(beyond_fitted(case)) == [MAKES["lfp"].cycled_by]


def test_a_rival_knows_no_cell_of_the_condition_that_is_left_out():
    def case(name, group, ambient, without):
        return Case(name, group, ambient, 0.5, (), np.empty(0), np.empty(0), None, without)

    life, lfp = "uconn_lfp_first_second_life", "schimpe2018_lfp_calendar"
    one = case("one", life, 25.0, "cycled 0")
    assert not may_know(one, one)
    assert not may_know(one, case("two", life, 25.0, "cycled 0"))
    assert may_know(one, case("three", life, 25.0, "cycled 1"))
    assert not may_know(one, case("stored", lfp, 25.0, "25 degC, 50%"))
    cold = case("cold", lfp, 10.0, "10 degC, 50%")
    assert may_know(cold, case("other", lfp, 10.0, "10 degC, 0%"))
    assert not may_know(cold, case("hot", lfp, 45.0, "45 degC, 50%"))


def test_what_was_measured_is_scored(done):
    scores = pd.read_csv(done / "scores.csv")
    assert scores["cell"].tolist() == ["measured"]
    assert scores["measured_loss_pp"].iloc[0] == pytest.approx(100.0 * 2.5e-3 * np.sqrt(120.0), rel=1e-4)
    assert {path.name for path in (done / "figures").iterdir()} == {"cells_cells.png", "errors.png"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("cells.0.measured.file=none.csv", r"cells.0.measured: none.csv: .*No such file"),
        ("cells.0.measured.days=time", "cells.0.measured: cell.csv"),
        ("cells.1.check_up_days=[]", "hot: must have check_up_days or check_up_cycles"),
        ("cells.1.steps=[{c_rate: 1.0}]", "a step of c_rate ends by nothing"),
        ("cells.1.steps=[{c_rate: 1.0, until_soc: 0.95}]", "does not lead to until_soc"),
        ("cells.1.ambient=500", "cells.1.ambient: got 500"),
        ("cells=[]", "must name a cell or a set"),
        ("sets=[other]", "sets.0"),
        ("laws=[other]", "laws.0"),
        ("laws=[solvent, coupled]", "cells: no draws of coupled for lgm50; there are of solvent, electron"),
        ("cells.0.make=nmc", "cells.0.make"),
        ("cells.1.start_soh=0.7", "cells.1.start_soh: no LG M50 cells were measured from there"),
    ],
)
def test_wrong_input_is_one_message_and_nothing_written(folder, tmp_path, capsys, change, message):
    with pytest.raises(SystemExit) as stop:
        main(["score", str(folder / "two.yaml"), "--out", str(tmp_path / "out"), "--set", change])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
