"""Off-grid dispatch: solar first, battery next, the rest unserved or spilled.

Powers are at the site's bus. The battery is one store behind converters; packs share its power equally.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.settings import settings


@settings
class Dispatch:
    """Limits and losses of the battery as dispatch sees them."""

    pack_kwh: Annotated[float, Gt(0)] = 78.0
    """First-life nameplate energy of a pack [kWh] (reference site: 63 MWh on 805 packs)."""
    usable_fraction: Annotated[float, Gt(0), Le(1)] = 0.65
    """Energy that dispatch counts on over nameplate [1]: mean state of health at start of service (retired
    packs hold 0.5 to 0.8)."""
    converter_kw_per_pack: Annotated[float, Gt(0)] = 14.9
    """Highest converter power per pack, at the bus, both ways [kW] (reference site: 12 MW on 805 packs)."""
    converter_efficiency: Annotated[float, Gt(0), Le(1)] = 0.97
    """One-way converter efficiency [1] (assumed)."""
    pack_efficiency: Annotated[float, Gt(0), Le(1)] = 0.98
    """One-way efficiency of the pack itself [1] (assumed: overpotential at the low rates of the site)."""
    soc_min: Annotated[float, Ge(0), Le(1)] = 0.10
    """Lowest state of charge [1] (assumed)."""
    soc_max: Annotated[float, Ge(0), Le(1)] = 0.95
    """Highest state of charge [1] (assumed)."""

    def __post_init__(self) -> None:
        """Refuse an empty window."""
        if self.soc_min >= self.soc_max:
            raise ValueError(
                f"dispatch: soc_min ({self.soc_min:g}) must be below soc_max ({self.soc_max:g}); widen the window"
            )


@dataclass(frozen=True, eq=False)
class Dispatched:
    """What dispatch did, by draw and step; load - unserved = solar - spilled + battery."""

    battery: Float[np.ndarray, "draw step"]
    """Battery power at the bus, discharge positive [kW]."""
    unserved: Float[np.ndarray, "draw step"]
    """Load not served [kW]."""
    spilled: Float[np.ndarray, "draw step"]
    """Solar power not used [kW]."""
    soc: Float[np.ndarray, "draw step"]
    """State of charge at step start [1]."""
    pack: Float[np.ndarray, "draw step"]
    """Pack terminal power over nameplate energy, discharge positive [1/h]."""


def dispatch(
    load: Float[np.ndarray, "draw step"],
    solar: Float[np.ndarray, "draw step"],
    settings: Dispatch,
    packs: int,
    step_hours: float,
) -> Dispatched:
    """Serve a load [kW] from sun [kW] and battery over a year.

    The year starts at the charge it ends with when run from a full store, so that it can be repeated.
    """
    capacity = packs * settings.pack_kwh * settings.usable_fraction
    low, high = settings.soc_min * capacity, settings.soc_max * capacity
    net = load - solar
    limit = packs * settings.converter_kw_per_pack
    wanted = np.clip(net, -limit, limit)
    one_way = settings.converter_efficiency * settings.pack_efficiency
    change = -step_hours * np.where(wanted > 0, wanted / one_way, wanted * one_way)

    end = _fill(change, np.full(load.shape[0], high), low, high)[:, -1]
    energy = _fill(change, end, low, high)
    taken = energy[:, 1:] - energy[:, :-1]
    met = -taken / step_hours * np.where(wanted > 0, one_way, 1 / one_way)
    # A step the store could take whole is met exactly, not up to the rounding of the stored energy.
    whole = energy[:, :-1] + change == energy[:, 1:]
    battery = np.where(whole, wanted, np.clip(met, np.minimum(wanted, 0.0), np.maximum(wanted, 0.0)))
    at_pack = battery * np.where(battery > 0, 1 / settings.converter_efficiency, settings.converter_efficiency)
    return Dispatched(
        battery=battery,
        unserved=np.maximum(net - battery, 0.0),
        spilled=np.maximum(battery - net, 0.0),
        soc=np.clip(energy[:, :-1] / capacity, settings.soc_min, settings.soc_max),
        pack=at_pack / (packs * settings.pack_kwh),
    )


def _fill(
    change: Float[np.ndarray, "draw step"], start: Float[np.ndarray, "draw"], low: float, high: float
) -> Float[np.ndarray, "draw step+1"]:
    """Return the stored energy at every step edge [kWh], each change taken as far as it fits."""
    energy = np.empty((change.shape[1] + 1, change.shape[0]))
    energy[0] = start
    for k, step in enumerate(np.ascontiguousarray(change.T)):
        np.minimum(np.maximum(energy[k] + step, low), high, out=energy[k + 1])
    return energy.T
