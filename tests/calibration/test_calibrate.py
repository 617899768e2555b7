"""`fadecast calibrate` as a user calls it."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from fadecast.calibration.diagnostics import arviz
from fadecast.cli import main

from .cells import NOMINAL, graphite_nmc, made_up

SUMMARY = re.compile(
    r"^curves: (\d+) rmse_mV: ([\d.]+) seconds_per_curve: ([\d.]+) lli: (\S+) \+- (\S+) lam_ne: (\S+) \+- (\S+) "
    r"lam_pe: (\S+) \+- (\S+)$"
)


def write_curve(path, curve, current=0.25):
    """Write what a cycler would have: a slow discharge by the second column."""
    voltage = np.asarray(curve.voltage)[::-1]
    charge = float(curve.step) * np.arange(len(voltage))
    fine = np.linspace(charge[0], charge[-1], 2000)
    frame = pd.DataFrame(
        {"time_h": fine / current, "mA": -1e3 * current, "V": np.interp(fine, charge, voltage), "Ah": fine}
    )
    frame.to_csv(path, index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A calibration of two cells, the second having lost a tenth of its positive material."""
    folder = tmp_path_factory.mktemp("calibration")
    cells = made_up(graphite_nmc(), 2, seed=21, noise=3e-4)
    for name, row in (("fresh", 0), ("aged", 1)):
        write_curve(folder / f"{name}.csv", type(cells.curves)(*(value[row] for value in cells.curves)))
    study = {
        "name": "two",
        "nominal_capacity": NOMINAL,
        "voltage_limits": [2.5, 4.2],
        "half_cells": {"negative": {"parameter_set": "Ecker2015"}, "positive": {"parameter_set": "Chen2020"}},
        "table": {
            "columns": {"time": "time_h", "current": "mA", "voltage": "V", "charge": "Ah"},
            "units": {"time": "h", "current": "mA"},
        },
        "curves": [
            {"name": "fresh", "file": "fresh.csv", "direction": "discharge"},
            {"name": "<aged> & marked", "file": "aged.csv", "direction": "discharge", "compared_with": "fresh"},
        ],
        "sampling": {"draws": 200, "warmup": 100},
    }
    (folder / "two.yaml").write_text(yaml.safe_dump(study))
    return folder


@pytest.fixture(scope="module")
def done(folder):
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", str(folder / "two.yaml"), "--out", str(folder / "out")])
    assert stop.value.code == 0
    return folder / "out"


def test_the_folder_holds_posterior_table_figures_and_page(done):
    names = {path.name for path in done.iterdir() if not path.name.startswith(".")}
    assert names == {"calibration.yaml", "posterior.nc", "states.csv", "figures", "report.html", "log.jsonl"}
    assert {path.stem for path in (done / "figures").iterdir()} == {
        "state_fit",
        "state_derivative",
        "state_pairs",
        "state_losses",
    }
    events = [json.loads(line)["event"] for line in (done / "log.jsonl").read_text().splitlines()]
    assert events == ["start", "done"]


def test_arviz_reads_the_posterior_with_units(done):
    found = arviz().from_netcdf(str(done / "posterior.nc"))
    assert set(found.groups()) == {"posterior", "sample_stats", "observed_data", "constant_data"}
    assert found.posterior["electrode_capacity_ne"].attrs["units"] == "A.h"
    assert found.posterior["lli_since"].dims == ("chain", "draw", "curve")
    assert float(arviz().rhat(found, var_names="lithium_inventory")["lithium_inventory"].max()) < 1.1
    found.close()


def test_losses_are_those_of_the_made_up_cells(done):
    cells = made_up(graphite_nmc(), 2, seed=21, noise=3e-4)
    table = pd.read_csv(done / "states.csv", index_col="curve")
    aged = table.loc["<aged> & marked"]
    for name, capacity in (
        ("lam_ne_since", cells.truth.negative_capacity),
        ("lam_pe_since", cells.truth.positive_capacity),
    ):
        truth = 1.0 - float(capacity[1] / capacity[0])
        assert abs(aged[name] - truth) < max(4.0 * aged[f"{name}_sd"], 0.01)


def test_the_page_escapes_what_it_shows(done):
    page = (done / "report.html").read_text()
    assert "&lt;aged&gt; &amp; marked" in page
    assert "<aged>" not in page


def test_the_last_line_is_the_summary(folder, capsys):
    with pytest.raises(SystemExit):
        main(["calibrate", str(folder / "two.yaml"), "--out", str(folder / "again")])
    last = capsys.readouterr().out.splitlines()[-1]
    found = SUMMARY.match(last)
    assert found, last
    assert int(found[1]) == 2
    assert float(found[2]) < 1.0
    posteriors = [arviz().from_netcdf(str(folder / out / "posterior.nc")).posterior for out in ("out", "again")]
    assert posteriors[0].equals(posteriors[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("curves.0.file=none.csv", "curves.0.file: none.csv: no such file"),
        ("curves.0.file='package:no_such_package/a.csv'", "no Python package 'no_such_package'"),
        ("curves.0.file='data:no_such_set/a.csv'", "no set 'no_such_set' in the catalogue"),
        ("curves.0.direction=charge", "curves.0.file: .*longest charge at constant current has 0 rows"),
        ("curves.1.compared_with=other", 'curves.1.compared_with: got "other"; must be one of fresh'),
        ("curves.1.name=fresh", 'the name "fresh" stands twice'),
        ("voltage_limits=[4.2, 2.5]", "voltage_limits: got .* must rise"),
        ("half_cells.negative.parameter_set=Chen", "half_cells.negative"),
        ("half_cells.negative={file: fresh.csv, charge: Q, voltage: V}", "no column 'Q'"),
        ("table.columns.voltage=U", "no column for voltage 'U'"),
        ("nominal_capacity=-1", "nominal_capacity: got -1; must be greater than 0"),
        ("priors.middle=x", 'priors.middle: got "x"'),
        ("sampling.chain=4", "did you mean 'chains'"),
    ],
)
def test_wrong_input_is_one_message_and_nothing_written(folder, tmp_path, capsys, change, message):
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", str(folder / "two.yaml"), "--out", str(tmp_path / "out"), "--set", change])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {folder / 'two.yaml'}: ")
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
