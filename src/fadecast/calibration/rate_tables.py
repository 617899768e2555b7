"""What the engine predicts of measured cells, tabulated over their unknown parameters at Chebyshev points.

A cell at one temperature under one protocol depends on a handful of unknowns only. So the engine runs once at every
point of a grid of them, thousands of lanes as one batch, and a sampler that asks for the fade of every cell at every
step reads polynomials through the logarithms of the losses, smooth and with derivatives (Trefethen, Approximation
Theory and Approximation Practice, ch. 3). `benchmarks/rate_tables.py` holds them against the engine.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fadecast.calibration.laws import START_LAM, Unknown
from fadecast.calibration.second_life import second_life
from fadecast.cell.aged import SlowState, fresh_state
from fadecast.cell.control import Limits
from fadecast.cell.health import check_up
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.profile import Stepping
from fadecast.decades.cycling import Regime, follow
from fadecast.decades.macro import Leap
from fadecast.decades.regimes import CyclingStep, repeat_of
from fadecast.decades.service import KELVIN, Operation
from fadecast.outcome import Outcome

QUANTITIES = ("capacity", "lam_ne", "lam_pe")
"""Losses that are predicted [1]."""

_SMALLEST, _LARGEST = 1e-6, 0.8
"""Losses that logarithms are taken of [1]."""
_BROKEN = (Outcome.NOT_FINITE, Outcome.STATE_OUT_OF_BOUNDS)


class Place(NamedTuple):
    """Where cells of one protocol are held, a field of the shape `(cells,)`."""

    temperature: np.ndarray
    """[degC]"""
    start_soc: np.ndarray
    """At the start of a repeat [1]."""
    start_soh: np.ndarray | None = None
    """Capacity at the start over that of a new cell [1]; none where cells are new."""


class Start(NamedTuple):
    """Where cells begin."""

    slow: SlowState
    inputs: dict[str, Array]
    """Those that are parameters of PyBaMM."""
    met: Bool[np.ndarray, " lanes"]
    """Whether a cell can have the capacity that it is to start with."""


class Table(NamedTuple):
    """Losses of cells as polynomials of the logarithms of their unknowns."""

    coefficients: Float[Array, "cells ..."]
    """Of products of Chebyshev polynomials, in the logarithm of a loss. The last axes are of polynomials, one axis for
    each unknown; those between tell losses apart, `quantities times` in a table as it is made."""
    low: Float[Array, "1 unknowns"]
    """Logarithms of the multiples that polynomials reach from."""
    high: Float[Array, "1 unknowns"]


def laboratory(cell: CellModel) -> Operation:
    """Return how a cycler without a battery management system operates a cell."""
    limits = Limits(soc_min=0.0, soc_max=1.0, charge_derating=(), discharge_derating=())
    return Operation(cell, limits, Stepping(), 3600.0)


def losses(
    cell: CellModel,
    inputs: Inputs,
    place: Place,
    steps: Sequence[CyclingStep],
    times: np.ndarray,
    tolerance: float,
) -> Float[np.ndarray, "quantities times lanes"]:
    """Losses of cells under a repeated protocol, by the engine [1]; NaN where a lane breaks.

    Parameters
    ----------
    inputs
        PyBaMM input parameters, each `(1, lanes)`; with `START_LAM` where cells are not new.
    place
        Of every lane.
    times
        From 0 [day].
    tolerance
        Largest estimated error of a macro step in SOH [1].
    """
    soc = jnp.asarray(place.start_soc, float)[None]
    regime = Regime(
        soc,
        jnp.asarray(place.temperature, float)[None] + KELVIN,
        lambda capacity: repeat_of(cell, steps, soc, capacity).instructions,
    )
    slow, inputs, met = start_of(cell, inputs, place.start_soh, soc.shape[1])
    history = follow(laboratory(cell), Leap(tolerance=tolerance), slow, inputs, regime, times)
    states = history.service.slow
    capacity = np.concatenate([_capacity(cell, _at(states, n), inputs) for n in range(len(times))])
    fractions = [np.asarray(getattr(states, f"active_fraction_{side}"))[:, 0] for side in ("ne", "pe")]
    found = np.stack([1.0 - part / part[0] for part in (capacity, *fractions)])
    found[..., np.isin(history.outcome, _BROKEN) | ~met] = np.nan
    return found


def start_of(cell: CellModel, inputs: Inputs, start_soh: np.ndarray | None, lanes: int) -> Start:
    """Return the state that cells start in.

    Parameters
    ----------
    inputs
        Each `(1, lanes)`; with `START_LAM` where cells are not new.
    start_soh
        Capacity over that of a new cell [1], `(lanes,)`; none where cells are new.
    """
    given = {name: jnp.asarray(values) for name, values in inputs.items() if name != START_LAM}
    if start_soh is None:
        return Start(fresh_state(cell, lanes, given), given, np.ones(lanes, bool))
    slow, met = second_life(cell, jnp.asarray(inputs[START_LAM]), jnp.asarray(start_soh)[None], given)
    return Start(slow, given, np.asarray(met))


def tabulate(
    cell: CellModel,
    unknowns: Sequence[Unknown],
    place: Place,
    steps: Sequence[CyclingStep],
    days: Float[np.ndarray, "cells times"],
    where: np.ndarray,
    tolerance: float,
    run: Callable[..., np.ndarray] = losses,
    every: float | None = None,
    quantities: int = len(QUANTITIES),
) -> Table:
    """Run cells at every combination of their unknowns.

    Parameters
    ----------
    cell
        Lowered, the parameters of `unknowns` varied.
    place
        Of the conditions.
    days
        Check-ups of each measured cell after the start, increasing.
    where
        Number of the condition that each cell is under.
    tolerance
        Of the engine; see `losses`.
    run
        In place of the engine, for tests.
    every
        Interval [day] at which the engine is read, where check-ups are at many different times: between, the logarithm
        of losses is taken to be linear in that of time; none: at each check-up.
    quantities
        How many of `QUANTITIES` are kept, the first.
    """
    axes = [_points(unknown) for unknown in unknowns]
    grid = np.array(list(itertools.product(*axes)))
    held, count = len(place.temperature), len(grid)
    inputs = {
        unknown.parameter: jnp.asarray(np.tile(unknown.centre * np.exp(grid[:, n]), held))[None]
        for n, unknown in enumerate(unknowns)
    }
    lanes = jax.tree.map(lambda values: np.repeat(values, count), place)
    times = np.unique(np.concatenate([[0.0], days.ravel()]))
    if every is not None:
        times = np.arange(0.0, times[-1] + every, every)
    found = run(cell, inputs, lanes, steps, times, tolerance).reshape(len(QUANTITIES), len(times), held, count)
    logs = np.log(np.clip(np.nan_to_num(found[:quantities], nan=_LARGEST), _SMALLEST, _LARGEST))
    # (cells, quantities, times, points)
    values = np.stack([_read(logs[:, :, at], times, each) for each, at in zip(days, where, strict=True)])
    coefficients = values.reshape(*values.shape[:3], *(len(axis) for axis in axes))
    for n, unknown in enumerate(unknowns):
        inverse = np.linalg.inv(np.polynomial.chebyshev.chebvander(_unit(unknown.points), unknown.points - 1))
        coefficients = np.moveaxis(np.tensordot(inverse, coefficients, (1, 3 + n)), 0, 3 + n)
    low, high = np.array([unknown.reach for unknown in unknowns]).T
    return Table(jnp.asarray(coefficients), jnp.asarray(low)[None], jnp.asarray(high)[None])


def _read(
    logs: Float[np.ndarray, "quantities grid points"], times: np.ndarray, days: np.ndarray
) -> Float[np.ndarray, "quantities times points"]:
    if np.isin(days, times).all():
        return logs[:, np.searchsorted(times, days)]
    # Before the second time in the grid, the line through it and the third.
    after = np.clip(np.searchsorted(times, days), 2, len(times) - 1)
    start, end = np.log(times[after - 1]), np.log(times[after])
    share = ((np.log(days) - start) / (end - start))[:, None]
    return np.asarray((1.0 - share) * logs[:, after - 1] + share * logs[:, after])


def chosen(table: Table, quantity: Int[np.ndarray, "cells rows"], time: Int[np.ndarray, "cells rows"]) -> Table:
    """Return a table of some losses alone, by number of quantity and time."""
    cells = np.arange(len(table.coefficients))[:, None]
    return table._replace(coefficients=np.asarray(table.coefficients)[cells, quantity, time])


def tabulated(table: Table, logs: Float[Array, "cells unknowns"]) -> Float[Array, "cells ..."]:
    """Read losses of all cells at the logarithms of their multiples; beyond the reach, those at its end [1]."""
    rows, points = _shape(table)
    basis = _products(_unit_of(table, logs), points)
    return jnp.exp(jnp.einsum("c...k,ck->c...", table.coefficients.reshape(*rows, math.prod(points)), basis))


def tabulated_along(
    table: Table, logs: Float[Array, "cells others"], last: Float[Array, " nodes"]
) -> Float[Array, "cells ... nodes"]:
    """Read losses of all cells at many values of the last unknown, each at its own of the others [1]."""
    rows, (*points, last_points) = _shape(table)
    basis = _products(_unit_of(table, logs), points)
    coefficients = table.coefficients.reshape(*rows, math.prod(points), last_points)
    along = jnp.einsum("c...ks,ck->c...s", coefficients, basis)
    unit = 2.0 * (last - table.low[0, -1]) / (table.high[0, -1] - table.low[0, -1]) - 1.0
    return jnp.exp(jnp.einsum("c...s,ns->c...n", along, _chebyshev(jnp.clip(unit, -1.0, 1.0), last_points)))


def _shape(table: Table) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes that tell losses apart, cells first, and how many polynomials each unknown has."""
    unknowns = table.low.shape[1]
    return table.coefficients.shape[:-unknowns], table.coefficients.shape[-unknowns:]


