"""The climate of a place: what a year of weather there is drawn from."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float

from fadecast.package_data import shipped, write_table
from fadecast.settings import settings

MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
MONTH_OF_DAY = np.repeat(np.arange(12), MONTH_DAYS)

_ON_EARTH = {
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 180.0),
    "altitude": (-500.0, 9000.0),
    "utc_offset": (-14.0, 14.0),
}
_PERSISTENT = (-0.999, 0.999)
_BOUNDS: dict[str, tuple[tuple[str | int, ...], tuple[float, float]]] = {
    "day_clearness": ((12, "level"), (0.0, 3.0)),
    "day_persistence": ((), _PERSISTENT),
    "class_edges": (("edge",), (0.0, 3.0)),
    "hour_ratio": (("class", "level"), (0.0, 100.0)),
    "hour_persistence": ((), _PERSISTENT),
    "temperature": ((12, 24), (-90.0, 70.0)),
    "swing_slope": ((12,), (-10.0, 10.0)),
    "anomaly_sd": ((12,), (0.0, 50.0)),
    "anomaly_persistence": ((), _PERSISTENT),
    "wind_speed": ((12,), (0.0, 100.0)),
    "irradiation": ((12,), (0.0, 500.0)),
}
"""Size of each statistic, where a name stands for any number from 2 on, and what it can be anywhere on Earth."""


LAPSE_RATE = 6.5e-3
"""Fall of air temperature with altitude [K/m]: ICAO standard atmosphere."""


_FURTHEST_CLOCK = 3.5
"""Largest distance of a place's clock from its sun [h]; western China's is three."""


@settings
class Coordinates:
    """Where a site stands."""

    latitude: Annotated[float, Ge(-90), Le(90)]
    """[degree north]"""
    longitude: Annotated[float, Ge(-180), Le(180)]
    """[degree east]"""
    altitude: Annotated[float, Ge(-500), Le(9000)]
    """[m]"""
    utc_offset: Annotated[float, Ge(-14), Le(14)]
    """Local standard time less universal time [h]."""

    def __post_init__(self) -> None:
        """Refuse clocks that are not those of the place."""
        apart = (self.utc_offset - self.longitude / 15.0 + 12.0) % 24.0 - 12.0
        if abs(apart) > _FURTHEST_CLOCK:
            raise ValueError(
                f"coordinates: a utc_offset of {self.utc_offset:g} h at a longitude of {self.longitude:g}: noon would "
                f"be {abs(apart):.1f} h off; longitudes are counted east, west is negative"
            )


@settings
class Site:
    """The place of the battery system."""

    climate: str = "reno"
    """Climate that weather is drawn from: one the package ships (reno, las_vegas, elko; each fitted to one
    typical meteorological year, TMY3, of NREL and the US DOE; nevada, the mean of nine stations), the path of a weather
    file of one year (EnergyPlus `.epw`, or `.csv` of TMY3, SAM or NSRDB; fitted when read), or that of a `.json` file
    written by `Climate.write`. The reference site (Sparks, Nevada) is 10 km from the Reno station."""
    coordinates: Coordinates | None = None
    """Where the site stands, if not where its climate was measured: the sun is that of the place, clouds and wind those
    of the climate, temperatures too, less 6.5 K for each km higher. Null: where it was measured. Clouds carry over
    badly: give a weather file of the place where there is one."""


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

    def __post_init__(self) -> None:
        for name, (low, high) in _ON_EARTH.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and low <= value <= high):
                raise ValueError(f"{name} is {value!r:.40}; must be a number from {low:g} to {high:g}")


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
            If there is no such climate or file, or it is none that weather can be drawn from.
        """
        content = _read(Path(name)) if name.endswith(".json") else shipped(f"weather_{name}")
        _check_names(content, {field.name for field in dataclasses.fields(cls)}, "the file")
        _check_names(content["place"], {field.name for field in dataclasses.fields(Place)}, "place")
        place = Place(**content.pop("place"))
        fitted: dict[str, Any] = {key: np.array(v) if isinstance(v, list) else v for key, v in content.items()}
        climate = cls(place=place, **fitted)
        climate.check()
        return climate

    def at(self, coordinates: Coordinates) -> "Climate":
        """Return this climate somewhere else, on the other hemisphere half a year on; see `Site.coordinates`."""
        place = dataclasses.replace(self.place, **dataclasses.asdict(coordinates))
        months = 6 if coordinates.latitude * self.place.latitude < 0.0 else 0
        fields = {
            name: np.roll(getattr(self, name), months, axis=0) for name, (size, _) in _BOUNDS.items() if 12 in size
        }
        fields["temperature"] = fields["temperature"] - LAPSE_RATE * (coordinates.altitude - self.place.altitude)
        return dataclasses.replace(self, place=place, **fields)

    def check(self) -> None:
        """Refuse statistics that no weather can be drawn from.

        Raises
        ------
        ValueError
            Names the first of them.
        """
        for name, (size, (low, high)) in _BOUNDS.items():
            values = np.asarray(getattr(self, name))
            fits = len(size) == values.ndim and all(
                n == wanted or (isinstance(wanted, str) and n > 1) for n, wanted in zip(values.shape, size, strict=True)
            )
            if not fits or values.dtype.kind not in "fiu":
                raise ValueError(f"{name} is {values.dtype} of size {values.shape}; must be numbers of size {size}")
            if not ((values >= low) & (values <= high)).all():
                raise ValueError(f"{name} runs from {values.min():g} to {values.max():g}; must be {low:g} to {high:g}")
        if len(self.hour_ratio) != len(self.class_edges) + 1 or not (np.diff(self.class_edges) > 0.0).all():
            raise ValueError(f"class_edges must rise and be one less than hour_ratio has rows, {len(self.hour_ratio)}")
        if not (self.hour_ratio[:, -1] > 0.0).all():
            raise ValueError("hour_ratio must be above 0 at its highest level: some hour of a day is the clearest")

    def write(self, path: Path) -> None:
        """Write the climate as a JSON table."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        write_table(path, content | {"place": dataclasses.asdict(self.place)})


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"climate: no file {path}; give the name of a shipped climate or a file of Climate.write")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested beyond all bounds") from None
    return content


def _check_names(content: Any, expected: set[str], where: str) -> None:
    names = set(content) if isinstance(content, dict) else set()
    if names != expected:
        missing, other = sorted(expected - names), sorted(map(str, names - expected))
        raise ValueError(
            f"{where} lacks {missing or 'nothing'} and has {other[:5] or 'nothing'} beside; see Climate.write"
        )
