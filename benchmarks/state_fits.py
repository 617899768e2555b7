"""Time a thousand slow curves fitted as one batch with posterior, beside ampworks' point estimate of some of them.

Run as `python benchmarks/state_fits.py`, on an idle machine. Curves are made from the graphite and NMC half cells that
ampworks ships, each cell with electrodes, noise and a smooth discrepancy of its own. Ends with
`curves: N seconds_per_curve: S ratio_to_ampworks: R negative_error_ours: A ampworks: B`, the median errors of the
negative capacity.
"""

import time
import warnings
from argparse import ArgumentParser
from importlib.resources import files

import jax.numpy as jnp
import numpy as np
import pandas as pd

from fadecast.calibration.curve_posterior import Priors
from fadecast.calibration.half_cell import electrode, half_cell
from fadecast.calibration.open_circuit import POINTS, Curve, Electrodes, State, mean_voltages
from fadecast.calibration.state_fit import Sampling, disagreement, fit_states
from fadecast.pipeline import use_compilation_cache

NOMINAL = 0.022
NOISE, DISCREPANCY = 5e-4, 1.5e-3
PEERS = 6


def table(name: str) -> pd.DataFrame:
    """Read a half-cell curve that ampworks ships."""
    return pd.read_csv(str(files("ampworks") / "datasets" / "resources" / "dqdv" / f"{name}.csv"))


def half_cells() -> Electrodes:
    """Return the half cells."""
    return Electrodes(*(electrode(half_cell(*table(name)[["Ah", "Volts"]].to_numpy().T)) for name in HALVES))


HALVES = ("gr_smooth", "nmc_smooth")


def made_up(electrodes: Electrodes, count: int) -> tuple[Curve, State]:
    """Draw cells of 60 to 100 % of their capacity, and their discharges."""
    rng = np.random.default_rng(0)
    place = np.arange(POINTS) / POINTS / Priors().discrepancy_length
    distance = np.sqrt(3.0) * np.abs(place[:, None] - place)
    root = np.linalg.cholesky((1.0 + distance) * np.exp(-distance) + 1e-10 * np.eye(POINTS))
    curves, states = [], []
    for _ in range(count):
        negative, positive = NOMINAL * np.array([1.24, 1.18]) * rng.uniform(0.65, 1.0, 2)
        x, y = rng.uniform(0.02, 0.05), rng.uniform(0.93, 0.98)
        passed = min((0.95 - x) * negative, (y - 0.12) * positive)
        middle = x + 0.5 * passed / negative, y - 0.5 * passed / positive
        state = State(*map(jnp.asarray, (negative, positive, *middle, 0.002 * rng.normal(), 0.0)))
        ones = jnp.ones(POINTS)
        curve = Curve(jnp.asarray(passed / POINTS), ones, ones, jnp.asarray(-1.0), jnp.asarray(0.0))
        voltage = np.asarray(mean_voltages(electrodes, state, curve))
        trust = 1.0 / np.sqrt(1.0 + (np.abs(np.gradient(voltage)) * POINTS * 1e-3 / 5e-3) ** 2)
        error = DISCREPANCY * root @ rng.normal(size=POINTS) + NOISE * rng.normal(size=POINTS)
        curves.append(curve._replace(voltage=jnp.asarray(voltage + error / trust), trust=jnp.asarray(trust)))
        states.append(state)
    return Curve(*(jnp.stack(f) for f in zip(*curves, strict=True))), State(*map(jnp.stack, zip(*states, strict=True)))


def by_ampworks(curve: Curve) -> float:
    """Return the negative capacity that ampworks finds, from its grid search and fit with default terms [A.h]."""
    from ampworks.dqdv import DqdvFitter

    halves = [table(name).assign(SOC=lambda f: f["Ah"] / f["Ah"].max()) for name in HALVES]
    charge = float(curve.step) * (np.arange(POINTS) + 0.5)
    cell = pd.DataFrame(
        {"Ah": charge, "SOC": (charge - charge[0]) / np.ptp(charge), "Volts": np.asarray(curve.voltage)}
    )
    fitter = DqdvFitter(*halves, cell)
    found = fitter.constrained_fit(fitter.grid_search(11)["x"]).x
    return float(np.ptp(charge) / (found[1] - found[0]))


def main() -> None:
    """Time both."""
    parser = ArgumentParser()
    parser.add_argument("--curves", type=int, default=1000)
    count = parser.parse_args().curves
    use_compilation_cache()
    electrodes = half_cells()
    curves, truth = made_up(electrodes, count)
    sampling = Sampling(draws=250, warmup=100)
    began = time.perf_counter()
    found = fit_states(electrodes, curves, NOMINAL, Priors(), sampling, 0)
    seconds = time.perf_counter() - began
    negative = np.asarray(found.state.negative_capacity).reshape(count, -1)
    error = np.abs(negative.mean(axis=1) / np.asarray(truth.negative_capacity) - 1.0)
    low, high = np.quantile(negative, (0.05, 0.95), axis=1)
    inside = np.mean((truth.negative_capacity >= low) & (truth.negative_capacity <= high))
    agreement = disagreement(found)
    print(f"batch of {count}: {seconds:.1f} s, compilation included; {4 * 250} draws of each curve")
    print(f"R-hat: median {np.median(agreement):.3f}, largest {agreement.max():.3f}")
    print(f"90 % intervals of the negative capacity hold it in {inside:.1%}; worst error {error.max():.1%}")
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = np.array([by_ampworks(Curve(*(field[n] for field in curves))) for n in range(PEERS)])
    peer = (time.perf_counter() - began) / PEERS
    others = np.abs(theirs / np.asarray(truth.negative_capacity[:PEERS]) - 1.0)
    print(f"ampworks: {peer:.2f} s a curve, a point; errors of {PEERS}: {', '.join(f'{e:.1%}' for e in others)}")
    print(
        f"curves: {count} seconds_per_curve: {seconds / count:.3f} ratio_to_ampworks: {peer * count / seconds:.0f} "
        f"negative_error_ours: {np.median(error):.4f} ampworks: {np.median(others):.4f}"
    )


if __name__ == "__main__":
    main()
