"""What two forecasts of the same lanes differ in, and what they cost."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
import pandas as pd

from fadecast.cell.health import Health
from fadecast.decades.macro import History
from fadecast.decades.service import Service

STATES = ("sei", "dead", "crack_length", "active_fraction_ne", "active_fraction_pe")
NAMEPLATE = 5.0
"""Of the modelled cell [A.h]."""
Result = tuple[History, Health]
Lane = tuple[str, float, int]


def errors(found: Result, truth: Result) -> dict[str, np.ndarray]:
    """Compare the last time of two forecasts by lane: SOH in points, else per cent; of states, of their change."""
    (mine, health), (theirs, right) = found, truth
    capacity, resistance = (np.asarray(now[-1]) for now in health)
    true_capacity, true_resistance = (np.asarray(now[-1]) for now in right)

    def change(service: Service, name: str) -> np.ndarray:
        values = getattr(service.slow, name)[:, 0]
        return np.asarray(values[-1] - values[0])

    return {
        "soh_pp": 100.0 * (capacity - true_capacity) / NAMEPLATE,
        "resistance": 100.0 * (resistance / true_resistance - 1.0),
        "throughput": 100.0 * (mine.service.throughput[-1, 0] / theirs.service.throughput[-1, 0] - 1.0),
        **{name: 100.0 * (change(mine.service, name) / change(theirs.service, name) - 1.0) for name in STATES},
    }


def compared(name: str, lanes: Sequence[Lane], found: Result, truth: Result) -> pd.DataFrame:
    """Return one row per lane: duty, temperature and cell."""
    rows = pd.DataFrame(errors(found, truth))
    rows.insert(0, "mode", name)
    rows[["duty", "celsius", "cell"]] = lanes
    rows["cell_days"], rows["cell_days_direct"] = (each[0].cell_days / len(lanes) for each in (found, truth))
    return rows


def worst(values: pd.Series) -> float:
    """Return the value that is largest in size, with its sign."""
    return float(values.iloc[int(values.abs().argmax())])


def part(result: Result, lanes: Sequence[int]) -> Result:
    """Take some lanes of a forecast."""
    history, health = result
    taken = jax.tree.map(lambda values: values[..., np.array(lanes)], (history.service, health))
    return replace(history, service=taken[0]), taken[1]


def row(setting: str, value: float, found: Result, truth: Result) -> dict[str, object]:
    """Return the worst errors of all lanes and what they cost."""
    lanes = found[0].outcome.size
    largest = {name: float(np.abs(each).max()) for name, each in errors(found, truth).items()}
    return {
        "setting": setting,
        "value": value,
        "macro_steps": len(found[0].macro_steps) - 1,
        "cell_days": found[0].cell_days / lanes,
        **largest,
    }
