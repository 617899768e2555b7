import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fadecast.cli import app
from fadecast.cli_cluster import cluster
from fadecast.duty import Duty, Site, make_duty
from fadecast.files import read_netcdf, write_netcdf
from fadecast.pipeline import STAGES
from fadecast.summary import duty_lines
from fadecast.warranty import summary_line

CONFIGS = Path(__file__).parents[1] / "configs"
COMMANDS = [
    command.name or command.callback.__name__ for part in (app, cluster) for command in part.registered_commands
]


@pytest.fixture
def copy(tiny_run, tmp_path):
    """Return a copy of the small run that may be changed."""
    return Path(shutil.copytree(tiny_run, tmp_path / "copy"))


def bytes_of(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "log.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def linear_fade(path, end):
    """Write a fade of one pack in two draws that ends at the given retention after ten years."""
    time = np.linspace(0.0, 10.0, 11)
    retention = np.broadcast_to(1.0 - (1.0 - end) * time / 10.0, (2, 1, 11))
    arrays = dict.fromkeys(("retention", "soh"), (("draw", "pack", "time"), retention))
    fade = xr.Dataset(arrays, coords={"time": ("time", time, {"units": "year"})})
    write_netcdf(path, fade)
    return path


def test_help_is_quick_and_loads_no_science():
    code = "import sys; from fadecast.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'jax', 'pybamm', 'xarray', 'numpy', 'pydantic'} & set(sys.modules)))"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 5.0
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"Example: fadecast {name}" in out


def test_the_last_line_of_a_run_is_the_price(tiny_run, command):
    code, out, err = command("resume", tiny_run)
    assert code == 0
    lines = out.splitlines()
    assert lines[-1] == summary_line(read_netcdf(tiny_run / "price.nc"))
    assert lines[-1].startswith("premium_usd_per_kwh: ")
    assert "not_completed: 0 of 48" in lines
    assert "packs: 24  draws: 2  years: 1" in lines
    assert all(f"{stage} skipped" in err for stage in STAGES)


def test_a_done_run_is_left_as_it_is(copy, command):
    before = bytes_of(copy)
    began = time.perf_counter()
    assert command("run", copy / "study.yaml", "--out", copy)[0] == 0
    assert time.perf_counter() - began < 5.0
    assert bytes_of(copy) == before


def test_a_file_that_was_changed_is_made_again(copy, command):
    before = bytes_of(copy)
    (copy / "price.nc").write_bytes(b"not a price")
    (copy / "duty.nc").unlink()
    code, _, err = command("price", copy / "study.yaml", "--out", copy)
    assert code == 0
    assert "duty done" in err
    assert "forecast skipped" in err
    assert "price done" in err
    assert bytes_of(copy) == before


def test_a_price_that_changes_redoes_the_price_only(tiny_run, copy, command):
    override = "warranty.contract.remedy.usd_per_kwh=400"
    code, out, err = command("price", copy / "study.yaml", "--out", copy, "--set", override)
    assert code == 0
    assert "forecast skipped" in err
    assert out.splitlines()[-1] == summary_line(read_netcdf(copy / "price.nc"))
    twice, once = (read_netcdf(folder / "price.nc")["expected_loss"].item() for folder in (copy, tiny_run))
    assert once > 0.0
    assert twice == pytest.approx(2.0 * once)
    assert (copy / "fade.nc").read_bytes() == (tiny_run / "fade.nc").read_bytes()
    assert "report      stale" in command("status", copy)[1]


def test_duty_alone(tiny, tmp_path, command):
    code, out, _ = command("duty", tiny, "--out", tmp_path / "run", "--set", "draws=1")
    assert code == 0
    names = out.splitlines()[-1].split()[::2]
    assert names == ["energy_balance_error:", "unserved_fraction:", "seconds:"]
    assert float(out.splitlines()[-1].split()[1]) < 1e-9
    assert not (tmp_path / "run" / "population.nc").exists()


def test_a_broken_balance_shows():
    duty = make_duty(Site(), Duty(timestep_minutes=60), draws=1, packs=4, seed=0)
    assert float(duty_lines(duty)[-1].split()[1]) < 1e-9
    duty["battery_power"][0, 100] += 0.01 * duty["load_power"].max()
    assert float(duty_lines(duty)[-1].split()[1]) == pytest.approx(0.01, rel=1e-6)


def test_results_go_under_the_name_of_the_study(tiny, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert command("duty", tiny)[0] == 0
    assert (tmp_path / "results" / "tiny" / "duty.nc").is_file()


def test_price_of_a_fade_file_alone(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    fade = linear_fade(tmp_path / "fade.nc", 0.60)
    code, out, _ = command("price", CONFIGS / "warranty_linear.yaml", "--fade", fade)
    assert code == 0
    # 0.10 missing to 0.70, 100 USD/kWh, nothing else.
    assert out.splitlines()[-1].startswith("premium_usd_per_kwh: 10.0000 +- 0.0000  var_99.5: not_resolved")
    assert [path.name for path in tmp_path.iterdir()] == ["fade.nc"]


def test_price_of_a_fade_file_into_a_folder(tmp_path, command):
    fade = linear_fade(tmp_path / "fade.nc", 0.65)
    code, out, _ = command("price", CONFIGS / "warranty_linear.yaml", "--fade", fade, "--out", tmp_path / "run")
    assert code == 0
    price = read_netcdf(tmp_path / "run" / "price.nc")
    assert summary_line(price) == out.splitlines()[-1]
    assert price["premium"].item() == pytest.approx(5.0)
    assert json.loads(price.attrs["study"])["name"] == "warranty_linear"
    assert (tmp_path / "run" / "price.csv").read_text().startswith("quantity,value,units,low,high\n")


def test_price_of_two_fleets_as_one(tmp_path, command):
    weak, sound = linear_fade(tmp_path / "weak.nc", 0.60), linear_fade(tmp_path / "sound.nc", 0.90)
    code, out, _ = command("price", CONFIGS / "warranty_linear.yaml", "--fade", weak, "--fade", sound)
    assert code == 0
    assert out.splitlines()[-1].startswith("premium_usd_per_kwh: 5.0000 +- 0.0000")


def test_price_of_a_fleet_under_two_laws(tmp_path, command):
    weak, sound = linear_fade(tmp_path / "weak.nc", 0.60), linear_fade(tmp_path / "sound.nc", 0.90)
    both = "price", CONFIGS / "warranty_linear.yaml", "--fade", weak, "--fade", sound
    # Two draws: one follows each.
    assert (
        command(*both, "--weight", 0.6, "--weight", 0.4)[1].splitlines()[-1].startswith("premium_usd_per_kwh: 5.0000")
    )
    code, out, error = command(*both, "--weight", 1.0)
    assert (code, out) == (2, "")
    assert "--weight: got 1; must be one for each --fade, of which there are 2" in error


def test_status_names_every_stage(copy, command):
    code, out, _ = command("status", copy)
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:-1]] == [[stage, "done"] for stage in STAGES]
    (copy / "fade.nc").unlink()
    assert "forecast    stale" in command("status", copy)[1]


@pytest.mark.parametrize(("kind", "key"), [("--calibration", "curves"), ("--rates", "laws"), ("--score", "cells")])
def test_other_files_have_schemas_too(command, kind, key):
    code, out, _ = command("schema", kind)
    assert code == 0
    assert json.loads(out)["properties"][key]


def test_cluster_files_have_a_schema_for_each_engine(command):
    kinds = json.loads(command("schema", "--cluster")[1])["$defs"]
    assert kinds.keys() == {"LocalCluster", "SlurmCluster"}
    assert all(key["description"] for kind in kinds.values() for key in kind["properties"].values())


def test_the_schema_is_json(command):
    code, out, _ = command("schema")
    assert code == 0
    assert {"name", "packs", "draws", "years"} <= set(json.loads(out)["required"])


def test_a_stage_that_fails_exits_with_1(tiny, tmp_path, monkeypatch, command):
    monkeypatch.setattr("fadecast.pipeline.duty_years", lambda *_: 1 / 0)
    code, _, err = command("duty", tiny, "--out", tmp_path / "run")
    assert code == 1
    assert err.splitlines()[-1].endswith("stage duty failed: division by zero (more in log.jsonl)")
    assert "Traceback" not in err


@pytest.mark.parametrize("limit", [100_000, 700_000])
def test_a_disk_that_takes_no_more_is_one_message_and_leaves_no_file(tiny, tmp_path, limit):
    folder = tmp_path / "run"
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from fadecast.cli import main
main(["duty", {str(tiny)!r}, "--out", {str(folder)!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("File too large (more in log.jsonl)")
    # HDF5 that hears of it is still talking about it when the process ends.
    assert len(done.stderr.splitlines()) == 3
    assert {path.name for path in folder.iterdir()} == {".lock", "study.yaml", "log.jsonl"}


def started(config, folder):
    """Start a run in a process of its own."""
    program = [sys.executable, "-m", "fadecast", "run", str(config), "--out", str(folder)]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(process, condition):
    deadline = time.monotonic() + 120.0
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_run_stopped_by_hand_stops_at_once_and_says_how_to_go_on(tiny, tmp_path):
    folder = tmp_path / "run"
    process = started(tiny, folder)
    wait_for(process, (folder / "duty.nc").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10.0)
    assert process.returncode == 1
    assert err.splitlines()[-1] == f"stopped; go on with: fadecast resume {folder}"
    assert "Traceback" not in err


def test_a_killed_run_resumed_is_the_run_in_one_go(tiny, tiny_run, tmp_path, command):
    folder = tmp_path / "run"
    process = started(tiny, folder)
    wait_for(process, lambda: list(folder.glob("shards/*/*.sha256")))
    process.kill()
    process.communicate()
    assert not (folder / "fade.nc").exists()
    code, _, err = command("resume", folder)
    assert code == 0
    assert "duty skipped" in err
    assert "shard 1 of 3, 16 packs of draws, from the last run" in err
    assert bytes_of(folder) == bytes_of(tiny_run)
