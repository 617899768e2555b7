"""LG M50 and LG M50T: cycling and calendar ageing, degradation modes, and the resistance of fresh cells.

The published electrode capacities and stoichiometries count lithium from the ends of the authors' half-cell
scans. A PyBaMM parameter set counts it from an empty particle, which adds the lithium that never leaves the
positive electrode (2.0 A.h of 7.2 A.h for OKane2022). `StoichiometryWindow` carries the fresh cell's
published window onto that of the parameter set, linearly; loss of lithium inventory here is over the total.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.io import loadmat

from fadecast.measured.catalogue import CATALOGUE, MeasuredDataError, check_columns, fetch

MODES = ("lli", "lam_ne", "lam_pe")

_CYCLED = "kirkaldy2024_lgm50t_expt2_2"
_STORED = "kuzhiyil2024_lgm50_calendar"
_FRESH = "lgm50_fresh_ocv_pulse_rate"
_FRACTION = (-0.05, 1.05)
_MILLIAMPERE_HOURS = (100.0, 10_000.0)
_EXTRACTED = {
    "Ageing Cycles": (0.0, 10_000.0),
    "Days of degradation": (0.0, 2_000.0),
    "Age set average temperature (degC)": (-20.0, 70.0),
    "Charge Throughput (A.h)": (0.0, 50_000.0),
    "C/10 Capacity (mA.h)": _MILLIAMPERE_HOURS,
    "0.1s Resistance (Ohms)": (0.005, 0.2),
}
_MODE_COLUMNS = {"SoH": _FRACTION, "LAM PE": _FRACTION, "LAM NE_tot": _FRACTION, "LLI": _FRACTION}
_CAPACITY_COLUMNS = {
    "Cell Capacity": _MILLIAMPERE_HOURS,
    "PE Capacity": _MILLIAMPERE_HOURS,
    "NE(tot) Capacity": _MILLIAMPERE_HOURS,
}
_WINDOW_COLUMNS = dict.fromkeys(("PE_lo", "NE_lo", "PE_hi", "NE_hi"), _FRACTION)


@dataclass(frozen=True)
class StoichiometryWindow:
    """Stoichiometries of a parameter set's fresh cell: x negative, y positive, empty (0) and full (100)."""

    x_0: float
    x_100: float
    y_0: float
    y_100: float


OKANE2022 = StoichiometryWindow(x_0=0.030218, x_100=0.907069, y_0=0.851390, y_100=0.266214)
"""OKane2022 between 2.5 V and 4.2 V, by PyBaMM's `ElectrodeSOHSolver`."""


def lgm50_cycling(window: StoichiometryWindow = OKANE2022) -> pd.DataFrame:
    """Return six LG M50T cells cycled between 70 % and 85 % charge at 10, 25 and 40 degC.

    Parameters
    ----------
    window
        Fresh-cell stoichiometries of the parameter set whose lithium inventory `lli` refers to.

    Returns
    -------
    One row per cell and check-up: `cell`, `check_up`, `temperature` and `surface_temperature` [degC] (set,
    and mean since the last check-up), `cycles`, `days`, `charge_throughput` [A.h], `capacity` [A.h] (C/10,
    25 degC), `resistance` [ohm] (0.1 s, every second check-up, else NaN), `soh` (over the cell's first
    check-up), `lli` (over total inventory), `lam_ne`, `lam_pe`, `lli_published` (over first capacity, as in
    the paper), `lithium_cyclable` [A.h] (in the authors' half-cell windows).

    Raises
    ------
    MissingDataError, MeasuredDataError
        When a file is not there or not as expected; says which.
    """
    paths = fetch(_CYCLED)
    names = [file for file in paths if file.endswith("Extracted Data.csv")]
    return pd.concat([_cycled_cell(paths, name, window) for name in names], ignore_index=True)


