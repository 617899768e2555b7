"""From one pack to thousands: the only place that makes lanes, tiles and threads.

A lane is one pack of one draw, numbered draw by draw. Lanes are stepped in tiles of a fixed size with membership by
number, the last one padded, so that a result does not depend on how many tiles run at once or in which order.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from annotated_types import Ge, Gt, Le, MultipleOf

from fadecast.cell.aged import Diagnosis, SlowState, aged_state
from fadecast.cell.control import Limits
from fadecast.cell.health import Health, check_up, electrode_window, fresh_mid_stoichiometry, window_met
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CONTACT_RESISTANCE, CellModel, Chemistry
from fadecast.cell.profile import Stepping
from fadecast.decades.direct import direct
from fadecast.decades.leap import Beginning, DayBatch, History, Leap, leap
from fadecast.decades.representation import Representation, representation
from fadecast.decades.service import KELVIN, Operation
from fadecast.decades.store import HourlyYear, charge_through_year
from fadecast.decades.typical_days import EXTREME_DAYS, TypicalDays, YearOfDuty, choose_typical_days
from fadecast.outcome import Outcome
from fadecast.settings import settings

DAYS_PER_YEAR = 365.0

_DIAGNOSIS = {
    "lli": "Loss of lithium inventory",
    "lam_ne": "Loss of active material in negative electrode",
    "lam_pe": "Loss of active material in positive electrode",
    "dead_share": "Dead lithium share of lithium loss",
    "crack_length": "Negative electrode initial crack length [m]",
}
"""Fields of `Diagnosis` → parameters of the population dataset."""


@settings
class Cell:
    """The cell model and how it is operated."""

    chemistry: Chemistry = Chemistry()
    """PyBaMM model and parameter set."""
    limits: Limits = Limits()
    """Limits of the battery management system."""
    stepping: Stepping = Stepping()
    """Division of a load step into time steps."""


@settings
class Decades:
    """How years are made of days."""

    mode: Literal["leap", "direct"] = "leap"
    """`leap`: rates of typical days are integrated; `direct`: every day is simulated."""
    typical_days: Annotated[int, Ge(1), Le(363)] = 8
    """Clusters of days of a year; the hottest day and the day of the emptiest store come on top."""
    spin_up_hours: Annotated[float, Gt(0), Le(24)] = 4.0
    """Part of the day before that settles concentrations and temperature before a typical day counts [h]."""
    output_interval_days: Annotated[float, Ge(1), Le(3650)] = 73.0
    """Interval of the forecast's time axis [day]; a fifth of a year by default."""
    leap: Leap = Leap()
    """Macro steps of the leap mode."""
    check_days: Annotated[int, Ge(0), Le(3650)] = 365
    """Days over which 16 lanes are simulated day by day to measure the error of the leap; 0 leaves that out."""


@settings
class Execution:
    """How the work is divided. Nothing here is part of a study's identity."""

    tile: Annotated[int, Ge(16), Le(65536), MultipleOf(16)] = 64
    """Lanes stepped together; they share their time steps over years."""
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
    """

    operation: Operation
    decades: Decades
    duty: xr.Dataset
    population: xr.Dataset
    times: np.ndarray

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

    @cached_property
    def years(self) -> list[YearOfDuty]:
        """The duty of each draw."""
        return [year_of_duty(self.duty.isel(draw=draw)) for draw in range(self.duty.sizes["draw"])]

    @cached_property
    def typical(self) -> list[TypicalDays]:
        """Typical days of each draw."""
        return [choose_typical_days(year, self.decades.typical_days, self.spin_up) for year in self.years]

    @cached_property
    def mid_stoichiometry(self) -> tuple[float, float]:
        """Stoichiometries of the fresh cell at half charge [1]."""
        return fresh_mid_stoichiometry(self.operation.cell)

    def parameter(self, name: str, lanes: np.ndarray) -> jax.Array:
        """Values of one population parameter for some lanes, `(1, lanes)`."""
        values = self.population["parameter_value"].sel(parameter=name).values.reshape(-1)
        return jnp.asarray(values[lanes][None])

    def start(self, lanes: np.ndarray) -> tuple[SlowState, Inputs, np.ndarray]:
        """Slow state, PyBaMM inputs and outcome codes at the start of service."""
        cell = self.operation.cell
        inputs = {name: self.parameter(name, lanes) for name in cell.inputs}
        diagnosis = Diagnosis(**{field: self.parameter(name, lanes) for field, name in _DIAGNOSIS.items()})
        slow, met = _start(cell, self.mid_stoichiometry, diagnosis, inputs)
        outcome = np.where(np.asarray(met), Outcome.COMPLETED, Outcome.AGED_START_INFEASIBLE)
        return slow, inputs, outcome

    def simulate(self, lanes: np.ndarray) -> tuple[History, Health]:
        """Forecast some lanes: their history, and their health at each time with fields `(times, lanes)`."""
        slow, inputs, outcome = self.start(lanes)
        draws = lanes // self.packs
        if self.decades.mode == "leap":
            count = self.decades.typical_days + EXTREME_DAYS
            batch = day_batch([self.typical[draw] for draw in draws], self.operation.cell, count)
            beginning = self.beginning(inputs, draws, count)
            history = leap(
                self.operation, self.decades.leap, slow, inputs, batch, self.spin_up, self.times, outcome, beginning
            )
        else:
            history = self._direct(slow, inputs, draws, outcome)
        rows = [
            _health(self.operation.cell, SlowState(*row), inputs) for row in zip(*history.service.slow, strict=True)
        ]
        capacity, resistance = (jnp.concatenate(parts) for parts in zip(*rows, strict=True))
        return history, Health(capacity, resistance)

    def _direct(self, slow: SlowState, inputs: Inputs, draws: np.ndarray, outcome: np.ndarray) -> History:
        power, ambient = self._asked(draws)
        soc = jnp.asarray([[self.years[draw].state_of_charge[0, 0] for draw in draws]])
        return direct(self.operation, slow, inputs, soc, jnp.asarray(power), jnp.asarray(ambient), self.times, outcome)

    def beginning(self, inputs: Inputs, draws: np.ndarray, count: int) -> Beginning | None:
        """Find how full the cells of some draws are when their typical days begin, by the year that they carry."""
        year = HourlyYear.of(*self._asked(draws))
        # Spin-up begins in the day before; the year repeats. The nearest hour is near enough.
        hours = [24 * self.typical[draw].day - round(self.decades.spin_up_hours) for draw in draws]
        at = np.stack([np.pad(each, (0, count - len(each)), mode="edge") for each in hours], axis=-1) % len(year.power)
        return lambda slow: jnp.take_along_axis(
            charge_through_year(self.operation, slow, inputs, year), jnp.asarray(at), axis=0
        )

    def _asked(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Terminal power of the cell [W] and ambient temperature [K] of some draws, `(days, steps, draws)`."""
        years = [self.years[draw] for draw in draws]
        power = np.stack([year.power for year in years], axis=-1) * self.operation.cell.nameplate_energy
        return power, np.stack([year.ambient for year in years], axis=-1) + KELVIN

    def tiles(self, size: int) -> list[np.ndarray]:
        """Lane numbers of each tile; the last tile is padded with its own last lane."""
        starts = range(0, self.lanes, size)
        return [np.minimum(np.arange(start, start + size), self.lanes - 1) for start in starts]


