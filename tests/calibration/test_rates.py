"""Least squares of rate multipliers: recovery of known ones, with derivatives and without overlap of series."""

import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.calibration.rates import CalibrationError, Series, fit_multipliers

DAYS = np.linspace(0.0, 700.0, 36)
LOGS = np.array([[0.5, 2.0, 4.0], [1.0, 3.0, 2.0]])


def losses(logs):
    """Two losses that each depend on both multipliers, `(2, times, lanes)`."""
    first, second = 1e-3 * jnp.exp(0.5 * logs)[:, None]
    root = jnp.sqrt(DAYS)[:, None]
    return jnp.stack([first * root * (1.0 - second), second * root + 0.1 * first**2])


def measured(noise: float = 0.0) -> list[Series]:
    """Each series at its own days, those of the predictions among them."""
    rng = np.random.default_rng(0)
    rows = np.array([0, 5, 11, 30]), np.array([0, 35]), np.arange(0, 36, 4)
    exact = np.asarray(losses(jnp.asarray(LOGS)))
    return [
        Series(DAYS[row], exact[:, row, lane] + noise * rng.normal(size=(2, len(row)))) for lane, row in enumerate(rows)
    ]


def test_known_multipliers_are_recovered():
    found = fit_multipliers(losses, DAYS, measured(), np.full(LOGS.shape, 1.5))
    np.testing.assert_allclose(found.log, LOGS, atol=1e-5)
    assert found.rmse.shape == (2, 3)
    assert (found.rmse < 1e-7).all()


def test_residuals_are_those_of_each_series_alone():
    """One series fitted with others is fitted as if alone, and its residual is that of what was measured."""
    data = measured(1e-3)
    together = fit_multipliers(losses, DAYS, data, np.full(LOGS.shape, 1.5))
    for lane, series in enumerate(data):
        alone = fit_multipliers(losses, DAYS, [series], np.full((2, 1), 1.5))
        np.testing.assert_allclose(together.log[:, lane], alone.log[:, 0], atol=1e-3)
        rows = np.searchsorted(DAYS, series.days)
        residual = np.asarray(losses(jnp.asarray(together.log)))[:, rows, lane] - series.values
        np.testing.assert_allclose(together.rmse[:, lane], np.sqrt(np.mean(residual**2, axis=1)), rtol=1e-12)


def test_a_fit_that_does_not_converge_is_refused():
    with pytest.raises(CalibrationError, match="3 series"):
        fit_multipliers(losses, DAYS, measured(), np.full(LOGS.shape, 1.5), evaluations=2)
