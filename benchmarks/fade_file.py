"""A fade dataset of a large fleet: written block by block, opened lazily, its statistics read.

100,000 packs in blocks of 805, 120 months, every variable of a forecast; values are drawn, for only their volume
matters. `python benchmarks/fade_file.py [--packs N]` prints seconds, size and peak memory of each part.
"""

import argparse
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.streams import Block, write_blocks

PACKS, BLOCK, MONTHS = 100_000, 805, 120
DIMS = ("draw", "pack", "time")
NAMES = [
    name
    for name, variable in variables.VARIABLES.items()
    if variable.dims == DIMS and name not in ("retention", "outcome")
]


def main() -> None:
    """Write, open, and take statistics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=int, default=PACKS)
    packs = parser.parse_args().packs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fade.nc"
        begin = perf_counter()
        write_blocks(path, header(packs), blocks(packs))
        size = path.stat().st_size / 1e9
        print(
            f"write {packs} packs, {len(NAMES) + 1} variables: {perf_counter() - begin:.1f} s, {size:.2f} GB, {peak()}"
        )
        begin = perf_counter()
        fade = xr.open_dataset(path)
        print(f"open: {perf_counter() - begin:.2f} s, {peak()}")
        begin = perf_counter()
        retention = fade["retention"]
        mean, low = retention.mean("pack").values, retention.quantile(0.05, "pack").values
        print(f"mean and 5 % quantile of retention by month: {perf_counter() - begin:.2f} s, {peak()}")
        assert mean.shape == low.shape == (1, MONTHS + 1)
        begin = perf_counter()
        one = fade[NAMES].isel(pack=packs // 2).load()
        print(f"all of one pack: {perf_counter() - begin:.2f} s, {one.nbytes / 1e3:.0f} kB")


def header(packs: int) -> xr.Dataset:
    """Return the coordinates."""
    time = np.arange(MONTHS + 1) / 12.0
    return variables.describe(xr.Dataset(coords={"draw": [0], "pack": np.arange(packs), "time": time}))


def blocks(packs: int) -> Iterator[Block]:
    """Draw blocks: what fades, noise and all, compresses as little as a forecast does."""
    for first in range(0, packs, BLOCK):
        here = slice(first, min(first + BLOCK, packs))
        shape = (1, here.stop - first, MONTHS + 1)
        rng = np.random.default_rng(first)
        retention = np.cumprod(1.0 - 0.001 * rng.random(shape), axis=2)
        values = {name: 0.5 * retention * rng.random(shape) for name in NAMES} | {"retention": retention}
        yield {"pack": here}, xr.Dataset({name: (DIMS, value) for name, value in values.items()})


def peak() -> str:
    """Return the peak memory so far."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


if __name__ == "__main__":
    main()
