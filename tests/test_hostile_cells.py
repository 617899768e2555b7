"""Cells as no cycler writes them: tables, half cells, BPX files and fade that calibrations and scores name.

What is accepted is sound: finite, of one length, in the order that the next step counts on.
"""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, reject
from hypothesis import strategies as st

from bpx_cell import bpx_text
from fadecast import calibrating, score_run
from fadecast.calibrating import check_calibration
from fadecast.calibration.half_cell import POINTS, parameter_set_half_cell
from fadecast.cell.parameters import parameter_values
from fadecast.document import read_document
from fadecast.errors import InputError
from fadecast.measured.catalogue import MeasuredDataError
from fadecast.measured.cycler import Columns, Table, read_cycling
from fadecast.measured.slow_curve import slow_curve
from fadecast.runs import RunFolder
from fadecast.score_run import check_scoring, run_scoring
from hostile import cases, disordered, disturbed, mangled, refused_or_sound

NOMINAL = 5.0
COLUMNS = Columns(time="time", current="current", voltage="voltage", charge="charge", temperature="celsius")
UNTIMED = Columns(time=None, current=None, voltage="voltage", charge="charge")
TABLES = {
    "whole": Table(columns=COLUMNS),
    "integrated": Table(columns=Columns(time="time", current="current", voltage="voltage"), discharge="positive"),
    "untimed": Table(columns=UNTIMED),
    "bdf": Table(format="bdf"),
}


def cycled(count=150):
    """Return a slow discharge at C/20 with a rest before and after it."""
    hours = np.linspace(0.0, 20.0, count)
    flowing = (hours > 0.4) & (hours < 19.6)
    charge = -np.cumsum(0.25 * flowing) * (hours[1] - hours[0])
    return pd.DataFrame(
        {
            "time": (3600.0 * hours).round(1),
            "current": -0.25 * flowing,
            "voltage": (4.1 + 0.3 * charge).round(4),
            "charge": charge.round(5),
            "celsius": 25.0,
            "step": flowing.astype(int),
            "note": "a",
        }
    )


def pulsed():
    """Return three pulses between rests."""
    time = np.arange(0.0, 3600.0, 10.0)
    flowing = time % 1200.0 < 300.0
    flowing[:30] = False
    since = np.where(flowing, time % 1200.0, 0.0)
    return pd.DataFrame(
        {
            "time": time,
            "current": -2.0 * flowing,
            "voltage": 3.8 - 0.05 * flowing - 1e-3 * np.sqrt(since),
            "charge": 0.0,
        }
    ).assign(charge=lambda rows: rows["current"].cumsum() * 10.0 / 3600.0)


def stored(frame, kind):
    """Return the bytes of a table; a column that a kind of file has no form for goes elsewhere."""
    if kind == "csv":
        return frame.to_csv(index=False).encode("utf-8", "surrogatepass")
    try:
        return frame.to_parquet(index=False)
    except Exception:
        return reject()


def any_table(frame, kind):
    """Return files that are near a table."""
    separated = st.tuples(disordered(frame), st.sampled_from([";", "\t", "|", " "]))
    texts = separated.map(lambda each: each[0].to_csv(index=False, sep=each[1]).encode("utf-8", "surrogatepass"))
    near = disordered(frame).map(lambda changed: stored(changed, kind))
    return st.one_of(near, mangled(stored(frame, kind)), *([texts] if kind == "csv" else []), st.binary(max_size=200))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@cases(45)
@given(data=st.data())
def test_any_table_of_a_cycler_is_read_or_refused(folder, kind, data):
    path = folder / f"table.{kind}"
    path.write_bytes(data.draw(any_table(cycled(), kind)))
    table = TABLES[data.draw(st.sampled_from(list(TABLES)))]
    where = data.draw(st.sampled_from([None, None, {"step": 1}, {"note": "a"}, {"no": 1}, {"step": "1"}]))
    direction = data.draw(st.sampled_from(["charge", "discharge"]))
    with refused_or_sound(MeasuredDataError, path):
        read = read_cycling(path, table, where)
        rows = read.rows
        needed = rows[["voltage", *({"time", "current", "charge"} & set(rows.columns))]].to_numpy(float)
        assert np.isfinite(needed).all()
        assert len(rows) > 0
        if read.timed:
            assert (np.diff(rows["time"]) > 0.0).all()
        curve = slow_curve(rows, direction, NOMINAL, path)
        assert curve.charge.shape == curve.voltage.shape
        assert np.isfinite(curve.charge).all()


