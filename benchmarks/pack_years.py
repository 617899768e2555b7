"""Pack-years of the reference study for each second of a core, beside the same pack-years by PyBaMM day by day.

A slice of `configs/nevada.yaml` (a draw for each core, some of its packs, all of its ten years) is forecast as
`fadecast forecast` does it: packs of one site that feel each other, at the study's load step. Its SOH is held against
direct mode at the duty's own step of a minute. PyBaMM's IDAKLU (compiled, tolerances 1e-6, which are within 1e-4 of its
1e-8) follows the same minute load on a few of the same packs for a day, a process on each core; years of it are
extrapolated, every day costing the same. Compilation is left out of both.

`python benchmarks/pack_years.py` writes `results/pack_years/pack_years.csv`; `--quick`: 128 packs, in under 5 minutes.
`--scale` forecasts a year of 100 packs to 20,125 packs of 25 sites, without PyBaMM, and writes `scale.csv`: how time
and memory grow with packs. `--steps` holds the macro steps of the study against small ones, and writes `steps.csv`.
"""

import argparse
import multiprocessing
import os
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from fadecast.cell.model import build_cell
from fadecast.decades.macro import Leap
from fadecast.decades.service import KELVIN
from fadecast.decades.years import DAYS_PER_YEAR
from fadecast.duty import make_duty
from fadecast.ensemble import Ensemble, make_ensemble, run_shards
from fadecast.fade import capacity_of, leap_error
from fadecast.forecast import Forecast
from fadecast.pipeline import use_compilation_cache
from fadecast.population import in_service, make_population
from fadecast.shards import Shards
from fadecast.streams import write_blocks
from fadecast.study import Study, load_study
from rivals import Load, in_processes

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "pack_years"
CORES = os.cpu_count() or 1
CELLS, TOLERANCE = 8, 1e-6
SIZES, QUICK = (64, 128, 256, 512, 805), (128,)
SCALE = ((100, 1), (805, 1), (4025, 5), (20125, 25))
"""Packs, and the sites that they are divided among."""

FINEST = Leap(tolerance=2e-5, first_step_days=20, longest_step_days=365)
COARSER = (Leap(tolerance=1e-3, first_step_days=100), Leap(tolerance=4e-3, first_step_days=300, longest_step_days=1825))
"""Macro steps that those of the study are held against, and others beside them."""


class Slice(NamedTuple):
    """Some packs and draws of the study."""

    study: Study
    duty: xr.Dataset
    population: xr.Dataset

    def ensemble(self, packs: int, years: float) -> Ensemble:
        """Return what is forecast; the site has as many packs."""
        study = self.study
        return make_ensemble(
            study.cell,
            study.decades,
            self.duty,
            self.population.isel(pack=slice(packs)),
            years,
            study.execution,
            study.fleet,
            study.duty,
        )


