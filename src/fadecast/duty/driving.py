"""First life: a car that leaves home on most days, comes back, and charges until it leaves again.

A trip goes through the phases of the WLTC in their order, each at its mean speed: a short one stays in town, a long one
ends on the motorway, as far as it goes. Speeds and lengths of phases: UN Global Technical Regulation 15, class 3b.
What a car takes at a steady speed is rolling and air resistance; that it accelerates and brakes inside a phase is in
`driveline_efficiency` as far as it costs energy, and left out as swings. The air about its pack is that of a container.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.duty.sun import HOURS
from fadecast.settings import settings

PHASE_KM = np.array([3.095, 4.756, 7.162, np.inf])
"""Lengths of the phases low, medium, high and, as long as a trip goes on, extra high [km]."""
PHASE_SPEED = np.array([3.095 / 589, 4.756 / 433, 7.162 / 455, 8.254 / 323]) * 3600.0
"""Mean speeds, standstill included [km/h]."""
_LONGEST_KM = 300.0
"""Longer ways need a charge on the way, which is left out: they are cut."""
_LONGEST_MEAN_KM = 75.0
"""Longest mean way, so that few are cut: of the default year's distance 2 % are."""
_AIR, _GRAVITY = 1.2, 9.81
_OUT, _BACK = (8.0, 4.0, 12.0), (17.0, 16.0, 20.0)
"""Mean, earliest and latest hour at which a way to somewhere, and one home, begins."""
_HOURS_SPREAD = 1.5


@settings
class Driving:
    """How a car is used. Packs of a draw are driven alike; draws differ."""

    yearly_km: Annotated[float, Gt(0), Le(200_000)] = 19_300.0
    """Median distance of a year [km] (5,193 cars of two to six years, `experiments/cars_in_service`)."""
    yearly_spread: Annotated[float, Ge(0), Le(2)] = 0.61
    """Standard deviation of its logarithm over cars [1] (half the middle 68 % of the same cars)."""
    driven_days: Annotated[float, Gt(0), Le(1)] = 0.8
    """Share of days on which the car leaves and comes back [1] (assumed)."""
    trip_spread: Annotated[float, Ge(0), Le(2)] = 0.8
    """Standard deviation of the logarithm of a way's length [1] (assumed)."""
    mass_kg: Annotated[float, Gt(0), Le(10_000)] = 1850.0
    """Mass of the car and who is in it [kg] (assumed)."""
    rolling_resistance: Annotated[float, Ge(0), Le(0.1)] = 0.01
    """Rolling resistance over weight [1] (assumed)."""
    drag_area: Annotated[float, Ge(0), Le(5)] = 0.53
    """Drag coefficient times frontal area [m2] (assumed)."""
    driveline_efficiency: Annotated[float, Gt(0), Le(1)] = 0.75
    """What reaches the road of what dispatch's converter gives, braking counted [1] (assumed)."""
    auxiliary_kw: Annotated[float, Ge(0), Le(20)] = 1.0
    """What else takes power on the way [kW] (assumed)."""
    charge_kw: Annotated[float, Gt(0), Le(350)] = 7.0
    """Power offered whenever the car is at home [kW] (assumed); it charges to dispatch's `soc_max`."""

    def __post_init__(self) -> None:
        """Refuse ways that would nearly all be cut."""
        way = self.yearly_km / (2.0 * 365.0 * self.driven_days)
        if way > _LONGEST_MEAN_KM:
            raise ValueError(
                f"driving: {self.yearly_km:g} km on {self.driven_days:g} of the days are ways of {way:.0f} km; must be "
                f"{_LONGEST_MEAN_KM:g} at most: nobody charges on the way"
            )

    @property
    def phase_power(self) -> Float[np.ndarray, "4"]:
        """Power taken in each phase [kW]."""
        speed = PHASE_SPEED / 3.6
        force = self.mass_kg * _GRAVITY * self.rolling_resistance + 0.5 * _AIR * self.drag_area * speed**2
        return np.asarray(force * speed / self.driveline_efficiency / 1e3 + self.auxiliary_kw)

    @property
    def largest_power(self) -> float:
        """Highest power either way [kW]."""
        return max(self.charge_kw, float(self.phase_power.max()))


def driving_power(rng: np.random.Generator, driving: Driving, step_minutes: int) -> Float[np.ndarray, "step"]:
    """Draw a year of power asked of a pack [kW], as means over steps; negative where the car could charge."""
    days = HOURS // 24
    yearly = driving.yearly_km * np.exp(driving.yearly_spread * rng.standard_normal())
    driven = np.flatnonzero(rng.random(days) < driving.driven_days)
    mean = np.log(yearly / (2.0 * days * driving.driven_days)) - 0.5 * driving.trip_spread**2
    length = np.minimum(rng.lognormal(mean, driving.trip_spread, driven.size), _LONGEST_KM)
    out, back = (24.0 * driven + _hour(rng, driven.size, *when) for when in (_OUT, _BACK))
    time, power = [0.0], []
    for begin, home, way in zip(out, back, length, strict=True):
        hours = _phase_lengths(way) / PHASE_SPEED
        there, again = begin + np.cumsum(hours), home + np.cumsum(hours)
        time += [begin, *there, home, *again]
        power += [-driving.charge_kw, *driving.phase_power, 0.0, *driving.phase_power]
    time.append(float(HOURS))
    power.append(-driving.charge_kw)
    # Energy is summed exactly, so that a long step is the mean of short ones.
    energy = np.concatenate([[0.0], np.cumsum(np.array(power) * np.diff(time))])
    edges = np.arange(HOURS * 60 // step_minutes + 1) * step_minutes / 60
    return np.diff(np.interp(edges, time, energy)) / (step_minutes / 60)


def _hour(rng: np.random.Generator, count: int, mean: float, earliest: float, latest: float) -> Float[np.ndarray, "n"]:
    return np.clip(mean + _HOURS_SPREAD * rng.standard_normal(count), earliest, latest)


def _phase_lengths(way: float) -> Float[np.ndarray, "4"]:
    """Return how much of a way lies in each phase [km]."""
    before = np.concatenate([[0.0], np.cumsum(PHASE_KM[:-1])])
    return np.clip(way - before, 0.0, PHASE_KM)
