"""Follow cells whose films close the pores with SPM, SPMe and DFN, and with the lowered SPMe; writes table and figure.

Run as `python experiments/knee_dfn/pores.py`; finished runs are kept in `results/knee_dfn`. SEI grows so fast that the
negative electrode of the default set is full of it within some weeks of cycling.
"""

from dataclasses import replace
from functools import partial

import pandas as pd
import pybamm
from run import LAM, MODELS, OUT, POINTS, RUNS, by_pybamm, chemistry, knee, lowered, once

from fadecast.cell.model import Chemistry
from fadecast.figures import style

CELSIUS, CYCLES = 25.0, 70
GROWTH, FASTER = "SEI solvent diffusivity [m2.s-1]", 2200.0
"""Diffusivity over that of the set, which films grow with the root of."""


def closing() -> Chemistry:
    """Return the default chemistry with pores, films that grow fast, and the set's own loss of material."""
    base = chemistry("SPMe", CELSIUS, POINTS)
    parameters = {name: value for name, value in base.parameters.items() if name != LAM}
    parameters[GROWTH] = FASTER * pybamm.ParameterValues("OKane2022")[GROWTH]
    return replace(base, sei_porosity_change="true", lithium_plating_porosity_change="true", parameters=parameters)


def compare(runs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare where each model ends, and its fade with the DFN's after as many cycles."""
    truth, rows = runs["DFN"], []
    for name, frame in runs.items():
        both = min(len(frame), len(truth)) - 1
        fade, expected = (each["capacity_Ah"].iloc[0] - each["capacity_Ah"].iloc[both] for each in (frame, truth))
        rows.append(
            {
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
    runs = {m: once(f"pores_{m}", partial(by_pybamm, m, CELSIUS, closing(), CYCLES)) for m in MODELS}
    runs["lowered SPMe"] = once("pores_lowered", partial(lowered, CELSIUS, closing(), CYCLES))
    found = compare(runs)
    found.to_csv(OUT / "pores.csv", index=False, float_format="%.4g")
    print(found.to_string(index=False, float_format="%.4g"))
    draw(runs)


def draw(runs: dict[str, pd.DataFrame]) -> None:
    """Draw capacity and porosity by cycle."""
    with style.printed():
        figure = style.page(2.6)
        left, right = figure.subplots(1, 2)
        for (name, frame), color in zip(runs.items(), style.SERIES, strict=False):
            line = {"color": color, "label": name, "linestyle": "none" if name.startswith("low") else "-"}
            marker = {"marker": "." if name.startswith("low") else "", "markevery": 4}
            left.plot(frame["cycle"], frame["capacity_Ah"], **line, **marker)
            right.plot(frame["cycle"], frame["porosity_ne"], **line, **marker)
        left.set_ylabel("Capacity [A.h]")
        right.set_ylabel("Mean porosity, negative [1]")
        for axes in (left, right):
            axes.set_xlabel("Cycle")
        style.legend_above(figure, left, columns=4)
        figure.savefig(OUT / "pores.png")


if __name__ == "__main__":
    main()
