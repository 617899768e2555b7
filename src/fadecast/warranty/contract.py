"""The contract: what is guaranteed, when it is inspected, and what is owed when a pack falls short."""

import itertools
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MinLen
from jaxtyping import Float

from fadecast.settings import settings

Years = Annotated[float, Ge(0.0), Le(100.0)]
Level = Annotated[float, Gt(0.0), Le(1.0)]
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_SAME_TIME = 1e-9
"""Two times closer than this are one inspection [year]."""


@settings
class CashRemedy:
    """Pro-rata cash: the missing share of the base energy is paid for at a fixed price."""

    kind: Literal["cash"] = "cash"
    """Names this remedy in a study file."""
    usd_per_kwh: Annotated[float, Gt(0.0)] = 200.0
    """Price of one missing kWh [USD/kWh]. Default: published value of collected packs (20 GWh, 4 bn USD)."""

    def owed(self, shortfall: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return what a shortfall [fraction of base energy] is worth [USD per kWh of base energy]."""
        return self.usd_per_kwh * shortfall


@settings
class Contract:
    """A pack capacity warranty: a guaranteed curve, inspections on fixed dates, and a remedy.

    At every inspection the shortfall is what is missing to the guaranteed level, less the deductible. The
    remedy says what that shortfall is worth, up to the limit; what was paid before is taken off, so
    that a loss is paid once, and a pack that recovers pays nothing back.
    """

    term_years: Annotated[float, Gt(0.0), Le(100.0)] = 10.0
    """Term, from the start of second-life service [year]."""
    guarantee: Annotated[tuple[tuple[Years, Level], ...], MinLen(1)] = ((10.0, 0.70),)
    """Points (year, level) of the guaranteed curve: straight between points, constant before the first and
    after the last. The level is a fraction of the base energy that `measure` names. Default: 70 % for ten
    years, the level common in storage warranties."""
    measure: Literal["retention", "soh"] = "retention"
    """What an inspection measures: `retention`, against the energy at start of service, or `soh`, against the
    first-life nameplate energy. It fixes the base energy of prices and remedy too."""
    inspection_interval_years: Annotated[float, Gt(0.0)] = 1.0
    """Time between inspections [year]. The last one is always at the end of the term."""
    remedy: CashRemedy = CashRemedy()
    """What is paid for a shortfall."""
    deductible: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    """Part of the shortfall that the owner bears [fraction of base energy]."""
    limit_usd_per_kwh: Annotated[float, Gt(0.0)] | None = None
    """Most that is paid for one pack over the term [USD per kWh of its base energy]; none: no limit."""

    def __post_init__(self) -> None:
        """Refuse a guaranteed curve that runs backwards in time or rises."""
        for (year, level), (next_year, next_level) in itertools.pairwise(self.guarantee):
            if next_year <= year or next_level > level:
                raise ValueError(
                    f"guarantee point ({next_year:g}, {next_level:g}) follows ({year:g}, {level:g}); years "
                    "must rise and levels must not: give points (year, level) in order of time"
                )


def inspection_times(contract: Contract) -> Float[Array, " inspection"]:
    """Return the times of the inspections [year]: every interval, and the end of the term."""
    term, interval = contract.term_years, contract.inspection_interval_years
    regular = interval * np.arange(1, np.floor(term / interval + _SAME_TIME) + 1)
    return np.append(regular[regular < term - _SAME_TIME], term)


def guaranteed_level(contract: Contract, years: Float[Array, " inspection"]) -> Float[Array, " inspection"]:
    """Return the guaranteed level [fraction of base energy] at the given times [year]."""
    points = np.asarray(contract.guarantee, dtype=float)
    levels: Array = np.interp(years, points[:, 0], points[:, 1])
    return levels


def owed(contract: Contract, level: float, measured: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return what one inspection finds to be owed in all, before earlier payments are taken off.

    Parameters
    ----------
    contract
        The contract.
    level
        Guaranteed level at the inspection [fraction of base energy].
    measured
        Measured energy [fraction of base energy].

    Returns
    -------
    Amount [USD per kWh of base energy], of the shape of `measured`.
    """
    shortfall = np.maximum(level - measured - contract.deductible, 0.0)
    limit = np.inf if contract.limit_usd_per_kwh is None else contract.limit_usd_per_kwh
    return np.minimum(contract.remedy.owed(shortfall), limit)
