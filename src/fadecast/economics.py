"""What a site's electricity costs, with fade and warranty inside: cash flow, levelised price, credits, carbon.

Per site and draw, in USD of the start of service. A levelised price is what each kWh served must bring so that the
expected present value of everything is zero: expected present cost over expected present energy.
"""

from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from annotated_types import Ge, Le, Lt
from jaxtyping import Float

from fadecast.demand_response import DemandResponse, Usd, cost, delivered
from fadecast.settings import settings
from fadecast.warranty.intervals import half_widths
from fadecast.warranty.observed import clusters
from fadecast.warranty.remedies import Array

Share = Annotated[float, Ge(0.0), Le(1.0)]


@settings
class Economics:
    """What things cost, bring and emit."""

    years: Annotated[int, Ge(1), Le(30)] = 10
    """Term of the agreement [year]. Default: that of published power purchase agreements."""
    discount_rate: Annotated[float, Ge(0.0), Lt(1.0)] = 0.08
    """Return that capital asks for, compounded yearly [1/year]. An assumption."""
    pack_usd_per_kwh: Usd = 200.0
    """Cost of packs with converters and containers, over first-life nameplate [USD/kWh]. Default: published value of
    collected packs (20 GWh, 4 bn USD); what the rest costs is not public."""
    solar_usd_per_kw: Usd = 1080.0
    """Cost of photovoltaics over its direct-current rating [USD/kW]. Default: median of US plants of 2023 (Lawrence
    Berkeley National Laboratory, Utility-Scale Solar, 2024 edition)."""
    operation_share: Share = 0.025
    """Operation and maintenance of a year over cost of packs and sun [1/year]. Default: storage in NREL's Annual
    Technology Baseline 2024."""
    operation_rise: Annotated[float, Ge(0.0), Le(20.0)] = 1.0
    """By how much that rises, over the share of capability that is lost [1]. An assumption."""
    replacement_usd: Usd = 2000.0
    """Labour and logistics of replacing one pack, beside the pack [USD]. An assumption."""
    module_credit_usd_per_kwh: Usd = 10.0
    """Credit for each kWh of packs remanufactured (US Internal Revenue Code 45X) [USD/kWh]; 0: none."""
    solar_credit_usd_per_kwh: Usd = 0.03
    """Credit for each kWh of sun used, for ten years (45Y with its labour terms, 2024) [USD/kWh]; 0: none."""
    demand_response: DemandResponse = DemandResponse()
    """What a grid pays for power held ready, and what that costs."""
    emission_kg_per_kwh: Usd = 84.0
    """Emission of making a new pack [kg CO2-equivalent per kWh]. Default: middle of 61 to 106 (Emilsson and Dahllof
    2019, IVL report C 444)."""
    emission_saved: Share = 0.30
    """Share of it that a re-used pack saves [1]. Default: as published of the reference site."""


class Plant(NamedTuple):
    """What stands at a site."""

    packs: int
    pack_kwh: float
    """First-life nameplate of a pack [kWh]."""
    solar_kw: float
    converter_kw: float = 0.0
    """Highest power of the converters, at the bus."""
    battery_kwh: float = 0.0
    """Energy that a full battery gives at the bus at the start of service [kWh]."""
    export_kw: float = 0.0
    """Highest power given to a grid."""


class Yearly(NamedTuple):
    """What a site did in each year of the term."""

    load: Float[Array, "draw year"]
    """What was asked for [kWh]."""
    served: Float[Array, "draw year"]
    """What of it was served [kWh]."""
    sun: Float[Array, "draw year"]
    """Photovoltaic energy that was used [kWh]."""
    discharged: Float[Array, "draw year"]
    """Energy out of the battery [kWh]."""
    capability: Float[Array, "draw year"]
    """Capacity of the packs that run over that of all at the start, in the middle of the year [1]."""
    replaced: Float[Array, "draw year"]
    """Packs replaced [1]."""
    imported: Float[Array, "draw year"]
    """Energy taken from a grid in the year as first dispatched [kWh]."""


COMPONENTS = (
    "packs",
    "sun",
    "operation",
    "replacement",
    "warranty",
    "claims",
    "module credit",
    "solar credit",
    "demand response",
)
"""Parts of a cash flow; costs are positive."""

