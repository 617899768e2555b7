"""Fit the workload statistics that ship with the package to measured traces, and print how good they are.

Run as `python experiments/duty_fit/fit_load.py`; the measured files must be in the data folder.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from fadecast.duty.inference import Requests, Serving, request_rate
from fadecast.duty.load_fit import (
    autocorrelation,
    fit_accelerator_power,
    fit_requests,
    fit_serving,
    fit_training,
    slot_correlation,
)
from fadecast.duty.training import AcceleratorPower, Training
from fadecast.locations import data_root
from fadecast.package_data import write_table

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "src" / "fadecast" / "data" / "ai_load.json"
SOURCES = [
    "accelerator and server power: Acme clusters, Hu et al., NSDI 2024 (CC-BY-4.0)",
    "occupancy: Philly, Jeon et al., ATC 2019; Helios, Hu et al., SC 2021 (MIT; Philly CC-BY)",
    "request rate: ServeGen, Xiang et al. 2025, arXiv:2505.09999 (Apache-2.0)",
    "serving power: ML.ENERGY benchmark, Chung et al. 2025 (Apache-2.0)",
]
A100_WATT, H100_WATT, PER_SERVER = 400.0, 700.0, 8
OUTAGE = 0.3  # occupied share below which the whole cluster is taken to be down, not idle
FITTED = ("slots", "occupancy", "job_hours", "job_spread")
LAGS = (1, 4, 12, 24, 48, 96)  # h


def main() -> None:
    """Fit and write every part."""
    load = data_root() / "ai_load"
    power, offset = acme(load / "acme_shanghai_ailab_power_cdf")
    minutes = {
        name: pd.read_csv(load / "helios_philly_cluster_util" / f"{file}_minute.csv.gz")
        for name, file in [("philly", "philly_active_nodes"), ("helios_earth", "helios_earth_vc6YE")]
    }
    minutes["philly"]["gpu_utilization"] = minutes["philly"]["active"] / minutes["philly"]["total"]
    training = {name: occupancy(name, table["gpu_utilization"].to_numpy()) for name, table in minutes.items()}
    table = {
        "source": SOURCES,
        "licence": "fitted statistics of openly licensed data, named in source",
        "training": {
            "idle_power": power.idle,
            "busy_power": power.busy,
            "occupancy": {name: {key: asdict(found)[key] for key in FITTED} for name, found in training.items()},
        },
        "server": {"offset": offset},
        "requests": vars(servegen(load / "servegen_llm_request_rate" / "request_rate_10min.csv")),
        "serving": asdict(serving(load / "ml_energy_v3" / "lm-arena-chat.json", float(power.idle.mean()))),
    }
    write_table(TABLE, table)


def acme(folder: Path) -> tuple[AcceleratorPower, float]:
    """Fit accelerator power to both clusters, and the server's own power to the means."""
    share = np.linspace(0, 1, 1000)
    watts = np.sort(np.concatenate([cdf(folder, f"gpu_power_{c}", "gpu_power_W") for c in ("kalos", "seren")]))
    idle = [float((cdf(folder, f"util_gpu_{c}", "col0") <= 0).mean()) for c in ("kalos", "seren")]
    power = fit_accelerator_power(watts / A100_WATT, np.linspace(0, 1, watts.size), float(np.mean(idle)))
    print(
        f"accelerator power over rated: idle mean {power.idle.mean():.3f}, "
        f"busy mean {power.busy.mean():.3f}, idle share {np.mean(idle):.3f}"
    )
    seren = cdf(folder, "gpu_power_seren", "gpu_power_W") * PER_SERVER
    server = cdf(folder, "server_power", "gpu_server_W")
    still = share < idle[1]
    slope = (server.mean() - server[still].mean()) / (seren.mean() - seren[still].mean())
    own = server.mean() - slope * seren.mean()
    full = own + slope * A100_WATT * PER_SERVER
    print(
        f"server: {own:.0f} W + {slope:.2f} x accelerators; {full:.0f} W with all at rated power, highest "
        f"measured {server.max():.0f} W"
    )
    return power, float(own / full)


