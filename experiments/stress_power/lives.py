"""Times at which a cell in a second life has lost some capacity, tabulated by the engine; and losses read from them.

All that ages a cell under a repeated protocol goes with the rate of film growth or with that of loss by stress: with
both twice as high, the same happens in half the time. So rates are tabulated by their ratio alone. Where the electrode
that is left becomes too small for the cell's charge, losses rise so fast that polynomials of the loss after some time
are far off; those of the time until some loss are smooth there too.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int
from scipy.interpolate import CubicSpline

from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.rate_tables import laboratory
from fadecast.calibration.second_life import second_life
from fadecast.cell.aged import fresh_state
from fadecast.cell.balance import FARADAY
from fadecast.cell.health import check_up
from fadecast.cell.model import CellModel, build_cell
from fadecast.decades.cycling import Regime, follow
from fadecast.decades.macro import Leap
from fadecast.decades.regimes import repeat_of
from fadecast.decades.service import KELVIN
from fadecast.outcome import Outcome
from fadecast.scored_cells import SECOND_LIFE_CELSIUS, SECOND_LIFE_STEPS

EXPONENT = "Negative electrode LAM constant exponential term"
AXES = ("ratio", "exponent", "start")
REACH = {"ratio": (-6.0, 2.0), "exponent": (-3.0, 0.3), "start": (-1.95, 0.4)}
"""Logarithms: of film growth over loss by stress, both as multiples of what is held likely; of the exponent over 2; of
what the negative electrode has to spare over 0.4. With less a cell cannot start, with more it would have gained
material."""
POINTS = {"ratio": 5, "exponent": 6, "start": 16}
SPARE = 0.4
LEVELS = np.concatenate([np.geomspace(0.002, 0.1, 11), np.arange(0.125, 0.401, 0.025)])
"""Losses of capacity that times are tabulated for [1]."""
_TIMES = np.concatenate([[0.0], np.geomspace(0.5, 250.0, 44)])
"""At which the engine is read [day]."""
_PACE = (-1.5, 0.7, 0.45)
"""Logarithm of the rates that cells are run at over those held likely, and its slopes in the exponent and in the
logarithm of what is to spare: so that all of them last about as long, and share macro steps."""
_TOLERANCE = 1e-3
_BROKEN = (Outcome.NOT_FINITE, Outcome.STATE_OUT_OF_BOUNDS)
_LEAST_STEP = 1e-3
"""Between the logarithms of times at which neighbouring levels are reached."""


class Lives(NamedTuple):
    """Logarithms of the times [day] at which cells have lost `LEVELS`, were stress as fast as is held likely."""

    coefficients: Float[Array, "ends products starts levels"]
    """Of Chebyshev polynomials of ratio and exponent, and of the start; of the least and the largest capacity."""
    ends: Float[Array, " ends"]
    """These capacities, over that of a new cell [1]."""


class Grid(NamedTuple):
    """Starts that losses are summed over: read at some, a cubic spline between them."""

    coarse: Float[np.ndarray, " starts"]
    fine: Float[np.ndarray, " finer"]
    between: Float[np.ndarray, "starts finer"]


def grid_of(starts: int, finer: int) -> Grid:
    """Return starts of even logarithms."""
    coarse, fine = np.linspace(*REACH["start"], starts), np.linspace(*REACH["start"], finer)
    return Grid(coarse, fine, CubicSpline(coarse, np.eye(starts))(fine).T)


def tabulate(law: AgeingLaw, ends: np.ndarray, passed) -> xr.Dataset:
    """Run cells of these capacities at every combination of ratio, exponent and start; their times are kept."""
    nodes = {name: _nodes(REACH[name], POINTS[name]) for name in AXES}
    grid = np.array(list(itertools.product(*nodes.values())))
    power = 2.0 * np.exp(grid[:, 1])
    pace = _PACE[0] + _PACE[1] * power + _PACE[2] * grid[:, 2]
    (film,), (stress,) = law.film, law.stress
    cell = build_cell(law.chemistry, (film.parameter, stress.parameter, EXPONENT))
    rates = film.centre * np.exp(pace + grid[:, 0]), stress.centre * np.exp(pace), power
    inputs = {
        name: jnp.asarray(np.tile(values, len(ends)))[None]
        for name, values in zip((film.parameter, stress.parameter, EXPONENT), rates, strict=True)
    }
    spare, soh = np.tile(SPARE * np.exp(grid[:, 2]), len(ends)), np.repeat(ends, len(grid))
    lost, sound_until = _followed(cell, inputs, spare, soh, passed)
    logs = np.stack([log_times(_TIMES, *each) for each in zip(lost.T, sound_until, strict=True)])
    logs = logs.reshape(len(ends), len(grid), -1) + pace[:, None]
    shape = len(ends), *POINTS.values(), len(LEVELS)
    return xr.Dataset(
        {"log_time": (("end", *AXES, "level"), logs.reshape(shape))},
        coords={"end": ends, **nodes, "level": LEVELS},
    )


def lives_of(table: xr.Dataset) -> Lives:
    """Return polynomials of tabulated times."""
    values = table["log_time"].transpose("end", *AXES, "level").to_numpy()
    for axis, count in enumerate(POINTS.values(), start=1):
        inverse = np.linalg.inv(np.cos(np.arange(count) * np.arccos(_unit(count))[:, None]))
        values = np.moveaxis(np.tensordot(inverse, values, (1, axis)), 0, axis)
    ends, *_, starts, levels = values.shape
    return Lives(jnp.asarray(values.reshape(ends, -1, starts, levels)), jnp.asarray(table["end"].to_numpy()))


def times_reached(
    lives: Lives, film: Array, stress: Array, exponent: Array, starts: np.ndarray
) -> Float[Array, "ends groups starts levels"]:
    """Read logarithms of the times at which `LEVELS` are lost, at logarithms of the multiples of groups of cells."""
    ratio, power = (_chebyshev(values, name) for values, name in ((film - stress, "ratio"), (exponent, "exponent")))
    basis = (ratio[:, :, None] * power[:, None]).reshape(len(ratio), -1)
    along = jnp.einsum("gk,eksl->egsl", basis, lives.coefficients)
    return jnp.einsum("egsl,ns->egnl", along, _chebyshev(jnp.asarray(starts), "start")) - stress[None, :, None, None]


def lost_by(
    reached: Float[Array, "cells starts levels"], cell: Int[np.ndarray, " readings"], log_days: np.ndarray
) -> Float[Array, "readings starts"]:
    """Return what cells have lost at some times [1]: between levels, and before the first, a power of time."""
    _, starts, levels = reached.shape
    now = jnp.asarray(log_days)[:, None]
    before = (jax.lax.stop_gradient(reached)[cell] < now[:, None]).sum(-1)
    after = jnp.clip(before, 1, levels - 1)
    # Single numbers of a flat array: rows of levels would be copied, and their derivatives too.
    at = (jnp.asarray(cell)[:, None] * starts + jnp.arange(starts)[None]) * levels + after
    begun, ended = (reached.reshape(-1).at[each].get(mode="promise_in_bounds") for each in (at - 1, at))
    share = jnp.minimum((now - begun) / jnp.maximum(ended - begun, _LEAST_STEP), 1.0)
    logs = jnp.log(LEVELS)
    return jnp.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))


def log_times(times: np.ndarray, lost: np.ndarray, sound_until: float) -> Float[np.ndarray, " levels"]:
    """Return the logarithm of the times [day] at which a cell has lost `LEVELS`.

    Between times, before the first and beyond the last a power of time is taken; beyond the last, that of what was lost
    between the last two.
    """
    rising = (times > 0.0) & (times <= sound_until) & np.isfinite(lost)
    rising[rising] = np.diff(np.fmax.accumulate(np.fmax(lost[rising], 1e-9)), prepend=0.0) > 1e-9
    log_lost, log_time = np.log(lost[rising]), np.log(times[rising])
    wanted = np.log(LEVELS)
    after = np.clip(np.searchsorted(log_lost, wanted), 1, len(log_lost) - 1)
    share = (wanted - log_lost[after - 1]) / (log_lost[after] - log_lost[after - 1])
    return np.asarray(log_time[after - 1] + share * (log_time[after] - log_time[after - 1]))


def _followed(cell: CellModel, inputs: dict[str, Array], spare: np.ndarray, soh: np.ndarray, passed):
    """Return losses of capacity at `_TIMES`, and until when each lane is sound."""
    lam = np.maximum(1.0 - (1.0 + spare) * soh / _held(cell), 0.0)
    slow, met = second_life(cell, jnp.asarray(lam)[None], jnp.asarray(soh)[None], inputs)
    if not np.asarray(met).all():
        raise ValueError(f"{np.sum(~np.asarray(met))} cells cannot start with what they have to spare")
    full = jnp.ones((1, len(soh)))
    regime = Regime(
        full,
        full * (SECOND_LIFE_CELSIUS + KELVIN),
        lambda capacity: repeat_of(cell, SECOND_LIFE_STEPS, full, capacity).instructions,
    )
    history = follow(laboratory(cell), Leap(tolerance=_TOLERANCE), slow, inputs, regime, _TIMES, passed=passed)
    states = history.service.slow
    measure = jax.jit(lambda state: check_up(cell, state, inputs).capacity[0])
    rows = [jax.tree.map(lambda value, n=n: jnp.asarray(value[n]), states) for n in range(len(_TIMES))]
    capacity = np.stack([np.asarray(measure(row)) for row in rows])
    broken = np.isin(history.outcome, _BROKEN)
    return 1.0 - capacity / capacity[0], np.where(broken, history.last_good, np.inf)


def _held(cell: CellModel) -> float:
    """Return what the negative electrode of a new cell could hold over the capacity of the cell."""
    fresh, inputs = fresh_state(cell, 1), {name: jnp.full((1, 1), value) for name, value in cell.inputs.items()}
    sites = fresh.active_fraction_ne * cell.negative.volume * cell.negative.maximum_concentration
    return float((sites * FARADAY / 3600.0 / check_up(cell, fresh, inputs).capacity)[0, 0])


def _chebyshev(logs: Float[Array, " some"], name: str) -> Float[Array, "some points"]:
    """Return Chebyshev polynomials over the reach of an axis; beyond it, those at its end."""
    low, high = REACH[name]
    unit = jnp.clip(2.0 * (logs - low) / (high - low) - 1.0, -1.0 + 1e-12, 1.0 - 1e-12)
    return jnp.cos(jnp.arange(POINTS[name])[None] * jnp.arccos(unit)[:, None])


def _unit(points: int) -> np.ndarray:
    return np.cos(np.pi * (np.arange(points) + 0.5) / points)


def _nodes(reach: tuple[float, float], points: int) -> np.ndarray:
    low, high = reach
    return low + 0.5 * (high - low) * (1.0 + _unit(points))
