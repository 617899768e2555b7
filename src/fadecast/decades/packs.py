"""Service of packs made of groups in series: how far groups drift apart, and what that makes of a pack.

Self-discharge and balancing act between days, a day's worth at once; the days themselves tell how side reactions make
the headrooms of groups differ.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes, SlowState, restrict
from fadecast.cell.control import Window
from fadecast.cell.health import electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.profile import Course
from fadecast.cell.series import Series
from fadecast.decades.service import Operation, Service, judge
from fadecast.pack.groups import Imbalance, bled, discharged, headroom, pack_capacity, relative


def imbalance_of(operation: Operation, given: Imbalance | None, slow: SlowState) -> Imbalance | None:
    """Return the imbalance of packs, balanced and without self-discharge where none is given; None of single cells."""
    if operation.series is None:
        return None
    return Imbalance.none(slow.sei) if given is None else given


def day_drift(operation: Operation, course: Course, slow: SlowState, inputs: Inputs) -> Lanes:
    """Change of the headrooms over a profile [A.h], each at the losses of its time; a common amount means nothing."""
    ends = jnp.concatenate([course.start, course.end], axis=1)
    twice = {name: jnp.tile(value, (1, 2)) for name, value in inputs.items()}
    window = electrode_window(operation.cell, restrict(operation.cell, ends, jnp.tile(slow.inventory, (1, 2))), twice)
    first, last = jnp.split(headroom(operation.cell, ends, window), 2, axis=1)
    return last - first


def rest_of_day(
    operation: Operation, series: Series, y: Float[Array, "states lanes"], window: Window, leakage: Lanes
) -> tuple[Float[Array, "states lanes"], Lanes]:
    """Take a day's self-discharge and balancing from a state; return it with the relative headroom [A.h].

    The window is that of the state's own losses.
    """
    before = headroom(operation.cell, y, window)
    after = bled(series, before, leakage, operation.bleed, 1.0)
    return discharged(operation.cell, y, after - before), relative(series, after)


def moved_apart(operation: Operation, start: Lanes, drift: Lanes, days: float) -> Lanes:
    """Relative headroom after some days of drift [A.h/day] and balancing [A.h], as NumPy."""
    return jax.tree.map(np.asarray, _moved_apart(operation, start, drift, days))


@partial(jax.jit, static_argnums=0)
def _moved_apart(operation: Operation, start: Lanes, drift: Lanes, days: Float[Array, ""]) -> Lanes:
    if operation.series is None:
        raise ValueError("cells by themselves do not drift apart; give the operation a series")
    return relative(operation.series, bled(operation.series, start, drift, operation.bleed, days))


def judge_packs(
    operation: Operation, state: Service, window: Window, change: Service
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judge lanes by `judge`; return outcome codes, capacities at rest [A.h] and porosities [1], of shape `(lanes,)`.

    A pack ends with its worst group, or when the whole holds too little; capacities are those of whole packs, and the
    porosity is the least of a pack's groups, 1 where films take none of it.
    """
    series = operation.series
    porosity = jnp.ones_like(window.capacity) if window.porosity is None else jnp.asarray(window.porosity)
    if series is None or state.headroom is None:
        return (
            judge(operation.cell, state.slow, window, change),
            np.asarray(window.capacity[0]),
            np.asarray(porosity[0]),
        )
    whole = window._replace(capacity=pack_capacity(series, window.capacity, state.headroom))
    codes = judge(operation.cell, state.slow, jax.tree.map(np.asarray, whole), change)
    return (
        np.asarray(series.most(jnp.asarray(codes))),
        np.asarray(whole.capacity[0]),
        np.asarray(series.least(porosity)[0]),
    )
