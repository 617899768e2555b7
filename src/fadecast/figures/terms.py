"""What a price dataset says of itself: the terms of its contract, and which quantiles its draws resolve."""

import numpy as np
import xarray as xr
from pydantic import TypeAdapter

from fadecast.warranty import Contract
from fadecast.warranty.tails import draws_needed


def contract_of(price: xr.Dataset) -> Contract | None:
    """Return the contract behind a price, or None if the price does not say."""
    return TypeAdapter(Contract).validate_json(price.attrs["contract"]) if "contract" in price.attrs else None


def draws_note(price: xr.Dataset) -> str:
    """Return how many draws a price rests on, and what packs of one have in common."""
    draws = price.sizes["draw"]
    years = int(price.attrs.get("years_of_duty", draws))
    note = f"{draws:,} draw{'s' if draws != 1 else ''}; packs of one draw share weather, load and ageing rates."
    if years < draws:
        of = f"{years:,} year{'s' if years != 1 else ''} of weather and load"
        note += f" Draws share {of}, which intervals count."
    return note


def resolution_note(price: xr.Dataset) -> str:
    """Return which quantiles of the loss the draws resolve, and how many draws the others need."""
    draws, note = price.sizes["draw"], draws_note(price)
    if int(price.attrs.get("years_of_duty", draws)) < draws:
        note += " Quantiles count draws."
    missing = [float(level) for level in price["level"].values[np.isnan(price["value_at_risk"].values)]]
    if not missing:
        return f"{note} Every quantile asked for is resolved."
    wanted = ", ".join(f"{100 * level:g} % (needs {draws_needed(level):,} draws)" for level in missing)
    return f"{note} Not resolved: {wanted}."
