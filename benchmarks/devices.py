"""Rate of the leap on any device of JAX: one evaluation of typical days for more and more packs at once.

What a macro step costs is measured, on the packs and the duty of `configs/nevada.yaml` (one draw, every pack repeated
as often as needed), in double precision and with single-precision rates. A decade is taken to need as many evaluations
as `--evaluations` says.

`python benchmarks/devices.py --export FOLDER` writes the programs for CPUs and CUDA devices, and their inputs;
`python benchmarks/devices.py --measure FOLDER` runs them where there is nothing but JAX and NumPy, checks the results
of all sizes against the smallest one, and prints a table. Both need the package `flatbuffers`.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import jax
import numpy as np

SIZES = (64, 1024, 8192, 32768)
PRECISIONS: tuple[Literal["double", "single"], ...] = ("double", "single")
CONFIG = Path(__file__).parents[1] / "configs" / "nevada.yaml"


def main() -> None:
    """Write the programs, or run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write programs and inputs")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help="run the programs of a folder")
    parser.add_argument("--evaluations", type=int, default=17, help="evaluations of a decade (default: 17)")
    chosen = parser.parse_args()
    if not chosen.export and not chosen.measure:
        parser.error("give --export FOLDER, --measure FOLDER or both")
    jax.config.update("jax_enable_x64", True)
    if chosen.export:
        export(chosen.export)
    if chosen.measure:
        measure(chosen.measure, chosen.evaluations)


def export(folder: Path) -> None:
    """Write a program for each size and precision, and the inputs of the smallest."""
    from dataclasses import replace

    from fadecast.cell.aged import SlowState
    from fadecast.cell.model import build_cell
    from fadecast.decades.leap import daily_rates
    from fadecast.decades.service import Operation
    from fadecast.decades.typical_days import EXTREME_DAYS
    from fadecast.decades.years import day_batch
    from fadecast.duty import make_duty
    from fadecast.ensemble import make_ensemble
    from fadecast.fade import capacity_of
    from fadecast.population import in_service, make_population
    from fadecast.study import load_study

    folder.mkdir(parents=True, exist_ok=True)
    study = load_study(CONFIG, [f"packs={SIZES[0]}", "draws=1"])
    duty = make_duty(study.site, study.duty, 1, study.packs, study.seed)
    capacity = capacity_of(build_cell(study.cell.chemistry))
    service = in_service(study.cell.chemistry, duty)
    population = make_population(study.population, 1, study.packs, study.seed, capacity, service=service)
    ensemble = make_ensemble(study.cell, study.decades, duty, population, study.years)
    lanes = np.arange(SIZES[0])
    slow, inputs, _ = ensemble.start(lanes)
    days = day_batch(
        [ensemble.prepared.typical(0)] * len(lanes), ensemble.operation.cell, study.decades.typical_days + EXTREME_DAYS
    )
    given = (tuple(slow), dict(inputs), days)
    flat, structure = jax.tree.flatten(given)
    arrays: dict[str, Any] = {f"{n:03d}": np.asarray(value) for n, value in enumerate(flat)}
    np.savez(folder / "inputs.npz", **arrays)
    for precision in PRECISIONS:
        stepping = replace(ensemble.operation.stepping, precision=precision)
        operation = replace(ensemble.operation, stepping=stepping)

        def evaluate(operation: Operation, *values: jax.Array) -> list[jax.Array]:
            row, given_inputs, given_days = jax.tree.unflatten(structure, values)
            return jax.tree.leaves(daily_rates(operation, ensemble.spin_up, SlowState(*row), given_inputs, given_days))

        for size in SIZES:
            shapes = [jax.ShapeDtypeStruct((*v.shape[:-1], size), v.dtype) for v in flat]
            program = jax.export.export(jax.jit(partial(evaluate, operation)), platforms=("cpu", "cuda"))(*shapes)
            (folder / f"{precision}-{size}.bin").write_bytes(program.serialize())
    about = {"days": float(days.power.shape[1]), "steps_per_day": ensemble.operation.steps_per_day}
    about["day_length"] = days.power.shape[0] / ensemble.operation.steps_per_day
    (folder / "about.json").write_text(json.dumps(about))


def measure(folder: Path, evaluations: int) -> None:
    """Time each program and compare its results to those of the smallest one in double precision."""
    about = json.loads((folder / "about.json").read_text())
    stored = np.load(folder / "inputs.npz")
    small = [stored[name] for name in sorted(stored.files)]
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}", flush=True)
    print("precision packs compile_s run_s cell_days/s pack_years/s worst_difference", flush=True)
    truth = None
    for precision in PRECISIONS:
        for size in SIZES:
            program = jax.jit(jax.export.deserialize(bytearray((folder / f"{precision}-{size}.bin").read_bytes())).call)
            given = [jax.device_put(np.concatenate([value] * (size // SIZES[0]), axis=-1)) for value in small]
            begin = perf_counter()
            found = jax.block_until_ready(program(*given))
            compiled, begin = perf_counter() - begin, perf_counter()
            found = jax.block_until_ready(program(*given))
            seconds = perf_counter() - begin
            values = [np.asarray(value)[..., : SIZES[0]] for value in found]
            truth = truth or values
            # Over the largest of each quantity: some are zero in some packs.
            worst = max(
                float(np.abs(v - t).max() / max(np.abs(t).max(), 1e-300)) for v, t in zip(values, truth, strict=True)
            )
            days = size * about["days"] * about["day_length"] / seconds
            years = 10.0 * size / (evaluations * seconds)
            print(f"{precision} {size} {compiled:.1f} {seconds:.3f} {days:.0f} {years:.1f} {worst:.1e}", flush=True)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
