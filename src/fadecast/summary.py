"""What a run found, in a few lines of text. The last line of each is meant for scripts."""

import numpy as np
import xarray as xr

from fadecast.figures.statistics import capacity_left, outcome_counts, quantiles
from fadecast.outcome import Outcome
from fadecast.warranty import summary_line
from fadecast.warranty.premium import SUMMARY_LEVEL

_LEVELS = (0.05, 0.50, 0.95)
_RATE = "USD/kWh"


def duty_line(duty: xr.Dataset) -> str:
    """Return how well the powers of a duty dataset balance, and the share of the load that is not served.

    The balance is load - unserved = solar - spilled + battery at every step; its error is relative to the largest load.
    """
    load, unserved = duty["load_power"], duty["unserved_power"]
    balance = load - unserved - duty["solar_power"] + duty["spilled_power"] - duty["battery_power"]
    error = float(abs(balance).max() / load.max())
    return f"energy_balance_error: {error:.1e} unserved_fraction: {float(unserved.sum() / load.sum()):.5f}"


def population_line(population: xr.Dataset) -> str:
    """Return how degraded the packs are."""
    low, median, high = np.quantile(population["initial_soh"].values, _LEVELS)
    return f"initial_soh: {median:.4f} from_5_percent: {low:.4f} to_95_percent: {high:.4f}"


def fade_lines(fade: xr.Dataset) -> list[str]:
    """Return what a forecast says of capacity, and how many packs it lost."""
    draws, packs = fade.sizes["draw"], fade.sizes["pack"]
    lines = [f"packs: {packs}  draws: {draws}  years: {fade['time'].values[-1]:g}"]
    if "cell_days" in fade.attrs:
        lines.append(f"cell_days: {float(fade.attrs['cell_days']):.0f}  mode: {fade.attrs['mode']}")
    if "soh_error_pp" in fade.attrs:
        lines.append(
            f"soh_error_pp: {fade.attrs['soh_error_pp']:.4f}  against day-by-day simulation of "
            f"{fade.attrs['soh_error_lanes']} packs over {fade.attrs['soh_error_days']:.0f} days"
        )
    low, median, high = quantiles(capacity_left(fade), _LEVELS)[:, -1]
    counts = outcome_counts(fade)
    del counts[Outcome.COMPLETED]
    lost = ", ".join(f"{outcome.name.lower()} {count}" for outcome, count in counts.items() if count)
    return [
        *lines,
        f"not_completed: {sum(counts.values())} of {draws * packs}" + (f" ({lost})" if lost else ""),
        f"retention_at_end: {median:.4f} from_5_percent: {low:.4f} to_95_percent: {high:.4f}",
    ]


def price_lines(price: xr.Dataset) -> list[str]:
    """Return a price with its intervals; the last line is `fadecast.warranty.summary_line`."""
    at = price.sel(level=SUMMARY_LEVEL)
    parts = ("expected_loss", "expenses", "capital_load")
    return [
        f"loss_over_20_percent_in_3_years: {_with_interval(price, 'tail_event_probability')}",
        "  ".join(f"{name}: {_with_interval(price, name)}" for name in parts) + f"  [{_RATE}]",
        f"premium: {_with_interval(price, 'premium')} {_RATE} of capacity that the contract refers to",
        f"quantiles_99.5 ({_RATE}): var {_with_interval(at, 'value_at_risk')}, "
        f"tvar {_with_interval(at, 'tail_value_at_risk')}; capital from {price.attrs['capital_basis']}",
        f"covers: {price.attrs['coverage']}",
        summary_line(price),
    ]


def _with_interval(dataset: xr.Dataset, name: str) -> str:
    value, half = dataset[name].item(), dataset[f"{name}_interval"].item()
    if not np.isfinite(value):
        return "not_resolved"
    return f"{value:.4f} +- {half:.4f}" if np.isfinite(half) else f"{value:.4f} +- not_resolved"
