"""Pack-years of the reference study for each second of a core, beside the same pack-years by PyBaMM day by day.

A slice of `configs/nevada.yaml` (one draw, some of its packs, all of its ten years) is forecast as `fadecast forecast`
does it: packs of one site that feel each other, at the study's load step. Its SOH is held against direct mode at the
duty's own step of a minute. PyBaMM's IDAKLU (compiled, tolerances 1e-6, which are within 1e-4 of its 1e-8) follows the
same minute load on a few of the same packs for a day, a process on each core; years of it are extrapolated, every day
costing the same. Compilation is left out of both.

`python benchmarks/pack_years.py` writes `results/pack_years/pack_years.csv`; `--quick`: 128 packs, in under 5 minutes.
"""

import argparse
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from fadecast.cell.model import build_cell
from fadecast.decades.service import KELVIN
from fadecast.decades.years import DAYS_PER_YEAR
from fadecast.duty import make_duty
from fadecast.ensemble import Ensemble, make_ensemble, run_shards
from fadecast.fade import capacity_of, leap_error
from fadecast.pipeline import use_compilation_cache
from fadecast.population import make_population
from fadecast.study import Study, load_study
from rivals import Load, in_processes

ROOT = Path(__file__).parents[1]
CORES = os.cpu_count() or 1
CELLS, TOLERANCE = 8, 1e-6
SIZES, QUICK = (64, 128, 256, 512, 805), (128,)


class Slice(NamedTuple):
    """Some packs of one draw of the study."""

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
    sizes = QUICK if parser.parse_args().quick else SIZES
    use_compilation_cache()
    study = load_study(ROOT / "configs" / "nevada.yaml", [f"packs={max(sizes)}", "draws=1"])
    duty = make_duty(study.site, study.duty, 1, study.packs, study.seed)
    population = make_population(
        study.population, 1, study.packs, study.seed, capacity_of(build_cell(study.cell.chemistry))
    )
    whole = Slice(study, duty, population)
    table = pd.DataFrame([forecast(whole, packs) for packs in sizes])
    rival = pybamm_rate(whole)
    table["ratio_to_pybamm"] = table["pack_years_per_core_second"] / rival
    table["pybamm_pack_years_per_core_second"] = rival
    error = leap_error(whole.ensemble(max(sizes), study.years))
    table["soh_error_pp"] = error["soh_error_pp"]
    out = ROOT / "results" / "pack_years"
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "pack_years.csv", index=False, float_format="%.5g")
    print(table.to_string(index=False, float_format="%.4g"))
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
        "seconds": seconds,
        "cell_days_per_pack": days / packs,
        "pack_years_per_core_second": packs * whole.study.years / (CORES * seconds),
    }


def run(ensemble: Ensemble) -> float:
    """Forecast all shards; return the days simulated."""
    shards = run_shards(ensemble, ensemble.shards(), lambda event, details: None)
    return sum(history.cell_days for _, history, _ in shards)


def pybamm_rate(whole: Slice) -> float:
    """Return pack-years for each second of a core by PyBaMM, from a day of a few packs."""
    decades = replace(whole.study.decades, load_step_minutes=None)
    fine = whole._replace(study=whole.study.model_copy(update={"decades": decades}))
    ensemble = fine.ensemble(CELLS, whole.study.years)
    cell = build_cell(whole.study.cell.chemistry)
    slow, inputs, _ = ensemble.start(np.arange(CELLS))
    day = ensemble.years[0]
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
