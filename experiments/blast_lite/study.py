"""Hold forecasts of blast-lite and of fadecast against the same measured cells: tables and figure.

`python experiments/blast_lite/study.py protocols PROTOCOLS` writes what was done to the cells, for `forecast.py`;
`python experiments/blast_lite/study.py compare FORECASTS` reads what that wrote. Both need the measured files.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fadecast.calibration.makes import MAKES
from fadecast.calibration.shipped_rates import NEAR
from fadecast.figures import style
from fadecast.scored_cells import Case, cases_of

REPORTED = Path(__file__).parents[2] / "results" / "reported"
OUT = REPORTED / "blast_lite"
SETS = MAKES["lgm50"].sets
OURS, BASELINE = "fadecast", "root of time"
SAW_STORAGE, NEAREST = "Nmc811_GrSi_LGM50_5Ah_Battery", "Nmc811_GrSi_LGMJ1_4Ah_Battery"
"""The model that was fitted to LG M50 cells, and the nearest by chemistry that was not."""


def cases() -> list[Case]:
    """Return all cells that `fadecast score configs/score_lgm50.yaml` scores."""
    return [case for name in SETS for case in cases_of(name)]


def protocol(case: Case) -> dict[str, Any]:
    """Return a repeat as corners of charge over time [hour], with temperature [degC] and check-ups [day]."""
    hours, soc = [0.0], [case.start_soc]
    for step in case.steps:
        if step.rest:
            hours.append(hours[-1] + step.hours)
            soc.append(soc[-1])
        else:
            hours.append(hours[-1] + abs(step.until_soc - soc[-1]) / abs(step.c_rate))
            soc.append(step.until_soc)
    where = {"cell": case.name, "celsius": case.ambient, "days": case.days.tolist()}
    return {**where, "hours": np.round(hours, 9).tolist(), "soc": soc}


def errors_of(forecasts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the errors of all forecasters by cell, and by check-up [pp]."""
    ours = pd.read_csv(REPORTED / "score_lgm50" / "forecast.csv").rename(columns={"retention_p50": "retention"})
    every = pd.concat([ours.assign(model=OURS, outside=ours["extrapolates"]), forecasts], ignore_index=True)
    known, rows, check_ups = cases(), [], []
    for name, of_model in every.groupby("model", sort=False):
        parts = dict(iter(of_model.groupby("cell")))
        lost = {cell: 1.0 - part["retention"].to_numpy() for cell, part in parts.items()}
        for case in known:
            assert case.measured is not None
            part, loss = parts[case.name], lost[case.name]
            if not np.allclose(part["days"], case.days, atol=0.01):
                raise SystemExit(f"{name}: {case.name}: was forecast at other days than it was measured")
            measured = 1.0 - case.measured
            error = 100.0 * (measured - loss)
            row = {"forecaster": name, "cell": case.name, "set": case.group, "error_pp": error[-1]}
            row["check_ups_median_abs_error_pp"] = np.median(np.abs(error[1:]))
            scaled = factor(case, known, lost) * loss[-1] if name != OURS else np.nan
            row["rescaled_error_pp"] = 100.0 * (measured[-1] - scaled)
            rows.append({**row, "outside": part["outside"].fillna("").iloc[0]})
            check_ups.append(pd.DataFrame({"forecaster": name, "set": case.group, "error": error[1:]}))
    return pd.DataFrame(rows).sort_values("forecaster", key=_order, kind="stable"), pd.concat(check_ups)


def factor(case: Case, known: list[Case], lost: dict[str, np.ndarray]) -> float:
    """Return by what a model's loss is to be multiplied for other cells: those that the root of time is told of.

    Those are stored cells at the same temperature, and cycled ones at others; the median of their least squares.
    """
    others = [o for o in known if o.group == case.group and o.name != case.name]
    others = [o for o in others if (abs(o.ambient - case.ambient) <= NEAR) == (case.group == SETS[0])]
    found = []
    for other in others:
        assert other.measured is not None
        loss = lost[other.name]
        if (squares := float(loss @ loss)) > 0.0:  # a model may say that a cell loses nothing
            found.append(float(loss @ (1.0 - other.measured)) / squares)
    return float(np.median(found))


