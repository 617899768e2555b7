"""Score the model of inference against two services that nothing was fitted to, by limits fixed before looking.

Run as `python experiments/duty_fit/accepted.py`; writes `results/reported/duty_fit/accepted.csv`. `LIMITS` was
committed before the two days of requests were read for the first time, and stays as it was.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp, wasserstein_distance

from fadecast.duty.inference import Requests, Serving, request_rate
from fadecast.duty.load_fit import autocorrelation
from fadecast.locations import data_root

TRACE = data_root() / "ai_load" / "servegen_llm_request_rate" / "request_rate_10min.csv"
TABLE = Path(__file__).parents[2] / "results" / "reported" / "duty_fit" / "accepted.csv"
HELD_OUT = ("reason__deepseek-r1", "multimodal__mm-image")
"""One day each; the fit is to the fourteen days of the language models."""
UTILISATION, DAYS, STEPS = 0.5, 300, 144

LIMITS = {
    "distance of rates": ("at most", 0.20),
    "correlation after 10 min": ("within", 0.15),
    "correlation after 1 h": ("within", 0.15),
    "change of rate in 10 min": ("factor", 1.5),
    "distance of power": ("at most", 0.03),
    "largest changes of power in 10 min": ("factor", 2.0),
}
"""What a measured day may differ by from the median drawn day: a distance at most, a value within, a factor."""


def main() -> None:
    """Score both services."""
    drawn = request_rate(np.random.default_rng(0), Requests.measured(), 10)[: DAYS * STEPS].reshape(DAYS, STEPS)
    rows = [row for name in HELD_OUT for row in scored(name, measured(name), drawn)]
    table = pd.DataFrame(rows)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(TABLE, index=False, float_format="%.4g")
    print(table.to_string(index=False))
    print(f"accepted: {table['accepted'].sum()} of {len(table)}")


def measured(name: str) -> np.ndarray:
    """Return the request rate of a day over its mean [1], `(step,)`."""
    rate = pd.read_csv(TRACE)[name].dropna().to_numpy(float)[:STEPS]
    return np.asarray(rate / rate.mean())


def scored(service: str, day: np.ndarray, drawn: np.ndarray) -> list[dict[str, object]]:
    """Return what was measured and drawn of each limit, and whether it is kept."""
    drawn = drawn / drawn.mean(axis=1, keepdims=True)
    one, many = statistics(day), [statistics(each) for each in drawn]
    power, typical = served(day), served(drawn)
    distances = {
        "distance of rates": (
            ks_2samp(day, drawn.ravel()).statistic,
            [ks_2samp(d, drawn.ravel()).statistic for d in drawn],
        ),
        "distance of power": (
            wasserstein_distance(power, typical.ravel()),
            [wasserstein_distance(p, typical.ravel()) for p in typical],
        ),
    }
    rows = []
    for name, (kind, limit) in LIMITS.items():
        found, of_drawn = distances[name] if name in distances else (one[name], [each[name] for each in many])
        middle = float(np.median(of_drawn))
        kept = {
            "at most": found <= limit,
            "within": abs(found - middle) <= limit,
            "factor": 1.0 / limit <= found / middle <= limit,
        }[kind]
        low, high = np.quantile(of_drawn, [0.05, 0.95])
        row = {
            "service": service,
            "quantity": name,
            "measured": found,
            "drawn": middle,
            "drawn_05": low,
            "drawn_95": high,
        }
        rows.append({**row, "limit": f"{kind} {limit:g}", "accepted": bool(kept)})
    return rows


def statistics(rate: np.ndarray) -> dict[str, float]:
    """Return memory and changes of a day of rates over their mean."""
    after = autocorrelation(rate, (1, 6))
    return {
        "correlation after 10 min": float(after[0]),
        "correlation after 1 h": float(after[1]),
        "change of rate in 10 min": float(np.diff(rate).std()),
        "largest changes of power in 10 min": float(np.quantile(np.abs(np.diff(served(rate))), 0.99)),
    }


def served(rate: np.ndarray) -> np.ndarray:
    """Return accelerator power over rated power [1]."""
    return Serving.measured().power(np.minimum(UTILISATION * rate, 1.0))


if __name__ == "__main__":
    main()
