"""Power that cooling and power distribution add to computing."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.settings import settings

_KELVIN = 273.15


@settings
class Cooling:
    """Air-cooled chiller with free cooling, and electrical distribution."""

    supply_temperature: Annotated[float, Ge(5), Le(50)] = 27.0
    """Temperature at which heat is taken up [degC] (upper end of the range ASHRAE TC 9.9 recommends)."""
    approach: Annotated[float, Ge(0)] = 10.0
    """Condenser over outdoor temperature [K] (assumed)."""
    quality: Annotated[float, Gt(0), Le(1)] = 0.4
    """Coefficient of performance over that of Carnot [1] (air-source machines; VDE-ETG study of 2015, as given in
    the oemof-thermal documentation)."""
    best: Annotated[float, Gt(0)] = 11.7
    """Highest coefficient of performance [1], reached in free cooling (liquid cooling of Gressel, Mahuze
    and Zhang 2026)."""
    distribution_loss: Annotated[float, Ge(0), Le(1)] = 0.05
    """Losses in distribution and conversion over computing power [1] (assumed)."""


def coefficient_of_performance(cooling: Cooling, ambient: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return heat removed over electricity, quality T_low / (T_high - T_low), at an outdoor temperature."""
    lift = np.maximum(ambient + cooling.approach - cooling.supply_temperature, 1e-9)
    return np.minimum(cooling.quality * (cooling.supply_temperature + _KELVIN) / lift, cooling.best)


def site_load(
    cooling: Cooling, it_power: Float[np.ndarray, "n"], ambient: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Return computing, distribution and cooling power [kW]; all of the first two becomes heat."""
    heat = it_power * (1 + cooling.distribution_loss)
    return heat * (1 + 1 / coefficient_of_performance(cooling, ambient))
