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
    time_constant: Annotated[float, Gt(0)] = 3.0
    """Time constant towards outdoor temperature [h] (assumed)."""
    loss_w_per_k: Annotated[float, Gt(0)] = 10.0
    """Heat that passes its walls and openings, per pack [W/K] (assumed: 4 m2 of pack behind 2.5 W/m2/K)."""
    cooling_performance: Annotated[float, Gt(0)] = 3.0
    """Heat removed over electricity [1] (assumed)."""
    heating_performance: Annotated[float, Gt(0)] = 2.5
    """Heat supplied over electricity [1] (assumed: a heat pump at some degrees below zero; 1 is a resistor)."""

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
        )


def condition(container: Climatised, air: Draws, ambient: Draws, heat: Draws, step_hours: float) -> tuple[Draws, Draws]:
    """Return the air [degC] at the end of a step and the power of the heat pump over it [kW].

    Air tends to where heat of the packs passes the walls, exponentially. The heat pump runs at the constant power
    that ends the step at the edge of the band, where it would end outside.

    Parameters
    ----------
    air
        At the start of the step [degC].
    ambient
        Outdoor temperature over the step [degC].
    heat
        Of the packs over the step [kW].
    """
    keep = jnp.exp(-step_hours / container.time_constant)
    settled = ambient + heat / container.loss
    free = settled + (air - settled) * keep
    held = jnp.clip(free, container.heat_below, container.cool_above)
    supplied = (held - free) * container.loss / (1.0 - keep)
    power = jnp.where(supplied > 0, supplied / container.heating_performance, -supplied / container.cooling_performance)
    return held, power
