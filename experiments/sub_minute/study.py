"""What a battery loses to swings within a minute: ageing under load by the second, and under its means.

Run as `python experiments/sub_minute/study.py`; writes `results/reported/sub_minute/sub_minute.csv` and figure.
A battery carries what smooths the power of training to its hourly mean, its largest value being 0.2, 1 or 2C, at 0,
25 and 45 degC: nine aged cells. Or it carries the power of training itself, as at night, at a mean of 0.04, 0.1 and
0.15C. Shortened loads: means over 10 s, 1 min and 15 min; and 1 min as two halves, a standard deviation of its seconds
above and below the mean, which keeps mean and variance. Errors are over the change in three hours, or over 1e-7 of all
lithium where that is less.
"""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fadecast.cell.aged import Diagnosis, aged_state, lift
from fadecast.cell.control import Limits, Window
from fadecast.cell.discrepancy import swing
from fadecast.cell.health import electrode_window, fresh_mid_stoichiometry, stoichiometry_at
from fadecast.cell.model import CellModel, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.duty.swings import Swings, swinging_power
from fadecast.duty.training import AcceleratorPower, Training
from fadecast.figures import style
from fadecast.population.evidence import single_fits

OUT = Path(__file__).parents[2] / "results" / "reported" / "sub_minute"
HOURS, HOUR, SEED = 3, 3600, 1
C_RATES, CELSIUS = (0.2, 1.0, 2.0), (0.0, 25.0, 45.0)
WATCHED = ("sei", "plated", "dead", "crack_length", "lam_lithium_ne", "lam_lithium_pe")
WHOLE = "whole load, 18 jobs"
"""The battery carries power itself, not only its swings."""
WHOLE_RATES = (0.04, 0.1, 0.15)
LOADS = {
    "18 jobs": (Training(), Swings()),
    "one job": (Training(slots=1, occupancy=0.999, job_hours=1e4), Swings(iteration_spread=0.0)),
    "one job, iterations of 30 s": (
        Training(slots=1, occupancy=0.999, job_hours=1e4),
        Swings(iteration_seconds=30.0, iteration_spread=0.0),
    ),
    "one job, floor of 0.65": (
        Training(slots=1, occupancy=0.999, job_hours=1e4),
        Swings(iteration_spread=0.0, power_floor=0.65),
    ),
    WHOLE: (Training(), Swings()),
}
WIDE = Limits(
    charge_c_rate=10.0, discharge_c_rate=10.0, charge_derating=(), discharge_derating=(), soc_min=0.0, soc_max=1.0
)


def main() -> None:
    """Run every load at every length of a step."""
    rates = {rate.name: rate.value for rate in single_fits()}
    cell = build_cell(Chemistry(parameters=rates))
    table = pd.DataFrame(list(rows(cell)))
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "sub_minute.csv", index=False, float_format="%.3g")
    print(table.groupby(["load", "steps"], sort=False)[list(WATCHED)].agg(worst).to_string(float_format="%.1e"))
    draw(table)


def worst(errors: pd.Series) -> float:
    """Return the error that is largest in size, with its sign."""
    return float(errors.iloc[int(errors.abs().argmax())])


def rows(cell: CellModel) -> Iterator[dict[str, object]]:
    """Return the error of every ageing state over its change, by load, steps and condition."""
    start, window = beginning(cell)
    for load, (training, swings) in LOADS.items():
        rates = WHOLE_RATES if load == WHOLE else C_RATES
        second = carried(training, swings, whole=load == WHOLE)
        truth = run(cell, second, 1.0, rates, start, window)
        for steps, (shares, length) in shortened(second).items():
            found = run(cell, shares, length, rates, start, window)
            change = {name: truth[name] - np.asarray(start)[cell.rows[name]] for name in WATCHED}
            least = {name: smallest(cell, name) for name in WATCHED}
            for lane, (rate, celsius) in enumerate((r, c) for r in rates for c in CELSIUS):
                errors = {}
                for name in WATCHED:
                    error = (found[name] - truth[name])[:, lane] / np.maximum(
                        np.abs(change[name][:, lane]), least[name]
                    )
                    errors[name] = float(error[np.abs(error).argmax()])
                yield {"load": load, "steps": steps, "c_rate": rate, "celsius": celsius} | errors


