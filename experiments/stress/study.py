"""What if site, duty, packs or cell model were otherwise? Retention and premiums against one base; table and figure.

Run as `python experiments/stress/study.py`; finished forecasts are kept in `results/stress`, so a stopped one goes on.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fadecast.document import read_document
from fadecast.figures import style
from fadecast.outcome import Outcome
from fadecast.pipeline import run_stages
from fadecast.population.evidence import single_fits
from fadecast.runs import RunFolder, open_fade
from fadecast.study import Study, check_study
from fadecast.warranty.claims import settle
from fadecast.warranty.intervals import half_widths
from fadecast.warranty.observed import clusters
from fadecast.warranty.premium import levels_of
from fadecast.warranty.valuation import Pool, pool_of, quote

ROOT = Path(__file__).parents[2]
RUNS, OUT = ROOT / "results" / "stress", ROOT / "results" / "reported" / "stress"
NEVADA = ROOT / "configs" / "nevada.yaml"
SMALL = ["packs=8", "draws=16", "economics=null", "duty.timestep_minutes=5", "decades.check_days=0"]
"""As many draws as the reference study has, with fewer packs each: what draws share makes the interval."""
BASE = "as it is"
SITES = {
    "Las Vegas": ["site.climate=las_vegas"],
    "packs cooled from 40 °C": ["duty.container.cool_above=40"],
    "packs not cooled": ["duty.container.cool_above=90"],
}
HALF = ("workload.accelerators_per_pack=5", "solar.kw_per_pack=60", "dispatch.converter_kw_per_pack=29.8")
DUTIES = {
    "half as many packs": [f"duty.{change}" for change in HALF],
    "inference alone": ["duty.workload.training_share=0"],
    "training alone": ["duty.workload.training_share=1"],
    "regulation of a grid": ["duty.service=regulation"],
}
PACKS = {
    "packs at 0.60 to 0.70": [
        "population.soh_range=[0.6, 0.7]",
        "population.classes=[{name: lmo_10ah}, {name: lfp_20ah}]",
    ],
    "triage errs by 5 %": ["population.triage={test: capacity, soh_sd: 0.05}"],
    "packs of cars": ["population.classes=[{name: nca_car}]"],
    "three times the positive material": ["population.split.factors=[1, 1, 3]"],
}
MODELS = {
    "rates of single fits": [
        "population.rate_posterior=null",
        f"population.rates={json.dumps([asdict(rate) for rate in single_fits()])}",
    ],
    "SEI on cracks": ["cell.chemistry.sei_on_cracks='true'"],
}
GROUPS = (SITES, DUTIES, PACKS, MODELS)
SCENARIOS: Mapping[str, list[str]] = {BASE: []} | SITES | DUTIES | PACKS | MODELS
TERM = 10.0
# By that of the study (0.85 after ten years) few packs claim. The second is of nameplate.
CONTRACTS = {
    "start": ["warranty.contract.guarantee=[[0, 1.0], [10, 0.95]]"],
    "nameplate": ["warranty.contract.measure=soh", "warranty.contract.guarantee=[[0, 0.6], [10, 0.55]]"],
}


SEEN = ("c_rate", "served", "temperature", "cycles", "ended")
"""Figures of a scenario that have no interval."""


class Scenario(NamedTuple):
    """What a scenario comes to."""

    kept: np.ndarray
    """Mean retention of the packs of a draw after the term, `(draw,)`; at the end of its life a pack keeps none."""
    c_rate: float
    """Highest power of a pack over its nameplate energy, as first dispatched [1/h]."""
    served: float
    """Share of the load that is served then [1]."""
    ended: float
    """Share of packs whose life or whose run ended before [1]."""
    temperature: float
    """Mean of the cells over the term [degC]."""
    cycles: float
    """Equivalent full cycles of nameplate capacity in a year [1/year]."""
    pools: Mapping[str, Pool]
    """Claims under each contract."""


def forecast(name: str, changes: list[str]) -> tuple[Study, xr.Dataset, xr.Dataset]:
    """Forecast a scenario, unless that is done already; its study, duty and fade."""
    study = check_study(read_document(NEVADA, [*SMALL, *changes, f"name={slugged(name)}"]))
    folder, base = RunFolder(RUNS / study.name), RUNS / slugged(BASE)
    if base.exists() and not folder.path.exists():
        # Stages that a change leaves as they were are not made again.
        shutil.copytree(base, folder.path)
    run_stages(study, folder, "forecast", lambda *_: None)
    print(name, flush=True)
    return study, folder.open_dataset("duty.nc"), open_fade(folder.path / "fade.nc")


def slugged(name: str) -> str:
    """Return a name that a folder can have."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def promised(terms: list[str]) -> Study:
    """Return the study with the terms of a contract."""
    return check_study(read_document(NEVADA, [*SMALL, *terms]))


