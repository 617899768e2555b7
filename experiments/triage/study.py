"""What is a better test worth, what is not known of the split, whose packs are they? Premiums; table and figure.

Run as `python experiments/triage/study.py`; finished runs are kept in `results/triage`, so a stopped one goes on.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.document import read_document
from fadecast.figures import style
from fadecast.pipeline import price_file, run_stages
from fadecast.population.evidence import single_fits
from fadecast.runs import RunFolder
from fadecast.study import check_pricing, check_study

ROOT = Path(__file__).parents[2]
RUNS, OUT = ROOT / "results" / "triage", ROOT / "results" / "reported" / "triage"
DEMO = ROOT / "configs" / "demo.yaml"
RATES = [
    "population.rate_posterior=null",
    f"population.rates={json.dumps([asdict(rate) for rate in single_fits()])}",
]
"""Single fits (`experiments/lgm50_rates`): faster than the joint posterior, so that eight draws show differences."""
CLASSES = "population.classes=[{name: lmo_10ah}, {name: lfp_20ah}]"
TESTS = {
    "exact": [],
    "capacity, 1 %": ["population.triage={test: capacity, soh_sd: 0.01}"],
    "capacity, 2 %": ["population.triage={test: capacity, soh_sd: 0.02}"],
    "capacity, 5 %": ["population.triage={test: capacity, soh_sd: 0.05}"],
    "pulse": ["population.triage={test: pulse}"],
}
SPLITS = {
    "three times the lithium": ["population.split.factors=[3, 1, 1]"],
    "three times the negative material": ["population.split.factors=[1, 3, 1]"],
    "three times the positive material": ["population.split.factors=[1, 1, 3]"],
}
CARS = "population.classes=[{name: nca_car}]"
SIX = ("lmo_10ah", "lfp_20ah", "lfp_35ah", "lfp_68ah", "nmc_2ah", "nca_car")
FLEETS = {
    "cars, leaving by age alone": [CARS, "population.survivorship=none"],
    "cars, leaving by fade too": [CARS],
    "cars, leaving by fade, strongly": [CARS, "population.survivorship=strong"],
    "NMC of a laboratory": ["population.classes=[{name: nmc_2ah}]"],
    "all six classes": [f"population.classes=[{', '.join(f'{{name: {name}}}' for name in SIX)}]"],
}
# A promise of the capacity at the start, and one of nameplate capacity that a pack accepted by mistake breaks at once.
CONTRACTS = {
    "of the start": [],
    "of nameplate": ["warranty.contract.measure=soh", "warranty.contract.guarantee=[[0, 0.6], [10, 0.5]]"],
}


def priced(name: str, changes: list[str]) -> dict[str, np.ndarray | float]:
    """Run a study and price both promises on it; losses by draw [USD/kWh], since all studies share their draws."""
    settings = [CLASSES, *RATES, *changes, f"name={name.replace(' ', '_').replace(',', '').replace('%', 'percent')}"]
    study = check_study(read_document(DEMO, settings))
    folder = RunFolder(RUNS / study.name)
    run_stages(study, folder, "forecast", lambda *_: None)
    population = folder.read_dataset("population.nc").attrs
    row = {share: population[f"triage_{share}_share"] for share in ("accepted", "wrongly_accepted", "wrongly_rejected")}
    for promise, terms in CONTRACTS.items():
        pricing = check_pricing(read_document(DEMO, [*settings, *terms]))
        price = price_file(pricing, [folder.path / "fade.nc"], None)
        row[f"premium_{promise}"] = float(price["premium"])
        row[f"interval_{promise}"] = float(price["premium_interval"])
        row[f"loss_{promise}"] = (price["loss"].sum("pack") / price["base_energy"].sum("pack")).to_numpy()
    print(name, flush=True)
    return row


def main() -> None:
    """Run all studies."""
    OUT.mkdir(parents=True, exist_ok=True)
    rows = {name: priced(name, changes) for name, changes in (TESTS | SPLITS | FLEETS).items()}
    for row in rows.values():
        for promise in CONTRACTS:
            more = row[f"loss_{promise}"] - rows["exact"][f"loss_{promise}"]
            row[f"more_loss_{promise}"] = more.mean()
            row[f"more_loss_error_{promise}"] = more.std(ddof=1) / np.sqrt(more.size)
    table = pd.DataFrame(rows).drop(index=[f"loss_{promise}" for promise in CONTRACTS])
    table = table.T.rename_axis("study").astype(float)
    table.to_csv(OUT / "triage.csv", float_format="%.4g")
    with style.printed():
        figure = style.page(4.2)
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, promise in zip((left, right), CONTRACTS, strict=True):
            place = range(len(table))
            bars = table[f"interval_{promise}"]
            axes.errorbar(table[f"premium_{promise}"], place, xerr=bars, fmt="o", color=style.BLUE, capsize=3)
            for above in (len(TESTS), len(TESTS | SPLITS)):
                axes.axhline(above - 0.5, color=style.GREY, linewidth=0.6)
            axes.set_title(f"Guarantee {promise}")
            axes.set_xlabel("Premium [USD/kWh]")
        left.set_yticks(range(len(table)), table.index)
        left.invert_yaxis()
        figure.savefig(OUT / "triage.png")


if __name__ == "__main__":
    main()
