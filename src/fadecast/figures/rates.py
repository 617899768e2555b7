"""Figures of a calibration of rates: how a law fits, what laws foretell, and what is known that was not before."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fadecast.figures import style

_COLUMNS = 6
_LABELS = {"capacity": "Capacity", "lam_ne": "Negative", "lam_pe": "Positive"}


def draw_rates(fitted: pd.DataFrame, rates: pd.DataFrame, laws: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw storage, cycling, laws and priors; PNG files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = fitted[(fitted["kind"] == "stored") & (fitted["quantity"] == "capacity")]
    cycled = fitted[fitted["kind"] == "cycled"]
    titles = [f"{t:g} °C, {c:.0%}" for t, c in zip(stored["temperature"], stored["charge"], strict=True)]
    paths = []
    with style.printed():
        figures = {
            "stored": losses_of(stored.assign(title=titles)),
            "cycled": _cycled(cycled),
            "laws": laws_by_condition(laws),
            "told": told(rates),
        }
        for name, figure in figures.items():
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1])
    return paths


def losses_of(fitted: pd.DataFrame) -> Figure:
    """Fitted losses with 90 % of the posterior, and measured ones, a panel for each title."""
    groups = list(fitted.groupby("title", sort=False))
    rows = -(-len(groups) // _COLUMNS)
    figure = style.page(0.6 + 1.25 * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True)
    for axes in panels.ravel()[len(groups) :]:
        axes.set_visible(False)
    for axes, (title, data) in zip(panels.ravel(), groups, strict=False):
        levels = data[["p05", "p50", "p95"]].to_numpy().T
        style.against_measured(axes, data["days"].to_numpy(), levels, data["measured"].to_numpy(), "90 %", 1.8)
        axes.set_title(str(title), fontsize=6.5)
        style.in_percent(axes, y=True)
        axes.tick_params(labelsize=6)
    for axes in panels[-1]:
        axes.set_xlabel("Time [day]", fontsize=7)
    for axes in panels[:, 0]:
        axes.set_ylabel("Loss [%]", fontsize=7)
    style.legend_above(figure, panels[0, 0], columns=3)
    return figure


def _cycled(fitted: pd.DataFrame) -> Figure:
    ordered = fitted.sort_values(["quantity", "cell", "days"], kind="stable")
    several = len(set(ordered["quantity"])) > 1
    titles = [
        f"{_LABELS[quantity] + ', ' if several else ''}{chr(ord('A') + cell)} {celsius:.0f} °C"
        for quantity, celsius, cell in zip(ordered["quantity"], ordered["temperature"], ordered["cell"], strict=True)
    ]
    return losses_of(ordered.assign(title=titles))


def laws_by_condition(laws: pd.DataFrame) -> Figure:
    """Log predictive density of every condition that a law did not know."""
    figure = style.page(3.2)
    axes = figure.subplots()
    for n, (law, rows) in enumerate(laws.groupby("law", sort=False)):
        label = f"{law}, weight {rows['weight'].iloc[0]:.2f}"
        axes.plot(np.arange(len(rows)), rows["log_density"], "o", color=style.SERIES[n], markersize=3, label=label)
    names = laws["condition"].drop_duplicates()
    axes.set_xticks(np.arange(len(names)), names, rotation=90, fontsize=5)
    axes.set_ylabel("Log density per check-up [1]")
    style.legend_above(figure, axes, columns=3)
    return figure


def told(rates: pd.DataFrame) -> Figure:
    """How much narrower every quantity is after than before."""
    names = rates["quantity"].drop_duplicates().tolist()
    figure = style.page(0.6 + 0.2 * len(names))
    axes = figure.subplots()
    for n, (law, rows) in enumerate(rates.groupby("law", sort=False)):
        heights = [names.index(name) for name in rows["quantity"]]
        axes.plot(rows["posterior_over_prior_sd"], heights, "o", color=style.SERIES[n], markersize=3, label=str(law))
    axes.axvline(1.0, color="0.6", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.set_xlabel("Posterior over prior standard deviation [1]")
    style.legend_above(figure, axes, columns=3)
    return figure
