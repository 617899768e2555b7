"""The contract: what is guaranteed, when it is inspected, and what is owed when a pack falls short."""

import itertools
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt, MinLen
from jaxtyping import Float

from fadecast.settings import settings
from fadecast.warranty.inspection import Failures, Termination, Test
from fadecast.warranty.remedies import Array, CashRemedy, Remedy, RepairRemedy, Years

Level = Annotated[float, Gt(0.0), Le(1.0)]
Curve = Annotated[tuple[tuple[Years, Level], ...], MinLen(1)]
CycleCurve = Annotated[tuple[tuple[Annotated[float, Ge(0.0), Le(1e6)], Level], ...], MinLen(1)]

_SAME_TIME = 1e-9
"""Two times closer than this are one inspection [year]."""


@settings
class Conditions:
    """Terms of use: cover of a pack ends at the first inspection that finds one broken."""

    max_temperature: Annotated[float, Gt(-50.0), Le(150.0)] | None = None
    """Highest temperature of its cells [degC]; needs `temperature_max`. Null: none."""
    max_c_rate: Annotated[float, Gt(0.0)] | None = None
    """Largest current over first-life nameplate capacity, of charge or discharge [1/h]; needs `c_rate_max`. Null:
    none."""
    max_state_of_charge: Annotated[float, Gt(0.0), Le(1.0)] | None = None
    """Highest state of charge [1]; needs `state_of_charge_max`. Null: none."""
    min_state_of_charge: Annotated[float, Ge(0.0), Lt(1.0)] | None = None
    """Lowest state of charge [1]; needs `state_of_charge_min`. Null: none."""
    max_cycles_per_year: Annotated[float, Gt(0.0)] | None = None
    """Equivalent full cycles of first-life nameplate since the start of service, over the years passed [1/year]; needs
    `charge_throughput` and `capacity`. Null: none."""


@settings
class Unserved:
    """Energy that packs are asked for and do not deliver: of all covered packs of a draw together, between inspections.

    Of a pack that fails suddenly nothing counts from the inspection before on, of one at the end of its life nothing
    after that; of a contract that its owner ends, nothing after the last inspection.
    """

    usd_per_kwh: Annotated[float, Gt(0.0)]
    """Paid for each kWh beyond what is allowed [USD/kWh]."""
    allowed_kwh_per_kwh: Annotated[float, Ge(0.0)] = 0.0
    """Of a year, that nothing is paid for [kWh per kWh of base energy]."""


