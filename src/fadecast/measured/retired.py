"""Retired cells: state of health and pulse resistance of each cell, and what a class of cells looks like.

The tables hold one row per cell and state of charge. Charge was put in 5 % of *nameplate* capacity at a time,
so a row named 35 % stands at 35 % / SOH of what the cell still holds; resistance is compared here at the
same share of the measured capacity, by interpolation over each cell's rows. At each state of charge the
pulses come in the order +0.5 C, -0.5 C, +1 C, -1 C, ... of nameplate with rests between: U1 is the rested
voltage, then each pulse has four values: just after its start, at its end (5 s), just after the rest starts,
at the end of the rest.

The 2.1 Ah NMC cells were aged in a laboratory, not retired, and each was measured five or six times on the way: their
rows are states of twelve cells, as many of each SOH as the test plan wanted.

Left out: the 35 Ah cells of the second set (the same cells as in the first), and the second set's rows at random
charge (a second test of the same cells, not matched to them).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from fadecast.measured.catalogue import CATALOGUE, MeasuredDataError, check_columns, fetch

LEVELS = np.linspace(0.0, 1.0, 21)
"""Probability levels of the committed quantile tables."""

MID_CHARGE = 0.45
"""Share of measured capacity at which resistance is compared: the highest that every class reaches."""

CANDIDATE_SOH = 0.85
"""Cells above this are no candidates for a second life; many were retired new, or not for their age."""

FEWEST_CELLS = 20
"""Fewest candidates a class needs before its spread is fitted."""

_CHARGE_ROWS = tuple(range(20, 55, 5))
_REST_BEFORE, _PULSE_END = "U13", "U15"
_VOLTAGE = (1.5, 4.5)
_RANGES = {
    "Qn": (1.0, 500.0),
    "Q": (0.3, 600.0),
    "SOH": (0.2, 1.2),
    "SOC": (0.0, 100.0),
    _REST_BEFORE: _VOLTAGE,
    _PULSE_END: _VOLTAGE,
}


@dataclass(frozen=True)
class RetiredClass:
    """One maker's cell; `identity` is the column that tells cells apart."""

    source: str
    file: str
    identity: str
    chemistry: str
    form: str
    first_life: str
    aged_in: Literal["service", "laboratory"] = "service"


CLASSES: Mapping[str, RetiredClass] = {
    "lmo_10ah": RetiredClass("pulsebat_retired_ev", "LMO_10Ah_W_5000.xlsx", "No.", "LMO", "pouch", "hybrid car"),
    "nmc_21ah": RetiredClass("pulsebat_retired_ev", "NMC_21Ah_W_5000.xlsx", "No.", "NMC", "pouch", "electric car"),
    "nmc_2ah": RetiredClass(
        "pulsebat_retired_ev", "NMC_2.1Ah_W_5000.xlsx", "ID", "NMC", "cylinder", "cycled in a laboratory", "laboratory"
    ),
    "lfp_35ah": RetiredClass(
        "pulsebat_retired_ev", "LFP_35Ah_W_5000.xlsx", "No.", "LFP", "aluminium case", "hybrid car"
    ),
    # No cell names: a row is told by its measured capacity, given to 0.1 mA.h and unique on each sheet.
    "lfp_20ah": RetiredClass(
        "pulsebat2_retired_lfp", "v2_LFP_20Ah_W_5000.xlsx", "Q", "LFP", "not stated", "not stated"
    ),
    "lfp_68ah": RetiredClass(
        "pulsebat2_retired_lfp", "v2_LFP_68Ah_W_5000.xlsx", "Q", "LFP", "not stated", "not stated"
    ),
}


def retired_cells() -> pd.DataFrame:
    """Return the retired cells, one row each.

    Returns
    -------
    Columns `retired_class`, `cell`, `soh` [1] (capacity at 1 C, 25 degC, over nameplate: lower than a C/10
    capacity would be) and `resistance` [ohm] (5 s discharge pulse of 1 C of nameplate, 25 degC, at
    `MID_CHARGE` of the measured capacity).

    Raises
    ------
    MissingDataError, MeasuredDataError
        When a file is not there or not as expected; says which.
    """
    tables = [
        _cells(fetch(retired.source)[retired.file], retired.identity).assign(retired_class=name)
        for name, retired in CLASSES.items()
    ]
    return pd.concat(tables, ignore_index=True)[["retired_class", "cell", "soh", "resistance"]]


