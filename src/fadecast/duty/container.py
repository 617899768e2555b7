"""Air temperature inside the battery container."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from scipy.signal import lfilter

from fadecast.settings import settings


@settings
class Container:
    """Container of the packs: it follows the weather slowly, inside a band that its air conditioning holds.

    The heat of the packs themselves is part of the cell model, and the power of the air conditioning is not
    charged to the site's load.
    """

    heat_below: Annotated[float, Ge(-60), Le(90)] = 10.0
    """Set-point of the heating [degC] (assumed)."""
    cool_above: Annotated[float, Ge(-60), Le(90)] = 30.0
    """Set-point of the cooling [degC] (assumed); 90 is a container without cooling."""
    time_constant: Annotated[float, Gt(0)] = 3.0
    """Time constant towards outdoor temperature [h] (assumed)."""

    def __post_init__(self) -> None:
        """Refuse a crossed band."""
        if self.heat_below > self.cool_above:
            raise ValueError(
                f"container: heat_below ({self.heat_below:g} degC) is above cool_above "
                f"({self.cool_above:g} degC); lower the first or raise the second"
            )


def container_temperature(
    container: Container, ambient: Float[np.ndarray, "draw step"], step_hours: float
) -> Float[np.ndarray, "draw step"]:
    """Return the container's air temperature [degC] at the end of each step of steady outdoor air [degC]."""
    keep = np.exp(-step_hours / container.time_constant)
    slow, _ = lfilter([1 - keep], [1, -keep], ambient, axis=-1, zi=keep * ambient[:, :1])
    return np.asarray(np.clip(slow, container.heat_below, container.cool_above))
