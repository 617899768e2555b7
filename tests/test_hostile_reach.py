"""What input must not reach: files beside its own, code that runs, the markup of a page."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

import fadecast
import hand_made_study
from fadecast import calibration_run, pages
from fadecast.calibrating import Calibrated, check_calibration
from fadecast.calibration.states import MODES
from fadecast.document import Document, read_document
from fadecast.errors import InputError
from fadecast.files import write_netcdf
from fadecast.measured.catalogue import DATA_VARIABLE, MeasuredDataError
from fadecast.measured.files import find_measured
from fadecast.pipeline import price_file
from fadecast.runs import RunFolder
from fadecast.scored_cells import MeasuredFade, measured_fade
from fadecast.study import check_pricing, check_study, load_study, to_yaml
from test_hostile_settings import CALIBRATION, LOAD
from test_report import STUDY, Page, rendered

SOURCES = sorted(Path(fadecast.__file__).parent.rglob("*.py"))
EVIL = "<script>alert(1)</script>\" onload='alert(1)' <img src=x onerror=alert(1)> </title></style></pre> {{7*7}}"

# Paths


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder for a study, beside files that are none of its business and the folder of measured data."""
    for name in ("study", "elsewhere", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "load.csv").write_text(LOAD)
        (tmp_path / name / "climate.json").write_text("{}")
        (tmp_path / name / "posterior.nc").write_text("")
    (tmp_path / "study" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "study" / "in").symlink_to(tmp_path / "data")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "study"


def study_with(place, key, name):
    """Write a study that names a file, and return its path."""
    content = {"name": "a", "packs": 4, "draws": 2, "years": 10}
    *sections, last = key.split(".")
    at = content
    for section in sections:
        at = at.setdefault(section, {})
    at[last] = name
    if last == "file":
        at["rated"] = 2.0
    path = place / "s.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


KEYS = {
    "site.climate": "climate.json",
    "duty.workload.trace.file": "load.csv",
    "population.split.posterior": "posterior.nc",
    "population.rate_posterior": "posterior.nc",
}


@pytest.mark.parametrize("way", ["../elsewhere/", "out/", "in/../../elsewhere/", "../study/out/", "./../"])
@pytest.mark.parametrize("key", KEYS)
def test_a_relative_path_of_a_study_stays_in_its_folder(place, key, way):
    path = study_with(place, key, f"{way}{KEYS[key]}")
    expected = rf"^{re.escape(str(path))}: {key}: got \".*\", which leads to .*, which is neither in .*study, .*data; "
    with pytest.raises(InputError, match=expected + "give an absolute path on purpose$"):
        read_document(path)


@pytest.mark.parametrize("name", ["load.csv", "./load.csv", "in/load.csv", "../data/load.csv", "../study/load.csv"])
def test_a_path_to_the_folder_of_the_study_or_to_measured_data_is_taken(place, name):
    study = check_study(read_document(study_with(place, "duty.workload.trace.file", name)))
    assert Path(study.duty.workload.trace.file).read_text() == LOAD
    # What a run keeps of it opens wherever it lies.
    kept = place.parent / "elsewhere" / "study.yaml"
    kept.write_text(to_yaml(study))
    assert load_study(kept) == study


def test_an_absolute_path_is_taken_as_it_is_given(place):
    name = str(place.parent / "elsewhere" / "load.csv")
    assert check_study(read_document(study_with(place, "duty.workload.trace.file", name)))


@pytest.mark.parametrize("name", ["../elsewhere/posterior", "posterior", "/etc/passwd", ""])
@pytest.mark.parametrize("key", ["population.split.posterior", "population.rate_posterior"])
def test_a_name_that_no_reader_is_for_is_not_looked_for_where_the_program_runs(place, key, name):
    (place.parent / "elsewhere" / "posterior").write_text("")
    with pytest.raises(InputError, match=rf"{key}: got .*, which does not end in .nc"):
        check_study(read_document(study_with(place, key, name)))


