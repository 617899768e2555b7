"""Demand response: what a site is paid for holding power ready for a grid, and what the energy that it gives costs it.

A grid calls events; in each the site gives what it has enrolled, as far as its battery, its converters and its exchange
with the grid allow. Only what is delivered is paid for, so that income falls as packs fade.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.settings import settings

Usd = Annotated[float, Ge(0.0)]


@settings
class DemandResponse:
    """A programme of demand response; none by default."""

    kw_per_pack: Annotated[float, Ge(0.0)] = 0.0
    """Power that is enrolled, per pack, at the bus [kW]; 0: none."""
    capacity_usd_per_kw: Usd = 200.0
    """Payment of a year for the mean power over all events [USD/kW]. Default: Daily Dispatch for batteries of
    businesses in Massachusetts (ConnectedSolutions, as of SEAdvantage: 200 USD/kW a summer)."""
    energy_usd_per_kwh: Usd = 0.0
    """Payment for energy delivered in events [USD/kWh]. Default: none, as in that programme; California's Emergency
    Load Reduction Program pays 2 for energy alone, for 60 hours a year at most (California Public Utilities
    Commission)."""
    events_per_year: Annotated[float, Ge(0.0), Le(365.0)] = 45.0
    """Events, one a day at most [1/year]. Default: middle of the 30 to 60 of Daily Dispatch."""
    event_hours: Annotated[float, Gt(0.0), Le(24.0)] = 3.0
    """Length of an event [h]. Default: the longest of Daily Dispatch, 2 to 3."""
    forgone_usd_per_kwh: Usd = 1.0
    """What each kWh delivered costs the site [USD/kWh]. An assumption: it is missing to computing, and costs what
    computing put off does in plans (`duty.look_ahead.curtailed_usd_per_kwh`). Where sun that would be spilled makes up
    for all of it, 0; where the grid does, its price over the efficiency there and back."""


def delivered(
    terms: DemandResponse,
    packs: int,
    free_kw: Float[np.ndarray, "draw year"],
    exchange_kw: Float[np.ndarray, "draw year"],
    battery_kwh: Float[np.ndarray, "draw year"],
) -> Float[np.ndarray, "draw year"]:
    """Return the energy that a site gives in an event of each year, at the bus [kWh].

    An event finds the battery full, for it is called the day before, and the one before made up for.

    Parameters
    ----------
    free_kw
        What converters carry beyond the site's own load.
    exchange_kw
        What the site can take less from the grid than it does, and give to it.
    battery_kwh
        Energy that a full battery gives at the bus.
    """
    power = np.minimum(np.minimum(terms.kw_per_pack * packs, free_kw), exchange_kw)
    return np.asarray(np.minimum(np.maximum(power, 0.0) * terms.event_hours, battery_kwh))


def cost(terms: DemandResponse, event_kwh: Float[np.ndarray, "draw year"]) -> Float[np.ndarray, "draw year"]:
    """Return what events cost a site in each year, less what they bring [USD].

    Parameters
    ----------
    event_kwh
        Delivered in each event of a year.
    """
    forgone = (terms.forgone_usd_per_kwh - terms.energy_usd_per_kwh) * terms.events_per_year * event_kwh
    return np.asarray(forgone - terms.capacity_usd_per_kw * event_kwh / terms.event_hours)
