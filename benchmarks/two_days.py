"""Error of the time steps after two days of load, against PyBaMM's IDAKLU.

Fresh cells with every ageing option and bare cracks, at 0.2, 1 and 2C of peak power and 0, 25 and 45 degC, nine lanes
of one batch: an SPM with SEI on cracks, and an SPMe with it whose pores close. Loads: one-minute AI load, drawn and
(where the data are) measured, and a drawn regulation signal that changes every 20 s. Losses would empty a cell in a day
at 2C: every hour the set point moves by half of what is missing to half charge, in a first run of ours; its power is
then the load of all. Neither side keeps voltage limits. Where IDAKLU finds no solution any more, both end before.

Errors are those of the last state over its change since the start, or over a floor where the change is smaller: 1e-7 of
all lithium, of active material, of crack length. Inventory is the lithium in both particles.

`python benchmarks/two_days.py` writes table and figure to `results/reported/two_days`. What IDAKLU found is kept in
`results/two_days`, and not solved again.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fadecast.cell.aged import fresh_state, lift
from fadecast.cell.balance import particle_lithium
from fadecast.cell.control import Limits, Window, state_of_charge
from fadecast.cell.health import electrode_window, stoichiometry_at
from fadecast.cell.model import CellModel, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.reference import PowerRuns
from fadecast.figures import style
from fadecast.locations import data_root
from fadecast.pipeline import use_compilation_cache
from fadecast.population.evidence import single_fits
from two_day_loads import HELIOS, LOADS, Shape

ROOT = Path(__file__).parents[1]
CONDITIONS = [(rate, celsius) for rate in (0.2, 1.0, 2.0) for celsius in (0.0, 25.0, 45.0)]
LIMITS = Limits(
    charge_c_rate=10.0,
    discharge_c_rate=10.0,
    soc_min=0.0,
    soc_max=1.0,
    charge_derating=(),
    discharge_derating=(),
    salt=None,
)
_RATES = {rate.name: rate.value for rate in single_fits()}
MODELS = {
    "SPM": Chemistry(sei_on_cracks="true", parameters=_RATES),
    "SPMe": Chemistry(
        model="SPMe",
        sei_on_cracks="true",
        sei_porosity_change="true",
        lithium_plating_porosity_change="true",
        electrolyte_points=8,
        parameters=_RATES,
    ),
}
STEPPING = Stepping(nodes=8, samples=16, tolerance=0.002)
"""The setting that is held to 1e-3."""
FINER = Stepping(nodes=12, samples=24, tolerance=0.002)
"""The same where an SPMe is about to run out of salt."""
SETTINGS = (Stepping(), STEPPING)
"""Taken at every load."""
TOLERANCES = (
    *(Stepping(tolerance=tolerance) for tolerance in (0.01, 0.005)),
    *(Stepping(nodes=8, samples=16, tolerance=tolerance) for tolerance in (0.004, 0.001)),
)
"""Taken besides with the first load and an SPM."""
LITHIUM = ("sei", "sei_cracks", "plated", "dead", "lam_lithium_ne", "lam_lithium_pe")
OTHERS = ("crack_length", "active_fraction_ne", "active_fraction_pe")
FLOOR = 1e-7
FIRST = "AI drawn"
NAMES = {
    "sei": "SEI",
    "sei_cracks": "SEI on cracks",
    "plated": "Plated lithium",
    "dead": "Dead lithium",
    "crack_length": "Crack length",
    "active_fraction_ne": "LAM negative",
    "active_fraction_pe": "LAM positive",
    "inventory": "Inventory",
    "voltage": "Voltage",
}
_LABEL = "Error over the change in two days, power of ten"
_SET_POINT = 0.5  # share of the missing charge that is made up for in an hour


class Ends(NamedTuple):
    """What a run came to."""

    y: np.ndarray
    """State vectors of the lowered cell at the end, `(states, lanes)`."""
    voltage: np.ndarray
    """At the end of each load step [V], `(steps, lanes)`."""

    def of(self, lane: int) -> "Ends":
        """Return one lane alone."""
        return Ends(self.y[:, lane : lane + 1], self.voltage[:, lane : lane + 1])


@cache
def cell_of(model: str) -> CellModel:
    """Return the lowered cell, its voltage limits out of the way as in the reference."""
    return replace(build_cell(MODELS[model]), voltage_limits=(0.5, 7.0))


@cache
def start_of(model: str) -> tuple[jax.Array, Window]:
    """Return fresh cells at half charge, rested, of the temperature of each condition, and their windows."""
    cell = build_cell(MODELS[model])
    lanes = len(CONDITIONS)
    kelvin = jnp.asarray([[273.15 + celsius for _, celsius in CONDITIONS]])
    slow = fresh_state(cell, lanes)
    window = electrode_window(cell, slow, {})
    return lift(cell, slow, stoichiometry_at(window, jnp.full((1, lanes), 0.5)), kelvin), window


@cache
def _follower(model: str, stepping: Stepping, load_step: float):  # type: ignore[no-untyped-def]
    cell = cell_of(model)
    return jax.jit(lambda y, window, profile: run_profile(cell, LIMITS, stepping, load_step, y, {}, window, profile))


def _profile(power: np.ndarray) -> Profile:
    kelvin = np.array([273.15 + celsius for _, celsius in CONDITIONS])
    return Profile(jnp.asarray(power), jnp.broadcast_to(jnp.asarray(kelvin), power.shape))


def demand(model: str, shape: Shape) -> np.ndarray:
    """Return the power of each condition [W], `(steps, lanes)`, its set point moved every hour towards half charge."""
    cell, (y, window) = cell_of(model), start_of(model)
    peak = np.array([rate for rate, _ in CONDITIONS]) * cell.nameplate_energy
    hour = round(3600.0 / shape.load_step)
    parts: list[np.ndarray] = []
    for first in range(0, len(shape.shares), hour):
        if parts:
            y = _follower(model, Stepping(), shape.load_step)(y, window, _profile(parts[-1])).end
        missing = 0.5 - np.asarray(state_of_charge(cell, y, window))[0]
        parts.append(shape.shares[first : first + hour, None] * peak - _SET_POINT * missing * cell.nameplate_energy)
    return np.concatenate(parts)


def stepped(model: str, stepping: Stepping, load_step: float, power: np.ndarray) -> Ends:
    """Follow the power of every condition with the time steps under test."""
    course = _follower(model, stepping, load_step)(*start_of(model), _profile(power))
    return Ends(np.asarray(course.end), np.asarray(course.trace.voltage))


def solved(runs: PowerRuns, model: str, lane: int, load_step: float, power: np.ndarray) -> Ends:
    """Follow the power of one condition with IDAKLU, as far as there is a solution; the results have one lane."""
    cell, start = cell_of(model), np.asarray(start_of(model)[0])[:, lane]
    ambient = np.full(len(power), 273.15 + CONDITIONS[lane][1])
    run = runs.follow(start, power[:, lane], ambient, load_step, as_far_as_it_goes=True)
    y = start.copy()
    for name, states in run.states.items():
        y[cell.rows[name]] = states[-1]
    return Ends(y[:, None], run.voltage[:, None])


def errors(model: str, lane: int, mine: Ends, truth: Ends) -> dict[str, float]:
    """Return the error of each slow state of one condition over its change [1], and that of the voltage [V rms].

    Both runs have this one lane.
    """
    cell = cell_of(model)
    began = _slow(cell, np.asarray(start_of(model)[0])[:, lane])
    ended, true = _slow(cell, mine.y[:, 0]), _slow(cell, truth.y[:, 0])
    found = {}
    for name, first in began.items():
        floor = FLOOR * (np.abs(first) if name in OTHERS else cell.fresh_lithium)
        change = np.maximum(np.abs(true[name] - first), floor)
        found[name] = float(np.max(np.abs(ended[name] - true[name]) / change))
    found["voltage"] = float(np.sqrt(np.mean((mine.voltage[:, 0] - truth.voltage[:, 0]) ** 2)))
    return found


def _slow(cell: CellModel, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what ageing moves, lithium in mol."""
    column = jnp.asarray(y)[:, None]
    states = {name: np.asarray(cell.physical(column, name))[:, 0] for name in (*LITHIUM, *OTHERS)}
    for name in LITHIUM[:4]:
        states[name] = states[name] * cell.negative.volume * (cell.lithium_per_sei if "sei" in name else 1.0)
    inventory = particle_lithium(cell, column, "ne") + particle_lithium(cell, column, "pe")
    return {**states, "inventory": np.asarray(inventory)[0]}


