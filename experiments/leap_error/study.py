"""Is the leap right? Typical days and macro steps against every day of three years.

Run as `python experiments/leap_error/study.py`; writes tables and figures to `results/reported/leap_error`. Four duties
at 15 min (a site whose computing only trains, only infers, or both; regulation of a grid), air around the packs shifted
to a yearly mean of 10, 25 and 40 degC, three cells of three draws of the default population: 36 lanes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from comparison import Result, compared, part, row, worst

from fadecast.cell.lowering import Inputs
from fadecast.cell.model import build_cell
from fadecast.decades.macro import Leap
from fadecast.decades.years import Decades
from fadecast.duty import Duty, Site, make_duty
from fadecast.duty.workload import Workload
from fadecast.ensemble import Ensemble, make_ensemble
from fadecast.fade import capacity_of
from fadecast.figures import style
from fadecast.operated import Cell
from fadecast.population import Population, make_population
from fadecast.population.evidence import single_fits

OUT = Path(__file__).parents[2] / "results" / "reported" / "leap_error"
DUTIES = {
    "training": Duty(workload=Workload(training_share=1.0)),
    "inference": Duty(workload=Workload(training_share=0.0)),
    "solar and both": Duty(),
    "regulation": Duty(service="regulation"),
}
CELSIUS, CELLS, SEED = (10.0, 25.0, 40.0), 3, 1
YEARS = 365.0 * np.arange(4)
COUNTS, SPIN_UPS = (2, 4, 6, 8, 12, 16, 24), (1, 2, 4, 8, 12, 24)
TOLERANCES = (1e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 1e-3)


def main() -> None:
    """Run all of it."""
    OUT.mkdir(parents=True, exist_ok=True)
    ensemble = lanes_of(conditions(15))
    truth = run(ensemble, mode="direct")
    found = {"leap": run(ensemble), "leap, charge of the dispatcher": run(dispatched(ensemble))}
    lanes = [(duty, celsius, cell) for duty in DUTIES for celsius in CELSIUS for cell in range(CELLS)]
    matrix = pd.concat([compared(name, lanes, result, truth) for name, result in found.items()])
    matrix.to_csv(OUT / "leap_error.csv", index=False, float_format="%.4g")
    print(
        matrix.groupby(["mode", "duty", "celsius"], sort=False)
        .agg(worst)
        .drop(columns="cell")
        .to_string(float_format="%.3g")
    )
    table = pd.DataFrame([*costs(ensemble, truth), minutes()])
    table.to_csv(OUT / "k_tolerance.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="%.3g"))
    draw(table)


def conditions(minutes: int, duties: Mapping[str, Duty] = DUTIES) -> xr.Dataset:
    """Return the years of duty; `draw` counts duties and temperatures."""
    years = []
    for duty in duties.values():
        year = make_duty(Site(), replace(duty, timestep_minutes=minutes), 1, 64, SEED)
        air = year["pack_ambient_temperature"]
        years += [year.assign(pack_ambient_temperature=air - air.mean() + celsius) for celsius in CELSIUS]
    return xr.concat(years, "draw").assign_coords(draw=np.arange(len(years)))


def lanes_of(duty: xr.Dataset) -> Ensemble:
    """Put the same cells, each with the rates of a draw of its own, into every condition."""
    settings = Cell()
    packs = make_population(
        Population(rate_posterior=None, rates=single_fits()),
        CELLS,
        1,
        SEED,
        capacity_of(build_cell(settings.chemistry, ())),
    )
    each = packs.isel(pack=0, drop=True).rename(draw="pack")
    population = xr.concat([each] * duty.sizes["draw"], "draw")
    return make_ensemble(settings, Decades(), duty, population, YEARS[-1] / 365.0)


def run(ensemble: Ensemble, lanes: Sequence[int] | None = None, years: np.ndarray = YEARS, **settings: Any) -> Result:
    """Forecast lanes, all by default, with other settings of how years are made of days."""
    changed = replace(ensemble, decades=replace(ensemble.decades, **settings), times=years)
    return changed.simulate(np.arange(ensemble.lanes) if lanes is None else np.array(lanes))


class Dispatched(Ensemble):
    """Begins every typical day as full as the dispatcher believes its store to be."""

    def beginning(self, inputs: Inputs, draws: np.ndarray, count: int) -> None:
        """Leave the days as they are."""


def dispatched(ensemble: Ensemble) -> Ensemble:
    """Return the same, of days that begin so."""
    return Dispatched(ensemble.operation, ensemble.decades, ensemble.duty, ensemble.population, ensemble.times)


def costs(ensemble: Ensemble, truth: Result) -> Iterator[dict[str, object]]:
    """Change one setting after the other; macro steps against the finest, over ten years."""
    for count in COUNTS:
        yield row("typical_days", count, run(ensemble, typical_days=count), truth)
    for hours in SPIN_UPS:
        yield row("spin_up_hours", hours, run(ensemble, spin_up_hours=float(hours)), truth)
    some = range(0, ensemble.lanes, CELLS)
    yield row("all days", 363, run(ensemble, some, typical_days=363), part(truth, some))
    decade = 3650.0 * np.arange(2)
    finest, *coarser = (run(ensemble, years=decade, typical_days=4, leap=Leap(tolerance=t)) for t in TOLERANCES)
    for tolerance, result in zip(TOLERANCES[1:], coarser, strict=True):
        yield row("tolerance", tolerance, result, finest)


def minutes() -> dict[str, object]:
    """Compare a year of the default site at 1 min and 25 degC."""
    ensemble = lanes_of(conditions(1, {"solar and both": DUTIES["solar and both"]}).isel(draw=[1]))
    found, truth = (run(ensemble, years=YEARS[:2], mode=mode) for mode in ("leap", "direct"))
    return row("minutes", 1, found, truth)


def draw(table: pd.DataFrame) -> None:
    """Draw worst errors against typical days and tolerance."""
    panels = {"typical_days": "Typical days besides two extremes", "tolerance": "Tolerance of a macro step [1]"}
    with style.printed():
        figure = style.page(2.9)
        for axes, (setting, label) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            rows = table[table["setting"] == setting]
            names = {"soh_pp": "SOH [pp]", "resistance": "resistance [%]", "throughput": "throughput [%]"}
            for (name, words), color, marker in zip(names.items(), style.SERIES, style.MARKERS, strict=False):
                axes.loglog(rows["value"], rows[name], f"{marker}-", color=color, label=words)
            axes.set_xlabel(label)
        figure.axes[0].set_xticks(COUNTS, [str(count) for count in COUNTS])
        figure.axes[0].minorticks_off()
        axes.loglog(
            rows["value"], 100.0 * rows["value"] * rows["macro_steps"], "--", color=style.GREY, label="bound on SOH"
        )
        figure.axes[0].set_ylabel("Worst error of 36 lanes")
        style.legend_above(figure, *figure.axes, columns=4)
        figure.savefig(OUT / "k_tolerance.png")


if __name__ == "__main__":
    main()
