"""What a load is like: how high for how long, how fast it swings, and what rate it asks of a pack."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import welch

from fadecast.figures import style
from fadecast.figures.statistics import Array

_WEEK_HOURS = 168.0
_SHARES = np.linspace(0.0, 1.0, 401)
_LEAST_SHARE = 1e-5


class Series(NamedTuple):
    """A power in equal steps."""

    power: Array
    """In any unit, shape `(draw, step)`."""
    step_hours: float

    @property
    def relative(self) -> Array:
        """Power over its mean [1]."""
        return np.asarray(self.power / self.power.mean())


def load_statistics(duty: xr.Dataset, measured: Mapping[str, Series] | None = None) -> Figure:
    """Draw load duration, ramps and spectrum of computing, or of what else is asked, and the rates of a pack.

    Parameters
    ----------
    duty
        Duty dataset.
    measured
        Measured power by label to hold the first three against, each in one row.
    """
    name = "it_power" if float(duty["it_power"].max()) > 0.0 else "load_power"
    hour = duty["hour"].values
    drawn = Series(duty[name].values, float(hour[1] - hour[0]))
    series = {"drawn": drawn, **(measured or {})}
    figure = style.page(4.6)
    axes = figure.subplots(2, 2)
    for (label, each), color in zip(series.items(), style.SERIES, strict=False):
        _draw_duration(axes[0, 0], each, label, color)
        _draw_spectrum(axes[1, 0], each, color)
        _draw_ramps(axes[1, 1], each, color)
    _draw_rates(axes[0, 1], duty["pack_power"].values)
    axes[0, 0].set(xlabel="Share of time [%]", ylabel="Load over its mean [1]")
    axes[1, 0].set(xlabel="Frequency [1/h]", ylabel="Spectral density of\nload over mean [h]")
    steps = " and ".join(sorted({f"{60.0 * each.step_hours:g}" for each in series.values()}, key=float))
    axes[1, 1].set(
        xlabel=f"Change from step to step ({steps} min)\nover mean load [1]",
        ylabel="Share of steps\nthat exceed it [1]",
    )
    style.in_percent(axes[0, 0], x=True)
    style.legend_above(figure, axes[0, 0], axes[0, 1], columns=4)
    return figure


def _draw_duration(axes: Axes, series: Series, label: str, color: str) -> None:
    for n, year in enumerate(series.relative):
        levels = np.quantile(year, 1.0 - _SHARES)
        axes.plot(_SHARES, levels, color=color, linewidth=0.9, label=label if n == 0 else None)
    axes.set_ylim(bottom=0.0)


def _draw_spectrum(axes: Axes, series: Series, color: str) -> None:
    frequency, density = spectrum(series)
    axes.loglog(frequency, density, color=color, linewidth=0.9)


def spectrum(series: Series) -> tuple[Array, Array]:
    """Return frequencies [1/h] and the mean spectral density over draws of power over its mean [h].

    By Welch's method over weeks; a year of one week's length or less in one piece.
    """
    steps = min(series.power.shape[1], round(_WEEK_HOURS / series.step_hours))
    frequency, density = welch(series.relative, fs=1.0 / series.step_hours, nperseg=steps, axis=-1)
    return frequency[1:], density.mean(axis=0)[1:]


def _draw_ramps(axes: Axes, series: Series, color: str) -> None:
    change = np.sort(np.abs(np.diff(series.relative, axis=1)).ravel())
    rank = np.unique(np.geomspace(1, change.size, 400).astype(int))
    axes.loglog(np.maximum(change[-rank], 1e-6), rank / change.size, color=color, linewidth=0.9)
    axes.set_xlim(1e-3, 1.5 * max(float(change[-1]), axes.get_xlim()[1] / 1.5, 1e-2))
    axes.set_ylim(bottom=max(_LEAST_SHARE, 0.5 / change.size))


def _draw_rates(axes: Axes, rates: Array) -> None:
    """Draw the share of time at each power of a pack over its nameplate, and say how long it is idle."""
    largest = float(np.abs(rates).max()) or 1.0
    edges = np.linspace(-largest, largest, 61)
    share = np.histogram(rates[rates != 0.0], edges)[0] / rates.size
    for sign, color, label in ((-1.0, style.ORANGE, "charge"), (1.0, style.BLUE, "discharge")):
        side = sign * 0.5 * (edges[1:] + edges[:-1]) > 0.0
        axes.bar(
            edges[:-1][side], share[side], np.diff(edges)[side], align="edge", color=color, linewidth=0, label=label
        )
    axes.set_yscale("log")
    axes.set_ylim(_LEAST_SHARE, 1.0)
    axes.set(xlabel="Pack power over nameplate [1/h]", ylabel="Share of time [1]")
    axes.set_title(f"idle for {float((rates == 0.0).mean()):.0%} of the time", fontweight="normal", fontsize=8)
