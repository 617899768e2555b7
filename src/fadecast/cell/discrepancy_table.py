"""What two runs of `fadecast.cell.discrepancy` differ by, quantity by quantity."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pybamm

from fadecast.cell.discrepancy import Run
from fadecast.cell.model import Chemistry

FLOOR = 1e-9
"""Change over the total below which a relative difference says nothing [1]: of lithium, of active material or of
first crack length."""
NOISE_FACTOR = 10.0
"""Plated lithium cannot be negative: its lowest value in either run, times this, is a floor of its change too [1]."""
BELOW_FLOOR = "below floor"

QUANTITIES: Mapping[str, str] = {
    "voltage_rms": "mV",
    "voltage_max": "mV",
    "discharge_capacity": "A.h",
    "heat": "W.h",
    "temperature_rise": "K",
    "sei": "mol",
    "sei_on_cracks": "mol",
    "plated": "mol",
    "dead": "mol",
    "crack_length": "m",
    "lam_ne": "1",
    "lam_pe": "1",
    "lli": "mol",
}
"""Compared quantities and their units. Ageing quantities are changes over the run; lli is what particles lost."""

LITHIUM = ("sei", "sei_on_cracks", "plated", "dead", "lli")
AGEING = (*LITHIUM[:-1], "crack_length", "lam_ne", "lam_pe", "lli")


def compare(dfn: Run, other: Run) -> pd.DataFrame:
    """Compare a run with that of DFN on the same load.

    Two discharges are compared each to its own cut-off and rest, their voltages while both discharge. Two loads are
    compared up to the earlier end. The difference is `other` less `dfn`, relative to the size of `dfn`.

    Returns
    -------
    One row for each of `QUANTITIES` with `quantity`, `unit`, `value_dfn`, `value_model`, `difference`, `relative` and
    `note`; values of voltage are missing, its difference is the rms or the largest over time.
    """
    current = dfn.series["current"]
    discharge = np.all(current >= 0.0) and np.any(current > 0.0)
    both = min(_loaded(dfn), _loaded(other)) if discharge else min(dfn.time[-1], other.time[-1])
    gap = _voltage_gap(_until(dfn, both), other)
    if not discharge:
        dfn, other = _until(dfn, both), _until(other, both)
    note = "" if {dfn.end, other.end} == {"complete"} else f"not reached: until {both / 3600.0:.2f} h"
    first, second, floors = changes(dfn), changes(other), _floors(dfn, other)
    rows = [{"quantity": name, "difference": value, "note": note} for name, value in gap.items()]
    for name, value in first.items():
        difference = second[name] - value
        below = abs(value) <= floors.get(name, 0.0)
        rows.append(
            {
                "quantity": name,
                "value_dfn": value,
                "value_model": second[name],
                "difference": difference,
                "relative": np.nan if below else difference / abs(value),
                "note": BELOW_FLOOR if below else note,
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(1, "unit", frame["quantity"].map(dict(QUANTITIES)))
    return frame


def changes(run: Run) -> dict[str, float]:
    """Return every quantity of one run, in the units of `QUANTITIES`."""
    series = {**run.series, "lli": -run.series["lithium"]}
    volume = _negative_volume()
    for name in ("plated", "dead"):
        series[name] = volume * series[f"{name}_concentration"]
    for name in ("lam_ne", "lam_pe"):
        series[name] = series[name] / 100.0
    discharged = np.maximum(series["current"], 0.0)
    return {
        "discharge_capacity": float(np.trapezoid(discharged, run.time)) / 3600.0,
        "heat": float(np.trapezoid(series["heating"], run.time)) / 3600.0,
        "temperature_rise": float(series["temperature"].max() - series["temperature"][0]),
        **{name: float(series[name][-1] - series[name][0]) for name in AGEING},
    }


def grid(frame: pd.DataFrame, load: str, model: str, quantity: str, column: str) -> pd.DataFrame:
    """Return one column of the table of all conditions as C-rate × temperature [degC]."""
    rows = frame[(frame["load"] == load) & (frame["model"] == model) & (frame["quantity"] == quantity)]
    return rows.pivot_table(column, "c_rate", "temperature_degC", "first", dropna=False)


def package_table(frame: pd.DataFrame, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of all conditions as it ships: C-rate × temperature lists, null where below the floor."""
    table: dict[str, Any] = {
        **about,
        "c_rate": sorted(frame["c_rate"].unique().tolist()),
        "temperature_degC": sorted(frame["temperature_degC"].unique().tolist()),
    }
    for load, model in sorted(set(zip(frame["load"], frame["model"], strict=True))):
        for quantity, unit in QUANTITIES.items():
            voltage = unit == "mV"
            values = grid(frame, load, model, quantity, "difference" if voltage else "relative")
            entry = table.setdefault(f"{load}_{model}", {"unit": "1, of DFN; voltage in mV"})
            entry[quantity] = values.astype(object).where(values.notna(), None).to_numpy().tolist()
    return table


def _voltage_gap(dfn: Run, other: Run) -> dict[str, float]:
    gap = np.interp(dfn.time, other.time, other.series["voltage"]) - dfn.series["voltage"]
    square = np.trapezoid(gap**2, dfn.time) / (dfn.time[-1] - dfn.time[0])
    return {"voltage_rms": 1e3 * float(np.sqrt(square)), "voltage_max": 1e3 * float(np.abs(gap).max())}


def _until(run: Run, time: float) -> Run:
    keep = run.time <= time
    return Run(run.time[keep], {name: values[keep] for name, values in run.series.items()}, run.end)


def _loaded(run: Run) -> float:
    """Return when the current stops [s]."""
    return float(run.time[run.series["current"] > 0.0][-1])


def _floors(dfn: Run, other: Run) -> dict[str, float]:
    lithium = FLOOR * float(dfn.series["lithium"][0])
    crack = FLOOR * float(dfn.series["crack_length"][0])
    lowest = min(float(run.series["plated_concentration"].min()) for run in (dfn, other))
    plated = max(lithium, -NOISE_FACTOR * lowest * _negative_volume())
    return {
        **dict.fromkeys(LITHIUM, lithium),
        "plated": plated,
        "crack_length": crack,
        "lam_ne": FLOOR,
        "lam_pe": FLOOR,
    }


def _negative_volume() -> float:
    values = pybamm.ParameterValues(Chemistry().parameter_set)
    sheet = values["Electrode height [m]"] * values["Electrode width [m]"]
    sheets = values["Number of electrodes connected in parallel to make a cell"]
    return float(values["Negative electrode thickness [m]"] * sheet * sheets)
