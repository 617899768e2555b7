"""The packs of one site, which feel that others fade: shared power, dispatch at the capacity left, replacement."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import SlowState
from fadecast.cell.health import electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.ripple import Ripple
from fadecast.decades.accuracy import deviation
from fadecast.decades.leap import DayBatch, daily_rates, drifted
from fadecast.decades.macro import Evaluated, SiteDay
from fadecast.decades.service import KELVIN, Operation, Service
from fadecast.decades.store import HourlyYear, charge_at
from fadecast.decades.typical_days import HOURS, TypicalDays
from fadecast.duty.again import SiteDuty, SiteYear, dispatched_again
from fadecast.pack.groups import pack_capacity
from fadecast.pack.sharing import Fleet, shares

Mapper = Callable[[Callable[[slice], Evaluated], Iterable[slice]], Iterable[Evaluated]]


class Packs(NamedTuple):
    """Packs of a site in tiles, the last one filled up; arrays `(1, lanes)` or `(lanes,)` over all tiles.

    A lane is a pack, or a group of it after the others.
    """

    tile: int
    slow: SlowState
    """At the start of service."""
    inputs: Mapping[str, np.ndarray]
    counted: np.ndarray
    """Which lanes are packs."""
    leakage: np.ndarray | None = None
    """Self-discharge of groups in series [A.h/day]; None for cells by themselves."""


class Site:
    """What days do to the packs of one site of one draw: `Days` and `Swaps` of the macro loop.

    Parameters
    ----------
    typical
        Typical days of the year as first dispatched: which days they are, and their weights, stay.
    each
        Maps a function over tiles, in order; `map`, or that of a pool of threads.
    """

    def __init__(
        self,
        operation: Operation,
        fleet: Fleet,
        year: SiteYear,
        typical: TypicalDays,
        packs: Packs,
        each: Mapper = map,
    ) -> None:
        self.operation, self.fleet, self.year, self.typical, self.packs, self.each = (
            operation,
            fleet,
            year,
            typical,
            packs,
            each,
        )
        self.cell: CellModel = operation.cell
        self.groups = 1 if operation.series is None else operation.series.groups
        self.counted = packs.counted[:: self.groups]
        self.count = int(self.counted.sum())
        self.inputs, self.leakage = dict(packs.inputs), packs.leakage
        self._hours = jnp.asarray(np.repeat(typical.first_hour[:, None], packs.tile, axis=1))
        self.swapped = np.zeros(len(self.counted), dtype=int)
        steps = typical.power.shape[1]
        self.cell_days = len(packs.counted) * len(typical.weight) * steps / operation.steps_per_day
        balanced = None if packs.leakage is None else jnp.zeros_like(jnp.asarray(packs.leakage))
        self.first_capacity = self.at_start = self._capacity(Service.start(packs.slow, balanced))

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        """Share the power of the site among the packs that run, and run its typical days; see `Days`."""
        capacity = self._capacity(state)
        carrying = running[:: self.groups] & self.counted & np.isfinite(capacity) & (capacity > 0.0)
        capacity = np.where(carrying, capacity, 0.0)
        share = np.asarray(_shares(self.fleet, capacity, self.at_start, carrying, self.count))
        capability = max(float(capacity.sum() / self.at_start[self.counted].sum()), 1e-6)
        # The pack with the largest share is the first whose converter is full.
        duty = dispatched_again(self.year, jnp.asarray(capability), jnp.asarray(1.0 / max(share.max(), 1.0)))
        share = np.repeat(np.where(self.counted, share, share[self.counted][-1]), self.groups)

        def run(part: slice) -> Evaluated:
            here, inputs, leakage = _lanes((state, self.inputs, self.leakage), part)
            begin = charge_at(self.operation, here, inputs, self._year(duty, share[part]), self._hours)
            days = self._days(duty, share[part], begin)
            apart = drifted(here, None if leakage is None else jnp.asarray(leakage))
            found = daily_rates(self.operation, self.typical.spin_up, here.slow, inputs, days, apart)
            rate, hottest, window = jax.tree.map(np.asarray, found)
            return Evaluated(rate, hottest, window, site=None)

        tiles = list(self.each(run, self._tiles()))
        together = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *tiles)
        return together._replace(site=SiteDay(np.asarray(duty.energy), capability))

    def deviation(self, one: SlowState, other: SlowState) -> np.ndarray:
        """Compare two slow states, tile by tile; see `Days`."""
        found = []
        for part in self._tiles():
            inputs, here, there = _lanes((self.inputs, one, other), part)
            found.append(deviation(self.cell, jax.tree.map(jnp.asarray, inputs), here, there))
        return np.concatenate(found)

    def stops(self, end: float) -> np.ndarray:
        """Return the inspections."""
        if self.fleet.replace_below is None:
            return np.zeros(0)
        times = np.arange(1, int(end / self.fleet.inspection_days) + 1) * self.fleet.inspection_days
        return times[times < end * (1 - 1e-9)]

    def swap(self, slow: SlowState, capacity: np.ndarray) -> tuple[np.ndarray, SlowState]:
        """Replace packs below the limit, each by one like the next pack of the site at its start."""
        limit = (self.fleet.replace_below or 0.0) * self.cell.nominal_capacity
        packs = self.counted & ~(capacity[:: self.groups] >= limit)
        self.swapped += packs
        like = (np.arange(len(packs)) + self.swapped) % self.count
        self.at_start = np.where(packs, self.first_capacity[like], self.at_start)
        lanes = np.repeat(packs, self.groups)
        of = (like[:, None] * self.groups + np.arange(self.groups)).ravel()

        def swapped(new: np.ndarray, old: np.ndarray) -> np.ndarray:
            return np.where(lanes, new[:, of], old)

        start = self.packs
        self.inputs, self.leakage = jax.tree.map(
            swapped, (dict(start.inputs), start.leakage), (self.inputs, self.leakage)
        )
        return lanes, jax.tree.map(swapped, start.slow, slow)

    def _capacity(self, state: Service) -> np.ndarray:
        """Capacity of each pack [A.h], found tile by tile."""
        parts = [_lanes((state, self.inputs), part) for part in self._tiles()]
        return np.concatenate([np.asarray(_pack_capacity(self.operation, *part))[:: self.groups] for part in parts])

    def _tiles(self) -> list[slice]:
        size = self.packs.tile
        return [slice(at, at + size) for at in range(0, len(self.packs.counted), size)]

    def _year(self, duty: SiteDuty, share: Float[np.ndarray, " lanes"]) -> HourlyYear:
        """Year of each lane of a tile by the hour."""
        hours = [np.asarray(values).reshape(HOURS, -1).mean(axis=1)[:, None] for values in (duty.power, duty.air)]
        power, air = hours[0] * (share * self.cell.nameplate_energy), hours[1] + KELVIN + 0.0 * share
        return HourlyYear(jnp.asarray(power), jnp.asarray(air))

    def _days(self, duty: SiteDuty, share: Float[np.ndarray, " lanes"], begin: Float[Array, "days lanes"]) -> DayBatch:
        """Typical days of a tile."""
        typical, steps = self.typical, self.operation.steps_per_day
        power, air = (_day_rows(values, steps, typical) for values in (duty.power, duty.air))
        even = np.ones(len(share))
        return DayBatch(
            weight=jnp.asarray(np.outer(typical.weight, even)),
            state_of_charge=begin,
            power=jnp.asarray(power.T[:, :, None] * (share * self.cell.nameplate_energy)),
            ambient=jnp.asarray(air.T[:, :, None] + KELVIN + 0.0 * even),
            # Swings are those of the year as first dispatched.
            ripple=None if typical.ripple is None else _shared(typical.ripple, share),
        )


def _day_rows(values: Float[Array, " step"], steps: int, typical: TypicalDays) -> np.ndarray:
    """Days of a year with the end of the day before each, `(days, steps)`."""
    by_day = np.asarray(values).reshape(-1, steps)
    before = by_day[typical.day - 1, steps - typical.spin_up :]
    return np.concatenate([before, by_day[typical.day]], axis=1)


T = TypeVar("T")


def _shared(ripple: Ripple, share: Float[np.ndarray, " lanes"]) -> Ripple:
    """Swings of typical days in packs that carry these shares."""
    lanes = jax.tree.map(lambda values: jnp.asarray(np.repeat(values.T[:, :, None], len(share), axis=2)), ripple)
    return lanes.delivered(jnp.asarray(share)[None, None])


def _lanes(values: T, part: slice) -> T:
    found: T = jax.tree.map(lambda value: jnp.asarray(value[:, part]), values)
    return found


@partial(jax.jit, static_argnums=0)
def _pack_capacity(operation: Operation, state: Service, inputs: Inputs) -> Float[Array, " lanes"]:
    capacity = electrode_window(operation.cell, state.slow, inputs).capacity
    if operation.series is not None and state.headroom is not None:
        capacity = pack_capacity(operation.series, capacity, state.headroom)
    return capacity[0]


_shares = partial(jax.jit, static_argnums=(0, 4))(shares)