def _unit_of(table: Table, logs: Float[Array, "cells some"]) -> Float[Array, "cells some"]:
    low, high = (part[:, : logs.shape[1]] for part in (table.low, table.high))
    return jnp.clip(2.0 * (logs - low) / (high - low) - 1.0, -1.0, 1.0)


def _products(unit: Float[Array, "cells some"], points: Sequence[int]) -> Float[Array, "cells products"]:
    # One product for each cell: unknown after unknown, many small ones take several times as long.
    basis = jnp.ones((len(unit), 1))
    for n, count in enumerate(points):
        basis = (basis[:, :, None] * _chebyshev(unit[:, n], count)[:, None]).reshape(len(unit), basis.shape[1] * count)
    return basis


def unresolved(table: Table) -> Float[np.ndarray, "cells quantities times"]:
    """Return what the highest polynomials of each unknown make of the losses, rms over the reach [1].

    Coefficients of what polynomials resolve fall off, so that the error is less than this where points suffice
    (Trefethen, ch. 7); it is taken at the loss in the middle of the reach.
    """
    values = np.asarray(table.coefficients)
    axes = tuple(range(3, values.ndim))
    square = values**2
    for axis in axes:
        # Of Chebyshev polynomials the constant has a mean square of 1, others of one half.
        halves = np.where(np.arange(values.shape[axis]) == 0, 1.0, 0.5)
        square = square * halves.reshape((-1,) + (1,) * (values.ndim - 1 - axis))
    last = sum(np.take(square, -1, axis).sum(axes[:-1]) for axis in axes)
    middle = tabulated(table, jnp.tile(0.5 * (table.low + table.high), (len(values), 1)))
    return np.asarray(middle) * np.sqrt(last)


def _chebyshev(at: Float[Array, " cells"], count: int) -> Float[Array, "cells count"]:
    # By recurrence: cosines take most of the time of a log density.
    values = [jnp.ones_like(at), at]
    while len(values) < count:
        values.append(2.0 * at * values[-1] - values[-2])
    return jnp.stack(values[:count], axis=1)


def _unit(points: int) -> np.ndarray:
    return np.cos(np.pi * (np.arange(points) + 0.5) / points)


def _points(unknown: Unknown) -> np.ndarray:
    low, high = unknown.reach
    return low + 0.5 * (high - low) * (1.0 + _unit(unknown.points))


def _at(states: SlowState, number: int) -> SlowState:
    return jax.tree.map(lambda value: jnp.asarray(value[number]), states)


@partial(jax.jit, static_argnums=0)
def _capacity(cell: CellModel, slow: SlowState, inputs: Inputs) -> Array:
    return check_up(cell, slow, inputs).capacity
