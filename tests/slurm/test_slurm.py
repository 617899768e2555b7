"""The whole way through a real SLURM: preempted, killed, unplugged, and the same bytes as a run in one go."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dealt_out import all_ended, content_of, logged, wait_until
from fadecast.cluster import states
from fadecast.sendings import sendings

from . import lab

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1200)]

CLUSTER = """\
cluster: slurm
partition: low
jobs_at_once: 4
shards_per_job: 2
minutes: 60
signal_seconds: 5
cpus_per_job: 1
gpus_per_job: 1
memory_gb: 1
compile_cache: {cache}
"""


@pytest.fixture(scope="module", autouse=True)
def _slurm():
    """Bring SLURM up, and take it down."""
    why = lab.missing()
    if why:
        pytest.skip(why)
    try:
        os.environ.update(lab.up())
        yield
    finally:
        lab.down()


@pytest.fixture
def cluster(tmp_path):
    """Return the cluster file."""
    path = tmp_path / "slurm.yaml"
    path.write_text(CLUSTER.format(cache=os.environ["FADECAST_CACHE"]))
    return path


def tasks():
    """Return the node and the folder of each process that SLURM runs for a job."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_text(errors="replace").split("\0")
            arguments = (process / "cmdline").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if "submitit.core._submit" in arguments and "srun" not in arguments[0]:
            found[int(process.name)] = dict(part.split("=", 1) for part in environment if "=" in part)
    return found


def task_of(job):
    """Return the process of an element of an array, and its environment."""
    return next((process, given) for process, given in tasks().items() if given.get("SLURM_ARRAY_TASK_ID") == str(job))


def collected_equals(folder, whole, command):
    """Send what is missing, if anything is, and hold what is collected against the run in one go."""
    wait_until(lambda: all_ended(folder))
    command("resume", folder)
    wait_until(lambda: all_ended(folder))
    code, _, err = command("collect", folder)
    assert code == 0, err
    return content_of(folder) == content_of(whole)


def test_a_preempted_job_is_queued_again_and_goes_on(tiny, tiny_run, tmp_path, cluster, command):
    folder = tmp_path / "run"
    code, out, _ = command("submit", tiny, "--cluster", cluster, "--out", folder)
    assert code == 0
    assert "after one that makes duty and population" in out
    assert out.splitlines()[-1] == "jobs: 2 shards: 3"
    wait_until(lambda: logged(folder, 0, "start") and logged(folder, 1, "start"))
    assert "2 running" in command("status", folder)[1]
    _, given = task_of(0)
    assert len(given["CUDA_VISIBLE_DEVICES"].split(",")) == 1
    urgent = ["sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 5"]
    subprocess.run(urgent, check=True, capture_output=True)
    wait_until(lambda: logged(folder, None, "done") and logged(folder, 0, "done") and logged(folder, 1, "done"))
    assert logged(folder, 0, "start") + logged(folder, 1, "start") > 2
    wait_until(lambda: all_ended(folder))
    assert command("resume", folder)[1].startswith("nothing to send")
    assert collected_equals(folder, tiny_run, command)


def test_a_killed_job_is_named_and_sent_again(tiny, tiny_run, tmp_path, cluster, command):
    folder = tmp_path / "run"
    command("submit", tiny, "--cluster", cluster, "--out", folder)
    wait_until(lambda: logged(folder, 1, "start"))
    process, _ = task_of(1)
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: all_ended(folder))
    out = command("status", folder)[1]
    assert "shards: 2 done, 1 failed of 3" in out
    assert "FAILED, exit code 9:0" in out or "FAILED, exit code 137:0" in out
    assert command("collect", folder)[0] == 1
    assert collected_equals(folder, tiny_run, command)


def test_a_node_that_dies_takes_nothing_with_it(tiny, tiny_run, tmp_path, cluster, command):
    folder = tmp_path / "run"
    command("submit", tiny, "--cluster", cluster, "--out", folder)
    wait_until(lambda: logged(folder, 0, "start"))
    _, given = task_of(0)
    lab.kill_node(given["SLURMD_NODENAME"])
    try:
        wait_until(lambda: logged(folder, 0, "done") and logged(folder, 1, "done"))
        assert logged(folder, 0, "start") == 2
    finally:
        lab.revive_node(given["SLURMD_NODENAME"])
    assert collected_equals(folder, tiny_run, command)


def test_jobs_of_a_driver_that_died_are_known_by_name(tiny, tiny_run, tmp_path, cluster, command):
    folder = tmp_path / "run"
    program = [sys.executable, "-m", "fadecast", "submit", str(tiny), "--cluster", str(cluster), "--out", str(folder)]
    driver = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    # Between handing the jobs over and noting their numbers.
    wait_until(lambda: sendings(folder) and list(sendings(folder)[0].folder(folder).glob("*.pkl")))
    wait_until(lambda: any(state.now != "ended" for state in states(folder, sendings(folder)[0])))
    driver.kill()
    driver.wait()
    assert command("resume", folder)[1].startswith("nothing to send")
    assert collected_equals(folder, tiny_run, command)


def test_jobs_behind_one_that_fails_do_not_wait_for_ever(tiny, tmp_path, cluster, command):
    climate = tmp_path / "here.json"
    import fadecast

    climate.write_bytes((Path(fadecast.__file__).parent / "data" / "weather_reno.json").read_bytes())
    folder = tmp_path / "run"
    # Both nodes are taken, so that the weather is gone before the first job begins.
    urgent = ["sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 15"]
    subprocess.run(urgent, check=True, capture_output=True)
    time.sleep(3)
    command("submit", tiny, "--set", f"site.climate={climate}", "--cluster", cluster, "--out", folder)
    kept = climate.read_bytes()
    climate.unlink()
    wait_until(lambda: logged(folder, None, "failed"))
    wait_until(lambda: all_ended(folder))
    climate.write_bytes(kept)
    out = command("status", folder)[1]
    assert "3 failed of 3" in out
    assert "holds no climate" in out
