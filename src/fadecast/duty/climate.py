"""The climate of a place: what a year of weather there is drawn from."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fadecast.package_data import shipped, write_table
from fadecast.settings import settings

MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
MONTH_OF_DAY = np.repeat(np.arange(12), MONTH_DAYS)


@settings
class Site:
    """The place of the battery system."""

    climate: str = "reno"
    """Climate that weather is drawn from: one the package ships (reno, las_vegas, elko; each fitted to one
    typical meteorological year, TMY3, of NREL and the US DOE), the path of a weather file of one year
    (EnergyPlus `.epw`, or `.csv` of TMY3, SAM or NSRDB; fitted when read), or that of a `.json` file written by
    `Climate.write`. It also fixes latitude, longitude, altitude and time zone. The reference site (Sparks,
    Nevada) is 10 km from the Reno station."""


@dataclass(frozen=True)
class Place:
    """Where a climate holds, and who measured it."""

    source: str
    """Citation of the weather."""
    licence: str
    """Licence of that weather."""
    latitude: float
    """[degree north]"""
    longitude: float
    """[degree east]"""
    altitude: float
    """[m]"""
    utc_offset: float
    """Local standard time less universal time [h]; there is no daylight saving."""


@dataclass(frozen=True, eq=False)
class Climate:
    """Fitted weather statistics of a place; clearness is irradiance over its clear-sky value, both horizontal."""

    place: Place
    day_clearness: Float[np.ndarray, "12 level"]
    """Equally spaced quantiles of daily clearness by month [1]."""
    day_persistence: float
    """Lag-1 correlation of the normal scores of daily clearness [1]."""
    class_edges: Float[np.ndarray, "edge"]
    """Daily clearness that parts the classes of day [1]."""
    hour_ratio: Float[np.ndarray, "edge+1 level"]
    """Equally spaced quantiles of hourly over daily clearness by class of day [1]."""
    hour_persistence: float
    """Lag-1 correlation of the normal scores of that ratio [1]."""
    temperature: Float[np.ndarray, "12 24"]
    """Mean air temperature by month at 1, 2, ... 24 o'clock [degC]."""
    swing_slope: Float[np.ndarray, "12"]
    """Growth of the day's temperature swing, over its mean, per unit normal score of daily clearness [1]."""
    anomaly_sd: Float[np.ndarray, "12"]
    """Standard deviation of daily mean temperature about its mean over many years [K]; its square is a yearly
    wave."""
    anomaly_persistence: float
    """Lag-1 correlation of that anomaly [1]."""
    wind_speed: Float[np.ndarray, "12"]
    """Mean wind speed by month at 10 m [m/s]."""
    irradiation: Float[np.ndarray, "12"]
    """Measured global horizontal irradiation by month [kWh/m2], kept to check what is drawn."""

    @classmethod
    def load(cls, name: str) -> "Climate":
        """Return a shipped climate by name, or the one in a `.json` file.

        Raises
        ------
        ValueError
            If there is no such climate or file.
        """
        content = _read(Path(name)) if name.endswith(".json") else shipped(f"weather_{name}")
        place = Place(**content.pop("place"))
        fitted: dict[str, Any] = {key: np.array(v) if isinstance(v, list) else v for key, v in content.items()}
        return cls(place=place, **fitted)

    def write(self, path: Path) -> None:
        """Write the climate as a JSON table."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        write_table(path, content | {"place": dataclasses.asdict(self.place)})


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"climate: no file {path}; give the name of a shipped climate or a file of Climate.write")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