def _cells(path: Path, identity: str) -> pd.DataFrame:
    rows = pd.concat(_sheets(path, identity), ignore_index=True)
    rows["resistance"] = (rows[_REST_BEFORE] - rows[_PULSE_END]) / rows["Qn"]
    rows["charge"] = rows["SOC"] / 100.0 / rows["SOH"]
    cells = []
    for cell, group in rows.sort_values("charge").groupby(identity):
        charge = group["charge"].to_numpy()
        if not charge[0] <= MID_CHARGE <= charge[-1]:
            raise MeasuredDataError(
                f"{path.name}: cell {cell} has pulses from {charge[0]:.2f} to {charge[-1]:.2f} of its "
                f"capacity; expected {MID_CHARGE} between"
            )
        resistance = float(np.interp(MID_CHARGE, charge, group["resistance"].to_numpy()))
        cells.append({"cell": str(cell), "soh": float(group["SOH"].iloc[0]), "resistance": resistance})
    table = pd.DataFrame(cells)
    check_columns(table, f"{path.name}, all cells", {"resistance": (1e-5, 1.0)})
    return table


def _sheets(path: Path, identity: str) -> list[pd.DataFrame]:
    names = [f"SOC{charge}" for charge in _CHARGE_ROWS]
    try:
        sheets = pd.read_excel(path, sheet_name=names)
    except ImportError as error:
        raise ImportError(
            f"reading {path.name} needs openpyxl; install it with: pip install 'fadecast[measured]'"
        ) from error
    except ValueError as error:
        raise MeasuredDataError(f"{path.name}: expected the sheets {names}; {error}") from error
    for name, sheet in sheets.items():
        place = f"{path.name}, sheet {name}"
        check_columns(sheet, place, _RANGES)
        if sheet[identity].duplicated().any():
            raise MeasuredDataError(f"{place}: column {identity!r} names a cell twice; expected one row per cell")
        if not np.allclose(sheet["SOH"], sheet["Q"] / sheet["Qn"], rtol=1e-6):
            raise MeasuredDataError(f"{place}: column 'SOH' is not Q / Qn")
    return list(sheets.values())


def summary(cells: pd.DataFrame) -> dict[str, Any]:
    """Return the statistics that are committed with the package, with their sources.

    Parameters
    ----------
    cells
        The columns of `retired_cells`.

    Returns
    -------
    What the numbers mean, and by class: chemistry, form, first life, `all` cells and `candidates` (SOH at
    most `CANDIDATE_SOH`; None where these are fewer than `FEWEST_CELLS`), each with the keys of `spread`.
    """
    return {
        "what": "Retired electric-vehicle cells: quantiles, at `levels`, of SOH (1 C capacity over "
        "nameplate, 25 degC) and of the 5 s, 1 C discharge resistance over its class median, and Spearman's "
        "correlation of the two",
        "mid_charge": MID_CHARGE,
        "candidate_soh": CANDIDATE_SOH,
        "levels": LEVELS.tolist(),
        "sources": [CATALOGUE[name].record() for name in dict.fromkeys(c.source for c in CLASSES.values())],
        "classes": _classes(cells),
    }


def _classes(cells: pd.DataFrame) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, group in cells.groupby("retired_class", sort=False):
        retired = CLASSES[str(name)]
        candidates = group[group["soh"] <= CANDIDATE_SOH]
        result[str(name)] = {
            "chemistry": retired.chemistry,
            "form": retired.form,
            "first_life": retired.first_life,
            "aged_in": retired.aged_in,
            "source": retired.source,
            "cell_identity": "named" if retired.identity != "Q" else "not given; told by measured capacity",
            "all": spread(group),
            "candidates": spread(candidates) if len(candidates) >= FEWEST_CELLS else None,
        }
    return result


def spread(cells: pd.DataFrame) -> dict[str, Any]:
    """Return count, quantiles of SOH and of resistance over its median, log-sd, and rank correlation."""
    relative = cells["resistance"] / cells["resistance"].median()
    return {
        "cells": len(cells),
        "soh": np.quantile(cells["soh"], LEVELS).tolist(),
        "relative_resistance": np.quantile(relative, LEVELS).tolist(),
        "resistance_median_ohm": float(cells["resistance"].median()),
        "resistance_log_sd": float(np.log(relative).std(ddof=1)),
        "rank_correlation": float(spearmanr(cells["soh"], relative).statistic),
    }
