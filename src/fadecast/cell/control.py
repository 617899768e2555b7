"""Power demand to current inside the limits of a battery management system.

The demand is met by solving for the current at each evaluation: power I V(y, I) = P or a set current, then the voltage
window, the current limits and the state-of-charge window. What the limits cut off is reported, never lost.
A tester in a laboratory holds a current, a power or a voltage instead, without limits of its own.
"""

from enum import IntEnum
from typing import Annotated, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float, Int

from fadecast.cell.balance import mean_stoichiometry
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.pieces import State
from fadecast.cell.terminals import linearised, with_algebraic
from fadecast.settings import settings


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


class Bounds(NamedTuple):
    """Currents allowed for some time, discharge positive, each `(1, lanes)` [A]."""

    low: Float[Array, "1 lanes"]
    high: Float[Array, "1 lanes"]


class Delivery(NamedTuple):
    """What the terminals do, each `(1, lanes)`."""

    current: Float[Array, "1 lanes"]
    """Current, discharge positive [A]."""
    voltage: Float[Array, "1 lanes"]
    """[V]"""
    algebraic: Float[Array, "n lanes"]
    """Algebraic states at this current, `(n, lanes)`."""

    @property
    def power(self) -> Float[Array, "1 lanes"]:
        """Power, discharge positive [W]."""
        return self.current * self.voltage


class Held(IntEnum):
    """What a tester keeps constant."""

    CURRENT = 0
    POWER = 1
    VOLTAGE = 2


class Setting(NamedTuple):
    """What a tester is set to in each lane, each `(1, lanes)`."""

    held: Int[Array, "1 lanes"]
    """Code of `Held`."""
    value: Float[Array, "1 lanes"]
    """Current [A] or power [W], discharge positive, or voltage [V]."""


class Control(Protocol):
    """Finds what the terminals do at a state, in some iterations from what they did before."""

    def __call__(self, y: State, guess: Delivery, iterations: int, /) -> Delivery:
        """Return current, power and algebraic states."""


def state_of_charge(cell: CellModel, y: Float[Array, "states lanes"], window: Window) -> Float[Array, "1 lanes"]:
    """State of charge of the aged cell from its mean negative stoichiometry [1]."""
    stoichiometry = mean_stoichiometry(cell, y, "ne")
    return (stoichiometry - window.stoichiometry_empty) / (window.stoichiometry_full - window.stoichiometry_empty)


def current_bounds(
    cell: CellModel,
    limits: Limits,
    y: Float[Array, "states lanes"],
    window: Window,
    horizon: Float[Array, ""],
) -> Bounds:
    """Find the currents that keep within the limits of current and, held for a horizon [s], of state of charge."""
    soc = state_of_charge(cell, y, window)
    charge_to_amperes = window.capacity * 3600.0 / horizon
    room = jnp.maximum(limits.soc_max - soc, 0.0) * charge_to_amperes
    store = jnp.maximum(soc - limits.soc_min, 0.0) * charge_to_amperes
    low = -jnp.minimum(limits.charge_c_rate * cell.nominal_capacity, room)
    high = jnp.minimum(limits.discharge_c_rate * cell.nominal_capacity, store)
    return Bounds(low, high)


def power_guess(
    cell: CellModel, y: Float[Array, "states lanes"], demand: Float[Array, "1 lanes"], voltage: Float[Array, "1 lanes"]
) -> Delivery:
    """Guess the delivery of a power demand [W] at a voltage [V]."""
    return Delivery(demand / voltage, voltage, y[cell.differential :])


def deliver_power(
    cell: CellModel,
    bounds: Bounds,
    y: State,
    inputs: Inputs,
    demand: Float[Array, "1 lanes"],
    guess: Delivery,
    iterations: int,
) -> Delivery:
    """Solve for the current that meets a power demand as far as the limits allow.

    Each iteration takes the Newton step of the power equation and that of the voltage limit from one voltage and
    its slope, and keeps the smaller current: a semismooth Newton method on the tighter of the two.

    Parameters
    ----------
    demand
        Terminal power, discharge positive [W], `(1, lanes)`.
    guess
        What the terminals did a moment ago, or `power_guess` after a jump.
    """
    lower_voltage, upper_voltage = cell.voltage_limits
    discharging = demand >= 0
    voltage_limit = jnp.where(discharging, lower_voltage, upper_voltage)

    def improve(_: int, guess: Delivery) -> Delivery:
        current = guess.current
        terminals = linearised(cell, with_algebraic(cell, y, guess.algebraic), inputs, current)
        volts, slope = terminals.voltage, terminals.slope
        # Beyond the maximum-power point the slope of I V changes sign; the voltage limit decides there.
        to_power = current - (current * volts - demand) / jnp.maximum(volts + current * slope, 0.1 * volts)
        to_limit = current + (voltage_limit - volts) / jnp.minimum(slope, -1e-6)
        outward = jnp.maximum(jnp.minimum(to_power, to_limit), 0.0)
        inward = jnp.minimum(jnp.maximum(to_power, to_limit), 0.0)
        chosen = jnp.clip(jnp.where(discharging, outward, inward), bounds.low, bounds.high)
        volts, algebraic = terminals.at(chosen - current)
        return Delivery(chosen, volts, algebraic)

    if iterations == 1:
        return improve(0, guess)
    # A loop, not copies: unrolled it would multiply the compile time.
    return jax.lax.fori_loop(0, iterations, improve, guess)


def hold_current(
    cell: CellModel, y: State, inputs: Inputs, current: Float[Array, "1 lanes"], guess: Delivery, iterations: int
) -> Delivery:
    """Apply a current without limits, as a tester does between its own cut-offs."""

    def improve(_: int, guess: Delivery) -> Delivery:
        terminals = linearised(cell, with_algebraic(cell, y, guess.algebraic), inputs, current)
        return Delivery(current, terminals.voltage, terminals.algebraic)

    return jax.lax.fori_loop(0, iterations, improve, guess._replace(current=current))


def hold(cell: CellModel, y: State, inputs: Inputs, setting: Setting, guess: Delivery, iterations: int) -> Delivery:
    """Solve for the current that a tester applies to keep its setting, without limits, by Newton's method."""

    def improve(_: int, guess: Delivery) -> Delivery:
        current = guess.current
        terminals = linearised(cell, with_algebraic(cell, y, guess.algebraic), inputs, current)
        volts, slope = terminals.voltage, terminals.slope
        # Beyond the maximum-power point the slope of I V changes sign: such a power cannot be held.
        to_power = current - (current * volts - setting.value) / jnp.maximum(volts + current * slope, 0.1 * volts)
        to_voltage = current + (setting.value - volts) / jnp.minimum(slope, -1e-6)
        chosen = jnp.where(setting.held == Held.POWER, to_power, to_voltage)
        chosen = jnp.where(setting.held == Held.CURRENT, setting.value, chosen)
        volts, algebraic = terminals.at(chosen - current)
        return Delivery(chosen, volts, algebraic)

    if iterations == 1:
        return improve(0, guess)
    return jax.lax.fori_loop(0, iterations, improve, guess)


def setting_guess(setting: Setting, before: Delivery, voltage: Float[Array, "1 lanes"]) -> Delivery:
    """Guess what a new setting makes of a cell that delivered `before` at a voltage [V]."""
    current = jnp.where(setting.held == Held.POWER, setting.value / voltage, before.current)
    current = jnp.where(setting.held == Held.CURRENT, setting.value, current)
    return Delivery(current, voltage, before.algebraic)