def cdf(folder: Path, name: str, column: str) -> np.ndarray:
    """Return the 1,000 equally spaced quantiles of a file."""
    return np.sort(pd.read_csv(folder / f"{name}.csv")[column].to_numpy(float))


def occupancy(name: str, series: np.ndarray) -> Training:
    """Fit the slots to a cluster, outages left out."""
    up = np.where(series < OUTAGE, np.nan, series)
    found = fit_training(up, 1.0, LAGS)
    measured = autocorrelation(up, tuple(60 * lag for lag in LAGS))
    print(
        f"{name}: mean {np.nanmean(up):.3f}, sd {np.nanstd(up):.3f}, down {np.isnan(up).mean():.3f}; "
        f"fitted slots {found.slots}, job {found.job_hours:.0f} h, spread {found.job_spread}; "
        f"correlation after {LAGS} h measured {measured.round(2).tolist()}, "
        f"fitted {slot_correlation(found, LAGS).round(2).tolist()}"
    )
    return found


def servegen(path: Path) -> Requests:
    """Fit the request rate, and test on the other week whether a weekly course holds."""
    rate = pd.read_csv(path).filter(like="language").sum(axis=1).to_numpy(float).copy()
    found = fit_requests(rate, 1 / 6)
    print(f"requests: fast share {found.fast_share:.2f}, {found.fast_hours:.2f} h and {found.slow_hours:.1f} h")
    weeks = rate.reshape(2, 7, 24, 6).mean(axis=3)
    weeks /= weeks.mean(axis=(1, 2), keepdims=True)
    for label, course in [("hour of week", weeks), ("hour of day", weeks.mean(axis=1, keepdims=True))]:
        miss = [np.sqrt(((weeks[1 - a] - course[a]) ** 2).mean()) for a in (0, 1)]
        print(f"  {label} of one week on the other, relative error (RMS): {np.round(miss, 3).tolist()}")
    drawn = np.concatenate([request_rate(np.random.default_rng([3, k]), found, 10)[: 6 * 24 * 360] for k in range(4)])
    q = [0.05, 0.25, 0.5, 0.75, 0.95]
    print(
        f"  rate over mean, quantiles 5/25/50/75/95 %: drawn {np.quantile(drawn, q).round(2).tolist()}, "
        f"measured {np.quantile(rate / rate.mean(), q).round(2).tolist()}"
    )
    lags = (1, 6, 36, 72, 144)
    print(
        f"  correlation after {lags} steps of 10 min: "
        f"drawn {autocorrelation(drawn, lags).round(2).tolist()}, "
        f"measured {autocorrelation(rate, lags).round(2).tolist()}"
    )
    return found


def serving(path: Path, idle: float) -> Serving:
    """Fit power against throughput of each model's own highest throughput, at least four batch sizes."""
    runs = pd.DataFrame(json.loads(path.read_text())["configurations"]).query("gpu_model == 'H100'")
    tokens = runs["output_throughput_tokens_per_sec"]
    group = tokens.groupby([runs[key] for key in ("model_id", "num_gpus", "tensor_parallel", "expert_parallel")])
    several = group.transform("size") >= 4
    throughput = (tokens / group.transform("max"))[several].to_numpy()
    power = (runs["avg_power_watts"] / runs["num_gpus"] / H100_WATT)[several].to_numpy()
    found = fit_serving(throughput, power, idle)
    miss = power - found.power(throughput)
    print(
        f"serving ({power.size} runs): {found}, root mean square error {np.sqrt((miss**2).mean()):.3f}, "
        f"R2 {1 - miss.var() / power.var():.2f}"
    )
    return found


if __name__ == "__main__":
    main()
