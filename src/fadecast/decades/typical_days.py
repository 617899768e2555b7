"""A year of duty → a few real days with weights, the extreme days kept."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pandas as pd
import tsam
from jaxtyping import Float, Int
from scipy.optimize import lsq_linear

from fadecast.cell.ripple import Ripple

# Of SEI growth in OKane2022 (38 kJ/mol): what makes a hot day count for more than its share.
_ACTIVATION_TEMPERATURE = 38000.0 / 8.314462618

HOURS = 8760

EXTREME_DAYS = 2
"""Days kept besides the clusters: the hottest, and that of the emptiest store."""

# The weights may move this far from the cluster sizes to reproduce the year's totals.
_WEIGHT_BOUNDS = (0.3, 3.0)


@dataclass(frozen=True)
class YearOfDuty:
    """Duty of one draw in equal load steps from midnight; any whole number of days.

    Attributes
    ----------
    power
        Pack power per first-life nameplate energy [1/h], discharge positive, shape `(days, steps)`.
    ambient
        Air temperature around the packs [degC], shape `(days, steps)`.
    state_of_charge
        State of charge of the dispatched store [1], shape `(days, steps)`.
    """

    power: np.ndarray
    ambient: np.ndarray
    state_of_charge: np.ndarray


@dataclass(frozen=True)
class TypicalDays:
    """Real days that stand for a year; spin-up is the end of the day before each.

    Attributes
    ----------
    day
        Index of each day in the year, shape `(days,)`.
    weight
        Share of the year each stands for, shape `(days,)`, summing to 1.
    power, ambient
        As in `YearOfDuty`, spin-up steps first, shape `(days, spin_up + steps)`.
    state_of_charge
        At the start of spin-up [1], shape `(days,)`.
    spin_up
        Number of load steps of spin-up.
    error
        Relative error of the weighted days in throughput, mean Arrhenius factor and mean state of charge.
    ripple
        Swings of the power of a cell inside the load steps, fields `(days, spin_up + steps)`; none: not known.
    """

    day: np.ndarray
    weight: np.ndarray
    power: np.ndarray
    ambient: np.ndarray
    state_of_charge: np.ndarray
    spin_up: int
    error: dict[str, float]
    ripple: Ripple | None = None

    @property
    def first_hour(self) -> Int[np.ndarray, " days"]:
        """Hour of the year that spin-up of each day begins in, the nearest one; the year repeats."""
        steps_per_hour = (self.power.shape[1] - self.spin_up) / 24.0
        return np.asarray((24 * self.day - round(self.spin_up / steps_per_hour)) % HOURS)

    def filled(self, count: int) -> "TypicalDays":
        """Return as many days as asked for, the last one repeated without weight.

        There are fewer when the hottest day is also that of the emptiest store.
        """
        more = count - len(self.weight)

        def longer(values: np.ndarray) -> np.ndarray:
            return np.pad(values, [(0, more)] + [(0, 0)] * (values.ndim - 1), mode="edge")

        return replace(
            self,
            day=longer(self.day),
            weight=np.pad(self.weight, (0, more)),
            power=longer(self.power),
            ambient=longer(self.ambient),
            state_of_charge=longer(self.state_of_charge),
            ripple=jax.tree.map(longer, self.ripple),
        )


def choose_typical_days(duty: YearOfDuty, count: int, spin_up: int) -> TypicalDays:
    """Cluster the days of a year and keep the hottest day and the one with the emptiest store besides.

    Hierarchical clustering by tsam (doi:10.3390/en13030641) on power, Arrhenius factor and state of charge; of each
    cluster the day that is nearest to its means. The cluster sizes are then adjusted as little as possible so that
    throughput, Arrhenius factor and state of charge have the year's means, as far as the bounds of their change allow
    (`TypicalDays.error`).

    Parameters
    ----------
    count
        Number of clusters; the two extreme days come on top.
    spin_up
        Load steps of the day before that are run first.

    Raises
    ------
    ValueError
        When the duty has fewer days than clusters.
    """
    days, steps = duty.power.shape
    if count + EXTREME_DAYS > days:
        raise ValueError(f"{count} typical days and 2 extreme days asked of a duty of {days} days; ask for fewer")
    arrhenius = np.exp(-_ACTIVATION_TEMPERATURE * (1.0 / (duty.ambient + 273.15) - 1.0 / 298.15))
    series = {"power": duty.power, "arrhenius": arrhenius, "state_of_charge": duty.state_of_charge}
    columns = pd.DataFrame(
        {name: values.ravel() for name, values in series.items()},
        index=pd.date_range("2001-01-01", periods=days * steps, freq=pd.Timedelta(days=1) / steps),
    )
    result = tsam.aggregate(
        columns,
        n_clusters=count,
        extremes=tsam.ExtremeConfig(method="append", max_period=["arrhenius"], min_period=["state_of_charge"]),
        preserve_column_means=False,
    )
    measures = {
        "throughput": np.abs(duty.power).mean(axis=1),
        "arrhenius": arrhenius.mean(axis=1),
        "state_of_charge": duty.state_of_charge.mean(axis=1),
    }
    cluster = np.asarray(result.cluster_assignments)
    spread = {
        "power": (duty.power**2).mean(axis=1),
        "swing": duty.state_of_charge.std(axis=1),
        "charging": np.maximum(-duty.power, 0.0).max(axis=1),
    }
    day = _nearest_to_means(cluster, np.stack([*measures.values(), *spread.values()], axis=1))
    sizes = np.bincount(cluster)
    # What is nothing all year, such as the power of packs at rest, needs no balance.
    relative = {name: m / m.mean() for name, m in measures.items() if m.mean() > 0.0}
    weight = _balanced_weights(sizes / sizes.sum(), np.stack([m[day] for m in relative.values()]))
    power, ambient, soc = (
        _with_spin_up(values, day, spin_up) for values in (duty.power, duty.ambient, duty.state_of_charge)
    )
    return TypicalDays(
        day=day,
        weight=weight,
        power=power,
        ambient=ambient,
        state_of_charge=soc[:, 0],
        spin_up=spin_up,
        error={name: float(weight @ relative[name][day] - 1.0) if name in relative else 0.0 for name in measures},
    )


def _nearest_to_means(
    cluster: Int[np.ndarray, " days"], measure: Float[np.ndarray, "days measures"]
) -> Int[np.ndarray, " clusters"]:
    """Choose of each cluster the day nearest to its means of what ages, over the standard deviations of the year.

    A medoid is nearest to the mean course: of days that are alike but for noise the quietest, which ages least.
    """
    deviation = measure.std(axis=0)
    score = measure / np.where(deviation > 0.0, deviation, 1.0)
    chosen = []
    for each in range(cluster.max() + 1):
        members = np.flatnonzero(cluster == each)
        distance = ((score[members] - score[members].mean(axis=0)) ** 2).sum(axis=1)
        chosen.append(members[distance.argmin()])
    return np.array(chosen)


def _with_spin_up(values: np.ndarray, day: np.ndarray, spin_up: int) -> np.ndarray:
    """Take days with the last steps of the day before each; the year is taken to repeat."""
    steps = values.shape[1]
    before = values[day - 1, steps - spin_up :]
    return np.concatenate([before, values[day]], axis=1)


def _balanced_weights(share: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Move weights as little as possible so that they sum to 1 and every relative measure averages to 1."""
    ones = np.ones((1, len(share)))
    exact = 1e4  # equality constraints by weight: the bounds may make them unattainable
    matrix = np.concatenate([np.diag(1.0 / np.sqrt(share)), exact * np.concatenate([ones, relative])])
    target = np.concatenate([np.sqrt(share), exact * np.ones(1 + len(relative))])
    low, high = _WEIGHT_BOUNDS
    weight = np.asarray(lsq_linear(matrix, target, bounds=(low * share, high * share)).x)
    return weight / weight.sum()
