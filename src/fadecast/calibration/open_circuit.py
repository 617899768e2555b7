"""Slow charge or discharge curves: the voltage of a cell by the state of its electrodes.

Lithium that leaves one electrode enters the other: with charge q [A.h] counted from the middle of a curve, upwards on
charge, V(q) = U_pe(y - q / Q_pe) - U_ne(x + q / Q_ne) + v, where v is the polarisation, or rather what is left of it
beyond that of the half-cell curves: positive on charge, negative on discharge.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.calibration.half_cell import Potential, integral_at, potential_at

POINTS = 128
"""Of a curve that is fitted."""


class Electrodes(NamedTuple):
    """Half cells of a cell."""

    negative: Potential
    positive: Potential


class Curve(NamedTuple):
    """A slow curve at even steps of charge; arrays may have leading dimensions."""

    step: Float[Array, "*b"]
    """Of charge [A.h]."""
    voltage: Float[Array, "*b POINTS"]
    """Mean over each step, in the order in which the cell is charged [V]."""
    trust: Float[Array, "*b POINTS"]
    """What a residual counts: 1, less where the curve is so steep that an error of charge is one of voltage [1]."""
    direction: Float[Array, "*b"]
    """1 on charge, -1 on discharge."""
    loss: Float[Array, "*b"]
    """Capacity lost since the curve that others are compared with, as far as that is known beforehand [1]."""


class State(NamedTuple):
    """Electrodes of a cell and how they are aligned."""

    negative_capacity: Float[Array, "*b"]
    """Of the half cell's whole range [A.h]."""
    positive_capacity: Float[Array, "*b"]
    """[A.h]."""
    x_middle: Float[Array, "*b"]
    """Negative stoichiometry at the middle of the curve [1]."""
    y_middle: Float[Array, "*b"]
    """Positive stoichiometry there [1]."""
    polarisation: Float[Array, "*b"]
    """v [V]."""
    share: Float[Array, "*b"]
    """Of the second material in the negative capacity [1]."""


# Of capacity over which a steep curve is trusted less, and the error of voltage it is held against [1], [V].
_CHARGE_ERROR, _VOLTAGE_ERROR = 1e-3, 5e-3


def curve(
    charge: Float[np.ndarray, " n"], voltage: Float[np.ndarray, " n"], direction: float, loss: float = 0.0
) -> Curve:
    """Bring a measured curve to even steps of charge, each the mean of what was measured around it.

    Parameters
    ----------
    charge
        Passed, in the order of measurement, from any origin, rising as the cell is charged [A.h].
    voltage
        [V].
    direction
        1 on charge, -1 on discharge.
    loss
        Capacity lost since the reference [1].
    """
    order = np.argsort(charge, kind="stable")
    charge, voltage = charge[order], voltage[order]
    ends = np.linspace(charge[0], charge[-1], POINTS + 1)
    # The mean over a step is a difference of the integral, whatever the spacing of the rows: straight between them.
    distinct = np.concatenate([[True], np.diff(charge) > 0.0])
    voltage = np.interp(np.union1d(charge[distinct], ends), charge[distinct], voltage[distinct])
    charge = np.union1d(charge[distinct], ends)
    area = np.concatenate([[0.0], np.cumsum(0.5 * (voltage[1:] + voltage[:-1]) * np.diff(charge))])
    means = np.diff(np.interp(ends, charge, area)) / np.diff(ends)
    slope = np.abs(np.gradient(means, ends[1] - ends[0])) * _CHARGE_ERROR * (charge[-1] - charge[0])
    return Curve(
        step=jnp.asarray(ends[1] - ends[0]),
        voltage=jnp.asarray(means),
        trust=jnp.asarray(1.0 / np.sqrt(1.0 + (slope / _VOLTAGE_ERROR) ** 2)),
        direction=jnp.asarray(float(direction)),
        loss=jnp.asarray(float(loss)),
    )


def edges(curve: Curve) -> Float[Array, "POINTS+1"]:
    """Return the charges between which voltages are means, from the middle of the curve [A.h]."""
    return curve.step * (jnp.arange(POINTS + 1) - 0.5 * POINTS)


def stoichiometries(state: State, charge: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return negative and positive stoichiometry at charges from the middle of the curve [1]."""
    return state.x_middle + charge / state.negative_capacity, state.y_middle - charge / state.positive_capacity


def open_circuit_voltage(electrodes: Electrodes, state: State, charge: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return the voltage of the cell at rest [V]."""
    x, y = stoichiometries(state, charge)
    return potential_at(electrodes.positive, y) - potential_at(electrodes.negative, x, state.share)


def mean_voltages(electrodes: Electrodes, state: State, curve: Curve) -> Float[Array, "POINTS"]:
    """Return the voltage of the cell over a curve: means over its steps, with its polarisation [V]."""
    x, y = stoichiometries(state, edges(curve))
    negative = jnp.diff(integral_at(electrodes.negative, x, state.share)) * state.negative_capacity
    positive = jnp.diff(integral_at(electrodes.positive, y)) * state.positive_capacity
    return -(negative + positive) / curve.step + curve.direction * state.polarisation


def inventory(state: State) -> Float[Array, "*b"]:
    """Return the lithium of both electrodes, counted from where their half-cell curves end [A.h]."""
    return state.x_middle * state.negative_capacity + state.y_middle * state.positive_capacity


def charge_at(electrodes: Electrodes, state: State, voltage: float, halvings: int = 40) -> Float[Array, ""]:
    """Return the charge from the middle of the curve at which the cell at rest has a voltage [A.h]."""
    low = -jnp.minimum(state.x_middle * state.negative_capacity, (1.0 - state.y_middle) * state.positive_capacity)
    high = jnp.minimum((1.0 - state.x_middle) * state.negative_capacity, state.y_middle * state.positive_capacity)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        above = open_circuit_voltage(electrodes, state, middle[None])[0] > voltage
        return jnp.where(above, ends[0], middle), jnp.where(above, middle, ends[1])

    low, high = jax.lax.fori_loop(0, halvings, halve, (low, high))
    return 0.5 * (low + high)