def smallest(cell: CellModel, name: str) -> float:
    """Return the change below which an error is taken over this: 1e-7 of all lithium, none for crack length."""
    if name == "crack_length":
        return 0.0
    lithium = 1e-7 * cell.fresh_lithium / (1.0 if name.startswith("lam") else cell.negative.volume)
    return float(lithium / cell.scale[cell.rows[name]][0])


def carried(training: Training, swings: Swings, whole: bool) -> np.ndarray:
    """Return load by the second over its mean, or less its hourly mean and over what is then its largest value."""
    rng, hours = np.random.default_rng(SEED), (1000.0, 1001.0 + HOURS)
    power = swinging_power(rng, training, AcceleratorPower.measured(), swings, hours)
    if whole:
        return np.asarray(power[: HOURS * HOUR] / power[: HOURS * HOUR].mean())
    return swing(power, HOURS * HOUR, HOUR)


def shortened(second: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """Return shorter loads and the length of their steps [s]."""
    means = {length: second.reshape(-1, length).mean(axis=1) for length in (10, 60, 900)}
    spread = second.reshape(-1, 60).std(axis=1)
    halves = np.stack([means[60] + spread, means[60] - spread], axis=1)
    return {
        "10 s": (means[10], 10.0),
        "1 min": (means[60], 60.0),
        "1 min, two halves": (halves.ravel(), 30.0),
        "15 min": (means[900], 900.0),
    }


def beginning(cell: CellModel) -> tuple[jax.Array, Window]:
    """Cells that have lost 12 % of their lithium and 10 % of each active material, at half charge."""
    kelvin = jnp.tile(jnp.asarray(CELSIUS) + 273.15, len(C_RATES))[None]
    each = [jnp.full(kelvin.shape, value) for value in (0.12, 0.1, 0.1, 0.1, 2e-8)]
    slow = aged_state(cell, Diagnosis(*each), fresh_mid_stoichiometry(cell))
    window = electrode_window(cell, slow, {})
    return lift(cell, slow, stoichiometry_at(window, jnp.full(kelvin.shape, 0.5)), kelvin), window


def run(
    cell: CellModel,
    shares: np.ndarray,
    length: float,
    rates: tuple[float, ...],
    start: jax.Array,
    window: Window,
) -> dict[str, np.ndarray]:
    """Return the ageing states at the end."""
    watts = np.repeat(rates, len(CELSIUS)) * cell.nameplate_energy
    kelvin = np.tile(CELSIUS, len(rates)) + 273.15
    profile = Profile(jnp.asarray(shares[:, None] * watts), jnp.broadcast_to(kelvin, (len(shares), len(watts))))
    stepping = (
        Stepping(nodes=4, samples=8, tolerance=None)
        if length <= 1.0
        else Stepping(nodes=8, samples=16, tolerance=0.001)
    )
    end = jax.jit(lambda y: run_profile(cell, WIDE, stepping, length, y, {}, window, profile).end)(start)
    return {name: np.asarray(end)[cell.rows[name]] for name in WATCHED}


def draw(table: pd.DataFrame) -> None:
    """Draw the worst error of each state by load and steps."""
    with style.printed():
        figure = style.page(3.6)
        axes = figure.subplots(1, len(LOADS), sharey=True)
        for panel, (load, part) in zip(axes, table.groupby("load", sort=False), strict=True):
            found = part.groupby("steps", sort=False)[list(WATCHED)].agg(worst).abs()
            for name, color, marker in zip(WATCHED, style.SERIES, style.MARKERS, strict=False):
                panel.semilogy(found.index, found[name], marker, color=color, label=name.replace("_", " "))
            panel.set_title(load.replace(", ", ",\n"), fontweight="normal", fontsize=8)
            panel.set_ylim(1e-6, 30.0)
            panel.set_xticks(range(len(found)), [steps.replace(", ", ",\n") for steps in found.index], rotation=90)
        axes[0].set_ylabel("Worst error over change,\nnine conditions [1]")
        style.legend_above(figure, axes[0], columns=6)
        figure.savefig(OUT / "sub_minute.png")


if __name__ == "__main__":
    main()