class Read(BaseException):
    """All that a calibration or a score names has been read."""


def half_cell_table():
    measured = parameter_set_half_cell("Chen2020", "positive")
    return pd.DataFrame({"q": measured.stoichiometry[::20], "u": measured.potential[::20]})


def potential_formula(side):
    return "0.2 + exp(-30 * x) - 0.05 * tanh(4 * (x - 0.5))" if side == "Negative" else "4.3 - 0.7 * x - 0.1 * x ** 3"


def bpx_content():
    """Return a BPX file of a single-particle model with potentials as formulas."""
    electrode = {
        "Thickness [m]": 5e-5,
        "Minimum stoichiometry": 0.1,
        "Maximum stoichiometry": 0.9,
        "Maximum concentration [mol.m-3]": 3e4,
        "Particle radius [m]": 5e-6,
        "Surface area per unit volume [m-1]": 4e5,
        "Diffusivity [m2.s-1]": "1e-14 * exp(-x)",
        "Diffusivity activation energy [J.mol-1]": 0.0,
        "Entropic change coefficient [V.K-1]": 0.0,
        "Reaction rate constant [mol.m-2.s-1]": 1e-5,
        "Reaction rate constant activation energy [J.mol-1]": 0.0,
    }
    sides = {
        f"{side} electrode": {**electrode, "OCP [V]": potential_formula(side)} for side in ("Negative", "Positive")
    }
    cell = {
        "Electrode area [m2]": 0.1,
        "External surface area [m2]": 0.01,
        "Volume [m3]": 1e-4,
        "Number of electrode pairs connected in parallel to make a cell": 1,
        "Lower voltage cut-off [V]": 2.5,
        "Upper voltage cut-off [V]": 4.2,
        "Nominal cell capacity [A.h]": 5.0,
        "Reference temperature [K]": 298.15,
        "Density [kg.m-3]": 2000.0,
        "Specific heat capacity [J.K-1.kg-1]": 1000.0,
    }
    header = {"BPX": "1.1.0", "Title": "made up", "Model": "SPM"}
    return {"Header": header, "Parameterisation": {"Cell": cell, **sides}}


CALIBRATION = {
    "name": "c",
    "nominal_capacity": NOMINAL,
    "voltage_limits": [2.5, 4.2],
    "half_cells": {
        "negative": {"bpx": "cell.json"},
        "positive": {"file": "half.csv", "charge": "q", "voltage": "u"},
    },
    "table": {"columns": {"time": "time", "current": "current", "voltage": "voltage", "charge": "charge"}},
    "curves": [{"name": "a", "file": "curve.csv", "direction": "discharge"}],
    "pulses": [{"name": "p", "files": ["pulses.csv"]}],
}
KEYS = {
    "cell.json": "half_cells.negative",
    "half.csv": "half_cells.positive",
    "curve.csv": "curves.0",
    "pulses.csv": "pulses.0",
}
FORMULAS = st.sampled_from(
    [
        "exec(chr(111)+chr(112))",
        "eval(chr(49))",
        "exit(1)",
        "input(1)",
        "breakpoint(1)",
        "print(x)",
        "9**9**9**9",
        "x**-x**1e308",
        "(" * 300 + "x" + ")" * 300,
        "-" * 3000 + "x",
        "+".join(["x"] * 4000),
        "x.__class__",
        "[x for x in (1,)]",
        "lambda: x",
        "'x'",
        "1j",
        "True",
        "x if x else x",
        "exp(x, x)",
        "exp(*[x])",
        "exp",
        "y",
        "1/0",
        "0 * x",
        "",
    ]
)


