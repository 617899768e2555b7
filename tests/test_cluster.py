"""A forecast dealt out to jobs is the forecast in one go, whatever happens to the jobs."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from dealt_out import all_ended, content_of, logged, wait_until
from fadecast import distributed
from fadecast.cluster import JobState, SlurmCluster, cancel_command, check_cluster, send, states
from fadecast.distributed import planned_keys, planned_shards, progress_of
from fadecast.document import Document, read_document
from fadecast.errors import InputError, RunError
from fadecast.pipeline import stage_keys
from fadecast.runs import RunFolder
from fadecast.sendings import Sending, divided, events, sendings
from fadecast.study import load_study

CONFIGS = Path(__file__).parents[1] / "configs" / "cluster"


def noted(folder, jobs, **changes):
    """Note a sending of jobs that were never started."""
    (folder / "jobs").mkdir(exist_ok=True)
    settings = {"engine": "local", "forecast": "f", "workers": 1, "prepares": False, **changes}
    return Sending.of(folder, "fadecast-x", jobs=jobs, **settings)


# What is sent


@given(st.integers(0, 300), st.integers(1, 50))
def test_shards_are_dealt_out_evenly_and_each_once(count, jobs):
    keys = [str(number) for number in range(count)]
    dealt = divided(keys, jobs)
    assert sorted(key for job in dealt for key in job) == sorted(keys)
    assert len(dealt) == min(jobs, count)
    assert max(map(len, dealt), default=0) - min(map(len, dealt), default=0) <= 1


def test_sendings_come_back_in_order_and_a_damaged_one_is_left_out(tmp_path):
    first, second = noted(tmp_path, [["a"], ["b", "c"]]), noted(tmp_path, [["d"]])
    known = second.known_as(tmp_path, ["7"])
    assert (first.number, known.number) == (1, 2)
    assert first.name != known.name
    assert sendings(tmp_path) == [first, known]
    (tmp_path / "jobs" / "0001.json").write_text('{"number": 1')
    assert sendings(tmp_path) == [known]
    assert noted(tmp_path, []).number == 3


def test_a_log_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
    sending = noted(tmp_path, [["a"]])
    assert list(events(tmp_path, sending, 0)) == []
    (tmp_path / sending.log_name(0)).write_text('{"event": "start"}\n[1]\n{"event": "sha')
    assert list(events(tmp_path, sending, 0)) == [{"event": "start"}]


def test_shards_are_counted_before_anything_is_made(tiny_run):
    study = load_study(tiny_run / "study.yaml")
    assert planned_keys(study) == ["shard-00000", "shard-00001", "shard-00002"]
    assert len(planned_shards(study)) == 3
    checked = study.model_copy(update={"decades": type(study.decades)(check_days=30)})
    assert planned_keys(checked)[-1] == "leap-error"
    few = {"packs": 805, "population": study.population.__class__(representatives=13)}
    assert len(planned_shards(study.model_copy(update=few))) == -(-2 * 13 // 16)


# Cluster files


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_cluster_files_that_are_shipped_are_sound(path):
    assert check_cluster(read_document(path)).cluster == path.stem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "cluster: is missing; must be local or slurm"),
        ({"cluster": "pbs"}, 'cluster: got "pbs"; must be local or slurm'),
        ({"cluster": ["slurm"]}, 'cluster: got ["slurm"]; must be local or slurm'),
        ({"cluster": "local", "partition": "gpu"}, 'partition: unknown key with value "gpu"'),
        ({"cluster": "slurm", "partitoin": "gpu"}, "did you mean 'partition'?"),
        ({"cluster": "slurm", "partition": "gpu; rm -rf x"}, 'partition: got "gpu; rm -rf x"; must be'),
        ({"cluster": "slurm", "minutes": 0}, "minutes: got 0; "),
        ({"cluster": "slurm", "setup": ["a\nb"]}, "setup.0: got "),
        ({"cluster": "slurm", "more": {"Bad key": 1}}, "more.Bad key"),
        ({"cluster": "slurm", "more": {"comment": "a\ntouch b"}}, "more.comment"),
    ],
)
def test_a_wrong_cluster_file_is_refused_with_its_key(content, message):
    with pytest.raises(InputError) as refused:
        check_cluster(Document(Path("c.yaml"), content))
    assert str(refused.value).startswith("c.yaml: ")
    assert message in str(refused.value)


# SLURM, played by small programs


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put programs in the way that answer as SLURM does; return a function that sets what one of them prints."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def says(name, text, code=0):
        (folder / f"{name}.txt").write_text(text)
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/{name}.asked\ncat {folder}/{name}.txt\nexit {code}\n')
        program.chmod(0o755)
        return folder / f"{name}.asked"

    for name in ("srun", "squeue", "sacct"):
        says(name, "")
    says("sbatch", "Submitted batch job 41\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return says


def test_what_a_cluster_file_says_reaches_sbatch(tmp_path, slurm):
    cluster = SlurmCluster(
        gpus_per_job=1,
        cpus_per_job=3,
        memory_gb=1.5,
        partition="gpu",
        account="me",
        setup=("module load cuda",),
        compile_cache="/a b/xla",
        jobs_at_once=5,
        more={"exclusive": True},
    )
    sent = send(cluster, tmp_path, noted(tmp_path, [["a"], ["b"]], engine="slurm", prepares=True))
    assert sent.ids == ("41", "41_0", "41_1")
    scripts = {path.name: path.read_text() for path in (tmp_path / "jobs" / "0001").glob("*.sh")}
    array = max(scripts.values(), key=lambda text: "--array" in text)
    for line in (
        "--array=0-1%2",
        "--partition=gpu",
        "--account=me",
        "--gpus-per-node=1",
        "--cpus-per-task=3",
        "--mem=1536MB",
        "--time=240",
        "--signal=USR2@60",
        "--requeue",
        "--exclusive",
        "--dependency=afterok:41",
        "--kill-on-invalid-dep=yes",
        f"--job-name={sent.name}",
    ):
        assert f"#SBATCH {line}\n" in array
    assert "export FADECAST_CACHE='/a b/xla'\nmodule load cuda\n" in array
    assert cancel_command(tmp_path, sent) == f"scancel --me --name {sent.name},{sent.name}-prepare"


def test_jobs_are_known_by_name_even_where_no_number_was_noted(tmp_path, slurm):
    sending = noted(tmp_path, [["a"], ["b"], ["c"]], engine="slurm")
    asked = slurm("squeue", "0|RUNNING|None\n2|PENDING|Resources\n")
    slurm("sacct", "41_0|RUNNING|0:0\n41_1|OUT_OF_MEMORY|0:125\n41_2|PENDING|0:0\n")
    assert states(tmp_path, sending) == [
        JobState("running", "RUNNING"),
        JobState("ended", "OUT_OF_MEMORY, exit code 0:125"),
        JobState("waiting", "PENDING, Resources"),
    ]
    assert f"--name {sending.name}" in asked.read_text()


def test_a_cluster_without_accounting_gives_no_reason_and_one_that_is_silent_is_an_error(tmp_path, slurm):
    sending = noted(tmp_path, [["a"]], engine="slurm")
    slurm("sacct", "", code=1)
    assert states(tmp_path, sending) == [JobState("ended", "")]
    slurm("squeue", "N/A|RUNNING|None\n")
    assert states(tmp_path, sending) == [JobState("running", "RUNNING")]
    slurm("squeue", "", code=1)
    with pytest.raises(RunError, match="squeue does not answer"):
        states(tmp_path, sending)


def test_an_engine_that_takes_no_jobs_is_one_message(tmp_path, slurm):
    slurm("sbatch", "", code=1)
    with pytest.raises(RunError, match="slurm does not take the jobs"):
        send(SlurmCluster(), tmp_path, noted(tmp_path, [["a"]], engine="slurm"))
    (refused,) = sendings(tmp_path)
    assert refused.refused.startswith("slurm does not take the jobs")


# How it stands


def test_a_process_of_this_machine_is_told_from_another_with_its_number(tmp_path):
    sending = noted(tmp_path, [["a"], ["b"], ["c"]])
    program = [sys.executable, "-c", "import time; time.sleep(60)", str(sending.folder(tmp_path).resolve())]
    ours = subprocess.Popen(program)
    try:
        sending = sending.known_as(tmp_path, [str(ours.pid), str(os.getpid())])
        assert [state.now for state in states(tmp_path, sending)] == ["running", "ended", "ended"]
        subprocess.run(shlex.split(cancel_command(tmp_path, sending)), check=True)
        assert ours.wait(10.0) == -signal.SIGKILL
    finally:
        ours.kill()
        ours.wait()


def test_progress_tells_what_is_done_what_failed_and_why(tiny_run, tmp_path, monkeypatch):
    study = load_study(tiny_run / "study.yaml").model_copy(update={"packs": 24, "draws": 5})
    key = stage_keys(study)["forecast"]
    run = RunFolder(tmp_path)
    keys = planned_keys(study)
    assert len(keys) == 8
    lost = noted(tmp_path, [keys[0:3], keys[3:4]], forecast=key)
    lost.refused_for(tmp_path, "no such partition")
    again = noted(tmp_path, [keys[1:2], keys[4:7]], forecast=key, workers=2)
    noted(tmp_path, [keys], forecast="of another study")
    now = {lost.name: [JobState("ended", "KILLED"), JobState("ended")], again.name: [JobState("waiting")] * 2}
    now[again.name][1] = JobState("running")
    monkeypatch.setattr(distributed, "states", lambda folder, sending: now[sending.name])
    shards = run.shards(key)
    shards.folder.mkdir(parents=True)
    for name in ("shard-00000.nc", "shard-00000.sha256", "shard-00005.nc"):
        (shards.folder / name).write_text("")
    log = RunFolder(tmp_path, log_name=lost.log_name(0))
    log.log("forecast", "shard", shard=0, seconds=10.0, loaded=False)
    log.log("forecast", "failed", reason="no room")
    found = progress_of(study, run)
    assert found.done == keys[:1]
    assert found.failed == [keys[2], keys[3]]
    assert found.waiting == [keys[1], keys[6]]
    assert found.running == keys[4:6]
    assert found.unsent == keys[7:]
    assert found.reasons == {
        f"{lost.name} job 0": ["no such partition", "KILLED", "no room"],
        f"{lost.name} job 1": ["no such partition"],
    }
    # Four shards that somebody has in hand, two at a time.
    assert found.seconds_left == pytest.approx(4 * 10.0 / 2)


# The whole way, through real processes


def tasks_of(folder):
    """Return the numbers of the processes that work for a run, by job."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            environment = (process / "environ").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if "submitit.core._submit" in command and any(str(folder.resolve()) in part for part in command):
            given = dict(part.split("=", 1) for part in environment if "=" in part)
            found[given.get("SUBMITIT_LOCAL_JOB_ID")] = int(process.name)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_jobs_that_are_stopped_killed_and_spoilt_come_to_the_same_result(tiny, tiny_run, tmp_path, command):
    folder = tmp_path / "run"
    code, out, _ = command("submit", tiny, "--cluster", CONFIGS / "local.yaml", "--out", folder)
    assert code == 0
    assert out.splitlines()[-1] == "jobs: 2 shards: 3"
    (sent,) = sendings(folder)
    # One is told to make room, as before preemption, and goes on by itself; the other is killed.
    wait_until(lambda: logged(folder, 0, "start"))
    os.kill(tasks_of(folder)[sent.ids[0]], signal.SIGUSR2)
    wait_until(lambda: logged(folder, 1, "start"))
    os.kill(tasks_of(folder)[sent.ids[1]], signal.SIGKILL)
    wait_until(lambda: logged(folder, 0, "done"))
    assert logged(folder, 0, "start") == 2
    wait_until(lambda: all_ended(folder))

    code, out, _ = command("status", folder)
    assert "shards: 2 done, 1 failed of 3" in out
    assert f"{sent.name} job 1 ended without its shards" in out
    code, _, err = command("collect", folder)
    assert code == 1
    assert "1 of 3 shards are missing or damaged (shard-00001)" in err
    assert not (folder / "fade.nc").exists()

    spoilt = next(folder.glob("shards/*/shard-00002.nc"))
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"!")
    code, out, _ = command("resume", folder)
    assert out.splitlines()[-1] == "jobs: 2 shards: 2"
    assert command("resume", folder)[1].startswith("nothing to send")
    wait_until(lambda: all_ended(folder))
    assert "all shards are there" in command("status", folder)[1]
    code, out, err = command("collect", folder)
    assert code == 0
    assert "duty skipped" in err
    assert content_of(folder) == content_of(tiny_run)
    assert json.loads((folder / "manifest.json").read_text())["stages"].keys() >= {"forecast", "report"}


