"""A cell under a load profile: piecewise constant power demand and ambient temperature."""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes
from fadecast.cell.control import (
    Control,
    Delivery,
    Held,
    Limits,
    Setting,
    Window,
    charge_bounds,
    current_bounds,
    first_guess,
    hold,
    mismatch,
    state_of_charge,
)
from fadecast.cell.extremes import Extremes, of_load_step
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CellModel
from fadecast.cell.partition import partition
from fadecast.cell.pieces import State
from fadecast.cell.quadrature import Rule
from fadecast.cell.ripple import Ripple
from fadecast.cell.salt import carried_by_salt
from fadecast.cell.series import Series, in_series
from fadecast.cell.stepper import Step, take_step
from fadecast.settings import settings

T = TypeVar("T")

_GROWTH = 2.6

# Newton iterations after a jump of the demand, from the voltage before it: off by a few per cent. Each node takes one
# more. Potentials of electrodes jump along.
_JUMP_ITERATIONS, _ALGEBRAIC_ITERATIONS = 2, 16

# Division of a load step at most, and how much the next time step may differ.
_MOST_STEPS, _SHRINK, _GROW = 256, 0.1, 4.0

# Precisions by which the mean power of a load step may miss a demand that is met at each of its nodes.
_ROUNDING = 32.0

# What a time step delivers may be off its end, and past the limits there, by the tolerance times these [V], [1/h].
_VOLTS, _C_RATE = 0.5, 0.1

# Ageing slower than this needs no accuracy: 1 % of a cell a year [1/s].
_SLOW = 0.01 / (365.0 * 86400.0)


@settings
class Stepping:
    """How the time of a load step is divided."""

    nodes: Annotated[int, Ge(2), Le(12)] = 4
    """Evaluations of a time step after its start; their places are Radau's in the root of time."""
    samples: Annotated[int, Ge(2), Le(32)] = 8
    """Samples of the rates of ageing between the nodes of a time step."""
    tolerance: Annotated[float, Gt(0), Le(1)] | None = 0.02
    """Error that a time step may make in the worst ageing state [1], as root mean square over the lanes of a tile;
    over that state's change, its mean change so far in the profile, or one of 1 % a year, whichever is larger. Longer
    time steps are divided. Errors of steps cancel: that of two days of load is a twentieth of this, but three
    times this in plated lithium where salt is about to run out (`results/reported/two_days`). Divided are also time
    steps whose end is off the voltage that was delivered, or past a limit, by this times 0.5 V or 0.1C in any lane.
    Null: every load step is divided into `steps`."""
    steps: Annotated[int, Ge(1), Le(256)] = 1
    """Time steps of a load step where there is no tolerance, each 2.6 times the one before."""
    precision: Literal["single", "double"] = "double"
    """Precision of rates and currents; states and what they add up to keep that of the start."""

    def working(self, values: T) -> T:
        """Return arrays in the precision of the rates, never a higher one than they have."""
        if self.precision == "double":
            return values
        return jax.tree.map(lambda value: value.astype(jnp.float32), values)

    def lengths(self, load_step: float) -> np.ndarray:
        """Lengths of the time steps of a load step without a tolerance [s], shape `(steps,)`."""
        relative = _GROWTH ** np.arange(self.steps)
        return np.asarray(load_step * relative / relative.sum())


class Profile(NamedTuple):
    """Demand on each cell, every field `(load steps, lanes)`."""

    power: Float[Array, "steps lanes"]
    """Terminal power, discharge positive [W]."""
    ambient: Float[Array, "steps lanes"]
    """Ambient temperature [K]."""
    ripple: Ripple | None = None
    """Swings of the power inside each load step, which only ageing sees; none: there are none."""


class Totals(NamedTuple):
    """What a profile did to each cell, every field `(1, lanes)`."""

    demanded: Lanes
    """Net energy demanded, discharge positive [W.h]."""
    delivered: Lanes
    """Net energy delivered, discharge positive [W.h]."""
    unserved: Lanes
    """Discharge energy demanded and not delivered [W.h]."""
    spilled: Lanes
    """Charging energy offered and not taken [W.h]."""
    temperature_mean: Lanes
    """Mean cell temperature [K]."""
    extremes: Extremes
    """Of temperature, current and charge."""


class Trace(NamedTuple):
    """The cell at the end of each load step, fields `(load steps, lanes)`."""

    voltage: Float[Array, "steps lanes"]
    """[V]"""
    current: Float[Array, "steps lanes"]
    """Discharge positive [A]."""
    temperature: Float[Array, "steps lanes"]
    """Highest of the load step [K]."""
    state_of_charge: Float[Array, "steps lanes"]
    """Of the aged cell [1]."""