@st.composite
def any_bpx(draw, text=None):
    """Return files that are near a BPX file."""
    content = bpx_content() if text is None else json.loads(text)
    match draw(st.sampled_from(["formula", "formula", "layout", "bytes"])):
        case "formula":
            side = draw(st.sampled_from(["Negative electrode", "Positive electrode"]))
            name = draw(st.sampled_from(["OCP [V]", "OCP [V]", "Diffusivity [m2.s-1]", "Thickness [m]", "ocp"]))
            content["Parameterisation"][side][name] = draw(FORMULAS | st.text("x+-*/()0.9e", max_size=12))
        case "layout":
            content = draw(disturbed(content))
        case _:
            return draw(mangled(json.dumps(content).encode()))
    return json.dumps(content).encode()


@cases(45)
@given(data=st.data())
def test_whatever_a_calibration_names_is_read_or_refused(folder, monkeypatch, data):
    def reached(*arguments):
        raise Read

    monkeypatch.setattr(calibrating, "fit_states", reached)
    files = {
        "cell.json": any_bpx(),
        "half.csv": any_table(half_cell_table(), "csv"),
        "curve.csv": any_table(cycled(), "csv"),
        "pulses.csv": any_table(pulsed(), "csv"),
    }
    plain = {
        "cell.json": json.dumps(bpx_content()).encode(),
        "half.csv": stored(half_cell_table(), "csv"),
        "curve.csv": stored(cycled(), "csv"),
        "pulses.csv": stored(pulsed(), "csv"),
    }
    broken = data.draw(st.sampled_from(list(files)))
    for name, content in plain.items():
        (folder / name).write_bytes(data.draw(files[name]) if name == broken else content)
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump(CALIBRATION))
    document = read_document(path)
    with refused_or_sound(InputError, path):
        try:
            calibrating.calibrate(check_calibration(document), document)
        except Read:
            pass
        except InputError as error:
            message = str(error)
            assert f": {KEYS[broken]}" in message
            raise


@cases(25)
@given(data=st.data())
def test_whatever_a_score_names_is_read_or_refused(folder, monkeypatch, data):
    def reached(scoring, each, observe):
        (case,) = each
        assert np.isfinite(case.days).all()
        assert (np.diff(case.days) > 0.0).all()
        assert np.isfinite(case.measured).all()
        raise Read

    monkeypatch.setattr(score_run, "_forecasts", reached)
    fade = pd.DataFrame({"day": [0.0, 60.0, 120.0], "capacity": [4.9, 4.8, 4.7]})
    (folder / "fade.csv").write_bytes(data.draw(any_table(fade, "csv")))
    cell = {"name": "a", "ambient": 25.0, "start_soc": 0.5, "measured": {"file": "fade.csv", "days": "day"}}
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "cells": [cell]}))
    document = read_document(path)
    with refused_or_sound(InputError, f"{path}: cells.0.measured"), contextlib.suppress(Read):
        run_scoring(check_scoring(document), document, RunFolder(folder / "out"))
    assert not (folder / "out").exists()


@cases(30)
@given(data=st.data())
def test_whatever_bpx_file_is_a_cell_or_refused(folder, data):
    path = folder / "cell.json"
    path.write_bytes(data.draw(any_bpx(bpx_text())))
    with refused_or_sound(ValueError, path):
        assert float(parameter_values(str(path))["Nominal cell capacity [A.h]"]) > 0.0


def test_a_formula_of_bpx_is_worked_out_as_python_would(folder):
    (folder / "cell.json").write_text(json.dumps(bpx_content()))
    x = np.linspace(0.0, 1.0, POINTS)
    for side in ("negative", "positive"):
        found = calibrating.bpx_half_cell(folder / "cell.json", side)
        scope = {"exp": np.exp, "tanh": np.tanh, "x": x}
        np.testing.assert_allclose(found.potential, eval(potential_formula(side.capitalize()), scope), rtol=1e-12)
