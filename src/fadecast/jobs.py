"""What a job does in a run folder: make what all jobs read, or the shards of the forecast that are its own."""

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from fadecast.ensemble import compile_programs
from fadecast.errors import RunError
from fadecast.pipeline import logging_observer, make_forecast, run_stages, stage_keys, use_compilation_cache
from fadecast.runs import RunFolder
from fadecast.sendings import Sending
from fadecast.study import Study, load_study

PREPARED = "population"
"""The stage up to which a run is made before its forecast is dealt out."""

_PATIENCE_SECONDS = 600.0
"""Longest wait of a job for the process that sent it, or another one that works in the folder [s]."""


def prepare(folder: Path, number: int) -> None:
    """Make duty and population, and compile what the forecast needs.

    Parameters
    ----------
    folder
        The run.
    number
        Of the sending.

    Raises
    ------
    RunError
        When the study was changed since, or a stage fails.
    """
    sending = Sending.read(folder, number)
    run = RunFolder(folder, run_id=sending.name, log_name=sending.log_name(None))
    with _logged(run, "prepare"):
        study = _study(run, sending)
        run_stages(study, run, PREPARED, _unseen, patience=_PATIENCE_SECONDS)
        compile_for(study, run)


def compile_for(study: Study, run: RunFolder) -> None:
    """Compile what the forecast of a run needs, and keep the programs for the processes that come after."""
    use_compilation_cache()
    forecast = make_forecast(study, run)
    compile_programs(forecast.ensemble, forecast.shards[0])


def work(folder: Path, number: int, job: int) -> None:
    """Make and keep those shards of a job that are not kept yet.

    Parameters
    ----------
    folder
        The run.
    number, job
        Of the sending, and of the job in it.

    Raises
    ------
    RunError
        When the study was changed since, or what is before the forecast is not made.
    """
    sending = Sending.read(folder, number)
    run = RunFolder(folder, run_id=sending.name, log_name=sending.log_name(job))
    with _logged(run, "forecast"):
        study = _study(run, sending)
        keys = stage_keys(study)
        for stage in ("duty", PREPARED):
            if run.state(stage, keys[stage]) != "done":
                raise RunError(f"{folder}: {stage} is {run.state(stage, keys[stage])}; go on with: fadecast resume")
        use_compilation_cache()
        mine = replace(study.execution, workers=sending.workers)
        forecast = make_forecast(study.model_copy(update={"execution": mine}), run)
        forecast.make(sending.jobs[job], partial(logging_observer(run, _unseen), "forecast"))


def _unseen(*_: object) -> None:
    """Nobody looks at a job but through its log."""


def _study(run: RunFolder, sending: Sending) -> Study:
    study = load_study(run.study_file)
    if stage_keys(study)["forecast"] != sending.forecast:
        raise RunError(f"{run.path}: the study, or the version of fadecast, has changed since {sending.name} was sent")
    return study


@contextlib.contextmanager
def _logged(run: RunFolder, stage: str) -> Iterator[None]:
    """Log how a piece of work begins and ends."""
    began = time.perf_counter()
    run.log(stage, "start", host=socket.gethostname(), process=os.getpid())
    try:
        yield
    except Exception as error:
        seconds = round(time.perf_counter() - began, 3)
        run.log(stage, "failed", seconds=seconds, reason=str(error), error=traceback.format_exc())
        raise
    run.log(stage, "done", seconds=round(time.perf_counter() - began, 3))