_SITE = ("site_unserved", "site_spilled", "site_curtailed", "site_capability", "site_replacements")
_CREDIT_YEARS = 10
_HOURS = 8760.0


def yearly(duty: xr.Dataset, fade: xr.Dataset, years: int) -> Yearly:
    """Return what a site did each year: its duty, less what it could not serve as its packs faded.

    Parameters
    ----------
    duty, fade
        Datasets of these stages; the forecast has `site_*` variables, of one site.
    years
        Of the term.

    Raises
    ------
    ValueError
        When the forecast is not of one site whose packs feel each other, or ends before the term.
    """
    missing = [name for name in _SITE if name not in fade]
    if missing or fade.sizes.get("site") != 1:
        raise ValueError(
            f"economics need a forecast of one site whose packs feel each other; {', '.join(missing) or 'site'} is not "
            "there or of several: set fleet.sharing to equal, and fleet.sites to 1"
        )
    time = fade["time"].to_numpy()
    if time[-1] < years - 1e-6:
        raise ValueError(f"the forecast ends after {time[-1]:g} years, the term after {years}")
    ends = np.arange(years + 1.0)

    def in_years(name: str) -> Float[Array, "draw year"]:
        values = fade[name].isel(site=0).transpose("draw", "time").to_numpy()
        return np.diff(np.stack([np.interp(ends, time, row) for row in values]), axis=1)

    capability = fade["site_capability"].isel(site=0).transpose("draw", "time").to_numpy()
    hours = float(duty["hour"][1] - duty["hour"][0])
    of_duty = {name: np.empty(duty.sizes["draw"]) for name in ("load", "solar", "battery", "grid")}
    for draw in range(duty.sizes["draw"]):
        for name, values in of_duty.items():
            values[draw] = hours * float(np.maximum(duty[f"{name}_power"].isel(draw=draw).to_numpy(), 0.0).sum())
    follows = fade["duty_draw"].to_numpy()
    load, sun, battery, grid = (values[follows][:, None] for values in of_duty.values())
    unserved = in_years("site_unserved") + in_years("site_curtailed")
    first = unserved[:, :1]
    return Yearly(
        load=np.broadcast_to(load, unserved.shape),
        served=load - unserved,
        sun=sun - in_years("site_spilled"),
        # What is served less than in the first year, the battery gives less.
        discharged=np.maximum(battery - (unserved - first), 0.0),
        capability=np.stack([np.interp(ends[:-1] + 0.5, time, row) for row in capability]),
        replaced=in_years("site_replacements"),
        imported=np.broadcast_to(grid, unserved.shape),
    )


def cash_flow(
    economics: Economics, plant: Plant, done: Yearly, warranty_usd: float, claims: Float[Array, "draw year"]
) -> Float[Array, "component draw year"]:
    """Return what each component costs at the start (year 0) and at the end of each year [USD].

    Parameters
    ----------
    warranty_usd
        Premium paid at the start; 0 where there is no warranty.
    claims
        Paid by it.
    """
    draws, years = done.served.shape
    flow = np.zeros((len(COMPONENTS), draws, years + 1))
    nameplate = plant.packs * plant.pack_kwh
    packs, sun = economics.pack_usd_per_kwh * nameplate, economics.solar_usd_per_kw * plant.solar_kw
    flow[0, :, 0], flow[1, :, 0] = packs, sun
    rise = 1.0 + economics.operation_rise * np.maximum(1.0 - done.capability, 0.0)
    flow[2, :, 1:] = economics.operation_share * (packs + sun) * rise
    each = economics.pack_usd_per_kwh * plant.pack_kwh + economics.replacement_usd
    flow[3, :, 1:] = done.replaced * each
    flow[4, :, 0] = warranty_usd
    flow[5, :, 1 : claims.shape[1] + 1] = -claims[:, :years]
    flow[6, :, 0] = -economics.module_credit_usd_per_kwh * nameplate
    credited = min(years, _CREDIT_YEARS)
    flow[7, :, 1 : credited + 1] = -economics.solar_credit_usd_per_kwh * done.sun[:, :credited]
    flow[8, :, 1:] = cost(economics.demand_response, _in_an_event(economics.demand_response, plant, done))
    return flow


