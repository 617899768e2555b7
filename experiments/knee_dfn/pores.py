"""Follow cells whose films close the pores with SPM, SPMe and DFN, and with the lowered SPMe; writes table and figure.

Run as `python experiments/knee_dfn/pores.py`; finished runs are kept in `results/knee_dfn`. SEI grows so fast that the
negative electrode of the default set is full of it within some weeks. Cells are asked for power, as forecasts ask, and
give what their voltage, or the salt of the lowered SPMe, allows.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pybamm
from run import LAM, MODELS, OUT, POINTS, RUNS, by_pybamm, chemistry, knee, once, table

from fadecast.cell.aged import fresh_state, restrict
from fadecast.cell.control import Limits
from fadecast.cell.health import electrode_window, pores_closed
from fadecast.cell.model import AMBIENT, CURRENT, POROSITY, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.figures import style

CELSIUS, CYCLES = 25.0, 60
GROWTH, FASTER = "SEI solvent diffusivity [m2.s-1]", 2200.0
"""Diffusivity over that of the set, which films grow with the root of."""
RATES = {"C/5": (3.6, 8 * 3600.0), "C/2": (9.0, 4 * 3600.0)}
"""Power [W], and seconds of charge and of discharge."""
LOAD_STEP = 900.0
SALT = {"with the limit of salt": Limits().salt, "without": None}


def closing() -> Chemistry:
    """Return the default chemistry with pores, films that grow fast, and the set's own loss of material."""
    base = chemistry("SPMe", CELSIUS, POINTS)
    parameters = {name: value for name, value in base.parameters.items() if name != LAM}
    parameters[GROWTH] = FASTER * pybamm.ParameterValues("OKane2022")[GROWTH]
    return replace(base, sei_porosity_change="true", lithium_plating_porosity_change="true", parameters=parameters)


def asked(watts: float, seconds: float, low: float, high: float) -> tuple[pybamm.step.BaseStep, ...]:
    """Return a cycle of power, as far as the voltage allows: charge and discharge of equal time."""

    def until_turn(sign: float) -> pybamm.step.CustomTermination:
        def left(variables: dict[str, pybamm.Symbol]) -> pybamm.Symbol:
            return sign * pybamm.sin(np.pi * variables["Time [s]"] / seconds)

        return pybamm.step.CustomTermination(f"turn {sign:g}", left)

    return (
        pybamm.step.power(-watts, termination=f"{high} V", duration=seconds),
        pybamm.step.voltage(high, termination=until_turn(1.0), duration=seconds),
        pybamm.step.power(watts, termination=f"{low} V", duration=seconds),
        pybamm.step.voltage(low, termination=until_turn(-1.0), duration=seconds),
    )


def lowered(settings: Chemistry, salt: tuple[float, float] | None, watts: float, seconds: float) -> pd.DataFrame:
    """Cycle with the lowered SPMe, as forecasts step it, until it breaks or a forecast would end the pack."""
    cell = build_cell(settings)
    limits = Limits(charge_c_rate=1.0, charge_derating=(), discharge_derating=(), soc_min=0.0, soc_max=1.0, salt=salt)
    inventory, kelvin = fresh_state(cell, 1).inventory, jnp.full((1, 1), CELSIUS + 273.15)
    whole = jnp.ones((round(seconds / LOAD_STEP), 1))

    @jax.jit
    def half(y: jax.Array, power: float) -> tuple[jax.Array, jax.Array, jax.Array]:
        window = electrode_window(cell, restrict(cell, y, inventory), {})
        profile = Profile(power * whole, kelvin * whole)
        end = run_profile(cell, limits, Stepping(), LOAD_STEP, y, {}, window, profile).end
        passed = cell.physical(end, "discharge_capacity") - cell.physical(y, "discharge_capacity")
        return end, passed[0, 0], pores_closed(window)[0]

    y, rows = cell.fresh(1), []
    fresh = float(cell.physical(y, "active_fraction_ne")[0, 0])
    for _ in range(CYCLES):
        y, _, _ = half(y, -watts)
        y, charge, closed = half(y, watts)
        if closed or not np.isfinite(charge):
            break
        dead, kept = (float(cell.physical(y, name)[0, 0]) for name in ("dead", "active_fraction_ne"))
        pores = float(cell.evaluate(y, {AMBIENT: kelvin, CURRENT: jnp.zeros((1, 1))})[POROSITY].min())
        rows.append((float(charge), dead, 1.0 - kept / fresh, pores))
    return table(rows)


def compare(runs: dict[str, pd.DataFrame], rate: str) -> pd.DataFrame:
    """Compare where each model ends, and its fade with the DFN's after as many cycles."""
    truth, rows = runs["DFN"], []
    for name, frame in runs.items():
        both = min(len(frame), len(truth)) - 1
        fade, expected = (each["capacity_Ah"].iloc[0] - each["capacity_Ah"].iloc[both] for each in (frame, truth))
        rows.append(
            {
                "rate": rate,
                "model": name,
                "last_cycle": frame["cycle"].iloc[-1],
                "porosity_there": frame["porosity_ne"].iloc[-1],
                "knee_cycle": knee(frame),
                "compared_at_cycle": both + 1,
                "fade_over_dfn": fade / expected,
                "fade_ah": fade,
                "dead_lithium_over_dfn": frame["dead_lithium_mol_per_m3"].iloc[both]
                / truth["dead_lithium_mol_per_m3"].iloc[both],
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Run all models and compare them."""
    RUNS.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    settings, tables, every = closing(), [], {}
    for rate, load in RATES.items():
        place = rate.replace("/", "_over_")
        runs = {
            m: once(f"pores_{m}_{place}", partial(by_pybamm, m, CELSIUS, settings, partial(asked, *load), CYCLES))
            for m in MODELS
        }
        for name, salt in SALT.items():
            path = f"pores_{name.split()[0]}_{place}"
            runs[f"lowered SPMe, {name}"] = once(path, partial(lowered, settings, salt, *load))
        tables.append(compare(runs, rate))
        every[rate] = runs
    found = pd.concat(tables)
    found.to_csv(OUT / "pores.csv", index=False, float_format="%.4g")
    print(found.to_string(index=False, float_format="%.4g"))
    draw(every)


def draw(every: dict[str, dict[str, pd.DataFrame]]) -> None:
    """Draw capacity and porosity by cycle."""
    with style.printed():
        figure = style.page(4.0)
        panels = figure.subplots(2, len(every), sharex="col", squeeze=False)
        for column, (rate, runs) in zip(panels.T, every.items(), strict=True):
            for (name, frame), color in zip(runs.items(), style.SERIES, strict=False):
                ours = name.startswith("low")
                line = {"color": color, "label": name, "linestyle": "none" if ours else "-"}
                marker = {"marker": "." if ours else "", "markevery": 2}
                column[0].plot(frame["cycle"], frame["capacity_Ah"], **line, **marker)
                column[1].plot(frame["cycle"], frame["porosity_ne"], **line, **marker)
            column[0].set_title(rate)
            column[0].set_ylabel("Discharge [A.h]")
            column[1].set_ylabel("Porosity, negative [1]")
            column[1].set_xlabel("Cycle")
        style.legend_above(figure, panels[0, 0], columns=3)
        figure.savefig(OUT / "pores.png")


if __name__ == "__main__":
    main()