def make_operation(cell: CellModel, settings: Cell, duty: xr.Dataset) -> Operation:
    """Operate a lowered cell at the load step of a duty dataset."""
    hour = duty["hour"].values
    return Operation(cell, settings.limits, settings.stepping, float(3600.0 * (hour[1] - hour[0])))


def varied_parameters(population: xr.Dataset) -> tuple[str, ...]:
    """Names of the PyBaMM parameters that a population dataset varies."""
    kinds = population["parameter_kind"].values
    names = population["parameter"].values
    return tuple(
        str(name) for name, kind in zip(names, kinds, strict=True) if kind == "rate" or name == CONTACT_RESISTANCE
    )


def year_of_duty(duty: xr.Dataset) -> YearOfDuty:
    """Fold the duty of one draw into days."""
    steps = int(np.searchsorted(duty["hour"].values, 24.0))
    names = ("pack_power", "pack_ambient_temperature", "state_of_charge")
    return YearOfDuty(*(duty[name].values.reshape(-1, steps) for name in names))


def represented(decades: Decades, duty: xr.Dataset, draw: int) -> Representation:
    """Compare the year of a draw with the typical days that are chosen for it."""
    year = year_of_duty(duty.isel(draw=draw))
    steps_per_hour = year.power.shape[1] / 24.0
    return representation(
        year, choose_typical_days(year, decades.typical_days, round(decades.spin_up_hours * steps_per_hour))
    )


def day_batch(typical: list[TypicalDays], cell: CellModel, count: int) -> DayBatch:
    """Typical days of each lane, in watts and kelvins of one cell, filled up to `count` with days of no weight.

    A draw has fewer days than asked for when its hottest day is also that of the emptiest store.
    """

    def stack(name: str) -> np.ndarray:
        values = [getattr(days, name) for days in typical]
        edge = [(0, 0)] * (values[0].ndim - 1)
        filled = [np.pad(value, [(0, count - len(value)), *edge], mode="edge") for value in values]
        return np.stack(filled, axis=-1)

    absent = np.stack([np.arange(count) >= len(days.weight) for days in typical], axis=-1)
    return DayBatch(
        weight=jnp.asarray(np.where(absent, 0.0, stack("weight"))),
        state_of_charge=jnp.asarray(stack("state_of_charge")),
        power=jnp.asarray(stack("power").swapaxes(0, 1) * cell.nameplate_energy),
        ambient=jnp.asarray(stack("ambient").swapaxes(0, 1) + KELVIN),
    )


def run_tiles(ensemble: Ensemble, tiles: list[np.ndarray], workers: int) -> Iterator[tuple[int, History, Health]]:
    """Forecast tiles, several at a time, and give them back in order."""
    with ThreadPoolExecutor(workers) as pool:
        for number, (history, health) in enumerate(pool.map(ensemble.simulate, tiles)):
            yield number, history, health


@partial(jax.jit, static_argnums=(0, 1))
def _start(
    cell: CellModel, mid_stoichiometry: tuple[float, float], diagnosis: Diagnosis, inputs: Inputs
) -> tuple[SlowState, jax.Array]:
    slow = aged_state(cell, diagnosis, mid_stoichiometry, inputs)
    return slow, window_met(cell, slow, inputs, electrode_window(cell, slow, inputs))


_health = jax.jit(check_up, static_argnums=0)
