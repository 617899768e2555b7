"""Power of the training share: jobs that start, checkpoint and stop in independent slots of accelerators.

Each slot is a semi-Markov process: log-normal jobs, exponential gaps. A job keeps one power level, drawn from
the measured distribution of busy accelerators, and falls to idle while it checkpoints and, after a failure, until it
is restarted. (Measured levels do stay:
hourly means of three busy servers correlate by 0.9 after an hour and by 0.5 to 0.75 after a day.) Energy is
integrated exactly, so the mean over an hour is the same at every step length. Swings inside a minute
(iterations, communication) are those of `swings`. Outages of a whole cluster (1 to 4 % of the measured time) are left
out.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float

from fadecast.duty.sun import HOURS
from fadecast.duty.tables import levels
from fadecast.package_data import shipped
from fadecast.settings import settings


@settings
class Training:
    """How the training cluster is used. Defaults: fitted to measured occupancy (`experiments/duty_fit`)."""

    slots: Annotated[int, Ge(1)] = 18
    """Independent job slots that share the accelerators [1]: what gives the measured variance of occupancy
    (Philly 18, Helios Earth 17)."""
    occupancy: Annotated[float, Gt(0), Lt(1)] = 0.84
    """Mean share of slots that run a job [1] (mean of Philly 0.75 and Helios Earth 0.94)."""
    job_hours: Annotated[float, Gt(0)] = 106.0
    """Mean length of a job [h] (geometric mean of Philly 147 and Helios Earth 76)."""
    job_spread: Annotated[float, Ge(0), Le(3)] = 1.5
    """Standard deviation of the logarithm of job length [1] (both clusters)."""
    checkpoint_interval: Annotated[float, Gt(0)] = 30.0
    """Time from one checkpoint to the next [min] (assumed; large runs save every 15 to 30 min)."""
    checkpoint_length: Annotated[float, Ge(0)] = 0.5
    """Time at idle power per checkpoint [min] (assumed)."""
    failure_hours: Annotated[float, Gt(0)] | None = None
    """Mean time between failures of a running job [h]; null: none. A job on n accelerators fails every 50,700 / n hours
    if it does as the training of Llama 3 did, 419 times in 54 days on 16,384 (arXiv:2407.21783)."""
    restart_length: Annotated[float, Gt(0)] = 15.0
    """Time at idle power from a failure until the job runs on [min] (assumed)."""

    def __post_init__(self) -> None:
        """Refuse checkpoints that never end."""
        if self.checkpoint_length >= self.checkpoint_interval:
            raise ValueError(
                f"training: checkpoint_length ({self.checkpoint_length:g} min) must be shorter than "
                f"checkpoint_interval ({self.checkpoint_interval:g} min)"
            )

    @property
    def gap_hours(self) -> float:
        """Mean gap between the jobs of a slot [h]."""
        return self.job_hours * (1 - self.occupancy) / self.occupancy


@dataclass(frozen=True, eq=False)
class AcceleratorPower:
    """Equally spaced quantiles of accelerator power over rated power [1]."""

    idle: Float[np.ndarray, "level"]
    busy: Float[np.ndarray, "level"]

    @classmethod
    def measured(cls) -> "AcceleratorPower":
        """Return the Acme training clusters' distribution (Hu et al., NSDI 2024; A100 of 400 W)."""
        table = shipped("ai_load")["training"]
        return cls(idle=np.array(table["idle_power"]), busy=np.array(table["busy_power"]))


@dataclass(frozen=True, eq=False)
class Timeline:
    """What one slot does: job k starts at `start[k]`, stops at `stop[k]`, then idles until `start[k + 1]`."""

    start: Float[np.ndarray, "job"]
    """[h]; the first is at or before hour 0, when the slot may be past its stop."""
    stop: Float[np.ndarray, "job"]
    """[h]"""
    busy: Float[np.ndarray, "job"]
    """Power of the job over rated power [1]."""
    idle: Float[np.ndarray, "job"]
    """Power in checkpoints of the job and in the gap after it [1]."""


