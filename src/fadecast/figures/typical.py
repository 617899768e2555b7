"""How well typical days stand for their year."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fadecast.decades.representation import Representation, Sample
from fadecast.figures import style

_PANELS = {
    "power": ("Pack power over nameplate [1/h]", "Share of time below it [%]", "1/h"),
    "state_of_charge": ("State of charge [%]", "Share of time below it [%]", "1"),
    "temperature": ("Air temperature of the packs [°C]", "Share of time below it [%]", "K"),
    "depth": ("Depth of cycles [%]", "Share of charge in\nshallower cycles [%]", "1"),
}


def typical_days(found: Representation) -> Figure:
    """Draw distributions of a year and of its typical days, and how far they are apart."""
    figure = style.page(4.2)
    axes = figure.subplots(2, 2)
    for panel, (name, (label, share, unit)) in zip(axes.flat, _PANELS.items(), strict=True):
        _draw_below(panel, found.year[name], style.GREY, 2.6, "year")
        _draw_below(panel, found.typical[name], style.BLUE, 1.2, "typical days, weighted")
        distance = found.distance[name]
        apart = f"{100.0 * distance:.2g} points" if unit == "1" else f"{distance:.2g} {unit}"
        panel.set_title(f"apart by {apart} on average", fontweight="normal", fontsize=8)
        panel.set(xlabel=label, ylabel=share, ylim=(-0.02, 1.02))
        style.in_percent(panel, x=unit == "1", y=True)
    style.legend_above(figure, axes[0, 0], columns=2)
    return figure


def _draw_below(axes: Axes, sample: Sample, color: str, width: float, label: str) -> None:
    order = np.argsort(sample.value, kind="stable")
    below = np.cumsum(sample.weight[order])
    # A line of tens of thousands of points is slow to draw and looks the same.
    shown = np.unique(np.searchsorted(below, np.linspace(0.0, 1.0, 1000)).clip(max=len(below) - 1))
    axes.step(sample.value[order][shown], below[shown], where="post", color=color, linewidth=width, label=label)
