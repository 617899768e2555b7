"""Power of training by the second: iterations that compute and wait, and what smooths them.

All accelerators of a job step together: they compute, then wait for each other, for tens of milliseconds to seconds,
near idle power (Choukse et al. 2025, arXiv:2508.14318). Over a minute this is the mean that `training` draws; here it
is followed. What it changes of ageing: `experiments/sub_minute`.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float
from scipy.signal import lfilter

from fadecast.duty.training import AcceleratorPower, Timeline, Training, slot_timeline
from fadecast.settings import settings


@settings
class Swings:
    """Iterations of training jobs, and what smooths them."""

    iteration_seconds: Annotated[float, Gt(0), Le(600)] = 5.0
    """Median time of an iteration [s] (assumed; 0.3 to 30 s are reported)."""
    iteration_spread: Annotated[float, Ge(0), Le(3)] = 1.0
    """Standard deviation of its logarithm between jobs [1] (assumed)."""
    waiting: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of an iteration in which accelerators wait [1] (assumed; 1 to 2 s after 10 to 30 s are reported)."""
    power_floor: Annotated[float, Ge(0), Le(1)] = 0.0
    """Least power of an accelerator in a job, over rated power, held by burning the rest [1] (GB200: up to 0.9)."""
    storage_seconds: Annotated[float, Ge(0), Le(3600)] = 0.0
    """Time constant of storage in the racks, which passes on the slow part of the swings only [s]."""


def swinging_power(
    rng: np.random.Generator,
    training: Training,
    power: AcceleratorPower,
    swings: Swings,
    hours: tuple[float, float],
    step_seconds: float = 1.0,
) -> Float[np.ndarray, "step"]:
    """Return mean accelerator power over rated power [1] from one hour of the year to another, as means over steps.

    Jobs are those of `training_power` with the same generator; without a power floor and storage so are their means
    over whole iterations.
    """
    count = round((hours[1] - hours[0]) * 3600.0 / step_seconds)
    edges = hours[0] + np.arange(count + 1) * step_seconds / 3600.0
    mean = np.zeros(count)
    for slot in rng.spawn(training.slots):
        # A whole year of jobs, as `training_power` draws them.
        mean += _slot(slot, slot_timeline(slot, training, power), training, swings, edges) / training.slots
    if swings.storage_seconds == 0.0:
        return mean
    keep = np.exp(-step_seconds / swings.storage_seconds)
    return np.asarray(lfilter([1.0 - keep], [1.0, -keep], mean, zi=[keep * mean[0]])[0])


def _slot(
    rng: np.random.Generator,
    timeline: Timeline,
    training: Training,
    swings: Swings,
    edges: Float[np.ndarray, "edge"],
) -> Float[np.ndarray, "step"]:
    """Return the mean power of one slot over each step, which belongs to the job that runs or ran at its middle."""
    period = (
        swings.iteration_seconds / 3600.0 * np.exp(swings.iteration_spread * rng.standard_normal(len(timeline.start)))
    )
    job = np.searchsorted(timeline.start, 0.5 * (edges[1:] + edges[:-1]), side="right") - 1
    begin, end = edges[:-1] - timeline.start[job], edges[1:] - timeline.start[job]
    ran = (timeline.stop - timeline.start)[job]
    active = (np.minimum(end, ran) - np.clip(begin, 0.0, ran)).clip(min=0.0) / (end - begin)
    interval, length = training.checkpoint_interval / 60.0, training.checkpoint_length / 60.0
    saves, waits = (
        (_last_part(end, each, share) - _last_part(begin, each, share)) / (end - begin)
        for each, share in ((interval, length / interval), (period[job], swings.waiting))
    )
    idle = timeline.idle[job]
    # What a job draws on average, it draws while it computes and while it waits.
    computing = idle + (timeline.busy[job] - idle) / (1.0 - swings.waiting)
    waiting = np.maximum(idle, np.minimum(swings.power_floor, computing))
    return np.asarray(idle + active * (1.0 - saves) * (computing + waits * (waiting - computing) - idle))


def _last_part(
    age: Float[np.ndarray, "n"], period: float | Float[np.ndarray, "n"], share: float
) -> Float[np.ndarray, "n"]:
    """Return how much of an age was spent in the last share of each period."""
    whole, rest = np.divmod(age, period)
    return np.asarray((whole * share + np.maximum(rest / period - (1.0 - share), 0.0)) * period)
