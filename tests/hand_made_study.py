"""Datasets of all stages made by hand: real packs and duty, and a fade whose statistics can be worked out."""

import json

import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.duty import Duty, Site, make_duty
from fadecast.outcome import Outcome
from fadecast.population import Population, RatePrior, make_population
from fadecast.warranty import Capital, Contract, Premium, price

YEARS = 10.0
SEED = 3


def duty():
    """Return a year of one draw."""
    return make_duty(Site(), Duty(timestep_minutes=60), draws=1, packs=805, seed=SEED)


def population(draws, packs):
    """Return packs of a linear cell with one ageing rate."""
    rate = RatePrior(name="SEI growth rate [m2.s-1]", value=1e-20, units="m2.s-1", log_sd=0.5)
    return make_population(
        Population(rate_posterior=None, rates=(rate,)),
        draws,
        packs,
        SEED,
        lambda lli, ne, pe: 1.0 - 0.7 * lli - 0.2 * ne - 0.1 * pe,
    )


def fade(draws, packs, spread=True, failed=(), exhausted=()):
    """Return packs that fade by square root and line, some of which fail or end after half of the time.

    Parameters
    ----------
    spread
        False makes all packs of all draws equal.
    failed, exhausted
        (draw, pack) of the packs that end so.
    """
    rng = np.random.default_rng(SEED)
    time = np.linspace(0.0, YEARS, 21)
    rate = np.full((draws, packs, 1), 0.016)
    if spread:
        rate = rate * np.exp(0.3 * rng.normal(size=(draws, 1, 1)) + 0.2 * rng.normal(size=(draws, packs, 1)))
    loss = np.minimum(rate * time + rate * np.sqrt(time), 0.9)
    start = 0.7 + (0.05 * rng.normal(size=(draws, packs, 1)).clip(-2, 2) if spread else 0.0)
    retention = 1.0 - loss
    values = {
        "retention": retention,
        "soh": start * retention,
        "capacity": 5.0 * start * retention,
        "resistance": (0.04 + 0.01 * rate / 0.016) * (1.0 + 2.0 * loss),
        "lli": 1.0 - start * (1.0 - 0.8 * loss),
        "lam_ne": 0.15 + 0.3 * loss,
        "lam_pe": 0.1 + 0.2 * loss,
        "lithium_sei": 1.0 + 0.6 * loss,
        "lithium_dead": 0.1 + 0.1 * loss,
        "lithium_lam_ne": 0.4 * loss,
        "lithium_lam_pe": 0.1 * loss,
        "energy_unserved": 5.0 * rate / 0.016 * time**2,
        "temperature_mean": 25.0 + 100.0 * rate + 0.0 * time,
        "temperature_max": 40.0 + 100.0 * rate + 0.1 * time,
        "c_rate_max": 0.3 + 0.02 * time + 0.0 * rate,
        "state_of_charge_max": 0.9 + 0.0 * loss,
        "state_of_charge_min": 0.2 + 0.0 * loss,
    }
    values["temperature_mean"][:, :, 0] = np.nan
    outcome = np.zeros((draws, packs), dtype=np.int8)
    for code, where in ((Outcome.NOT_FINITE, failed), (Outcome.CAPACITY_EXHAUSTED, exhausted)):
        for draw, pack in where:
            outcome[draw, pack] = code
            for array in values.values():
                array[draw, pack, time.size // 2 + 1 :] = np.nan
    arrays = {name: (("draw", "pack", "time"), array) for name, array in values.items()}
    coords = {"draw": np.arange(draws), "pack": np.arange(packs), "time": time}
    dataset = xr.Dataset({**arrays, "outcome": (("draw", "pack"), outcome)}, coords)
    dataset.attrs = {"mode": "leap", "cell_days": 1234.0, "typical_day_error": json.dumps([{"throughput": -1.5e-3}])}
    return variables.describe(dataset)


def priced(fade, **contract):
    """Return the price of a 70 % guarantee."""
    capital = Capital(cost_of_capital=0.06 if fade.sizes["draw"] > 1 else 0.0)
    premium = Premium(capital=capital, max_failed_share=0.5)
    return price(fade, Contract(term_years=YEARS, **contract), premium, 78.0, SEED)


def trace():
    """Return a day of a cell that a limit stops in the evening."""
    hour = np.arange(0.0, 24.0, 0.25)
    demand = 5.0 * np.cos(2.0 * np.pi * hour / 24.0)
    power = np.minimum(demand, 4.0)
    columns = {
        "trace_demand": demand,
        "trace_power": power,
        "trace_voltage": 3.7 + 0.0 * hour,
        "trace_current": power / 3.7,
        "trace_state_of_charge": 0.5 - 0.4 * np.sin(2.0 * np.pi * hour / 24.0),
        "trace_temperature": 25.0 + 5.0 * np.sin(2.0 * np.pi * (hour - 9.0) / 24.0),
    }
    dataset = xr.Dataset({name: ("hour", values) for name, values in columns.items()}, coords={"hour": hour})
    dataset.attrs = {"draw": 0, "pack": 1, "day_of_year": 99, "weight": 0.25}
    return variables.describe(dataset)


def with_site(fade):
    """Return a forecast whose packs feel each other: one site that serves less each year."""
    time = fade["time"].values
    shape = (fade.sizes["draw"], 1, len(time))
    values = {
        "site_capability": 1.0 - 0.03 * time,
        "site_replacements": np.floor(time),
        "site_unserved": 1000.0 * time + 200.0 * time**2,
    }
    arrays = {name: (("draw", "site", "time"), np.broadcast_to(value, shape)) for name, value in values.items()}
    return variables.describe(fade.assign(arrays).assign_coords(site=[0]))
