import json
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr

from fadecast import files, pipeline
from fadecast.cell.chemistry import Chemistry
from fadecast.duty import Site
from fadecast.errors import RunError
from fadecast.files import read_netcdf, temporary_name, write_netcdf, write_text, write_whole
from fadecast.operated import Cell
from fadecast.pipeline import STAGES, needed, run_stages, stage_keys
from fadecast.population import Population
from fadecast.runs import RunFolder, git_commit, open_study, provenance
from fadecast.shards import Shards
from fadecast.study import Study, load_study
from fadecast.variables import VariableError

STUDY = Study(name="small", packs=4, draws=2, years=10.0)


def dataset():
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "retention": (("draw", "pack", "time"), rng.random((2, 40, 9))),
            "retired_class": (("draw", "pack"), np.full((2, 40), "lmo_10ah")),
            "outcome": (("draw", "pack"), np.zeros((2, 40), dtype=np.int8)),
        },
        coords={"draw": [0, 1], "pack": np.arange(40), "time": np.arange(9.0)},
        attrs={"title": "é"},
    )


def unseen(*_):
    """Observe nothing."""


# Files


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a.nc", "b.nc"):
        RunFolder(tmp_path).write_dataset(name, dataset(), STUDY)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_a_dataset_comes_back_bit_for_bit_and_can_be_written_again(tmp_path):
    values = dataset()
    values["retention"][0, 0, 3:] = np.nan
    RunFolder(tmp_path).write_dataset("a.nc", values, STUDY)
    back = RunFolder(tmp_path).read_dataset("a.nc")
    for name in values.variables:
        np.testing.assert_array_equal(back[name].values, values[name].values)
    assert back["outcome"].dtype == np.int8
    write_netcdf(tmp_path / "b.nc", back)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_plain_xarray_opens_what_is_written(tmp_path):
    RunFolder(tmp_path).write_dataset("a.nc", dataset(), STUDY)
    with xr.open_dataset(tmp_path / "a.nc") as opened:
        assert opened["time"].attrs["units"] == "year"
        assert opened["time"].dtype == np.float64
        assert opened["outcome"].attrs["flag_meanings"].startswith("completed ")


def test_what_is_not_declared_is_not_written(tmp_path):
    with pytest.raises(VariableError, match="smell"):
        RunFolder(tmp_path).write_dataset("a.nc", dataset().assign(smell=("time", np.zeros(9))), STUDY)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half(temporary):
        temporary.write_text("ne")
        raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_dataset_names_its_origin_and_gives_its_study_back(tmp_path):
    RunFolder(tmp_path).write_dataset("a.nc", dataset(), STUDY)
    back = RunFolder(tmp_path).read_dataset("a.nc")
    assert open_study(back) == STUDY
    assert back.attrs["title"] == "é"
    assert {"seed", "git_commit", "fadecast_version", "pybamm_version", "jax_version", "Conventions"} <= set(back.attrs)
    assert provenance(STUDY) == {key: back.attrs[key] for key in provenance(STUDY)}


def test_the_commit_is_that_of_the_checkout_or_unknown():
    commit = git_commit().removesuffix("+dirty")
    assert commit == "unknown" or (len(commit) == 40 and int(commit, 16))


# Which stages are up to date


def test_a_stage_is_done_only_with_its_key_and_its_file(tmp_path):
    run = RunFolder(tmp_path)
    assert run.state("duty", "k1") == "missing"
    write_text(tmp_path / "duty.nc", "content")
    run.record("duty", "k1", ["duty.nc"])
    assert run.state("duty", "k1") == "done"
    assert run.state("duty", "k2") == "stale"
    write_text(tmp_path / "duty.nc", "contemt")
    assert run.state("duty", "k1") == "stale"
    (tmp_path / "duty.nc").unlink()
    assert run.state("duty", "k1") == "stale"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stages": 3}', "\x00"])
