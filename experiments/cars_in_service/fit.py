"""Fit what cars in service say of packs that will retire: statistics for the population, and a figure."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.figures import style
from fadecast.measured import cars
from fadecast.package_data import write_table

ROOT = Path(__file__).parents[2]
PACKAGE_DATA = ROOT / "src" / "fadecast" / "data"
OUT = ROOT / "results" / "reported" / "cars_in_service"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PACKAGE_DATA, help="folder of the JSON file")
    out = parser.parse_args().out
    told, offered = cars.survey(), cars.offers()
    table = cars.summary(told, offered)
    write_table(out / "cars_in_service.json", table, digits=6)
    law, mileage = cars.fade_law(told), table["mileage"]
    print(f"law: {law.loss:.4f} * years ** {law.exponent:.3f}, scatter {law.scatter:.4f}, {len(told)} cars")
    print(f"10,000 km: {mileage['loss_per_10000_km']:.5f} +- {mileage['standard_error']:.5f}")
    print("spread at one age and mileage:", {years: round(sd, 4) for years, sd in table["spread"].items()})
    columns = ["share", "cells", "median_of_all", "below_80"]
    print(pd.DataFrame(table["candidates"]).T[columns].to_string())
    draw(told, offered, law)


def draw(told: pd.DataFrame, offered: pd.DataFrame, law: cars.FadeLaw) -> None:
    """Draw loss over age, the spread of packs, and SOH at retirement by assumption."""
    OUT.mkdir(parents=True, exist_ok=True)
    deviation = cars.deviations(offered)
    with style.printed():
        figure = style.page(2.9)
        left, middle, right = figure.subplots(1, 3)
        left.scatter(told["years"], 1e2 * told["loss"], s=3, color=style.GREY, linewidths=0)
        years = np.linspace(0.0, 6.0, 100)
        left.plot(years, 1e2 * law.at(years), color=style.BLUE)
        left.set(title="Survey, Model 3 SR", xlabel="Age [year]", ylabel="Capacity lost [%]")
        edges = np.linspace(-0.2, 0.1, 61)
        for color, (age, group) in zip(style.SERIES, deviation.groupby(offered["years"]), strict=False):
            middle.hist(1e2 * group, 1e2 * edges, density=True, histtype="step", color=color, label=f"{age:g} years")
        middle.set(title="Offers, Model 3 LR", xlabel="Off packs of their age and mileage [%]", ylabel="Density [1/%]")
        middle.legend(loc="upper left")
        for color, (name, doublings) in zip(style.SERIES, cars.SURVIVORSHIP.items(), strict=False):
            soh, weight = cars.soh_at_retirement(law, offered, deviation, doublings)
            right.hist(
                soh,
                np.linspace(0.6, 1.0, 81),
                weights=weight,
                cumulative=True,
                histtype="step",
                color=color,
                label=name,
            )
        right.axvspan(0.6, 0.8, color=style.SKY, alpha=style.BAND_90, linewidth=0)
        right.set(title="When their cars retire", xlabel="SOH [1]", ylabel="Share of packs below [1]", xlim=(0.6, 1.0))
        right.legend(title="Survivorship", loc="upper left")
        figure.savefig(OUT / "cars_in_service.png")


if __name__ == "__main__":
    main()
