"""How figures look in print: A4 page width, 8 pt or larger, colours that colour-blind readers can tell apart."""

import textwrap
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fadecast.figures.statistics import Array

WIDTH = 6.69
"""Page width of A4 with 20 mm margins [inch]."""
DPI = 200

# Okabe & Ito, Color Universal Design (2008).
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#666666"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside the colours, so that points differ in a black-and-white print too."""

LEVELS = (0.05, 0.25, 0.50, 0.75, 0.95)
"""Quantiles of a fan: 90 % band, 50 % band, median."""
BAND_90, BAND_50 = 0.20, 0.40
"""Opacity of the bands."""

_NOTE_COLUMNS = 112

_PRINT: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "axes.formatter.useoffset": False,
}


def printed() -> AbstractContextManager[None]:
    """Return a context in which figures are made and saved in this style."""
    defaults: Any = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}
    return mpl.rc_context({**defaults, **_PRINT})


def page(height: float) -> Figure:
    """Return an empty figure of page width and a height [inch]."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def note(figure: Figure, text: str) -> None:
    """Write a note below a figure."""
    figure.supxlabel(textwrap.fill(text, _NOTE_COLUMNS), x=0.01, ha="left", fontsize=8, color=GREY)


def legend_above(figure: Figure, *axes: Axes, columns: int) -> None:
    """Put one legend for some axes above the figure, where it hides nothing."""
    entries: dict[str, Artist] = {}
    for each in axes:
        handles, labels = each.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            entries.setdefault(label, handle)
    figure.legend(list(entries.values()), list(entries), loc="outside upper left", ncols=columns)


def in_percent(axis: Axes, *, x: bool = False, y: bool = False) -> None:
    """Label axes of fractions in percent."""
    if x:
        axis.xaxis.set_major_formatter(FuncFormatter(_percent))
    if y:
        axis.yaxis.set_major_formatter(FuncFormatter(_percent))


def _percent(value: float, _: int | None) -> str:
    # Rounded, so that a tick at 0.30000000000000004 reads 30, and -0.0 reads 0.
    return f"{round(100.0 * value, 6) + 0.0:g}"


def time_axis(axes: Axes, last: float) -> None:
    """Label a time axis from 0 to the last year, with room for marks at both ends."""
    axes.set_xlim(-0.01 * last, 1.01 * last)
    axes.set_xlabel("Time in second-life service [year]")


def panels(figure: Figure) -> tuple[Axes, Axes]:
    """Return two panels side by side, each with its own legend below by `legend_below`."""
    grid = figure.add_gridspec(1, 2)
    left, right = (figure.add_subfigure(grid[0, column]) for column in range(2))
    return left.add_subplot(), right.add_subplot()


def legend_below(axes: Axes, rows: int) -> None:
    """Put the legend of one of two panels below it, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = -(-len(labels) // rows)
    axes.figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=columns,
        columnspacing=1.0,
        handlelength=1.8,
        handletextpad=0.5,
    )


def fan(axes: Axes, x: Array, levels: Array, color: str, label: str) -> None:
    """Draw bands and median of quantiles at `LEVELS`, shape (level, x)."""
    low, lower, median, upper, high = levels
    axes.fill_between(x, low, high, color=color, alpha=BAND_90, linewidth=0, label=f"90 % of {label}")
    axes.fill_between(x, lower, upper, color=color, alpha=BAND_50, linewidth=0, label=f"50 % of {label}")
    axes.plot(x, median, color=color, linewidth=2.0, label=f"median of {label}")


def against_measured(axes: Axes, days: Array, levels: Array, measured: Array, label: str, size: float) -> None:
    """Draw a 90 % band, its median and measured points; levels are low, median and high, shape (3, days)."""
    low, median, high = levels
    axes.fill_between(days, low, high, color=BLUE, alpha=BAND_90, linewidth=0, label=label)
    axes.plot(days, median, color=BLUE, linewidth=1.2, label="median")
    axes.plot(days, measured, "o", color=VERMILLION, markersize=size, label="measured")
