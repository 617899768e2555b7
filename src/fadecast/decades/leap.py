"""Decades from typical days: a heterogeneous multiscale method on the slow state.

At a macro time the slow state is lifted to a full state at each typical day's state of charge, the days are run, and
their weighted changes are the rates (E et al., Commun. Comput. Phys. 2, 367, 2007). An adaptive Heun method advances
the slow state; its estimated error in capacity and resistance controls the step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes, SlowState
from fadecast.cell.control import Window
from fadecast.cell.health import electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.profile import Profile
from fadecast.decades.accuracy import Rates, deviation, heun_error
from fadecast.decades.service import Operation, Service, day_change, exhausted_capacity, judge
from fadecast.outcome import Outcome
from fadecast.settings import settings

_SAFETY, _SHRINK, _GROW = 0.9, 0.3, 3.0

_FILMS = ("sei", "sei_cracks")

_RESOLVED_FAILURE = 10.0  # [day]
_SHORTEST = 1.0  # [day]: a step that is shorter costs more than its days, and rates have some noise
_BROKEN = (Outcome.NOT_FINITE, Outcome.STATE_OUT_OF_BOUNDS)


@settings
class Leap:
    """How the slow state is advanced."""

    tolerance: Annotated[float, Gt(0), Le(0.05)] = 2e-4
    """Largest estimated error of one macro step in SOH, lithium inventory or active material of the new cell [1],
    and of a tenth of that in resistance. Those of the steps add up."""
    first_step_days: Annotated[float, Gt(0), Le(3650)] = 30.0
    """First macro step [day]."""
    longest_step_days: Annotated[float, Ge(1), Le(3650)] = 730.0
    """Longest macro step [day]."""


class DayBatch(NamedTuple):
    """Typical days of every lane; `lanes` is the innermost axis of each field."""

    weight: Float[Array, "days lanes"]
    """Share of the year, summing to 1 over days."""
    state_of_charge: Float[Array, "days lanes"]
    """At the start of spin-up [1]."""
    power: Float[Array, "steps days lanes"]
    """Terminal power of the cell, spin-up steps first [W]."""
    ambient: Float[Array, "steps days lanes"]
    """[K]"""


Beginning: TypeAlias = Callable[[SlowState], Float[Array, "days lanes"]]
"""From the slow state to the state of charge at the start of spin-up of every typical day [1]."""


@dataclass(frozen=True)
class History:
    """A batch of cells over its service, at the requested times.

    Attributes
    ----------
    service
        Fields of shape `(times, 1, lanes)`.
    temperature_max
        Highest temperature of the days run up to each time [K], shape `(times, lanes)`.
    outcome
        Outcome code, shape `(lanes,)`.
    last_good
        Last time at which a failed lane was sound [day], infinite where none failed, shape `(lanes,)`.
    cell_days
        Days simulated, summed over lanes.
    macro_steps
        Times between which the slow state was advanced [day], from 0; of the leap only.
    """

    service: Service
    temperature_max: np.ndarray
    outcome: np.ndarray
    last_good: np.ndarray
    cell_days: float
    macro_steps: np.ndarray = field(default_factory=lambda: np.zeros(0))


@partial(jax.jit, static_argnums=(0, 1))
def daily_rates(
    operation: Operation, spin_up: int, slow: SlowState, inputs: Inputs, days: DayBatch
) -> tuple[Service, Float[Array, " lanes"], Window]:
    """Weighted change per day over the typical days, the highest temperature [K], and the electrode window."""
    count = days.weight.shape[0]

    def over_days(value: Lanes) -> Lanes:
        return jnp.tile(value, (1, count))

    def flat(value: Float[Array, "steps days lanes"]) -> Float[Array, "steps dayslanes"]:
        return value.reshape(*value.shape[:-2], -1)

    window = electrode_window(operation.cell, slow, inputs)
    every, every_input = (
        jax.tree.map(over_days, slow),
        {name: over_days(value) for name, value in inputs.items()},
    )
    power, ambient = flat(days.power), flat(days.ambient)
    y, every_window = operation.begin_day(every, every_input, flat(days.state_of_charge[None]), ambient[:1])
    course = operation.run(y, every_input, every_window, Profile(power, ambient), spin_up)
    change = day_change(operation, course, every)

    def mean(value: Lanes) -> Lanes:
        return jnp.sum(days.weight * value.reshape(count, -1), axis=0, keepdims=True)

    highest = course.totals.temperature_max.reshape(count, -1).max(axis=0)
    return jax.tree.map(mean, change), highest, window


def leap(
    operation: Operation,
    settings: Leap,
    slow: SlowState,
    inputs: Inputs,
    days: DayBatch,
    spin_up: int,
    times: np.ndarray,
    outcome: np.ndarray | None = None,
    beginning: Beginning | None = None,
) -> History:
    """Advance a batch of cells through the given times.

    All lanes of the batch share the macro steps; a failed lane is frozen and leaves the error norm.

    Parameters
    ----------
    slow
        Slow state at time 0, fields `(1, lanes)`.
    inputs
        PyBaMM input parameters, each `(1, lanes)`.
    times
        Times of the history [day], increasing from 0.
    outcome
        Outcome codes of lanes known to have failed before the start, shape `(lanes,)`; none by default.
    beginning
        How full the cells are when typical days begin, which changes as they fade; as `days` has it by default.
    """
    integration = _Integration(operation, settings, inputs, days, spin_up, outcome, beginning)
    return integration.run(Service.start(slow), np.asarray(times, float))


def march(
    operation: Operation, slow: SlowState, inputs: Inputs, days: DayBatch, spin_up: int, times: np.ndarray
) -> SlowState:
    """Advance a batch of cells by Heun's method in one macro step between each two times.

    What `leap` does where its steps are given: no step depends on the cells, so that results can be differentiated
    (in reverse where the operation's steps are fixed). No lane is watched.

    Parameters
    ----------
    slow
        Slow state at the first time, fields `(1, lanes)`.
    inputs
        PyBaMM input parameters, each `(1, lanes)`.
    times
        Increasing [day].

    Returns
    -------
    Slow state at the times, fields `(times, 1, lanes)`.
    """

    def rate(state: Service) -> Service:
        here = _relax(state).slow
        change = daily_rates(operation, spin_up, here, inputs, days)[0]
        return change._replace(slow=_straight_rate(here, change.slow))

    state, rows = _straighten(Service.start(slow)), [slow]
    for step in np.diff(times):
        first = rate(state)
        second = rate(_advance(state, first, step))
        state = _advance(state, jax.tree.map(lambda a, b: 0.5 * (a + b), first, second), step)
        rows.append(_relax(state).slow)
    return jax.tree.map(lambda *parts: jnp.stack(parts), *rows)


class _Integration:
    """The macro loop of one batch, with what it remembers from step to step."""

    def __init__(
        self,
        operation: Operation,
        settings: Leap,
        inputs: Inputs,
        days: DayBatch,
        spin_up: int,
        outcome: np.ndarray | None,
        beginning: Beginning | None,
    ) -> None:
        self.operation, self.settings, self.inputs, self.days, self.spin_up = operation, settings, inputs, days, spin_up
        self.beginning = beginning
        lanes = days.weight.shape[1]
        self.outcome = np.zeros(lanes, dtype=np.int8) if outcome is None else outcome.astype(np.int8)
        self.last_good = np.where(self.outcome == Outcome.COMPLETED, np.inf, -np.inf)
        self.hottest = np.full(lanes, -np.inf)
        self.evaluations = 0

    def run(self, start: Service, times: np.ndarray) -> History:
        """March through the times; states and rates are kept in the straightened variables."""
        time, step = 0.0, min(self.settings.first_step_days, times[-1])
        # The macro loop is plain NumPy: only the days themselves are worth compiling.
        start = jax.tree.map(np.asarray, start)
        state = _straighten(start)
        here = self._evaluate(state)
        self._mark(here.codes != Outcome.COMPLETED, here.codes, -np.inf)
        rows, highest, ends, before = [start], [self.hottest], [time], None
        while time < times[-1]:
            step = min(step, self.settings.longest_step_days, times[-1] - time)
            predicted = _advance(state, here.rate, step)
            ahead = self._evaluate(predicted)
            mean_rate = jax.tree.map(lambda a, b: 0.5 * (a + b), here.rate, ahead.rate)
            new = _advance(state, mean_rate, step)
            there = self._evaluate(new)
            broken = self._alive & np.isin(np.maximum(ahead.codes, there.codes), _BROKEN)
            error = self._error(new, heun_error(step, Rates(here.rate, ahead.rate, there.rate), before), broken)
            change = float(np.clip(_SAFETY * np.cbrt(self.settings.tolerance / max(error, 1e-30)), _SHRINK, _GROW))
            if error > self.settings.tolerance and step > _SHORTEST:
                step = max(step * change, _SHORTEST)
                continue
            if broken.any() and step > _RESOLVED_FAILURE:
                # A failure ahead: approach it in short steps, so that its time is not an artefact of the step.
                step = max(_SHRINK * step, _RESOLVED_FAILURE)
                continue
            self._mark(broken, np.maximum(ahead.codes, there.codes), time)
            self._mark(
                there.codes == Outcome.CAPACITY_EXHAUSTED, there.codes, time + step * self._crossing(here, there)
            )
            new = jax.tree.map(lambda old, value: np.where(broken, old, value), state, new)  # noqa: B023
            there = there._replace(rate=self._standing_still(there.rate))
            for at in times[(times > time) & (times <= (time + step) * (1 + 1e-12))]:
                rows.append(_relax(_hermite(state, here.rate, new, there.rate, step, (at - time) / step)))
                highest.append(self.hottest)
            before = step, here.rate
            state, here, time, step = new, there, time + step, max(step * change, _SHORTEST)
            ends.append(time)
        service = jax.tree.map(lambda *parts: np.stack(parts), *rows)
        days_run = self.evaluations * self.days.weight.shape[0] * self.days.power.shape[0]
        cell_days = days_run / self.operation.steps_per_day * len(self.outcome)
        return History(service, np.stack(highest), self.outcome, self.last_good, cell_days, np.array(ends))

    @property
    def _alive(self) -> np.ndarray:
        return self.outcome == Outcome.COMPLETED

    def _evaluate(self, state: Service) -> "_Evaluation":
        """Run the typical days at a state; lanes that ended stand still."""
        slow = _relax(state).slow
        days = self.days if self.beginning is None else self.days._replace(state_of_charge=self.beginning(slow))
        results = daily_rates(self.operation, self.spin_up, slow, self.inputs, days)
        rate, hottest, window = jax.tree.map(np.asarray, results)
        self.evaluations += 1
        codes = np.where(self._alive, judge(self.operation.cell, slow, window, rate), self.outcome)
        self.hottest = np.where(codes == Outcome.COMPLETED, np.maximum(self.hottest, hottest), self.hottest)
        rate = rate._replace(slow=_straight_rate(slow, rate.slow))
        return _Evaluation(self._standing_still(rate), codes, window.capacity[0])

    def _standing_still(self, rate: Service) -> Service:
        """Rates with lanes that ended, or cannot be evaluated, set to zero."""
        return jax.tree.map(lambda value: np.where(self._alive & np.isfinite(value), value, 0.0), rate)

    def _mark(self, lanes: np.ndarray, codes: np.ndarray, last_good: np.ndarray | float) -> None:
        """Record how lanes alive so far end, and until when they were sound."""
        lanes = lanes & self._alive
        self.last_good = np.where(lanes, last_good, self.last_good)
        self.outcome = np.where(lanes, codes, self.outcome).astype(np.int8)

    def _crossing(self, here: "_Evaluation", there: "_Evaluation") -> np.ndarray:
        """Share of the step at which each lane's capacity fell to what is taken out of service."""
        limit = exhausted_capacity(self.operation.cell)
        lost = np.maximum(here.capacity - there.capacity, 1e-30)
        return np.clip((here.capacity - limit) / lost, 0.0, 1.0)

    def _error(self, new: Service, error: Service, broken: np.ndarray) -> float:
        """Largest `deviation` that an error makes over the lanes that go on."""
        right = jax.tree.map(lambda value, off: value + off, new, error)
        off = deviation(self.operation.cell, self.inputs, _relax(new).slow, _relax(right).slow)
        return float(off[self._alive & ~broken & np.isfinite(off)].max(initial=0.0))


class _Evaluation(NamedTuple):
    """What running the typical days at a state gives."""

    rate: Service
    codes: np.ndarray
    capacity: np.ndarray
    """Between the voltage limits at rest [A.h], shape `(lanes,)`."""


def _straighten(service: Service) -> Service:
    """Replace the concentrations of SEI by their squares, which diffusion-limited growth makes linear in time."""
    return service._replace(slow=service.slow._replace(**{name: getattr(service.slow, name) ** 2 for name in _FILMS}))


def _straight_rate(slow: SlowState, rate: SlowState) -> SlowState:
    """Return the rate of a straightened slow state."""
    return rate._replace(**{name: 2.0 * getattr(slow, name) * getattr(rate, name) for name in _FILMS})


def _relax(service: Service) -> Service:
    """Undo `_straighten`."""
    return service._replace(slow=service.slow._replace(**{name: getattr(service.slow, name) ** 0.5 for name in _FILMS}))


def _advance(state: Service, rate: Service, step: float) -> Service:
    return jax.tree.map(lambda value, slope: value + step * slope, state, rate)


def _hermite(old: Service, old_rate: Service, new: Service, new_rate: Service, step: float, share: float) -> Service:
    """Cubic Hermite interpolation at a share of a macro step."""
    a = (1 + 2 * share) * (1 - share) ** 2
    b = share * (1 - share) ** 2 * step
    c = share**2 * (3 - 2 * share)
    d = -(share**2) * (1 - share) * step
    return jax.tree.map(lambda y0, f0, y1, f1: a * y0 + b * f0 + c * y1 + d * f1, old, old_rate, new, new_rate)
