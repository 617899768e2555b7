"""What is asked of a cell to current: a power, a current or a voltage, inside the limits of a management system or not.

What is asked is solved for at each evaluation, power by I V(y, I) = P, and kept inside the voltage window, the current
limits, which fall with temperature at both ends, and the state-of-charge window. What the limits cut off is reported,
never lost. A tester in a laboratory asks in the same way, without limits of its own.

Groups in series carry one current: power is asked of their mean voltage, and the tightest limit of any of them binds.
"""

from enum import IntEnum
from itertools import pairwise
from typing import Annotated, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Bool, Float, Int

from fadecast.cell.balance import FARADAY, particle_lithium, sites
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, CellModel
from fadecast.cell.pieces import State
from fadecast.cell.series import Series
from fadecast.cell.terminals import linearised, with_algebraic
from fadecast.settings import settings

KELVIN = 273.15

Celsius = Annotated[float, Ge(-100), Le(200)]
Fraction = Annotated[float, Ge(0), Le(1)]
Salt = Annotated[float, Ge(0), Le(20000)]
Derating = tuple[tuple[Celsius, Fraction], ...]


@settings
class Limits:
    """What the battery management system allows."""

    charge_c_rate: Annotated[float, Gt(0), Le(10)] = 0.5
    """Largest charging current over first-life nameplate capacity [1/h]."""
    discharge_c_rate: Annotated[float, Gt(0), Le(10)] = 1.0
    """Largest discharging current over first-life nameplate capacity [1/h]."""
    charge_derating: Derating = ((0.0, 0.0), (10.0, 1.0), (40.0, 1.0), (45.0, 0.0))
    """Points (cell temperature [degC], fraction of the largest charging current [1]): straight between points, constant
    outside; no points: no derating. Default: nothing outside 0 to 45 degC, the window that data sheets of such cells
    commonly give; the slopes are assumed."""
    discharge_derating: Derating = ((-20.0, 0.0), (-10.0, 1.0), (50.0, 1.0), (60.0, 0.0))
    """The same for discharging; default: nothing outside -20 to 60 degC."""
    soc_min: Annotated[float, Ge(0), Le(1)] = 0.05
    """Lowest state of charge of the aged cell [1]."""
    soc_max: Annotated[float, Ge(0), Le(1)] = 0.95
    """Highest state of charge of the aged cell [1]."""
    salt: tuple[Salt, Salt] | None = (100.0, 4000.0)
    """Lowest and highest concentration of salt to which a current may lead anywhere in the electrolyte of an SPMe
    [mol.m-3]; null: any. Stands for the voltage of a cell whose salt runs out or no longer dissolves, which the means
    of an SPMe do not see; assumed."""

    def __post_init__(self) -> None:
        """Check that the window is open, and that deratings run upwards in temperature."""
        if self.soc_min >= self.soc_max:
            raise ValueError(f"soc_min {self.soc_min} must be below soc_max {self.soc_max}")
        if self.salt is not None and self.salt[0] >= self.salt[1]:
            raise ValueError(
                f"salt {list(self.salt)} must be [lowest, highest] concentration, the first below the second"
            )
        for name in ("charge_derating", "discharge_derating"):
            for (here, _), (there, _) in pairwise(getattr(self, name)):
                if there <= here:
                    raise ValueError(
                        f"{name} point at {there:g} degC follows one at {here:g} degC; temperatures must rise: give "
                        "points (degC, fraction) in order of temperature"
                    )


class Window(NamedTuple):
    """Electrode windows of an aged cell between its voltage limits, each `(1, lanes)`."""

    stoichiometry_empty: Float[Array, "1 lanes"]
    """Negative-electrode stoichiometry at the lower voltage limit at rest [1]."""
    stoichiometry_full: Float[Array, "1 lanes"]
    """Negative-electrode stoichiometry at the upper voltage limit at rest [1]."""
    capacity: Float[Array, "1 lanes"]
    """Charge between the two [A.h]."""
    porosity: Float[Array, "1 lanes"] | None = None
    """Least share of a volume that films leave to the electrolyte [1]; None where they take none of it."""


class Bounds(NamedTuple):
    """Currents allowed for some time, discharge positive, each `(1, lanes)` [A]."""

    low: Float[Array, "1 lanes"]
    high: Float[Array, "1 lanes"]

    def and_of(self, other: "Bounds") -> "Bounds":
        """Return what both allow."""
        return Bounds(jnp.maximum(self.low, other.low), jnp.minimum(self.high, other.high))


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
    """What is kept constant; rest is a current of zero."""

    CURRENT = 0
    POWER = 1
    VOLTAGE = 2