def test_a_damaged_manifest_counts_as_none(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert RunFolder(tmp_path).state("duty", "k1") == "missing"


def key_changes(study):
    before, after = stage_keys(STUDY.model_copy(update={"packs": 40})), stage_keys(study)
    return [name for name in STAGES if before[name] != after[name]]


@pytest.mark.parametrize(
    ("settings", "redone"),
    [
        ({"seed": 5}, ["duty", "population", "forecast", "price", "economics", "report"]),
        ({"packs": 5}, ["duty", "population", "forecast", "price", "economics", "report"]),
        ({"site": {"climate": "elko"}}, ["duty", "population", "forecast", "price", "economics", "report"]),
        ({"population": {"soh_range": (0.65, 0.8)}}, ["population", "forecast", "price", "economics", "report"]),
        ({"cell": {"chemistry": {"particle_points": 12}}}, ["population", "forecast", "price", "economics", "report"]),
        ({"cell": {"limits": {"soc_min": 0.1}}}, ["forecast", "price", "economics", "report"]),
        ({"execution": {"tile": 32}}, ["forecast", "price", "economics", "report"]),
        ({"execution": {"tile": 48}}, []),
        ({"warranty": {"premium": {"discount_rate": 0.05}}}, ["price", "economics", "report"]),
        ({"economics": {}, "fleet": {"sharing": "equal"}}, ["forecast", "price", "economics", "report"]),
        ({"name": "other"}, ["report"]),
        ({"execution": {"workers": 7}}, []),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(settings, redone):
    content = json.dumps({"name": "small", "packs": 40, "draws": 2, "years": 10.0, **settings})
    assert key_changes(Study.model_validate_json(content)) == redone


def test_the_content_of_a_climate_file_counts_not_its_name(tmp_path):
    place = tmp_path / "here.json"
    study = Study(name="small", packs=4, draws=2, years=10.0, site=Site(climate=str(place)))
    place.write_text("1")
    first = stage_keys(study)["duty"]
    place.write_text("2")
    assert stage_keys(study)["duty"] != first


def test_the_content_of_a_cell_file_counts(tmp_path):
    file = tmp_path / "cell.json"
    cell, population = Cell(chemistry=Chemistry(bpx=str(file))), Population(rate_posterior=None)
    study = Study(name="small", packs=4, draws=2, years=10.0, cell=cell, population=population)
    file.write_text("1")
    first = stage_keys(study)
    file.write_text("2")
    changed = stage_keys(study)
    assert [stage for stage in STAGES if changed[stage] != first[stage]] == list(STAGES)[1:]


def test_a_stage_needs_only_what_it_reads():
    assert needed("population") == ["duty", "population"]
    assert needed("forecast") == ["duty", "population", "forecast"]
    assert needed("report") == list(STAGES)


# Locks and logs


def hold(path, ready, release):
    with RunFolder(path).locked():
        ready.set()
        release.wait(30)


def test_two_processes_do_not_work_in_one_folder_and_a_killed_one_leaves_no_lock(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    ready, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, ready, release))
    other.start()
    assert ready.wait(60)
    run = RunFolder(tmp_path)
    with pytest.raises(RunError, match=rf"process {other.pid} on .+\) works in this folder"), run.locked():
        pass
    assert run.is_locked()
    other.kill()
    other.join()
    assert not run.is_locked()
    with run.locked():
        pass


def dead_process():
    """Return the number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    mine = temporary_name(tmp_path / "fade.nc").name
    dead = mine.replace(f".{os.getpid()}.", f".{dead_process()}.")
    elsewhere = dead.replace(f".{files._host()}.", ".elsewhere.")
    for name in (mine, dead, elsewhere, "fade.nc.tmp"):
        (tmp_path / name).write_text("half")
    folder = tmp_path / dead.replace("fade.nc", "figures")
    folder.mkdir()
    (folder / "a.png").write_text("half")
    with RunFolder(tmp_path).locked():
        kept = {path.name for path in tmp_path.iterdir()}
    # Another machine, and a thread of this process, may be about to finish theirs.
    assert kept == {".lock", mine, elsewhere, "fade.nc.tmp"}


def test_who_waits_gets_the_folder_when_it_is_let_go(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    ready, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, ready, release))
    other.start()
    assert ready.wait(60)
    threading.Timer(0.5, release.set).start()
    with RunFolder(tmp_path).locked(patience=30.0):
        assert release.is_set()
    other.join()


def test_the_log_has_one_object_per_line_even_after_a_line_cut_short(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"event": "sta')
    run = RunFolder(tmp_path)
    run.log("duty", "start")
    run.log("duty", "done", seconds=1.5)
    cut, *lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert cut == '{"event": "sta'
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["start", "done"]
    assert events[1]["seconds"] == 1.5
    assert {event["run"] for event in events} == {run.run_id}


# Tiles


def tile():
    return xr.Dataset({"soh": (("time", "lane"), [[0.1, np.nan]])}, attrs={"cell_days": 3.5})


def test_a_tile_comes_back_bit_for_bit(tmp_path):
    shards = Shards(tmp_path / "shards")
    assert shards.load("shard-00000") is None
    shards.save("shard-00000", tile())
    xr.testing.assert_identical(shards.load("shard-00000"), tile())
    assert shards.keys() == {"shard-00000"}
    assert shards.size() > 1000


@pytest.mark.parametrize("damage", ["cut", "bit", "no checksum", "no data", "odd checksum"])
def test_a_damaged_tile_counts_as_missing(tmp_path, damage):
    shards = Shards(tmp_path)
    shards.save("shard-00000", tile())
    data, checksum = tmp_path / "shard-00000.nc", tmp_path / "shard-00000.sha256"
    content = data.read_bytes()
    match damage:
        case "cut":
            data.write_bytes(content[: len(content) // 2])
        case "bit":
            data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "no checksum":
            checksum.unlink()
        case "no data":
            data.unlink()
        case "odd checksum":
            checksum.write_bytes(b"\xff\xfe")
    assert shards.load("shard-00000") is None


def test_tiles_of_another_forecast_are_not_taken(tmp_path):
    run = RunFolder(tmp_path)
    run.shards("a" * 64).save("shard-00000", tile())
    assert run.shards("b" * 64).load("shard-00000") is None
    run.drop_shards()
    assert run.shards("a" * 64).load("shard-00000") is None


# Whole runs


def test_a_run_has_all_its_files(tiny_run):
    names = {path.name for path in tiny_run.iterdir()}
    files = {"study.yaml", "manifest.json", "duty.nc", "population.nc", "fade.nc", "price.nc", "price.csv"}
    assert files | {"price_sheet.html", "report.html", "log.jsonl", "figures", ".lock"} == names
    assert list((tiny_run / "figures").glob("*.png"))


def test_every_dataset_of_a_run_gives_its_study_back(tiny_run):
    study = load_study(tiny_run / "study.yaml")
    for name in ("duty.nc", "population.nc", "fade.nc", "price.nc"):
        assert json.loads(read_netcdf(tiny_run / name).attrs["study"]) == pipeline.plain_study(study)


def test_a_stopped_forecast_goes_on_to_the_same_result(tiny_run, tmp_path):
    study = load_study(tiny_run / "study.yaml")
    run = RunFolder(tmp_path / "run")
    tiles = []

    def interrupt(stage, event, details):
        if event == "shard":
            tiles.append(details["loaded"])
            if len(tiles) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stages(study, run, "forecast", interrupt)
    assert run.shards(stage_keys(study)["forecast"]).keys() == {"shard-00000", "shard-00001"}
    assert not (run.path / "fade.nc").exists()

    tiles.clear()
    run_stages(study, run, "price", lambda stage, event, details: tiles.append(details.get("loaded")))
    assert tiles.count(True) == 2
    assert tiles.count(False) == 1
    assert not (run.path / "shards").exists()
    for name in ("duty.nc", "population.nc", "fade.nc", "price.nc", "price.csv"):
        assert (run.path / name).read_bytes() == (tiny_run / name).read_bytes(), name


def test_a_few_packs_stand_for_all_and_draws_take_years_in_turn(tiny, tmp_path):
    settings = ["draws=3", "population={representatives: 8}", "duty.distinct_years=2", "fleet={sharing: equal}"]
    run = RunFolder(tmp_path / "run")
    run_stages(load_study(tiny, settings), run, "price", unseen)
    duty, population, fade, priced = (
        run.read_dataset(f"{name}.nc") for name in ("duty", "population", "fade", "price")
    )
    assert duty.sizes["draw"] == 2
    assert dict(fade["soh"].sizes) == {"draw": 3, "pack": 8, "time": 3}
    assert dict(fade["site_unserved"].sizes) == {"draw": 3, "site": 1, "time": 3}
    np.testing.assert_array_equal(fade["duty_draw"], [0, 1, 0])
    assert float(fade["pack_weight"]) == float(population["pack_weight"]) == 3.0
    # The first year of a site of 24 packs is that of its duty.
    first = 8760.0 * duty["unserved_power"].mean("hour").values[[0, 1, 0]]
    np.testing.assert_allclose(fade["site_unserved"].values[:, 0, -1], first, rtol=0.05)
    claims = 3.0 * float((priced["loss"] * 1.04).sum())
    assert float(priced["claim_amount"].sum()) == pytest.approx(claims, rel=1e-6)


def test_a_stage_that_fails_is_logged_and_not_done(tmp_path, monkeypatch):
    def burn(*_):
        raise ZeroDivisionError("smoke")

    monkeypatch.setattr(pipeline, "duty_years", burn)
    run = RunFolder(tmp_path)
    with pytest.raises(RunError, match="stage duty failed: smoke"):
        run_stages(STUDY, run, "duty", unseen)
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "failed"
    assert "ZeroDivisionError" in last["error"]
    assert run.state("duty", stage_keys(STUDY)["duty"]) == "missing"


def test_compiled_programs_are_kept_where_asked(tmp_path, monkeypatch):
    import jax

    before = jax.config.jax_compilation_cache_dir
    try:
        monkeypatch.setenv("FADECAST_CACHE", str(tmp_path / "cache"))
        pipeline.use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache")
        monkeypatch.setenv("FADECAST_CACHE", os.devnull)
        pipeline.use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
