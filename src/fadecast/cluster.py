"""The engine that jobs are sent to: the only module that knows SLURM and submitit.

A job is one process with one task. On the signal that comes before preemption or the end of its time it asks to be
queued again and leaves at once: the shards that it finished are kept, and it goes on with the others.
"""

import os
import re
import shlex
import subprocess
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import submitit
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, StringConstraints
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths
from submitit.helpers import DelayedSubmission

from fadecast.document import Document, shown
from fadecast.errors import RunError
from fadecast.jobs import prepare, work
from fadecast.pipeline import CACHE_VARIABLE
from fadecast.sendings import Sending
from fadecast.study import validated

_Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n]+$")]
_Word = Annotated[str, StringConstraints(pattern=r"^[^\s'\"`$\\;&|<>]+$", max_length=200)]
LARGEST_ARRAY = 1000
"""Jobs of a sending; SLURM takes arrays of 1,001 unless its administrator says otherwise."""
_ENGINE_SECONDS = 60.0
"""Longest wait for an answer of SLURM."""
_PREPARES = "-prepare"
"""Ends the name of the job that comes before the others."""
_OFTEN = 1000
"""How often a job may come to the end of its time and go on in a new one."""
_MONTH_OF_MINUTES = 30 * 24 * 60


class _Cluster(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    jobs_at_once: Annotated[int, Ge(1), Le(10_000)] = 2
    """Jobs that run at the same time, at most."""
    workers: Annotated[int, Ge(1), Le(256)] = 1
    """Shards that a job makes at the same time; the tiles of a site where it makes one."""
    gpus_per_job: Annotated[int, Ge(0), Le(16)] = 0
    """GPUs of a job."""
    gpu_pack_years_per_second: Annotated[float, Gt(0.0)] | None = None
    """Measured on one such GPU; `fadecast plan` finds GPU-hours by it."""


class LocalCluster(_Cluster):
    """Processes of this machine."""

    cluster: Literal["local"] = "local"
    """The engine."""


class SlurmCluster(_Cluster):
    """Job arrays of SLURM, one task to a job."""

    cluster: Literal["slurm"] = "slurm"
    """The engine."""
    shards_per_job: Annotated[int, Ge(1), Le(100_000)] = 4
    """Shards that a job makes; more where there would be more than 1,000 jobs."""
    minutes: Annotated[int, Ge(1), Le(_MONTH_OF_MINUTES)] = 240
    """Time limit of a job; what it has not finished by then goes on in a new one [min]."""
    signal_seconds: Annotated[int, Ge(5), Le(3600)] = 60
    """How long before its end a job is told [s]."""
    cpus_per_job: Annotated[int, Ge(1), Le(1024)] = 2
    """Cores of a job."""
    memory_gb: Annotated[float, Gt(0.0), Le(100_000.0)] = 8.0
    """Memory of a job [GB]."""
    partition: _Word | None = None
    """Partition; that of the cluster by default where null, as for the three keys below."""
    account: _Word | None = None
    """Account that is charged."""
    qos: _Word | None = None
    """Quality of service."""
    constraint: _Word | None = None
    """Features that nodes must have."""
    setup: tuple[_Line, ...] = ()
    """Lines of shell that a job begins with, such as `module load cuda`."""
    python: _Line | None = None
    """Command that starts Python on a node, such as `apptainer exec --nv image.sif python`; that of this process where
    null."""
    compile_cache: _Line | None = None
    """Folder that all nodes see, in which compiled programs are kept; `~/.cache/fadecast/xla` where null."""
    more: Mapping[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]*$")], _Line | int | bool] = {}
    """Further options of sbatch by name, such as `exclusive: true`."""


Cluster = LocalCluster | SlurmCluster
_ENGINES: Mapping[str, type[Cluster]] = {"local": LocalCluster, "slurm": SlurmCluster}


def check_cluster(document: Document) -> Cluster:
    """Return the cluster that a file describes.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    named = document.content.get("cluster")
    if not isinstance(named, str) or named not in _ENGINES:
        given = f"got {shown(named)}" if "cluster" in document.content else "is missing"
        raise document.refuse([f"cluster: {given}; must be {' or '.join(_ENGINES)}"])
    return validated(_ENGINES[named], document)


@dataclass(frozen=True)
class JobState:
    """How a job stands."""

    now: Literal["waiting", "running", "ended"]
    why: str = ""
    """What the engine says of it."""


class Job:
    """What a process of the engine is handed: the run folder, the sending, and which of its jobs; nothing else."""

    def __init__(self, folder: Path, sending: int, job: int | None) -> None:
        self.folder, self.sending, self.job = folder, sending, job

    def __call__(self) -> None:
        """Work, and leave at once when told to."""
        try:
            _aside(self._work)
        except SystemExit as told:
            # Threads would first finish their tiles, which takes longer than the grace that is given.
            os._exit(told.code & 0xFF if isinstance(told.code, int) else 1)

    def _work(self) -> None:
        if self.job is None:
            prepare(self.folder, self.sending)
        else:
            work(self.folder, self.sending, self.job)

    def checkpoint(self) -> DelayedSubmission:
        """Ask to be queued again as it is: what it has finished is on disk."""
        return DelayedSubmission(self)


def send(cluster: Cluster, folder: Path, sending: Sending) -> Sending:
    """Hand the jobs of a sending over to the engine.

    Raises
    ------
    RunError
        When the engine does not take them.
    """
    jobs = [Job(folder, sending.number, number) for number in range(len(sending.jobs))]
    try:
        if isinstance(cluster, LocalCluster):
            return _start(cluster, folder, sending, jobs)
        return _queue(cluster, folder, sending, jobs)
    except (OSError, RuntimeError, FailedJobError, FailedSubmissionError) as error:
        sending.refused_for(folder, reason := f"{sending.engine} does not take the jobs: {error}")
        raise RunError(f"{folder}: {reason}") from None


def states(folder: Path, sending: Sending) -> list[JobState]:
    """Return how the jobs of a sending stand, by what the engine says now.

    Raises
    ------
    RunError
        When the engine does not answer.
    """
    return _local_states(folder, sending) if sending.engine == "local" else _slurm_states(sending)


def error_output(folder: Path, sending: Sending, job: int) -> list[str]:
    """Return the lines that a job wrote to its error output; none where the engine never said what it calls it."""
    ids = sending.ids[1:] if sending.prepares and sending.engine == "slurm" else sending.ids
    if job >= len(ids):
        return []
    path = JobPaths(sending.folder(folder), job_id=ids[job], task_id=0).stderr
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def cancel_command(folder: Path, sending: Sending) -> str:
    """Return the command of a shell that stops the jobs of a sending."""
    if sending.engine == "local":
        # What was started is a shell; the process that watches the job and the job itself outlive it, and the job
        # has nothing against being asked to end. It leaves nothing half done when it is killed.
        pattern = re.sub(r"([\[\](){}*+?^$|\\.])", r"\\\1", str(sending.folder(folder).resolve()))
        return f"pkill -KILL -f {shlex.quote(pattern)}"
    return f"scancel --me --name {sending.name},{sending.name}{_PREPARES}"


def _start(cluster: LocalCluster, folder: Path, sending: Sending, jobs: Sequence[Job]) -> Sending:
    engine_folder = sending.folder(folder).resolve()
    executor = submitit.LocalExecutor(engine_folder)
    # A terminal that closes, or a pipe that waits for its end, must not matter to the jobs.
    aside = f"exec </dev/null >>{shlex.quote(str(engine_folder / 'engine.log'))} 2>&1"
    for number, job in enumerate(jobs):
        first = number * cluster.gpus_per_job
        executor.update_parameters(
            timeout_min=_MONTH_OF_MINUTES,
            gpus_per_node=cluster.gpus_per_job,
            visible_gpus=tuple(range(first, first + cluster.gpus_per_job)),
            setup=["trap '' HUP INT", aside],
        )
        with warnings.catch_warnings():
            # The process is watched by its number, not by the object that is let go of here.
            warnings.simplefilter("ignore", ResourceWarning)
            sending = sending.known_as(folder, (*sending.ids, executor.submit(job).job_id))
    return sending


def _local_states(folder: Path, sending: Sending) -> list[JobState]:
    engine_folder = str(sending.folder(folder).resolve())
    ids = [*sending.ids, *[""] * (len(sending.jobs) - len(sending.ids))]
    return [JobState("running") if _serves(number, engine_folder) else JobState("ended") for number in ids]


def _serves(process: str, engine_folder: str) -> bool:
    """Return whether a process is there, and is the one that was started for this folder."""
    try:
        command = Path(f"/proc/{int(process)}/cmdline").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False
    return engine_folder in command


def _queue(cluster: SlurmCluster, folder: Path, sending: Sending, jobs: Sequence[Job]) -> Sending:
    ids: list[str] = []
    if sending.prepares:
        first = _executor(cluster, folder, sending, f"{sending.name}{_PREPARES}")
        ids.append(first.submit(Job(folder, sending.number, None)).job_id)
    array = _executor(cluster, folder, sending, sending.name)
    if ids:
        array.update_parameters(dependency=f"afterok:{ids[0]}")
    with array.batch():
        sent = [array.submit(job) for job in jobs]
    return sending.known_as(folder, [*ids, *(job.job_id for job in sent)])


def _executor(cluster: SlurmCluster, folder: Path, sending: Sending, name: str) -> submitit.SlurmExecutor:
    executor = submitit.SlurmExecutor(sending.folder(folder).resolve(), max_num_timeout=_OFTEN, python=cluster.python)
    cache = [f"export {CACHE_VARIABLE}={shlex.quote(cluster.compile_cache)}"] if cluster.compile_cache else []
    chosen = {key: getattr(cluster, key) for key in ("partition", "account", "qos", "constraint")}
    executor.update_parameters(
        job_name=name,
        time=cluster.minutes,
        signal_delay_s=cluster.signal_seconds,
        cpus_per_task=cluster.cpus_per_job,
        gpus_per_node=cluster.gpus_per_job or None,
        mem=f"{round(cluster.memory_gb * 1024)}MB",
        array_parallelism=cluster.jobs_at_once,
        setup=[*cache, *cluster.setup],
        additional_parameters={"requeue": True, "kill-on-invalid-dep": "yes", **cluster.more},
        **{key: value for key, value in chosen.items() if value is not None},
    )
    return executor


def _slurm_states(sending: Sending) -> list[JobState]:
    # By name, since a driver that died may have had no time to note the numbers.
    live = _answer("squeue", "--noheader", "--me", "--array", "--name", sending.name, "--format", "%K|%T|%r")
    now = {_element(element): rest for element, *rest in (line.split("|") for line in live)}
    ended = _ended(sending) if len(now) < len(sending.jobs) else {}
    return [
        _state(*now[number]) if number in now else JobState("ended", ended.get(number, ""))
        for number in range(len(sending.jobs))
    ]


def _state(state: str, reason: str) -> JobState:
    runs = state in ("RUNNING", "COMPLETING")
    return JobState("running" if runs else "waiting", state if reason in ("None", "") else f"{state}, {reason}")


def _ended(sending: Sending) -> dict[int, str]:
    """Return what accounting says of the jobs of a sending; nothing where a cluster keeps none."""
    try:
        lines = _answer(
            "sacct",
            "--noheader",
            "--parsable2",
            "--allocations",
            f"--name={sending.name}",
            f"--starttime={sending.time[:10]}",
            "--format=JobID,State,ExitCode",
        )
    except RunError:
        return {}
    rows = (line.split("|") for line in lines if line.count("|") == 2)
    # Accounting hears of an end some seconds after the queue does.
    return {
        _element(name.partition("_")[2]): f"{state}, exit code {code}"
        for name, state, code in rows
        if state not in ("RUNNING", "PENDING")
    }


def _element(text: str) -> int:
    """Return the number of an element of an array; a sending of one job is none."""
    return int(text) if text.isdigit() else 0


def _answer(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_ENGINE_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise RunError(f"{command[0]} does not answer: {' '.join(said.split())}") from None
    return done.stdout.splitlines()


def _aside(work: Callable[[], None]) -> None:
    """Work in another thread, so that signals are heard at once: this one only waits."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
