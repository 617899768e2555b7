"""Strict numerics in every test, and one small run that several tests look at."""

import os
from pathlib import Path

import hypothesis
import jax
import pytest

from fadecast.pipeline import use_compilation_cache

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("long", max_examples=2500)

MOST_MAPS = 25_000

TINY = """\
name: tiny
seed: 1
packs: 24
draws: 2
years: 1
duty: {timestep_minutes: 60}
decades: {typical_days: 2, output_interval_days: 182.5, check_days: 0}
warranty: {contract: {term_years: 1, guarantee: [[1, 0.999]], remedy: {kind: cash, usd_per_kwh: 200}}}
execution: {tile: 16, workers: 1}
"""


@pytest.fixture(scope="session", autouse=True)
def _compiled_programs(tmp_path_factory):
    """Keep compiled programs of the whole test run, and none of them in the user's cache."""
    os.environ.setdefault("FADECAST_CACHE", str(tmp_path_factory.getbasetemp().parent / "xla"))
    use_compilation_cache()


@pytest.fixture(scope="module", autouse=True)
def _memory_maps():
    """Let go of compiled programs before their memory maps are too many.

    XLA maps every kernel by itself, and Linux allows a process 65,530 maps: beyond, loading a program ends in a crash.
    """
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def tiny(tmp_path) -> Path:
    """Return the file of a study of three tiles."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """Return the folder of that study, run by command. Look, do not touch."""
    from fadecast.cli import main

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder / "tiny.yaml"), "--out", str(folder / "run")])
    assert ended.value.code == 0
    return folder / "run"


@pytest.fixture
def command(capsys):
    """Return a function that runs a command and gives its exit code, stdout and stderr."""
    from fadecast.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, *capsys.readouterr()

    return run