class Kept:
    """Loads and references of one folder: made once, then read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs: dict[tuple[str, float], PowerRuns] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def demand(self, load: str, model: str, shape: Shape) -> np.ndarray:
        """Return the power of each condition."""
        content = self._once(f"{load} {model}", lambda: {"power": demand(model, shape)})
        return content["power"]

    def truth(self, load: str, model: str, lane: int, load_step: float, power: np.ndarray, tolerance: float) -> Ends:
        """Return what IDAKLU makes of one condition; solved again where start, power or rates are other than then."""
        rate, celsius = CONDITIONS[lane]
        start, rates = np.asarray(start_of(model)[0])[:, lane], np.array(list(_RATES.values()))
        given = {"start": start, "given": power[:, lane], "rates": rates}

        def solve() -> dict[str, np.ndarray]:
            key = model, tolerance
            if key not in self._runs:
                self._runs[key] = PowerRuns(MODELS[model], tolerance, compiled=True)
            return {**solved(self._runs[key], model, lane, load_step, power)._asdict(), **given}

        name = f"{load} {model} {rate:g}C {celsius:g}degC {tolerance:g}"
        content = self._once(name, solve, given)
        return Ends(content["y"], content["voltage"])

    def _once(self, name: str, make, given: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
        path = self.folder / f"{name.replace(' ', '_')}.npz"
        if path.exists():
            with np.load(path) as file:
                content = dict(file)
            if all(key in content and np.array_equal(content[key], value) for key, value in (given or {}).items()):
                return content
        begin = perf_counter()
        content = make()
        # An archive appears whole or not at all.
        np.savez(path.with_name("part.npz"), allow_pickle=False, **content)
        path.with_name("part.npz").rename(path)
        print(f"{name}: {perf_counter() - begin:.0f} s", flush=True)
        return content


def rows(kept: Kept, loads: list[str], models: list[str]) -> Iterator[dict[str, object]]:
    """Compare every setting in every condition, and IDAKLU with itself at a hundredth of the tolerance in one."""
    for load in loads:
        shape = LOADS[load]()
        for model in models:
            power = kept.demand(load, model, shape)
            truths = [kept.truth(load, model, lane, shape.load_step, power, 1e-8) for lane in range(len(CONDITIONS))]
            first = (load, model) == (FIRST, "SPM")
            for stepping in (*SETTINGS, *TOLERANCES) if first else SETTINGS:
                begin = perf_counter()
                ends = {
                    n: stepped(model, stepping, shape.load_step, power[:n]) for n in {len(t.voltage) for t in truths}
                }
                setting = _named(stepping)
                print(f"{load}, {model}, {setting}: {perf_counter() - begin:.0f} s", flush=True)
                for lane, truth in enumerate(truths):
                    yield _row(load, model, setting, lane, ends[len(truth.voltage)].of(lane), truth)
            for lane, truth in enumerate(truths):
                steps = len(truth.voltage)
                if steps < len(power):
                    mine = stepped(model, FINER, shape.load_step, power[:steps]).of(lane)
                    yield _row(load, model, _named(FINER), lane, mine, truth)
            if first:
                lane = len(CONDITIONS) - 1
                tighter = kept.truth(load, model, lane, shape.load_step, power, 1e-10)
                yield _row(load, model, "IDAKLU, 1e-08", lane, truths[lane], tighter)


def _named(stepping: Stepping) -> str:
    return f"{stepping.nodes}/{stepping.samples}, {stepping.tolerance:g}"


def _row(load: str, model: str, setting: str, lane: int, run: Ends, truth: Ends) -> dict[str, object]:
    rate, celsius = CONDITIONS[lane]
    key = {"load": load, "model": model, "setting": setting, "c_rate": rate, "celsius": celsius}
    extremes = {
        "load_steps": len(truth.voltage),
        "lowest_voltage": truth.voltage.min(),
        "highest_voltage": truth.voltage.max(),
    }
    return {**key, **errors(model, lane, run, truth), **extremes}


def draw(table: pd.DataFrame) -> Figure:
    """Draw the error of each state in each condition, a panel for each load and model, at the setting held to 1e-3."""
    held = table[table["setting"] == _named(STEPPING)]
    groups = list(held.groupby(["load", "model"], sort=False))
    figure = style.page(0.9 + 2.0 * ((len(groups) + 1) // 2))
    panels = figure.subplots((len(groups) + 1) // 2, 2, squeeze=False, sharex=True, sharey=True)
    for axes, ((load, model), part) in zip(panels.flat, groups, strict=False):
        part = part.set_index(["c_rate", "celsius"]).reindex(CONDITIONS)
        values = np.log10(np.maximum(part[list(NAMES)].to_numpy().T, 1e-12))
        image = axes.imshow(values, vmin=-7.0, vmax=-3.0, cmap="viridis", aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isnan(value):
                continue
            colour = "black" if value > -5.0 else "white"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6, color=colour)
        axes.grid(visible=False)
        axes.set_title(f"{model}, {load}", fontsize=8.5)
        axes.set_yticks(range(len(NAMES)), list(NAMES.values()))
        axes.set_xticks(range(len(CONDITIONS)), [f"{celsius:g}\n{rate:g}C" for rate, celsius in CONDITIONS])
    for axes in panels.flat[len(groups) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=panels, location="bottom", aspect=60, extend="both", label=_LABEL)
    style.note(figure, "Below: ambient [°C] and C-rate of the peak. Voltage: rms difference in volts.")
    return figure


def main() -> None:
    """Run the study and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "results" / "two_days", help="finished references")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "reported" / "two_days")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    use_compilation_cache()
    loads = [load for load in arguments.loads if load != "AI measured" or (data_root() / HELIOS).is_file()]
    table = pd.DataFrame(rows(Kept(arguments.runs), loads, arguments.models))
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "two_days.csv", index=False, float_format="%.3g")
    with style.printed():
        draw(table).savefig(arguments.out / "two_days.png")
    with pd.option_context("display.width", 250, "display.max_columns", 30, "display.max_rows", 500):
        print(table.to_string(float_format="{:.1e}".format))


if __name__ == "__main__":
    main()
