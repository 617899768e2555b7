"""`fadecast calibrate` of rates as a user calls it."""

import json
import re
from functools import partial

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from calibration.test_joint_model import engine
from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.joint_fit import Sampled
from fadecast.calibration.joint_model import COMMON, Evidence, Series
from fadecast.calibration.left_out import left_out
from fadecast.calibration.makes import MAKES
from fadecast.calibration.rate_tables import tabulate
from fadecast.cli import main
from fadecast.measured.catalogue import MissingDataError, fetch
from fadecast.rate_calibrating import (
    FittedLaw,
    FittedRates,
    Measured,
    RateCalibration,
    calibrate_rates,
    measured_series,
)
from fadecast.rate_calibration_run import _key, _of_fold
from fadecast.rate_summary import prior_sensitivity
from fadecast.shards import Shards

SUMMARY = re.compile(r"^laws: (\d+) conditions: (\d+) r_hat_max: ([\d.]+) ess_min: (\d+) seconds: \d+$")
SMALL = {
    "name": "small",
    "rates": "lgm50",
    "laws": ["solvent"],
    "tolerance": 3e-3,
    "chains": 2,
    "pilot": 60,
    "warmup": 60,
    "draws": 64,
    "fold_draws": 10,
    "fold_moves": 2,
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


@pytest.fixture
def measured():
    for name in MAKES["lgm50"].sets:
        try:
            fetch(name)
        except MissingDataError as error:
            pytest.skip(str(error))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rates=other", 'rates: got "other"'),
        ("fold_draws=65", "fold_draws: got 65; must not exceed draws 64"),
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


def test_laws_are_those_of_the_make(config, tmp_path, capsys):
    config.write_text(yaml.safe_dump({**SMALL, "rates": "lfp", "laws": ["solvent", "coupled"]}))
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", str(config), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert re.search(r'laws: got \["coupled"\]; rates lfp has solvent, electron', capsys.readouterr().err)
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
@pytest.mark.usefixtures("measured")
def test_a_calibration_leaves_what_the_package_ships(config, tmp_path, capsys):
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
    assert data.posterior.sizes["draw"] == 64
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "check_up_material" in page
    assert page.count("<figure>") == 4
    events = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["event"] for each in events if each["event"] != "fold"] == ["start", *["part"] * 4, "done"]
    assert [each["done"] for each in events if each["event"] == "fold"] == list(range(1, 40))
    assert not (out / "shards").exists()
    assert {path.name for path in (out / "figures").iterdir()} == {"stored.png", "cycled.png", "laws.png", "told.png"}


def test_what_the_data_do_not_tell_goes_with_its_prior():
    """A spread that is as its prior moves as far as that; one that is said to be the same moves along."""
    law = MAKES["lgm50"].laws["solvent"]
    z = np.random.default_rng(0).normal(size=(4, 20_000, len(COMMON) + len(law.cycled)))
    names = list(COMMON)
    z[..., names.index("noise")] = z[..., names.index("cell_sd")]
    sampled = Sampled(z, *(np.zeros((4, 20_000)),) * 3, np.eye(z.shape[-1]))
    fitted = FittedLaw(law, Evidence(None, None, None, None), sampled, (), np.zeros(1))
    found = FittedRates((fitted,), np.ones(1), ("one",), 0.0)
    table = prior_sensitivity(found)
    assert len(table) == 2 * sum(name.endswith("_sd") for name in names)
    for name in ("cell_sd", "growth_sd"):
        prior, rows = COMMON[name], table[table["quantity"] == name]
        moved = prior.middle * np.exp(prior.sd * np.array([-1.0, 1.0]))
        np.testing.assert_allclose(rows["prior_middle"], moved)
        np.testing.assert_allclose(rows["median"], moved, rtol=0.02)
        np.testing.assert_allclose(rows["p95"], moved * np.exp(1.645 * prior.sd), rtol=0.05)
        np.testing.assert_allclose(rows["effective_draws"], 80_000 * np.exp(-1.0), rtol=0.05)
    rows = table[table["quantity"] == "cell_sd"]
    assert set(rows["moves_most"]) == {"noise"}
    np.testing.assert_allclose(rows["moved"], [-1.0, 1.0], atol=0.03)


