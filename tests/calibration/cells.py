"""Made-up cells whose electrodes are known: half cells of PyBaMM's LG M50, curves from the model itself."""

from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from fadecast.calibration.curve_posterior import Priors
from fadecast.calibration.half_cell import electrode, parameter_set_half_cell
from fadecast.calibration.open_circuit import POINTS, Curve, Electrodes, State, mean_voltages

NOMINAL = 5.0


@cache
def graphite_nmc() -> Electrodes:
    """Half cells of graphite (Ecker2015), which has stages, and NMC 811 (Chen2020)."""
    negative = parameter_set_half_cell("Ecker2015", "negative")
    return Electrodes(electrode(negative), electrode(parameter_set_half_cell("Chen2020", "positive")))


@cache
def silicon_graphite_nmc() -> Electrodes:
    materials = (parameter_set_half_cell("Chen2020_composite", "negative", phase) for phase in ("Primary", "Secondary"))
    return Electrodes(electrode(*materials), electrode(parameter_set_half_cell("Chen2020", "positive")))


class Cells(NamedTuple):
    """Curves and the electrodes that they are of."""

    curves: Curve
    truth: State


def made_up(
    electrodes: Electrodes,
    count: int,
    seed: int,
    noise: float = 1e-3,
    discrepancy: float = 0.0,
    window: tuple[float, float] = (0.85, 1.0),
) -> Cells:
    """Draw electrodes, and the curves they give with noise and a smooth discrepancy of half-normal size [V]."""
    rng = np.random.default_rng(seed)
    curves, states = [], []
    for _ in range(count):
        negative, positive = 1.2 * NOMINAL * np.exp(0.15 * rng.normal(size=2))
        x, y = rng.uniform(0.02, 0.06), rng.uniform(0.88, 0.98)
        passed = min((0.93 - x) * negative, (y - 0.25) * positive) * rng.uniform(*window)
        share = rng.uniform(0.05, 0.2) if electrodes.negative.composite else 0.0
        middle = (x + 0.5 * passed / negative, y - 0.5 * passed / positive)
        state = State(*map(jnp.asarray, (negative, positive, *middle, 0.005 * rng.normal(), share)))
        ones = jnp.ones(POINTS)
        curve = Curve(jnp.asarray(passed / POINTS), ones, ones, jnp.asarray(-1.0), jnp.asarray(0.0))
        voltage = np.asarray(mean_voltages(electrodes, state, curve))
        trust = 1.0 / np.sqrt(1.0 + (np.abs(np.gradient(voltage)) * POINTS * 1e-3 / 5e-3) ** 2)
        error = noise * rng.normal(size=POINTS) + abs(rng.normal()) * discrepancy * smooth(rng, passed)
        states.append(state)
        curves.append(curve._replace(voltage=jnp.asarray(voltage + error / trust), trust=jnp.asarray(trust)))
    stacked = (type(each[0])(*(jnp.stack(fields) for fields in zip(*each, strict=True))) for each in (curves, states))
    return Cells(*stacked)


def smooth(rng: np.random.Generator, passed: float) -> np.ndarray:
    """Draw a Matern 3/2 process of variance 1 along a curve."""
    place = np.arange(POINTS) * passed / POINTS / (Priors().discrepancy_length * NOMINAL)
    distance = np.sqrt(3.0) * np.abs(place[:, None] - place)
    return np.linalg.cholesky((1.0 + distance) * np.exp(-distance) + 1e-10 * np.eye(POINTS)) @ rng.normal(size=POINTS)
