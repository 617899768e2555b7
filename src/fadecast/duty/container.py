"""Air inside the battery container, and the power that keeps it in a band."""

from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from fadecast.settings import settings

Draws = Float[Array | np.ndarray, "draw"]


@settings
class Container:
    """Container of the packs: follows the weather slowly, takes up their heat, and a heat pump keeps it in a band."""

    heat_below: Annotated[float, Ge(-60), Le(90)] = 10.0
    """Set-point of the heating [degC] (assumed)."""
    cool_above: Annotated[float, Ge(-60), Le(90)] = 30.0
    """Set-point of the cooling [degC] (assumed); 90 is a container without cooling."""
    time_constant: Annotated[float, Gt(0), Le(10_000)] = 3.0
    """Time constant towards outdoor temperature [h] (assumed)."""
    loss_w_per_k: Annotated[float, Gt(0)] = 10.0
    """Heat that passes its walls and openings, per pack [W/K] (assumed: 4 m2 of pack behind 2.5 W/m2/K)."""
    cooling_performance: Annotated[float, Gt(0)] = 3.0
    """Heat removed over electricity [1] (assumed)."""
    heating_performance: Annotated[float, Gt(0)] = 2.5
    """Heat supplied over electricity [1] (assumed: a heat pump at some degrees below zero; 1 is a resistor)."""

    highest_w: Annotated[float, Gt(0)] = 150.0
    """Highest power of the heat pump, per pack [W] (assumed: at the default walls enough from -27 to 70 degC)."""

    def __post_init__(self) -> None:
        """Refuse a crossed band."""
        if self.heat_below > self.cool_above:
            raise ValueError(
                f"container: heat_below ({self.heat_below:g} degC) is above cool_above "
                f"({self.cool_above:g} degC); lower the first or raise the second"
            )


class Climatised(NamedTuple):
    """Numbers of the containers of a site."""

    heat_below: float
    cool_above: float
    time_constant: float
    loss: float
    """[kW/K]"""
    cooling_performance: float
    heating_performance: float
    highest: float
    """[kW]"""

    @classmethod
    def of(cls, container: Container, packs: int) -> "Climatised":
        """Return the containers of a number of packs."""
        return cls(
            container.heat_below,
            container.cool_above,
            container.time_constant,
            packs * container.loss_w_per_k / 1000.0,
            container.cooling_performance,
            container.heating_performance,
            packs * container.highest_w / 1000.0,
        )


def condition(
    container: Climatised, air: Draws, ambient: Draws, heat: Draws, step_hours: float
) -> tuple[Draws, Draws, Draws]:
    """Return the air [degC] at the end of a step without and with the heat pump, and its power over the step [kW].

    Air tends to where heat of the packs passes the walls, exponentially. The heat pump runs at the constant power
    that ends the step at the edge of the band, where it would end outside, or as near to it as its power allows.

    Parameters
    ----------
    air
        At the start of the step [degC].
    ambient
        Outdoor temperature over the step [degC].
    heat
        Of the packs over the step [kW].
    """
    lost = -jnp.expm1(-step_hours / container.time_constant)
    settled = ambient + heat / container.loss
    free = air + (settled - air) * lost
    held = jnp.clip(free, container.heat_below, container.cool_above)
    asked = (held - free) * container.loss / lost
    coldest, warmest = (
        -container.highest * container.cooling_performance,
        container.highest * container.heating_performance,
    )
    supplied = jnp.clip(asked, coldest, warmest)
    held = jnp.where(supplied == asked, held, free + supplied * lost / container.loss)
    power = jnp.where(supplied > 0, supplied / container.heating_performance, -supplied / container.cooling_performance)
    return free, held, power
