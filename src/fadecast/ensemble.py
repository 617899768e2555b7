"""From one pack to thousands: the only place that makes lanes, tiles and threads.

A lane is one pack of one draw, numbered draw by draw. Lanes are stepped in tiles of one size with membership by
number, the last one padded, so that a result does not depend on how many tiles run at once or in which order. What is
forecast by itself is a shard: one tile, or where packs feel each other all tiles of a site, or the whole sites that one
tile holds. Of packs of groups, each lane is stepped as its groups side by side, and is one lane again in what comes
back.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from annotated_types import Ge, Le

from fadecast.cell.aged import Diagnosis, SlowState, aged_state
from fadecast.cell.health import Health, check_up, electrode_window, fresh_mid_stoichiometry, window_met
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel, build_cell
from fadecast.decades.direct import direct
from fadecast.decades.leap import Beginning, leap
from fadecast.decades.macro import History, Macro, Passed
from fadecast.decades.prepared import PreparedYears
from fadecast.decades.service import KELVIN, Operation, Service
from fadecast.decades.store import HourlyYear, charge_at
from fadecast.decades.typical_days import EXTREME_DAYS
from fadecast.decades.whole import of_packs
from fadecast.decades.years import DAYS_PER_YEAR, Decades, day_batch, forecast_times
from fadecast.devices import grouped_lanes, on_host
from fadecast.duty.again import SiteYear
from fadecast.duty.year import Duty
from fadecast.operated import Cell, make_operation, varied_parameters
from fadecast.outcome import Outcome
from fadecast.pack.groups import Imbalance
from fadecast.pack.sharing import Fleet
from fadecast.settings import settings
from fadecast.site import Mapper, Packs, Sites, first_alone
from fadecast.tiles import shards_of, tile_of

Observer = Callable[[str, Mapping[str, Any]], None]
"""Told what happened and details of it."""

_DIAGNOSIS = {
    "lli": "Loss of lithium inventory",
    "lam_ne": "Loss of active material in negative electrode",
    "lam_pe": "Loss of active material in positive electrode",
    "dead_share": "Dead lithium share of lithium loss",
    "crack_length": "Negative electrode initial crack length [m]",
}
"""Fields of `Diagnosis` → parameters of the population dataset."""


@settings
class Execution:
    """How the work is divided. Nothing here is part of a study's identity."""

    tile: Annotated[int, Ge(16), Le(65536)] = 64
    """Lanes stepped together at most; they share their time steps. Of packs of groups, each lane is all groups."""
    workers: Annotated[int, Ge(1), Le(256)] = 2
    """Tiles run at the same time."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Everything the lanes of a forecast are made of.

    Attributes
    ----------
    operation
        The lowered cell and how it is operated.
    decades
        How years are made of days.
    duty, population
        Stage datasets.
    times
        Times of the forecast [day], increasing from 0.
    execution
        How the work is divided.
    fleet
        How the packs of a site serve it together.
    served
        What made `duty`; dispatched again where packs feel each other.
    """

    operation: Operation
    decades: Decades
    duty: xr.Dataset
    population: xr.Dataset
    times: np.ndarray
    execution: Execution = field(default_factory=Execution)
    fleet: Fleet = field(default_factory=Fleet)
    served: Duty = field(default_factory=Duty)

    @property
    def packs(self) -> int:
        """Packs per draw."""
        return int(self.population.sizes["pack"])

    @property
    def lanes(self) -> int:
        """Packs of all draws."""
        return int(self.population.sizes["draw"]) * self.packs

    @property
    def spin_up(self) -> int:
        """Load steps of spin-up."""
        return round(self.decades.spin_up_hours * 3600.0 / self.operation.load_step)

    def duty_draw(self, draw: np.ndarray | int) -> np.ndarray:
        """Return which draw of the duty draws of the packs follow."""
        return np.asarray(draw % self.duty.sizes["draw"])

    @cached_property
    def prepared(self) -> PreparedYears:
        """Years of the duty as they are followed."""
        return PreparedYears(self.operation.cell, self.decades, self.duty, self.spin_up)

    @cached_property
    def mid_stoichiometry(self) -> tuple[float, float]:
        """Stoichiometries of the fresh cell at half charge [1]."""
        return fresh_mid_stoichiometry(self.operation.cell)

    @property
    def groups(self) -> int:
        """Simulated groups of a pack."""
        return 1 if self.operation.series is None else self.operation.series.groups

    def parameter(self, name: str, lanes: np.ndarray) -> jax.Array:
        """Values of one population parameter for the groups of some lanes, `(1, lanes x groups)`."""
        variable = "parameter_value" if self.operation.series is None else "group_parameter_value"
        return self._of_groups(self.population[variable].sel(parameter=name).values, lanes)

    def imbalance(self, lanes: np.ndarray) -> Imbalance | None:
        """How the groups of some lanes differ beside their states: they start balanced and leak each by itself."""
        if self.operation.series is None:
            return None
        capacity = self.population["group_initial_soh"].values * self.operation.cell.nominal_capacity
        leakage = self._of_groups(self.population["group_self_discharge"].values * capacity, lanes)
        return Imbalance(jnp.zeros_like(leakage), leakage)

    def _of_groups(self, values: np.ndarray, lanes: np.ndarray) -> jax.Array:
        return jnp.asarray(values.reshape(self.lanes, self.groups)[lanes].reshape(1, -1))

    def start(self, lanes: np.ndarray) -> tuple[SlowState, Inputs, np.ndarray]:
        """Slow state, PyBaMM inputs and outcome codes at the start of service, of the groups of some lanes."""
        cell = self.operation.cell
        inputs = {name: self.parameter(name, lanes) for name in cell.inputs}
        diagnosis = Diagnosis(**{field: self.parameter(name, lanes) for field, name in _DIAGNOSIS.items()})
        slow, met = _start(cell, self.mid_stoichiometry, diagnosis, inputs)
        outcome = np.where(np.asarray(met), Outcome.COMPLETED, Outcome.AGED_START_INFEASIBLE)
        # A pack ends with its first group.
        return slow, inputs, np.repeat(outcome.reshape(-1, self.groups).max(axis=1), self.groups)

    def shards(self) -> list[np.ndarray]:
        """Lane numbers of what is forecast by itself: tiles, or sites; filled up with their last lane."""
        return shards_of(self.lanes // self.packs, self.packs, self.fleet, self.execution.tile)

    @property
    def tile(self) -> int:
        """Lanes of each tile."""
        return tile_of(self.lanes // self.packs, self.packs, self.fleet, self.execution.tile)

    @property
    def packs_of_site(self) -> int:
        """Simulated packs of each site."""
        return self.packs // self.fleet.sites

    def site_of(self, pack: int) -> int:
        """Return the site that a pack stands at."""
        return pack * self.fleet.sites // self.packs

    def simulate(
        self, lanes: np.ndarray, each: Mapper = map, progress: Observer = lambda event, details: None
    ) -> tuple[History, Health]:
        """Forecast the lanes of a shard: their history, and their health at each time with fields `(times, lanes)`.

        Parameters
        ----------
        each
            Maps a function over the tiles of a site.
        progress
            Told of `pack_years` that have passed, as `advanced`; not in direct mode.
        """
        packs = len(np.unique(lanes))

        def passed(days: float) -> None:
            progress("advanced", {"pack_years": packs * days / DAYS_PER_YEAR})

        slow, inputs, outcome = self.start(lanes)
        imbalance, series = self.imbalance(lanes), self.operation.series
        draws = np.repeat(self.duty_draw(lanes // self.packs), self.groups)
        if self.decades.mode == "direct":
            history = self._direct(slow, inputs, draws, outcome, imbalance)
        elif self.fleet.sharing == "fixed":
            history = self._leap(slow, inputs, draws, outcome, imbalance, passed)
        else:
            history = self._site(slow, inputs, lanes, outcome, imbalance, each, passed)
        health = self._health(history.service.slow, inputs)
        return (history, health) if series is None else of_packs(series, history, health)

    def _health(self, slow: SlowState, inputs: Inputs) -> Health:
        """Check up at every time, tile by tile, several times at once; fields `(times, lanes)`."""
        size, (times, _, lanes) = self.tile * self.groups, slow.sei.shape
        at_once = max(grouped_lanes() // size, 1)
        # One shape for any number of times: the last group is filled up with the last time.
        groups = np.minimum(np.arange(-(-times // at_once) * at_once), times - 1).reshape(-1, at_once)

        def of_tile(part: slice) -> Health:
            here = {name: jnp.tile(value[:, part], (1, at_once)) for name, value in inputs.items()}
            states = (SlowState(*(value[rows, :, part].reshape(1, -1) for value in slow)) for rows in groups)
            found = [_check_up(self.operation.cell, state, here) for state in states]
            return jax.tree.map(lambda *rows: jnp.concatenate(rows).reshape(groups.size, -1)[:times], *found)

        tiles = [of_tile(slice(at, at + size)) for at in range(0, lanes, size)]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *tiles)

    def _leap(
        self,
        slow: SlowState,
        inputs: Inputs,
        draws: np.ndarray,
        outcome: np.ndarray,
        imbalance: Imbalance | None,
        passed: Passed,
    ) -> History:
        count = self.decades.typical_days + EXTREME_DAYS
        days = day_batch([self.prepared.typical(draw) for draw in draws], self.operation.cell, count)
        begin = self.beginning(inputs, draws, count)
        settings, spin_up = self.decades.leap, self.spin_up
        return leap(
            self.operation, settings, slow, inputs, days, spin_up, self.times, outcome, imbalance, begin, passed
        )

    def _site(
        self,
        slow: SlowState,
        inputs: Inputs,
        lanes: np.ndarray,
        outcome: np.ndarray,
        imbalance: Imbalance | None,
        each: Mapper,
        passed: Passed,
    ) -> History:
        minutes, weight = round(self.operation.load_step / 60.0), float(self.population["pack_weight"])
        packs = Packs(
            tile=self.tile * self.groups,
            slow=jax.tree.map(np.asarray, slow),
            inputs={name: np.asarray(value) for name, value in inputs.items()},
            counted=np.repeat(np.concatenate([[True], np.diff(lanes) > 0]), self.groups),
            leakage=None if imbalance is None else np.asarray(imbalance.leakage),
            weight=weight,
        )
        draws = [int(draw) for draw in self.duty_draw(np.unique(lanes // self.packs_of_site) // self.fleet.sites)]
        whole = round(weight * self.packs_of_site)
        with on_host():
            years = [SiteYear.of(self.served, self.duty.isel(draw=draw), whole, minutes) for draw in draws]
            year = SiteYear.together(years)
        typical = [self.prepared.typical(draw).filled(self.decades.typical_days + EXTREME_DAYS) for draw in draws]
        sites = Sites(self.operation, self.fleet, year, typical, packs, each)
        macro = Macro(sites, self.decades.leap, outcome, packs.counted, sites, passed)
        return macro.run(Service.start(slow, imbalance and imbalance.headroom), np.asarray(self.times, float))

    def _direct(
        self, slow: SlowState, inputs: Inputs, draws: np.ndarray, outcome: np.ndarray, imbalance: Imbalance | None
    ) -> History:
        power, ambient = self._asked(draws)
        soc = jnp.asarray([[self.prepared.year(draw).state_of_charge[0, 0] for draw in draws]])
        swings = {draw: self.prepared.ripple(draw) for draw in np.unique(draws)}
        ripple = jax.tree.map(lambda *values: jnp.asarray(np.stack(values, axis=-1)), *(swings[d] for d in draws))
        load = jnp.asarray(power), jnp.asarray(ambient)
        return direct(self.operation, slow, inputs, soc, *load, self.times, outcome, imbalance, ripple)

    def beginning(self, inputs: Inputs, draws: np.ndarray, count: int) -> Beginning:
        """Find how full the cells of some draws are when their typical days begin, by the year that they carry."""
        year = HourlyYear.of(*self._asked(draws))
        hours = np.stack([self.prepared.typical(draw).filled(count).first_hour for draw in draws], axis=-1)
        return lambda state: charge_at(self.operation, state, inputs, year, jnp.asarray(hours))

    def _asked(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Terminal power of the cell [W] and ambient temperature [K] of some draws, `(days, steps, draws)`."""
        years = [self.prepared.year(draw) for draw in draws]
        power = np.stack([year.power for year in years], axis=-1) * self.operation.cell.nameplate_energy
        return power, np.stack([year.ambient for year in years], axis=-1) + KELVIN


def make_ensemble(
    settings: Cell,
    decades: Decades,
    duty: xr.Dataset,
    population: xr.Dataset,
    years: float,
    execution: Execution | None = None,
    fleet: Fleet | None = None,
    served: Duty | None = None,
) -> Ensemble:
    """Put together what the lanes of a forecast are made of.

    Parameters
    ----------
    settings, decades
        The cell, and how years are made of days.
    duty, population
        Datasets of these stages.
    years
        Length of the forecast [year].
    execution, fleet
        How the work is divided, and how the packs of a site serve it together.
    served
        What made `duty`; needed where packs feel each other.

    Raises
    ------
    ValueError
        When packs are to feel each other, and it is not said what made the duty.
    """
    fleet = fleet or Fleet()
    if served is None and fleet.sharing != "fixed":
        raise ValueError(f"packs that share power ({fleet.sharing}) are dispatched again: pass the duty as `served`")
    return Ensemble(
        operation=make_operation(
            build_cell(settings.chemistry, varied_parameters(population)), settings, decades, duty, population
        ),
        decades=decades,
        duty=duty,
        population=population,
        times=forecast_times(decades, years),
        execution=execution or Execution(),
        fleet=fleet,
        served=served or Duty(),
    )


def run_shards(
    ensemble: Ensemble, shards: list[np.ndarray], progress: Observer
) -> Iterator[tuple[int, History, Health, float]]:
    """Forecast shards, several at a time, on all devices in turn; a single one, by several tiles at a time.

    Yields
    ------
    Number of the shard, in order; its history and health; the seconds that it took.
    """
    devices = jax.devices()[: max(len(shards), 1)]
    workers = max(ensemble.execution.workers, len(devices))
    # Threads that compile the same program at once do it twice, and XLA has been seen to abort in it.
    for device in devices if len(shards) > 1 else ():
        with jax.default_device(device):
            compile_programs(ensemble, shards[0])
    outer = min(workers, max(len(shards), 1))
    with ThreadPoolExecutor(outer) as pool, ThreadPoolExecutor(max(workers // outer, 1)) as tiles:
        each: Mapper = map if outer == workers else tiles.map
        if len(shards) == 1:
            each = first_alone(each)

        def forecast(number: int) -> tuple[int, History, Health, float]:
            began = time.perf_counter()
            with jax.default_device(devices[number % len(devices)]):
                history, health = ensemble.simulate(shards[number], each, progress)
                jax.block_until_ready(health)
            return number, history, health, time.perf_counter() - began

        yield from pool.map(forecast, range(len(shards)))


def compile_programs(ensemble: Ensemble, shard: np.ndarray) -> None:
    """Compile what the shards of a forecast need, by a day of the first tile of one."""
    first = replace(ensemble, times=np.array([0.0, min(1.0, ensemble.times[-1])]))
    first.simulate(shard[: ensemble.tile])


@partial(jax.jit, static_argnums=(0, 1))
def _start(
    cell: CellModel, mid_stoichiometry: tuple[float, float], diagnosis: Diagnosis, inputs: Inputs
) -> tuple[SlowState, jax.Array]:
    slow = aged_state(cell, diagnosis, mid_stoichiometry, inputs)
    return slow, window_met(cell, slow, inputs, electrode_window(cell, slow, inputs))


_check_up = jax.jit(check_up, static_argnums=0)
