"""Hold the state of the cell that ampworks ships against ampworks' own result: table and figure.

Run as `python experiments/ampworks_state/compare.py`; needs ampworks, nothing else. Both fit the same curves with the
same half cells; each result is judged by both: voltage error, and the objective that ampworks minimises.
"""

import warnings
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from ampworks.dqdv import DqdvFitter

from fadecast.calibrating import calibrate, check_calibration
from fadecast.document import read_document
from fadecast.pipeline import use_compilation_cache

ROOT = Path(__file__).parents[2]
OUT = ROOT / "results" / "reported" / "ampworks_state"
CURVES = {"fresh": "cell1", "aged": "cell2"}
GRID = 11
MODES = ("lli", "lam_ne", "lam_pe")


def table(name: str) -> pd.DataFrame:
    """Read a curve that ampworks ships, as its fitter takes it."""
    frame = pd.read_csv(str(files("ampworks") / "datasets" / "resources" / "dqdv" / f"{name}.csv"))
    charge = frame["Ah"].abs()
    return frame.assign(Ah=charge, SOC=(charge - charge.min()) / (charge.max() - charge.min()))


def ours(kind: str) -> dict[str, np.ndarray]:
    """Return stoichiometry windows and polarisation in ampworks' order, most probable, and the losses."""
    folder = "package:ampworks/datasets/resources/dqdv"
    changes = [f"curves.{n}.file={folder}/{cell}_{kind}.csv" for n, cell in enumerate(CURVES.values())]
    document = read_document(ROOT / "configs" / "calibrate_ampworks.yaml", changes)
    found = calibrate(check_calibration(document), document)
    best, places = found.fit.best, {}
    for number, curve in enumerate(CURVES):
        passed = np.ptp(found.curves[curve].charge)
        x, y = (float(getattr(best, name)[number]) for name in ("x_middle", "y_middle"))
        wide = [
            0.5 * passed / float(getattr(best, name)[number]) for name in ("negative_capacity", "positive_capacity")
        ]
        # Positive stoichiometry is counted from the other end there.
        window = [x - wide[0], x + wide[0], 1.0 - y - wide[1], 1.0 - y + wide[1]]
        places[curve] = np.array([*window, float(best.polarisation[number])])
    aged = found.groups["posterior"].sel(curve="aged")
    places["losses"] = np.array([float(aged[f"{mode}_since"].mean()) for mode in MODES])
    return places


def theirs(fitter: DqdvFitter) -> np.ndarray:
    """Return what ampworks finds from its own grid search."""
    return np.asarray(fitter.constrained_fit(fitter.grid_search(GRID)["x"]).x)


def losses(fresh: np.ndarray, aged: np.ndarray, capacity: tuple[float, float]) -> np.ndarray:
    """Return LLI, LAM of the negative and of the positive electrode, as ampworks defines them."""
    negative, positive, inventory = [], [], []
    for place, passed in zip((fresh, aged), capacity, strict=True):
        negative.append(passed / (place[1] - place[0]))
        positive.append(passed / (place[3] - place[2]))
        inventory.append(place[0] * negative[-1] + (1.0 - place[2]) * positive[-1])
    return np.array([1.0 - pair[1] / pair[0] for pair in (inventory, negative, positive)])


def judged(fitter: DqdvFitter, place: np.ndarray) -> tuple[float, float]:
    """Return the voltage error [mV] and ampworks' objective of a place."""
    terms = fitter.err_terms(place.copy())
    soc = np.linspace(0.0, 1.0, 201)
    window = fitter.get_ocv("pos", place[2] + (place[3] - place[2]) * soc)
    window = window - fitter.get_ocv("neg", place[0] + (place[1] - place[0]) * soc)
    drop = place[4] if len(place) > 4 else 0.0
    residual = window - drop - fitter.get_ocv("cell", soc)
    names = {"voltage": "volt_err", "dqdv": "dqdv_err", "dvdq": "dvdq_err"}
    objective = sum(0.01 * terms[names[term]] for term in fitter.cost_terms)
    return 1e3 * float(np.sqrt(np.mean(residual**2))), float(objective)


def main() -> None:
    """Compare both on rough and smooth curves."""
    warnings.simplefilter("ignore")
    use_compilation_cache()
    OUT.mkdir(parents=True, exist_ok=True)
    negative, positive = table("gr_smooth"), table("nmc_smooth")
    rows = []
    for kind in ("rough", "smooth"):
        mine = ours(kind)
        for terms in ("all", "voltage"):
            fitters = {c: DqdvFitter(negative, positive, table(f"{name}_{kind}"), terms) for c, name in CURVES.items()}
            capacity = tuple(float(table(f"{name}_{kind}")["Ah"].max()) for name in CURVES.values())
            found = {curve: theirs(fitter) for curve, fitter in fitters.items()}
            for who, places, lost in (
                ("ampworks", found, losses(found["fresh"], found["aged"], capacity)),
                ("fadecast", mine, mine["losses"]),
            ):
                row = {"curves": kind, "cost_terms": terms, "by": who, **dict(zip(MODES, lost, strict=True))}
                for curve, fitter in fitters.items():
                    row[f"{curve}_rmse_mV"], row[f"{curve}_objective"] = judged(fitter, places[curve])
                rows.append(row)
    result = pd.DataFrame(rows)
    result.to_csv(OUT / "comparison.csv", index=False, float_format="%.4g")
    print(result.to_string(index=False, float_format="%.4g"))


if __name__ == "__main__":
    main()
