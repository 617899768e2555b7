"""Faults done to real runs: what comes after each of them must be, byte for byte, what a run in one go gives.

Runs and jobs are killed with -9 at random moments and gone on with; after each kill every file that has its final name
is held against that of the run in one go. Beside that: a job told to make room and then killed, a killed driver, a full
disk, a folder that cannot be written, spoilt shards, two drivers at once, and clocks that jump. What needs root (a
small disk of its own) or a program that is not there (faketime) is left out, and said to be.

`python benchmarks/faults.py` kills 100 times; `--quick` kills 4 times and does no more; `--gpu` gives the one GPU of
this machine to one job at a time. Ends with `killed: N resumed: N identical: N`.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fadecast.cluster import states
from fadecast.sendings import events, sendings

STUDY = """\
name: faults
seed: 1
packs: 48
draws: 2
years: 1
duty: {timestep_minutes: 60}
decades: {typical_days: 2, spin_up_hours: 3, output_interval_days: 182.5, check_days: 0}
warranty: {contract: {term_years: 1, guarantee: [[1, 0.999]], remedy: {kind: cash, usd_per_kwh: 200}}}
execution: {tile: 16, workers: 1}
"""
APART = {".lock", "log.jsonl", "manifest.json"}
"""Not the same in every run: the manifest names stages as they are done, and is compared when all are."""


class Lab:
    """A study, the run of it in one go, and what else its files are held against."""

    def __init__(self, folder: Path, gpu: bool) -> None:
        self.folder, self.study, self.cluster = folder, folder / "faults.yaml", folder / "local.yaml"
        self.study.write_text(STUDY)
        jobs = "jobs_at_once: 1\ngpus_per_job: 1\n" if gpu else "jobs_at_once: 2\n"
        self.cluster.write_text(f"cluster: local\n{jobs}")
        self.whole, shards = folder / "whole", folder / "shards"
        # Which compiles, so that the run after it takes as long as those that are killed.
        self.call("plan", self.study, "--out", shards, "--slice", 99)
        began = time.perf_counter()
        self.call("run", self.study, "--out", self.whole)
        self.seconds = time.perf_counter() - began
        self.expected = {**contents(shards), **contents(self.whole)}

    def call(self, *arguments: object, code: int | None = 0, before: tuple[str, ...] = ()) -> str:
        """Run a command to its end; return what it printed."""
        done = subprocess.run(self.program(*arguments, before=before), capture_output=True, text=True)
        assert code is None or done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command."""
        return subprocess.Popen(self.program(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @staticmethod
    def program(*arguments: object, before: tuple[str, ...] = ()) -> list[str]:
        """Return the words of a command."""
        return [*before, sys.executable, "-m", "fadecast", *map(str, arguments)]

    def is_sound(self, run: Path) -> bool:
        """Return whether each file that has its final name is as in the run in one go."""
        return all(self.expected.get(name) == content for name, content in contents(run).items())

    def is_whole(self, run: Path) -> bool:
        """Return whether a run has all files of the run in one go, and no other ones."""
        manifests = [(folder / "manifest.json").read_bytes() for folder in (run, self.whole)]
        return contents(run) == contents(self.whole) and manifests[0] == manifests[1]


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run that have their final names, and what is in them; not what belongs to the engine."""
    found = {}
    for path in sorted(run.rglob("*")):
        inside = path.relative_to(run)
        half = any(part.startswith(".") for part in inside.parts)
        if path.is_file() and not half and inside.parts[0] != "jobs" and inside.name not in APART:
            found[str(inside)] = path.read_bytes()
    return found


def phase(run: Path) -> str:
    """Return what a run was at, by the last line of its logs: a stage and what happened last in it."""
    last = "", "nothing", "its start"
    for log in [run / "log.jsonl", *run.glob("jobs/*/*.jsonl")]:
        for line in log.read_bytes().splitlines()[-1:] if log.is_file() else ():
            with suppress(ValueError):
                event = json.loads(line)
                last = max(last, (event["time"], event["stage"], event["event"]))
    return f"{last[1]} after {last[2]}"


def tasks(run: Path) -> list[int]:
    """Return the processes that work for the jobs of a run."""
    return [process for process, command in processes() if "submitit.core._submit" in command and str(run) in command]


def processes() -> Iterator[tuple[int, str]]:
    """Return the number and the command of each process."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            yield int(path.name), (path / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue


def wait_for_jobs(run: Path) -> None:
    """Wait until no job of a run is left."""
    deadline = time.monotonic() + 600.0
    while any(state.now != "ended" for sending in sendings(run) for state in states(run, sending)) or tasks(run):
        assert time.monotonic() < deadline, "jobs do not end"
        time.sleep(0.1)


class Killer:
    """Kills at random moments, and counts."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab, self.chance = lab, random.Random(seed)
        self.killed = self.resumed = self.identical = 0
        self.phases: Counter[str] = Counter()

    def note(self, run: Path, what: str, after: float) -> None:
        """Count a kill, and whether what is there is sound."""
        self.killed += 1
        self.phases[f"{what}: {phase(run)}"] += 1
        self.identical += self.lab.is_sound(run)
        print(f"kill {self.killed}: {what}, {after:.1f} s after its start, {phase(run)}", flush=True)

    def run_here(self, run: Path, most: int) -> None:
        """Kill `fadecast run` again and again, then let it come to its end."""
        for _ in range(most):
            process, after = self.lab.start("run", self.lab.study, "--out", run), self.after()
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.note(run, "run", after)
            else:
                break
        self.lab.call("run", self.lab.study, "--out", run)
        self.end(run)

    def deal_out(self, run: Path, most: int) -> None:
        """Kill drivers and jobs, then send what is missing until all is there."""
        killed = 0
        while killed < most:
            process, after = self.lab.start("submit", self.lab.study, "--cluster", self.lab.cluster, "--out", run), 0.0
            if self.chance.random() < 0.3:
                after = self.chance.uniform(0.0, 0.5 * self.lab.seconds)
                time.sleep(after)
                if process.poll() is None:
                    process.kill()
                    killed += 1
                    self.note(run, "driver", after)
            process.wait()
            began = time.monotonic()
            time.sleep(self.chance.uniform(0.0, 0.7 * self.lab.seconds))
            at_work = tasks(run)
            if at_work:
                os.kill(self.chance.choice(at_work), signal.SIGKILL)
                killed += 1
                self.note(run, "job", time.monotonic() - began)
            elif run.joinpath("study.yaml").exists() and "all shards are there" in self.lab.call("status", run):
                break
        self.finish(run)
        self.end(run)

    def finish(self, run: Path) -> None:
        """Send what is missing until all is there, and collect."""
        self.lab.call("submit", self.lab.study, "--cluster", self.lab.cluster, "--out", run)
        for _ in range(3):
            wait_for_jobs(run)
            if "all shards are there" in self.lab.call("status", run):
                break
            self.lab.call("resume", run)
        self.lab.call("collect", run)

    def after(self) -> float:
        """Return how long to wait before a kill [s]."""
        return self.chance.uniform(0.3, self.lab.seconds)

    def end(self, run: Path) -> None:
        """Hold a run that came to its end against the one in one go; all kills since the last end stand or fall."""
        since = self.killed - self.resumed
        self.resumed = self.killed
        if not self.lab.is_whole(run):
            print(f"{run.name}: differs")
            self.identical -= since
        shutil.rmtree(run)


def preempted(lab: Lab, run: Path) -> None:
    """Tell jobs to make room and kill them while they leave; they are queued again, or sent again."""
    lab.call("submit", lab.study, "--cluster", lab.cluster, "--out", run)
    (sending,) = sendings(run)
    for _ in range(1200):
        if all("start" in [event["event"] for event in events(run, sending, job)] for job in range(len(sending.jobs))):
            break
        time.sleep(0.05)
    told = tasks(run)
    for process in told:
        os.kill(process, signal.SIGUSR2)
    time.sleep(0.2)
    for process in told:
        if Path(f"/proc/{process}").exists():
            os.kill(process, signal.SIGKILL)
    wait_for_jobs(run)


def spoilt(lab: Lab, run: Path) -> None:
    """Cut, change and empty shards that are there."""
    lab.call("plan", lab.study, "--out", run, "--slice", 99)
    first, second, third = sorted(run.glob("shards/*/*.nc"))[:3]
    first.write_bytes(first.read_bytes()[:1000])
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    third.write_bytes(b"")
    assert "3 of 6 shards are missing or damaged" in lab.call("collect", run, code=1)


def two_drivers(lab: Lab, run: Path) -> None:
    """Start a second driver while one works: it says who works there, and does nothing."""
    process = lab.start("run", lab.study, "--out", run)
    while not (run / "study.yaml").exists():
        time.sleep(0.01)
    for arguments in (("run", lab.study), ("submit", lab.study, "--cluster", lab.cluster)):
        assert f"(process {process.pid} on " in lab.call(*arguments, "--out", run, code=1)
    process.wait()


def full_disk(lab: Lab, run: Path) -> None:
    """Run on a disk with less and less room, with more at last."""
    with small_disk(run, "size=60k"):
        # No room for the duty; for the duty alone; for a part of what comes after.
        for size in ("60k", "400k", "1050k", "1200k"):
            subprocess.run(["mount", "-o", f"remount,size={size}", str(run)], check=True)
            assert "No space left" in lab.call("run", lab.study, "--out", run / "run", code=1)
            assert lab.is_sound(run / "run")
        subprocess.run(["mount", "-o", "remount,size=100m", str(run)], check=True)
        lab.call("run", lab.study, "--out", run / "run")
        assert lab.is_whole(run / "run")


def read_only(lab: Lab, run: Path) -> None:
    """Run in a folder that cannot be written, then in one that can."""
    with small_disk(run, "size=100m"):
        lab.call("population", lab.study, "--out", run / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(run)], check=True)
        for arguments in (("run", lab.study), ("submit", lab.study, "--cluster", lab.cluster)):
            assert "Read-only file system" in lab.call(*arguments, "--out", run / "run", code=None)
        lab.call("status", run / "run")
        subprocess.run(["mount", "-o", "remount,rw", str(run)], check=True)
        lab.call("run", lab.study, "--out", run / "run")
        assert lab.is_whole(run / "run")


@contextmanager
def small_disk(where: Path, options: str) -> Iterator[None]:
    """Put a disk of its own at a folder."""
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)
        where.rmdir()


def clock(lab: Lab, run: Path) -> None:
    """Make the stages under clocks that are years apart, and kill one of them."""
    lab.call("duty", lab.study, "--out", run, before=("faketime", "2038-01-20 00:00:00"))
    lab.call("plan", lab.study, "--out", run, "--slice", 3, before=("faketime", "2001-01-01 00:00:00"))
    for path in run.glob("shards/*/*"):
        os.utime(path, (4e9, 4e9))
    lab.call("forecast", lab.study, "--out", run, before=("faketime", "1999-12-31 23:59:50"))


FAULTS: dict[str, tuple[Callable[[Lab, Path], None], str | None]] = {
    "preemption, then kill": (preempted, None),
    "spoilt shards": (spoilt, None),
    "two drivers": (two_drivers, None),
    "full disk": (full_disk, "root"),
    "read-only folder": (read_only, "root"),
    "clock": (clock, "faketime"),
}
"""What is done to a run, and what it needs. Where a folder is left, the run in it is gone on with and compared."""


def possible(need: str | None) -> bool:
    """Return whether a fault can be done here."""
    if need == "root":
        return os.geteuid() == 0 and shutil.which("mount") is not None
    return need is None or shutil.which(need) is not None


def main() -> None:
    """Do all faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 kills, and nothing else")
    parser.add_argument("--gpu", action="store_true", help="jobs work on the GPU of this machine")
    parser.add_argument("--kills", type=int, default=None, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    kills = given.kills or (4 if given.quick else 100)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if given.gpu:
            # A driver looks at what a job makes while the job has the GPU.
            os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        lab = Lab(Path(folder), given.gpu)
        print(f"a run in one go takes {lab.seconds:.1f} s", flush=True)
        faults = {} if given.quick else FAULTS
        survived = sum(survives(lab, name, *fault) for name, fault in faults.items())
        killer = Killer(lab, given.seed)
        for chain in itertools.count():
            part = killer.deal_out if chain % 2 else killer.run_here
            part(lab.folder / f"chain-{chain}", min(-(-kills // 2) if given.quick else 5, kills - killer.killed))
            if killer.killed >= kills:
                break
    for what, count in sorted(killer.phases.items()):
        print(f"{count:4} {what}")
    print(
        f"faults: {survived} of {len(faults)} phases: {len(killer.phases)} seconds: {time.perf_counter() - began:.0f}"
    )
    print(f"killed: {killer.killed} resumed: {killer.resumed} identical: {killer.identical}")


def survives(lab: Lab, name: str, fault: Callable[[Lab, Path], None], need: str | None) -> bool:
    """Do a fault to a run, go on with it, and return whether it could be done; one that leaves a trace is an error."""
    if not possible(need):
        print(f"{name}: left out, needs {need}", flush=True)
        return False
    began, run = time.perf_counter(), lab.folder / fault.__name__
    fault(lab, run)
    if run.exists():
        lab.call("run", lab.study, "--out", run)
        assert lab.is_whole(run), name
        shutil.rmtree(run)
    print(f"{name}: identical, {time.perf_counter() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    main()
