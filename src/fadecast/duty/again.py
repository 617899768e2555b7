"""Dispatch again: a site whose packs have faded, under the same weather and load."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import xarray as xr
from jaxtyping import Array, Float

from fadecast.duty.dispatch import Demand, Plan, Plant, repeated_year, unplanned
from fadecast.duty.year import Duty, site_plant


class SiteYear(NamedTuple):
    """What a site meets with in a year, and what it was planned to do; arrays `(step, 1)`."""

    plant: Plant
    demand: Demand
    plan: Plan
    nameplate: float
    """First-life nameplate energy of its packs [kWh]."""
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


class SiteDuty(NamedTuple):
    """A year of a site, fields `(step,)`."""

    power: Float[Array, " step"]
    """Of an equal share, at the terminals, over nameplate energy, discharge positive [1/h]."""
    state_of_charge: Float[Array, " step"]
    """At step start [1]."""
    air: Float[Array, " step"]
    """In the containers [degC]."""
    energy: Float[Array, " 5"]
    """Unserved, spilled, curtailed, of the generator and of the grid (net) per day [kWh]."""


@jax.jit
def dispatched_again(year: SiteYear, capability: Float[Array, ""], converters: Float[Array, ""]) -> SiteDuty:
    """Dispatch a site that has faded.

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
        power=jnp.asarray(plant.terminal(done.battery))[:, 0] / year.nameplate,
        state_of_charge=jnp.clip(done.energy / plant.capacity, plant.soc_min, plant.soc_max)[:, 0],
        air=jnp.asarray(done.air)[:, 0],
        energy=24.0 * jnp.stack([part.mean() for part in spent]),
    )
