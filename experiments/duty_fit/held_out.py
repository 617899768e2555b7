"""Hold drawn load against measured: traces that nothing was fitted to, and swings of clusters by the minute.

Run as `python experiments/duty_fit/held_out.py`; writes `results/reported/duty_fit/load_statistics.png`.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.duty import Duty, Site, Workload, make_duty
from fadecast.duty.inference import Requests, Serving, request_rate
from fadecast.duty.workload import Measured
from fadecast.figures import style
from fadecast.figures.load import Series, load_statistics
from fadecast.locations import data_root

LOAD = data_root() / "ai_load"
FIGURE = Path(__file__).parents[2] / "results" / "reported" / "duty_fit" / "load_statistics.png"
UTILISATION, HOURS = 0.5, 2000


def main() -> None:
    """Print the hours of arrivals, draw the clusters."""
    for name, minutes in arrivals().items():
        print(f"{name}: {swings(np.bincount(minutes.astype(int))[:-1].astype(float)[None])}")
    drawn = request_rate(np.random.default_rng(0), Requests.measured(), 1)
    print(f"drawn, median of {HOURS} hours: {swings(drawn[: 60 * HOURS].reshape(HOURS, 60))}")
    training = Duty(timestep_minutes=1, workload=Workload(training_share=1.0))
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    with style.printed():
        load_statistics(make_duty(Site(), training, 2, 64, 1), clusters()).savefig(FIGURE)


def arrivals() -> dict[str, np.ndarray]:
    """Return minutes since the first request."""
    found = {}
    for kind in ("conv", "code"):
        time = pd.to_datetime(
            pd.read_csv(LOAD / "azure_llm_2023" / f"AzureLLMInferenceTrace_{kind}.csv.gz")["TIMESTAMP"]
        )
        found[f"Azure {kind}"] = ((time - time.min()) / pd.Timedelta(minutes=1)).to_numpy()
    with gzip.open(LOAD / "mooncake_conversation" / "conversation_trace.jsonl.gz") as lines:
        found["Mooncake conversation"] = np.array([json.loads(line)["timestamp"] for line in lines]) / 60_000.0
    return found


def swings(rate: np.ndarray) -> str:
    """Say how much a request rate, and the power that serves it, change from minute to minute: (hour, minute)."""
    power = Serving.measured().power(np.minimum(UTILISATION * rate / rate.mean(axis=1, keepdims=True), 1.0))
    changes = [np.median(np.diff(each, axis=1).std(axis=1) / each.mean(axis=1)) for each in (rate, power)]
    return f"change by the minute over the mean: rate {changes[0]:.3f}, power {changes[1]:.4f}"


def clusters() -> dict[str, Series]:
    """Return the power of servers with the measured occupancy of two clusters, at mean busy and idle power."""
    folder, measured = LOAD / "helios_philly_cluster_util", Measured.load()
    philly = pd.read_csv(folder / "philly_active_nodes_minute.csv.gz")
    occupied = {
        "Philly": (philly["active"] / philly["total"]).to_numpy(),
        "Helios Earth": pd.read_csv(folder / "helios_earth_vc6YE_minute.csv.gz")["gpu_utilization"].to_numpy(),
    }
    idle, busy = float(measured.accelerator.idle.mean()), float(measured.accelerator.busy.mean())
    return {
        f"measured occupancy: {name}": Series(
            (measured.server_offset + (1 - measured.server_offset) * (idle + share * (busy - idle)))[None], 1 / 60
        )
        for name, share in ((n, s[np.isfinite(s)]) for n, s in occupied.items())
    }


if __name__ == "__main__":
    main()
