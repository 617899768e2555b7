"""What a contract does for a pack that falls short: cash for what is missing, a repair, or another pack."""

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen
from jaxtyping import Float
from pydantic import Discriminator, Tag

from fadecast.settings import settings

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Years = Annotated[float, Ge(0.0), Le(100.0)]
Usd = Annotated[float, Ge(0.0)]


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
class ReplacementRemedy:
    """Another pack like the first one was at the start of service, in place of the one that fell short."""

    kind: Literal["replacement"]
    """Names this remedy in a study file."""
    price: Annotated[tuple[tuple[Years, Usd], ...], MinLen(1)] = ((0.0, 200.0),)
    """Points (year, USD per kWh of base energy) of what such a pack costs: straight between points, constant before the
    first and after the last. Default: published value of collected packs (20 GWh, 4 bn USD), whatever the year."""
    labour_usd: Usd = 0.0
    """Labour and logistics of one replacement [USD]. Default: none, for want of a source."""
    salvage_usd_per_kwh: Usd = 0.0
    """What the pack that was taken out is worth for each kWh that it still holds [USD/kWh]. Default: nothing."""
    renewed: bool = True
    """Whether the new pack is covered to the end of the term, by its own age; else its cover has ended."""

    def __post_init__(self) -> None:
        """Refuse prices that run backwards in time."""
        years = [year for year, _ in self.price]
        if sorted(set(years)) != years:
            raise ValueError(f"price has its points at years {years}; years must rise")

    def cost(self, year: float, base_energy: Float[Array, "..."], held: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return what one replacement costs [USD].

        Parameters
        ----------
        year
            Of the replacement, from the start of service.
        base_energy
            Of the pack [kWh].
        held
            What the old one still holds [fraction of base energy].
        """
        usd_per_kwh = straight(self.price, year)
        worth = self.salvage_usd_per_kwh * np.nan_to_num(held)
        return np.asarray(np.maximum((usd_per_kwh - worth) * base_energy, 0.0) + self.labour_usd)


@settings
class RepairRemedy:
    """Sound modules in place of the weakest ones, as long as that makes up for what is missing; else cash."""

    kind: Literal["repair"]
    """Names this remedy in a study file."""
    restores: Annotated[float, Gt(0.0), Le(1.0)] = 0.1
    """Capacity that a repair gives back, and no more than was lost [fraction of base energy] (assumed)."""
    usd_per_kwh_restored: Usd = 200.0
    """Price of what it gives back [USD/kWh]. Default: published value of collected packs (20 GWh, 4 bn USD)."""
    labour_usd: Usd = 1000.0
    """Labour and logistics of one repair [USD] (assumed)."""
    most: Annotated[int, Ge(1), Le(100)] = 1
    """Repairs of one pack over the term."""
    cash: CashRemedy = CashRemedy()
    """What is paid where a repair does not make up for what is missing, or there have been as many as there may be."""

    def cost(self, base_energy: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return what one repair of a pack of some base energy [kWh] costs [USD]."""
        return self.usd_per_kwh_restored * self.restores * base_energy + self.labour_usd


def straight(points: tuple[tuple[float, float], ...], year: float) -> float:
    """Return a value between points (year, value): straight between, constant before the first and after the last."""
    years, values = np.asarray(points).T
    return float(np.interp(year, years, values))


def _kind(remedy: Any) -> str:
    kind = remedy.get("kind", "cash") if isinstance(remedy, dict) else getattr(remedy, "kind", "cash")
    return f"union[{kind}]"


Remedy = Annotated[
    Annotated[CashRemedy, Tag("union[cash]")]
    | Annotated[RepairRemedy, Tag("union[repair]")]
    | Annotated[ReplacementRemedy, Tag("union[replacement]")],
    Discriminator(_kind),
]
"""Cash where no `kind` is given."""
