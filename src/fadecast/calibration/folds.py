"""Rates of a condition that nobody has fitted: predicted from the fitted multipliers of all others.

Multipliers of film growth are regressed on temperature, to second order of 1/T, and on the charge at which a cell
stands, which PyBaMM's law leaves out; multipliers of the loss of material on temperature. What the regression does not
explain is how conditions differ, and goes on whole into the prediction: coefficients and spread are drawn from their
posterior under a prior of the spread that counts as a few conditions (Gelman et al., Bayesian Data Analysis, 14.2).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from fadecast.calibration.rates import GAS_CONSTANT
from fadecast.cell.parameters import LAM_RATE
from fadecast.decades.service import KELVIN
from fadecast.package_data import shipped

SEI = "SEI solvent diffusivity [m2.s-1]"
VARIED = (SEI, *LAM_RATE.values())
"""PyBaMM parameters that are drawn."""

_PRIOR_SD, _PRIOR_WEIGHT = 0.35, 4.0
"""Spread of multipliers between conditions that the prior holds likely [1], and the conditions it counts as."""


class Condition(NamedTuple):
    """Where a cell is held."""

    temperature: float
    """[degC]"""
    state_of_charge: float
    """Mean [1]."""


class Predicted(NamedTuple):
    """Draws of what is not known of a condition."""

    log_multipliers: dict[str, Float[np.ndarray, " draw"]]
    """Of each parameter of `VARIED`, over the value of the default chemistry."""
    error: Float[np.ndarray, " draw"]
    """Standard deviation of what the model leaves over in retention [1]."""


Known = Callable[[pd.DataFrame], pd.Series]
"""Says of fitted conditions which may be known."""


@cache
def fitted_conditions() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the multipliers fitted to storage and to cycling: temperature [degC], soc or cell and side, log."""
    table: dict[str, Any] = shipped("lgm50_rates")
    return pd.DataFrame(table["calendar"]), pd.DataFrame(table["cycling"])


def everything(fitted: pd.DataFrame) -> pd.Series:
    """Leave no condition out."""
    return pd.Series(data=True, index=fitted.index)


def predict(condition: Condition, known: Known, draws: int, rng: np.random.Generator) -> Predicted:
    """Draw the multipliers of a condition.

    Parameters
    ----------
    condition
        Of the forecast.
    known
        Fitted conditions that may be used; what is forecast must not be among them.
    draws
        How many.
    rng
        Of all random numbers.
    """
    calendar, cycling = fitted_conditions()
    calendar, cycling = calendar[known(calendar)], cycling[known(cycling)]
    here = pd.DataFrame({"temperature": [condition.temperature], "soc": [condition.state_of_charge]})
    logs = {SEI: _regress(_film_terms(calendar), calendar["log"].to_numpy(), _film_terms(here)[0], draws, rng)}
    for side, name in LAM_RATE.items():
        rows = cycling[cycling["side"] == side]
        logs[name] = _regress(_arrhenius_terms(rows), rows["log"].to_numpy(), _arrhenius_terms(here)[0], draws, rng)
    return Predicted(logs, rng.choice(calendar["rmse"].to_numpy(), draws))


def _film_terms(conditions: pd.DataFrame) -> Float[np.ndarray, "n 5"]:
    terms, charge = _arrhenius_terms(conditions), conditions["soc"].to_numpy() - 0.5
    return np.column_stack([terms, terms[:, 1] ** 2, charge, charge**2])


def _arrhenius_terms(conditions: pd.DataFrame) -> Float[np.ndarray, "n 2"]:
    # In units of 10 kJ/mol, so that coefficients are of order one.
    inverse = 1e4 * (1.0 / 298.15 - 1.0 / (conditions["temperature"].to_numpy() + KELVIN)) / GAS_CONSTANT
    return np.column_stack([np.ones_like(inverse), inverse])


def _regress(
    terms: Float[np.ndarray, "n k"],
    logs: Float[np.ndarray, " n"],
    here: Float[np.ndarray, " k"],
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " draw"]:
    coefficients, *_ = np.linalg.lstsq(terms, logs, rcond=None)
    left = ((logs - terms @ coefficients) ** 2).sum()
    freedom = _PRIOR_WEIGHT + max(len(logs) - terms.shape[1], 0)
    variance = (_PRIOR_WEIGHT * _PRIOR_SD**2 + left) / rng.chisquare(freedom, draws)
    leverage = here @ np.linalg.pinv(terms.T @ terms) @ here
    return np.asarray(here @ coefficients + np.sqrt(variance * (1.0 + leverage)) * rng.normal(size=draws))