def _cycled_cell(paths: dict[str, Path], extracted: str, window: StoichiometryWindow) -> pd.DataFrame:
    cell, temperature = extracted.removeprefix("Expt 2,2 - cell ").split("degC")[0].split(" (")
    log = _read(paths[extracted], _EXTRACTED)
    modes = _read(paths[f"Expt 2,2 - DM data from OCV-fitting for cell {cell}.csv"], _MODE_COLUMNS)
    capacity = _read(
        paths[f"Expt 2,2 - Capacity and offset data from OCV-fitting for cell {cell}.csv"], _CAPACITY_COLUMNS
    )
    ends = _read(paths[f"Expt 2,2 - fitting parameters from OCV-fitting for cell {cell}.csv"], _WINDOW_COLUMNS)
    cyclable, total = _inventories(capacity, ends, window)
    published = (cyclable[0] - cyclable) / (capacity["Cell Capacity"][0] / 1e3)
    if not np.allclose(published, modes["LLI"], atol=1e-6):
        raise MeasuredDataError(
            f"cell {cell}: the published stoichiometries and capacities do not give the published LLI"
        )
    return pd.DataFrame(
        {
            "cell": cell,
            "check_up": log["Ageing Sets"],
            "temperature": float(temperature),
            "surface_temperature": log["Age set average temperature (degC)"],
            "cycles": log["Ageing Cycles"],
            "days": log["Days of degradation"].fillna(0.0),
            "charge_throughput": log["Charge Throughput (A.h)"],
            "capacity": log["C/10 Capacity (mA.h)"] / 1e3,
            "resistance": log["0.1s Resistance (Ohms)"],
            "soh": modes["SoH"],
            "lli": 1.0 - total / total[0],
            "lam_ne": modes["LAM NE_tot"],
            "lam_pe": modes["LAM PE"],
            "lli_published": modes["LLI"],
            "lithium_cyclable": cyclable,
        }
    )


def _inventories(
    capacity: pd.DataFrame, ends: pd.DataFrame, window: StoichiometryWindow
) -> tuple[pd.Series, pd.Series]:
    """Return lithium [A.h] in the authors' windows, and in all of the parameter set's particles.

    The published positive ends are *charged* fractions (0 lithiated, 1 delithiated), lo at the empty cell:
    y' = 1 - PE, x' = NE. Lithium is y' Q_p' + x' Q_n' in the authors' windows. With y = a + b y' mapping the
    fresh cell onto the parameter set, Q_p = Q_p' / b and y Q_p = (y' + a / b) Q_p': a / b of each electrode
    is lithium below the authors' zero, lost with active material only.
    """
    Q_p, Q_n = capacity["PE Capacity"] / 1e3, capacity["NE(tot) Capacity"] / 1e3
    y_0, y_100, x_0, x_100 = (1.0 - ends["PE_lo"], 1.0 - ends["PE_hi"], ends["NE_lo"], ends["NE_hi"])
    b_p = (window.y_0 - window.y_100) / (y_0[0] - y_100[0])
    b_n = (window.x_100 - window.x_0) / (x_100[0] - x_0[0])
    below_p = window.y_0 / b_p - y_0[0]
    below_n = window.x_0 / b_n - x_0[0]
    cyclable = y_0 * Q_p + x_0 * Q_n
    return cyclable, cyclable + below_p * Q_p + below_n * Q_n


def lgm50_calendar() -> pd.DataFrame:
    """Return the capacity of stored LG M50 cells: 36 series of temperature and charge, up to 770 days.

    Returns
    -------
    Columns `temperature` [degC], `soc` [1], `days`, `capacity` [A.h] (mean over replicate cells) and
    `capacity_std` [A.h].

    Raises
    ------
    MissingDataError, MeasuredDataError
        When the file is not there or not as expected.
    """
    ranges = {"Capacity_Mean": (0.5, 6.0), "Capacity_Std": (0.0, 1.0), "Days": (0.0, 2_000.0)}
    names = {"Capacity_Mean": "capacity", "Capacity_Std": "capacity_std", "Days": "days"}
    return _stored("calendar_capacity_tidy.csv", ranges, names)[
        ["temperature", "soc", "days", "capacity", "capacity_std"]
    ]


