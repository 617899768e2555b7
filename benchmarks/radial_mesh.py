"""How few radial points a particle needs, and where: error of each ageing state, and time, for a set of meshes.

The nine aged cells of `work_precision.py` follow three hours of its AI load and of a regulation signal that changes
every 20 s (`two_day_loads.py`). The error of a mesh is that of the change of each state, worst of the nine cells,
against the limit of fine meshes (Richardson's, from 80 and 160 uniform points); time steps add 1e-4 at most. Time is
per cell-day on all cores, in batches of 1024, three nodes and twelve samples in single precision.

`python benchmarks/radial_mesh.py` writes the table to `results/reported/radial_mesh`.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from fadecast.cell.profile import Stepping, run_profile
from fadecast.pipeline import use_compilation_cache
from two_day_loads import regulation
from work_precision import CELLS, LIMITS, WATCHED, Bench

ROOT = Path(__file__).parents[1]
HOURS = 3
FINE, TIMED = (
    Stepping(nodes=8, samples=24, tolerance=None),
    Stepping(nodes=3, samples=12, tolerance=None, precision="single"),
)
BATCH = 1024


class Mesh(NamedTuple):
    """Points per particle, and how much wider the innermost is than the outermost, as a logarithm."""

    points: int
    stretch: float


COARSE, FINEST = Mesh(80, 0.0), Mesh(160, 0.0)
MESHES = (
    *(Mesh(points, 0.0) for points in (5, 10, 20, 40)),
    COARSE,
    *(Mesh(10, stretch) for stretch in (0.5, 1.0, 1.5, 2.0)),
    *(Mesh(points, 1.0) for points in (5, 7, 14, 20)),
)


def changes(bench: Bench, load: str) -> dict[str, np.ndarray]:
    """Change of each ageing state of the nine cells under one of the loads, in PyBaMM's units."""
    if load == "regulation":
        shape = regulation().first(HOURS)
        bench.load = bench.load._replace(shape=shape.shares, load_step=shape.load_step)
    cell, step = bench.cell, bench.load.load_step
    follow = jax.jit(lambda y, window, profile: run_profile(cell, LIMITS, FINE, step, y, {}, window, profile).end)
    end = follow(*bench.lanes(np.arange(CELLS)))
    return {name: np.asarray(cell.physical(end, name) - cell.physical(bench.start, name)) for name in WATCHED}


def errors(bench: Bench, found: dict[str, np.ndarray], limit: dict[str, np.ndarray]) -> dict[str, float]:
    """Worst error of each state over its change, or over 1e-7 of all lithium where that is larger [1]."""
    floor = 1e-7 * bench.cell.fresh_lithium / bench.cell.negative.volume
    floors = {name: floor if name in ("sei", "plated", "dead") else 0.0 for name in WATCHED}
    return {
        name: float(np.max(np.abs(found[name] - limit[name]) / np.maximum(np.abs(limit[name]), floors[name])))
        for name in WATCHED
    }


def measured(load: str) -> list[dict[str, object]]:
    """Compare every mesh under one load."""
    fine, finest = (changes(Bench(60 * HOURS, *mesh), load) for mesh in (COARSE, FINEST))
    limit = {name: (4.0 * finest[name] - fine[name]) / 3.0 for name in WATCHED}
    rows = []
    for mesh in MESHES:
        bench = Bench(60 * HOURS, *mesh)
        rows.append({"load": load, **mesh._asdict(), **errors(bench, changes(bench, load), limit)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure times, then errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "reported" / "radial_mesh")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    use_compilation_cache()
    seconds = {mesh: Bench(60 * HOURS, *mesh).lowered(TIMED, BATCH)[1]["seconds"] for mesh in MESHES}
    print({mesh: f"{1e3 * time:.2f} ms" for mesh, time in seconds.items()}, flush=True)
    table = pd.DataFrame([row for load in ("AI", "regulation") for row in measured(load)])
    table["milliseconds"] = [1e3 * seconds[Mesh(*key)] for key in zip(table["points"], table["stretch"], strict=True)]
    table["worst"] = table[list(WATCHED)].max(axis=1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "radial_mesh.csv", index=False, float_format="%.3g")
    print(table.to_string(float_format="{:.2g}".format))


if __name__ == "__main__":
    main()