class Setting(NamedTuple):
    """What is asked of each lane, each `(1, lanes)`."""

    held: Int[Array, "1 lanes"]
    """Code of `Held`."""
    value: Float[Array, "1 lanes"]
    """Current [A] or power [W], discharge positive, or voltage [V]."""

    @classmethod
    def of(cls, held: Held, value: Float[Array, "1 lanes"]) -> "Setting":
        """Hold the same in every lane."""
        return cls(jnp.full(value.shape, held), value)


class Control(Protocol):
    """Finds what the terminals do at a state, in some iterations from what they did before."""

    def __call__(self, y: State, guess: Delivery, iterations: int, /) -> Delivery:
        """Return current, power and algebraic states."""


def state_of_charge(cell: CellModel, y: Float[Array, "states lanes"], window: Window) -> Float[Array, "1 lanes"]:
    """State of charge of the aged cell [1]: lithium that the negative electrode can give back, plated one included.

    What is plated goes into the particles by itself later on: left out, it would pass a limit that charging had met.
    """
    lithium = particle_lithium(cell, y, "ne")
    for name in cell.rows:
        if name.startswith("plated"):
            lithium = lithium + cell.electrode_volume("ne") * cell.physical(y, name).mean(axis=0, keepdims=True)
    stoichiometry = lithium / sites(cell, y, "ne")
    return (stoichiometry - window.stoichiometry_empty) / (window.stoichiometry_full - window.stoichiometry_empty)


def charge_bounds(
    cell: CellModel,
    limits: Limits,
    y: Float[Array, "states lanes"],
    window: Window,
    horizon: Float[Array, ""],
) -> Bounds:
    """Find the currents that, held for a horizon [s], keep within the limits of state of charge."""
    soc = state_of_charge(cell, y, window)
    charge = (window.stoichiometry_full - window.stoichiometry_empty) * sites(cell, y, "ne") * FARADAY
    amperes = charge / horizon
    room, store = jnp.maximum(limits.soc_max - soc, 0.0), jnp.maximum(soc - limits.soc_min, 0.0)
    return Bounds(-room * amperes, store * amperes)


def current_bounds(
    cell: CellModel, limits: Limits, y: State, inputs: Inputs, within: Bounds, series: Series | None = None
) -> Bounds:
    """Narrow bounds to the largest currents at the temperature of the cell, of groups in series to the tightest."""
    celsius = (cell.physical(y, "temperature") if "temperature" in cell.rows else inputs[AMBIENT]) - KELVIN
    charge, discharge = (
        rate * cell.nominal_capacity * derated(points, celsius)
        for rate, points in (
            (limits.charge_c_rate, limits.charge_derating),
            (limits.discharge_c_rate, limits.discharge_derating),
        )
    )
    low, high = jnp.maximum(within.low, -charge), jnp.minimum(within.high, discharge)
    return Bounds(low, high) if series is None else Bounds(series.most(low), series.least(high))


def derated(points: Derating, celsius: Float[Array, "1 lanes"]) -> Float[Array, "1 lanes"]:
    """Read a derating at a temperature [degC]: a sum of ramps, which costs less than looking up the piece."""
    share = jnp.full_like(celsius, points[0][1] if points else 1.0)
    for (here, before), (there, after) in pairwise(points):
        share = share + (after - before) / (there - here) * (jnp.clip(celsius, here, there) - here)
    # A rounding below zero would turn the bound round.
    return jnp.maximum(share, 0.0)


def mismatch(
    cell: CellModel, y: State, inputs: Inputs, delivery: Delivery, bounds: Bounds
) -> tuple[Float[Array, "1 lanes"], Float[Array, "1 lanes"]]:
    """Tell how far terminals are off a state: off its voltage or past a limit of it [V], past a bound of current [A].

    Terminals are solved at a state that was predicted; where a time step arrives, both can have moved.
    """
    current = delivery.current
    volts = cell.voltage(y, {**inputs, CURRENT: current})
    lower, upper = cell.voltage_limits
    outside = jnp.where(current > 0.0, lower - volts, jnp.where(current < 0.0, volts - upper, 0.0))
    past = jnp.abs(current - jnp.clip(current, bounds.low, bounds.high))
    return jnp.maximum(jnp.abs(volts - delivery.voltage), outside), past


def first_guess(
    setting: Setting, before: Delivery, voltage: Float[Array, "1 lanes"], series: Series | None = None
) -> Delivery:
    """Guess what a new setting makes of a cell that delivered `before` at a voltage [V]."""
    volts = voltage if series is None else series.mean(voltage)
    current = jnp.where(setting.held == Held.POWER, setting.value / volts, before.current)
    current = jnp.where(setting.held == Held.CURRENT, setting.value, current)
    return Delivery(current, voltage, before.algebraic)


