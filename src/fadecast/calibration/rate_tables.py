"""What the engine predicts of measured cells, tabulated over their unknown parameters at Chebyshev points.

A cell at one temperature under one protocol depends on a handful of unknowns only. So the engine runs once at every
point of a grid of them, thousands of lanes as one batch, and a sampler that asks for the fade of every cell at every
step reads polynomials through the logarithms of the losses, smooth and with derivatives (Trefethen, Approximation
Theory and Approximation Practice, ch. 3). `benchmarks/rate_tables.py` holds them against the engine.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.calibration.laws import Unknown
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


class Table(NamedTuple):
    """Losses of cells as polynomials of the logarithms of their unknowns."""

    coefficients: Float[Array, "cells quantities times ..."]
    """Of products of Chebyshev polynomials, of the logarithm of losses; an axis for each unknown."""
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
    """Losses of fresh cells under a repeated protocol, by the engine [1]; NaN where a lane breaks.

    Parameters
    ----------
    inputs
        PyBaMM input parameters, each `(1, lanes)`.
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
    slow = fresh_state(cell, soc.shape[1], inputs)
    history = follow(laboratory(cell), Leap(tolerance=tolerance), slow, inputs, regime, times)
    states = history.service.slow
    capacity = np.concatenate([_capacity(cell, _at(states, n), inputs) for n in range(len(times))])
    fractions = [np.asarray(getattr(states, f"active_fraction_{side}"))[:, 0] for side in ("ne", "pe")]
    found = np.stack([1.0 - part / part[0] for part in (capacity, *fractions)])
    found[..., np.isin(history.outcome, _BROKEN)] = np.nan
    return found


def tabulate(
    cell: CellModel,
    unknowns: Sequence[Unknown],
    place: Place,
    steps: Sequence[CyclingStep],
    days: Float[np.ndarray, "cells times"],
    where: np.ndarray,
    tolerance: float,
    run: Callable[..., np.ndarray] = losses,
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
    """
    axes = [_points(unknown) for unknown in unknowns]
    grid = np.array(list(itertools.product(*axes)))
    held, count = len(place.temperature), len(grid)
    inputs = {
        unknown.parameter: jnp.asarray(np.tile(unknown.centre * np.exp(grid[:, n]), held))[None]
        for n, unknown in enumerate(unknowns)
    }
    lanes = Place(*(np.repeat(values, count) for values in place))
    times = np.unique(np.concatenate([[0.0], days.ravel()]))
    found = run(cell, inputs, lanes, steps, times, tolerance).reshape(len(QUANTITIES), len(times), held, count)
    logs = np.log(np.clip(np.nan_to_num(found, nan=_LARGEST), _SMALLEST, _LARGEST))
    rows = np.searchsorted(times, days)
    # (cells, quantities, times, points)
    values = np.stack([logs[:, rows[n], at] for n, at in enumerate(where)])
    coefficients = values.reshape(*values.shape[:3], *(len(axis) for axis in axes))
    for n, unknown in enumerate(unknowns):
        inverse = np.linalg.inv(np.polynomial.chebyshev.chebvander(_unit(unknown.points), unknown.points - 1))
        coefficients = np.moveaxis(np.tensordot(inverse, coefficients, (1, 3 + n)), 0, 3 + n)
    low, high = np.array([unknown.reach for unknown in unknowns]).T
    return Table(jnp.asarray(coefficients), jnp.asarray(low)[None], jnp.asarray(high)[None])


def untabulated(unknowns: Sequence[Unknown]) -> Table:
    """Return the table of no cells."""
    low, high = np.array([unknown.reach for unknown in unknowns]).T
    shape = (0, len(QUANTITIES), 0, *(unknown.points for unknown in unknowns))
    return Table(jnp.zeros(shape), jnp.asarray(low)[None], jnp.asarray(high)[None])


def tabulated(table: Table, logs: Float[Array, "cells unknowns"]) -> Float[Array, "cells quantities times"]:
    """Read losses of all cells at the logarithms of their multiples; beyond the reach, those at its end [1]."""
    unit = jnp.clip(2.0 * (logs - table.low) / (table.high - table.low) - 1.0, -1.0, 1.0)
    cells, quantities, times, *points = table.coefficients.shape
    # One product for each cell: unknown after unknown, many small ones take several times as long.
    basis = jnp.ones((cells, 1))
    for n, count in enumerate(points):
        basis = (basis[:, :, None] * _chebyshev(unit[:, n], count)[:, None]).reshape(cells, basis.shape[1] * count)
    values = jnp.einsum("cvk,ck->cv", table.coefficients.reshape(cells, quantities * times, basis.shape[1]), basis)
    return jnp.exp(values.reshape(cells, quantities, times))


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
    return jnp.cos(jnp.arange(count)[None] * jnp.arccos(jnp.clip(at, -1.0 + 1e-12, 1.0 - 1e-12))[:, None])


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
