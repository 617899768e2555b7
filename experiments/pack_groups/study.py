"""Packs of 96 groups: what the weakest few and a mean of the rest lose of all, sorting, self-discharge and balancing.

Run as `python experiments/pack_groups/study.py`; writes `results/reported/pack_groups/pack_groups.csv` and figure.
Four packs of one class of retired cells serve the default site for two years, in leaps over three typical days.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.cell.model import CellModel, build_cell
from fadecast.decades.years import Decades
from fadecast.duty import Duty, Site, make_duty
from fadecast.ensemble import make_ensemble
from fadecast.fade import capacity_of
from fadecast.figures import style
from fadecast.operated import Cell
from fadecast.pipeline import use_compilation_cache
from fadecast.population import ClassShare, Groups, LogNormalPrior, Population, make_population
from fadecast.population.evidence import single_fits
from fadecast.population.modes import CapacityOf

OUT = Path(__file__).parents[2] / "results" / "reported" / "pack_groups"
PACKS, N, SEED = 4, 96, 1
WEAKEST = (1, 2, 4, 16)
DAYS = np.linspace(0.0, 730.0, 5)
DECADES = Decades(typical_days=1)
NO_LEAK = LogNormalPrior(median=1e-9, log_sd=0.0, pack_log_sd=0.0)
CASES = {
    "balanced": Groups(n_series=N),
    "not balanced": Groups(n_series=N, balancing=0.0),
    "no self-discharge, not balanced": Groups(n_series=N, balancing=0.0, self_discharge=NO_LEAK),
    "sorted by capacity": Groups(n_series=N, sorting="capacity"),
    "sorted by resistance": Groups(n_series=N, sorting="resistance"),
}
LUMPED = ("balanced", "not balanced")
"""Cases that are also run with the weakest groups and a mean of the rest."""


def main() -> None:
    """Forecast every case."""
    use_compilation_cache()
    cell = build_cell(Cell().chemistry)
    table = pd.DataFrame(list(rows(cell)))
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "pack_groups.csv", index=False, float_format="%.6g")
    draw(table)
    print(summary(table).to_string())


def rows(cell: CellModel) -> Iterator[dict[str, object]]:
    """Capacity and resistance of each pack of each case at each time."""
    share = capacity_of(cell)
    for name in CASES:
        for weakest in (None, *(WEAKEST if name in LUMPED else ())):
            yield from forecast(share, name, weakest)


def forecast(share: CapacityOf, name: str, weakest: int | None) -> Iterator[dict[str, object]]:
    """Run one case with all groups or the weakest and a mean of the rest."""
    duty = make_duty(Site(), Duty(timestep_minutes=60), 1, PACKS, SEED)
    classes, groups = (ClassShare(name="lmo_10ah"),), replace(CASES[name], weakest=weakest)
    settings = Population(classes=classes, groups=groups, rate_posterior=None, rates=single_fits())
    population = make_population(settings, 1, PACKS, SEED, share)
    ensemble = replace(make_ensemble(Cell(), DECADES, duty, population, 2.0), times=DAYS)
    history, health = ensemble.simulate(np.arange(PACKS))
    for time, day in enumerate(DAYS):
        for pack in range(PACKS):
            yield {
                "case": name,
                "weakest": N if weakest is None else weakest,
                "pack": pack,
                "years": day / 365.0,
                "capacity_a_h": float(health.capacity[time, pack]),
                "resistance_ohm": float(health.resistance[time, pack]),
                "outcome": int(history.outcome[pack]),
            }


def biases(table: pd.DataFrame) -> pd.DataFrame:
    """Per cent by which few simulated groups miss all of them, worst of packs, at the start and the end."""
    keys = ["case", "pack", "years"]
    values = ["capacity_a_h", "resistance_ohm"]
    whole = table[table["weakest"] == N].set_index(keys)[values]
    part = table[table["weakest"] < N].set_index([*keys, "weakest"])[values]
    miss = 100.0 * (part / whole.reindex(part.index.droplevel("weakest")).set_axis(part.index) - 1.0)
    at = miss.index.get_level_values("years")
    return (
        miss[(at == 0.0) | (at == at.max())]
        .groupby(level=["case", "years", "weakest"])
        .agg(lambda each: each.iloc[np.abs(each).argmax()])
    )


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Biases of few groups, and means over packs of all of them."""
    whole = table[(table["weakest"] == N) & table["years"].isin([0.0, table["years"].max()])]
    means = whole.groupby(["case", "years", "weakest"])[["capacity_a_h", "resistance_ohm"]].mean()
    return pd.concat({"mean": means, "bias [%]": biases(table)})


def draw(table: pd.DataFrame) -> None:
    """Biases against the groups simulated, worst of packs, and capacity over time by how packs are built and kept."""
    with style.printed():
        figure = style.page(3.2)
        left, right = figure.subplots(1, 2)
        last = biases(table).xs(table["years"].max(), level="years").abs()
        shown = ((case, value) for case in LUMPED for value in last.columns)
        for (case, value), color, marker in zip(shown, style.SERIES, style.MARKERS, strict=False):
            label = f"{value.split('_')[0]}, {case}"
            left.plot(WEAKEST, last.loc[case, value], color=color, marker=marker, label=label)
        left.set(xscale="log", yscale="log", xlabel="weakest groups simulated", ylabel="off all 96 after two years [%]")
        left.set_xticks(WEAKEST, [str(k) for k in WEAKEST])
        left.legend(loc="lower right", bbox_to_anchor=(1.0, 0.18))
        whole = table[table["weakest"] == N]
        for case, color, marker in zip(CASES, style.SERIES, style.MARKERS, strict=False):
            mean = whole[whole["case"] == case].groupby("years")["capacity_a_h"].mean()
            right.plot(mean.index, mean, color=color, marker=marker, label=case)
        right.set(xlabel="time in service [year]", ylabel="mean pack capacity [A·h]")
        right.legend()
        figure.savefig(OUT / "pack_groups.png")


if __name__ == "__main__":
    main()