def lgm50_calendar_lam() -> pd.DataFrame:
    """Return the loss of negative active material of the same stored cells.

    Returns
    -------
    Columns `temperature` [degC], `soc` [1], `days`, `lam_ne` [1] and `lam_ne_std` [1].

    Raises
    ------
    MissingDataError, MeasuredDataError
        When the file is not there or not as expected.
    """
    ranges = {"LAM_mean": (-5.0, 100.0), "LAM_std": (0.0, 100.0), "LAM_days": (0.0, 2_000.0)}
    names = {"LAM_mean": "lam_ne", "LAM_std": "lam_ne_std", "LAM_days": "days"}
    frame = _stored("calendar_RPTx_tidy.csv", ranges, names).dropna()
    frame[["lam_ne", "lam_ne_std"]] /= 100.0
    return frame[["temperature", "soc", "days", "lam_ne", "lam_ne_std"]].reset_index(drop=True)


def _stored(file: str, ranges: dict[str, tuple[float, float]], names: dict[str, str]) -> pd.DataFrame:
    frame = _read(fetch(_STORED)[file], ranges | {"temp_C": (-40.0, 90.0), "soc_pct": (0.0, 100.0)}, index=None)
    return frame.rename(columns=names).assign(temperature=frame["temp_C"], soc=frame["soc_pct"] / 100.0)


def lgm50_resistance(temperature: int = 25, tenths_of_charge: int = 5, seconds: float = 10.0) -> pd.Series:
    """Return the pulse resistance [ohm] of six fresh LG M50 cells (1.5 C; 0.5 C at 0 degC), by cell name.

    Parameters
    ----------
    temperature
        0, 10, 25 or 45 [degC].
    tenths_of_charge
        State of charge in tenths, 1 to 9.
    seconds
        Time after the start of the pulse [s].

    Raises
    ------
    MissingDataError, MeasuredDataError
        When the file is not there, a pulse is not between two rests, or it is shorter than `seconds`.
    """
    path = fetch(_FRESH)["LGM50_5Ah_Pulse.mat"]
    table = loadmat(path, simplify_cells=True)["LGM50_5Ah_Pulse"][f"T{temperature}"][f"SoC{tenths_of_charge}"]
    resistance = {}
    for cell, record in table.items():
        data = record["data"]
        first = data["Status"].find("D")
        last = data["Status"].find("P", first)
        if first < 1 or last < 0 or data["Current"][first - 1] != 0.0:
            raise MeasuredDataError(f"{path.name}: {cell} at {temperature} degC has no pulse between two rests")
        pulse = slice(first, last)
        elapsed = data["ProgTime"][pulse] - data["ProgTime"][first]
        if seconds > elapsed[-1]:
            raise MeasuredDataError(
                f"{path.name}: the pulse of {cell} at {temperature} degC ends after {elapsed[-1]:.1f} s; "
                f"resistance was asked for at {seconds} s"
            )
        sag = data["Voltage"][first - 1] - np.interp(seconds, elapsed, data["Voltage"][pulse])
        resistance[cell] = sag / -np.median(data["Current"][pulse])
    return pd.Series(resistance, name="resistance").sort_index()


