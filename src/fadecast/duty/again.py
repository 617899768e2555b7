"""Dispatch again: a site whose packs have faded, under the same weather and load."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import xarray as xr
from jaxtyping import Array, Float

from fadecast.duty.dispatch import Demand, Plan, Plant, repeated_year, unplanned
from fadecast.duty.year import Duty, site_plant


class SiteYear(NamedTuple):
    """What sites of one plant meet with in a year, and what they were planned to do; arrays `(step, site)`."""

    plant: Plant
    demand: Demand
    plan: Plan
    nameplate: float
    """First-life nameplate energy of the packs of a site [kWh]."""
    step_hours: float

    @classmethod
    def of(cls, duty: Duty, year: xr.Dataset, packs: int, step_minutes: int) -> "SiteYear":
        """Read one draw of a duty dataset, as means over steps of the given length.

        Plans of a policy that looks ahead stay those of the start: what they do not foresee is met in the order of
        the rule.
        """
        hour = year["hour"].values
        steps = round(step_minutes / 60.0 / (hour[1] - hour[0]))

        def mean(name: str) -> Array:
            return jnp.asarray(year[name].values.reshape(-1, steps).mean(axis=1)[:, None])

        load = mean("load_power") - mean("conditioning_power")
        waits = duty.workload.curtailable_share if duty.service == "site" else 0.0
        demand = Demand((1.0 - waits) * load, waits * load, mean("solar_power"), mean("ambient_temperature"))
        plan = unplanned(demand)
        if duty.dispatch.policy == "look_ahead" and duty.service == "site":
            plan = Plan(mean("grid_power"), mean("generator_power"), mean("curtailed_power"))
        return cls(site_plant(duty, packs), demand, plan, packs * duty.dispatch.pack_kwh, step_minutes / 60.0)

    @classmethod
    def together(cls, years: Sequence["SiteYear"]) -> "SiteYear":
        """Put sites of one plant beside each other."""

        def beside(*parts: Array) -> Array:
            return jnp.concatenate(parts, axis=1)

        demand = jax.tree.map(beside, *(year.demand for year in years))
        plan = jax.tree.map(beside, *(year.plan for year in years))
        return years[0]._replace(demand=demand, plan=plan)


class SiteDuty(NamedTuple):
    """A year of some sites."""

    power: Float[Array, "step site"]
    """Of an equal share, at the terminals, over nameplate energy, discharge positive [1/h]."""
    state_of_charge: Float[Array, "step site"]
    """At step start [1]."""
    air: Float[Array, "step site"]
    """In the containers [degC]."""
    energy: Float[Array, "site 5"]
    """Unserved, spilled, curtailed, of the generator and of the grid (net) per day [kWh]."""


@jax.jit
def dispatched_again(year: SiteYear, capability: Float[Array, " site"], converters: Float[Array, " site"]) -> SiteDuty:
    """Dispatch sites that have faded.

    Parameters
    ----------
    capability
        Capacity of the packs over what it was at the start [1].
    converters
        Power of all converters that can be used over what it was at the start [1].
    """
    plant = year.plant._replace(
        capacity=year.plant.capacity * capability,
        curtail_below=year.plant.curtail_below * capability,
        converter=year.plant.converter * converters,
    )
    _, done = repeated_year(plant, year.demand, year.step_hours, year.plan)
    spent = (done.unserved, done.spilled, done.curtailed, done.generator, done.grid)
    return SiteDuty(
        power=jnp.asarray(plant.terminal(done.battery)) / year.nameplate,
        state_of_charge=jnp.clip(done.energy / jnp.asarray(plant.capacity)[None], plant.soc_min, plant.soc_max),
        air=jnp.asarray(done.air),
        energy=24.0 * jnp.stack([part.mean(axis=0) for part in spent], axis=-1),
    )