def _in_an_event(terms: DemandResponse, plant: Plant, done: Yearly) -> Float[Array, "draw year"]:
    """Return the energy given in an event of each year [kWh].

    Own load and what is taken from the grid are those of a mean hour of the year; all of the load that the grid does
    not serve counts as carried by the converters, sun or not.
    """
    imported = done.imported / _HOURS
    free = plant.converter_kw - np.maximum(done.served / _HOURS - imported, 0.0)
    return delivered(terms, plant.packs, free, imported + plant.export_kw, plant.battery_kwh * done.capability)


def levelised_price(
    economics: Economics, flow: Float[Array, "component draw year"], done: Yearly, fade: xr.Dataset, seed: int
) -> pd.DataFrame:
    """Return what each kWh served must bring, by component, and in all.

    Returns
    -------
    Columns `component`, `usd_per_kwh`, `interval`: the half-width of the 0.90 Monte-Carlo interval over draws, which
    resamples years of weather where draws share them.
    """
    present = (1.0 + economics.discount_rate) ** -np.arange(flow.shape[2])
    costs, energy = flow @ present, done.served @ present[1:]

    def per_kwh(weights: Float[Array, "replicate draw"]) -> dict[str, Array]:
        parts = (weights @ costs.T) / (weights @ energy)[:, None]
        return {"parts": np.concatenate([parts, parts.sum(axis=1, keepdims=True)], axis=1)}

    value = per_kwh(np.ones((1, len(energy))))["parts"][0]
    width = half_widths(per_kwh, clusters(fade), 0.90, seed)["parts"]
    return pd.DataFrame({"component": [*COMPONENTS, "price"], "usd_per_kwh": value, "interval": width})


def economics_table(
    economics: Economics, plant: Plant, duty: xr.Dataset, fade: xr.Dataset, price: xr.Dataset, seed: int
) -> pd.DataFrame:
    """Return what a kWh costs by component and in all, with the warranty bought, and what making packs emits.

    Returns
    -------
    Columns `quantity`, `value`, `units`, `low`, `high`, as of the table of a price; carbon has no interval.

    Raises
    ------
    ValueError
        As `yearly` does.
    """
    done = yearly(duty, fade, economics.years)
    energy = float(price["base_energy"].sum("pack").mean()) * float(fade["pack_weight"])
    claims = price["claim_amount"].transpose("draw", "policy_year").to_numpy()
    flow = cash_flow(economics, plant, done, float(price["premium"]) * energy, claims)
    costs, made = levelised_price(economics, flow, done, fade, seed), carbon(economics, plant, done)
    names = [f"levelised_{part}" for part in costs["component"]] + [f"carbon_{packs}" for packs in made["packs"]]
    units = ["USD.kW-1.h-1"] * len(costs) + ["kg.MW-1.h-1"] * len(made)
    value = np.concatenate([costs["usd_per_kwh"].to_numpy(), made["kg_per_mwh"].to_numpy()])
    half = np.concatenate([costs["interval"].to_numpy(), np.full(len(made), np.nan)])
    plain = [name.replace(" ", "_").replace("-", "_") for name in names]
    return pd.DataFrame({"quantity": plain, "value": value, "units": units, "low": value - half, "high": value + half})


def carbon(economics: Economics, plant: Plant, done: Yearly) -> pd.DataFrame:
    """Return what making packs emits for each MWh out of the battery over the term, for re-used packs and for new ones.

    New packs are taken to be as many kWh as the re-used ones, to give what the site asks of them in its first year in
    every year, and to last the term.

    Returns
    -------
    Columns `packs`, `kg_per_mwh`.
    """
    nameplate = plant.packs * plant.pack_kwh
    given = done.discharged.sum(axis=1).mean() / 1000.0
    unfaded = done.discharged[:, :1].mean() * done.discharged.shape[1] / 1000.0
    replaced = done.replaced.sum(axis=1).mean() * plant.pack_kwh
    made = (nameplate + replaced) * economics.emission_kg_per_kwh * (1.0 - economics.emission_saved)
    new = nameplate * economics.emission_kg_per_kwh
    return pd.DataFrame({"packs": ["re-used", "new"], "kg_per_mwh": [made / given, new / unfaded]})
