"""How long a price takes, and how much memory: packs and draws up to a hundred million lanes, streamed from disk.

    python benchmarks/price_scale.py --draws 1000 --packs 100000

The fade dataset is made by formula, at the start and once a year; what is timed is `fadecast.warranty.price` alone.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.files import open_netcdf
from fadecast.streams import Block, write_blocks
from fadecast.warranty import Contract, Failures, Premium, Test, price, summary_line

YEARS = np.arange(11.0)
CONTRACT = Contract(guarantee=((0.0, 0.98), (10.0, 0.75)))
FULL = Contract(
    guarantee=((0.0, 0.98), (10.0, 0.75)),
    test=Test(bias_sd=0.01, noise_sd=0.01),
    failures=Failures(per_year=0.003, defect_probability=0.05),
)


def main() -> None:
    """Time the price of one fade dataset under a plain contract, and under one with chance in it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--packs", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fade.nc"
        header = xr.Dataset(coords={"draw": np.arange(given.draws), "pack": np.arange(given.packs), "time": YEARS})
        write_blocks(path, variables.describe(header), fades(given.draws, given.packs))
        timed(path, "plain", CONTRACT)
        timed(path, "tests that err, failures", FULL)


def timed(path: Path, name: str, contract: Contract) -> None:
    """Price a contract, and print how long that took and the most memory that there was in use until now."""
    with open_netcdf(path) as fade:
        began, used = time.perf_counter(), time.process_time()
        priced = price(fade, contract, Premium(), 78.0, 1)
        seconds, used = time.perf_counter() - began, time.process_time() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {summary_line(priced)}")
    print(f"draws: {priced.sizes['draw']} packs: {priced.sizes['pack']} memory_gb: {memory:.2f}")
    print(f"seconds: {seconds:.1f} core_seconds: {used:.1f}")


def fades(draws: int, packs: int) -> Iterator[Block]:
    """Make a draw at a time: packs that lose capacity by the root of time, at rates that draws share in part."""
    rng = np.random.default_rng(0)
    for draw in range(draws):
        rate = 0.05 * np.exp(0.4 * rng.normal() + 0.3 * rng.normal(size=(1, packs, 1)))
        retention = np.maximum(1.0 - rate * np.sqrt(YEARS), 0.0)
        values = {"retention": retention, "soh": 0.7 * retention}
        dataset = xr.Dataset({name: (("draw", "pack", "time"), value) for name, value in values.items()})
        yield {"draw": slice(draw, draw + 1)}, dataset


if __name__ == "__main__":
    main()
