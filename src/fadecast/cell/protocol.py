"""Laboratory protocols: what a tester does to a batch of cells, step by step, each step to its own end.

Each lane has its own place in the protocol and its own time steps: no lane waits for another before the whole
protocol is done, and none changes what another does. Instructions are data, so that one compiled program runs every
protocol of as many instructions.

A time step is taken again where voltage, current or temperature leaves a straight line by more than the precision, and
where a limit is passed, until it ends at the limit. Its length there moves with the limit, so that forward derivatives
of durations, charges and states are those of the exact crossing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fadecast.cell.control import Control, Delivery, Held, Setting, first_guess, hold
from fadecast.cell.endings import Attempt, Ends, Flags, Lanes, Signals, Verdict, judge
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.quadrature import Rule
from fadecast.cell.stepper import Step, take_step
from fadecast.cell.terminals import with_algebraic

# Newton iterations where a setting begins.
_JUMP_ITERATIONS = 8

_FIRST = 1.0  # time step where an instruction begins [s]

_MOST_TRIES = 10_000  # time steps tried of an instruction


@dataclass(frozen=True)
class Instruction:
    """One step of a protocol. A protocol is a sequence of them; `(discharge, charge) * 3` repeats two of them.

    It ends with whichever comes first of its limits and its duration. Numbers hold for all lanes, arrays `(1, lanes)`
    for each.
    """

    held: Held
    """What is kept constant."""
    value: float | Lanes
    """Current [A] or power [W], discharge positive, or voltage [V]."""
    duration: float | Lanes = 1e6
    """Longest duration [s]."""
    voltage: float | Lanes | None = None
    """Ends a current or power when the voltage has fallen (discharge) or risen (charge) to this [V]."""
    current: float | Lanes | None = None
    """Ends when the size of the current has fallen to this [A]."""
    passed: float | Lanes | None = None
    """Ends a current or power when the cell has discharged this since it was lifted, less what it was charged [A.h]."""
    share_of: tuple[int, float] | None = None
    """Ends a current when it has passed a share of the charge of an earlier instruction, counted from 0."""

    def __post_init__(self) -> None:
        """Check that a hold has no limit of voltage or charge."""
        for name, limit in (("voltage", self.voltage), ("charge", self.passed)):
            if self.held is Held.VOLTAGE and limit is not None:
                raise ValueError(
                    f"a voltage is held and is to end at a {name}; give it a current or a duration to end at"
                )


def rest(seconds: float) -> Instruction:
    """Rest for a duration [s]."""
    return Instruction(Held.CURRENT, 0.0, seconds)


@dataclass(frozen=True)
class Precision:
    """How far a time step may leave a straight line."""

    voltage: float = 4e-3
    """[V]"""
    c_rate: float = 0.005
    """Current over nominal capacity [1/h]."""
    temperature: float = 0.05
    """[K]"""
    nodes: int = 4
    """Evaluations of a time step after its start."""
    samples: int = 12
    """Samples of the rates of ageing between them."""

    def allowed(self, cell: CellModel) -> tuple[float, ...]:
        """Return the bends of the signals that are allowed, in their units."""
        # How finely to step for a charge, the current says.
        return self.voltage, self.c_rate * cell.nominal_capacity, self.temperature, float("inf")


USUAL = Precision()


class Record(NamedTuple):
    """What each instruction did, every field `(instructions, lanes)`; not a number where it did not come to its end."""

    duration: Float[Array, "n lanes"]
    """[s]"""
    charge: Float[Array, "n lanes"]
    """Discharge positive [A.h]."""
    energy: Float[Array, "n lanes"]
    """Discharge positive [W.h]."""
    voltage: Float[Array, "n lanes"]
    """At its end [V]."""
    current: Float[Array, "n lanes"]
    """At its end, discharge positive [A]."""
    limited: Float[Array, "n lanes"]
    """1 where a limit of voltage, current or the charge since the cell was lifted ended it, else 0."""


class _Schedule(NamedTuple):
    """Instructions as arrays; of all `(instructions, lanes)` or of those where each lane is `(1, lanes)`."""

    held: Int[Array, "n lanes"]
    value: Float[Array, "n lanes"]
    duration: Float[Array, "n lanes"]
    voltage: Float[Array, "n lanes"]
    """Not a number where there is no limit; so for the current and the charge."""
    current: Float[Array, "n lanes"]
    passed: Float[Array, "n lanes"]
    source: Int[Array, "n lanes"]
    """Instruction whose charge counts, -1 where none does."""
    share: Float[Array, "n lanes"]

    @property
    def setting(self) -> Setting:
        return Setting(self.held, self.value)


class _Moment(NamedTuple):
    """Where each lane has come to."""

    y: Float[Array, "states lanes"]
    delivery: Delivery
    signals: Signals
    slopes: Signals
    place: Int[Array, "1 lanes"]
    """Instruction."""
    charge: Lanes
    """Of the instruction so far [A.h]."""
    energy: Lanes
    """[W.h]"""
    elapsed: Lanes
    length: Lanes
    """Of the next time step [s]."""
    repeats: Int[Array, "1 lanes"]
    """How often the time step was repeated to end at a limit."""
    shift: Lanes
    """Relative change of the length by the last repetition."""
    tries: Int[Array, "1 lanes"]
    record: Record


def run_protocol(
    cell: CellModel,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    protocol: Sequence[Instruction],
    precision: Precision = USUAL,
) -> tuple[Float[Array, "states lanes"], Record]:
    """Do to each lane what the protocol says.

    A lane whose time steps fail stands still; what it did not bring to an end is not a number in the record.

    Parameters
    ----------
    y
        State at the start, `(states, lanes)`.
    inputs
        PyBaMM input parameters except the current, ambient temperature included, each `(1, lanes)`.

    Returns
    -------
    State at the end and the record.
    """
    return _follow(cell, precision, y, inputs, _schedule(protocol, y))


def _schedule(protocol: Sequence[Instruction], y: Float[Array, "states lanes"]) -> _Schedule:
    shape = (1, y.shape[1])

    def stacked(values: Sequence[float | Lanes | None], dtype: jnp.dtype) -> Array:
        rows = [jnp.broadcast_to(jnp.asarray(jnp.nan if v is None else v, dtype), shape) for v in values]
        return jnp.concatenate(rows)

    for number, each in enumerate(protocol):
        if each.share_of is not None and not (each.held is Held.CURRENT and 0 <= each.share_of[0] < number):
            raise ValueError(
                f"instruction {number} is to pass a share of the charge of instruction {each.share_of[0]}; that needs "
                "a current, and an earlier instruction"
            )
    shares = [each.share_of or (-1, 0.0) for each in protocol]
    return _Schedule(
        held=stacked([each.held for each in protocol], jnp.int32),
        **{
            name: stacked([getattr(each, name) for each in protocol], y.dtype)
            for name in ("value", "duration", "voltage", "current", "passed")
        },
        source=stacked([source for source, _ in shares], jnp.int32),
        share=stacked([share for _, share in shares], y.dtype),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _follow(
    cell: CellModel,
    precision: Precision,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    schedule: _Schedule,
) -> tuple[Float[Array, "states lanes"], Record]:
    """Run time steps of all lanes until each has come to the end of the protocol or has failed."""
    count = len(schedule.value)

    def running(moment: _Moment) -> Flags:
        return (moment.place < count) & (moment.tries < _MOST_TRIES)

    def go_on(moment: _Moment) -> Array:
        return jnp.any(running(moment))

    def attempt(moment: _Moment) -> _Moment:
        now = _instruction(schedule, moment)
        control = _control(cell, inputs, now.setting)
        active = running(moment)
        length = jnp.where(active, jnp.minimum(moment.length, now.duration - moment.elapsed), 0.0)
        step = take_step(
            cell, Rule(precision.nodes, precision.samples), moment.y, inputs, control, moment.delivery, length
        )
        delivery = control(step.y, step.delivery, 1)
        signals = _signals(cell, inputs, step.y, delivery)
        ends = Ends(now.value >= 0.0, now.duration, now.voltage, now.current, now.passed)
        before = moment.signals, moment.slopes, moment.elapsed, moment.repeats, moment.shift
        verdict = judge(ends, precision.allowed(cell), cell.nominal_capacity, Attempt(*before, length, signals))
        verdict = verdict._replace(accepted=verdict.accepted & active, finished=verdict.finished & active)
        moment = _advanced(cell, moment, verdict, step, delivery, signals, length)
        return _prepared(cell, inputs, schedule, moment, verdict.finished)

    start = _start(cell, schedule, y)
    everywhere = jnp.ones(start.place.shape, bool)
    end = jax.lax.while_loop(go_on, attempt, _prepared(cell, inputs, schedule, start, everywhere))
    return end.y, end.record


def _start(cell: CellModel, schedule: _Schedule, y: Float[Array, "states lanes"]) -> _Moment:
    still = jnp.zeros_like(y[:1])
    # The voltage is guessed only to turn a power into a first guess of the current.
    volts = jnp.full_like(still, 0.5 * sum(cell.voltage_limits))
    none = jnp.zeros(still.shape, jnp.int32)
    return _Moment(
        y=y,
        delivery=Delivery(still, still, y[cell.differential :]),
        signals=Signals(volts, still, still, still),
        slopes=Signals(still, still, still, still),
        place=none,
        charge=still,
        energy=still,
        elapsed=still,
        length=jnp.full_like(still, _FIRST),
        repeats=none,
        shift=jnp.ones_like(still),
        tries=none,
        record=Record(*(jnp.full_like(schedule.value, jnp.nan) for _ in Record._fields)),
    )


def _instruction(schedule: _Schedule, moment: _Moment) -> _Schedule:
    """Return the instruction that each lane is at, its duration made of an earlier charge where that ends it."""
    last = len(schedule.value) - 1
    now = jax.tree.map(lambda rows: jnp.take_along_axis(rows, jnp.minimum(moment.place, last), axis=0), schedule)
    before = jnp.take_along_axis(moment.record.charge, jnp.maximum(now.source, 0), axis=0)
    amperes = jnp.where(now.source < 0, 1.0, now.value)
    passing = jnp.abs(now.share * before / amperes) * 3600.0
    return now._replace(duration=jnp.where(now.source < 0, now.duration, jnp.minimum(now.duration, passing)))


def _control(cell: CellModel, inputs: Inputs, setting: Setting) -> Control:
    return lambda state, guess, iterations: hold(cell, state, inputs, setting, guess, iterations)


def _at(inputs: Inputs, delivery: Delivery) -> Inputs:
    return {**inputs, CURRENT: delivery.current}


def _signals(cell: CellModel, inputs: Inputs, y: Float[Array, "states lanes"], delivery: Delivery) -> Signals:
    voltage = cell.voltage(with_algebraic(cell, y, delivery.algebraic), _at(inputs, delivery))
    kelvin = cell.physical(y, "temperature") if "temperature" in cell.rows else jnp.zeros_like(voltage)
    return Signals(voltage, delivery.current, kelvin, cell.physical(y, "discharge_capacity"))


def _advanced(
    cell: CellModel,
    moment: _Moment,
    verdict: Verdict,
    step: Step,
    delivery: Delivery,
    signals: Signals,
    length: Lanes,
) -> _Moment:
    """Take over what was accepted, and write down what came to its end."""

    def taken(after, before):  # type: ignore[no-untyped-def]
        return jax.tree.map(lambda new, old: jnp.where(verdict.accepted, new, old), after, before)

    charge = cell.physical(step.y, "discharge_capacity") - cell.physical(moment.y, "discharge_capacity")
    charge = taken(moment.charge + charge, moment.charge)
    energy = taken(moment.energy + step.power * length / 3600.0, moment.energy)
    elapsed = taken(moment.elapsed + length, moment.elapsed)
    signals = taken(signals, moment.signals)
    limited = jnp.where(verdict.limited, 1.0, 0.0)
    values = Record(elapsed, charge, energy, signals.voltage, signals.current, limited)
    lanes = jnp.arange(elapsed.shape[1])
    place = jnp.where(verdict.finished, moment.place, len(moment.record.duration))[0]
    record = jax.tree.map(lambda rows, new: rows.at[place, lanes].set(new[0], mode="drop"), moment.record, values)
    fresh = verdict.finished
    return moment._replace(
        y=taken(step.y, moment.y),
        delivery=taken(delivery, moment.delivery),
        signals=signals,
        place=moment.place + fresh,
        charge=jnp.where(fresh, 0.0, charge),
        energy=jnp.where(fresh, 0.0, energy),
        elapsed=jnp.where(fresh, 0.0, elapsed),
        length=jnp.where(fresh, _FIRST, verdict.length),
        repeats=jnp.where(verdict.locating, moment.repeats + 1, 0),
        shift=jnp.where(
            verdict.locating, jax.lax.stop_gradient(verdict.length / jnp.maximum(length, 1e-30)) - 1.0, 1.0
        ),
        tries=jnp.where(fresh, 0, jnp.where(verdict.stuck, _MOST_TRIES, moment.tries + 1)),
        record=record,
    )


def _prepared(cell: CellModel, inputs: Inputs, schedule: _Schedule, moment: _Moment, fresh: Flags) -> _Moment:
    """Find what the terminals do at the new state, and how fast that changes; in lanes that are `fresh`, anew."""
    setting = _instruction(schedule, moment).setting
    control = _control(cell, inputs, setting)

    def begun() -> Delivery:
        guess = first_guess(setting, moment.delivery, moment.signals.voltage)
        new = control(moment.y, guess, _JUMP_ITERATIONS)
        return jax.tree.map(lambda after, before: jnp.where(fresh, after, before), new, moment.delivery)

    delivery = jax.lax.cond(jnp.any(fresh), begun, lambda: moment.delivery)

    # Slopes choose lengths only, of which no derivative is taken.
    y, frozen = jax.lax.stop_gradient((moment.y, delivery))

    def terminals(y: Float[Array, "states lanes"]) -> Signals:
        return _signals(cell, inputs, y, control(y, frozen, 1))

    rates = cell.rhs(with_algebraic(cell, y, frozen.algebraic), _at(inputs, frozen))
    rates = jnp.concatenate([rates, jnp.zeros_like(y[cell.differential :])])
    _, slopes = jax.jvp(terminals, (y,), (rates,))
    signals = _signals(cell, inputs, moment.y, delivery)
    return moment._replace(delivery=delivery, signals=signals, slopes=jax.lax.stop_gradient(slopes))
