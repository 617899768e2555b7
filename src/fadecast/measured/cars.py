"""Cars still in service: how their packs fade, and what packs will keep when their cars retire.

Two sets, both of cars that had not left service: owners of a Model 3 SR told age, mileage and loss of range; offers of
used Model 3 LR (nickel-cobalt-aluminium) told age in whole years, mileage and the energy of a full charge. Neither says
what was measured how, and the offers not what the pack held when new, so the law of fade is taken from the survey, and
from the offers only how much packs of one age and mileage differ.

A car that leaves service is not offered. Offers are therefore weighted by one over the chance that a car like them is
still there, with a rate of leaving that grows with the capacity lost, by an assumption that no data here tells.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import curve_fit

from fadecast.measured.catalogue import CATALOGUE, MeasuredDataError, check_columns, fetch
from fadecast.measured.retired import CANDIDATE_SOH, LEVELS

SOURCE = "nrel_blast_tesla_fleet_fade"
KM_PER_MILE = 1.609344
POINTS = 0.1
"""Loss of capacity by which rates of leaving are compared [1]."""

IN_SERVICE = np.array(
    [
        *(1.0, 0.9900, 0.9831, 0.9731, 0.9593, 0.9413, 0.9188, 0.8918, 0.8604, 0.8252, 0.7866, 0.7170, 0.6125),
        *(0.5094, 0.4142, 0.3308, 0.2604, 0.2028, 0.1565, 0.1200, 0.0916, 0.0696, 0.0527, 0.0399, 0.0301, 0.0227),
    ]
)
"""Share of passenger cars in service after 0 to 25 years, United States: Lu, Vehicle Survivability and Travel Mileage
Schedules, table 3, DOT HS 809 952, NHTSA (2006). Of cars with combustion engines; no electric car is old enough."""

_SURVIVAL = {
    "name": "passenger cars in service by age",
    "citation": "Lu, Vehicle Survivability and Travel Mileage Schedules, table 3, NHTSA, DOT HS 809 952 (2006)",
    "licence": "work of the US government",
    "origin": "National Highway Traffic Safety Administration",
}

SURVIVORSHIP: Mapping[str, float] = {"none": 0.0, "assumed": 1.0, "strong": 2.0}
"""How often the rate of leaving service doubles with every `POINTS` that a pack has lost more than the average."""


class FadeLaw(NamedTuple):
    """Capacity lost by packs in cars, `loss * years ** exponent`."""

    loss: float
    """In the first year [1]."""
    exponent: float
    scatter: float
    """Standard deviation of what owners told about the law [1]."""

    def at(self, years: Float[np.ndarray, " age"]) -> Float[np.ndarray, " age"]:
        """Capacity lost [1]."""
        return np.asarray(self.loss * years**self.exponent)


def survey() -> pd.DataFrame:
    """Return what owners told.

    Returns
    -------
    Columns `years` [year], `distance` [km] and `loss` [1], one row for each car older than a quarter of a year.

    Raises
    ------
    MissingDataError, MeasuredDataError
        When a file is not there or not as expected; says which.
    """
    path = fetch(SOURCE)["Telsa_Survey_Model3SR.xlsx"]
    try:
        told = pd.read_excel(path)
    except ImportError as error:
        raise ImportError(
            f"reading {path.name} needs openpyxl; install it with: pip install 'fadecast[measured]'"
        ) from error
    check_columns(told, path.name, {"Age": (0.0, 240.0), "Odometer": (0.0, 1e6), "Degradation.1": (0.0, 0.6)})
    table = pd.DataFrame(
        {"years": told["Age"] / 12.0, "distance": told["Odometer"], "loss": told["Degradation.1"]}, dtype=float
    )
    return table[table["years"] > 0.25].reset_index(drop=True)


def offers() -> pd.DataFrame:
    """Return used cars as offered.

    Returns
    -------
    Columns `years` [year], whole, `distance` [km] and `energy` [kW.h], one row for each car.

    Raises
    ------
    MissingDataError, MeasuredDataError
        When a file is not there or not as expected; says which.
    """
    path = fetch(SOURCE)["TeslaInfo_Model3LR.csv"]
    cars = pd.read_csv(path)
    # Some odometers stand a little below zero: miles were blurred.
    check_columns(cars, path.name, {"Mileage": (-200.0, 1e6), "kWh": (20.0, 120.0), "Year": (0.5, 25.0)})
    columns = {"years": cars["Year"], "distance": cars["Mileage"] * KM_PER_MILE, "energy": cars["kWh"]}
    return pd.DataFrame(columns, dtype=float)


def fade_law(told: pd.DataFrame) -> FadeLaw:
    """Fit the loss of capacity over age, by least squares.

    Raises
    ------
    MeasuredDataError
        When there is no such law.
    """
    years, loss = told["years"].to_numpy(), told["loss"].to_numpy()
    try:
        (first, exponent), _ = curve_fit(lambda t, a, p: a * t**p, years, loss, p0=(0.05, 0.5))
    except RuntimeError as error:
        raise MeasuredDataError(f"loss over age follows no power law ({error})") from None
    return FadeLaw(float(first), float(exponent), float(np.std(loss - first * years**exponent, ddof=2)))


def mileage_effect(told: pd.DataFrame) -> tuple[float, float]:
    """Return what 10,000 km add to the loss of cars of one age [1], fitted with the law, and its standard error."""
    years, distance = told["years"].to_numpy(), told["distance"].to_numpy() / 1e4
    (*_, slope), covariance = curve_fit(
        lambda _, a, p, b: a * years**p + b * distance, years, told["loss"].to_numpy(), p0=(0.05, 0.5, 0.0)
    )
    return float(slope), float(np.sqrt(covariance[-1, -1]))


def deviations(cars: pd.DataFrame) -> pd.Series:
    """Return how far each pack is from those of its age and mileage, over what these hold [1]."""

    def of_age(group: pd.DataFrame) -> pd.Series:
        line = np.polynomial.Polynomial.fit(group["distance"], group["energy"], 1)
        expected = line(group["distance"].to_numpy())
        return pd.Series(group["energy"].to_numpy() / expected - 1.0, index=group.index)

    return pd.concat([of_age(group) for _, group in cars.groupby("years")]).reindex(cars.index)


def soh_at_retirement(
    law: FadeLaw, cars: pd.DataFrame, deviation: pd.Series, doublings: float
) -> tuple[Float[np.ndarray, " pack"], Float[np.ndarray, " pack"]]:
    """Follow the packs of cars to the end of their service.

    A pack keeps its distance from the law, in points of what a new pack holds, as the spread of packs does not grow
    with their age in the data. Its rate of leaving service is that of cars at its age, times
    `2 ** (doublings * points lost more than the law / POINTS)`.

    Parameters
    ----------
    law
        Of the loss.
    cars
        As `offers` returns them.
    deviation
        Of each, as `deviations` returns them.
    doublings
        Of the rate of leaving service.

    Returns
    -------
    SOH [1] at retirement, by car and year of retirement, and the weight of each.
    """
    years = cars["years"].to_numpy()
    # They were compared with packs of their age, which hold less than new ones.
    off = deviation.to_numpy() * (1.0 - law.at(years))
    faster = 2.0 ** (-doublings * off / POINTS)
    ages = np.arange(len(IN_SERVICE))
    here = np.interp(years, ages, IN_SERVICE)
    left = IN_SERVICE[None, :] ** faster[:, None]
    # Those still there after the last year of the table retire with it.
    leaving = np.concatenate([-np.diff(left, axis=1), left[:, -1:]], axis=1)
    middle = np.append(ages[:-1] + 0.5, float(ages[-1]))
    weight = leaving / (here**faster)[:, None]
    soh = 1.0 - law.at(middle)[None, :] + off[:, None]
    return soh.ravel(), (weight / weight.sum()).ravel()


def summary(told: pd.DataFrame, cars: pd.DataFrame) -> dict[str, Any]:
    """Return the statistics that are committed with the package, with their sources.

    Parameters
    ----------
    told, cars
        The columns of `survey` and of `offers`.

    Returns
    -------
    What the numbers mean, the law of fade, and by assumption of `SURVIVORSHIP`: quantiles of SOH at retirement of
    `candidates` (SOH at most `CANDIDATE_SOH`), their share, and the number of cars of equal weight that they stand for.
    """
    law, deviation = fade_law(told), deviations(cars)
    slope, error = mileage_effect(told)
    by_age = deviation.groupby(cars["years"]).std()
    return {
        "what": "Packs of cars at the end of their service: quantiles, at `levels`, of SOH (energy of a full charge "
        "over that of a new pack)",
        "candidate_soh": CANDIDATE_SOH,
        "levels": LEVELS.tolist(),
        "sources": [CATALOGUE[SOURCE].record(), _SURVIVAL],
        "chemistry": "NCA",
        "cars": len(cars),
        "law": {**law._asdict(), "cars": len(told), "oldest_years": float(told["years"].max())},
        "mileage": {"loss_per_10000_km": slope, "standard_error": error},
        "spread": {f"{years:g}": float(sd) for years, sd in by_age.items()},
        "doublings": dict(SURVIVORSHIP),
        "candidates": {
            name: _candidates(*soh_at_retirement(law, cars, deviation, doublings))
            for name, doublings in SURVIVORSHIP.items()
        },
    }


def _candidates(soh: Float[np.ndarray, " pack"], weight: Float[np.ndarray, " pack"]) -> dict[str, Any]:
    among = soh <= CANDIDATE_SOH
    share = float(weight[among].sum())
    per_car = weight.reshape(-1, len(IN_SERVICE)).sum(axis=1)
    return {
        "share": share,
        "cells": round(share / float((per_car**2).sum())),
        "soh": np.quantile(soh[among], LEVELS, weights=weight[among], method="inverted_cdf").tolist(),
        "median_of_all": float(np.quantile(soh, 0.5, weights=weight, method="inverted_cdf")),
        "below_80": float(weight[soh < 0.8].sum()),
    }
