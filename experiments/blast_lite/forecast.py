"""Forecast cells by the models of blast-lite: the part that runs in an environment of its own, without fadecast.

Run as `python experiments/blast_lite/forecast.py PROTOCOLS FORECASTS` where blast-lite is installed; PROTOCOLS is what
`study.py protocols` writes, FORECASTS is what `study.py compare` reads.
"""

import argparse
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LEFT_OUT = ("lfp", "lmo", "lto")
"""Parts of the names of models whose positive electrode has no nickel, or whose negative one has no graphite."""
SAMPLE_MINUTES = 3.0
YEAR = 365.0
"""Days of a year as blast-lite counts them."""


def stretch(protocol: dict[str, Any], hours: float) -> dict[str, np.ndarray]:
    """Return so many repeats of a protocol as last nearest to some hours, as blast-lite takes them."""
    corners, soc = np.array(protocol["hours"]), np.array(protocol["soc"])
    period = corners[-1]
    samples = np.linspace(0.0, period, round(60.0 * period / SAMPLE_MINUTES) + 1)
    samples = np.unique(np.concatenate([samples, corners]).round(9))[1:]
    repeats = max(round(hours / period), 1)
    times = np.concatenate([[0.0], *(samples + n * period for n in range(repeats))])
    charge = np.concatenate([soc[:1], *([np.interp(samples, corners, soc)] * repeats)])
    return {"Time_s": 3600.0 * times, "SOC": charge, "Temperature_C": np.full(len(times), protocol["celsius"])}


def outside(known: dict[str, Any], protocol: dict[str, Any]) -> Iterator[str]:
    """Say where a protocol leaves the range of experiments that a model names."""
    corners, soc = np.array(protocol["hours"]), np.array(protocol["soc"])
    if not known["soc"][0] <= soc.min() <= soc.max() <= known["soc"][-1]:
        yield "charge"
    if np.ptp(soc) == 0.0:
        return
    rates = np.diff(soc) / np.diff(corners)
    if not known["cycling_temperature"][0] <= protocol["celsius"] <= known["cycling_temperature"][-1]:
        yield "temperature"
    if not known["dod"][0] <= np.ptp(soc) <= known["dod"][-1]:
        yield "depth"
    if rates.max() > known["max_rate_charge"] + 1e-9 or -rates.min() > known["max_rate_discharge"] + 1e-9:
        yield "current"


def forecast(model: Any, protocol: dict[str, Any], hours: float) -> np.ndarray:
    """Return what a model says is kept at the check-ups [1]; rates are found once, and the stretch repeated."""
    days = np.array(protocol["days"])
    model.simulate_battery_life(stretch(protocol, hours), threshold_time=days[-1] / YEAR, is_constant_input=True)
    return np.interp(days, model.stressors["t_days"], model.outputs["q"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", type=Path)
    parser.add_argument("forecasts", type=Path)
    parser.add_argument("--hours", type=float, default=24.0, help="of a step of the models, a whole number of repeats")
    given = parser.parse_args()
    # Here, so that the script can be imported where blast-lite is not.
    models, parts = import_module("blast.models"), []
    names = [name for name in models.available_models() if not any(part in name.lower() for part in LEFT_OUT)]
    for name in names:
        for protocol in json.loads(given.protocols.read_text()):
            model = getattr(models, name)()
            kept = forecast(model, protocol, given.hours)
            known = "; ".join(outside(model.experimental_range, protocol))
            row = {"model": name, "cell": protocol["cell"], "days": protocol["days"], "retention": kept}
            parts.append(pd.DataFrame({**row, "outside": known}))
    pd.concat(parts).to_csv(given.forecasts, index=False, float_format="%.8g", lineterminator="\n")
    print(f"models: {len(names)} cells: {len(parts) // len(names)} step: {given.hours:g} hours")


if __name__ == "__main__":
    main()
