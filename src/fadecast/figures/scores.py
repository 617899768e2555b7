"""Figures of forecasts held against measured cells."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fadecast.figures import style

_COLUMNS = 4
_MOST = 40


def draw_scores(forecast: pd.DataFrame, scores: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw every cell, by set, and the errors of all; PNG files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with style.printed():
        for name, rows in forecast.groupby("set", sort=False):
            paths.append(folder / f"cells_{name}.png")
            cells_of(rows).savefig(paths[-1])
        if not scores.empty:
            paths.append(folder / "errors.png")
            errors(scores).savefig(paths[-1])
    return paths


def cells_of(forecast: pd.DataFrame) -> Figure:
    """Forecast with its 90 % interval, and what was measured, one panel for each cell."""
    cells = list(forecast.groupby("cell", sort=False))[:_MOST]
    rows = -(-len(cells) // _COLUMNS)
    figure = style.page(0.6 + 1.5 * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True)
    for axes in panels.ravel()[len(cells) :]:
        axes.set_visible(False)
    for axes, (name, data) in zip(panels.ravel(), cells, strict=False):
        levels = data[[f"retention_{level}" for level in ("p05", "p50", "p95")]].to_numpy().T
        measured = data["retention_measured"].to_numpy()
        style.against_measured(axes, data["days"].to_numpy(), levels, measured, "90 % of the forecast", 2.5)
        axes.set_title(str(name), fontsize=8)
        style.in_percent(axes, y=True)
    for axes in panels[-1]:
        axes.set_xlabel("Time [day]")
    for axes in panels[:, 0]:
        axes.set_ylabel("Retention [%]")
    style.legend_above(figure, panels[0, 0], columns=3)
    return figure


def errors(scores: pd.DataFrame) -> Figure:
    """Error at the last check-up against the loss, beside that of a root of time."""
    figure = style.page(3.0)
    axes = figure.subplots()
    for color, marker, (name, rows) in zip(
        style.SERIES, style.MARKERS, scores.groupby("set", sort=False), strict=False
    ):
        loss = rows["measured_loss_pp"]
        axes.plot(loss, rows["error_pp"], marker, color=color, label=f"{name}: forecast")
        axes.plot(loss, rows["root_of_time_error_pp"], marker, color=color, fillstyle="none", label="root of time")
    axes.axhline(0.0, color=style.GREY, linewidth=0.8)
    axes.set_xlabel("Measured loss at the last check-up [percentage points]")
    axes.set_ylabel("Forecast less measured\n[percentage points]")
    style.legend_above(figure, axes, columns=2)
    return figure