def test_links_in_a_circle_are_no_file(place):
    (place / "round.csv").symlink_to(place / "round.csv")
    path = study_with(place, "duty.workload.trace.file", "round.csv")
    with pytest.raises(InputError, match=r"duty.workload.trace: .*round.csv"):
        check_study(read_document(path))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../elsewhere/load.csv", "neither in .* nor in that of measured data"),
        ("out/load.csv", "neither in .* nor in that of measured data"),
        ("package:numpy/../../../../../etc/passwd", "out of the package"),
        ("package:numpy//etc/passwd", "out of the package"),
        ("data:kuzhiyil2024_lgm50_calendar/../x", "no file '../x' in the set|are missing"),
    ],
)
def test_what_a_calibration_names_stays_where_it_may(place, name, words):
    with pytest.raises((MeasuredDataError, FileNotFoundError), match=words):
        find_measured(name, place)


def test_what_a_score_names_stays_where_it_may(place):
    with pytest.raises(
        InputError, match=r"s.yaml: cells.0.measured.file: got \"../elsewhere/load.csv\", which leads to"
    ):
        measured_fade(MeasuredFade(file="../elsewhere/load.csv"), Document(place / "s.yaml", {}), "cells.0.measured")


def test_a_package_that_is_named_is_not_imported(place, monkeypatch):
    package = place / "trap"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('was run')")
    (package / "a.csv").write_text("t\n1\n")
    monkeypatch.syspath_prepend(place)
    assert find_measured("package:trap/a.csv", place) == package / "a.csv"


def test_a_dataset_that_lies_in_other_files_is_refused(place):
    xr.Dataset({"power": ("time", [1.0, 2.0])}, {"time": [0.0, 60.0]}).to_netcdf(place / "a.nc", engine="h5netcdf")
    with h5py.File(place / "linked.nc", "w") as file:
        file["power"] = h5py.ExternalLink(str(place / "a.nc"), "/power")
    with h5py.File(place / "raw.nc", "w") as file:
        file.create_dataset("power", (2,), "f8", external=[(str(place / "load.csv"), 0, 16)])
    for name in ("linked.nc", "raw.nc"):
        with pytest.raises(InputError, match=rf"{name}: .*'power' is elsewhere; must be in the file itself"):
            check_study(read_document(study_with(place, "duty.workload.trace.file", name)))


# Code


