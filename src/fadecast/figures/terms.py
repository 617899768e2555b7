"""What a price dataset says of itself: the terms of its contract, and which quantiles its draws resolve."""

import xarray as xr
from pydantic import TypeAdapter

from fadecast.warranty import Contract
from fadecast.warranty.tails import draws_needed


def contract_of(price: xr.Dataset) -> Contract | None:
    """Return the contract behind a price, or None if the price does not say."""
    return TypeAdapter(Contract).validate_json(price.attrs["contract"]) if "contract" in price.attrs else None


def resolution_note(price: xr.Dataset) -> str:
    """Return which quantiles of the loss the draws resolve, and how many draws the others need."""
    draws = price.sizes["draw"]
    missing = [float(level) for level in price["level"].values if draws < draws_needed(level)]
    years = int(price.attrs.get("years_of_duty", draws))
    note = f"{draws:,} draw{'s' if draws != 1 else ''}; packs of one draw share weather, load and ageing rates."
    if years < draws:
        of = f"{years:,} year{'s' if years != 1 else ''} of weather and load"
        note += f" Draws share {of}, which intervals count; quantiles count draws."
    if not missing:
        return f"{note} Every quantile asked for is resolved."
    wanted = ", ".join(f"{100 * level:g} % (needs {draws_needed(level):,} draws)" for level in missing)
    return f"{note} Not resolved: {wanted}."
