"""Every day simulated: the truth that `leap` is measured against."""

from functools import partial
from operator import itemgetter

import jax
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes, SlowState, restrict
from fadecast.cell.control import Window
from fadecast.cell.extremes import Extremes, of_nothing, stacked
from fadecast.cell.health import electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.profile import Profile
from fadecast.cell.ripple import Ripple
from fadecast.decades.macro import History
from fadecast.decades.packs import imbalance_of, judge_packs, rest_of_day
from fadecast.decades.service import Operation, Service, day_change
from fadecast.outcome import Outcome
from fadecast.pack.groups import Imbalance, headroom, relative


def direct(
    operation: Operation,
    slow: SlowState,
    inputs: Inputs,
    state_of_charge: Lanes,
    power: Float[Array, "days steps lanes"],
    ambient: Float[Array, "days steps lanes"],
    times: np.ndarray,
    outcome: np.ndarray | None = None,
    imbalance: Imbalance | None = None,
    ripple: Ripple | None = None,
) -> History:
    """Simulate day after day, the given days repeating, through the given whole days.

    Parameters
    ----------
    slow
        Slow state at time 0, fields `(1, lanes)`.
    state_of_charge
        At time 0 [1], `(1, lanes)`.
    power, ambient
        Terminal power of the cell [W] and ambient temperature [K].
    times
        Times of the history [day]: whole numbers, increasing from 0.
    outcome
        Outcome codes of lanes known to have failed before the start, shape `(lanes,)`; none by default.
    imbalance
        Of groups in series: how they differ beside their slow states; by default not at all.
    ripple
        Swings inside the load steps, fields `(days, steps, lanes)`; none: there are none.

    Raises
    ------
    ValueError
        When a time is not a whole day.
    """
    ends = np.round(times).astype(int)
    if not np.allclose(ends, times, atol=1e-6):
        raise ValueError(f"direct mode stops at whole days, got {times}; choose an output interval of whole days")
    lanes = slow.sei.shape[1]
    outcome = np.zeros(lanes, dtype=np.int8) if outcome is None else outcome.astype(np.int8)
    last_good = np.where(outcome == Outcome.COMPLETED, np.inf, -np.inf)
    extremes = of_nothing(lanes)
    imbalance = imbalance_of(operation, imbalance, slow)
    apart = imbalance and imbalance.headroom
    y, _ = operation.begin_day(slow, inputs, state_of_charge, ambient[0, :1], apart)
    state = jax.tree.map(np.asarray, Service.start(slow, apart))
    rows, so_far = [state], [extremes]
    for day in range(ends[-1]):
        which = day % len(power)
        profile = Profile(power[which], ambient[which], jax.tree.map(itemgetter(which), ripple))
        y, change, found, window = _one_day(operation, y, slow.inventory, inputs, profile, imbalance)
        change, found, window = jax.tree.map(np.asarray, (change, found, window))
        codes, _, _ = judge_packs(operation, state, window, change)
        newly = (codes != Outcome.COMPLETED) & (outcome == Outcome.COMPLETED)
        outcome, last_good = np.where(newly, codes, outcome), np.where(newly, day, last_good)
        alive = outcome == Outcome.COMPLETED
        extremes = jax.tree.map(partial(np.where, alive), extremes.beyond(found), extremes)
        state = jax.tree.map(partial(_add, alive), state, change)
        if day + 1 in ends:
            rows.append(state)
            so_far.append(extremes)
    service = jax.tree.map(lambda *parts: np.stack(parts), *rows)
    return History(
        service,
        stacked(so_far),
        outcome,
        last_good,
        float(ends[-1] * lanes),
        macro_steps=np.zeros(0),
        site={},
    )


def _add(alive: np.ndarray, value: np.ndarray, change: np.ndarray) -> np.ndarray:
    return np.where(alive, value + change, value)


@partial(jax.jit, static_argnums=0)
def _one_day(
    operation: Operation,
    y: Float[Array, "states lanes"],
    inventory: Lanes,
    inputs: Inputs,
    profile: Profile,
    imbalance: Imbalance | None,
) -> tuple[Float[Array, "states lanes"], Service, Extremes, Window]:
    cell = operation.cell
    slow = restrict(cell, y, inventory)
    window = electrode_window(cell, slow, inputs)
    course = operation.run(y, inputs, window, profile)
    change, end = day_change(operation, course, slow), course.end
    if operation.series is not None and imbalance is not None:
        then = electrode_window(cell, restrict(cell, end, inventory), inputs)
        end, apart = rest_of_day(operation, operation.series, end, then, imbalance.leakage)
        change = change._replace(headroom=apart - relative(operation.series, headroom(cell, y, window)))
    return end, change, Extremes(*(value[0] for value in course.totals.extremes)), window
