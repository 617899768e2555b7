"""A cell under a load profile: piecewise constant power demand and ambient temperature."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes
from fadecast.cell.control import Limits, Window, deliver_power, state_of_charge
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, CellModel
from fadecast.cell.stepper import extrapolated_step
from fadecast.settings import settings


@settings
class Substeps:
    """How each load step is divided: geometrically, since the concentration gradient moves just after a load jump."""

    count: Annotated[int, Ge(1), Le(64)] = 4
    """Time steps per load step."""
    growth: Annotated[float, Ge(1), Le(10)] = 2.6
    """Ratio of consecutive time steps."""

    def lengths(self, load_step: float) -> np.ndarray:
        """Lengths of the time steps of one load step [s], shape `(count,)`."""
        relative = self.growth ** np.arange(self.count)
        return np.asarray(load_step * relative / relative.sum())


class Profile(NamedTuple):
    """Demand on each cell, every field `(load steps, lanes)`."""

    power: Float[Array, "steps lanes"]
    """Terminal power, discharge positive [W]."""
    ambient: Float[Array, "steps lanes"]
    """Ambient temperature [K]."""


class Totals(NamedTuple):
    """What a profile did to each cell, every field `(1, lanes)`."""

    demanded: Lanes
    """Net energy demanded, discharge positive [W.h]."""
    delivered: Lanes
    """Net energy delivered, discharge positive [W.h]."""
    unserved: Lanes
    """Discharge energy demanded and not delivered [W.h]."""
    spilled: Lanes
    """Charging energy offered and not taken [W.h]."""
    temperature_mean: Lanes
    """Mean cell temperature [K]."""
    temperature_max: Lanes
    """Highest cell temperature at the end of a time step [K]."""


class Trace(NamedTuple):
    """The cell at the end of each load step under the current of its last time step, fields `(load steps, lanes)`."""

    voltage: Float[Array, "steps lanes"]
    """[V]"""
    current: Float[Array, "steps lanes"]
    """Discharge positive [A]."""
    temperature: Float[Array, "steps lanes"]
    """[K]"""
    state_of_charge: Float[Array, "steps lanes"]
    """Of the aged cell [1]."""


class Course(NamedTuple):
    """A profile run; everything counts from the end of spin-up."""

    start: Float[Array, "states lanes"]
    """State at the end of spin-up."""
    end: Float[Array, "states lanes"]
    """State at the end of the profile."""
    totals: Totals
    trace: Trace
    """Costs nothing where it is not used."""


def run_profile(
    cell: CellModel,
    limits: Limits,
    lengths: np.ndarray,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    window: Window,
    profile: Profile,
    spin_up: int = 0,
) -> Course:
    """Follow a load profile inside the limits, its first load steps being spin-up.

    Parameters
    ----------
    lengths
        Time steps of one load step [s], from `Substeps.lengths`.
    y
        State at the start, `(states, lanes)`.
    inputs
        PyBaMM input parameters except current and ambient temperature, each `(1, lanes)`.
    window
        Electrode windows that state of charge refers to.
    spin_up
        Load steps that settle the fast states and do not count.
    """
    hours = float(lengths.sum()) / 3600.0
    share = jnp.asarray(lengths / lengths.sum())

    def load_step(carry, row):  # type: ignore[no-untyped-def]
        y, start = carry
        index, demand = row
        power, ambient = (value[None] for value in demand)
        start = jnp.where(index == spin_up, y, start)
        here = {**inputs, AMBIENT: ambient}

        def control(state, horizon):  # type: ignore[no-untyped-def]
            return deliver_power(cell, limits, state, here, power, window, horizon)

        def time_step(y, tau):  # type: ignore[no-untyped-def]
            step = extrapolated_step(cell, y, here, control, tau)
            temperature = cell.physical(step.y, "temperature")
            return step.y, (step.power, temperature, step.current)

        y, (delivered, temperature, currents) = jax.lax.scan(time_step, y, jnp.asarray(lengths))
        mean_power, mean_temperature = (jnp.tensordot(share, part, 1) for part in (delivered, temperature))
        current = currents[-1]
        trace = Trace(
            voltage=cell.voltage(y, {**here, CURRENT: current})[0],
            current=current[0],
            temperature=cell.physical(y, "temperature")[0],
            state_of_charge=state_of_charge(cell, y, window)[0],
        )
        return (y, start), (power, mean_power, mean_temperature, temperature.max(axis=0), trace)

    # One scan for both parts: a second one would double the compile time.
    (y, start), rows = jax.lax.scan(load_step, (y, y), (jnp.arange(len(profile.power)), profile))
    demanded, delivered, mean, highest, trace = jax.tree.map(lambda row: row[spin_up:], rows)
    short = demanded - delivered
    totals = Totals(
        demanded=hours * demanded.sum(axis=0),
        delivered=hours * delivered.sum(axis=0),
        unserved=hours * jnp.where(demanded > 0, jnp.maximum(short, 0.0), 0.0).sum(axis=0),
        spilled=hours * jnp.where(demanded < 0, jnp.maximum(-short, 0.0), 0.0).sum(axis=0),
        temperature_mean=mean.mean(axis=0),
        temperature_max=highest.max(axis=0),
    )
    return Course(start, y, totals, trace)
