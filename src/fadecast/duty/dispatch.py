"""Dispatch: sun first, battery next, then grid, generator and computing that can wait; the rest is unserved.

Powers are at the site's bus. The battery is one store behind converters; packs share its power equally. A plan made
beforehand may set grid, generator and curtailment; what it did not foresee is met in the same order.
"""

from functools import partial
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

import fadecast.precision  # noqa: F401
from fadecast.duty.container import Climatised, Container, condition
from fadecast.duty.sources import Generator, Grid
from fadecast.settings import settings

Values = Array | np.ndarray
Draws = Float[Values, "draw"]


@settings
class Dispatch:
    """Limits and losses of the battery as dispatch sees them, and its policy."""

    policy: Literal["rule", "look_ahead"] = "rule"
    """rule: each step by itself. look_ahead: grid, generator and curtailment by a plan for the hours ahead."""
    pack_kwh: Annotated[float, Gt(0)] = 78.0
    """First-life nameplate energy of a pack [kWh] (reference site: 63 MWh on 805 packs)."""
    usable_fraction: Annotated[float, Gt(0), Le(1)] = 0.65
    """Energy that dispatch counts on over nameplate [1]: mean state of health at start of service (retired
    packs hold 0.5 to 0.8)."""
    converter_kw_per_pack: Annotated[float, Gt(0)] = 14.9
    """Highest converter power per pack, at the bus, both ways [kW] (reference site: 12 MW on 805 packs)."""
    converter_efficiency: Annotated[float, Gt(0), Le(1)] = 0.97
    """One-way converter efficiency [1] (assumed)."""
    pack_efficiency: Annotated[float, Gt(0), Le(1)] = 0.98
    """One-way efficiency of the pack itself [1] (assumed: overpotential at the low rates of the site)."""
    soc_min: Annotated[float, Ge(0), Le(1)] = 0.10
    """Lowest state of charge [1] (assumed)."""
    soc_max: Annotated[float, Ge(0), Le(1)] = 0.95
    """Highest state of charge [1] (assumed)."""
    curtail_below: Annotated[float, Ge(0), Le(1)] = 0.0
    """State of charge below which all computing that can wait is put off, whatever a plan says [1]; 0: only when
    nothing else is left, or a plan says so."""

    def __post_init__(self) -> None:
        """Refuse an empty window."""
        if self.soc_min >= self.soc_max:
            raise ValueError(
                f"dispatch: soc_min ({self.soc_min:g}) must be below soc_max ({self.soc_max:g}); widen the window"
            )


class Plant(NamedTuple):
    """Numbers of a site: powers [kW], energies [kWh]."""

    capacity: float | Array
    soc_min: float
    soc_max: float
    converter: float | Array
    """Highest power of the converters."""
    converter_efficiency: float
    pack_efficiency: float
    curtail_below: float | Array
    """Stored energy."""
    imports: float
    exports: float
    generator: float
    generator_minimum: float
    container: Climatised
    charge_target: float = 0.0
    """State of charge that the grid makes up to [1]."""
    restored_per_hour: float = 0.0
    """Share of what is missing to it, in an hour [1/h]."""

    @classmethod
    def of(cls, dispatch: Dispatch, generator: Generator, grid: Grid, container: Container, packs: int) -> "Plant":
        """Return the plant of a number of packs, of a charge that drifts."""
        capacity = packs * dispatch.pack_kwh * dispatch.usable_fraction
        return cls(
            capacity=capacity,
            soc_min=dispatch.soc_min,
            soc_max=dispatch.soc_max,
            converter=packs * dispatch.converter_kw_per_pack,
            converter_efficiency=dispatch.converter_efficiency,
            pack_efficiency=dispatch.pack_efficiency,
            curtail_below=dispatch.curtail_below * capacity,
            imports=packs * grid.import_kw_per_pack,
            exports=packs * grid.export_kw_per_pack,
            generator=packs * generator.kw_per_pack,
            generator_minimum=packs * generator.kw_per_pack * generator.minimum,
            container=Climatised.of(container, packs),
        )

    @property
    def low(self) -> float | Array:
        """Least stored energy."""
        return self.soc_min * self.capacity

    @property
    def high(self) -> float | Array:
        """Most stored energy."""
        return self.soc_max * self.capacity

    @property
    def one_way(self) -> float:
        """Efficiency from the bus into the store [1]."""
        return self.converter_efficiency * self.pack_efficiency

    def terminal(self, battery: Float[Values, "..."]) -> Float[Values, "..."]:
        """Return the power at the terminals of the packs of a power at the bus [kW]."""
        return battery * jnp.where(battery > 0, 1 / self.converter_efficiency, self.converter_efficiency)

    def heat(self, battery: Float[Values, "..."]) -> Float[Values, "..."]:
        """Return what packs lose as heat [kW]."""
        terminal = self.terminal(battery)
        return jnp.abs(terminal) * jnp.where(terminal > 0, 1 / self.pack_efficiency - 1, 1 - self.pack_efficiency)


class Demand(NamedTuple):
    """What a site meets with, by step and draw; air conditioning of the packs apart."""

    firm: Float[Values, "step draw"]
    """Load that cannot wait [kW]."""
    curtailable: Float[Values, "step draw"]
    """Load that can [kW]."""
    solar: Float[Values, "step draw"]
    """[kW]"""
    ambient: Float[Values, "step draw"]
    """Outdoor temperature [degC]."""


class Plan(NamedTuple):
    """Set points [kW] by step and draw."""

    grid: Float[Values, "step draw"]
    """Taken from the grid, negative: given."""
    generator: Float[Values, "step draw"]
    curtailed: Float[Values, "step draw"]


