"""What a run found, in a few lines of text. The last line of each is meant for scripts."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from fadecast.figures.statistics import capacity_left, outcome_counts, quantiles, standing_for
from fadecast.outcome import Outcome
from fadecast.warranty import summary_line
from fadecast.warranty.premium import SUMMARY_LEVEL

_LEVELS = (0.05, 0.50, 0.95)
_RATE = "USD/kWh"
_NOTICED = 0.01


class _Year(NamedTuple):
    """What a year of duty comes to: powers [kW] and energies [kW.h]."""

    error: float
    largest: float
    """Power of the battery."""
    most: float
    """Load."""
    load: float
    unserved: float
    curtailed: float
    generator: float
    running: float
    """Hours of the generator [h]."""
    bought: float
    sold: float

    @classmethod
    def of(cls, duty: xr.Dataset) -> "_Year":
        """Add up one draw."""
        hours = float(duty["hour"][1] - duty["hour"][0])
        power = {name: duty[f"{name}_power"].to_numpy() for name in _POWERS}
        served = power["load"] - power["curtailed"] - power["unserved"]
        given = power["solar"] + power["battery"] + power["grid"] + power["generator"]
        energy = {name: hours * float(power[name].sum()) for name in ("load", "unserved", "curtailed", "generator")}
        return cls(
            error=float(np.abs(served - given + power["spilled"]).max()),
            largest=float(np.abs(power["battery"]).max()),
            most=float(power["load"].max()),
            **energy,
            running=hours * float((power["generator"] > 0.0).sum()),
            bought=hours * float(np.maximum(power["grid"], 0.0).sum()),
            sold=-hours * float(np.minimum(power["grid"], 0.0).sum()),
        )


_POWERS = ("load", "curtailed", "unserved", "spilled", "solar", "battery", "grid", "generator")


def duty_lines(duty: xr.Dataset) -> list[str]:
    """Return what besides sun and battery served a load, a year; last how well powers balance, and what is not served.

    The balance is load - curtailed - unserved = solar - spilled + battery + grid + generator at every step; its error
    is relative to the largest load. Years are read one by one.
    """
    years = [_Year.of(duty.isel(draw=draw)) for draw in range(duty.sizes["draw"])]
    mean = _Year(*(float(np.mean(values)) for values in zip(*years, strict=True)))
    error, largest, most = (max(getattr(year, name) for year in years) for name in ("error", "largest", "most"))
    lines = []
    if mean.curtailed > 0.0:
        lines.append(f"curtailed: {mean.curtailed:.0f} kWh a year")
    if mean.generator > 0.0:
        lines.append(f"generator: {mean.generator:.0f} kWh in {mean.running:.0f} h a year")
    if mean.bought + mean.sold > 0.0:
        lines.append(f"grid: {mean.bought:.0f} kWh bought, {mean.sold:.0f} kWh sold a year")
    # A store that only trades or rests has no load.
    balance = f"energy_balance_error: {error / (most or largest or 1.0):.1e}"
    return [*lines, f"{balance} unserved_fraction: {mean.unserved / (mean.load or 1.0):.5f}"]


def population_line(population: xr.Dataset) -> str:
    """Return how degraded the packs are."""
    low, median, high = np.quantile(population["initial_soh"].values, _LEVELS)
    accepted, wrong, lost = (
        population.attrs[f"triage_{name}_share"] for name in ("accepted", "wrongly_accepted", "wrongly_rejected")
    )
    return (
        f"initial_soh: {median:.4f} from_5_percent: {low:.4f} to_95_percent: {high:.4f} accepted: {accepted:.3f} "
        f"wrongly_accepted: {wrong:.3f} wrongly_rejected: {lost:.3f}"
    )


def fade_lines(fade: xr.Dataset) -> list[str]:
    """Return what a forecast says of capacity, and how many packs it lost."""
    draws, packs = fade.sizes["draw"], fade.sizes["pack"]
    lines = [f"packs: {packs}{standing_for(fade)}  draws: {draws}  years: {fade['time'].values[-1]:g}"]
    if "cell_days" in fade.attrs:
        lines.append(f"cell_days: {float(fade.attrs['cell_days']):.0f}  mode: {fade.attrs['mode']}")
    if "soh_error_pp" in fade.attrs:
        lines.append(
            f"soh_error_pp: {fade.attrs['soh_error_pp']:.4f}  resistance_error_percent: "
            f"{fade.attrs['resistance_error_percent']:.3f}  against day-by-day simulation of "
            f"{fade.attrs['soh_error_lanes']} packs over {fade.attrs['soh_error_days']:.0f} days"
        )
    lines += [*_unlike_their_year(fade), *_sites(fade)]
    low, median, high = quantiles(capacity_left(fade), _LEVELS)[:, -1]
    counts = outcome_counts(fade)
    del counts[Outcome.COMPLETED]
    lost = ", ".join(f"{outcome.name.lower()} {count}" for outcome, count in counts.items() if count)
    return [
        *lines,
        f"not_completed: {sum(counts.values())} of {draws * packs}" + (f" ({lost})" if lost else ""),
        f"retention_at_end: {median:.4f} from_5_percent: {low:.4f} to_95_percent: {high:.4f}",
    ]


def _sites(fade: xr.Dataset) -> list[str]:
    """Say what became of the sites, where packs feel each other: means over draws and sites."""
    if "site_unserved" not in fade:
        return []
    time, unserved = fade["time"].values, fade["site_unserved"].mean(("draw", "site")).values
    first, before = np.interp([min(1.0, time[-1]), max(time[-1] - 1.0, 0.0)], time, unserved)
    capability = float(fade["site_capability"].isel(time=-1).mean())
    replaced = float(fade["site_replacements"].isel(time=-1).mean())
    years = f"{first:.0f} kWh in the first year, {unserved[-1] - before:.0f} in the last"
    return [f"site_unserved: {years}  capability_at_end: {capability:.4f}  replaced: {replaced:.1f}"]


def _unlike_their_year(fade: xr.Dataset) -> list[str]:
    """Say in what typical days are more than a per cent off the year that they stand for, in the worst draw."""
    errors = json.loads(fade.attrs.get("typical_day_error", "[]"))
    worst = {name: max((draw[name] for draw in errors), key=abs) for name in (errors[0] if errors else {})}
    far = [f"{name} {100.0 * error:+.1f} %" for name, error in worst.items() if abs(error) > _NOTICED]
    return [f"typical_days_off: {', '.join(far)}  in the worst draw; more decades.typical_days help"] if far else []


def price_lines(price: xr.Dataset) -> list[str]:
    """Return a price with its intervals; the last line is `fadecast.warranty.summary_line`."""
    at = price.sel(level=SUMMARY_LEVEL)
    parts = ["expected_loss", "expenses", "capital_load", *(["refund"] if price["refund"] > 0.0 else [])]
    return [
        f"loss_over_20_percent_in_3_years: {_with_interval(price, 'tail_event_probability')}",
        "  ".join(f"{name}: {_with_interval(price, name)}" for name in parts) + f"  [{_RATE}]",
        f"premium: {_with_interval(price, 'premium')} {_RATE} of capacity that the contract refers to",
        f"quantiles_99.5 ({_RATE}): var {_with_interval(at, 'value_at_risk')}, "
        f"tvar {_with_interval(at, 'tail_value_at_risk')}; capital from {price.attrs['capital_basis']}",
        f"covers: {price.attrs['coverage']}",
        summary_line(price),
    ]


def economics_line(rows: Iterable[Mapping[str, str]]) -> str:
    """Return what a kWh of the site costs, from the rows of its table."""
    value = {row["quantity"]: float(row["value"]) for row in rows}
    return (
        f"levelised_price: {value['levelised_price']:.4f} USD for each kWh served  warranty: "
        f"{value['levelised_warranty']:.4f}  carbon_of_packs: {value['carbon_re_used']:.2f} kg/MWh, new "
        f"{value['carbon_new']:.2f}"
    )


def _with_interval(dataset: xr.Dataset, name: str) -> str:
    value, half = dataset[name].item(), dataset[f"{name}_interval"].item()
    if not np.isfinite(value):
        return "not_resolved"
    return f"{value:.4f} +- {half:.4f}" if np.isfinite(half) else f"{value:.4f} +- not_resolved"
