"""What does a guarantee of a fleet of several chemistries cost? Each forecast by its own cell, priced together; table.

Run as `python experiments/mixed_fleet/run.py`; runs that are done are kept in `results/mixed_fleet`.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.document import read_document
from fadecast.files import open_netcdf
from fadecast.pipeline import run_stages
from fadecast.population.evidence import single_fits
from fadecast.runs import RunFolder
from fadecast.study import check_study
from fadecast.warranty import price
from fadecast.warranty.portfolio import joined

ROOT = Path(__file__).parents[2]
RUNS, OUT = ROOT / "results" / "mixed_fleet", ROOT / "results" / "reported" / "mixed_fleet"
DEMO = ROOT / "configs" / "demo.yaml"
DRAWS = 16
COMMON = [
    f"draws={DRAWS}",
    "population.rate_posterior=null",
    f"population.rates={json.dumps([asdict(rate) for rate in single_fits()])}",
]
"""Rates that were fitted to one chemistry, with their spread, for all: of others there are none."""
FLEETS = {
    "NMC": ("OKane2022", 3.63, 0.0336, ["nmc_2ah"]),
    "LFP": ("Prada2013", 3.3, 0.0336 * 5.0 / 2.3, ["lfp_20ah", "lfp_35ah", "lfp_68ah"]),
}
"""PyBaMM parameter set, nameplate voltage [V], resistance of a cell [ohm], that of the LG M50 by capacity, and classes
of packs."""


def main() -> None:
    """Run all studies, price each alone and all together."""
    OUT.mkdir(parents=True, exist_ok=True)
    fades = {}
    for number, (name, (parameter_set, voltage, resistance, classes)) in enumerate(FLEETS.items(), start=1):
        settings = [
            *COMMON,
            f"name=mixed_{name}",
            f"population.own_seed={number}",
            f"cell.chemistry.parameter_set={parameter_set}",
            f"cell.chemistry.nameplate_voltage={voltage}",
            f"population.reference_resistance={resistance}",
            f"population.classes=[{', '.join(f'{{name: {each}}}' for each in classes)}]",
        ]
        study = check_study(read_document(DEMO, settings))
        folder = RunFolder(RUNS / study.name)
        run_stages(study, folder, "forecast", lambda *_: None)
        fades[name] = open_netcdf(folder.path / "fade.nc")
        print(name, flush=True)
    asked = study.warranty.contract, study.warranty.premium, study.pack_energy_kwh, study.seed
    rows = {name: row_of(fade, asked) for name, fade in fades.items()}
    rows["together"] = row_of(joined(list(fades.values())), asked)
    table = pd.DataFrame(rows).T.rename_axis("fleet")
    table.to_csv(OUT / "mixed_fleet.csv", float_format="%.4g")
    print(table.to_string())


def row_of(fade, asked) -> dict[str, float]:
    """Return what a fleet keeps, and what its guarantee costs [USD/kWh]."""
    priced = price(fade, *asked)
    loss = (priced["loss"].sum("pack") / priced["base_energy"].sum("pack")).to_numpy()
    last = fade["retention"].isel(time=-1).to_numpy()
    return {
        "packs": fade.sizes["pack"],
        "soh_at_start": float(fade["soh"].isel(time=0).mean()),
        "retention_p50": float(np.nanmedian(last)),
        "retention_p05": float(np.nanquantile(last, 0.05)),
        "expected_loss": float(priced["expected_loss"]),
        "loss_sd_over_draws": float(loss.std(ddof=1)),
        "premium": float(priced["premium"]),
        "interval": float(priced["premium_interval"]),
    }


if __name__ == "__main__":
    main()
