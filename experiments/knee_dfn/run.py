"""Follow cells through a knee with SPM, SPMe and DFN, and with the lowered SPMe; writes table and figure.

Run as `python experiments/knee_dfn/run.py`; finished runs are kept in `results/knee_dfn`, so a stopped one goes on. The
negative electrode is lost until it is the smaller one; from then on each charge plates lithium.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pybamm

from fadecast.cell.control import Held
from fadecast.cell.model import AMBIENT, CURRENT, POROSITY, Chemistry, arrhenius_lam, build_cell, parameter_values
from fadecast.cell.protocol import Instruction, rest, run_protocol
from fadecast.figures import style

ROOT = Path(__file__).parents[2]
RUNS, OUT = ROOT / "results" / "knee_dfn", ROOT / "results" / "reported" / "knee_dfn"
MODELS = ("SPM", "SPMe", "DFN")
CELSIUS = (10.0, 25.0)
CYCLES, POINTS, TOLERANCE = 110, 20, 1e-7
COARSE = 10  # radial points of a forecast by default
LAM = "Negative electrode LAM constant proportional term [s-1]"
FASTER = {10.0: 150.0, 25.0: 500.0}
"""Loss of negative active material over that of the set, for a knee among the cycles."""
START = "Initial concentration in {} electrode [mol.m-3]"
AMPERES, HOLD, REST = 2.5, 0.25, 1800.0


def chemistry(model: str, celsius: float, points: int = POINTS) -> Chemistry:
    """Return the default chemistry of a forecast, by this model and radial mesh, of an empty cell."""
    kelvin = celsius + 273.15
    values = pybamm.ParameterValues("OKane2022")
    values.set_initial_state(0.0)
    changed = {START.format(side): float(values[START.format(side)]) for side in ("negative", "positive")}
    changed |= {LAM: FASTER[celsius] * values[LAM], "Initial temperature [K]": kelvin}
    return Chemistry(model=model, parameters=changed, particle_points=points)


def held(low: float, high: float) -> tuple[pybamm.step.BaseStep, ...]:
    """Return a cycle of the laboratory."""
    return (
        pybamm.step.current(-AMPERES, termination=f"{high} V", duration=1e5),
        pybamm.step.voltage(high, termination=f"{HOLD} A", duration=1e5),
        pybamm.step.rest(REST),
        pybamm.step.current(AMPERES, termination=f"{low} V", duration=1e5),
        pybamm.step.rest(REST),
    )


def by_pybamm(
    model: str,
    celsius: float,
    settings: Chemistry,
    cycle_of: Callable[[float, float], tuple[pybamm.step.BaseStep, ...]] = held,
    cycles: int = CYCLES,
) -> pd.DataFrame:
    """Cycle with PyBaMM, until it stops by itself."""
    values = parameter_values(settings.parameter_set)
    values.update(dict(settings.parameters))
    arrhenius_lam(values, pybamm.ParameterValues(dict(values)))
    values.update({AMBIENT: celsius + 273.15})
    cycle = cycle_of(values["Lower voltage cut-off [V]"], values["Upper voltage cut-off [V]"])
    simulation = pybamm.Simulation(
        getattr(pybamm.lithium_ion, model)(settings.options),
        parameter_values=values,
        experiment=pybamm.Experiment([cycle] * cycles, period="10 minutes"),
        solver=pybamm.IDAKLUSolver(rtol=TOLERANCE, atol=TOLERANCE),
        var_pts=dict.fromkeys(("x_n", "x_s", "x_p", "r_n", "r_p"), POINTS),
    )
    rows = []
    for done in simulation.solve().cycles:
        if done is None or len(done.steps) < len(cycle) or None in done.steps:
            break
        charge = done["Discharge capacity [A.h]"].entries
        dead, lost, pores = (
            float(done[name].entries[-1])
            for name in (
                "X-averaged negative dead lithium concentration [mol.m-3]",
                "Loss of active material in negative electrode [%]",
                "X-averaged negative electrode porosity",
            )
        )
        rows.append((charge[-1] - charge.min(), dead, lost / 100.0, pores))
    return table(rows)


def lowered(celsius: float, settings: Chemistry, cycles: int = CYCLES) -> pd.DataFrame:
    """Cycle with the lowered SPMe, as forecasts step it, until it breaks."""
    cell = build_cell(settings)
    inputs = {AMBIENT: jnp.full((1, 1), celsius + 273.15)}
    low, high = cell.voltage_limits
    cycle = (
        Instruction(Held.CURRENT, -AMPERES, voltage=high),
        Instruction(Held.VOLTAGE, high, current=HOLD),
        rest(REST),
        Instruction(Held.CURRENT, AMPERES, voltage=low),
        rest(REST),
    )
    y, rows = cell.fresh(1), []
    whole = float(cell.physical(y, "active_fraction_ne")[0, 0])
    for _ in range(cycles):
        y, record = run_protocol(cell, y, inputs, cycle)
        if not np.isfinite(record.charge).all():
            break
        kept = float(cell.physical(y, "active_fraction_ne")[0, 0]) / whole
        resting = cell.evaluate(y, {**inputs, CURRENT: jnp.zeros((1, 1))})
        pores = float(resting[POROSITY].min()) if cell.pores_close else np.nan
        rows.append((float(record.charge[3, 0]), float(cell.physical(y, "dead")[0, 0]), 1.0 - kept, pores))
    return table(rows)


def table(rows: list[tuple[float, float, float, float]]) -> pd.DataFrame:
    """Label cycles."""
    frame = pd.DataFrame(rows, columns=["capacity_Ah", "dead_lithium_mol_per_m3", "lam_ne", "porosity_ne"])
    return frame.assign(cycle=np.arange(1, len(rows) + 1))


def once(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Run, or read what an earlier call left."""
    path = RUNS / f"{name}.csv"
    if not path.exists():
        start = perf_counter()
        make().to_csv(path.with_suffix(".part"), index=False, float_format="%.8g")
        path.with_suffix(".part").rename(path)
        print(f"{name}: {perf_counter() - start:.0f} s", flush=True)
    return pd.read_csv(path)