def test_a_job_of_another_study_makes_nothing(tiny_run, tmp_path):
    from fadecast.jobs import work

    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    sending = noted(folder, [["shard-00000"]], forecast="of before")
    with pytest.raises(RunError, match="has changed since"):
        work(folder, sending.number, 0)
    assert not (folder / "shards").exists()
    assert [event["event"] for event in events(folder, sending, 0)] == ["start", "failed"]


# What it takes


def test_a_plan_counts_the_whole_and_measures_a_slice_that_is_kept(tiny, tiny_run, tmp_path, command):
    stated = tmp_path / "gpu.yaml"
    stated.write_text("cluster: slurm\ngpu_pack_years_per_second: 100\n")
    folder = tmp_path / "run"
    asked = ("plan", tiny, "--out", folder, "--cluster", stated)
    code, out, _ = command(*asked, "--slice", 0)
    assert code == 0
    assert "tiny: 48 packs of draws for 1 years, 48 pack-years" in out
    assert out.splitlines()[-1] == f"core_hours: not_measured gpu_hours: {48 / 100 / 3600:.2f} gb: not_measured"
    assert not folder.exists()
    code, out, _ = command(*asked)
    assert code == 0
    assert "measured here on 16 packs" in out
    last = out.splitlines()[-1].split()
    assert [last[0], last[4]] == ["core_hours:", "gb:"]
    (shard,) = folder.glob("shards/*/*.sha256")
    assert shard.stem == "shard-00000"
    done = shutil.copytree(tiny_run, tmp_path / "done")
    code, _, err = command("plan", tiny, "--out", done)
    assert code == 2
    assert "no shard is left to measure by" in err


def test_what_is_larger_than_memory_is_worked_on_in_chunks(tiny_run):
    pytest.importorskip("dask", reason="dask is not installed: pip install 'fadecast[dask]'")
    with xr.open_dataset(tiny_run / "fade.nc", chunks={}) as fade, xr.open_dataset(tiny_run / "fade.nc") as whole:
        assert dict(fade["soh"].chunksizes) == {"draw": (1, 1), "pack": (16, 8), "time": (3,)}
        left = (fade["retention"] < 0.999).mean(("draw", "pack")).compute()
        assert left.equals((whole["retention"] < 0.999).mean(("draw", "pack")))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_on_three_devices_is_the_run_on_one(tiny, tiny_run, tmp_path):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    program = [sys.executable, "-m", "fadecast", "run", str(tiny), "--out", str(tmp_path / "run")]
    subprocess.run(program, check=True, env=environment, capture_output=True)
    assert content_of(tmp_path / "run") == content_of(tiny_run)
