"""Fit a climate to one year of hourly weather: the inverse of `weather`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize

from fadecast.duty.climate import MONTH_OF_DAY, Climate, Coordinates, Place
from fadecast.duty.sun import clear_sky
from fadecast.duty.tables import levels, normal_scores

_COORDINATES = ("latitude", "longitude", "altitude", "utc_offset")
_LEVELS = 21
_CLASS_EDGES = np.array([0.5, 0.7, 0.85, 0.95, 1.0])
_LOWEST_CLEAR = 50.0
"""Clear-sky irradiance [W/m2] below which hourly clearness is not trusted."""


@dataclass(frozen=True, eq=False)
class Clearness:
    """Clearness of a year and what it was drawn from."""

    day: Float[np.ndarray, "365"]
    day_score: Float[np.ndarray, "365"]
    hour_ratio: Float[np.ndarray, "class level"]
    hour_persistence: float


def fit_climate(
    place: Place,
    irradiance: Float[np.ndarray, "8760"],
    temperature: Float[np.ndarray, "8760"],
    wind_speed: Float[np.ndarray, "8760"],
) -> Climate:
    """Return the climate of a year of hourly values, local standard time, without 29 February.

    Parameters
    ----------
    place
        Where the values hold, and who measured them.
    irradiance
        Global horizontal irradiance, mean of the hour that ends at 1, 2, ... 24 o'clock [W/m2].
    temperature
        Air temperature at 1, 2, ... 24 o'clock [degC].
    wind_speed
        Wind speed [m/s].

    Raises
    ------
    ValueError
        If a series is not 8760 finite values.
    """
    for name, series in [
        ("irradiance", irradiance),
        ("temperature", temperature),
        ("wind_speed", wind_speed),
    ]:
        if series.shape != (8760,) or not np.isfinite(series).all():
            raise ValueError(f"{name}: got shape {series.shape}, expected 8760 finite hourly values of one year")
    clearness = _fit_clearness(place, irradiance)
    by_hour = temperature.reshape(365, 24)
    course = np.stack([by_hour[m == MONTH_OF_DAY].mean(axis=0) for m in range(12)])
    daily = by_hour.mean(axis=1)
    anomaly = daily - course.mean(axis=1)[MONTH_OF_DAY]
    within_sd = _smooth_sd(np.array([anomaly[m == MONTH_OF_DAY].std() for m in range(12)]))
    persistence = _persistence(anomaly / within_sd[MONTH_OF_DAY])
    return Climate(
        place=place,
        day_clearness=np.stack([np.quantile(clearness.day[m == MONTH_OF_DAY], levels(_LEVELS)) for m in range(12)]),
        day_persistence=_persistence(clearness.day_score),
        class_edges=_CLASS_EDGES,
        hour_ratio=clearness.hour_ratio,
        hour_persistence=clearness.hour_persistence,
        temperature=course,
        swing_slope=_swing_slope(by_hour - daily[:, None], course, clearness.day_score),
        anomaly_sd=within_sd / np.sqrt(_centred(persistence)[0]),
        anomaly_persistence=persistence,
        wind_speed=_by_month(wind_speed.reshape(365, 24).mean(axis=1)),
        irradiation=np.bincount(MONTH_OF_DAY, irradiance.reshape(365, 24).sum(axis=1)) / 1e3,
    )


def pooled(climates: Sequence[Climate], source: str) -> Climate:
    """Return the mean of some climates, at their mean place; temperatures are brought to its altitude first."""
    places = [climate.place for climate in climates]
    middle = Coordinates(**{key: float(np.mean([getattr(place, key) for place in places])) for key in _COORDINATES})
    moved = [climate.at(middle) for climate in climates]
    means = {
        field.name: np.mean([getattr(climate, field.name) for climate in moved], axis=0)
        for field in dataclasses.fields(Climate)
        if field.name != "place"
    }
    return Climate(place=dataclasses.replace(moved[0].place, source=source), **means)


def _fit_clearness(place: Place, irradiance: Float[np.ndarray, "8760"]) -> Clearness:
    clear = clear_sky(place, 5).clear.reshape(8760, 12).mean(axis=1)
    dark = clear.reshape(365, 24).sum(axis=1) <= 0.0
    if dark.any():
        raise ValueError(f"the sun does not rise on {dark.sum()} days at {place.latitude:g} degrees of latitude")
    day = irradiance.reshape(365, 24).sum(axis=1) / clear.reshape(365, 24).sum(axis=1)
    day_score = np.empty(365)
    for month in range(12):
        day_score[month == MONTH_OF_DAY] = normal_scores(day[month == MONTH_OF_DAY])

    up = clear > _LOWEST_CLEAR
    ratio = irradiance[up] / (clear * np.repeat(day, 24))[up]
    day_class = np.repeat(np.digitize(day, _CLASS_EDGES), 24)[up]
    score = np.full(8760, np.nan)
    table = np.ones((_CLASS_EDGES.size + 1, _LEVELS))
    for k in np.unique(day_class):
        table[k] = np.quantile(ratio[day_class == k], levels(_LEVELS))
        score[np.flatnonzero(up)[day_class == k]] = normal_scores(ratio[day_class == k])
    return Clearness(day, day_score, table, _lag_one(score))


def _swing_slope(
    swing: Float[np.ndarray, "365 24"],
    course: Float[np.ndarray, "12 24"],
    day_score: Float[np.ndarray, "365"],
) -> Float[np.ndarray, "12"]:
    """Return by month how much the day's swing, over its mean course, grows with its clearness score."""
    shape = (course - course.mean(axis=1, keepdims=True))[MONTH_OF_DAY]
    size = (swing * shape).sum(axis=1) / (shape**2).sum(axis=1)
    months = (month == MONTH_OF_DAY for month in range(12))
    return np.array([np.polyfit(day_score[days], size[days], 1)[0] for days in months])