class Course(NamedTuple):
    """A profile run; everything counts from the end of spin-up."""

    start: Float[Array, "states lanes"]
    """State at the end of spin-up."""
    end: Float[Array, "states lanes"]
    """State at the end of the profile."""
    totals: Totals
    trace: Trace
    """Costs nothing where it is not used."""


class _Sums(NamedTuple):
    """Integrals over the load step so far, `(1, lanes)`."""

    energy: Lanes
    """[W.s]"""
    heat: Lanes
    """Of the temperature [K.s]."""
    hottest: Lanes
    """[K]"""

    def add(self, step: Step, length: Float[Array, ""]) -> "_Sums":
        """Return the integrals with one more time step."""
        return _Sums(
            self.energy + length * step.power,
            self.heat + length * step.temperature_mean,
            jnp.maximum(self.hottest, step.temperature_max),
        )


class _Moment(NamedTuple):
    """Where a load step has come to."""

    y: Float[Array, "states lanes"]
    delivery: Delivery
    sums: _Sums
    aged: Float[Array, "ageing lanes"]
    """Sizes of all changes of each ageing state since the start of the profile [1]."""


def run_profile(
    cell: CellModel,
    limits: Limits,
    stepping: Stepping,
    load_step: float,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    window: Window,
    profile: Profile,
    spin_up: int = 0,
    series: Series | None = None,
) -> Course:
    """Follow a load profile inside the limits, its first load steps being spin-up.

    Parameters
    ----------
    load_step
        Length of one load step [s].
    y
        State at the start, `(states, lanes)`.
    inputs
        PyBaMM input parameters except current and ambient temperature, each `(1, lanes)`.
    window
        Electrode windows that state of charge refers to.
    spin_up
        Load steps that settle the fast states and do not count.
    series
        Lanes that are groups in series: each lane of a pack holds the demand on the pack, per cell, and what of it was
        unserved or spilled; energy delivered is that of the lane's own voltage. None: each lane is by itself.
    """
    series = in_series(series)

    def follow(carry, row):  # type: ignore[no-untyped-def]
        y, start, aged, voltage = carry
        index, demand = row
        power, ambient, ripple = jax.tree.map(lambda value: value[None], demand)
        start = jnp.where(index == spin_up, y, start)
        here, horizon = {**inputs, AMBIENT: ambient}, jnp.asarray(load_step, y.dtype)
        within = charge_bounds(cell, limits, y, window, horizon)
        if limits.salt is not None and "electrolyte" in cell.rows:
            within = within.and_of(carried_by_salt(cell, limits.salt, y, here, horizon))
        within, asked, low = stepping.working((within, power, here))
        setting = Setting.of(Held.POWER, asked)

        def control(state: State, guess: Delivery, iterations: int) -> Delivery:
            bounds = current_bounds(cell, limits, state, low, within, series)
            return hold(cell, state, low, setting, guess, iterations, bounds, series)

        def missed(step: Step) -> Lanes:
            state = stepping.working(step.y)
            bounds = current_bounds(cell, limits, state, low, within, series)
            volts, amperes = mismatch(cell, state, low, step.delivery, bounds)
            return jnp.maximum(volts / _VOLTS, amperes / (_C_RATE * cell.nominal_capacity))[0]

        still = jnp.zeros_like(power)
        before = stepping.working(y)
        nothing = Delivery(jnp.zeros_like(asked), voltage, before[cell.differential :])
        guess = first_guess(setting, nothing, jnp.clip(voltage, *cell.voltage_limits), series)
        jump = control(before, guess, jump_iterations)
        moment = _Moment(y, jump, _Sums(still, still, still), aged)
        if ripple is not None:
            ripple = stepping.working(ripple).delivered(_served(asked, jump))
        moment = _load_step(cell, stepping, load_step, index * load_step, here, control, missed, moment, ripple)
        end = moment.delivery
        # The charge at the start is worked out already, for the limits; that at the end would take a tenth more time.
        extremes = of_load_step(moment.sums.hottest, jump.current, end.current, state_of_charge(cell, y, window))
        trace = Trace(
            end.voltage[0], end.current[0], moment.sums.hottest[0], state_of_charge(cell, moment.y, window)[0]
        )
        means = moment.sums.energy / load_step, moment.sums.heat / load_step
        return (moment.y, start, moment.aged, moment.delivery.voltage), (power, *means, extremes, trace)

    jump_iterations = _JUMP_ITERATIONS if cell.differential == len(cell.initial_state) else _ALGEBRAIC_ITERATIONS
    # One scan for both parts: a second one would double the compile time.
    aged = jnp.zeros((len(partition(cell).share), y.shape[1]), y.dtype)
    voltage = stepping.working(jnp.full_like(y[:1], 0.5 * sum(cell.voltage_limits)))
    # In reverse mode each load step is computed again: else all nodes and samples of all steps would be kept.
    once_more = jax.checkpoint(follow, prevent_cse=False)
    (y, start, _, _), rows = jax.lax.scan(once_more, (y, y, aged, voltage), (jnp.arange(len(profile.power)), profile))
    demanded, delivered, mean, extremes, trace = jax.tree.map(lambda row: row[spin_up:], rows)
    # What rounding leaves of a demand that is met is none.
    resolved = _ROUNDING * jnp.finfo(stepping.working(y).dtype).eps * jnp.abs(demanded)
    given = delivered if series is None else series.mean(delivered)
    short = jnp.where(jnp.abs(demanded - given) > resolved, demanded - given, 0.0)
    hours = load_step / 3600.0
    totals = Totals(
        demanded=hours * demanded.sum(axis=0),
        delivered=hours * delivered.sum(axis=0),
        unserved=hours * jnp.where(demanded > 0, short, 0.0).sum(axis=0),
        spilled=hours * jnp.where(demanded < 0, -short, 0.0).sum(axis=0),
        temperature_mean=mean.mean(axis=0),
        extremes=extremes.over_first(),
    )
    return Course(start, y, totals, trace)