def test_parts_are_of_these_settings_priors_and_data(monkeypatch):
    calibration = RateCalibration(**{**SMALL, "laws": ("solvent",)})
    one = Series(np.array([25.0]), np.array([0.5]), np.ones((1, 2)), np.zeros((1, 3, 2)), np.zeros((1, 2)))
    cells = Measured(one, one, 10.0)
    key = _key(calibration, cells)
    assert _key(calibration.model_copy(update={"name": "other"}), cells) == key
    others = [
        _key(calibration.model_copy(update={"seed": 5}), cells),
        _key(calibration.model_copy(update={"tolerance": 2e-3}), cells),
        _key(calibration.model_copy(update={"laws": ("electron",)}), cells),
        _key(calibration, cells._replace(cycled=one._replace(losses=one.losses + 1e-9))),
        _key(calibration, cells._replace(hours=10.5)),
    ]
    monkeypatch.setitem(COMMON, "noise", COMMON["noise"]._replace(middle=0.004))
    others.append(_key(calibration, cells))
    assert len({key, *others}) == 7


def test_a_fold_keeps_the_place_and_the_condition_that_it_is_without():
    """Three first lives at one place after two of storage; four conditions at two places."""

    def series(temperature, group=None):
        count = len(temperature)
        empty = np.ones((count, 1)), np.zeros((count, 3, 1)), np.zeros((count, 1))
        return Series(np.array(temperature), np.full(count, 0.5), *empty, None if group is None else np.array(group))

    stored = series([15.0, 45.0])
    for cycled, kept in (
        (series([25.0] * 4, [0, 1, 1, 2]), [(2, 0), (2, 1), (2, 2)]),
        (series([10.0, 40.0, 40.5]), [(2, 0), (3, 1)]),
    ):
        evidence = Evidence(stored, cycled, None, None)
        where = {"field": ("place", np.arange(4.0)), "condition": ("group", np.arange(3.0))}
        found = [_of_fold(evidence, xr.Dataset(where), 2 + n) for n in range(len(kept))]
        assert [(float(each["field"]), float(each["condition"])) for each in found] == kept
        assert [float(_of_fold(evidence, xr.Dataset(where), n)["field"]) for n in range(2)] == [0.0, 1.0]


class StoppedError(Exception):
    """In place of a person who loses patience."""


class Impatient:
    """Keeps some parts, then stops."""

    def __init__(self, store, parts):
        self.store, self.left = store, parts

    def load(self, key):
        return self.store.load(key)

    def save(self, key, dataset):
        if self.left == 0:
            raise StoppedError
        self.left -= 1
        self.store.save(key, dataset)


@pytest.mark.slow
@pytest.mark.usefixtures("measured")
def test_an_interrupted_calibration_goes_on_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    """Stopped within tables, before the posterior and within the folds; the engine is a formula, the rest is real."""
    monkeypatch.setattr("fadecast.rate_calibrating.build_cell", lambda chemistry, inputs: None)
    monkeypatch.setattr("fadecast.rate_calibrating.tabulate", partial(tabulate, run=engine))
    monkeypatch.setattr("fadecast.rate_calibrating.left_out", lambda evidence: left_out(evidence)[::13])
    monkeypatch.setattr("fadecast.calibration.law_weights.left_out", lambda evidence: left_out(evidence)[::13])
    calibration = RateCalibration(**{**SMALL, "laws": ("solvent",), "pilot": 50, "warmup": 50, "draws": 64})
    cells = measured_series("lgm50")
    whole = calibrate_rates(calibration, cells, Shards(tmp_path / "whole"))
    store, loaded = Shards(tmp_path / "parts"), []
    for parts in (1, 1, 2):
        with pytest.raises(StoppedError):
            calibrate_rates(calibration, cells, Impatient(store, parts))

    def observe(event, details):
        if details.get("loaded"):
            loaded.append(details["part"])

    again = calibrate_rates(calibration, cells, store, observe)
    assert loaded == ["storage", "cycling", "posterior"]
    jax.tree.map(np.testing.assert_array_equal, again.laws[0].sampled, whole.laws[0].sampled)
    for one, other in zip(again.laws[0].folds, whole.laws[0].folds, strict=True):
        np.testing.assert_array_equal(one.z, other.z)
        np.testing.assert_array_equal(one.log_evidence, other.log_evidence)
    np.testing.assert_array_equal(again.laws[0].foretold, whole.laws[0].foretold)
