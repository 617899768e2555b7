"""What a battery may be asked besides serving a site: regulating a grid, resting, cycling as a laboratory does.

Powers are those of a pack at the bus: asked of it where positive, offered to it where negative.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from scipy.signal import lfilter

from fadecast.duty.sun import HOURS
from fadecast.settings import settings

_SIGNAL_SECONDS = 20.0


@settings
class Regulation:
    """Frequency regulation: power in proportion to a drawn deviation of the grid's frequency.

    The deviation is an Ornstein-Uhlenbeck process, the first approximation to measured grids (Schäfer et al., Nature
    Energy 3, 119, 2018, doi:10.1038/s41560-017-0058-z). Long steps average the signal: 1 min keeps 91 % of its standard
    deviation, 15 min 44 %.
    """

    kw_per_pack: Annotated[float, Ge(0)] = 10.0
    """Power at full deviation, both ways [kW] (assumed: two thirds of the converters)."""
    correlation_seconds: Annotated[float, Ge(20), Le(3600)] = 100.0
    """Correlation time of the deviation [s] (assumed)."""
    full_deviation: Annotated[float, Gt(0), Le(10)] = 3.0
    """Deviation of full power over its standard deviation [1] (assumed); larger ones ask for no more."""
    charge_target: Annotated[float, Gt(0), Le(1)] = 0.5
    """State of charge that losses and drift are made up to, by the grid [1]."""
    restored_per_hour: Annotated[float, Ge(0), Le(10)] = 0.5
    """Share of what is missing to it that is made up in an hour [1/h] (assumed)."""


@settings
class Cycling:
    """Cycles between the limits of charge at constant power; the last step of each half asks for what is left."""

    charge_c_rate: Annotated[float, Ge(1e-3), Le(10)] = 0.25
    """Charging power over the energy that dispatch counts on [1/h]."""
    discharge_c_rate: Annotated[float, Ge(1e-3), Le(10)] = 0.25
    """Discharging power over that energy [1/h]."""
    rest_hours: Annotated[float, Ge(0), Le(8760)] = 0.5
    """Rest after each charge and each discharge [h]."""
    check_up_days: Annotated[float, Gt(0), Le(365)] | None = None
    """Days of cycles, in whole ones, from one check-up to the next; null: no check-ups."""
    check_up_c_rate: Annotated[float, Ge(1e-3), Le(10)] = 0.1
    """Power of a check-up, one full charge and discharge with their rests, over that energy [1/h]."""

    @property
    def fastest(self) -> float:
        """Highest power over that energy [1/h]."""
        checked = [] if self.check_up_days is None else [self.check_up_c_rate]
        return max(self.charge_c_rate, self.discharge_c_rate, *checked)


def regulation_power(rng: np.random.Generator, regulation: Regulation, step_minutes: int) -> Float[np.ndarray, "step"]:
    """Draw a year of power asked of a pack [kW], as means over steps."""
    count = round(HOURS * 3600 / _SIGNAL_SECONDS)
    keep = np.exp(-_SIGNAL_SECONDS / regulation.correlation_seconds)
    noise = rng.standard_normal(count)
    # The first value has the spread of all: the process is drawn in equilibrium.
    noise[1:] *= np.sqrt(1.0 - keep**2)
    deviation = np.asarray(lfilter([1.0], [1.0, -keep], noise))
    share = np.clip(deviation / regulation.full_deviation, -1.0, 1.0)
    return regulation.kw_per_pack * share.reshape(HOURS * 60 // step_minutes, -1).mean(axis=1)


def cycling_power(
    cycling: Cycling, window: float, energy: float, one_way: float, step_minutes: int
) -> Float[np.ndarray, "step"]:
    """Return a year of power asked of a pack [kW], charging first.

    Parameters
    ----------
    window
        Energy between the limits of charge [kWh].
    energy
        Energy that rates refer to [kWh].
    one_way
        Efficiency between the bus and the store [1].
    """
    step_hours = step_minutes / 60

    def cycle(charge_rate: float, discharge_rate: float) -> Float[np.ndarray, "step"]:
        charge = -_at_constant_power(charge_rate * energy, window / one_way, step_hours)
        discharge = _at_constant_power(discharge_rate * energy, window * one_way, step_hours)
        rest = np.zeros(round(cycling.rest_hours / step_hours))
        return np.concatenate([charge, rest, discharge, rest])

    course = cycle(cycling.charge_c_rate, cycling.discharge_c_rate)
    if cycling.check_up_days is not None:
        count = max(int(cycling.check_up_days * 24.0 / step_hours) // course.size, 1)
        course = np.concatenate([np.tile(course, count), cycle(cycling.check_up_c_rate, cycling.check_up_c_rate)])
    return np.resize(course, HOURS * 60 // step_minutes)


def _at_constant_power(power: float, energy: float, step_hours: float) -> Float[np.ndarray, "step"]:
    """Return the power of each step until an energy is through [kW]."""
    steps = int(np.ceil(energy / (power * step_hours) - 1e-9))
    course = np.full(steps, power)
    course[-1] = energy / step_hours - power * (steps - 1)
    return course
