"""A year of duty: weather, load and dispatch of a site, assembled into the duty dataset."""

from dataclasses import field
from typing import Literal

import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.duty.climate import Site
from fadecast.duty.container import Container, container_temperature
from fadecast.duty.cooling import site_load
from fadecast.duty.dispatch import Dispatch, dispatch
from fadecast.duty.solar import Solar, solar_power
from fadecast.duty.sun import HOURS, clear_sky
from fadecast.duty.weather import draw_weather
from fadecast.duty.weather_file import climate_of
from fadecast.duty.workload import Measured, Workload, draw_it_power
from fadecast.settings import settings

_SEED_KEY = 1
"""Key of this stage in every random seed, so that no other stage shares its streams."""

_SKY_MINUTES = 15
"""Longest step at which the sun is followed; longer steps are means."""


@settings
class Duty:
    """What the battery is asked to do over a year."""

    timestep_minutes: Literal[1, 5, 15, 30, 60] = 15
    """Length of a step [min]."""
    workload: Workload = field(default_factory=Workload)
    """What the site computes."""
    solar: Solar = field(default_factory=Solar)
    """Photovoltaic field."""
    container: Container = field(default_factory=Container)
    """Where the packs stand."""
    dispatch: Dispatch = field(default_factory=Dispatch)
    """Limits of the battery."""


def make_duty(site: Site, duty: Duty, draws: int, packs: int, seed: int) -> xr.Dataset:
    """Draw years of weather and workload and dispatch the battery through them.

    All powers grow in proportion to the number of packs. A draw is the same whatever the number of draws, and
    its weather and workload are the same at every step length.

    Parameters
    ----------
    site
        Place.
    duty
        Load, sun, container and dispatch.
    draws
        Number of years to draw.
    packs
        Number of packs in the site.
    seed
        Seed of the study.

    Returns
    -------
    xr.Dataset
        The duty variables of `fadecast.variables` on `draw, hour`; `hour` is the start of a step.
    """
    minutes = duty.timestep_minutes
    it_power, sun, ambient = _drawn_years(site, duty, draws, seed)
    it_power *= packs * duty.workload.rated_kw_per_pack
    sun *= packs * duty.solar.kw_per_pack
    load = site_load(duty.workload.cooling, it_power, ambient)
    done = dispatch(load, sun, duty.dispatch, packs, minutes / 60)
    arrays = {
        "it_power": it_power,
        "load_power": load,
        "solar_power": sun,
        "battery_power": done.battery,
        "unserved_power": done.unserved,
        "spilled_power": done.spilled,
        "pack_power": done.pack,
        "state_of_charge": done.soc,
        "ambient_temperature": ambient,
        "pack_ambient_temperature": container_temperature(duty.container, ambient, minutes / 60),
    }
    coordinates = {"draw": np.arange(draws), "hour": np.arange(HOURS * 60 // minutes) * minutes / 60}
    return variables.describe(xr.Dataset({k: (("draw", "hour"), v) for k, v in arrays.items()}, coordinates))


def _drawn_years(site: Site, duty: Duty, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rack power over rated, sun over module power [1] and outdoor temperature: (draw, step)."""
    climate, measured = climate_of(site.climate), Measured.load()
    sky = clear_sky(climate.place, min(duty.timestep_minutes, _SKY_MINUTES))
    steps = HOURS * 60 // duty.timestep_minutes
    it_power, sun, ambient = (np.empty((draws, steps)) for _ in range(3))
    for draw in range(draws):
        weather_rng, load_rng = (np.random.default_rng([seed, _SEED_KEY, draw, part]) for part in range(2))
        weather = draw_weather(weather_rng, climate, sky)
        it_power[draw] = draw_it_power(load_rng, duty.workload, measured, duty.timestep_minutes)
        sun[draw] = solar_power(duty.solar, sky, weather).reshape(steps, -1).mean(axis=1)
        ambient[draw] = weather.temperature.reshape(steps, -1).mean(axis=1)
    return it_power, sun, ambient
