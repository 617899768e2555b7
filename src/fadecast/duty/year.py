"""A year of duty: weather, load and dispatch of a site, assembled into the duty dataset."""

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Literal, NamedTuple

import numpy as np
import xarray as xr
from annotated_types import Ge, Le

from fadecast.duty.climate import Site
from fadecast.duty.container import Container
from fadecast.duty.cooling import site_load
from fadecast.duty.dispatch import Demand, Dispatch, Dispatched, Plant, repeated_year, states_of_charge
from fadecast.duty.driving import Driving, driving_power
from fadecast.duty.look_ahead import Planner, planned_year
from fadecast.duty.services import Cycling, Regulation, cycling_power, regulation_power
from fadecast.duty.solar import Solar, solar_power
from fadecast.duty.sources import Generator, Grid, LookAhead
from fadecast.duty.sun import HOURS, Sky, clear_sky
from fadecast.duty.weather import Weather, draw_weather
from fadecast.duty.weather_file import climate_of
from fadecast.duty.workload import Measured, Workload, draw_it_power
from fadecast.settings import settings
from fadecast.variables import describe

_SEED_KEY = 1
"""Key of this stage in every random seed, so that no other stage shares its streams."""

_SKY_MINUTES = 15
"""Longest step at which the sun is followed; longer steps are means."""


@settings
class Duty:
    """What the battery is asked to do over a year."""

    timestep_minutes: Literal[1, 5, 15, 30, 60] = 15
    """Length of a step [min]."""
    service: Literal["site", "regulation", "cycling", "driving", "rest"] = "site"
    """What is asked: to serve a site, to regulate a grid, to cycle as in a laboratory, to drive a car, or
    nothing. Only a site has computing, sun, grid, generator and plans; one without computing, with a grid and plans
    ahead, trades."""
    workload: Workload = field(default_factory=Workload)
    """What the site computes."""
    solar: Solar = field(default_factory=Solar)
    """Photovoltaic field."""
    container: Container = field(default_factory=Container)
    """Where the packs stand."""
    dispatch: Dispatch = field(default_factory=Dispatch)
    """Limits of the battery, and how it is used."""
    generator: Generator = field(default_factory=Generator)
    """Backup generator."""
    grid: Grid = field(default_factory=Grid)
    """Connection to a grid."""
    look_ahead: LookAhead = field(default_factory=LookAhead)
    """How plans are made, where dispatch.policy is look_ahead."""
    regulation: Regulation = field(default_factory=Regulation)
    """What is asked where service is regulation."""
    cycling: Cycling = field(default_factory=Cycling)
    """What is asked where service is cycling."""
    driving: Driving = field(default_factory=Driving)
    """What is asked where service is driving."""
    distinct_years: Annotated[int, Ge(2)] | None = None
    """Years of weather and workload that are drawn, which the draws of a study take in turn; null: each has its own."""
    rest_charge: Annotated[float, Ge(0), Le(1)] = 0.5
    """State of charge that packs keep where service is rest [1]."""

    def __post_init__(self) -> None:
        """Refuse cycles that the converters do not carry."""
        energy, most = self.dispatch.pack_kwh * self.dispatch.usable_fraction, self.dispatch.converter_kw_per_pack
        fastest = self.cycling.fastest
        if self.service == "cycling" and fastest * energy > most:
            raise ValueError(
                f"cycling: {fastest:g} of {energy:g} kWh an hour is {fastest * energy:.4g} kW; dispatch's "
                f"converter_kw_per_pack ({most:g}) carries {most / energy:.3g} at most"
            )


class Asked(NamedTuple):
    """What a year asks of a site, `(step,)` [kW], and its weather."""

    it_power: np.ndarray
    load: np.ndarray
    """Without air conditioning of the packs."""
    solar: np.ndarray
    ambient: np.ndarray
    """[degC]"""


def years_drawn(duty: Duty, draws: int) -> int:
    """Return how many years of duty are drawn for so many draws of a study."""
    return min(duty.distinct_years or draws, draws)


def make_duty(site: Site, duty: Duty, draws: int, packs: int, seed: int) -> xr.Dataset:
    """Draw years of duty and hold all of them in memory, on `draw, hour`; see `duty_years`."""
    return describe(xr.concat(list(duty_years(site, duty, draws, packs, seed)), "draw"))


