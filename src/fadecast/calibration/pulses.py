"""Current pulses between rests: resistance, and how fast lithium spreads in the particles.

In a sphere under constant flux the surface runs ahead of the mean (Crank 1975, eq. 6.45); where potential is linear in
stoichiometry over a pulse, V(t) - V(0) = R I + A [t + T/3 (1/5 - 2 sum_n exp(-b_n^2 t/T) / b_n^2)] with tan b_n = b_n,
T = r^2/D, and A the slope of the potential at rest in time; the rest after the pulse is the same with the current taken
back. A is what the potential at rest changes from one pulse to the next over the length of the pulse (Weppner & Huggins
1977, doi:10.1149/1.2133112); R and T are fitted to the pulse and all of its rest, whatever part of it was measured.
What earlier pulses of a test have left to relax is counted, as if they had the same T.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import brentq, least_squares
from scipy.special import erf

_ROOTS = np.array([brentq(lambda b: np.sin(b) - b * np.cos(b), n * np.pi, (n + 0.5) * np.pi) for n in range(1, 30)])
"""b_n."""
_EARLY = 0.02
"""Time over T below which the series of short times is used; both are exact to 1e-9 there."""
_TIMES = (30.0, 300.0, 3e3, 3e4, 3e5)
"""Diffusion times to start from [s]."""
_STEADY = 0.05
"""Share by which the current of a pulse may vary."""
_FEWEST = 8
_LEAST_CHANGE = 2e-3
"""Change of the potential at rest below which it tells nothing of diffusion [V]: a plateau."""
_BOUNDS = ([-np.inf, np.log(1.0)], [np.inf, np.log(1e8)])


class Pulse(NamedTuple):
    """A pulse and the rest that follows."""

    time: Float[np.ndarray, " n"]
    """From the start of the pulse; the first row is the last before it [s]."""
    voltage: Float[np.ndarray, " n"]
    """[V]."""
    current: float
    """Positive on discharge [A]."""
    end: float
    """Of the pulse [s]."""
    charge: float
    """At its start [A.h]."""
    slope: float
    """Change of the potential at rest over the length of the pulse [V/s]; NaN where no pulse follows."""
    earlier: Float[np.ndarray, "pulses 3"] = np.empty((0, 3))
    """Pulses before it: time since they began [s], their length [s], their slope [V/s]."""


class PulseFit(NamedTuple):
    """What one pulse tells; NaN where it tells nothing."""

    charge: float
    """At its start [A.h]."""
    resistance: float
    """At once, of ohmic drop and kinetics [ohm]."""
    resistance_sd: float
    diffusion_time: float
    """r^2/D [s]."""
    diffusion_time_log_sd: float
    """Standard deviation of its logarithm [1]; NaN, as the time, where no pulse follows or potential is flat."""
    rmse: float
    """[V]."""


def find_pulses(rows: pd.DataFrame) -> list[Pulse]:
    """Find the pulses of a checked table: steady current after a rest, with what follows up to the next one."""
    current, time, voltage = (rows[name].to_numpy() for name in ("current", "time", "voltage"))
    flowing = np.abs(current) > _STEADY * np.abs(current).max()
    starts = np.flatnonzero(flowing[1:] & ~flowing[:-1])
    found: list[Pulse] = []
    begun: list[float] = []
    for start, after in pairwise([*starts, len(rows) - 1]):
        inside = np.arange(start + 1, after + 1)
        pulse, rest = inside[flowing[inside]], inside[~flowing[inside]]
        level = float(np.median(current[pulse]))
        # A ramp at its edges is no part of it.
        pulse = pulse[np.abs(current[pulse] - level) <= _STEADY * abs(level)]
        if min(len(pulse), len(rest)) < _FEWEST or pulse[-1] > rest[0]:
            continue
        length = time[pulse[-1]] - time[start]
        if time[pulse[-1]] - time[pulse[0]] < (1.0 - _STEADY) * length:
            continue
        used = np.concatenate([[start], pulse, rest])
        charge = float(rows["charge"].iloc[start])
        # What the next pulse begins at is the rest that this one ends in.
        rise = (voltage[after] - voltage[start]) / length if after < len(rows) - 1 else np.nan
        found.append(Pulse(time[used] - time[start], voltage[used], level, float(length), charge, float(rise)))
        begun.append(time[start])
    return [pulse._replace(earlier=_before(found, begun, number)) for number, pulse in enumerate(found)]


def _before(pulses: list[Pulse], begun: list[float], number: int) -> Float[np.ndarray, "pulses 3"]:
    rows = [(begun[number] - begun[n], pulses[n].end, pulses[n].slope) for n in range(number)]
    return np.array([row for row in rows if np.isfinite(row).all()]).reshape(-1, 3)


def surface_lead(time: Float[np.ndarray, " n"], diffusion_time: float) -> Float[np.ndarray, " n"]:
    """Return t + T/3 (1/5 - 2 sum ...) [s]: what the surface has moved over its mean rate, 0 before the pulse."""
    reduced = np.maximum(time, 0.0) / diffusion_time
    # The series at short times, summed: 1 / (s (sqrt(s) - 1)) transformed back.
    early = np.expm1(np.minimum(reduced, 1.0)) + np.exp(np.minimum(reduced, 1.0)) * erf(np.sqrt(reduced))
    late = 3.0 * reduced + 0.2 - 2.0 * (np.exp(-np.outer(reduced, _ROOTS**2)) / _ROOTS**2).sum(axis=1)
    return np.asarray(diffusion_time / 3.0 * np.where(reduced < _EARLY, early, late))


def _lead_of(time: Float[np.ndarray, " n"], length: float, diffusion_time: float) -> Float[np.ndarray, " n"]:
    """Return what a pulse of a length leaves at times since its start [s]."""
    return surface_lead(time, diffusion_time) - surface_lead(time - length, diffusion_time)


def fit_pulse(pulse: Pulse) -> PulseFit:
    """Fit resistance, and diffusion time where the slope is known, to a pulse and its rest."""
    change, time = pulse.voltage[1:] - pulse.voltage[0], pulse.time[1:]
    drop = -pulse.current * (time <= pulse.end)

    def modelled(place: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " n"]:
        relaxing = np.exp(place[1])
        total = place[0] * drop + pulse.slope * _lead_of(time, pulse.end, relaxing)
        for since, length, slope in pulse.earlier:
            at_start = _lead_of(np.array([since]), length, relaxing)
            total = total + slope * (_lead_of(time + since, length, relaxing) - at_start)
        return total

    if not abs(pulse.slope * pulse.end) > _LEAST_CHANGE:
        first = int(np.argmax(time > 0.0))
        return PulseFit(pulse.charge, float(-change[first] / pulse.current), *[np.nan] * 4)
    start = float(-change[0] / pulse.current)
    tries = [
        least_squares(
            lambda place: modelled(place) - change,
            [start, np.log(each)],
            x_scale=(abs(start) + 1e-9, 1.0),
            bounds=_BOUNDS,
        )
        for each in _TIMES
    ]
    best = min(tries, key=lambda found: found.cost)
    if best.active_mask.any():
        return PulseFit(pulse.charge, float(best.x[0]), *[np.nan] * 4)
    variance = 2.0 * best.cost / max(len(change) - 2, 1)
    spread = np.sqrt(np.diag(variance * np.linalg.pinv(best.jac.T @ best.jac)))
    rmse = float(np.sqrt(2.0 * best.cost / len(change)))
    resistance, log_time = best.x
    return PulseFit(pulse.charge, float(resistance), float(spread[0]), float(np.exp(log_time)), float(spread[1]), rmse)


def pulse_table(rows: pd.DataFrame, radius: float | None = None) -> pd.DataFrame:
    """Fit every pulse of a table.

    Parameters
    ----------
    rows
        Of `fadecast.measured.cycler.read_cycling`.
    radius
        Of the particles, for a column `diffusivity` [m2.s-1] = r^2/T [m].
    """
    table = pd.DataFrame([fit_pulse(pulse) for pulse in find_pulses(rows)], columns=PulseFit._fields)
    return table if radius is None else table.assign(diffusivity=radius**2 / table["diffusion_time"])
