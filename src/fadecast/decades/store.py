"""How full a cell is when each day of its year begins: not as full as the dispatcher believes its store to be.

A typical day begins where the cell stood in that year. Dispatch counts on one capacity and one efficiency for all
packs and knows no derating, so its own state of charge is another one; what the cell missed or had left adds up from
day to day. A circuit of open-circuit voltage and one resistance follows the year by the hour, inside the limits of
the cell.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fadecast.cell.aged import Lanes, SlowState, lift
from fadecast.cell.control import KELVIN, Limits, derated
from fadecast.cell.health import electrode_window, stoichiometry_at
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, CellModel
from fadecast.decades.service import Operation, Service
from fadecast.pack.groups import pack_capacity

_POINTS = 41


class HourlyYear(NamedTuple):
    """A year of duty of every lane by the hour, fields `(hours, lanes)`."""

    power: Float[Array, "hours lanes"]
    """Terminal power of the cell, discharge positive [W]."""
    ambient: Float[Array, "hours lanes"]
    """[K]"""

    @classmethod
    def of(
        cls, power: Float[np.ndarray, "days steps lanes"], ambient: Float[np.ndarray, "days steps lanes"]
    ) -> "HourlyYear":
        """Average days of load steps over hours; a load step divides an hour."""
        days, _, lanes = power.shape
        return cls(*(jnp.asarray(each.reshape(days * 24, -1, lanes).mean(axis=1)) for each in (power, ambient)))


class _Circuit(NamedTuple):
    """What each cell is as a store."""

    voltage: Float[Array, "points lanes"]
    """Open-circuit voltage at equally spaced states of charge from 0 to 1 [V]."""
    resistance: Lanes
    """[Ohm]"""
    capacity: Lanes
    """[A.h]"""


@partial(jax.jit, static_argnums=0)
def charge_at(
    operation: Operation, state: Service, inputs: Inputs, year: HourlyYear, hours: Int[Array, "days lanes"]
) -> Float[Array, "days lanes"]:
    """Return the state of charge at the start of some hours of the year of each lane [1]; see `charge_through_year`."""
    return jnp.take_along_axis(charge_through_year(operation, state, inputs, year), hours, axis=0)


@partial(jax.jit, static_argnums=0)
def charge_through_year(
    operation: Operation, state: Service, inputs: Inputs, year: HourlyYear
) -> Float[Array, "hours lanes"]:
    """Return the state of charge at the start of every hour of a year that repeats [1], of whole packs.

    The year is followed twice, the second time from where the first, begun at the lower limit, has ended.
    """
    slow, series = state.slow, operation.series
    circuit = _circuit(operation.cell, slow, inputs)
    if series is not None and state.headroom is not None:
        capacity = pack_capacity(series, circuit.capacity, state.headroom)
        circuit = _Circuit(series.mean(circuit.voltage), series.mean(circuit.resistance), capacity)
    follow = partial(_hour, operation.cell, operation.limits, circuit)
    begin = jnp.full_like(slow.sei, operation.limits.soc_min)
    begin, _ = jax.lax.scan(follow, begin, year)
    _, course = jax.lax.scan(follow, begin, year)
    return course[:, 0]


def _circuit(cell: CellModel, slow: SlowState, inputs: Inputs) -> _Circuit:
    window = electrode_window(cell, slow, inputs)
    temperature = jnp.full_like(slow.sei, cell.reference_temperature)

    def volts(state_of_charge: Float[Array, ""], current: float) -> Lanes:
        y = lift(cell, slow, stoichiometry_at(window, state_of_charge), temperature, inputs)
        return cell.voltage(y, {**inputs, AMBIENT: temperature, CURRENT: jnp.full_like(temperature, current)})

    table = jax.lax.map(lambda soc: volts(soc, 0.0)[0], jnp.linspace(0.0, 1.0, _POINTS))
    small, half = 0.1 * cell.nominal_capacity, jnp.asarray(0.5)
    return _Circuit(table, (volts(half, 0.0) - volts(half, small)) / small, window.capacity)


def _hour(cell: CellModel, limits: Limits, circuit: _Circuit, soc: Lanes, hour: HourlyYear) -> tuple[Lanes, Lanes]:
    """Follow one hour; the open-circuit voltage is that of its middle."""
    power, celsius = hour.power[None], hour.ambient[None] - KELVIN
    lower, upper = cell.voltage_limits
    most_in = limits.charge_c_rate * cell.nominal_capacity * derated(limits.charge_derating, celsius)
    most_out = limits.discharge_c_rate * cell.nominal_capacity * derated(limits.discharge_derating, celsius)
    room, left = jnp.maximum(limits.soc_max - soc, 0.0), jnp.maximum(soc - limits.soc_min, 0.0)

    def current(at: Lanes) -> Lanes:
        rest, resistance = _read(circuit.voltage, at), circuit.resistance
        wanted = 2.0 * power / (rest + jnp.sqrt(jnp.maximum(rest**2 - 4.0 * resistance * power, 0.0)))
        most = jnp.minimum(
            jnp.maximum((rest - lower) / resistance, 0.0), jnp.minimum(most_out, left * circuit.capacity)
        )
        least = jnp.maximum(
            jnp.minimum((rest - upper) / resistance, 0.0), jnp.maximum(-most_in, -room * circuit.capacity)
        )
        return jnp.clip(wanted, least, most)

    middle = soc - 0.5 * current(soc) / circuit.capacity
    return soc - current(middle) / circuit.capacity, soc


def _read(table: Float[Array, "points lanes"], share: Lanes) -> Lanes:
    """Interpolate tables at equally spaced points from 0 to 1."""
    place = jnp.clip(share, 0.0, 1.0) * (_POINTS - 1)
    below = jnp.minimum(place.astype(int), _POINTS - 2)
    low, high = (jnp.take_along_axis(table, at, axis=0) for at in (below, below + 1))
    return low + (place - below) * (high - low)
