"""Do check-ups age stored cells? Least squares of the loss on roots of time and of the number of check-ups."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.measured import lgm50

OUT = Path(__file__).parents[2] / "results" / "reported" / "check_ups"
CHARGES = {"0 to 10 %": (0.0, 0.1), "30 to 60 %": (0.3, 0.6), "70 to 100 %": (0.7, 1.0)}
LAWS = {
    "root of time": (lambda days, number: np.sqrt(days),),
    "time": (lambda days, number: days,),
    "root of number": (lambda days, number: np.sqrt(number),),
    "root of time, time": (lambda days, number: np.sqrt(days), lambda days, number: days),
    "root of time, number": (lambda days, number: np.sqrt(days), lambda days, number: number),
    "root of time, root of number": (lambda days, number: np.sqrt(days), lambda days, number: np.sqrt(number)),
}


def regressed(series: list[pd.DataFrame]) -> dict[str, float]:
    """Each series has its own start and its own coefficients; residual and mean last coefficient in points."""
    days, loss, number, which = [], [], [], []
    for n, data in enumerate(series):
        days.append(data["days"].to_numpy()[1:])
        loss.append(100.0 * (1.0 - data["capacity"].to_numpy()[1:] / data["capacity"].iloc[0]))
        number.append(np.arange(1.0, len(data)))
        which.append(np.full(len(data) - 1, n))
    times, lost, numbers = (np.concatenate(part) for part in (days, loss, number))
    own = np.eye(len(series))[np.concatenate(which)]
    found = {}
    for name, terms in LAWS.items():
        design = np.column_stack([own, *(own * term(times, numbers)[:, None] for term in terms)])
        best, *_ = np.linalg.lstsq(design, lost, rcond=None)
        found[f"{name} [pp]"] = float((lost - design @ best).std())
    return found | {"each root of number [pp]": float(best[-len(series) :].mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    table, rows = lgm50.lgm50_calendar().dropna(), []
    for temperature, data in table.groupby("temperature"):
        for label, (low, high) in CHARGES.items():
            series = [part for soc, part in data.groupby("soc") if low <= float(soc) <= high]
            rows.append(
                {"temperature [degC]": temperature, "charge": label, "series": len(series), **regressed(series)}
            )
    found = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    found.to_csv(out / "residuals.csv", index=False, float_format="%.3f", lineterminator="\n")
    print(found.round(3).T.to_string())


if __name__ == "__main__":
    main()
