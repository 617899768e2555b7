"""Power demand to current inside the limits of a battery management system.

With current as the input a single-particle model is an ordinary differential equation, so the demand is met by
solving for the current at each evaluation: power I V(y, I) = P or a set current, then the voltage window, the
current limits and the state-of-charge window. What the limits cut off is reported, never lost.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.settings import settings

# Semismooth Newton on a nearly linear voltage: the first guess is off by a few per cent at a load jump, so
# three iterations end below 1e-12.
_ITERATIONS = 3


@settings
class Limits:
    """What the battery management system allows."""

    charge_c_rate: Annotated[float, Gt(0), Le(10)] = 0.5
    """Largest charging current over first-life nameplate capacity [1/h]."""
    discharge_c_rate: Annotated[float, Gt(0), Le(10)] = 1.0
    """Largest discharging current over first-life nameplate capacity [1/h]."""
    soc_min: Annotated[float, Ge(0), Le(1)] = 0.05
    """Lowest state of charge of the aged cell [1]."""
    soc_max: Annotated[float, Ge(0), Le(1)] = 0.95
    """Highest state of charge of the aged cell [1]."""

    def __post_init__(self) -> None:
        """Check that the window is open."""
        if self.soc_min >= self.soc_max:
            raise ValueError(f"soc_min {self.soc_min} must be below soc_max {self.soc_max}")


class Window(NamedTuple):
    """Electrode windows of an aged cell between its voltage limits, each `(1, lanes)`."""

    stoichiometry_empty: Float[Array, "1 lanes"]
    """Negative-electrode stoichiometry at the lower voltage limit at rest [1]."""
    stoichiometry_full: Float[Array, "1 lanes"]
    """Negative-electrode stoichiometry at the upper voltage limit at rest [1]."""
    capacity: Float[Array, "1 lanes"]
    """Charge between the two [A.h]."""


class Delivery(NamedTuple):
    """What the terminals do, each `(1, lanes)`."""

    current: Float[Array, "1 lanes"]
    """Current, discharge positive [A]."""
    power: Float[Array, "1 lanes"]
    """Power, discharge positive [W]."""


def state_of_charge(cell: CellModel, y: Float[Array, "states lanes"], window: Window) -> Float[Array, "1 lanes"]:
    """State of charge of the aged cell from its mean negative stoichiometry [1]."""
    stoichiometry = cell.mean_concentration(y, "ne") / cell.negative.maximum_concentration
    return (stoichiometry - window.stoichiometry_empty) / (window.stoichiometry_full - window.stoichiometry_empty)


def deliver_power(
    cell: CellModel,
    limits: Limits,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    demand: Float[Array, "1 lanes"],
    window: Window,
    horizon: Float[Array, ""],
) -> Delivery:
    """Solve for the current that meets a power demand as far as the limits allow.

    Each iteration takes the Newton step of the power equation and that of the voltage limit from one voltage and
    its slope, and keeps the smaller current: a semismooth Newton method on the tighter of the two.

    Parameters
    ----------
    demand
        Terminal power, discharge positive [W], `(1, lanes)`.
    window
        Electrode windows for the state-of-charge limits.
    horizon
        Time for which the current will hold [s]: the state of charge may not leave its window within it.
    """
    lower_voltage, upper_voltage = cell.voltage_limits
    low, high = _current_bounds(cell, limits, y, window, horizon)
    discharging = demand >= 0
    voltage_limit = jnp.where(discharging, lower_voltage, upper_voltage)

    def voltage(current: Float[Array, "1 lanes"]) -> Float[Array, "1 lanes"]:
        return cell.voltage(y, {**inputs, CURRENT: current})

    def improve(_: int, guess: Delivery) -> Delivery:
        current = guess.current
        volts, slope = jax.jvp(voltage, (current,), (jnp.ones_like(current),))
        # Beyond the maximum-power point the slope of I V changes sign; the voltage limit decides there.
        to_power = current - (current * volts - demand) / jnp.maximum(volts + current * slope, 0.1 * volts)
        to_limit = current + (voltage_limit - volts) / jnp.minimum(slope, -1e-6)
        outward = jnp.maximum(jnp.minimum(to_power, to_limit), 0.0)
        inward = jnp.minimum(jnp.maximum(to_power, to_limit), 0.0)
        chosen = jnp.clip(jnp.where(discharging, outward, inward), low, high)
        return Delivery(chosen, chosen * (volts + slope * (chosen - current)))

    guess = Delivery(demand / (0.5 * (lower_voltage + upper_voltage)), demand)
    # A loop, not three copies: unrolled it would double the compile time.
    return jax.lax.fori_loop(0, _ITERATIONS, improve, guess)


def hold_current(
    cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs, current: Float[Array, "1 lanes"]
) -> Delivery:
    """Apply a current without limits, as a tester does between its own cut-offs."""
    return Delivery(current, current * cell.voltage(y, {**inputs, CURRENT: current}))


def _current_bounds(
    cell: CellModel,
    limits: Limits,
    y: Float[Array, "states lanes"],
    window: Window,
    horizon: Float[Array, ""],
) -> tuple[Float[Array, "1 lanes"], Float[Array, "1 lanes"]]:
    soc = state_of_charge(cell, y, window)
    charge_to_amperes = window.capacity * 3600.0 / horizon
    room = jnp.maximum(limits.soc_max - soc, 0.0) * charge_to_amperes
    store = jnp.maximum(soc - limits.soc_min, 0.0) * charge_to_amperes
    low = -jnp.minimum(limits.charge_c_rate * cell.nominal_capacity, room)
    high = jnp.minimum(limits.discharge_c_rate * cell.nominal_capacity, store)
    return low, high