def hold(
    cell: CellModel,
    y: State,
    inputs: Inputs,
    setting: Setting,
    guess: Delivery,
    iterations: int,
    bounds: Bounds | None = None,
    series: Series | None = None,
) -> Delivery:
    """Solve for the current that keeps a setting, as far as bounds of the current and the voltage window allow.

    Each iteration draws the voltage as a straight line in the current and takes from it the current of the setting,
    exactly, and that of the voltage limit: the smaller one is next. That is Newton's method on the tighter of the two.

    Parameters
    ----------
    guess
        What the terminals did a moment ago, or `first_guess` after a jump.
    bounds
        Currents that a battery management system allows, in the voltage window of the cell. None: a tester, which
        has no limits of its own; a power beyond what the cell can give is then not a number.
    series
        Lanes that are groups in series, None: each lane is by itself. A power or voltage is then that of the mean over
        the groups of a pack (each lane holds it), a voltage limit that of the group that meets it first.
    """
    if series is not None:
        guess = guess._replace(current=series.mean(guess.current))
    if bounds is not None:
        guess = guess._replace(current=jnp.clip(guess.current, bounds.low, bounds.high))

    def improve(_: int, guess: Delivery) -> Delivery:
        current = guess.current
        terminals = linearised(cell, with_algebraic(cell, y, guess.algebraic), inputs, current)
        line = _Line(current, terminals.voltage, jnp.minimum(terminals.slope, -1e-6))
        whole = line if series is None else _Line(current, series.mean(line.voltage), series.mean(line.slope))
        wanted = jnp.where(setting.held == Held.POWER, whole.at_power(setting.value), whole.at_voltage(setting.value))
        wanted = jnp.where(setting.held == Held.CURRENT, setting.value, wanted)
        chosen = wanted if bounds is None else _limited(cell, line, wanted, bounds, series)
        if series is not None:
            # Equal but for the last digit, which depends on the place in a batch.
            chosen = series.first(chosen)
        volts, algebraic = terminals.at(chosen - current)
        return Delivery(chosen, volts, algebraic)

    # A loop, not copies: unrolled it would multiply the compile time.
    found = improve(0, guess) if iterations == 1 else jax.lax.fori_loop(0, iterations, improve, guess)
    if bounds is not None:
        return found
    power = found.power if series is None else series.mean(found.power)
    missed = (setting.held == Held.POWER) & (jnp.abs(power - setting.value) > 1e-3 * jnp.abs(setting.value))
    return found._replace(current=jnp.where(missed, jnp.nan, found.current))


class _Line(NamedTuple):
    """The voltage as a straight line in the current, through what was evaluated."""

    current: Float[Array, "1 lanes"]
    voltage: Float[Array, "1 lanes"]
    slope: Float[Array, "1 lanes"]
    """Below zero [V.A-1]."""

    def at_power(self, watts: Float[Array, "1 lanes"]) -> Float[Array, "1 lanes"]:
        """Return the smaller current of a power on the line, that of the largest power where there is none."""
        rest = jnp.maximum(self.voltage - self.slope * self.current, 1e-3)
        square = rest**2 + 4.0 * self.slope * watts
        root = jnp.sqrt(jnp.where(square > 0.0, square, 1.0))
        return jnp.where(square > 0.0, 2.0 * watts / (rest + root), -0.5 * rest / self.slope)

    def at_voltage(self, volts: Float[Array, "1 lanes"]) -> Float[Array, "1 lanes"]:
        """Return the current of a voltage on the line."""
        return self.current + (volts - self.voltage) / self.slope

    def towards(self, volts: Float[Array, "1 lanes"], discharging: Bool[Array, "1 lanes"]) -> Float[Array, "1 lanes"]:
        """Guess the current of a voltage; one that flows as wanted is made smaller, never turned round.

        Overpotentials grow in proportion to the current at first, as its logarithm beyond, in the cold soon. From too
        large a current a straight line then ends far below zero, where a logarithm, exactly `exp`, ends at a fraction.
        """
        change = (volts - self.voltage) / self.slope
        shrink = jnp.minimum(change / jnp.where(self.current == 0.0, 1.0, self.current), 0.0)
        smaller = self.current * jnp.maximum(1.0 + shrink, jnp.exp(shrink) / 3.0)
        too_large = (change * self.current < 0.0) & ((self.current > 0.0) == discharging)
        return jnp.where(too_large, smaller, self.current + change)


def _limited(
    cell: CellModel, line: _Line, wanted: Float[Array, "1 lanes"], bounds: Bounds, series: Series | None
) -> Float[Array, "1 lanes"]:
    """Keep a current inside the voltage window and its bounds, never turned round."""
    discharging = wanted >= 0.0
    lower, upper = cell.voltage_limits
    limit = line.towards(jnp.where(discharging, lower, upper), discharging)
    if series is not None:
        limit = jnp.where(discharging, series.least(limit), series.most(limit))
    outward = jnp.maximum(jnp.minimum(wanted, limit), 0.0)
    inward = jnp.minimum(jnp.maximum(wanted, limit), 0.0)
    return jnp.clip(jnp.where(discharging, outward, inward), bounds.low, bounds.high)
