"""Figure of how coarse a load step may be."""

from pathlib import Path

import pandas as pd

from fadecast.figures import style

OUT = Path(__file__).parents[2] / "results" / "reported" / "load_step"
WATCHED = {
    "sei": "SEI",
    "dead": "dead lithium",
    "crack_length": "cracks",
    "active_fraction_ne": "LAM −",
    "active_fraction_pe": "LAM +",
}


def worst(errors: pd.Series) -> float:
    """Return the error that is largest in size, with its sign."""
    return float(errors.iloc[int(errors.abs().argmax())])


def draw(table: pd.DataFrame) -> None:
    """Draw the worst error of each state by load and step, with and without the correction."""
    with style.printed():
        figure = style.page(5.2)
        loads = list(dict.fromkeys(table["load"]))
        axes = figure.subplots(2, -(-len(loads) // 2), sharey=True)
        for panel, load in zip(axes.flat, loads, strict=False):
            for corrected, part in table[table["load"] == load].groupby("corrected"):
                found = part.groupby("minutes")[list(WATCHED)].agg(worst).abs().clip(lower=1e-6)
                for (key, label), color, marker in zip(WATCHED.items(), style.SERIES, style.MARKERS, strict=False):
                    look = {"marker": marker, "markersize": 4, "color": color}
                    if corrected:
                        panel.loglog(found.index, found[key], "-", label=label, **look)
                    else:
                        panel.loglog(found.index, found[key], ":", markerfacecolor="none", **look)
            panel.set_title(load, fontweight="normal")
            panel.set_ylim(1e-6, 3.0)
            ticks = sorted(set(table.loc[table["load"] == load, "minutes"]))
            panel.set_xticks(ticks, map(str, ticks), minor=False)
            panel.minorticks_off()
        for panel in axes.flat[len(loads) :]:
            panel.set_axis_off()
        figure.supylabel("Worst error over change, three temperatures [1]", fontsize=8.5)
        figure.supxlabel("Load step [min]; dotted, open: means alone; solid: with the swings inside", fontsize=8.5)
        style.legend_above(figure, axes[0, 0], columns=5)
        figure.savefig(OUT / "load_step.png")
