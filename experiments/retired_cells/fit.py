"""Fit what the population is sampled from: statistics of retired cells, and LG M50T degradation modes."""

import argparse
import json
from pathlib import Path

from fadecast.measured import lgm50, retired
from fadecast.package_data import write_table

PACKAGE_DATA = Path(__file__).parents[2] / "src" / "fadecast" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PACKAGE_DATA, help="folder of the two JSON files")
    out = parser.parse_args().out
    tables = {
        "retired_cells": retired.summary(retired.retired_cells()),
        "lgm50_degradation_modes": lgm50.summary(lgm50.lgm50_cycling(), lgm50.lgm50_resistance()),
    }
    for name, table in tables.items():
        write_table(out / f"{name}.json", table, digits=6)
    for name, entry in tables["retired_cells"]["classes"].items():
        for group in ("all", "candidates"):
            spread = entry[group]
            if spread is not None:
                print(
                    f"{name:9} {group:10} n {spread['cells']:3d}  median SOH {spread['soh'][10]:.3f}  "
                    f"resistance {1e3 * spread['resistance_median_ohm']:.2f} mohm, "
                    f"log-sd {spread['resistance_log_sd']:.3f}  rank corr. {spread['rank_correlation']:+.2f}"
                )
    print(json.dumps(tables["lgm50_degradation_modes"], indent=1))


if __name__ == "__main__":
    main()
