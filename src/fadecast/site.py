"""The packs of one site, which feel that others fade: shared power, dispatch at the capacity left, replacement."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import SlowState
from fadecast.cell.control import Window
from fadecast.cell.health import electrode_window
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.decades.leap import DayBatch, daily_rates
from fadecast.decades.macro import Evaluated, SiteDay
from fadecast.decades.service import KELVIN, Operation
from fadecast.decades.typical_days import TypicalDays
from fadecast.duty.again import SiteDuty, SiteYear, dispatched_again
from fadecast.pack.sharing import Fleet, shares

Mapper = Callable[[Callable[[int], Evaluated], Iterable[int]], Iterable[Evaluated]]


class Packs(NamedTuple):
    """Packs of a site in tiles, the last one filled up; arrays `(1, lanes)` or `(lanes,)` over all tiles."""

    tile: int
    slow: SlowState
    """At the start of service."""
    inputs: Mapping[str, np.ndarray]
    counted: np.ndarray
    """Which lanes are packs."""


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
        self.count = int(packs.counted.sum())
        self.inputs = dict(packs.inputs)
        self.swapped = np.zeros(len(packs.counted), dtype=int)
        steps = typical.power.shape[1]
        self.cell_days = len(packs.counted) * len(typical.weight) * steps / operation.steps_per_day
        self.first_capacity = self.at_start = np.asarray(self._windows(packs.slow).capacity)[0]

    def rates(self, slow: SlowState, running: np.ndarray) -> Evaluated:
        """Share the power of the site among the packs that run, and run its typical days; see `Days`."""
        window = self._windows(slow)
        carrying = running & self.packs.counted & np.isfinite(window.capacity[0])
        capacity = np.where(carrying, window.capacity[0], 0.0)
        share = np.asarray(_shares(self.fleet, capacity, self.at_start, carrying, self.count))
        capability = max(float(capacity.sum() / self.at_start[self.packs.counted].sum()), 1e-6)
        # The pack with the largest share is the first whose converter is full.
        duty = dispatched_again(self.year, jnp.asarray(capability), jnp.asarray(1.0 / max(share.max(), 1.0)))
        share = np.where(self.packs.counted, share, share[self.packs.counted][-1])
        days = [self._days(duty, part) for part in np.split(share, len(share) // self.packs.tile)]

        def run(number: int) -> Evaluated:
            part = slice(number * self.packs.tile, (number + 1) * self.packs.tile)
            here, inputs = _lanes(slow, self.inputs, part)
            found = daily_rates(self.operation, self.typical.spin_up, here, inputs, days[number])
            rate, hottest, window = jax.tree.map(np.asarray, found)
            return Evaluated(rate, hottest, window, site=None)

        tiles = list(self.each(run, range(len(days))))
        together = jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *tiles)
        return Evaluated(together.rate, together.hottest, together.window, SiteDay(np.asarray(duty.energy), capability))

    def stops(self, end: float) -> np.ndarray:
        """Return the inspections."""
        if self.fleet.replace_below is None:
            return np.zeros(0)
        times = np.arange(1, int(end / self.fleet.inspection_days) + 1) * self.fleet.inspection_days
        return times[times < end * (1 - 1e-9)]

    def swap(self, slow: SlowState, window: Window) -> tuple[np.ndarray, SlowState]:
        """Replace packs below the limit, each by one like the next pack of the site at its start."""
        assert self.fleet.replace_below is not None
        limit = self.fleet.replace_below * self.cell.nominal_capacity
        lanes = self.packs.counted & ~(window.capacity[0] >= limit)
        self.swapped += lanes
        like = (np.arange(len(lanes)) + self.swapped) % self.count
        given = {name: value[:, like] for name, value in self.packs.inputs.items()}
        self.inputs = {name: np.where(lanes, given[name], value) for name, value in self.inputs.items()}
        self.at_start = np.where(lanes, self.first_capacity[like], self.at_start)
        fresh = jax.tree.map(lambda value: np.asarray(value)[:, like], self.packs.slow)
        return lanes, jax.tree.map(lambda new, old: np.where(lanes, new, old), fresh, slow)

    def _windows(self, slow: SlowState) -> Window:
        """Electrode windows of all packs, tile by tile."""
        parts = [slice(at, at + self.packs.tile) for at in range(0, len(self.packs.counted), self.packs.tile)]
        windows = [_window(self.cell, *_lanes(slow, self.inputs, part)) for part in parts]
        return jax.tree.map(lambda *each: np.concatenate(each, axis=1), *jax.tree.map(np.asarray, windows))

    def _days(self, duty: SiteDuty, share: Float[np.ndarray, " lanes"]) -> DayBatch:
        """Typical days of a tile."""
        typical, steps = self.typical, self.operation.steps_per_day
        power, air, soc = (_day_rows(values, steps, typical) for values in (duty.power, duty.air, duty.state_of_charge))
        even = np.ones(len(share))
        return DayBatch(
            weight=jnp.asarray(np.outer(typical.weight, even)),
            state_of_charge=jnp.asarray(np.outer(soc[:, 0], even)),
            power=jnp.asarray(power.T[:, :, None] * (share * self.cell.nameplate_energy)),
            ambient=jnp.asarray(air.T[:, :, None] + KELVIN + 0.0 * even),
        )


def _day_rows(values: Float[Array, " step"], steps: int, typical: TypicalDays) -> np.ndarray:
    """Days of a year with the end of the day before each, `(days, steps)`."""
    by_day = np.asarray(values).reshape(-1, steps)
    before = by_day[typical.day - 1, steps - typical.spin_up :]
    return np.concatenate([before, by_day[typical.day]], axis=1)


def _lanes(slow: SlowState, inputs: Mapping[str, np.ndarray], part: slice) -> tuple[SlowState, Inputs]:
    return jax.tree.map(lambda value: jnp.asarray(value[:, part]), (slow, dict(inputs)))


@partial(jax.jit, static_argnums=0)
def _window(cell: CellModel, slow: SlowState, inputs: Inputs) -> Window:
    return electrode_window(cell, slow, inputs)


_shares = partial(jax.jit, static_argnums=(0, 4))(shares)
