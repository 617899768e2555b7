"""Decades from typical days: a heterogeneous multiscale method on the slow state.

At a macro time the slow state is lifted to a full state at each typical day's state of charge, the days are run, and
their weighted changes are the rates that `macro.py` advances the slow state by.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes, SlowState
from fadecast.cell.control import Window
from fadecast.cell.extremes import Extremes
from fadecast.cell.health import electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.profile import Profile
from fadecast.cell.ripple import Ripple
from fadecast.decades.accuracy import deviation
from fadecast.decades.macro import Evaluated, History, Leap, Macro, Passed
from fadecast.decades.packs import day_drift, imbalance_of
from fadecast.decades.service import Operation, Service, day_change
from fadecast.decades.straightened import advance, relax, straight_rate, straighten
from fadecast.pack.groups import Imbalance


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
    ripple: Ripple | None = None
    """Swings inside the load steps, fields `(steps, days, lanes)`; none: there are none."""


Beginning: TypeAlias = Callable[[Service], Float[Array, "days lanes"]]
"""From packs in service to their state of charge at the start of spin-up of every typical day [1]."""


@partial(jax.jit, static_argnums=(0, 1))
def daily_rates(
    operation: Operation,
    spin_up: int,
    slow: SlowState,
    inputs: Inputs,
    days: DayBatch,
    imbalance: Imbalance | None = None,
) -> tuple[Service, Extremes, Window]:
    """Weighted change per day over the typical days, the extremes in them, `(lanes,)`, and the electrode window.

    Of groups in series with an imbalance, the change holds how their headrooms drift, without balancing.
    """
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
    profile = Profile(power, ambient, jax.tree.map(flat, days.ripple))
    apart = None if imbalance is None else over_days(imbalance.headroom)
    y, every_window = operation.begin_day(every, every_input, flat(days.state_of_charge[None]), ambient[:1], apart)
    course = operation.run(y, every_input, every_window, profile, spin_up)
    change = day_change(operation, course, every)
    if apart is not None:
        change = change._replace(headroom=day_drift(operation, course, every, every_input))

    def mean(value: Lanes) -> Lanes:
        return jnp.sum(days.weight * value.reshape(count, -1), axis=0, keepdims=True)

    extremes = jax.tree.map(lambda value: value.reshape(count, -1), course.totals.extremes).over_first()
    rate = jax.tree.map(mean, change)
    if imbalance is not None:
        rate = rate._replace(headroom=rate.headroom + imbalance.leakage)
    return rate, extremes, window


def leap(
    operation: Operation,
    settings: Leap,
    slow: SlowState,
    inputs: Inputs,
    days: DayBatch,
    spin_up: int,
    times: np.ndarray,
    outcome: np.ndarray | None = None,
    imbalance: Imbalance | None = None,
    beginning: Beginning | None = None,
    passed: Passed = lambda days: None,
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
    imbalance
        Of groups in series: how they differ beside their slow states; by default not at all.
    beginning
        How full the cells are when typical days begin, which changes as they fade; as `days` has it by default.
    passed
        Told of the days that each macro step passed.
    """
    lanes = days.weight.shape[1]
    outcome = np.zeros(lanes, dtype=np.int8) if outcome is None else outcome
    imbalance = imbalance_of(operation, imbalance, slow)
    alone = _Alone(operation, spin_up, inputs, days, imbalance, beginning)
    macro = Macro(alone, settings, outcome, np.ones(lanes, dtype=bool), passed=passed)
    return macro.run(Service.start(slow, imbalance and imbalance.headroom), np.asarray(times, float))


class _Alone:
    """Packs that do not feel each other: the same days for ever."""

    def __init__(
        self,
        operation: Operation,
        spin_up: int,
        inputs: Inputs,
        days: DayBatch,
        imbalance: Imbalance | None,
        beginning: Beginning | None,
    ) -> None:
        self.operation, self.spin_up, self.inputs, self.days = operation, spin_up, inputs, days
        self.beginning = beginning
        self.leakage = None if imbalance is None else imbalance.leakage
        self.cell_days = days_run(operation, days)

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        """Run the typical days; see `Days`."""
        apart = drifted(state, self.leakage)
        days = self.days if self.beginning is None else self.days._replace(state_of_charge=self.beginning(state))
        found = daily_rates(self.operation, self.spin_up, state.slow, self.inputs, days, apart)
        rate, extremes, window = jax.tree.map(np.asarray, found)
        return Evaluated(rate, extremes, window, site=None)

    def deviation(self, one: SlowState, other: SlowState) -> np.ndarray:
        """Compare two slow states; see `Days`."""
        return deviation(self.operation.cell, self.inputs, one, other)


def drifted(state: Service, leakage: Lanes | None) -> Imbalance | None:
    """Return how groups differ at a state; None for cells by themselves."""
    return None if state.headroom is None or leakage is None else Imbalance(state.headroom, leakage)


def days_run(operation: Operation, days: DayBatch) -> float:
    """Days that one run of typical days simulates, summed over lanes."""
    steps, count, lanes = days.power.shape
    return steps * count * lanes / operation.steps_per_day


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
        here = relax(state).slow
        change = daily_rates(operation, spin_up, here, inputs, days)[0]
        return change._replace(slow=straight_rate(here, change.slow))

    state, rows = straighten(Service.start(slow)), [slow]
    for step in np.diff(times):
        first = rate(state)
        second = rate(advance(state, first, step))
        state = advance(state, jax.tree.map(lambda a, b: 0.5 * (a + b), first, second), step)
        rows.append(relax(state).slow)
    return jax.tree.map(lambda *parts: jnp.stack(parts), *rows)
