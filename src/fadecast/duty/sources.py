"""What serves a site besides sun and battery, and what it costs: a generator, a grid, computing that can wait."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Len

from fadecast.settings import settings

Price = Annotated[float, Ge(-10), Le(100)]


@settings
class Generator:
    """A backup generator that follows what is left of the load; none by default."""

    kw_per_pack: Annotated[float, Ge(0)] = 0.0
    """Rated power per pack [kW]; 0: no generator."""
    minimum: Annotated[float, Ge(0), Le(1)] = 0.3
    """Lowest power while it runs, over its rated power [1] (diesel sets are commonly kept above 0.3). What the load
    does not take charges the battery."""
    usd_per_kwh: Annotated[float, Ge(0)] = 0.40
    """Cost of its energy [USD/kWh]: 0.27 litres a kilowatt-hour of diesel at 1.2 USD a litre and upkeep (assumed)."""


@settings
class Grid:
    """A connection to a power grid; none by default."""

    import_kw_per_pack: Annotated[float, Ge(0)] = 0.0
    """Highest power taken from it, per pack [kW]; 0: off-grid."""
    export_kw_per_pack: Annotated[float, Ge(0)] = 0.0
    """Highest power given to it, per pack [kW]."""
    buy_usd_per_kwh: Annotated[tuple[Price, ...], Len(24, 24)] = (0.08,) * 24
    """Price of energy taken, by hour of the day [USD/kWh] (assumed)."""
    sell_usd_per_kwh: Annotated[tuple[Price, ...], Len(24, 24)] = (0.02,) * 24
    """Price of energy given, by hour of the day [USD/kWh] (assumed)."""

    def __post_init__(self) -> None:
        """Refuse prices that would pay for passing energy through."""
        for hour, (buy, sell) in enumerate(zip(self.buy_usd_per_kwh, self.sell_usd_per_kwh, strict=True)):
            if sell > buy:
                raise ValueError(
                    f"grid: sell_usd_per_kwh ({sell:g}) must be at most buy_usd_per_kwh ({buy:g}) in hour {hour}"
                )


@settings
class LookAhead:
    """How a plan is made where `dispatch.policy` is look_ahead: the cheapest hours ahead, by linear programming."""

    horizon_hours: Annotated[int, Ge(2), Le(168)] = 48
    """Hours that a plan covers."""
    replan_hours: Annotated[int, Gt(0), Le(24)] = 24
    """Hours after which the next one is made [h]; a whole part of a day."""
    foresight: bool = False
    """Whether load and sun ahead are known; else those of the last 24 h are expected again."""
    reserve: Annotated[float, Ge(0), Le(1)] = 0.3
    """State of charge that plans keep for what they do not foresee [1]."""
    unserved_usd_per_kwh: Annotated[float, Ge(0)] = 5.0
    """What load not served costs [USD/kWh] (assumed: several times what computing earns, about 1.4)."""
    curtailed_usd_per_kwh: Annotated[float, Ge(0)] = 1.0
    """What computing put off costs [USD/kWh] (assumed: most of what it earns)."""
    throughput_usd_per_kwh: Annotated[float, Ge(0)] = 0.01
    """Wear of the battery per energy through it, both ways [USD/kWh] (assumed)."""

    def __post_init__(self) -> None:
        """Refuse plans that end before the next, or do not divide a day."""
        if 24 % self.replan_hours:
            raise ValueError(f"look_ahead: replan_hours ({self.replan_hours}) must divide 24")
        if self.replan_hours > self.horizon_hours:
            raise ValueError(
                f"look_ahead: replan_hours ({self.replan_hours}) must be at most horizon_hours ({self.horizon_hours})"
            )
