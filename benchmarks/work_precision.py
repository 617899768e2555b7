"""Work and precision of the cell engine beside PyBaMM's IDAKLU, in one run on one machine.

Nine aged cells (0.2, 1 and 2C at 0, 25 and 45 degC) follow drawn AI load at one minute: what a battery carries that
smooths it to its hourly mean. The error of a run is the worst ageing state at the end, over its change (or 1e-7 of all
lithium), as the 95th percentile over cells, against IDAKLU at 1e-8. Times are per cell-day on all cores, compilation
apart. Memory is that of one call: load, states and what the program keeps in between.

`python benchmarks/work_precision.py` writes the table and the figure to `results/work_precision`. Half a day of
load; `--quick`: 3 hours and batches of 1024 only, in under 5 minutes.
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pybamm

from fadecast.cell.aged import Diagnosis, aged_state, lift
from fadecast.cell.control import Limits, Window
from fadecast.cell.discrepancy import swing
from fadecast.cell.health import electrode_window, fresh_mid_stoichiometry, stoichiometry_at
from fadecast.cell.model import CellModel, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.duty.workload import Measured, Workload, draw_it_power
from fadecast.population.evidence import single_fits
from rivals import Load, Threads, in_processes, jax_solver

CORES = os.cpu_count() or 1
C_RATES, CELSIUS = (0.2, 1.0, 2.0), (0.0, 25.0, 45.0)
CELLS = len(C_RATES) * len(CELSIUS)
LOAD_STEP = 60.0
LIMITS = Limits(
    charge_c_rate=10.0, discharge_c_rate=10.0, charge_derating=(), discharge_derating=(), soc_min=0.0, soc_max=1.0
)
WATCHED = ("sei", "plated", "dead", "crack_length", "lam_lithium_ne", "lam_lithium_pe")
SETTINGS = (
    *(
        Stepping(nodes=n, samples=m, tolerance=None, precision="single")
        for n, m in ((2, 6), (3, 8), (3, 12), (4, 12), (6, 16), (8, 24))
    ),
    *(Stepping(nodes=n, samples=m, tolerance=None) for n, m in ((4, 12), (6, 16), (8, 24))),
    *(Stepping(nodes=8, samples=16, tolerance=tolerance) for tolerance in (0.003, 0.001, 0.0003)),
)
TILE = 512
"""Lanes of one call at most."""
TOLERANCES = (1e-4, 1e-5, 3e-6, 1e-6, 1e-7)
LEVEL = 1e-3


class Bench:
    """The nine cells, their load, and the truth."""

    def __init__(self, minutes: int, points: int = 20, stretch: float = 0.0) -> None:
        rates = {rate.name: rate.value for rate in single_fits()}
        self.chemistry = Chemistry(particle_points=points, particle_stretch=stretch, parameters=rates)
        self.cell: CellModel = build_cell(self.chemistry)
        power = draw_it_power(np.random.default_rng(1), Workload(), Measured.load(), 1)
        watts = np.repeat(C_RATES, len(CELSIUS)) * self.cell.nameplate_energy
        kelvin = np.tile(CELSIUS, len(C_RATES)) + 273.15
        self.load = Load(swing(power[600 : 660 + minutes], minutes), LOAD_STEP, watts, kelvin)
        self.days = minutes / 1440.0
        self.start, self.window = self._start(kelvin)

    def _start(self, kelvin: np.ndarray) -> tuple[jax.Array, Window]:
        """Cells that have lost 12 % of their lithium and 10 % of each active material, at half charge."""
        each = [jnp.full((1, len(kelvin)), value) for value in (0.12, 0.1, 0.1, 0.1, 2e-8)]
        slow = aged_state(self.cell, Diagnosis(*each), fresh_mid_stoichiometry(self.cell))
        window = electrode_window(self.cell, slow, {})
        half = stoichiometry_at(window, jnp.full((1, len(kelvin)), 0.5))
        return lift(self.cell, slow, half, jnp.asarray(kelvin[None])), window

    def error(self, states: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> float:
        """95th percentile over cells of the worst state's error [1]."""
        floor = 1e-7 * self.cell.fresh_lithium / self.cell.negative.volume
        worst = np.zeros(CELLS)
        for name in WATCHED:
            rows = self.cell.rows[name]
            smallest = floor / self.cell.scale[rows][0] if name in ("sei", "plated", "dead") else 0.0
            change = np.maximum(np.abs(truth[name] - np.asarray(self.start)[rows]), smallest)
            worst = np.maximum(worst, np.max(np.abs(states[name] - truth[name]) / change, axis=0))
        return float(np.percentile(worst, 95))

    def lowered(self, stepping: Stepping, batch: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """End states of the nine cells, and what a batch costs on all cores."""
        workers = CORES if batch > 1 else 1
        tile = min(batch // workers, TILE)
        rounds = batch // (workers * tile)
        lanes = np.arange(max(tile, CELLS)) % CELLS
        follow = jax.jit(
            lambda y, window, profile: run_profile(self.cell, LIMITS, stepping, LOAD_STEP, y, {}, window, profile).end
        )
        part = self.lanes(lanes[:tile])
        begin = perf_counter()
        program = follow.lower(*part).compile()
        compiling = perf_counter() - begin
        ends = np.asarray(follow(*self.lanes(lanes)))[:, :CELLS]
        seconds = min(self._time(program, part, workers, rounds) for _ in range(3))
        states = {name: ends[self.cell.rows[name]] for name in WATCHED}
        memory: Any = program.memory_analysis()
        held = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
        return states, {
            "seconds": seconds / (batch * self.days),
            "compile_seconds": compiling,
            "kilobytes_per_cell": held / len(lanes[:tile]) / 1e3,
        }

    def lanes(self, lanes: np.ndarray) -> tuple[jax.Array, Window, Profile]:
        """Return state, window and load of some of the nine cells."""
        power = self.load.shape[:, None] * self.load.watts[None, lanes]
        ambient = np.broadcast_to(self.load.kelvin[lanes], power.shape)
        window: Window = jax.tree.map(lambda part: part[:, lanes], self.window)
        return self.start[:, lanes], window, Profile(jnp.asarray(power), jnp.asarray(ambient))

    @staticmethod
    def _time(follow, part, workers: int, rounds: int) -> float:  # type: ignore[no-untyped-def]
        with ThreadPoolExecutor(workers) as pool:
            begin = perf_counter()
            list(pool.map(lambda _: jax.block_until_ready(follow(*part)), range(workers * rounds)))
            return perf_counter() - begin


def rows(bench: Bench, quick: bool) -> Iterator[dict[str, object]]:
    """Run every solver and setting."""
    start = np.asarray(bench.start)[:, 0]
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:

        def steps(tolerance: float):  # type: ignore[no-untyped-def]
            return in_processes(pool, bench.chemistry, start, bench.load, tolerance, CORES)

        def threads(tolerance: float):  # type: ignore[no-untyped-def]
            try:
                return {"IDAKLU, threads": Threads(bench.chemistry, start, bench.load).solve(tolerance, CORES)}
            except pybamm.SolverError as error:
                print(f"IDAKLU, threads at {tolerance:g}: {str(error)[:100]}")
                return {}

        truth = steps(1e-8)
        cell_days = CELLS * bench.days
        yield {"solver": "IDAKLU, steps", "setting": "1e-08", "error": 0.0, "seconds": truth.seconds / cell_days}
        for tolerance in TOLERANCES:
            runs = {"IDAKLU, steps": steps(tolerance)}
            if not quick:
                runs |= threads(tolerance)
            for solver, run in runs.items():
                error = bench.error(run.states, truth.states)
                yield {
                    "solver": solver,
                    "setting": f"{tolerance:g}",
                    "error": error,
                    "seconds": run.seconds / cell_days,
                }
    if not quick:
        print(f"JaxSolver {jax_solver(bench.chemistry, start, bench.load)}")
    for batch in (1024,) if quick else (1, 64, 1024, 4096):
        for stepping in SETTINGS:
            states, costs = bench.lowered(stepping, batch)
            yield {
                "solver": "fadecast",
                "batch": batch,
                "setting": f"{stepping.nodes}/{stepping.samples} {stepping.precision}, {stepping.tolerance or 'fixed'}",
                "error": bench.error(states, truth.states),
                **costs,
            }


def seconds_at(table: pd.DataFrame, level: float) -> float:
    """Least time for an error of at most a level: between the settings of the work-precision front, log-log.

    A level looser than the cheapest setting costs what that setting does; one that no setting reached has no time.
    """
    front = _front(table)
    if front["error"].min() > level:
        return np.nan
    errors, seconds = np.log(front["error"].to_numpy()[::-1]), np.log(front["seconds"].to_numpy()[::-1])
    return float(np.exp(np.interp(np.log(level), errors, seconds)))


def _front(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings that no quicker one betters, by time."""
    front = table[table["error"] > 0].sort_values("seconds")
    return front[front["error"] < front["error"].cummin().shift(fill_value=np.inf)]


def ratio(table: pd.DataFrame, level: float) -> str:
    """Time of IDAKLU over time of the lowered cell at equal error, batch 1024; says where either did not reach it."""
    rival = table[table["solver"].str.startswith("IDAKLU")]
    mine = table[(table["solver"] == "fadecast") & (table["batch"] == 1024)]
    found = seconds_at(rival, level) / seconds_at(mine, level)
    return "not_reached" if np.isnan(found) else f"{found:.0f}"


def draw(table: pd.DataFrame, path: Path) -> None:
    """Plot error against time."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for key, part in table[table["error"] > 0].groupby(["solver", "batch"], dropna=False):
        solver, batch = cast(tuple[str, float], key)
        label = solver if np.isnan(batch) else f"{solver}, batch {batch:.0f}"
        front = _front(part)
        (line,) = axes.loglog(front["seconds"], front["error"], "-" if solver == "fadecast" else "--", label=label)
        axes.loglog(part["seconds"], part["error"], "o" if solver == "fadecast" else "s", color=line.get_color())
    axes.set(
        xlabel=f"time per cell-day [s], {CORES} cores", ylabel="error of the worst ageing state [1], 95 % of cells"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 hours of load, batch 1024")
    parser.add_argument("--out", type=Path, default=Path("results/work_precision"))
    arguments = parser.parse_args()
    bench = Bench(180 if arguments.quick else 720)
    found = []
    for row in rows(bench, arguments.quick):
        found.append({"batch": np.nan, **row})
        print(
            "  ".join(
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            )
        )
    table = pd.DataFrame(found)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "work_precision.csv", index=False, float_format="%.4g")
    draw(table, arguments.out / "work_precision.png")
    for level in (1e-2, 3e-3, 3e-4, 1e-4):
        print(f"ratio_at_{level:g}: {ratio(table, level)}")
    print(f"ratio_at_1e-3: {ratio(table, LEVEL)}")


if __name__ == "__main__":
    main()