def claimed(study: Study, duty: xr.Dataset, fade: xr.Dataset) -> Scenario:
    """Settle both contracts on a forecast."""
    ended = fade["outcome"].isin([outcome for outcome in Outcome if outcome.end_of_life])
    kept = fade["retention"].sel(time=TERM, method="nearest").where(~ended, 0.0)
    pools = {}
    for promise, terms in CONTRACTS.items():
        warranty = promised(terms).warranty
        discount = warranty.premium.yield_curve or warranty.premium.discount_rate
        claims = settle(fade, warranty.contract, discount, study.pack_energy_kwh, study.seed)
        pools[promise] = pool_of(claims, warranty.premium, float(fade["pack_weight"]))
    start, end = fade.isel(time=0), fade.sel(time=TERM, method="nearest")
    nameplate = start["capacity"] / start["soh"]
    return Scenario(
        kept.mean("pack").to_numpy(),
        float(np.abs(duty["pack_power"]).max()),
        1.0 - float(duty["unserved_power"].sum() / duty["load_power"].sum()),
        float((fade["outcome"] != Outcome.COMPLETED).mean()),
        float(fade["temperature_mean"].mean()),
        float((end["charge_throughput"] / (2.0 * nameplate)).mean()) / TERM,
        pools,
    )


def compared(scenarios: Mapping[str, Scenario], of_draws: np.ndarray, base: Study) -> pd.DataFrame:
    """Return each figure of each scenario, and its change against the first by pairs, with half-widths of intervals."""
    premium = base.warranty.premium
    levels = levels_of(premium)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        kept = np.stack([scenario.kept for scenario in scenarios.values()], axis=1)
        found = {"retention": weights @ kept / weights.sum(axis=1, keepdims=True)}
        for promise in CONTRACTS:
            quotes = [quote(scenario.pools[promise], premium, levels, weights) for scenario in scenarios.values()]
            found[f"loss_{promise}"] = np.stack([each.expected for each in quotes], axis=1)
            found[f"premium_{promise}"] = np.stack([each.gross for each in quotes], axis=1)
        return found | {f"more_{name}": values - values[:, :1] for name, values in found.items()}

    values = figures(np.ones((1, of_draws.size)))
    widths = half_widths(figures, of_draws, premium.confidence, base.seed)
    columns = {name: np.array([getattr(each, name) for each in scenarios.values()]) for name in SEEN}
    for name, value in values.items():
        columns |= {name: value[0], f"{name}_interval": widths[name]}
    return pd.DataFrame(columns, index=pd.Index(scenarios, name="scenario"))


def drawn(table: pd.DataFrame) -> None:
    """Draw the changes of retention and of the premium."""
    rows = table.drop(index=BASE)
    panels = {
        "more_retention": "Change of retention in ten years [1]",
        "more_premium_start": "Change of premium [USD/kWh]",
    }
    with style.printed():
        figure = style.page(4.2)
        axes = figure.subplots(1, 2, sharey=True)
        for here, (name, label) in zip(axes, panels.items(), strict=True):
            bars = rows[f"{name}_interval"]
            here.errorbar(rows[name], range(len(rows)), xerr=bars, fmt="o", color=style.BLUE, capsize=3)
            here.axvline(0.0, color=style.GREY, linewidth=0.6)
            for above in np.cumsum([len(group) for group in GROUPS])[:-1]:
                here.axhline(above - 0.5, color=style.GREY, linewidth=0.6)
            here.set_xlabel(label)
        axes[0].set_yticks(range(len(rows)), rows.index)
        axes[0].invert_yaxis()
        figure.savefig(OUT / "stress.png")


def main() -> None:
    """Run all scenarios."""
    OUT.mkdir(parents=True, exist_ok=True)
    scenarios = {}
    for name, changes in SCENARIOS.items():
        study, duty, fade = forecast(name, changes)
        scenarios[name] = claimed(study, duty, fade)
        if name == BASE:
            base, of_draws = study, clusters(fade)
    table = compared(scenarios, of_draws, base)
    table.to_csv(OUT / "stress.csv", float_format="%.4g")
    drawn(table)


if __name__ == "__main__":
    main()