class Store(NamedTuple):
    """Where a site stands between two steps, by draw."""

    energy: Draws
    """[kWh]"""
    air: Draws
    """Air in the container [degC]."""
    heat: Draws
    """What the packs lost in the step before [kW]."""


class Dispatched(NamedTuple):
    """What dispatch did, by step and draw [kW].

    Firm and curtailable load and air conditioning, less curtailed and unserved, are solar less spilled, and battery,
    grid and generator.
    """

    battery: Float[Values, "step draw"]
    """Discharge positive."""
    unserved: Float[Values, "step draw"]
    curtailed: Float[Values, "step draw"]
    spilled: Float[Values, "step draw"]
    """Solar power not used; where a plan or the least power of a generator leaves a surplus, that too."""
    grid: Float[Values, "step draw"]
    """Taken from the grid, negative: given."""
    generator: Float[Values, "step draw"]
    conditioning: Float[Values, "step draw"]
    """Power of the air conditioning of the packs."""
    energy: Float[Values, "step draw"]
    """Stored at step start [kWh]."""
    air: Float[Values, "step draw"]
    """Air in the container at step end [degC]."""


def unplanned(demand: Demand) -> Plan:
    """Return the plan of no plan."""
    nothing = jnp.zeros_like(demand.firm)
    return Plan(nothing, nothing, nothing)


@jax.jit
def dispatch(plant: Plant, demand: Demand, plan: Plan, store: Store, step_hours: float) -> tuple[Store, Dispatched]:
    """Serve a load from sun, battery, grid and generator: where the site ends, and all that was done."""
    return jax.lax.scan(partial(_step, plant, step_hours), store, (demand, plan), unroll=4)


def repeated_year(
    plant: Plant, demand: Demand, step_hours: float, plan: Plan | None = None
) -> tuple[Store, Dispatched]:
    """Follow the rule, or a plan, through a year that can be repeated: it starts where it ends; that start comes too.

    The start is where a year from a full store ends.
    """
    plan, none = plan or unplanned(demand), jnp.zeros_like(demand.ambient[0])
    begin, _ = dispatch(plant, demand, plan, Store(none + plant.high, demand.ambient[0], none), step_hours)
    return begin, dispatch(plant, demand, plan, begin, step_hours)[1]


def _step(plant: Plant, hours: float, store: Store, row: tuple[Demand, Plan]) -> tuple[Store, Dispatched]:
    """Serve one step: the plan, then what is short from grid, generator and curtailment; surplus to the grid."""
    demand, plan = row
    # Exactly an exponential approach, at any length of step.
    rate = -jnp.expm1(-plant.restored_per_hour * hours) / hours
    made_up = rate * (plant.charge_target * plant.capacity - store.energy)
    plan = plan._replace(grid=plan.grid + made_up)
    free, held, conditioning = condition(plant.container, store.air, demand.ambient, store.heat, hours)
    early = jnp.where(store.energy < plant.curtail_below, demand.curtailable, 0.0)
    curtailed = jnp.clip(jnp.maximum(plan.curtailed, early), 0.0, demand.curtailable)
    net = demand.firm + conditioning + demand.curtailable - curtailed - demand.solar - plan.grid - plan.generator
    short = jnp.maximum(net - _from_store(plant, hours, store.energy, net)[0], 0.0)

    more = jnp.clip(plant.imports - plan.grid, 0.0, short)
    grid, short = plan.grid + more, short - more
    runs = (plan.generator > 0.0) | ((short > 0.0) & (plant.generator > 0.0))
    asked = plan.generator + short
    generator = jnp.where(runs, jnp.clip(asked, plant.generator_minimum, plant.generator), 0.0)
    waits = jnp.minimum(jnp.maximum(asked - generator, 0.0), demand.curtailable - curtailed)
    net = net - more - (generator - plan.generator) - waits

    battery, energy = _from_store(plant, hours, store.energy, net)
    surplus = jnp.maximum(battery - net, 0.0)
    given = jnp.clip(grid + plant.exports, 0.0, surplus)
    unserved = jnp.maximum(net - battery, 0.0)
    # Air conditioning goes without power in proportion to all load.
    wanted = demand.firm + conditioning + demand.curtailable - curtailed - waits
    air = held + (free - held) * unserved / jnp.maximum(wanted, 1e-30)
    done = Dispatched(
        battery=battery,
        unserved=unserved,
        curtailed=curtailed + waits,
        spilled=surplus - given,
        grid=grid - given,
        generator=generator,
        conditioning=conditioning,
        energy=store.energy,
        air=air,
    )
    return Store(energy, air, plant.heat(battery)), done


def _from_store(plant: Plant, hours: float, energy: Draws, net: Draws) -> tuple[Draws, Draws]:
    """Return the power of the battery for what is missing, and the energy left."""
    wanted = jnp.clip(net, -plant.converter, plant.converter)
    change = -hours * jnp.where(wanted > 0, wanted / plant.one_way, wanted * plant.one_way)
    after = jnp.clip(energy + change, plant.low, plant.high)
    met = (energy - after) / hours * jnp.where(wanted > 0, plant.one_way, 1 / plant.one_way)
    # A step the store can take whole is met exactly, not up to the rounding of the stored energy.
    partly = jnp.clip(met, jnp.minimum(wanted, 0.0), jnp.maximum(wanted, 0.0))
    return jnp.where(energy + change == after, wanted, partly), after


def states_of_charge(plant: Plant, energy: Values) -> np.ndarray:
    """Return stored energy [kWh] as a state of charge [1]."""
    return np.clip(np.asarray(energy) / plant.capacity, plant.soc_min, plant.soc_max)
