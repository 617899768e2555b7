"""Fit the statistics of the workload to measured traces: the inverse of `training` and `inference`."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import optimize

from fadecast.duty.inference import Requests, Serving
from fadecast.duty.tables import levels, normal_scores
from fadecast.duty.training import AcceleratorPower, Training, draw_timeline

_POWER_LEVELS = 51
_RATE_LEVELS = 41
_SIMULATED_SLOTS = 400
_SIMULATED_HOURS = 60 * 24.0


def autocorrelation(series: Float[np.ndarray, "n"], lags: tuple[int, ...]) -> Float[np.ndarray, "lag"]:
    """Return the correlation of a series with itself, `lags` steps later, where both are finite."""
    found = []
    for lag in lags:
        a, b = series[:-lag], series[lag:]
        both = np.isfinite(a) & np.isfinite(b)
        found.append(np.corrcoef(a[both], b[both])[0, 1])
    return np.array(found)


def fit_accelerator_power(
    power: Float[np.ndarray, "n"], share: Float[np.ndarray, "n"], idle_share: float
) -> AcceleratorPower:
    """Split a measured distribution at the share of idle accelerators.

    Parameters
    ----------
    power
        Power over rated power, rising [1].
    share
        Share of accelerator time below it [1].
    idle_share
        Share of accelerator time at zero utilisation [1].
    """
    level = levels(_POWER_LEVELS)
    idle = np.interp(level * idle_share, share, power)
    busy = np.interp(idle_share + level * (1 - idle_share), share, power)
    return AcceleratorPower(idle=idle, busy=busy)


def fit_requests(rate: Float[np.ndarray, "n"], step_hours: float) -> Requests:
    """Fit course, residual and memory to a request rate that starts at midnight and covers whole days."""
    per_day = round(24 / step_hours)
    hour = (np.arange(rate.size) % per_day * step_hours).astype(int)
    course = np.bincount(hour, rate) / np.bincount(hour) / rate.mean()
    middle = (np.arange(rate.size) + 0.5) * step_hours
    residual = rate / rate.mean() / np.interp(middle, np.arange(24) + 0.5, course, period=24)
    lags = tuple(int(x) for x in np.unique(np.geomspace(1, 2 * per_day, 20).round()))
    target = autocorrelation(normal_scores(residual), lags)
    start = Requests(course, np.quantile(residual, levels(_RATE_LEVELS)), 0.5, 1.0, 24.0)

    def misfit(x: Float[np.ndarray, "3"]) -> Float[np.ndarray, "lag"]:
        trial = replace(start, fast_share=x[0], fast_hours=x[1], slow_hours=x[2])
        return np.asarray(trial.correlation(np.array(lags) * step_hours) - target)

    found = optimize.least_squares(misfit, [0.6, 0.5, 10.0], bounds=([0, 0.05, 2.0], [1, 2.0, 200.0])).x
    return replace(start, fast_share=float(found[0]), fast_hours=float(found[1]), slow_hours=float(found[2]))


def fit_serving(throughput: Float[np.ndarray, "n"], power: Float[np.ndarray, "n"], idle: float) -> Serving:
    """Fit full power and exponent to throughput over its highest and power over rated power [1]."""

    def misfit(x: Float[np.ndarray, "2"]) -> Float[np.ndarray, "n"]:
        return np.asarray(Serving(idle, x[0], x[1]).power(throughput) - power)

    found = optimize.least_squares(misfit, [0.9, 0.3], bounds=([idle, 0.01], [2.0, 3.0])).x
    return Serving(idle=idle, full=float(found[0]), exponent=float(found[1]))


def fit_training(occupancy: Float[np.ndarray, "n"], step_minutes: float, lag_hours: tuple[float, ...]) -> Training:
    """Fit slots, occupancy, job length and spread to the occupied share of a cluster (NaN: not measured).

    Job length and spread are those of a grid whose simulated slots come nearest to the measured
    autocorrelation; the number of slots is what gives the measured variance, slots being independent.
    """
    mean = float(np.nanmean(occupancy))
    target = autocorrelation(occupancy, tuple(round(x * 60 / step_minutes) for x in lag_hours))
    trials = [
        Training(occupancy=mean, job_hours=hours, job_spread=spread)
        for hours in np.geomspace(20.0, 400.0, 10)
        for spread in (0.0, 0.5, 1.0, 1.5, 2.0)
    ]
    misfits = [float(((slot_correlation(trial, lag_hours) - target) ** 2).sum()) for trial in trials]
    slots = max(1, round(mean * (1 - mean) / float(np.nanvar(occupancy))))
    return replace(trials[int(np.argmin(misfits))], slots=slots)


def slot_correlation(training: Training, lag_hours: tuple[float, ...]) -> Float[np.ndarray, "lag"]:
    """Return the autocorrelation of a slot's occupancy, from simulated slots with a fixed seed."""
    nothing = AcceleratorPower(idle=np.zeros(2), busy=np.ones(2))
    time = np.arange(0.0, _SIMULATED_HOURS, 0.5)
    products = np.zeros((len(lag_hours), 2))
    for slot in range(_SIMULATED_SLOTS):
        line = draw_timeline(np.random.default_rng(slot), training, nothing, _SIMULATED_HOURS)
        k = np.searchsorted(line.start, time, side="right") - 1
        occupied = (time < line.stop[k]) - training.occupancy
        for i, lag in enumerate(round(2 * x) for x in lag_hours):
            products[i] += float((occupied[:-lag] * occupied[lag:]).sum()), time.size - lag
    return products[:, 0] / products[:, 1] / (training.occupancy * (1 - training.occupancy))