@settings
class Contract:
    """A warranty of packs: what is guaranteed, inspections on fixed dates, and a remedy.

    At every inspection the shortfall is what is missing to the guaranteed level of capacity, or of power if that
    is more, less the deductible. The remedy says what that is worth, less the owner's share and up to the limit. Of
    cash, what was paid before is taken off, so that a loss is paid once, and a pack that recovers pays nothing back.
    """

    term_years: Annotated[float, Gt(0.0), Le(100.0)] = 10.0
    """Term, from the start of second-life service [year]."""
    guarantee: Curve = ((10.0, 0.70),)
    """Points (year, level) of the guaranteed capacity: straight between points, constant before the first and
    after the last. The level is a fraction of the base energy that `measure` names. Default: 70 % for ten
    years, the level common in storage warranties."""
    cycle_guarantee: CycleCurve | None = None
    """Points (equivalent full cycles of first-life nameplate, level) of the guaranteed capacity by throughput. Of this
    and the level by age the lower one is guaranteed: what is reached first counts. Needs `charge_throughput` and
    `capacity`. Null: age alone."""
    interpolation: Literal["straight", "stepped"] = "straight"
    """Between points of all guarantees: straight, or stepped, where a level holds up to and with its point."""
    measure: Literal["retention", "soh"] = "retention"
    """What an inspection measures: `retention`, against the energy at start of service, or `soh`, against the
    first-life nameplate energy. It fixes the base energy of prices and remedy too."""
    inspection_interval_years: Annotated[float, Ge(0.02)] = 1.0
    """Time between inspections [year], a week at least. The last one is always at the end of the term."""
    power_guarantee: Curve | None = None
    """Points (year, level) of the guaranteed power, as the resistance at the start over that of the day; needs
    `resistance`. Null: none."""
    site_guarantee: Curve | None = None
    """Points (year, level) of the energy guaranteed of all packs of a draw together, those that have ended included
    [fraction of base energy]. Paid in cash beyond what was paid for packs. Null: none."""
    availability_guarantee: Curve | None = None
    """Points (year, share) of the covered packs of a draw that are guaranteed to be in service: not ended by failure,
    nor at the end of their life [1]. A share that is missing is paid as a share of energy is; of this and the site
    guarantee the larger is paid. Null: none."""
    unserved: Unserved | None = None
    """Energy that the packs do not deliver; needs `energy_unserved`, which ends with a pack. Null: none."""
    max_full_cycles: Annotated[float, Gt(0.0)] | None = None
    """Equivalent full cycles of first-life nameplate at which cover of a pack ends before the term does [1]; needs
    `charge_throughput` and `capacity`. Null: age alone."""
    waiting_period_years: Annotated[float, Ge(0.0)] = 0.0
    """Time from the start of service within which nothing is owed [year]."""
    test: Test = Test()
    """How a pack is measured."""
    conditions: Conditions = Conditions()
    """Terms of use."""
    failures: Failures = Failures()
    """Ends of packs besides fade; a pack that has ended measures 0."""
    termination: Termination = Termination()
    """Ends of the contract before its term."""
    remedy: Remedy = CashRemedy()
    """What is done about a shortfall: `cash`, `repair` or `replacement`."""
    deductible: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    """Part of the shortfall that the owner bears [fraction of base energy]."""
    owner_share: Annotated[float, Ge(0.0), Lt(1.0)] = 0.0
    """Share of each payment that the owner bears [1]."""
    limit_usd_per_kwh: Annotated[float, Gt(0.0)] | None = None
    """Most that is paid for one pack over the term [USD per kWh of its base energy]; none: no limit."""
    aggregate_deductible_usd_per_kwh: Annotated[float, Ge(0.0)] = 0.0
    """Payments for all packs together that the owner bears before the insurer does [USD per kWh of base energy]."""
    aggregate_limit_usd_per_kwh: Annotated[float, Gt(0.0)] | None = None
    """Most that the insurer pays for all packs over the term [USD per kWh of base energy]; none: no limit."""

    def __post_init__(self) -> None:
        """Refuse curves that run backwards in time or rise, and terms that leave nothing to promise."""
        for name in ("guarantee", "cycle_guarantee", "power_guarantee", "site_guarantee", "availability_guarantee"):
            unit = "cycle" if name == "cycle_guarantee" else "year"
            for (at, level), (next_at, next_level) in itertools.pairwise(getattr(self, name) or ()):
                if next_at <= at or next_level > level:
                    raise ValueError(
                        f"{name} point ({next_at:g}, {next_level:g}) follows ({at:g}, {level:g}); {unit}s must rise "
                        f"and levels must not: give points ({unit}, level) in order"
                    )
        if self.waiting_period_years >= self.term_years:
            raise ValueError(
                f"waiting_period_years is {self.waiting_period_years:g} and the term {self.term_years:g}; the first "
                "must be shorter, or nothing is ever owed"
            )
        for name in ("site_guarantee", "availability_guarantee", "unserved"):
            if getattr(self, name) is not None and not isinstance(self.remedy, CashRemedy):
                raise ValueError(f"{name} is of the site, which is paid in cash; remedy.kind must be cash")
        if self.power_guarantee is not None and isinstance(self.remedy, RepairRemedy):
            raise ValueError(
                "power_guarantee is nothing that a repair gives back; remedy.kind must be cash or replacement"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the variables of a fade dataset that its terms need beside retention and soh."""
        given = self.cycle_guarantee, self.max_full_cycles, self.conditions.max_cycles_per_year
        cycles = any(term is not None for term in given)
        wanted = {
            "resistance": self.power_guarantee is not None,
            "temperature_max": self.conditions.max_temperature is not None,
            "c_rate_max": self.conditions.max_c_rate is not None,
            "state_of_charge_max": self.conditions.max_state_of_charge is not None,
            "state_of_charge_min": self.conditions.min_state_of_charge is not None,
            "energy_unserved": self.unserved is not None,
            "charge_throughput": cycles,
            "capacity": cycles,
        }
        return tuple(name for name, needed in wanted.items() if needed)


def inspection_times(contract: Contract) -> Float[Array, " inspection"]:
    """Return the times of the inspections [year]: every interval, and the end of the term."""
    term, interval = contract.term_years, contract.inspection_interval_years
    regular = interval * np.arange(1, np.floor(term / interval + _SAME_TIME) + 1)
    return np.append(regular[regular < term - _SAME_TIME], term)


def guaranteed_level(contract: Contract, years: Float[Array, "..."], curve: str = "guarantee") -> Float[Array, "..."]:
    """Return the guaranteed level [fraction of base energy] at the given ages [year]; 0 where there is no guarantee.

    Of a `cycle_guarantee` at equivalent full cycles [1] in their place.
    """
    given = getattr(contract, curve)
    if given is None:
        return np.zeros_like(years)
    points = np.asarray(given, dtype=float)
    if contract.interpolation == "stepped":
        at = np.searchsorted(points[:, 0], years - _SAME_TIME)
        return np.asarray(points[np.minimum(at, len(points) - 1), 1])
    levels: Array = np.interp(years, points[:, 0], points[:, 1])
    return levels


def shortfall(
    contract: Contract,
    years: Float[Array, "..."],
    capacity: Float[Array, "..."],
    power: Float[Array, "..."] | None = None,
    cycles: Float[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Return what packs miss of their guarantee beyond the deductible [fraction of base energy]; below 0 they keep it.

    Parameters
    ----------
    years
        Ages [year].
    capacity
        What they keep [fraction of base energy].
    power
        Their power over that at the start [1]; only where the contract guarantees it.
    cycles
        Equivalent full cycles that they have done [1]; only where the contract has a level by these.
    """
    level = guaranteed_level(contract, years)
    if cycles is not None:
        level = np.minimum(level, guaranteed_level(contract, cycles, "cycle_guarantee"))
    missing = level - capacity
    if power is not None:
        missing = np.maximum(missing, guaranteed_level(contract, years, "power_guarantee") - power)
    return missing - contract.deductible