def _smooth_sd(sd: Float[np.ndarray, "12"]) -> Float[np.ndarray, "12"]:
    """Return monthly standard deviations whose squares are a yearly wave; one month alone has too few days."""
    phase = 2 * np.pi * np.arange(12) / 12
    waves = np.stack([np.ones(12), np.cos(phase), np.sin(phase)], axis=1)
    variance = waves @ np.linalg.lstsq(waves, sd**2)[0]
    return np.asarray(np.sqrt(np.maximum(variance, (sd**2).min())))


def _persistence(x: Float[np.ndarray, "365"]) -> float:
    """Return the persistence of days that were centred month by month.

    A month's own mean takes slow swings out of it, so the correlation found inside months is too low (0.77 where
    the truth is 0.85); what is returned is the persistence that is expected to give the correlation found.
    """
    within = MONTH_OF_DAY[1:] == MONTH_OF_DAY[:-1]
    found = float((x[1:] * x[:-1])[within].mean() / (x**2).mean())
    return float(optimize.brentq(lambda p: _centred(p)[1] - found, -0.5, 0.99))


def _centred(persistence: float, days: int = 30) -> tuple[float, float]:
    """Return expected variance and lag-1 correlation of an autoregression of unit variance, centred over days."""
    centre = np.eye(days) - 1 / days
    covariance = centre @ linalg.toeplitz(persistence ** np.arange(days)) @ centre
    variance = float(np.trace(covariance) / days)
    return variance, float(np.trace(covariance, offset=1) / (days - 1) / variance)


def _by_month(daily: Float[np.ndarray, "365"]) -> Float[np.ndarray, "12"]:
    return np.bincount(MONTH_OF_DAY, daily) / np.bincount(MONTH_OF_DAY)


def _lag_one(x: Float[np.ndarray, "n"]) -> float:
    """Return the correlation of neighbours, both finite."""
    both = np.isfinite(x[:-1]) & np.isfinite(x[1:])
    return float(np.corrcoef(x[:-1][both], x[1:][both])[0, 1])