def _served(asked: Lanes, delivery: Delivery) -> Lanes:
    """Return the share of a demand that limits leave of it [1]; all of no demand."""
    share = delivery.power / jnp.where(asked == 0.0, 1.0, asked)
    return jnp.where(asked == 0.0, 1.0, jnp.clip(share, 0.0, 1.0))


def _load_step(
    cell: CellModel,
    stepping: Stepping,
    load_step: float,
    elapsed: Float[Array, ""],
    inputs: Inputs,
    control: Control,
    missed: Callable[[Step], Lanes],
    moment: _Moment,
    ripple: Ripple | None,
) -> _Moment:
    """Follow one demand, in time steps of fixed lengths or such as keep the tolerance."""
    rule = Rule(stepping.nodes, stepping.samples, estimate=stepping.tolerance is not None)

    def attempt(moment: _Moment, length: Float[Array, ""]) -> tuple[_Moment, Lanes, Lanes]:
        step = take_step(cell, rule, moment.y, inputs, control, moment.delivery, length, ripple)
        aged = moment.aged + step.change
        usual = jnp.maximum(aged / (elapsed + load_step), _SLOW) * length
        error = jnp.max(step.error / jnp.maximum(step.change, usual), axis=0)
        return _Moment(step.y, step.delivery, moment.sums.add(step, length), aged), error, missed(step)

    if stepping.tolerance is None:
        lengths = jnp.asarray(stepping.lengths(load_step), moment.y.dtype)
        return jax.lax.scan(lambda m, length: (attempt(m, length)[0], None), moment, lengths)[0]
    tolerance, shortest = stepping.tolerance, load_step / _MOST_STEPS

    def unfinished(carry):  # type: ignore[no-untyped-def]
        _, done, _ = carry
        return done < load_step * (1.0 - 1e-9)

    def try_step(carry):  # type: ignore[no-untyped-def]
        moment, done, length = carry
        new, errors, missed = attempt(moment, length)
        # A lane that was not finite before has failed and leaves the norm; one that only now is not may be too long a
        # step.
        sound, failed = jnp.isfinite(errors + missed), ~jnp.isfinite(moment.y).all(axis=0)
        error = jnp.sqrt(jnp.sum(jnp.where(sound, errors, 0.0) ** 2) / jnp.maximum(jnp.sum(sound), 1))
        # Lengths are choices: no derivative is taken of them.
        error = jnp.maximum(error, jnp.max(jnp.where(sound, missed, 0.0)))
        error = jax.lax.stop_gradient(jnp.where((sound | failed).all(), error, jnp.inf))
        accepted = (error <= tolerance) | (length <= shortest)
        moment = jax.tree.map(lambda after, before: jnp.where(accepted, after, before), new, moment)
        done = jnp.where(accepted, done + length, done)
        change = jnp.clip(0.9 * (tolerance / jnp.maximum(error, 1e-30)) ** (1 / 3), _SHRINK, _GROW)
        return moment, done, jnp.minimum(jnp.maximum(length * change, shortest), load_step - done)

    start = (moment, jnp.zeros((), moment.y.dtype), jnp.asarray(load_step, moment.y.dtype))
    return jax.lax.while_loop(unfinished, try_step, start)[0]
