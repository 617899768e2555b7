"""A price as people read it: one line, a table, an exceedance curve."""

import numpy as np
import pandas as pd
import xarray as xr

from fadecast.warranty.premium import SUMMARY_LEVEL

_NOT_RESOLVED = "not_resolved"
_SCALARS = ("premium", "expected_loss", "expenses", "capital_load", "tail_event_probability")
_QUANTILES = ("value_at_risk", "tail_value_at_risk")
_COUNTS = ("failed_share", "exhausted_share")
_FURTHER = (
    "refund",
    "claims_per_pack",
    "mean_claim",
    "systematic_standard_deviation",
    "individual_standard_deviation",
    "retained_loss",
    "retained_standard_deviation",
)
_FURTHER_COUNTS = ("ended_share", "voided_share", "false_claim_share", "failures_per_pack")
_CHANGE, _SLOPE, _SAVING = "premium_change", "premium_slope", "cession_saving"
_PARTS = ("earned_share", "survival")
"""Shares by year: none is above 1."""
_CESSION = ("attachment", "cession_price")
_ALONG = {
    "principle_premium": ("principle", "premium"),
    "fleet_premium": ("fleet_size", "premium_of_packs"),
    _CHANGE: ("change", _CHANGE),
    _SLOPE: ("sensitivity", _SLOPE),
    "telemetry_deviation": ("telemetry_year", "unpaid_deviation_year"),
    "telemetry_deviation_left": ("telemetry_year", "unpaid_deviation_telemetry_year"),
    "reserve": ("policy_year", "reserve_year"),
    "reserve_high": ("policy_year", "reserve_95_year"),
    "earned_share": ("policy_year", "earned_share_year"),
    "survival": ("inspection", "survival_year"),
    "aggregate_exceedance": ("return_period", "aggregate_exceedance_years"),
    "occurrence_exceedance": ("return_period", "occurrence_exceedance_years"),
    "ceded_loss": ("layer", "ceded_loss_layer"),
    "ceded_standard_deviation": ("layer", "ceded_standard_deviation_layer"),
}
"""Variables along a dimension, and how their numbers are named."""


def summary_line(price: xr.Dataset) -> str:
    """Return the price in one line [USD per kWh of base energy]; what the draws do not resolve says so."""
    at = price.sel(level=SUMMARY_LEVEL)
    return (
        f"premium_usd_per_kwh: {_number(at['premium'])} +- {_number(at['premium_interval'])}  "
        f"var_99.5: {_number(at['value_at_risk'])}  tvar_99.5: {_number(at['tail_value_at_risk'])}"
    )


def _number(value: xr.DataArray) -> str:
    return f"{value.item():.4f}" if np.isfinite(value.item()) else _NOT_RESOLVED


def price_table(price: xr.Dataset) -> pd.DataFrame:
    """Return every priced quantity with its Monte-Carlo interval.

    Returns
    -------
    Columns `quantity`, `value`, `units`, `low`, `high`; NaN where the draws do not resolve a quantity, or its
    interval. Nothing priced is negative, so that no interval reaches below 0.
    """
    rows = [_row(name, price[name], price[f"{name}_interval"]) for name in _SCALARS]
    for level in price["level"].to_numpy():
        at = price.sel(level=level)
        rows += [_row(f"{name}_{100 * level:g}", at[name], at[f"{name}_interval"]) for name in _QUANTILES]
    rows += [_row(name, price[name], xr.zeros_like(price[name])) for name in _COUNTS]
    return pd.DataFrame(rows)


def full_table(price: xr.Dataset) -> pd.DataFrame:
    """Return `price_table` and all else that a price holds beside single packs and draws: a row for each number.

    Numbers along a dimension are named after their place in it, as in `premium_wang`, `reserve_year_3`.
    """
    rows = [_row(name, price[name], price[f"{name}_interval"]) for name in _FURTHER]
    rows += [_row(name, price[name], xr.zeros_like(price[name])) for name in _FURTHER_COUNTS]
    for name, (dim, prefix) in _ALONG.items():
        if name not in price:
            continue
        half = price.get(f"{name}_interval", xr.full_like(price[name], np.nan))
        for at, place in enumerate(price[dim].to_numpy()):
            label = f"{place:g}" if isinstance(place, int | float | np.number) else str(place)
            rows.append(_row(f"{prefix}_{label}", price[name].isel({dim: at}), half.isel({dim: at})))
    for kind in price["cession"].to_numpy() if "cession" in price else ():
        for level in price["attachment_level"].to_numpy():
            tried, label = price.sel(cession=kind, attachment_level=level), f"{kind}_{100 * level:g}"
            rows += [_row(f"{name}_{label}", tried[name], xr.zeros_like(tried[name])) for name in _CESSION]
            rows.append(_row(f"{_SAVING}_{label}", tried[_SAVING], tried[f"{_SAVING}_interval"]))
    return pd.concat([price_table(price), pd.DataFrame(rows)], ignore_index=True)


def _row(quantity: str, value: xr.DataArray, half_width: xr.DataArray) -> dict[str, str | float]:
    units = str(value.attrs["units"])
    largest = 1.0 if quantity.endswith(("_share", "_probability")) or quantity.startswith(_PARTS) else np.inf
    least = -np.inf if quantity.startswith((_CHANGE, _SLOPE, _SAVING)) else 0.0
    low, high = (float(np.clip(value.item() + sign * half_width.item(), least, largest)) for sign in (-1.0, 1.0))
    return {"quantity": quantity, "value": value.item(), "units": units, "low": low, "high": high}


def exceedance(price: xr.Dataset) -> pd.DataFrame:
    """Return the loss exceedance curve of the portfolio over draws.

    Returns
    -------
    One row per draw, worst last: `loss` [USD per kWh of base energy], discounted, and `probability`, that of losing at
    least as much, each draw counting by its weight.
    """
    loss = (price["loss"].sum("pack") / price["base_energy"].sum("pack")).to_numpy()
    order = np.argsort(loss, kind="stable")
    loss, weight = loss[order], price["draw_weight"].to_numpy()[order]
    below = np.concatenate([[0.0], np.cumsum(weight)])
    probability = (below[-1] - below[np.searchsorted(loss, loss, side="left")]) / below[-1]
    return pd.DataFrame({"loss": loss, "probability": probability})
