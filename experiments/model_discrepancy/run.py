"""Run DFN, SPMe and SPM on two loads at nine conditions; writes table, figure and package data. Resumes."""

import argparse
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pybamm

from fadecast.cell.discrepancy import TOLERANCE, Run, Setup, options, simulate, swing
from fadecast.cell.discrepancy_table import FLOOR, compare, package_table
from fadecast.duty.workload import Measured, Workload, draw_it_power
from fadecast.figures import style
from fadecast.figures.discrepancy import discrepancy_map
from fadecast.package_data import write_table

ROOT = Path(__file__).parents[2]
C_RATES, TEMPERATURES = (0.2, 1.0, 2.0), (0.0, 25.0, 45.0)
NOMINAL = 5.0
# From 18:00 of the third drawn day: a window whose swing reaches its peak, nearly, in both directions.
FIRST_MINUTE, MINUTES, WINDOW = 90 * 60, 120, 60


def ai_swing() -> np.ndarray:
    power = draw_it_power(np.random.default_rng(1), Workload(), Measured.load(), 1)
    return swing(power[FIRST_MINUTE : FIRST_MINUTE + MINUTES + WINDOW], MINUTES, WINDOW)


def once(folder: Path, name: str, model: str, current: float | np.ndarray, temperature: float, setup: Setup) -> Run:
    """Simulate, or read what an earlier call left; an archive appears whole or not at all."""
    path = folder / f"{name}.npz"
    if not path.exists():
        start = perf_counter()
        run = simulate(model, current, 1.0 if isinstance(current, float) else 0.5, temperature, setup)
        run.save(path.with_name("part.npz"))
        path.with_name("part.npz").rename(path)
        print(f"{name}: {run.end}, {perf_counter() - start:.0f} s", flush=True)
    return Run.load(path)


def all_conditions(folder: Path) -> pd.DataFrame:
    shape, frames = ai_swing(), []
    for load in ("discharge", "swing"):
        for c_rate in C_RATES:
            current = NOMINAL * c_rate * (shape if load == "swing" else 1.0)
            for temperature in TEMPERATURES:
                end = f"{c_rate:g}C_{temperature:g}degC"
                runs = {
                    model: once(folder, f"{load}_{model}_{end}", model, current, temperature, Setup())
                    for model in TOLERANCE
                }
                dfn = runs.pop("DFN")
                for model, run in runs.items():
                    key = {"load": load, "c_rate": c_rate, "temperature_degC": temperature, "model": model}
                    frames.append(compare(dfn, run).assign(**key))
    columns = ["load", "c_rate", "temperature_degC", "model", "quantity", "unit"]
    columns += ["value_dfn", "value_model", "difference", "relative", "note"]
    return pd.concat(frames)[columns]


def checks(folder: Path) -> pd.DataFrame:
    """Return how far each model at 1C and 25 degC moves with mesh and tolerance, and is from DFN without heat."""
    base, isothermal = Setup(), Setup(thermal="isothermal")
    finer = {"x 40": Setup(x=40), "r 40": Setup(r=40), "tolerance / 10": Setup(tolerance_factor=0.1)}
    frames = []
    for load, current in (("discharge", NOMINAL), ("swing", NOMINAL * ai_swing()[:30])):
        run = partial(check, folder, load, current)
        for model in TOLERANCE:
            pairs = {f"{what} over default": (run(model, base), run(model, setup)) for what, setup in finer.items()}
            pairs["isothermal over DFN"] = (run("DFN", isothermal), run(model, isothermal))
            for what, pair in pairs.items():
                relative = compare(*pair).set_index("quantity")["relative"].dropna()
                frames.append({"load": load, "model": model, "what": what, **relative})
    return pd.DataFrame(frames)


def check(folder: Path, load: str, current: float | np.ndarray, model: str, setup: Setup) -> Run:
    name = f"check_{load}_{model}_x{setup.x}_r{setup.r}"
    name += f"_{setup.thermal}" * (setup.thermal != "lumped") + "_tight" * (setup.tolerance_factor < 1)
    return once(folder, name, model, current, 25.0, setup)


def about() -> dict[str, object]:
    setup = Setup()
    return {
        "what": "SPM and SPMe less DFN over DFN (voltage in mV), by C-rate and temperature; null is below the floor",
        "sources": ["PyBaMM, doi:10.5334/jors.309", "OKane2022, doi:10.1039/D2CP00417H"],
        "versions": {"pybamm": pybamm.__version__},
        "parameter_set": "OKane2022",
        "mesh": {"x_n, x_s, x_p": setup.x, "r_n, r_p": setup.r},
        "tolerance": dict(TOLERANCE),
        "options": {model: options(model) for model in TOLERANCE},
        "floor": FLOOR,
        "loads": {
            "swing": f"{MINUTES} min of AI load less its hourly moving mean, peak at the C-rate, from half charge",
            "discharge": "constant current from full charge to the lower voltage limit, then 1 h of rest",
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "results" / "model_discrepancy", help="finished runs")
    parser.add_argument(
        "--checks", action="store_true", help="check mesh, tolerance and heat at 1C and 25 degC instead"
    )
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    reported = ROOT / "results" / "reported" / "model_discrepancy"
    reported.mkdir(parents=True, exist_ok=True)
    if arguments.checks:
        table = checks(arguments.runs)
        table.to_csv(reported / "checks.csv", index=False, float_format="%.1e")
        print(table.to_string(float_format="{:.1e}".format))
        return
    frame = all_conditions(arguments.runs)
    frame.to_csv(reported / "discrepancy.csv", index=False, float_format="%.5g")
    write_table(ROOT / "src" / "fadecast" / "data" / "model_discrepancy.json", package_table(frame, about()))
    with style.printed():
        discrepancy_map(frame).savefig(reported / "discrepancy.png")


if __name__ == "__main__":
    main()
