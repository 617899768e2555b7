"""Settings nobody meant, of every kind of file: what is described, or one short message; nothing run, read or written.

A study that is accepted is one: it is written out and comes back the same.
"""

import contextlib
import io

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fadecast.calibrating import check_calibration
from fadecast.cli import main
from fadecast.cluster import check_cluster
from fadecast.document import read_document
from fadecast.errors import InputError
from fadecast.rate_calibrating import check_rate_calibration
from fadecast.score_run import check_scoring
from fadecast.study import check_pricing, check_study, load_study, plain_study, to_yaml
from hostile import cases, disturbed, mangled, refused_or_sound, words

LOAD = "time,power\n0,1.0\n3600,2.0\n7200,1.5\n"
RATE = {"name": "SEI kinetic rate constant [m.s-1]", "value": 1e-12, "units": "m.s-1", "log_sd": 0.5}
FEW = {
    "name": "a",
    "packs": 4,
    "draws": 2,
    "years": 10,
    "site": {"climate": "reno"},
    "duty": {"timestep_minutes": 60, "workload": {"trace": {"file": "load.csv", "rated": 2.0}}},
    "cell": {"chemistry": {"parameters": {"Nominal cell capacity [A.h]": 5.0}}},
    "fleet": {"sharing": "equal"},
    "population": {"rates": [RATE], "rate_posterior": None, "split": {"factors": [1, 1, 1]}, "soh_range": [0.6, 0.8]},
    "economics": {"years": 5},
    "warranty": {"contract": {"guarantee": [[1, 0.8], [10, 0.7]], "remedy": {"kind": "cash", "usd_per_kwh": 200}}},
}
CALIBRATION = {
    "name": "two",
    "nominal_capacity": 5.0,
    "voltage_limits": [2.5, 4.2],
    "half_cells": {
        "negative": {"parameter_set": "Ecker2015"},
        "positive": {"file": "p.csv", "charge": "q", "voltage": "u"},
        "negative_second": {"bpx": "cell.json", "phase": "Secondary"},
    },
    "table": {"columns": {"time": "t", "current": "i", "voltage": "u", "charge": "q"}, "units": {"time": "h"}},
    "curves": [
        {"name": "new", "file": "a.csv", "direction": "charge", "where": {"step": 5}},
        {"name": "old", "file": "b.csv", "direction": "discharge", "compared_with": "new"},
    ],
    "pulses": [{"name": "p", "files": ["c.csv", "d.csv"], "electrode": "negative", "radius": 1e-6}],
    "bpx_parameter_set": "Chen2020",
    "sampling": {"draws": 200},
}
RATES = {"name": "r", "rates": "lgm50", "laws": ["solvent", "reaction"], "chains": 4, "tolerance": 1e-3}
STEP = {"c_rate": 0.5, "until_soc": 0.2}
SCORE = {
    "name": "s",
    "draws": 20,
    "laws": ["solvent"],
    "sets": ["kuzhiyil2024_lgm50_calendar"],
    "cells": [
        {"name": "a", "ambient": 25, "start_soc": 0.5, "measured": {"file": "a.csv", "days": "day"}},
        {
            "name": "b",
            "ambient": 25,
            "start_soc": 0.9,
            "steps": [STEP, {"rest": True, "hours": 3}],
            "check_up_days": [9],
        },
    ],
}
CLUSTER = {
    "cluster": "slurm",
    "jobs_at_once": 8,
    "shards_per_job": 2,
    "minutes": 60,
    "memory_gb": 8.0,
    "gpus_per_job": 1,
    "partition": "gpu",
    "account": "me",
    "setup": ["module load cuda"],
    "python": "python3",
    "compile_cache": "/tmp/x",
    "more": {"exclusive": True, "nice": 10, "comment": "long"},
}
KINDS = {
    "cluster": (CLUSTER, check_cluster, None),
    "local": ({"cluster": "local", "jobs_at_once": 2, "workers": 1, "gpus_per_job": 0}, check_cluster, None),
    "calibration": (CALIBRATION, check_calibration, "calibrate"),
    "rates": (RATES, check_rate_calibration, "calibrate"),
    "score": (SCORE, check_scoring, "score"),
    "pricing": ({"name": "p", "seed": 3, "warranty": FEW["warranty"]}, check_pricing, None),
}
MARKER = "was_run"
SNIPPETS = [
    f"!!python/object/apply:os.system ['touch {MARKER}']",
    f"!!python/object/new:subprocess.Popen [['touch', '{MARKER}']]",
    f"!!python/object/apply:builtins.exec [\"open('{MARKER}', 'w')\"]",
    "!!python/name:os.system",
    "!!python/module:this",
    "!<tag:yaml.org,2002:python/tuple> [1]",
    "!include /etc/passwd",
    "!!int ''",
    "!!float ''",
    "!!float x",
    "!!bool 3",
    "!!null x",
    "!!timestamp x",
    "!!binary é",
    "!!set {a, b}",
    "!!set 3",
    "!!omap [a: 1]",
    "!!pairs 3",
    "!!str [a]",
    "2020-01-01",
    "2020-99-99",
    "2020-01-01 00:00:00+99:99",
    "0b" + "1" * 20_000,
    "9" * 5000,
    "1:59:59",
    "0o17",
    "0x_",
    "1_000",
    "~",
    '"\\uD800"',
    '"\\UFFFFFFFF"',
    '"\\0"',
    '"\\e[2J"',
    "&a [*a]",
    "&a {<<: *a}",
    "*nowhere",
    "{<<: 3}",
    "{<<: [{a: 1}, {b: 2}]}",
    "[" * 40,
    "[" * 5000,
    "{a: " * 60 + "1" + "}" * 60,
    "{a: 1, a: 2}",
    "? [a]",
    "{[a]: b}",
    "|\n  text\n",
    ">-\n text",
    "\t",
    "\x07",
    "\n---\n",
    "\n...\n",
    "%YAML 9.9\n---",
    "\u2028",
    "'" * 3,
    "&x" * 100,
    "[&a 1, " + "*a, " * 5000 + "1]",
]
LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))])
MERGES = "\n".join(["b0: &b0 {x: 1}", *(f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}" for n in range(1, 60))])
STAIRS = "\n".join(["c0: &c0 [x]", *(f"c{n}: &c{n} [*c{n - 1}]" for n in range(1, 300))])


@st.composite
def scribbled(draw, text):
    """Write what YAML understands, and configurations do not, into a text."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[at].partition(":")
        snippet = draw(st.sampled_from(SNIPPETS))
        match draw(st.sampled_from(["value", "value", "line", "document", "bomb"])):
            case "value" if colon:
                lines[at] = f"{key}: {snippet}"
            case "document":
                lines[at:at] = [draw(st.sampled_from(["---", "...", "%TAG ! x", "- a", "\ta: 1", "a: b: c", "? a"]))]
            case "bomb":
                lines += draw(st.sampled_from([LAUGHS, MERGES, STAIRS])).splitlines()
            case _:
                lines[at:at] = [snippet]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def written(content):
    """Return settings as a YAML file; what YAML has no form for is escaped."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=False, default_flow_style=None).encode()


def any_file(content):
    """Return files that are near some settings."""
    text = written(content)
    return st.one_of(
        disturbed(content).map(written), disturbed(content).map(written), scribbled(text.decode()), mangled(text)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a load beside the study, and nothing else."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "load.csv").write_text(LOAD)
    return folder


def refused_by(command, path):
    """Give a file to a command that must refuse it, and return the message."""
    before = sorted(path.parent.rglob("*"))
    said, error = io.StringIO(), io.StringIO()
    with (
        pytest.raises(SystemExit) as ended,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(error),
    ):
        main([command, str(path), "--out", str(path.parent / "out")])
    assert ended.value.code == 2
    assert said.getvalue() == ""
    assert sorted(path.parent.rglob("*")) == before
    return error.getvalue()


@cases(110)
@given(content=any_file(FEW))
def test_any_study_is_read_or_refused(folder, monkeypatch, content):
    monkeypatch.chdir(folder)
    path = folder / "s.yaml"
    path.write_bytes(content)
    with refused_or_sound(InputError, path):
        try:
            study = check_study(read_document(path))
        except InputError as error:
            said = f"error: {error}\n"
            assert refused_by("run", path) == said
            raise
        (folder / "again.yaml").write_text(to_yaml(study), encoding="utf-8")
        assert plain_study(load_study(folder / "again.yaml")) == plain_study(study)
    assert not (folder / MARKER).exists()


keys = st.sampled_from(["packs", "years", "site.climate", "population.rates.0.value", "population.rates.9", "a.b.c"])
texts = st.one_of(st.sampled_from(SNIPPETS), words, st.text(max_size=10), st.sampled_from([LAUGHS, STAIRS, "4", "8.5"]))
assignments = st.one_of(
    st.tuples(keys | words | st.just(".".join("a" * 2000)), texts).map("=".join), texts, st.just("packs=" + "[" * 900)
)


@cases(30)
@given(overrides=st.lists(assignments, min_size=1, max_size=4))
def test_any_replacement_of_a_value_is_taken_or_refused(folder, monkeypatch, overrides):
    monkeypatch.chdir(folder)
    path = folder / "s.yaml"
    path.write_bytes(written(FEW))
    with refused_or_sound(InputError, path):
        check_study(read_document(path, overrides))
    assert not (folder / MARKER).exists()


@pytest.mark.parametrize("kind", KINDS)
@cases(25)
@given(data=st.data())
def test_any_other_settings_are_read_or_refused(folder, monkeypatch, kind, data):
    monkeypatch.chdir(folder)
    content, check, command = KINDS[kind]
    path = folder / "c.yaml"
    path.write_bytes(data.draw(any_file(content)))
    with refused_or_sound(InputError, path):
        try:
            check(read_document(path))
        except InputError as error:
            # Settings without `rates` are those of a calibration of states.
            if command and (kind != "rates" or "rates" in str(error)):
                assert refused_by(command, path).startswith(f"error: {path}")
            raise
    assert not (folder / MARKER).exists()
