"""What does it cost not to know which ageing law holds? Packs under each fitted law, and under all by weight.

Run as `python experiments/ageing_laws/study.py`; finished forecasts are kept in `results/ageing_laws`, so a stopped one
goes on.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from fadecast.calibration.makes import MAKES
from fadecast.calibration.shipped_rates import weights
from fadecast.document import read_document
from fadecast.figures import style
from fadecast.outcome import Outcome
from fadecast.pipeline import run_stages
from fadecast.runs import RunFolder, open_fade
from fadecast.study import Study, check_study
from fadecast.warranty import price
from fadecast.warranty.portfolio import mixed

ROOT = Path(__file__).parents[2]
RUNS, OUT = ROOT / "results" / "ageing_laws", ROOT / "results" / "reported" / "ageing_laws"
NEVADA = ROOT / "configs" / "nevada.yaml"
SMALL = ["packs=8", "draws=32", "economics=null", "duty.timestep_minutes=5", "decades.check_days=0"]
TERM = 10.0
EQUAL, WEIGHED = "all, each as often", "all, by weight"
# By that of the study (0.85 after ten years) few packs claim. The second is of nameplate.
CONTRACTS = {
    "start": ["warranty.contract.guarantee=[[0, 1.0], [10, 0.95]]"],
    "nameplate": ["warranty.contract.measure=soh", "warranty.contract.guarantee=[[0, 0.6], [10, 0.55]]"],
}


def forecast(name: str) -> tuple[Study, xr.Dataset]:
    """Forecast packs that age by a law, unless that is done already; their study and fade."""
    chemistry = MAKES["lgm50"].laws[name].chemistry
    loss = json.dumps(chemistry.loss_of_active_material)
    changes = [
        f"cell.chemistry.sei={chemistry.sei}",
        f"cell.chemistry.loss_of_active_material={loss}",
        f"name={name}",
    ]
    study = check_study(read_document(NEVADA, [*SMALL, *changes]))
    folder = RunFolder(RUNS / study.name)
    run_stages(study, folder, "forecast", lambda *_: None)
    print(name, flush=True)
    return study, open_fade(folder.path / "fade.nc")


def priced(fade: xr.Dataset, promise: str) -> dict[str, float]:
    """Return what a contract costs [USD/kWh]."""
    study = check_study(read_document(NEVADA, [*SMALL, *CONTRACTS[promise]]))
    terms = study.warranty.contract, study.warranty.premium
    found = price(fade, *terms, pack_energy_kwh=study.pack_energy_kwh, seed=study.seed)
    names = "expected_loss", "premium", "premium_interval", "systematic_standard_deviation"
    return {f"{name}_{promise}": float(found[name]) for name in names}


def row(fade: xr.Dataset) -> dict[str, float]:
    """Return retention of packs after the term, over draws, and prices; at the end of its life a pack keeps nothing."""
    ended = fade["outcome"].isin([outcome for outcome in Outcome if outcome.end_of_life])
    kept = fade["retention"].sel(time=TERM, method="nearest").where(~ended, 0.0).mean("pack").to_numpy()
    low, middle, high = np.quantile(kept, (0.05, 0.5, 0.95))
    failed = int((~ended & (fade["outcome"] != Outcome.COMPLETED)).sum())
    found = {"retention": middle, "retention_p05": low, "retention_p95": high, "ended": int(ended.sum())}
    return found | {"failed": failed} | priced(fade, "start") | priced(fade, "nameplate")


def drawn(table: pd.DataFrame) -> None:
    """Draw retention and premiums under each law and under all."""
    with style.printed():
        figure = style.page(2.4)
        retention, premium = figure.subplots(1, 2, sharey=True)
        at = np.arange(len(table))
        reach = np.abs(table[["retention_p05", "retention_p95"]].to_numpy().T - table["retention"].to_numpy())
        retention.errorbar(table["retention"], at, xerr=reach, fmt="o", color=style.BLUE, capsize=3)
        retention.set_xlabel("Retention after ten years [1]")
        bars = table["premium_interval_start"]
        premium.errorbar(table["premium_start"], at, xerr=bars, fmt="o", color=style.BLUE, capsize=3)
        premium.set_xlabel("Premium [USD/kWh]")
        retention.set_yticks(at, table.index)
        retention.invert_yaxis()
        figure.savefig(OUT / "ageing_laws.png")


def main() -> None:
    """Forecast and price packs under each law, and under all."""
    OUT.mkdir(parents=True, exist_ok=True)
    likely = weights("lgm50")
    studies, fades = zip(*map(forecast, likely), strict=True)
    rows = {name: {"weight": likely[name], **row(fade)} for name, fade in zip(likely, fades, strict=True)}
    for name, counts in ((EQUAL, [1.0] * len(fades)), (WEIGHED, list(likely.values()))):
        rows[name] = row(mixed(fades, counts, studies[0].seed))
    table = pd.DataFrame(rows).T.rename_axis("law")
    table.to_csv(OUT / "ageing_laws.csv", float_format="%.4g")
    drawn(table)


if __name__ == "__main__":
    main()