def knee(frame: pd.DataFrame) -> int:
    """Return the cycle at which capacity is highest above the straight line between its ends."""
    capacity = frame["capacity_Ah"].to_numpy()
    return int(frame["cycle"][(capacity - np.linspace(capacity[0], capacity[-1], len(capacity))).argmax()])


def compare(runs: dict[str, pd.DataFrame], celsius: float) -> pd.DataFrame:
    """Compare knees and what is left at the end with the DFN."""
    truth, rows = runs["DFN"], []
    lost = truth["capacity_Ah"].iloc[0] - truth["capacity_Ah"].iloc[-1]
    for name, frame in runs.items():
        last, first = frame.iloc[-1], frame["capacity_Ah"].iloc[0]
        rows.append(
            {
                "temperature_degC": celsius,
                "model": name,
                "knee_cycle": knee(frame),
                "capacity_Ah": last["capacity_Ah"],
                "fade_over_dfn": (first - last["capacity_Ah"]) / lost,
                "dead_lithium_over_dfn": last["dead_lithium_mol_per_m3"] / truth["dead_lithium_mol_per_m3"].iloc[-1],
                "lam_ne_over_dfn": last["lam_ne"] / truth["lam_ne"].iloc[-1],
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Run all models and compare them."""
    RUNS.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    tables, every = [], {}
    for celsius in CELSIUS:
        settings = chemistry("SPMe", celsius)
        runs = {m: once(f"{m}_{celsius:g}", partial(by_pybamm, m, celsius, settings)) for m in MODELS}
        for points in (POINTS, COARSE):
            name = f"lowered SPMe, {points} points"
            runs[name] = once(
                f"lowered_{points}_{celsius:g}", partial(lowered, celsius, chemistry("SPMe", celsius, points))
            )
        tables.append(compare(runs, celsius))
        every[celsius] = runs
    found = pd.concat(tables)
    found.to_csv(OUT / "knees.csv", index=False, float_format="%.4g")
    print(found.to_string(index=False, float_format="%.4g"))
    draw(every)


def draw(every: dict[float, dict[str, pd.DataFrame]]) -> None:
    """Draw capacity and dead lithium by cycle."""
    with style.printed():
        figure = style.page(4.0)
        panels = figure.subplots(2, len(every), sharex=True, squeeze=False)
        for column, (celsius, runs) in zip(panels.T, every.items(), strict=True):
            for (name, frame), color in zip(runs.items(), style.SERIES, strict=False):
                line = {"color": color, "label": name, "linestyle": "none" if name.startswith("low") else "-"}
                marker = {"marker": "." if name.startswith("low") else "", "markevery": 4}
                column[0].plot(frame["cycle"], frame["capacity_Ah"], **line, **marker)
                column[1].plot(frame["cycle"], frame["dead_lithium_mol_per_m3"], **line, **marker)
            column[0].set_title(f"{celsius:g} °C")
            column[0].set_ylabel("Capacity [A.h]")
            column[1].set_ylabel("Dead lithium [mol.m$^{-3}$]")
            column[1].set_xlabel("Cycle")
        style.legend_above(figure, panels[0, 0], columns=3)
        figure.savefig(OUT / "knees.png")


if __name__ == "__main__":
    main()
