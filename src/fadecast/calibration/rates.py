"""One rate multiplier per measured series: the engine runs each series at a grid of multipliers.

The multiplier of a series is where the interpolated prediction fits its measurements best. The spread of the
multipliers over series says how well the law holds from condition to condition, and is the prior width of a forecast.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar

from fadecast.cell.aged import SlowState, fresh_state, restrict
from fadecast.cell.balance import FARADAY
from fadecast.cell.health import check_up, electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.profile import Profile
from fadecast.decades.leap import DayBatch, Leap, leap
from fadecast.decades.service import KELVIN, Operation

ACTIVATION_ENERGY = "SEI growth activation energy [J.mol-1]"
GAS_CONSTANT = 8.31446261815324  # [J.mol-1.K-1], CODATA 2018

_TOLERANCE = 2e-3  # of the leap through cycling; the measured losses scatter by more

_STORAGE_INTERVAL = 30  # [day] between predicted check-ups of a stored cell


class Multiplier(NamedTuple):
    """Best multiplier of one series and how well it fits."""

    log: float
    """Natural logarithm of the multiplier."""
    rmse: float
    """Root mean square residual, in the unit of the measurement."""


def stored_capacity(
    operation: Operation, inputs: Inputs, temperature: np.ndarray, state_of_charge: np.ndarray, days: float
) -> tuple[np.ndarray, np.ndarray]:
    """C/10 capacity of fresh cells stored at rest, as a share of the capacity before storage.

    Parameters
    ----------
    operation
        Its load step is the time step of storage; half an hour settles the exchange with plated lithium.
    inputs
        PyBaMM input parameters, each `(1, lanes)`.
    temperature, state_of_charge
        Of storage [degC], [1], each `(lanes,)`.
    days
        At least this long [day].

    Returns
    -------
    days
        Times of the predicted check-ups [day], shape `(times,)`.
    retention
        Capacity over capacity before storage [1], shape `(times, lanes)`.
    """
    lanes = len(temperature)
    slow = fresh_state(operation.cell, lanes)
    ambient = jnp.asarray(temperature[None] + KELVIN)
    y, _ = operation.begin_day(slow, inputs, jnp.asarray(state_of_charge[None]), ambient)
    steps = _STORAGE_INTERVAL * operation.steps_per_day
    rest = Profile(jnp.zeros((steps, lanes)), jnp.tile(ambient, (steps, 1)))
    count = int(np.ceil(days / _STORAGE_INTERVAL))
    capacity = [_capacity(operation.cell, slow, inputs)]
    for _ in range(count):
        y = _store(operation, y, slow, inputs, rest)
        capacity.append(_capacity(operation.cell, restrict(operation.cell, y, slow.inventory), inputs))
    measured = np.concatenate(capacity)
    return _STORAGE_INTERVAL * np.arange(count + 1.0), measured / measured[0]


def cycled_state(operation: Operation, inputs: Inputs, day: DayBatch, times: np.ndarray) -> SlowState:
    """Slow state of fresh cells that repeat one day of cycling, at times [day]; fields `(times, 1, lanes)`."""
    slow = fresh_state(operation.cell, day.weight.shape[1])
    return leap(operation, Leap(tolerance=_TOLERANCE), slow, inputs, day, 0, times).service.slow


def fit_multiplier(grid: np.ndarray, predicted: np.ndarray, measured: np.ndarray) -> Multiplier:
    """Least-squares multiplier of one series.

    Parameters
    ----------
    grid
        Logarithms of the multipliers that were run, increasing, shape `(grid,)`.
    predicted
        Prediction at each, at the times measured, shape `(grid, times)`.
    measured
        Shape `(times,)`.
    """
    curve = PchipInterpolator(grid, predicted, axis=0)

    def mean_square(log: float) -> float:
        return float(np.mean((curve(log) - measured) ** 2))

    best = minimize_scalar(mean_square, bounds=(grid[0], grid[-1]), method="bounded", options={"xatol": 1e-6})
    return Multiplier(float(best.x), float(np.sqrt(best.fun)))


def arrhenius_correction(log_multiplier: np.ndarray, temperature: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Split multipliers into one at 25 degC, a correction of the activation energy, and what is left.

    Parameters
    ----------
    log_multiplier, temperature
        Of each series; temperature in [degC].

    Returns
    -------
    log_at_reference
        Logarithm of the multiplier at 25 degC.
    activation_energy
        To be added to the model's [J.mol-1].
    residual
        Log multiplier of each series not explained by the two.
    """
    inverse = (1.0 / 298.15 - 1.0 / (temperature + KELVIN)) / GAS_CONSTANT
    slope, intercept = np.polyfit(inverse, log_multiplier, 1)
    return float(intercept), float(slope), log_multiplier - intercept - slope * inverse


@partial(jax.jit, static_argnums=0)
def _store(operation: Operation, y: jax.Array, slow: SlowState, inputs: Inputs, rest: Profile) -> jax.Array:
    return operation.run(y, inputs, electrode_window(operation.cell, slow, inputs), rest).end


@partial(jax.jit, static_argnums=0)
def _capacity(cell: CellModel, slow: SlowState, inputs: Inputs) -> jax.Array:
    return check_up(cell, slow, inputs).capacity


def film_resistance(cell: CellModel, resistivity: str) -> float:
    """Growth of the 10 s resistance per lithium in SEI and per unit of SEI resistivity [ohm/(A.h)/(ohm.m)]."""
    inputs = {name: jnp.full((1, 2), value) for name, value in cell.inputs.items()}
    fresh = fresh_state(cell, 2)
    added = jnp.asarray([[0.0, 0.5]])  # [A.h]
    moles = added * 3600.0 / FARADAY
    thick = fresh._replace(sei=fresh.sei + moles / (cell.lithium_per_sei * cell.negative.volume))
    resistance = check_up(cell, thick._replace(inventory=fresh.inventory + moles), inputs).resistance[0]
    return float((resistance[1] - resistance[0]) / added[0, 1]) / cell.inputs[resistivity]
