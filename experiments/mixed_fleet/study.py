"""What does a fleet of two chemistries cost beside one of each? Each ages by its own cell and rates; table and figure.

Run as `python experiments/mixed_fleet/study.py`; finished forecasts are kept in `results/mixed_fleet`, so a stopped one
goes on.
"""

import json
from pathlib import Path

import pandas as pd

from fadecast.calibration.makes import MAKES
from fadecast.document import read_document
from fadecast.figures import style
from fadecast.outcome import Outcome
from fadecast.pipeline import price_file, run_stages
from fadecast.runs import RunFolder, open_fade
from fadecast.study import check_pricing, check_study

ROOT = Path(__file__).parents[2]
RUNS, OUT = ROOT / "results" / "mixed_fleet", ROOT / "results" / "reported" / "mixed_fleet"
NEVADA = ROOT / "configs" / "nevada.yaml"
SMALL = ["packs=16", "draws=16", "economics=null", "duty.timestep_minutes=5", "decades.check_days=0"]
LAW = MAKES["lfp"].laws["solvent"].chemistry
IRON = {
    "parameter_set": LAW.parameter_set,
    "nameplate_voltage": LAW.nameplate_voltage,
    "parameters": dict(LAW.parameters),
}
KINDS = {
    "LG M50": ["population.classes=[{name: nmc_2ah}]", "population.own_seed=11"],
    "iron phosphate": [
        "population.classes=[{name: lfp_20ah}, {name: lfp_35ah}, {name: lfp_68ah}]",
        "population.own_seed=12",
        "population.rate_posterior=lfp",
        f"cell.chemistry={json.dumps(IRON)}",
    ],
}
FLEETS = {"LG M50": ("LG M50",), "iron phosphate": ("iron phosphate",), "half of each": tuple(KINDS)}
# By that of the study (0.85 after ten years) few packs claim.
CONTRACTS = {
    "start": ["warranty.contract.guarantee=[[0, 1.0], [10, 0.95]]"],
    "nameplate": ["warranty.contract.measure=soh", "warranty.contract.guarantee=[[0, 0.6], [10, 0.55]]"],
}


def forecast(kind: str) -> Path:
    """Forecast packs of a kind, unless that is done already; where their fade is."""
    study = check_study(read_document(NEVADA, [*SMALL, *KINDS[kind], f"name={kind.lower().replace(' ', '_')}"]))
    folder = RunFolder(RUNS / study.name)
    run_stages(study, folder, "forecast", lambda *_: None)
    print(kind, flush=True)
    return folder.path / "fade.nc"


def priced(fades: list[Path], terms: list[str]) -> tuple[float, float, float]:
    """Return expected loss, premium and the half-width of its interval [USD/kWh]."""
    price = price_file(check_pricing(read_document(NEVADA, [*SMALL, *terms])), fades, None)
    return tuple(float(price[name]) for name in ("expected_loss", "premium", "premium_interval"))


def main() -> None:
    """Forecast both kinds and price three fleets."""
    OUT.mkdir(parents=True, exist_ok=True)
    fades = {kind: forecast(kind) for kind in KINDS}
    rows = {}
    for fleet, kinds in FLEETS.items():
        row, parts = {}, [open_fade(fades[kind]) for kind in kinds]
        for name, value in (("start", 0), ("end", -1)):
            row[f"soh_{name}"] = float(sum(part["soh"].isel(time=value).median() for part in parts) / len(parts))
        failed = [part["outcome"].isin([each for each in Outcome if not each.end_of_life and each]) for part in parts]
        row["failed"] = int(sum(part.sum() for part in failed))
        for promise, terms in CONTRACTS.items():
            loss, premium, interval = priced([fades[kind] for kind in kinds], terms)
            row |= {f"loss_{promise}": loss, f"premium_{promise}": premium, f"interval_{promise}": interval}
        rows[fleet] = row
    table = pd.DataFrame(rows).T.rename_axis("fleet")
    table.to_csv(OUT / "mixed_fleet.csv", float_format="%.4g")
    with style.printed():
        figure = style.page(2.6)
        for axes, promise in zip(figure.subplots(1, 2), CONTRACTS, strict=True):
            bars = table[f"interval_{promise}"]
            axes.errorbar(
                range(len(table)), table[f"premium_{promise}"], yerr=bars, fmt="o", color=style.BLUE, capsize=3
            )
            axes.set_xticks(range(len(table)), table.index)
            axes.set_title(f"Guarantee of {promise}")
            axes.set_ylabel("Premium [USD/kWh]")
        figure.savefig(OUT / "mixed_fleet.png")


if __name__ == "__main__":
    main()
