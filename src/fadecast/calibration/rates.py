"""One rate multiplier per measured series, by least squares through the engine itself.

A series is a lane: the engine runs all of them at once, with their derivatives in the logarithms of the multipliers in
forward mode, and SciPy's trust-region method finds the best. The spread of the multipliers over series says how well
the law holds from condition to condition, and is the prior width of a forecast.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import least_squares

from fadecast.cell.aged import SlowState, fresh_state, restrict
from fadecast.cell.balance import FARADAY
from fadecast.cell.health import check_up, electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.profile import Profile
from fadecast.decades.leap import DayBatch, march
from fadecast.decades.service import KELVIN, Operation

ACTIVATION_ENERGY = "SEI growth activation energy [J.mol-1]"
GAS_CONSTANT = 8.31446261815324  # [J.mol-1.K-1], CODATA 2018

_PRECISION = 1e-6  # of the sum of squares

_STORAGE_INTERVAL = 30  # [day] between predicted check-ups of a stored cell


class CalibrationError(RuntimeError):
    """A fit that did not come to an end."""


class Series(NamedTuple):
    """What was measured of one cell."""

    days: np.ndarray
    """Times [day], shape `(times,)`."""
    values: np.ndarray
    """Shape `(quantities, times)`."""


class Multipliers(NamedTuple):
    """Best multipliers of each series and how well they fit."""

    log: np.ndarray
    """Natural logarithms of the multipliers, shape `(parameters, series)`."""
    rmse: np.ndarray
    """Root mean square residuals in the unit of the measurement, shape `(quantities, series)`."""


def storage_days(longest: float) -> np.ndarray:
    """Return the times of the predicted check-ups of a stored cell, to at least the longest [day]."""
    return _STORAGE_INTERVAL * np.arange(np.ceil(longest / _STORAGE_INTERVAL) + 1.0)


def stored_capacity(
    operation: Operation, inputs: Inputs, temperature: np.ndarray, state_of_charge: np.ndarray, days: np.ndarray
) -> Float[Array, "times lanes"]:
    """C/10 capacity of fresh cells stored at rest over that before storage [1], at `storage_days`.

    Parameters
    ----------
    operation
        Its load step is the time step of storage.
    inputs
        PyBaMM input parameters, each `(1, lanes)`.
    temperature, state_of_charge
        Of storage [degC], [1], each `(lanes,)`.
    days
        Of the check-ups: `storage_days`.
    """
    lanes = len(temperature)
    slow = fresh_state(operation.cell, lanes, inputs)
    ambient = jnp.asarray(temperature[None] + KELVIN)
    y, _ = operation.begin_day(slow, inputs, jnp.asarray(state_of_charge[None]), ambient)
    steps = _STORAGE_INTERVAL * operation.steps_per_day
    rest = Profile(jnp.zeros((steps, lanes)), jnp.tile(ambient, (steps, 1)))
    capacity = [_capacity(operation.cell, slow, inputs)]
    for _ in days[1:]:
        y = _store(operation, y, slow, inputs, rest)
        capacity.append(_capacity(operation.cell, restrict(operation.cell, y, slow.inventory), inputs))
    measured = jnp.concatenate(capacity)
    return measured / measured[0]


def cycled_state(operation: Operation, inputs: Inputs, day: DayBatch, times: np.ndarray) -> SlowState:
    """Slow state of fresh cells that repeat one day of cycling, at times [day]; fields `(times, 1, lanes)`."""
    slow = fresh_state(operation.cell, day.weight.shape[1], inputs)
    return march(operation, slow, inputs, day, 0, times)


def fit_multipliers(
    predict: Callable[[Float[Array, "parameters lanes"]], Float[Array, "quantities times lanes"]],
    days: np.ndarray,
    series: Sequence[Series],
    start: np.ndarray,
    evaluations: int = 50,
) -> Multipliers:
    """Least-squares multipliers of every series.

    Parameters
    ----------
    predict
        What the engine predicts at `days` for logarithms of the multipliers; a lane is a series.
    days
        Increasing; between them predictions are interpolated linearly [day].
    series
        Measured, one for each lane.
    start
        Logarithms to start from, shape `(parameters, series)`.
    evaluations
        Runs of the engine at most.

    Raises
    ------
    CalibrationError
        When the sum of squares still falls by more than a millionth then.
    """
    weights = [np.stack([np.interp(each.days, days, unit) for unit in np.eye(len(days))], axis=1) for each in series]
    measured = np.concatenate([each.values.ravel() for each in series])
    units = jnp.tile(jnp.eye(len(start))[:, :, None], (1, 1, len(series)))

    def at_measured(predicted: np.ndarray) -> list[np.ndarray]:
        return [(predicted[..., lane] @ weight.T).ravel() for lane, weight in enumerate(weights)]

    @cache
    def evaluated(logs: bytes) -> tuple[np.ndarray, np.ndarray]:
        at = jnp.asarray(np.frombuffer(logs).reshape(start.shape))
        # No lane changes another: one direction for each parameter gives the whole Jacobian.
        along = jax.vmap(lambda unit: jax.jvp(predict, (at,), (unit,)), out_axes=(None, 0))
        value, slopes = (np.asarray(part) for part in along(units))
        jacobian = np.zeros((len(measured), *start.shape))
        for parameter, slope in enumerate(slopes):
            parts = at_measured(slope)
            ends = np.cumsum([0, *map(len, parts)])
            for lane, part in enumerate(parts):
                jacobian[ends[lane] : ends[lane + 1], parameter, lane] = part
        return np.concatenate(at_measured(value)) - measured, jacobian.reshape(len(measured), -1)

    found = least_squares(
        lambda logs: evaluated(logs.tobytes())[0],
        start.ravel(),
        jac=lambda logs: evaluated(logs.tobytes())[1],
        x_scale="jac",
        ftol=_PRECISION,
        max_nfev=evaluations,
    )
    if not found.success:
        raise CalibrationError(f"the least-squares fit of {len(series)} series did not converge: {found.message}")
    parts = np.split(found.fun, np.cumsum([each.values.size for each in series])[:-1])
    rmse = [np.sqrt(np.mean(p.reshape(s.values.shape) ** 2, axis=1)) for p, s in zip(parts, series, strict=True)]
    return Multipliers(found.x.reshape(start.shape), np.stack(rmse, axis=1))


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