def summary(cycling: pd.DataFrame, resistance: pd.Series) -> dict[str, Any]:
    """Return the statistics that are committed with the package, with their sources.

    Parameters
    ----------
    cycling
        The columns of `lgm50_cycling`.
    resistance
        Of fresh cells [ohm], `lgm50_resistance` at 25 degC, half charge, 10 s.
    """
    return {
        "what": "LG M50T cells cycled at 10, 25 and 40 degC: LLI (over the total lithium inventory of "
        "OKane2022), LAM_NE and LAM_PE per capacity lost; growth of 0.1 s resistance per cyclable lithium "
        "lost, an upper bound for the SEI film; resistance of fresh LG M50 cells",
        "chemistry": "NMC811 / graphite-SiOx (LG M50T)",
        "sources": [CATALOGUE[name].record() for name in (_CYCLED, _FRESH)],
        "modes_per_capacity_lost": degradation_modes(cycling),
        "film_resistance_per_lithium": film_resistance(cycling),
        "fresh_resistance": {
            "what": "10 s pulse at half charge and 25 degC",
            "units": "ohm",
            "cells": len(resistance),
            "median": float(resistance.median()),
            "sd": float(resistance.std()),
        },
    }


def degradation_modes(cycling: pd.DataFrame) -> dict[str, Any]:
    """Return how lithium and active material are lost per capacity lost, and how cells differ in that.

    Each cell's modes are regressed on 1 - SOH through the origin, over its check-ups. The slopes of the cells
    are described by mean and covariance of their logarithms, so that no sampled loss is negative.

    Parameters
    ----------
    cycling
        The columns of `lgm50_cycling`.
    """
    cells = {str(cell): group for cell, group in cycling.groupby("cell")}
    slopes = np.array([[_through_origin(1.0 - g["soh"], g[mode]) for mode in MODES] for g in cells.values()])
    predicted = (1.0 - cycling["soh"].to_numpy()[:, None]) * slopes[pd.factorize(cycling["cell"], sort=True)[0]]
    logs = np.log(slopes)
    return {
        "modes": list(MODES),
        "cells": {cell: row.tolist() for cell, row in zip(cells, slopes, strict=True)},
        "check_ups": int(cycling["check_up"].nunique()),
        "soh_min": float(cycling["soh"].min()),
        "slope_mean": slopes.mean(axis=0).tolist(),
        "slope_sd": slopes.std(axis=0, ddof=1).tolist(),
        "slope_log_mean": logs.mean(axis=0).tolist(),
        "slope_log_sd": logs.std(axis=0, ddof=1).tolist(),
        "slope_log_correlation": np.corrcoef(logs.T).tolist(),
        "residual_rms": np.sqrt(np.mean((cycling[list(MODES)].to_numpy() - predicted) ** 2, axis=0)).tolist(),
    }


def film_resistance(cycling: pd.DataFrame) -> dict[str, Any]:
    """Return the growth of 0.1 s resistance per cyclable lithium lost [ohm.A-1.h-1], by cell.

    Regressed through the origin. Per lithium lost it is an upper bound for the film: contacts, charge
    transfer and lost electrode area share in the growth. Per lithium *in the film* it is not one, where part
    of the loss is dead or trapped lithium.

    Parameters
    ----------
    cycling
        The columns of `lgm50_cycling`.
    """
    cells = {str(cell): group for cell, group in cycling.groupby("cell")}
    slopes = np.array(
        [
            _through_origin(
                g["lithium_cyclable"].iloc[0] - g["lithium_cyclable"],
                g["resistance"] - g["resistance"].iloc[0],
            )
            for g in cells.values()
        ]
    )
    return {
        "units": "ohm.A-1.h-1",
        "cells": dict(zip(cells, slopes.tolist(), strict=True)),
        "mean": float(slopes.mean()),
        "sd": float(slopes.std(ddof=1)),
        "log_mean": float(np.log(slopes).mean()),
        "log_sd": float(np.log(slopes).std(ddof=1)),
    }


def _through_origin(x: pd.Series, y: pd.Series) -> float:
    known = x.notna() & y.notna()
    return float((x[known] * y[known]).sum() / (x[known] ** 2).sum())


def _read(path: Path, ranges: dict[str, tuple[float, float]], index: int | None = 0) -> pd.DataFrame:
    frame = pd.read_csv(path, index_col=index)
    check_columns(frame, path.name, ranges)
    return frame
