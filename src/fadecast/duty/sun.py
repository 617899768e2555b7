"""Where the sun stands and what a clear sky gives, by step of the year."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pvlib
from jaxtyping import Float

from fadecast.duty.climate import Place

YEAR = 2023
"""Any year without a leap day will do: the sun's place at a given date and hour moves by under 0.3 degree."""

HOURS = 8760


@dataclass(frozen=True, eq=False)
class Sky:
    """Sun and clear sky at the middle of every step."""

    hour: Float[np.ndarray, "step"]
    """Time of the step's middle since local midnight of 1 January [h]."""
    zenith: Float[np.ndarray, "step"]
    """True solar zenith angle [degree]."""
    apparent_zenith: Float[np.ndarray, "step"]
    """Zenith angle with refraction [degree]."""
    azimuth: Float[np.ndarray, "step"]
    """Azimuth from north, eastward [degree]."""
    extraterrestrial: Float[np.ndarray, "step"]
    """Normal irradiance outside the atmosphere [W/m2]."""
    clear: Float[np.ndarray, "step"]
    """Global horizontal irradiance of a clear sky [W/m2]."""

    @property
    def day(self) -> np.ndarray:
        """Day of the year of each step, from 0."""
        return (self.hour // 24).astype(int)


@lru_cache(maxsize=4)
def clear_sky(place: Place, step_minutes: int) -> Sky:
    """Return the sun's place and the clear sky of a year.

    Clear sky by Ineichen and Perez (2002, doi:10.1016/S0038-092X(02)00045-2) with the monthly Linke
    turbidity table inside pvlib.

    Parameters
    ----------
    place
        Place of the site.
    step_minutes
        Length of a step [min].
    """
    hour = (np.arange(HOURS * 60 // step_minutes) + 0.5) * step_minutes / 60
    start = pd.Timestamp(YEAR, 1, 1, tz="UTC") - pd.Timedelta(hours=place.utc_offset)
    times = start + pd.to_timedelta(hour, unit="h")
    location = pvlib.location.Location(place.latitude, place.longitude, altitude=place.altitude)
    position = location.get_solarposition(times)
    sky = Sky(
        hour=hour,
        zenith=position["zenith"].to_numpy(),
        apparent_zenith=position["apparent_zenith"].to_numpy(),
        azimuth=position["azimuth"].to_numpy(),
        extraterrestrial=pvlib.irradiance.get_extra_radiation(times).to_numpy(),
        clear=location.get_clearsky(times, model="ineichen", solar_position=position)["ghi"].to_numpy(),
    )
    for array in vars(sky).values():
        array.setflags(write=False)  # the cache hands the same arrays to every caller
    return sky
