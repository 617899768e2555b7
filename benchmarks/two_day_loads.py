"""Two days of load as shapes: AI load of one minute, measured or drawn, and a grid signal of a third of a minute."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fadecast.cell.discrepancy import swing
from fadecast.duty.workload import Measured, Workload, draw_it_power
from fadecast.locations import data_root

DAYS = 2
HELIOS = "ai_load/helios_philly_cluster_util/helios_earth_vc6YE_minute.csv.gz"
_HOUR, _QUARTER = 3600.0, 900.0
# From 10:00 of the first day: in both loads a window with jumps of every size.
_FIRST_MINUTE = 600
_REGULATION_STEP = 20.0
# Correlation time of the grid's frequency [s], assumed; the deviation at which a battery gives all it has, over the
# standard deviation [1].
_CORRELATION, _FULL = 100.0, 3.0


class Shape(NamedTuple):
    """A load over its peak, discharge positive, as means over load steps."""

    load_step: float
    """[s]"""
    shares: np.ndarray
    """Shape `(steps,)` [1]."""

    def first(self, hours: float) -> "Shape":
        """Return the beginning of the load."""
        return Shape(self.load_step, self.shares[: round(hours * _HOUR / self.load_step)])


def _smoothed_away(power: np.ndarray, load_step: float, window: float) -> Shape:
    """Return what a battery carries that smooths a load to its moving mean over a window [s]."""
    steps, width = round(DAYS * 24 * _HOUR / load_step), round(window / load_step)
    return Shape(load_step, swing(power[: steps + width], steps, width))


def ai_drawn() -> Shape:
    """Return AI load drawn from the workload model, less its hourly mean: needs no data."""
    power = draw_it_power(np.random.default_rng(1), Workload(), Measured.load(), 1)
    return _smoothed_away(power[_FIRST_MINUTE:], 60.0, _HOUR)


def ai_measured() -> Shape:
    """Return the busy share of the accelerators of Helios Earth (Hu et al., SC 2021), less its hourly mean.

    Power is linear in it, so the shape is that of power.
    """
    busy = pd.read_csv(data_root() / HELIOS)["gpu_utilization"].to_numpy()
    return _smoothed_away(busy[_FIRST_MINUTE:], 60.0, _HOUR)


def regulation() -> Shape:
    """Return a drawn frequency-regulation signal, less its mean over a quarter of an hour.

    The deviation of the frequency is an Ornstein-Uhlenbeck process, the first approximation to measured grids (Schäfer
    et al., Nature Energy 3, 119, 2018, doi:10.1038/s41560-017-0058-z); power is proportional to it up to full power.
    """
    steps = round((DAYS * 24 * _HOUR + _QUARTER) / _REGULATION_STEP)
    kept = np.exp(-_REGULATION_STEP / _CORRELATION)
    deviation, noise = np.zeros(steps), np.random.default_rng(1).standard_normal(steps)
    for k in range(1, steps):
        deviation[k] = kept * deviation[k - 1] + np.sqrt(1.0 - kept**2) * noise[k]
    return _smoothed_away(np.clip(deviation / _FULL, -1.0, 1.0), _REGULATION_STEP, _QUARTER)


LOADS = {"AI drawn": ai_drawn, "AI measured": ai_measured, "regulation": regulation}