def duty_years(site: Site, duty: Duty, draws: int, packs: int, seed: int) -> Iterator[xr.Dataset]:
    """Draw years of weather and of what is asked one by one, and dispatch the battery through each.

    All powers grow in proportion to the number of packs. A draw is the same whatever the number of draws, and its
    weather and workload are the same at every step length. In services besides that of a site `load_power` is what is
    asked of the packs and `solar_power` what is offered to them.

    Parameters
    ----------
    site
        Place.
    duty
        Load, sun, container and dispatch.
    draws
        Draws of the study; each has a year, unless `distinct_years` says otherwise.
    packs
        Number of packs in the site.
    seed
        Seed of the study.

    Yields
    ------
    xr.Dataset
        The duty variables of `fadecast.variables` on `draw, hour`, of one draw; `hour` is the start of a step.
    """
    minutes = duty.timestep_minutes
    climate = climate_of(site.climate)
    if site.coordinates is not None:
        climate = climate.at(site.coordinates)
    sky = clear_sky(climate.place, min(minutes, _SKY_MINUTES))
    plant = site_plant(duty, packs)
    planner = Planner(plant, duty.generator, duty.grid, duty.look_ahead)
    hour = np.arange(HOURS * 60 // minutes) * minutes / 60
    for draw in range(years_drawn(duty, draws)):
        weather_rng, load_rng = (np.random.default_rng([seed, _SEED_KEY, draw, part]) for part in range(2))
        asked = _asked(duty, draw_weather(weather_rng, climate, sky), sky, load_rng, packs)
        done = _dispatched(duty, planner, asked)
        arrays = {
            "it_power": asked.it_power,
            "load_power": asked.load + done.conditioning,
            "conditioning_power": done.conditioning,
            "solar_power": asked.solar,
            "battery_power": done.battery,
            "grid_power": done.grid,
            "generator_power": done.generator,
            "curtailed_power": done.curtailed,
            "unserved_power": done.unserved,
            "spilled_power": done.spilled,
            "pack_power": np.asarray(plant.terminal(done.battery)) / (packs * duty.dispatch.pack_kwh),
            "state_of_charge": states_of_charge(plant, done.energy),
            "ambient_temperature": asked.ambient,
            "pack_ambient_temperature": done.air,
        }
        year = {name: (("draw", "hour"), values[None]) for name, values in arrays.items()}
        yield describe(xr.Dataset(year, {"draw": [draw], "hour": hour}))


def site_plant(duty: Duty, packs: int) -> Plant:
    """Return the plant of a number of packs at the start of service."""
    plant = Plant.of(duty.dispatch, duty.generator, duty.grid, duty.container, packs)
    if duty.service == "site":
        return plant
    # Others pay for the air conditioning of packs that do not serve a site; its grid and generator are not theirs.
    free = plant.container._replace(heating_performance=np.inf, cooling_performance=np.inf)
    plant = plant._replace(container=free, imports=0.0, exports=0.0, generator=0.0, generator_minimum=0.0)
    if duty.service == "driving":
        return plant._replace(converter=packs * duty.driving.largest_power)
    if duty.service == "rest":
        return plant._replace(soc_min=duty.rest_charge, soc_max=duty.rest_charge)
    if duty.service == "regulation":
        kept = duty.regulation
        return plant._replace(charge_target=kept.charge_target, restored_per_hour=kept.restored_per_hour)
    return plant


def _dispatched(duty: Duty, planner: Planner, asked: Asked) -> Dispatched:
    """Dispatch a year by itself (XLA's last bit depends on how many are done together); arrays are `(step,)`."""
    waits = duty.workload.curtailable_share if duty.service == "site" else 0.0
    parts = ((1 - waits) * asked.load, waits * asked.load, asked.solar, asked.ambient)
    demand, step_hours = Demand(*(part[:, None] for part in parts)), duty.timestep_minutes / 60
    if duty.dispatch.policy == "rule" or duty.service != "site":
        done = repeated_year(planner.plant, demand, step_hours)[1]
    else:
        done = planned_year(planner, demand, step_hours)
    return Dispatched(*(np.asarray(part)[:, 0] for part in done))


def _asked(duty: Duty, weather: Weather, sky: Sky, load_rng: np.random.Generator, packs: int) -> Asked:
    """Find what a year asks of a site."""
    minutes = duty.timestep_minutes
    ambient = _means(weather.temperature, minutes)
    if duty.service == "site":
        sun = _means(solar_power(duty.solar, sky, weather), minutes) * duty.solar.kw_per_pack
        computing = draw_it_power(load_rng, duty.workload, Measured.load(), minutes)
        it_power = computing * duty.workload.rated_kw_per_pack
        load = site_load(duty.workload.cooling, it_power, ambient)
    else:
        power = _other_service(load_rng, duty, site_plant(duty, 1))
        it_power, load, sun = 0.0 * power, np.maximum(power, 0.0), np.maximum(-power, 0.0)
    return Asked(packs * it_power, packs * load, packs * sun, ambient)


def _other_service(rng: np.random.Generator, duty: Duty, pack: Plant) -> np.ndarray:
    """Return the power asked of a pack [kW], negative where offered."""
    if duty.service == "regulation":
        return regulation_power(rng, duty.regulation, duty.timestep_minutes)
    if duty.service == "driving":
        return driving_power(rng, duty.driving, duty.timestep_minutes)
    if duty.service == "cycling":
        return cycling_power(
            duty.cycling, float(pack.high - pack.low), float(pack.capacity), pack.one_way, duty.timestep_minutes
        )
    return np.zeros(HOURS * 60 // duty.timestep_minutes)


def _means(values: np.ndarray, minutes: int) -> np.ndarray:
    return np.asarray(values.reshape(HOURS * 60 // minutes, -1).mean(axis=1))
