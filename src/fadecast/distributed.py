"""A run whose forecast is dealt out to jobs: what is sent, how it stands, and when it is whole."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fadecast.cluster import LARGEST_ARRAY, Cluster, LocalCluster, check_cluster, error_output, send, states
from fadecast.document import read_document
from fadecast.errors import RunError
from fadecast.files import write_text
from fadecast.forecast import shard_keys
from fadecast.jobs import PREPARED, compile_for
from fadecast.pipeline import Observer, run_stages, stage_keys
from fadecast.runs import RunFolder
from fadecast.sendings import FOLDER, Sending, divided, events, sendings
from fadecast.study import Study
from fadecast.tiles import shards_of

CLUSTER_FILE = f"{FOLDER}/cluster.yaml"

_LAST_LINES = 3


def planned_keys(study: Study) -> list[str]:
    """Return the keys of the shards of a study, and of the check of its leap: none of its stages need be made."""
    decades = study.decades
    return shard_keys(len(planned_shards(study)), checked=decades.mode == "leap" and decades.check_days > 0)


def planned_shards(study: Study) -> list[Any]:
    """Return the lane numbers of the shards of a study."""
    return shards_of(study.draws, study.simulated_packs, study.fleet, study.execution.tile)


def submit(study: Study, run: RunFolder, cluster: Cluster, observe: Observer) -> Sending | None:
    """Send what is missing of the forecast of a study; None where nothing is.

    On this machine, duty and population are made and programs are compiled before jobs start; of SLURM, a job of its
    own does so, and the others wait for it.

    Parameters
    ----------
    study
        What to run.
    run
        Where; the folder is made if it is not there.
    cluster
        The engine.
    observe
        Told of the stages that are made here.

    Raises
    ------
    InputError
        When there can be no such folder.
    RunError
        When a stage fails, another process works in the folder, or the engine does not take the jobs.
    """
    key = stage_keys(study)["forecast"]
    if isinstance(cluster, LocalCluster) and run.state("forecast", key) != "done":
        run_stages(study, run, PREPARED, observe)
        compile_for(study, run)
    with run.locked():
        run.write_study(study)
        (run.path / FOLDER).mkdir(exist_ok=True)
        write_text(run.path / CLUSTER_FILE, yaml.safe_dump(cluster.model_dump(mode="json"), sort_keys=False))
        missing = _to_send(study, run)
        if not missing:
            return None
        count = cluster.jobs_at_once
        if not isinstance(cluster, LocalCluster):
            count = min(-(-len(missing) // cluster.shards_per_job), LARGEST_ARRAY)
        name = f"fadecast-{study.name}-{hashlib.sha256(f'{run.path.resolve()} {key}'.encode()).hexdigest()[:8]}"
        prepares = not _is_prepared(study, run)
        sending = Sending.of(
            run.path, name, cluster.cluster, key, divided(missing, count), cluster.workers, prepares=prepares
        )
        return send(cluster, run.path, sending)


def cluster_of(run: RunFolder) -> Cluster | None:
    """Return the cluster that a run was last sent to; None where it never was.

    Raises
    ------
    InputError
        When what was kept of it cannot be read.
    """
    path = run.path / CLUSTER_FILE
    return check_cluster(read_document(path)) if path.is_file() else None


def require_whole(study: Study, run: RunFolder) -> None:
    """Refuse to collect a forecast of which a shard is missing or damaged.

    Raises
    ------
    RunError
        When one is.
    """
    if run.state("forecast", stage_keys(study)["forecast"]) == "done":
        return
    keys, kept = planned_keys(study), run.shards(stage_keys(study)["forecast"])
    lacking = [key for key in keys if not kept.is_sound(key)]
    if lacking:
        shown = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
        raise RunError(
            f"{run.path}: {len(lacking)} of {len(keys)} shards are missing or damaged ({shown}); see how they stand "
            f"with: fadecast status {run.path}; send them with: fadecast resume {run.path}"
        )


@dataclass
class Progress:
    """How the shards of a forecast stand.

    Attributes
    ----------
    all, done, running, waiting, failed, unsent
        Keys of shards. Failed: the job that had them has ended without.
    reasons
        Of each job that ended without its shards: its name, what the engine says, and the last lines of its log.
    seconds_left
        By the seconds that shards took so far and the jobs that run [s]; None where nothing tells.
    """

    all: list[str]
    done: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    seconds_left: float | None = None


def progress_of(study: Study, run: RunFolder) -> Progress:
    """Find how the shards of a forecast stand.

    Raises
    ------
    RunError
        When an engine does not answer.
    """
    key = stage_keys(study)["forecast"]
    done = run.shards(key).keys()
    where: dict[str, tuple[str, str]] = {}
    found = Progress(planned_keys(study))
    took: list[float] = []
    at_work = 0
    for sending in _of_forecast(run, key):
        for number, state in enumerate(states(run.path, sending)):
            took += _seconds(run.path, sending, number)
            left = [each for each in sending.jobs[number] if each not in done]
            if not left:
                continue
            name = f"{sending.name} job {number}"
            begun = sending.workers if state.now == "running" else 0
            at_work += min(begun, len(left))
            for place, each in enumerate(left):
                # Of several jobs that had a shard, the last one says how it stands.
                stands = "failed" if state.now == "ended" else "running" if place < begun else "waiting"
                where[each] = stands, name
            if state.now == "ended":
                said = [why for why in (sending.refused, state.why) if why]
                found.reasons[name] = [*said, *_last_words(run.path, sending, number)]
    for each in found.all:
        stands, _ = ("done", "") if each in done else where.get(each, ("unsent", ""))
        getattr(found, stands).append(each)
    to_blame = {where[each][1] for each in found.failed}
    found.reasons = {name: why for name, why in found.reasons.items() if name in to_blame}
    left_over = len(found.running) + len(found.waiting)
    if took and at_work and left_over:
        found.seconds_left = left_over * sum(took) / len(took) / at_work
    return found


def _to_send(study: Study, run: RunFolder) -> list[str]:
    """Return the shards that are neither kept nor in the hands of a job."""
    key = stage_keys(study)["forecast"]
    if run.state("forecast", key) == "done":
        return []
    kept = run.shards(key)
    held: set[str] = set()
    for sending in _of_forecast(run, key):
        for job, state in zip(sending.jobs, states(run.path, sending), strict=True):
            held.update(job if state.now != "ended" else ())
    return [each for each in planned_keys(study) if each not in held and not kept.is_sound(each)]


def _is_prepared(study: Study, run: RunFolder) -> bool:
    keys = stage_keys(study)
    return all(run.state(stage, keys[stage]) == "done" for stage in ("duty", PREPARED))


def _of_forecast(run: RunFolder, key: str) -> list[Sending]:
    return [sending for sending in sendings(run.path) if sending.forecast == key]


def _seconds(folder: Path, sending: Sending, job: int) -> list[float]:
    return [
        float(event["seconds"])
        for event in events(folder, sending, job)
        if event.get("event") == "shard" and not event.get("loaded", True)
    ]


def _last_words(folder: Path, sending: Sending, job: int) -> list[str]:
    """Return what a job, or the one that prepares, said last: why it failed, else the end of what it printed."""
    for number in (None, job) if sending.prepares else (job,):
        said = [event for event in events(folder, sending, number) if event.get("event") == "failed"]
        if said:
            return [str(said[-1].get("reason", ""))]
    return error_output(folder, sending, job)[-_LAST_LINES:]
