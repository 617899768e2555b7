"""How coarse may a load step be, with and without the swings inside it: ageing under means over 5 to 60 minutes.

Run as `python experiments/load_step/study.py`; writes `results/reported/load_step/load_step.csv` and figure.
Aged cells at 10, 25 and 40 degC: weighted daily changes over typical days of drawn years (the reference site, a battery
behind training or inference alone, grid regulation) and over two days of what smooths a load to its hourly mean, at
0.5C at most. Truth is the load by the minute; for swings of training within a minute, at 0.2 and 1C at most, it is the
load by the second, and the coarse step a minute. All in time steps fine enough that load steps are all that differs.
"""

import time
from collections.abc import Iterator
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from figure import OUT, WATCHED, draw, worst

from fadecast.cell.aged import Diagnosis, SlowState, aged_state, lift
from fadecast.cell.control import Limits
from fadecast.cell.discrepancy import swing
from fadecast.cell.health import electrode_window, fresh_mid_stoichiometry, stoichiometry_at
from fadecast.cell.model import CellModel, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.ripple import Ripple, unresolved
from fadecast.decades.coarser import coarser, ripple_of_days
from fadecast.decades.leap import DayBatch, daily_rates
from fadecast.decades.service import KELVIN, Operation
from fadecast.decades.typical_days import YearOfDuty, choose_typical_days
from fadecast.decades.years import year_of_duty
from fadecast.duty import Duty, Site, make_duty
from fadecast.duty.swings import Swings, swinging_power
from fadecast.duty.training import AcceleratorPower, Training
from fadecast.duty.workload import Measured, Workload, draw_it_power
from fadecast.population.evidence import single_fits

CELSIUS, MINUTES, COUNT, SPIN_UP_HOURS = (10.0, 25.0, 40.0), (5, 15, 30, 60), 12, 4
FINE, BY_SECOND = Stepping(nodes=8, samples=16, tolerance=0.001), Stepping(tolerance=None)
DUTIES = {
    "site": Duty(timestep_minutes=1),
    "training": Duty(timestep_minutes=1, workload=Workload(training_share=1.0)),
    "inference": Duty(timestep_minutes=1, workload=Workload(training_share=0.0)),
    "regulation": Duty(timestep_minutes=1, service="regulation"),
}
WIDE = Limits(
    charge_c_rate=10.0, discharge_c_rate=10.0, charge_derating=(), discharge_derating=(), soc_min=0.0, soc_max=1.0
)
SWING_RATES, SWING_HOURS, HOUR = (0.2, 1.0), 3, 3600


def main() -> None:
    """Run every load at every length of a step, and time one of them."""
    cell = build_cell(Chemistry(parameters={rate.name: rate.value for rate in single_fits()}))
    years = {name: year_of_duty(make_duty(Site(), duty, 1, 805, 1).isel(draw=0)) for name, duty in DUTIES.items()}
    years["hourly swings"] = hourly_swings()
    table = pd.DataFrame([row for name, year in years.items() for row in by_days(cell, name, year)])
    table = pd.concat([table, pd.DataFrame(by_second(cell))], ignore_index=True)
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "load_step.csv", index=False, float_format="%.3g")
    print(table.groupby(["load", "minutes", "corrected"], sort=False)[list(WATCHED)].agg(worst).to_string())
    for minutes, corrected in ((1, False), (15, False), (15, True)):
        print(f"{minutes} min, corrected {corrected}: {seconds(cell, years['site'], minutes, corrected):.2f} s")
    draw(table)


def hourly_swings() -> YearOfDuty:
    """Return two days of what a battery carries that smooths a drawn load to its hourly mean."""
    power = draw_it_power(np.random.default_rng(1), Workload(), Measured.load(), 1)
    shares = 0.5 * swing(power[600:], 2880).reshape(2, -1)
    return YearOfDuty(shares, np.zeros_like(shares), np.full_like(shares, 0.5))


def aged_cells(cell: CellModel, lanes: int) -> SlowState:
    """Return cells that have lost 12 % of their lithium and 10 % of each active material."""
    each = [jnp.full((1, lanes), value) for value in (0.12, 0.1, 0.1, 0.1, 2e-8)]
    return aged_state(cell, Diagnosis(*each), fresh_mid_stoichiometry(cell))


