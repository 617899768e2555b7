"""How well typical days stand for their year."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import rainflow
from jaxtyping import Float
from scipy.stats import wasserstein_distance

from fadecast.decades.typical_days import TypicalDays, YearOfDuty


class Sample(NamedTuple):
    """Values and what each counts for."""

    value: Float[np.ndarray, "n"]
    weight: Float[np.ndarray, "n"]
    """Shares, summing to 1."""

    @property
    def mean(self) -> float:
        """Weighted mean."""
        return float(self.weight @ self.value)


class Representation(NamedTuple):
    """What a year and its typical days are made of."""

    year: Mapping[str, Sample]
    typical: Mapping[str, Sample]

    @property
    def distance(self) -> dict[str, float]:
        """How far the two are apart by measure, as mean distance that has to be moved from one to the other.

        The first Wasserstein distance, in the unit of the measure.
        """
        return {
            name: float(wasserstein_distance(a.value, self.typical[name].value, a.weight, self.typical[name].weight))
            for name, a in self.year.items()
        }


def representation(duty: YearOfDuty, typical: TypicalDays) -> Representation:
    """Compare what matters to ageing: power, state of charge and temperature by time, depth of cycles by charge.

    Depths are those of rainflow counting (ASTM E1049) on the state of charge of the year, each counted as often as it
    is deep; a cycle belongs to the day that it ends in.

    Returns
    -------
    Samples of `power` [1/h], `state_of_charge` [1], `temperature` [degC] and `depth` [1].
    """
    days = len(duty.power)
    every, whole = np.arange(days), np.full(days, 1.0 / days)
    depth, charge, ends = cycles(duty.state_of_charge.ravel())
    by_day = np.zeros(days)
    by_day[typical.day] = typical.weight * days
    last = ends // duty.power.shape[1]
    return Representation(
        year=_sampled(duty, every, whole) | {"depth": _shared(depth, charge)},
        typical=_sampled(duty, typical.day, typical.weight) | {"depth": _shared(depth, charge * by_day[last])},
    )


def cycles(
    course: Float[np.ndarray, "n"],
) -> tuple[Float[np.ndarray, "cycle"], Float[np.ndarray, "cycle"], Float[np.ndarray, "cycle"]]:
    """Return depth, depth times count, and index of the end of every cycle of a course; one of no depth for none."""
    found = [(depth, count * depth, end) for depth, _, count, _, end in rainflow.extract_cycles(course)]
    depth, charge, end = np.array(found or [(0.0, 1.0, 0.0)]).T
    return depth, charge, end.astype(int)


def _shared(value: np.ndarray, weight: np.ndarray) -> Sample:
    return Sample(value, weight / weight.sum() if weight.any() else np.full(len(value), 1.0 / len(value)))


def _sampled(duty: YearOfDuty, day: np.ndarray, weight: np.ndarray) -> dict[str, Sample]:
    series = {"power": duty.power, "state_of_charge": duty.state_of_charge, "temperature": duty.ambient}
    steps = duty.power.shape[1]
    return {name: Sample(values[day].ravel(), np.repeat(weight / steps, steps)) for name, values in series.items()}
