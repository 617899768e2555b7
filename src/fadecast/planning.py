"""What a study takes, before it is sent: counted, and measured on a slice of it that is forecast here."""

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fadecast.cluster import Cluster
from fadecast.distributed import planned_keys, planned_shards
from fadecast.ensemble import compile_programs
from fadecast.errors import InputError
from fadecast.jobs import PREPARED
from fadecast.pipeline import Observer, logging_observer, make_forecast, run_stages, stage_keys, use_compilation_cache
from fadecast.runs import RunFolder
from fadecast.study import Study

_GB = 1e9
_KB_OF_RSS = 1024.0


@dataclass(frozen=True)
class Slice:
    """What some shards of a forecast took on this machine.

    Attributes
    ----------
    packs
        Packs of draws that were forecast.
    core_seconds
        Seconds of processor time, of all cores together; compilation is not in it.
    seconds
        On the clock.
    stored_bytes
        Of their shards.
    peak_bytes
        Largest memory of this process so far.
    """

    packs: int
    core_seconds: float
    seconds: float
    stored_bytes: int
    peak_bytes: float


def measured(study: Study, run: RunFolder, count: int, observe: Observer) -> Slice:
    """Forecast the first shards of a study that are not kept yet, and keep them.

    Parameters
    ----------
    study
        What is planned.
    run
        Its folder; duty and population are made in it if they are missing.
    count
        Shards to forecast.
    observe
        Told of every event.

    Raises
    ------
    InputError
        When no shard is left to measure by.
    RunError
        When a stage fails, or another process works in the folder.
    """
    run_stages(study, run, PREPARED, observe)
    key = stage_keys(study)["forecast"]
    kept = run.shards(key)
    keys = planned_keys(study)[: len(planned_shards(study))]
    missing = [each for each in keys if not kept.is_sound(each)][:count]
    if not missing or run.state("forecast", key) == "done":
        raise InputError(f"{run.path}: no shard is left to measure by; name a new folder with --out, or give --slice 0")
    use_compilation_cache()
    forecast = make_forecast(study, run)
    compile_programs(forecast.ensemble, forecast.shards[0])
    packs, logged = 0, logging_observer(run, observe)

    def tell(event: str, details: Mapping[str, Any]) -> None:
        nonlocal packs
        packs += details["packs"] if event == "shard" else 0
        logged("forecast", event, details)

    with run.locked():
        before = kept.size()
        clock, cores = time.perf_counter(), time.process_time()
        forecast.make(missing, tell)
        took = time.perf_counter() - clock, time.process_time() - cores
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KB_OF_RSS
    return Slice(packs, took[1], took[0], kept.size() - before, peak)


def plan_lines(study: Study, cluster: Cluster | None, measured: Slice | None) -> list[str]:
    """Say what a study takes.

    Parameters
    ----------
    study
        What is planned.
    cluster
        Where; states how fast one of its GPUs is.
    measured
        What a slice took; None leaves the cost out.
    """
    shards = planned_shards(study)
    packs = int(sum(len(np.unique(lanes)) for lanes in shards))
    pack_years = packs * study.years
    lines = [
        f"{study.name}: {packs:,} packs of draws for {study.years:g} years, {pack_years:,.0f} pack-years",
        f"shards: {len(shards):,} of {len(shards[0]):,} lanes at most, tiles of up to {study.execution.tile}",
    ]
    hours = None
    rate = cluster.gpu_pack_years_per_second if cluster else None
    if rate:
        hours = pack_years / rate / 3600.0
        lines.append(f"a GPU makes {rate:,.0f} pack-years a second, as the cluster file states")
    gpu = "not_stated" if hours is None else f"{hours:.2f}"
    if measured is None:
        return [*lines, f"core_hours: not_measured gpu_hours: {gpu} gb: not_measured"]
    share = packs / measured.packs
    speed = measured.packs * study.years / measured.core_seconds
    return [
        *lines,
        f"measured here on {measured.packs:,} packs: {measured.seconds:.1f} s, {measured.core_seconds:.1f} "
        f"core-seconds, {speed:.1f} pack-years per core-second, {measured.peak_bytes / _GB:.2f} GB of memory",
        # The shards are kept until the dataset is whole, so that both are on disk for a while.
        f"on disk: {share * measured.stored_bytes / _GB:.2f} GB of shards, and as much again as fade.nc",
        f"core_hours: {share * measured.core_seconds / 3600.0:.2f} gpu_hours: {gpu} "
        f"gb: {2.0 * share * measured.stored_bytes / _GB:.2f}",
    ]
