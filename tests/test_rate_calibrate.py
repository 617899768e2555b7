"""`fadecast calibrate` of rates as a user calls it."""

import re

import pandas as pd
import pytest
import xarray as xr
import yaml

from fadecast.calibration.diagnostics import arviz
from fadecast.cli import main
from fadecast.measured.catalogue import MissingDataError, fetch
from fadecast.scored_cells import SETS

SUMMARY = re.compile(r"^laws: (\d+) conditions: (\d+) r_hat_max: ([\d.]+) ess_min: (\d+) seconds: \d+$")
SMALL = {
    "name": "small",
    "rates": "lgm50",
    "laws": ["solvent"],
    "tolerance": 3e-3,
    "chains": 2,
    "pilot": 60,
    "warmup": 60,
    "draws": 60,
    "fold_draws": 10,
    "fold_thinning": 1,
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rates=other", 'rates: got "other"'),
        ("laws=[solvent, solvent]", "laws: .*must name each law once"),
        ("laws=[diffusion]", 'laws.0: got "diffusion"'),
        ("draws=3", "draws: got 3"),
        ("curves=[]", "curves: unknown key"),
        ("name=a/b", 'name: got "a/b"'),
    ],
)
def test_wrong_input_is_one_message_and_nothing_written(config, tmp_path, capsys, change, message):
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", str(config), "--out", str(tmp_path / "out"), "--set", change])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_data_that_are_not_there_are_named(config, tmp_path, capsys, monkeypatch):
    def missing(name):
        raise MissingDataError(f"no file of {name} here")

    monkeypatch.setattr("fadecast.measured.lgm50.fetch", missing)
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", str(config), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert re.search(r"small\.yaml: rates: no file of kuzhiyil2024", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_calibration_leaves_what_the_package_ships(config, tmp_path, capsys):
    for name in SETS:
        try:
            fetch(name)
        except MissingDataError as error:
            pytest.skip(str(error))
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", str(config), "--out", str(out)])
    assert stop.value.code == 0
    found = SUMMARY.match(capsys.readouterr().out.splitlines()[-1])
    assert found is not None
    assert found.groups()[:2] == ("1", "39")
    posterior, folds = (xr.load_dataset(out / f"lgm50_{name}.nc") for name in ("posterior", "folds"))
    assert float(posterior["weight"].sum()) == pytest.approx(1.0)
    assert posterior.sizes["place"] == folds.sizes["fold"] == 39
    rates = pd.read_csv(out / "rates.csv")
    # Check-ups cost capacity, whatever the chains: the data leave no doubt of it.
    assert rates.set_index("quantity").loc["check_up", "p05"] > 0.004
    data = arviz().from_netcdf(str(out / "posterior_solvent.nc"))
    assert data.posterior.sizes["draw"] == 60
    assert {path.name for path in (out / "figures").iterdir()} == {"stored.png", "cycled.png", "laws.png", "told.png"}
