"""The commands about runs that go on, here or on a cluster: `fadecast plan|submit|status|resume|collect`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fadecast.cli_display import Display
from fadecast.cli_runs import Config, Folder, Out, Overrides, bring, checked, print_run, stop_at_once
from fadecast.document import read_document
from fadecast.errors import RunError

if TYPE_CHECKING:
    from fadecast.cluster import Cluster
    from fadecast.distributed import Progress
    from fadecast.runs import RunFolder
    from fadecast.sendings import Sending
    from fadecast.study import Study

cluster = typer.Typer()

ClusterFile = Annotated[
    Path, typer.Option("--cluster", metavar="FILE", help="Cluster file (YAML), such as configs/cluster/slurm.yaml.")
]
Slice = Annotated[
    int, typer.Option("--slice", min=0, metavar="N", help="Shards to forecast here and now, to measure by; 0 for none.")
]


@cluster.command(epilog="Example: fadecast plan configs/fleet.yaml --cluster configs/cluster/slurm.yaml --slice 1")
def plan(
    config: Config,
    out: Out = None,
    overrides: Overrides = None,
    shards: Slice = 1,
    file: Annotated[Path | None, typer.Option("--cluster", metavar="FILE", help="Cluster file (YAML).")] = None,
) -> None:
    """Say what a study takes, by a slice of it that is forecast here: core-hours, GPU-hours, GB. The slice is kept."""
    engine = _cluster(file) if file else None
    study, folder = checked(config, out, overrides, "forecast")
    from fadecast.planning import measured, plan_lines

    with Display() as display, stop_at_once(folder.path, display):
        found = measured(study, folder, shards, display) if shards else None
    print("\n".join(plan_lines(study, engine, found)))


@cluster.command(epilog="Example: fadecast submit configs/nevada.yaml --cluster configs/cluster/slurm.yaml")
def submit(config: Config, file: ClusterFile, out: Out = None, overrides: Overrides = None) -> None:
    """Send the forecast of a study to a cluster in shards, and return; then: fadecast status, resume, collect."""
    engine = _cluster(file)
    study, folder = checked(config, out, overrides, "report")
    _send(study, folder, engine)


@cluster.command(epilog="Example: fadecast status results/demo")
def status(folder: Folder) -> None:
    """Say which stages of a run are done, how its shards stand, why jobs failed, and how long it takes yet."""
    from fadecast.distributed import progress_of
    from fadecast.pipeline import STAGES, stage_keys

    study, run = _run_of(folder)
    keys = stage_keys(study)
    print(f"{study.name}: {study.packs} packs, {study.draws} draws, {study.years:g} years")
    for name in STAGES:
        print(f"{name:<12}{run.state(name, keys[name])}")
    if run.state("forecast", keys["forecast"]) != "done":
        try:
            progress = progress_of(study, run)
        except RunError as silent:
            print(
                f"{len(run.shards(keys['forecast']).keys())} shards are kept; how others stand is not known: {silent}"
            )
        else:
            if len(progress.unsent) < len(progress.all):
                print("\n".join(_progress_lines(progress, folder)))
    print("a process works in this folder" if run.is_locked() else "no process works in this folder")


@cluster.command(epilog="Example: fadecast resume results/demo")
def resume(folder: Folder) -> None:
    """Go on with a run that was stopped, or send what jobs did not finish; the result is that of a run in one go."""
    from fadecast.distributed import cluster_of

    began = time.perf_counter()
    study, run = _run_of(folder)
    engine = cluster_of(run)
    if engine is None:
        print_run(bring(run.study_file, folder, None, "report"), began)
    else:
        _send(study, run, engine)


@cluster.command(epilog="Example: fadecast collect results/nevada")
def collect(folder: Folder) -> None:
    """Make the dataset of a run of which all shards are there, its price and its report."""
    from fadecast.distributed import require_whole

    began = time.perf_counter()
    study, run = _run_of(folder)
    require_whole(study, run)
    print_run(bring(run.study_file, folder, None, "report"), began)


def _cluster(file: Path) -> "Cluster":
    document = read_document(file)
    from fadecast.cluster import check_cluster

    return check_cluster(document)


def _run_of(folder: Path) -> "tuple[Study, RunFolder]":
    from fadecast.runs import RunFolder
    from fadecast.study import load_study

    run = RunFolder(folder)
    return load_study(run.study_file), run


def _send(study: "Study", run: "RunFolder", engine: "Cluster") -> None:
    from fadecast.distributed import submit as send

    with Display() as display, stop_at_once(run.path, display):
        sent = send(study, run, engine, display)
    print("\n".join(_sent_lines(sent, run.path)))


def _sent_lines(sent: "Sending | None", folder: Path) -> list[str]:
    if sent is None:
        return [f"nothing to send: each shard is kept or in the hands of a job; see: fadecast status {folder}"]
    from fadecast.cluster import cancel_command

    first = " after one that makes duty and population" if sent.prepares else ""
    return [
        f"sent as {sent.name} to {sent.engine}{first}; stop it with: {cancel_command(folder, sent)}",
        f"see how it stands with: fadecast status {folder}; when all is done: fadecast collect {folder}",
        f"jobs: {len(sent.jobs)} shards: {sum(map(len, sent.jobs))}",
    ]


def _progress_lines(progress: "Progress", folder: Path) -> list[str]:
    counts = ", ".join(
        f"{len(keys)} {name}"
        for name in ("done", "running", "waiting", "failed", "unsent")
        if (keys := getattr(progress, name))
    )
    lines = [f"shards: {counts} of {len(progress.all)}"]
    if progress.seconds_left is not None:
        lines.append(f"about {_spoken(progress.seconds_left)} left, by what shards took so far")
    for name, why in progress.reasons.items():
        lines.append(f"{name} ended without its shards" + ("" if why else "; no reason is known"))
        lines += [f"  {line}" for line in why]
    if len(progress.done) == len(progress.all):
        lines.append(f"all shards are there; make the dataset with: fadecast collect {folder}")
    elif progress.failed or progress.unsent:
        lines.append(f"go on with: fadecast resume {folder}")
    return lines


def _spoken(seconds: float) -> str:
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"
