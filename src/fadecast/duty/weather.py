"""A year of weather drawn from a climate: irradiance under clouds and air temperature.

Daily clearness follows the month's measured distribution and remembers yesterday; hourly clearness varies
about it as much as it did on days of that class. Temperature is the measured mean course of the month, with a
daily anomaly that remembers yesterday and a swing that is wider on clear days (correlation 0.6 at Reno). Left
out: cloud passages shorter than an hour; years outside the typical one (a TMY is spliced from typical months,
so bad years are rarer here than in truth); the link of cloudiness and daily mean temperature (0.1 at Reno).
Steps from month to month are those of the TMY itself. Hours of clearness are joined by straight lines.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fadecast.duty.climate import MONTH_DAYS, MONTH_OF_DAY, Climate
from fadecast.duty.sun import HOURS, Sky
from fadecast.duty.tables import from_normal, red_noise

_DAYS = 365


@dataclass(frozen=True, eq=False)
class Weather:
    """One drawn year of weather, by step."""

    irradiance: Float[np.ndarray, "step"]
    """Global horizontal irradiance [W/m2]."""
    temperature: Float[np.ndarray, "step"]
    """Air temperature [degC]."""
    wind_speed: Float[np.ndarray, "step"]
    """Wind speed, its monthly mean [m/s]."""


def draw_weather(rng: np.random.Generator, climate: Climate, sky: Sky) -> Weather:
    """Draw one year; the same generator state gives the same days and hours at any step length."""
    day_score = red_noise(rng, _DAYS, climate.day_persistence)
    hour_score = red_noise(rng, HOURS, climate.hour_persistence)
    anomaly = red_noise(rng, _DAYS, climate.anomaly_persistence) * climate.anomaly_sd[MONTH_OF_DAY]
    return Weather(
        irradiance=_irradiance(climate, sky, day_score, hour_score),
        temperature=_temperature(climate, sky, day_score, anomaly),
        wind_speed=climate.wind_speed[MONTH_OF_DAY[sky.day]],
    )


def _irradiance(
    climate: Climate, sky: Sky, day_score: Float[np.ndarray, "365"], hour_score: Float[np.ndarray, "8760"]
) -> Float[np.ndarray, "step"]:
    by_month = np.split(day_score, np.cumsum(MONTH_DAYS)[:-1])
    clearness = np.concatenate(
        [from_normal(z, quantiles) for z, quantiles in zip(by_month, climate.day_clearness, strict=True)]
    )
    day_class = np.repeat(np.digitize(clearness, climate.class_edges), 24)
    ratio = np.empty(HOURS)
    for k, quantiles in enumerate(climate.hour_ratio):
        ratio[day_class == k] = from_normal(hour_score[day_class == k], quantiles)
    cloudy = np.interp(sky.hour, np.arange(HOURS) + 0.5, ratio) * sky.clear
    # The day as a whole keeps the clearness that was drawn for it.
    wanted = clearness * sky.clear.reshape(_DAYS, -1).sum(axis=1)
    drawn = cloudy.reshape(_DAYS, -1).sum(axis=1)
    # Near the poles there are days without sun.
    scale = np.divide(wanted, drawn, out=np.zeros(_DAYS), where=drawn > 0.0)
    return np.asarray(cloudy * scale[sky.day])


def _temperature(
    climate: Climate, sky: Sky, day_score: Float[np.ndarray, "365"], anomaly: Float[np.ndarray, "365"]
) -> Float[np.ndarray, "step"]:
    mean = climate.temperature.mean(axis=1, keepdims=True)
    swing = (climate.temperature - mean)[MONTH_OF_DAY]
    size = 1 + climate.swing_slope[MONTH_OF_DAY] * day_score
    hourly = mean[MONTH_OF_DAY] + anomaly[:, None] + swing * size[:, None]
    return np.asarray(np.interp(sky.hour, np.arange(HOURS) + 1.0, hourly.ravel(), period=HOURS))