def _order(names: pd.Series) -> pd.Series:
    first = [OURS, SAW_STORAGE, NEAREST]
    return names.map(lambda name: f"{first.index(name)}" if name in first else name)


def with_baseline(errors: pd.DataFrame) -> pd.DataFrame:
    """Add the root of time that the score has for comparison, of which only the end is known."""
    scores = pd.read_csv(REPORTED / "score_lgm50" / "scores.csv")
    known = scores[["cell", "set"]].assign(forecaster=BASELINE, error_pp=scores["root_of_time_error_pp"], outside="")
    return pd.concat([errors, known], ignore_index=True)


def summary(errors: pd.DataFrame, check_ups: pd.DataFrame) -> pd.DataFrame:
    """Return by forecaster and set how far off it is, and in how many cells fadecast is nearer."""
    ours = errors[errors["forecaster"] == OURS].set_index("cell")["error_pp"].abs()
    rows = []
    for (name, group), part in errors.groupby(["forecaster", "set"], sort=False):
        sizes = part.set_index("cell")[["error_pp", "rescaled_error_pp"]].abs()
        size, rescaled = sizes["error_pp"], sizes["rescaled_error_pp"]
        every = check_ups[(check_ups["forecaster"] == name) & (check_ups["set"] == group)]["error"].abs()
        row = {
            "forecaster": name,
            "set": group,
            "cells": len(part),
            "median_abs_error_pp": size.median(),
            "largest_abs_error_pp": size.max(),
            "median_error_pp": part["error_pp"].median(),
            "check_ups_median_abs_error_pp": every.median(),
            "rescaled_median_abs_error_pp": rescaled.median(),
            "outside_range": int((part["outside"] != "").sum()),
        }
        if name != OURS:
            row["fadecast_nearer"] = int((ours[size.index] < size).sum())
        if rescaled.notna().all():
            row["fadecast_nearer_than_rescaled"] = int((ours[size.index] < rescaled).sum())
        rows.append(row)
    return pd.DataFrame(rows).astype(dict.fromkeys(("fadecast_nearer", "fadecast_nearer_than_rescaled"), "Int64"))


def drawn(errors: pd.DataFrame) -> Figure:
    """Return the errors of all cells at their last check-up, a line for each forecaster."""
    figure = style.page(3.6)
    panels = figure.subplots(1, len(SETS), sharey=True)
    names = list(errors["forecaster"].unique())
    for axes, group, title in zip(panels, SETS, ("36 stored", "6 cycled"), strict=True):
        for row, name in enumerate(names):
            error = errors[(errors["forecaster"] == name) & (errors["set"] == group)]["error_pp"]
            color = style.VERMILLION if name == OURS else style.BLUE
            axes.plot(error, np.full(len(error), row), "o", color=color, markersize=4, alpha=0.45, markeredgewidth=0)
            axes.plot(error.median(), row, "|", color=style.BLACK, markersize=11)
        axes.axvline(0.0, color=style.GREY, linewidth=0.8)
        axes.set_title(title)
        axes.set_xlabel("Forecast less measured at the end [pp]")
    panels[0].set_yticks(range(len(names)), [name.removesuffix("_Battery").replace("_", " ") for name in names])
    panels[0].invert_yaxis()
    return figure


def compare(forecasts: Path) -> None:
    """Write the tables and the figure, and print the summary."""
    errors, check_ups = errors_of(pd.read_csv(forecasts))
    errors = with_baseline(errors)
    found = summary(errors, check_ups)
    OUT.mkdir(parents=True, exist_ok=True)
    errors.to_csv(OUT / "errors.csv", index=False, float_format="%.4g", lineterminator="\n")
    found.to_csv(OUT / "summary.csv", index=False, float_format="%.3g", lineterminator="\n")
    with style.printed():
        drawn(errors).savefig(OUT / "errors.png")
    print(found.to_string(index=False, float_format="%.2f"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("protocols", "compare"))
    parser.add_argument("file", type=Path, help="protocols to write, or forecasts to read")
    given = parser.parse_args()
    if given.part == "compare":
        compare(given.file)
        return
    given.file.parent.mkdir(parents=True, exist_ok=True)
    given.file.write_text(json.dumps([protocol(case) for case in cases()]))


if __name__ == "__main__":
    main()
