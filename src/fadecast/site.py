"""Packs of a site, which feel that the others fade: shared power, dispatch at the capacity left, replacement."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from fadecast.devices import on_host
from fadecast.duty.again import SiteDuty, SiteYear, dispatched_again
from fadecast.pack.groups import pack_capacity
from fadecast.pack.sharing import Fleet, shares

Mapper = Callable[[Callable[[slice], Evaluated], Iterable[slice]], Iterable[Evaluated]]


class Packs(NamedTuple):
    """Packs of some sites in tiles, the last one filled up; arrays `(1, lanes)` or `(lanes,)` over all tiles.

    A lane is a pack, or a group of it after the others. Packs of a site are next to each other, of every site as many.
    """

    tile: int
    slow: SlowState
    """At the start of service."""
    inputs: Mapping[str, np.ndarray]
    counted: np.ndarray
    """Which lanes are packs."""
    leakage: np.ndarray | None = None
    """Self-discharge of groups in series [A.h/day]; None for cells by themselves."""
    weight: float = 1.0
    """Packs of a site that each of these stands for."""


class Sites:
    """What days do to the packs of some sites: `Days` and `Swaps` of the macro loop. Sites do not feel each other.

    Parameters
    ----------
    year
        Of each site, `(step, site)`.
    typical
        Typical days of the year of each site as first dispatched: which days they are, and their weights, stay.
    each
        Maps a function over tiles, in order; `map`, or that of a pool of threads.
    """

    def __init__(
        self,
        operation: Operation,
        fleet: Fleet,
        year: SiteYear,
        typical: Sequence[TypicalDays],
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
        self.places, self.count = len(self.counted), int(self.counted.sum()) // len(typical)
        self.of_site = np.minimum(np.arange(self.places) // self.count, len(typical) - 1)
        self.inputs, self.leakage = dict(packs.inputs), packs.leakage
        self.swapped = np.zeros(self.places, dtype=int)
        days, steps = typical[0].power.shape
        self.cell_days = len(packs.counted) * days * steps / operation.steps_per_day
        balanced = None if packs.leakage is None else jnp.zeros_like(jnp.asarray(packs.leakage))
        self.first_capacity = self.at_start = self._capacity(Service.start(packs.slow, balanced))

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        """Share the power of each site among its packs that run, and run its typical days; see `Days`."""
        capacity = self._capacity(state)
        carrying = running[:: self.groups] & self.counted & np.isfinite(capacity) & (capacity > 0.0)
        now, start, runs = (self._by_site(v) for v in (np.where(carrying, capacity, 0.0), self.at_start, carrying))
        shared = np.asarray(_shares(self.fleet, now, start, runs, self.count))
        capability = np.maximum(now.sum(axis=1) / start.sum(axis=1), 1e-6)
        # The pack with the largest share is the first whose converter is full.
        converters = 1.0 / np.maximum(shared.max(axis=1), 1.0)
        with on_host():
            duty = jax.tree.map(np.asarray, dispatched_again(self.year, capability, converters))
        share = np.repeat(np.pad(shared.ravel(), (0, self.places - shared.size), mode="edge"), self.groups)

        def run(part: slice) -> Evaluated:
            here, inputs, leakage = _lanes((state, self.inputs, self.leakage), part)
            of_site = np.repeat(self.of_site, self.groups)[part]
            hours = np.stack([typical.first_hour for typical in self.typical], axis=-1)[:, of_site]
            year = self._year(duty, of_site, share[part])
            begin = charge_at(self.operation, here, inputs, year, jnp.asarray(hours))
            days = self._days(duty, of_site, share[part], begin)
            apart = drifted(here, None if leakage is None else jnp.asarray(leakage))
            found = daily_rates(self.operation, self.typical[0].spin_up, here.slow, inputs, days, apart)
            rate, extremes, window = jax.tree.map(np.asarray, found)
            return Evaluated(rate, extremes, window, site=None)

        tiles = list(self.each(run, self._tiles()))
        together = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *tiles)
        return together._replace(site=SiteDay(duty.energy, capability))

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
        first = self.count * self.of_site
        like = first + (np.arange(self.places) - first + self.swapped) % self.count
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

    def replaced(self) -> np.ndarray:
        """Return how many packs of each site were replaced so far, those that they stand for included."""
        return self.packs.weight * np.bincount(self.of_site, self.swapped, len(self.typical))

    def _by_site(self, values: np.ndarray) -> np.ndarray:
        """Values of packs by site, without what fills up the tiles."""
        return values[: self.count * len(self.typical)].reshape(len(self.typical), self.count)

    def _capacity(self, state: Service) -> np.ndarray:
        """Capacity of each pack [A.h], found tile by tile."""
        parts = [_lanes((state, self.inputs), part) for part in self._tiles()]
        return np.concatenate([np.asarray(_pack_capacity(self.operation, *part))[:: self.groups] for part in parts])

    def _tiles(self) -> list[slice]:
        size = self.packs.tile
        return [slice(at, at + size) for at in range(0, len(self.packs.counted), size)]

    def _year(self, duty: SiteDuty, of_site: np.ndarray, share: Float[np.ndarray, " lanes"]) -> HourlyYear:
        """Year of each lane of a tile by the hour."""
        power, air = (
            jnp.asarray(values.reshape(HOURS, -1, values.shape[1]).mean(axis=1))[:, of_site]
            for values in (duty.power, duty.air)
        )
        return HourlyYear(power * jnp.asarray(share * self.cell.nameplate_energy)[None], air + KELVIN)

    def _days(
        self, duty: SiteDuty, of_site: np.ndarray, share: Float[np.ndarray, " lanes"], begin: Float[Array, "days lanes"]
    ) -> DayBatch:
        """Typical days of a tile."""
        steps = self.operation.steps_per_day

        def of_lanes(*sites: np.ndarray) -> Array:
            """Give each lane the values of its site, `(days, ...)`; days come last but for lanes."""
            # Spread out where they are used: an accelerator waits for what is sent to it.
            return jnp.asarray(np.stack([each.T for each in sites], axis=-1))[..., of_site]

        power, air = (
            of_lanes(*(_day_rows(values[:, n], steps, typical) for n, typical in enumerate(self.typical)))
            for values in (duty.power, duty.air)
        )
        # Swings are those of the year as first dispatched.
        swings = [typical.ripple for typical in self.typical]
        ripple: Ripple | None = jax.tree.map(of_lanes, *swings)
        return DayBatch(
            weight=of_lanes(*(typical.weight for typical in self.typical)),
            state_of_charge=begin,
            power=power * jnp.asarray(share * self.cell.nameplate_energy)[None, None],
            ambient=air + KELVIN,
            ripple=None if ripple is None else ripple.delivered(jnp.asarray(share)[None, None]),
        )


def first_alone(each: Mapper) -> Mapper:
    """Map as `each` does, but over the very first tile by itself: the others find its programs compiled."""
    begun = False

    def mapped(function: Callable[[slice], Evaluated], tiles: Iterable[slice]) -> Iterable[Evaluated]:
        nonlocal begun
        parts = list(tiles)
        alone = [] if begun else [function(part) for part in parts[:1]]
        begun = True
        return [*alone, *each(function, parts[len(alone) :])]

    return mapped


def _day_rows(values: Float[Array | np.ndarray, " step"], steps: int, typical: TypicalDays) -> np.ndarray:
    """Days of a year with the end of the day before each, `(days, steps)`."""
    by_day = np.asarray(values).reshape(-1, steps)
    before = by_day[typical.day - 1, steps - typical.spin_up :]
    return np.concatenate([before, by_day[typical.day]], axis=1)


T = TypeVar("T")


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