def batch(cell: CellModel, year: YearOfDuty, minutes: int, corrected: bool, lanes: int = 3) -> DayBatch:
    """Return the typical days of a year in longer steps, at the three temperatures in turn."""
    coarse = coarser(year, minutes)
    spin_up = SPIN_UP_HOURS * 60 // minutes
    day, weight = np.arange(len(year.power)), np.full(len(year.power), 1.0 / len(year.power))
    if len(day) > COUNT:
        # The same days at every length of a step.
        typical = choose_typical_days(coarser(year, 15), COUNT, 0)
        day, weight = typical.day, typical.weight
    power, soc = (
        np.concatenate([values[day - 1, -spin_up:], values[day]], axis=1)
        for values in (coarse.power * cell.nameplate_energy, coarse.state_of_charge)
    )
    ripple = ripple_of_days(cell, year, day, spin_up, minutes) if corrected else None

    def each(values: np.ndarray) -> jax.Array:
        return jnp.asarray(np.repeat(values[..., None], lanes, axis=-1))

    kelvin = jnp.broadcast_to(jnp.asarray(np.resize(CELSIUS, lanes) + KELVIN), (*power.T.shape, lanes))
    swings = jax.tree.map(lambda values: each(values.T), ripple)
    return DayBatch(each(weight), each(soc[:, 0]), each(power.T), kelvin, swings)


def change(cell: CellModel, days: DayBatch, minutes: int, stepping: Stepping = FINE) -> SlowState:
    """Return the weighted changes per day."""
    slow = aged_cells(cell, days.weight.shape[1])
    rate, _, _ = daily_rates(operation(cell, minutes, stepping), SPIN_UP_HOURS * 60 // minutes, slow, {}, days)
    return jax.tree.map(np.asarray, rate.slow)


@cache
def operation(cell: CellModel, minutes: int, stepping: Stepping) -> Operation:
    """Return one operation for each length of a step: programs are compiled for each operation."""
    return Operation(cell, Limits(), stepping, 60.0 * minutes)


def by_days(cell: CellModel, name: str, year: YearOfDuty) -> Iterator[dict[str, object]]:
    """Return the errors of daily changes by step, correction and temperature."""
    truth = change(cell, batch(cell, year, 1, False), 1)
    for minutes in MINUTES:
        for corrected in (False, True):
            found = change(cell, batch(cell, year, minutes, corrected), minutes)
            errors = {key: (getattr(found, key) / getattr(truth, key) - 1.0)[0] for key in WATCHED}
            for lane, celsius in enumerate(CELSIUS):
                condition = {"load": name, "minutes": minutes, "corrected": corrected, "celsius": celsius}
                yield condition | {key: error[lane] for key, error in errors.items()}


def by_second(cell: CellModel) -> Iterator[dict[str, object]]:
    """Return the errors of minutes in three hours of training swings, whose truth is by the second."""
    kelvin = jnp.asarray([CELSIUS]) + KELVIN
    slow = aged_cells(cell, len(CELSIUS))
    window = electrode_window(cell, slow, {})
    start = lift(cell, slow, stoichiometry_at(window, jnp.full(kelvin.shape, 0.5)), kelvin)

    def run(power: np.ndarray, length: float, ripple: Ripple | None, stepping: Stepping) -> np.ndarray:
        columns = jax.tree.map(lambda v: jnp.asarray(np.repeat(v[:, None], len(CELSIUS), 1)), (power, ripple))
        profile = Profile(columns[0], jnp.broadcast_to(kelvin, columns[0].shape), columns[1])
        end = jax.jit(lambda y: run_profile(cell, WIDE, stepping, length, y, {}, window, profile).end)(start)
        return np.stack([np.asarray(end - start)[cell.rows[key]][0] for key in WATCHED])

    shares = swinging_power(
        np.random.default_rng(1), Training(), AcceleratorPower.measured(), Swings(), (1000.0, 1001.0 + SWING_HOURS)
    )
    for rate in SWING_RATES:
        power = rate * cell.nameplate_energy * swing(shares, SWING_HOURS * HOUR, HOUR)
        truth = run(power, 1.0, None, BY_SECOND)
        for corrected in (False, True):
            ripple = unresolved(cell, power, 1.0, 60) if corrected else None
            errors = run(power.reshape(-1, 60).mean(axis=1), 60.0, ripple, FINE) / truth - 1.0
            for lane, celsius in enumerate(CELSIUS):
                condition = {"load": f"seconds, {rate:g}C", "minutes": 1, "corrected": corrected, "celsius": celsius}
                yield condition | dict(zip(WATCHED, errors[:, lane], strict=True))


def seconds(cell: CellModel, year: YearOfDuty, minutes: int, corrected: bool) -> float:
    """Return the time that the typical days of 64 lanes take in the usual time steps."""
    days, times = batch(cell, year, minutes, corrected, 64), []
    for _ in range(4):
        began = time.perf_counter()
        change(cell, days, minutes, Stepping())
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