def training_power(
    rng: np.random.Generator, training: Training, power: AcceleratorPower, step_minutes: int
) -> Float[np.ndarray, "step"]:
    """Return a year of mean accelerator power over rated power [1], averaged over slots."""
    edges = np.arange(HOURS * 60 // step_minutes + 1) * step_minutes / 60
    total = np.zeros(edges.size)
    for slot in rng.spawn(training.slots):
        total += _energy(slot_timeline(slot, training, power), training, edges)
    return np.diff(total) / np.diff(edges) / training.slots


def slot_timeline(rng: np.random.Generator, training: Training, power: AcceleratorPower) -> Timeline:
    """Return a year of one slot, with failures where there are any."""
    timeline = draw_timeline(rng, training, power)
    return timeline if training.failure_hours is None else interrupted(rng, training, timeline)


def draw_timeline(
    rng: np.random.Generator, training: Training, power: AcceleratorPower, hours: float = HOURS
) -> Timeline:
    """Draw the jobs of one slot, in equilibrium from hour 0 on.

    The job that runs at hour 0 is met in proportion to its length (a log-normal whose log-mean is higher by
    the square of the spread) at a uniform age; a gap is memoryless.
    """
    mean, spread = np.log(training.job_hours) - training.job_spread**2 / 2, training.job_spread
    running = rng.random() < training.occupancy
    met = rng.lognormal(mean + spread**2, spread)
    age = met * rng.random() if running else met
    jobs, gaps, reach = [np.array([met])], [rng.exponential(training.gap_hours, 1)], -age
    while reach + sum(float(x.sum()) for x in (*jobs, *gaps)) < hours:
        jobs.append(rng.lognormal(mean, spread, 64))
        gaps.append(rng.exponential(training.gap_hours, 64))
    job, gap = np.concatenate(jobs), np.concatenate(gaps)
    start = np.concatenate([[-age], -age + np.cumsum(job + gap)[:-1]])
    level = levels(power.busy.size)
    return Timeline(
        start=start,
        stop=start + job,
        busy=np.interp(rng.random(job.size), level, power.busy),
        idle=np.interp(rng.random(job.size), level, power.idle),
    )


def interrupted(rng: np.random.Generator, training: Training, timeline: Timeline) -> Timeline:
    """Let the jobs of a slot fail at random and run on after a restart, each until it would have stopped anyway."""
    mean, restart = training.failure_hours or np.inf, training.restart_length / 60
    first, last = timeline.start[0], timeline.stop[-1]
    failures = np.zeros(0)
    while not failures.size or failures[-1] < last:
        # A job that is being restarted does not fail once more.
        more = restart + rng.exponential(mean, 16 + int((last - first) / (mean + restart)))
        failures = np.concatenate([failures, (failures[-1] if failures.size else first - restart) + np.cumsum(more)])
    of = np.searchsorted(timeline.start, failures, side="right") - 1
    inside = failures < timeline.stop[of]
    failures, of = failures[inside], of[inside]
    # A job that would stop before it is restarted stops with the failure.
    again = failures + restart < timeline.stop[of]
    start = np.concatenate([timeline.start, failures[again] + restart])
    job = np.concatenate([np.arange(timeline.start.size), of[again]])
    order = np.argsort(start, kind="stable")
    start, job = start[order], job[order]
    following = np.searchsorted(failures, start)
    fails = (following < failures.size) & (np.append(of, -1)[following] == job)
    stop = np.where(fails, np.append(failures, np.inf)[following], timeline.stop[job])
    return Timeline(start=start, stop=stop, busy=timeline.busy[job], idle=timeline.idle[job])


def _energy(timeline: Timeline, training: Training, time: Float[np.ndarray, "time"]) -> Float[np.ndarray, "time"]:
    """Return energy over rated power [h] used from the first start to each time [h]."""
    swing = timeline.busy - timeline.idle
    whole = timeline.idle[:-1] * np.diff(timeline.start)
    whole = whole + swing[:-1] * _computing(timeline.stop[:-1] - timeline.start[:-1], training)
    before = np.concatenate([[0.0], np.cumsum(whole)])
    k = np.searchsorted(timeline.start, time, side="right") - 1
    since = time - timeline.start[k]
    ran = np.minimum(since, (timeline.stop - timeline.start)[k])
    return np.asarray(before[k] + timeline.idle[k] * since + swing[k] * _computing(ran, training))


def _computing(age: Float[np.ndarray, "n"], training: Training) -> Float[np.ndarray, "n"]:
    """Return how much of a job's age [h] was not spent in checkpoints; one ends each interval."""
    interval, length = training.checkpoint_interval / 60, training.checkpoint_length / 60
    finished, rest = np.divmod(age, interval)
    return age - finished * length - np.maximum(rest - (interval - length), 0.0)
