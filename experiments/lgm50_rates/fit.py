"""Fit SEI and LAM rates of the LG M50 to measured calendar and cycle ageing; writes the package data."""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fadecast.calibration.rates import (
    ACTIVATION_ENERGY,
    Series,
    arrhenius_correction,
    cycled_state,
    film_resistance,
    fit_multipliers,
    storage_days,
    stored_capacity,
)
from fadecast.cell.control import Limits
from fadecast.cell.model import CellModel, Chemistry, build_cell
from fadecast.cell.parameters import LAM_ENERGY, LAM_RATE
from fadecast.cell.profile import Stepping
from fadecast.decades.leap import DayBatch
from fadecast.decades.service import KELVIN, Operation
from fadecast.measured import catalogue, lgm50
from fadecast.package_data import shipped, write_table

SEI, RESISTIVITY = "SEI solvent diffusivity [m2.s-1]", "SEI resistivity [Ohm.m]"
# Below, the film would take more lithium than the negative electrode of a stored cell holds.
LOWEST_SOC = 0.10
START = np.log(10.0)  # of all multipliers
SOURCES = ("kuzhiyil2024_lgm50_calendar", "kirkaldy2024_lgm50t_expt2_2")
PACKAGE_DATA = Path(__file__).parents[2] / "src" / "fadecast" / "data"


def fit_calendar() -> tuple[CellModel, pd.DataFrame]:
    """Multiplier of film growth for each storage series; all capacity lost at rest is taken to be SEI."""
    calendar = lgm50.lgm50_calendar().dropna()
    calendar = calendar[calendar["soc"] >= LOWEST_SOC]
    series = list(calendar.groupby(["temperature", "soc"]))
    cell = build_cell(Chemistry(), (SEI,))
    operation = Operation(cell, Limits(soc_min=0.0, soc_max=1.0), Stepping(nodes=2, tolerance=None), 1800.0)
    temperatures, states_of_charge = np.array([key for key, _ in series]).T
    days = storage_days(calendar["days"].max())

    def retention(logs: jax.Array) -> jax.Array:
        inputs = {SEI: cell.inputs[SEI] * jnp.exp(logs)}
        return stored_capacity(operation, inputs, temperatures, states_of_charge, days)[None]

    measured = [
        Series(data["days"].to_numpy(), (data["capacity"] / data["capacity"].iloc[0]).to_numpy()[None])
        for _, data in series
    ]
    best = fit_multipliers(retention, days, measured, np.full((1, len(series)), START))
    columns = {"temperature": temperatures, "soc": states_of_charge, "log": best.log[0], "rmse": best.rmse[0]}
    return cell, pd.DataFrame(columns)


def one_day(cell: CellModel, cycles_per_day: float, temperatures: np.ndarray) -> DayBatch:
    """15 % of charge at 0.3C, discharged at 1C, then rest, in 3-minute steps; the SOC window ends each half cycle."""
    minute = np.arange(0, 24 * 60, 3) % (24 * 60 / cycles_per_day)
    power = 1.1 * cell.nameplate_energy * np.where(minute < 32, -0.3, np.where(minute < 44, 1.0, 0.0))
    ones = jnp.ones((1, len(temperatures)))
    ambient = jnp.asarray(temperatures + KELVIN)[None, None] * jnp.ones((len(power), 1, 1))
    return DayBatch(ones, 0.7 * ones, jnp.asarray(power)[:, None, None] * ones[None], ambient)


def fit_cycling(sei_value: float, activation_energy: float) -> tuple[CellModel, pd.DataFrame]:
    """Multiplier of LAM of each electrode for each cycled cell; SEI grows at the rate of the calendar fit."""
    cells = list(lgm50.lgm50_cycling().groupby("cell"))
    chemistry = Chemistry(parameters={ACTIVATION_ENERGY: activation_energy, SEI: sei_value})
    cell = build_cell(chemistry, tuple(LAM_RATE.values()))
    # A laboratory cycler, not a battery management system: warm cells charge at full current.
    limits = Limits(charge_c_rate=0.3, soc_min=0.70, soc_max=0.85, charge_derating=(), discharge_derating=())
    operation = Operation(cell, limits, Stepping(), 180.0)
    temperatures = np.array([data["surface_temperature"].mean() for _, data in cells])
    times = cells[0][1]["days"].to_numpy()
    day = one_day(cell, cells[0][1]["cycles"].iloc[-1] / times[-1], temperatures)

    def lost_material(logs: jax.Array) -> jax.Array:
        pairs = zip(LAM_RATE.values(), logs, strict=True)
        inputs = {name: cell.inputs[name] * jnp.exp(log)[None] for name, log in pairs}
        slow = cycled_state(operation, inputs, day, times)
        fractions = jnp.stack([getattr(slow, f"active_fraction_{side}")[:, 0] for side in LAM_RATE])
        return 1.0 - fractions / fractions[:, :1]

    measured = [
        Series(data["days"].to_numpy(), data[[f"lam_{side}" for side in LAM_RATE]].to_numpy().T) for _, data in cells
    ]
    best = fit_multipliers(lost_material, times, measured, np.full((len(LAM_RATE), len(cells)), START))
    rows = [
        {"cell": name, "temperature": temperatures[n], "side": side, "log": log[n], "rmse": rmse[n]}
        for side, log, rmse in zip(LAM_RATE, best.log, best.rmse, strict=True)
        for n, (name, _) in enumerate(cells)
    ]
    return cell, pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PACKAGE_DATA, help="folder of lgm50_rates.json")
    out = parser.parse_args().out
    stored, calendar = fit_calendar()
    log, correction, residual = arrhenius_correction(calendar["log"].to_numpy(), calendar["temperature"].to_numpy())
    sei, energy = float(stored.inputs[SEI] * np.exp(log)), 38000.0 + correction
    cell, cycling = fit_cycling(sei, energy)
    film = shipped("lgm50_degradation_modes")["film_resistance_per_lithium"]
    unit_film = film_resistance(build_cell(Chemistry(), (RESISTIVITY,)), RESISTIVITY)
    rates = [
        (SEI, sei, "m2.s-1", residual.std(ddof=2), "calendar ageing"),
        (ACTIVATION_ENERGY, energy, "J.mol-1", 0.0, "calendar ageing"),
        (RESISTIVITY, np.exp(film["log_mean"]) / unit_film, "Ohm.m", film["log_sd"], "0.1 s resistance, upper bound"),
    ]
    for side, name in LAM_RATE.items():
        rows = cycling[cycling["side"] == side]
        log, energy, residual = arrhenius_correction(rows["log"].to_numpy(), rows["temperature"].to_numpy())
        rates.append((name, cell.inputs[name] * np.exp(log), "s-1", residual.std(ddof=2), "cycle ageing"))
        rates.append((LAM_ENERGY[side], energy, "J.mol-1", 0.0, "cycle ageing"))
    fields = ("name", "value", "units", "log_sd", "basis")
    table = {
        "what": "Rates of PyBaMM's OKane2022 fitted to LG M50 cells; log_sd is the spread over conditions or cells",
        "sources": [catalogue.CATALOGUE[name].record() for name in SOURCES],
        "rates": [dict(zip(fields, rate, strict=True)) for rate in rates],
        "calendar": calendar.to_dict("list"),
        "cycling": cycling.to_dict("list"),
    }
    write_table(out / "lgm50_rates.json", table)
    print(pd.DataFrame(table["rates"]).to_string(), calendar.to_string(), cycling.to_string(), sep="\n\n")


if __name__ == "__main__":
    main()