def called(tree):
    """Return the names of all functions called in a module, dotted, with the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_module_makes_objects_or_code_of_what_it_reads(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imports += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    forbidden = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code"}
    assert not {name.split(".")[0] for name in imports} & forbidden
    for name, call in called(tree):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords.get("allow_pickle", "False") == "False"
        assert keywords.get("shell", "False") == "False"
        assert name not in {"eval", "exec", "compile", "os.system", "os.popen", "to_pickle", "__import__"}
        assert not re.search(r"(^|\.)(read_pickle|to_pickle|unsafe_load|full_load|to_python_function)$", name)
        if name in {"yaml.load", "yaml.load_all"}:
            assert keywords["Loader"] == "_Loader"
        if name.endswith("Environment"):
            assert keywords["autoescape"] == "True"
        assert name.split(".")[-1] not in {"Markup", "Template", "from_string"}


def test_templates_mark_nothing_as_safe():
    templates = list((Path(fadecast.__file__).parent / "data").glob("*.jinja"))
    assert len(templates) >= 4
    for path in templates:
        assert not re.search(r"\|\s*safe|autoescape|\{%\s*raw|<script|javascript:|\son\w+=", path.read_text()), path


# Pages


class Handlers(HTMLParser):
    """Collects the names of attributes."""

    def __init__(self, html):
        super().__init__()
        self.names = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names |= {name for name, _ in attrs}


def assert_harmless(html, shown=1):
    """Check that hostile text is on a page as text, and nowhere as markup; figures are pictures, never SVG."""
    page = Page(html)
    assert page.text.count("alert(1)") >= shown
    assert page.text.count("{{7*7}}") >= shown
    assert not {"script", "svg", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert all(value.startswith("data:image/png;base64,") for _, _, value in page.sources)
    assert not {name for name in Handlers(html).names if name.startswith("on")}


def test_a_price_sheet_of_a_hostile_forecast_is_harmless(tmp_path):
    fade = hand_made_study.fade(4, 3).assign_attrs(
        {EVIL: EVIL, "title": EVIL, "git_commit": EVIL, "contract": EVIL, "principle": EVIL, "coverage": EVIL}
    )
    fade = fade.assign({EVIL.replace("/", ""): fade["soh"]}).assign_coords(pack=[EVIL, "a", "b"])
    fade["retention"].attrs["long_name"] = EVIL
    path = tmp_path / (EVIL.replace("/", "") + ".nc")
    write_netcdf(path, fade)
    premium = {"capital": {"cost_of_capital": 0.06}}
    pricing = check_pricing(Document(tmp_path / "p.yaml", {"name": "p", "warranty": {"premium": premium}}))
    price_file(pricing, [path], RunFolder(tmp_path / "out"))
    page = Page((tmp_path / "out" / "price_sheet.html").read_text())
    # Nothing that a forecast says of itself is on the sheet.
    assert "alert" not in page.text
    assert "script" not in page.tags


def test_a_report_of_hostile_stages_is_harmless():
    attrs = dict.fromkeys([EVIL, "mode", "git_commit", "soh_source", "extrapolation", f"{EVIL}_version"], EVIL)
    study = {**STUDY, "name": EVIL, "site": {"climate": EVIL}, EVIL: {EVIL: [EVIL]}}
    population = hand_made_study.population(4, 6)
    of_each = ("parameter", [EVIL] * population.sizes["parameter"])
    population = population.assign(parameter=of_each, parameter_units=of_each, parameter_kind=of_each)
    fade = hand_made_study.fade(4, 6, failed=[(1, 2)])
    fade = fade.assign_coords(pack=[EVIL] * 6, draw=[EVIL] * 4).assign_attrs(attrs)
    duty, population = hand_made_study.duty().assign_attrs(attrs), population.assign_attrs(attrs)
    assert_harmless(rendered(duty, population, fade=fade, study=study, summary={EVIL: EVIL}), shown=20)


def test_a_calibration_of_hostile_names_is_harmless(tmp_path, monkeypatch):
    name = "<script>alert(1)</script>\"'{{7*7}}"
    content = {**CALIBRATION, "curves": [{"name": name, "file": name, "direction": "charge"}], "pulses": []}
    calibration = check_calibration(Document(tmp_path / "c.yaml", content))
    dims, values = ("chain", "draw", "curve"), np.full((2, 3, 1), 0.5)
    sampled = {each: (dims, values, {"long_name": name, "units": name}) for each in (*MODES, "electrode_capacity_ne")}
    posterior = xr.Dataset(sampled, {"curve": [name]})
    constant = xr.Dataset({"compared_with": ("curve", ["other"]), "curve_rmse": ("curve", [0.0])}, {"curve": [name]})
    pulses = pd.DataFrame({"resistance": [0.1], "diffusion_time": [np.nan], "rmse": [0.0]})
    groups = {"posterior": posterior, "constant_data": constant}
    found = Calibrated({}, {name: (name, name)}, groups, {name: pulses}, {}, None, 1.0)
    monkeypatch.setattr(calibration_run, "draw_states", lambda *_: [])
    monkeypatch.setattr(calibration_run, "_write_posterior", lambda found, origin, path: path.write_text(""))
    monkeypatch.setattr(calibration_run, "calibrate", lambda *_: found)
    run = RunFolder(tmp_path / "out")
    calibration_run.run_calibration(calibration, Document(tmp_path / "c.yaml", content), run, lambda *_: None)
    assert_harmless((run.path / "report.html").read_text(), shown=8)


def test_the_name_of_a_picture_is_text(tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>{{7*7}}.png"
    path.write_bytes(b"\x89PNG")
    origin = {"a": "b"}
    content = {"name": "a", "losses": [], "curves": [], "electrodes": [], "pulses": [], "notes": {}, "settings": ""}
    html = pages.render("calibration.html.jinja", figures=pages.embedded([path]), origin=origin, **content)
    assert_harmless(html)
