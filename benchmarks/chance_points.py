"""How far chance moves a price, given a forecast: evenly spread and tilted numbers of draws against independent ones.

    python benchmarks/chance_points.py

The same fades, by formula, are priced under 200 seeds of failures, defects of batches and early ends. What is held
against each other is the standard deviation of the expected loss over seeds; its square is as many times smaller as
independent draws would have to be more. The last rows are of the tail mean at 99.5 % where batches can be defective:
defects sampled more often and weighed back (`premium.defect_sampling`), against as many draws as they are.
Writes `results/chance_points/chance_points.csv`.
"""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from fadecast.warranty import Contract, Failures, ReplacementRemedy, Termination, inspection
from fadecast.warranty.claims import settle
from fadecast.warranty.remedies import Array
from fadecast.warranty.tails import value_at_risk

OUT = Path(__file__).parents[1] / "results" / "chance_points"
YEARS = np.arange(11.0)
PACKS, SEEDS = 40, 200
CONTRACT = Contract(remedy=ReplacementRemedy(kind="replacement"))
PRIOR = Failures(per_year=0.003)
CASES = {
    "sudden failures": Contract(remedy=CONTRACT.remedy, failures=PRIOR),
    "defects of batches": Contract(remedy=CONTRACT.remedy, failures=Failures(defect_probability=0.05)),
    "early ends of failing packs": Contract(
        remedy=CONTRACT.remedy, failures=PRIOR, termination=Termination(per_year=0.05)
    ),
}


def main() -> None:
    """Price under many seeds by both; print what draws are worth."""
    rows: list[dict[str, float | str]] = []
    for draws in (16, 64, 256):
        fade = faded(draws)
        for name, contract in CASES.items():
            spreads = []
            for points in (inspection.chances, independent):
                with patch.object(inspection, "chances", points):
                    spreads.append(
                        float(np.std([expected_loss(fade, contract, seed) for seed in range(SEEDS)], ddof=1))
                    )
            even, alone = spreads
            rows.append({"draws": draws, "case": name, "independent": alone, "even": even, "gain": (alone / even) ** 2})
            print(rows[-1], flush=True)
    rows += tails(1000)
    OUT.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(OUT / "chance_points.csv", index=False, float_format="%.4g")


def faded(draws: int, least: float = 0.72) -> xr.Dataset:
    """Packs that lose capacity by the root of time, at rates that draws share in part, none to less than `least`."""
    rng = np.random.default_rng(0)
    rate = 0.05 * np.exp(0.2 * rng.normal(size=(draws, 1, 1)) + 0.1 * rng.normal(size=(draws, PACKS, 1)))
    retention = np.maximum(1.0 - rate * np.sqrt(YEARS), least)
    dims = ("draw", "pack", "time")
    values = {"retention": (dims, retention), "soh": (dims, 0.75 * retention)}
    return xr.Dataset(values, coords={"time": ("time", YEARS, {"units": "year"})})


def independent(seed: int, draws: range, batches: int) -> Float[Array, "draws chances"]:
    """Return as many independent uniform numbers."""
    return np.random.default_rng([seed, 7]).random((draws.stop, 2 + 2 * batches))[draws.start :]


def expected_loss(fade: xr.Dataset, contract: Contract, seed: int) -> float:
    """Return the expected loss [USD per kWh of base energy]."""
    claims = settle(fade, contract, 0.04, 78.0, seed)
    return float(claims.loss.sum() / claims.base_energy.sum())


def tails(draws: int) -> list[dict[str, float | str]]:
    """Tilt defects where they alone make the tail, and where fast fade does too; return what draws are worth."""
    rows: list[dict[str, float | str]] = []
    for name, least in (("tail of defects", 0.72), ("tail of defects and fade", 0.0)):
        fade, spread = faded(draws, least), {}
        for sampled in (None, 0.1, 0.2):
            with patch.object(inspection, "chances", independent):
                found = [tail_mean(fade, CASES["defects of batches"], seed, sampled) for seed in range(SEEDS)]
            spread[sampled] = float(np.std(found, ddof=1))
            if sampled is not None:
                alone, tilted = spread[None], spread[sampled]
                case = f"{name}, sampled at {sampled:g}"
                rows.append(
                    {"draws": draws, "case": case, "independent": alone, "even": tilted, "gain": (alone / tilted) ** 2}
                )
                print(rows[-1], flush=True)
    return rows


def tail_mean(fade: xr.Dataset, contract: Contract, seed: int, sampled: float | None) -> float:
    """Return the mean loss of the worst 0.5 % [USD per kWh of base energy]."""
    claims = settle(fade, contract, 0.04, 78.0, seed, sampled)
    loss = claims.loss.sum(axis=1) / claims.base_energy.sum(axis=1)
    return float(value_at_risk(loss, claims.weight[None], np.array([0.995]))[1].item())


if __name__ == "__main__":
    main()
