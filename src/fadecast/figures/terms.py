"""What a price dataset says of itself: the terms of its contract, and which quantiles its draws resolve."""

import json

import xarray as xr

from fadecast.warranty import Contract
from fadecast.warranty.tails import draws_needed


def contract_of(price: xr.Dataset) -> Contract | None:
    """Return the guarantee behind a price (curve, term, measure, inspections), or None if the price does not say."""
    if "contract" not in price.attrs:
        return None
    terms = json.loads(price.attrs["contract"])
    return Contract(
        term_years=terms["term_years"],
        guarantee=tuple((year, level) for year, level in terms["guarantee"]),
        measure=terms["measure"],
        inspection_interval_years=terms["inspection_interval_years"],
    )


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