def main() -> None:
    """Time both and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one size only")
    parser.add_argument("--scale", action="store_true", help="how time grows with packs")
    parser.add_argument("--steps", action="store_true", help="how far large macro steps are off")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else SIZES
    use_compilation_cache()
    if arguments.scale:
        scale()
        return
    if arguments.steps:
        steps()
        return
    slices = [slice_of(of_reference(packs=packs, draws=CORES)) for packs in sizes]
    table = pd.DataFrame([forecast(each, packs) for each, packs in zip(slices, sizes, strict=True)])
    whole, study = slices[-1], slices[-1].study
    rival = pybamm_rate(whole)
    table["ratio_to_pybamm"] = table["pack_years_per_core_second"] / rival
    table["pybamm_pack_years_per_core_second"] = rival
    error = leap_error(whole.ensemble(max(sizes), study.years))
    table["soh_error_pp"] = error["soh_error_pp"]
    report(table, "pack_years.csv")
    step = study.decades.load_step_minutes or study.duty.timestep_minutes
    print(
        f"load step {step} min of a load by {study.duty.timestep_minutes} min; SOH against direct mode at the latter "
        f"after {error['soh_error_days']:.0f} days in {error['soh_error_lanes']} packs"
    )
    last = table.iloc[-1]
    print(
        f"pack_years_per_core_second: {last['pack_years_per_core_second']:.3g} "
        f"ratio_to_pybamm: {last['ratio_to_pybamm']:.0f} soh_error_pp: {last['soh_error_pp']:.4f}"
    )


def of_reference(**changes: int | str) -> Study:
    """Return the reference study with some settings changed."""
    return load_study(ROOT / "configs" / "nevada.yaml", [f"{key}={value}" for key, value in changes.items()])


def slice_of(study: Study) -> Slice:
    """Make duty and packs of a study."""
    draws, sites = study.draws, study.fleet.sites
    duty = make_duty(study.site, study.duty, draws, study.packs // sites, study.seed)
    capacity = capacity_of(build_cell(study.cell.chemistry))
    service = in_service(study.cell.chemistry, duty)
    packs = make_population(study.population, draws, study.packs, study.seed, capacity, sites, service)
    return Slice(study, duty, packs)


def report(table: pd.DataFrame, name: str) -> None:
    """Write a table and print it."""
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / name, index=False, float_format="%.5g")
    print(table.to_string(index=False, float_format="%.4g"))


def scale() -> None:
    """Forecast a year of more and more packs, shards to disk as a run does; print how time and memory grow."""
    rows = []
    for packs, sites in SCALE:
        # Cash flows are those of one site.
        study = of_reference(packs=packs, draws=1, economics="null", **{"fleet.sites": sites})
        whole = slice_of(study)
        run(whole.ensemble(packs, 1.0 / DAYS_PER_YEAR), 1)
        ensemble = replace(whole.ensemble(packs, 1.0), decades=replace(study.decades, check_days=0))
        with TemporaryDirectory() as folder:
            begin, busy = perf_counter(), process_time()
            fade = Forecast(ensemble, Shards(Path(folder)), study.pack_energy_kwh)
            fade.run(lambda event, details: None)
            write_blocks(Path(folder) / "fade.nc", fade.header(), fade.blocks())
            seconds, core_seconds = perf_counter() - begin, process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        took = {"seconds": seconds, "core_seconds": core_seconds, "peak_memory_GiB": peak}
        lanes = sum(map(len, ensemble.shards()))
        rows.append({"packs": packs, "sites": sites, "lanes": lanes, **took})
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table["milliseconds_per_pack"] = 1e3 * table["seconds"] / table["packs"]
    table["core_milliseconds_per_pack"] = 1e3 * table["core_seconds"] / table["packs"]
    table["core_milliseconds_per_lane"] = 1e3 * table["core_seconds"] / table["lanes"]
    table["over_one_site"] = table["core_milliseconds_per_pack"] / table["core_milliseconds_per_pack"][1]
    report(table, "scale.csv")


def steps() -> None:
    """Forecast some packs of four draws by larger and larger macro steps; print how far they are from the smallest."""
    study = of_reference(packs=64, draws=4)
    whole = slice_of(study).ensemble(64, study.years)
    nominal, truth, rows = whole.operation.cell.nominal_capacity, None, []
    for settings in (FINEST, *COARSER, study.decades.leap):
        ensemble = replace(whole, decades=replace(whole.decades, leap=settings))
        found = [shard[1:3] for shard in run_shards(ensemble, ensemble.shards(), lambda event, details: None)]
        capacity, resistance = (
            np.concatenate([np.asarray(getattr(health, name)) for _, health in found], axis=1)
            for name in ("capacity", "resistance")
        )
        truth = (capacity, resistance) if truth is None else truth
        rows.append(
            {
                **asdict(settings),
                "macro_steps": np.mean([len(history.macro_steps) - 1 for history, _ in found]),
                "cell_days_per_pack": sum(history.cell_days for history, _ in found) / whole.lanes,
                "soh_error_pp": 100.0 * np.abs(capacity - truth[0]).max() / nominal,
                "resistance_error_percent": 100.0 * np.abs(resistance / truth[1] - 1.0).max(),
            }
        )
    report(pd.DataFrame(rows), "steps.csv")


def forecast(whole: Slice, packs: int) -> dict[str, float]:
    """Forecast once to compile, for a day, then on the clock."""
    shard = whole.ensemble(packs, 1.0 / DAYS_PER_YEAR)
    run(shard)
    ensemble = whole.ensemble(packs, whole.study.years)
    begin = perf_counter()
    days = run(ensemble)
    seconds = perf_counter() - begin
    return {
        "packs": packs,
        "draws": whole.study.draws,
        "seconds": seconds,
        "cell_days_per_pack": days / ensemble.lanes,
        "pack_years_per_core_second": ensemble.lanes * whole.study.years / (CORES * seconds),
    }


def run(ensemble: Ensemble, most: int | None = None) -> float:
    """Forecast all shards, or the first of them; return the days simulated."""
    shards = run_shards(ensemble, ensemble.shards()[:most], lambda event, details: None)
    return sum(history.cell_days for _, history, _, _ in shards)


def pybamm_rate(whole: Slice) -> float:
    """Return pack-years for each second of a core by PyBaMM, from a day of a few packs."""
    decades = replace(whole.study.decades, load_step_minutes=None)
    fine = whole._replace(study=whole.study.model_copy(update={"decades": decades}))
    ensemble = fine.ensemble(CELLS, whole.study.years)
    cell = build_cell(whole.study.cell.chemistry)
    slow, inputs, _ = ensemble.start(np.arange(CELLS))
    day = ensemble.prepared.year(0)
    kelvin = np.full(CELLS, float(day.ambient[0].mean()) + KELVIN)
    charge = jnp.full((1, CELLS), day.state_of_charge[0, 0])
    start = np.asarray(ensemble.operation.begin_day(slow, inputs, charge, jnp.asarray(kelvin[None]))[0])
    load = Load(day.power[0] * cell.nameplate_energy, ensemble.operation.load_step, np.ones(CELLS), kelvin)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, mp_context=context) as pool:
        solved = in_processes(pool, whole.study.cell.chemistry, start[:, 0], load, TOLERANCE, CORES)
    return CELLS / DAYS_PER_YEAR / (CORES * solved.seconds)


if __name__ == "__main__":
    main()
