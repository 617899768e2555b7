"""How far tables of the engine are off the engine, over draws of the posterior that they were made for."""

import argparse
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.calibration.joint_model import Series, conditions, count_of
from fadecast.calibration.laws import AgeingLaw, Unknown
from fadecast.calibration.makes import MAKES
from fadecast.calibration.rate_tables import Place, losses, tabulate, tabulated
from fadecast.calibration.shipped_rates import Condition, predict
from fadecast.cell.model import build_cell
from fadecast.decades.regimes import CyclingStep
from fadecast.rate_calibrating import cycled_place, measured_series
from fadecast.scored_cells import STORED

TOLERANCE = 1e-3


def main() -> None:
    """Print the errors of a law's tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", choices=sorted(MAKES), default="lgm50")
    parser.add_argument("--law", default="solvent")
    parser.add_argument("--draws", type=int, default=20, help="of the posterior")
    given = parser.parse_args()
    if given.law not in MAKES[given.make].laws:
        parser.error(f"--law {given.law}: {given.make} has {', '.join(MAKES[given.make].laws)}")
    law = MAKES[given.make].laws[given.law]
    measured = measured_series(given.make)
    stored, cycled, _ = measured
    groups = conditions(cycled.temperature)
    one_each = np.array([np.flatnonzero(groups == n)[0] for n in range(count_of(groups))])
    kinds: dict[str, tuple[Sequence[Unknown], Place, Sequence[CyclingStep], Series]] = {
        "stored": (law.stored, Place(stored.temperature, stored.charge), (STORED,), stored),
        "cycled": (law.run_at, *cycled_place(measured), cycled),
    }
    for kind, (unknowns, place, steps, series) in kinds.items():
        own = one_each if kind == "cycled" else np.arange(len(place.temperature))
        varied = law.stored if kind == "stored" else law.cycled
        cell = build_cell(law.chemistry, tuple(unknown.parameter for unknown in varied))
        began = time.perf_counter()
        table = tabulate(cell, unknowns, place, steps, series.days[own], np.arange(len(own)), TOLERANCE)
        made = time.perf_counter() - began
        logs = _drawn(given.make, law, place, series.charge[own], kind == "stored", given.draws)
        read = np.stack([np.asarray(tabulated(table, jnp.asarray(each)))[:, 0] for each in logs])
        times = np.unique(np.concatenate([[0.0], series.days[own].ravel()]))
        inputs = {
            u.parameter: jnp.asarray(u.centre * np.exp(logs[..., n].ravel()))[None] for n, u in enumerate(unknowns)
        }
        lanes = jax.tree.map(lambda values: np.tile(values, given.draws), place)
        run = losses(cell, inputs, lanes, steps, times, TOLERANCE)[0].reshape(len(times), given.draws, len(own))
        at = np.searchsorted(times, series.days[own])
        off = 100.0 * np.abs(read - np.stack([run[at[n], :, n].T for n in range(len(own))], axis=1))
        print(
            f"{kind}: {read[..., 0].size} lanes, error of the loss {np.median(off):.4f} pp (median), "
            f"{np.quantile(off, 0.99):.4f} pp (99 %), table in {made:.0f} s"
        )


def _drawn(make: str, law: AgeingLaw, place: Place, charge: np.ndarray, rests: bool, draws: int) -> np.ndarray:
    """Return logarithms of the multiples, `(draws, cells, unknowns)`."""
    rng = np.random.default_rng(0)
    unknowns = law.stored if rests else law.run_at
    worn = bool(law.start) and not rests
    each = [
        predict(law.name, Condition(t, c, rests, worn=worn), None, draws, rng, make)
        for t, c in zip(place.temperature, charge, strict=True)
    ]
    return np.stack([np.stack([np.log(d.multiples[u.parameter]) for u in unknowns], -1) for d in each], axis=1)


if __name__ == "__main__":
    main()
