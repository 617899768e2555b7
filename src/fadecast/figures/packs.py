"""What happens inside the packs: their state at the start, where lithium and material go, heat and shortfall."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fadecast.figures import style
from fadecast.figures.statistics import Array, draw_medians, evenly_ranked, quantiles, sample_note, yearly
from fadecast.outcome import Outcome

_MOST_POINTS = 600
"""Packs of a scatter plot; more would only blacken it."""
_LEAST_ENERGY = 0.1
"""Smallest end of the axis of energy not delivered [kWh/year]: below it is rounding."""
_MODES = {
    "Loss of lithium inventory": ("lithium inventory", style.BLUE, "o"),
    "Loss of active material in negative electrode": ("negative material", style.VERMILLION, "s"),
    "Loss of active material in positive electrode": ("positive material", style.GREEN, "^"),
}
_SINKS = {
    "lithium_sei": ("SEI", style.BLUE, "-"),
    "lithium_dead": ("dead plated lithium", style.ORANGE, "--"),
    "lithium_lam_ne": ("lost negative material", style.VERMILLION, "-."),
    "lithium_lam_pe": ("lost positive material", style.GREEN, ":"),
}
_LOSSES = {
    "lli": ("lithium inventory", style.BLUE, "-"),
    "lam_ne": ("negative material", style.VERMILLION, "-."),
    "lam_pe": ("positive material", style.GREEN, ":"),
}


def degradation(fade: xr.Dataset) -> Figure:
    """Draw what service took lithium for, and the losses of lithium and active material."""
    time = fade["time"].values
    figure = style.page(3.7)
    sinks, losses = style.panels(figure)
    for name, (label, color, line) in _SINKS.items():
        values = fade[name].transpose("draw", "pack", "time").values
        _draw_median(sinks, time, values - values[:, :, :1], color, line, label)
    sinks.set_title("Lithium bound since start of service")
    sinks.set_ylabel("Lithium per cell [Ah]")
    for name, (label, color, line) in _LOSSES.items():
        _draw_median(losses, time, fade[name].transpose("draw", "pack", "time").values, color, line, label)
    losses.set_title("Losses since first life")
    losses.set_ylabel("Loss over fresh amount [%]")
    style.in_percent(losses, y=True)
    for axes in (sinks, losses):
        style.time_axis(axes, time[-1])
        style.legend_below(axes, rows=2)
    style.note(figure, f"Lines: medians; bands: 50 % of all packs and draws. {sample_note(fade, of_capacity=False)}")
    return figure


def _draw_median(axes: Axes, time: Array, values: Array, color: str, line: str, label: str) -> None:
    low, median, high = quantiles(values, (0.25, 0.50, 0.75))
    axes.fill_between(time, low, high, color=color, alpha=0.18, linewidth=0)
    axes.plot(time, median, line, color=color, label=label)


def starting_states(population: xr.Dataset, fade: xr.Dataset) -> Figure:
    """Draw the packs at the start of service: resistance against SOH, and the losses behind the SOH."""
    soh = population["initial_soh"].transpose("draw", "pack").values.ravel()
    chosen = evenly_ranked(soh, _MOST_POINTS)
    figure = style.page(3.8)
    resistance, modes = style.panels(figure)
    _draw_resistance(resistance, population, fade, chosen)
    for name, (label, color, marker) in _MODES.items():
        loss = population["parameter_value"].sel(parameter=name).transpose("draw", "pack").values.ravel()
        modes.plot(soh[chosen], loss[chosen], marker, color=color, markersize=2.5, alpha=0.6, label=label)
    modes.set_title("Losses behind the state of health")
    modes.set_ylabel("Loss over fresh amount [%]")
    style.in_percent(modes, x=True, y=True)
    style.in_percent(resistance, x=True)
    for axes in (resistance, modes):
        axes.set_xlabel("State of health at start of service [%]")
        style.legend_below(axes, rows=2)
    shown = "" if chosen.size == soh.size else f" {chosen.size:,} packs shown."
    style.note(figure, sample_note(fade, of_capacity=False) + shown)
    return figure


def _draw_resistance(axes: Axes, population: xr.Dataset, fade: xr.Dataset, chosen: np.ndarray) -> None:
    soh = population["initial_soh"].transpose("draw", "pack").values.ravel()[chosen]
    group = population["retired_class"].transpose("draw", "pack").values.ravel()[chosen]
    start = fade["resistance"].transpose("draw", "pack", "time").values[:, :, 0].ravel()[chosen]
    for number, name in enumerate(sorted(set(group.tolist()))):
        of_class = group == name
        color, marker = (many[number % len(many)] for many in (style.SERIES, style.MARKERS))
        axes.plot(soh[of_class], 1e3 * start[of_class], marker, color=color, markersize=3, alpha=0.6, label=name)
    _mark_failed(axes, fade, soh, 1e3 * start, chosen)
    axes.set_title("Resistance (10 s, half charge, 25 °C)")
    axes.set_ylabel("Resistance of the cell [mΩ]")
    axes.set_ylim(bottom=0.0)


def _mark_failed(axes: Axes, fade: xr.Dataset, x: Array, y: Array, chosen: np.ndarray) -> None:
    if "outcome" not in fade:
        return
    code = fade["outcome"].transpose("draw", "pack").values.ravel()[chosen]
    ended = code != Outcome.COMPLETED
    if ended.any():
        axes.plot(
            x[ended], y[ended], "o", markersize=6, markerfacecolor="none", color=style.BLACK, label="did not complete"
        )


def shortfall_and_heat(fade: xr.Dataset) -> Figure:
    """Draw the energy that packs could not deliver, year by year, and the temperature of their cells."""
    time = fade["time"].values
    unserved = yearly(fade["energy_unserved"].transpose("draw", "pack", "time").values, time)
    figure = style.page(3.7)
    energy, heat = style.panels(figure)
    middle = 0.5 * (time[1:] + time[:-1])
    style.fan(energy, middle, quantiles(unserved, style.LEVELS), style.BLUE, "all packs")
    energy.plot(middle, draw_medians(unserved).T, color=style.BLACK, linewidth=0.5, alpha=0.6)
    energy.plot([], [], color=style.BLACK, linewidth=0.5, label="median of each draw")
    energy.set_title("Energy demanded and not delivered")
    energy.set_ylabel("Energy of a pack [kWh/year]")
    energy.set_ylim(0.0, max(_LEAST_ENERGY, energy.get_ylim()[1]))
    for name, label, color in (
        ("temperature_max", "highest so far (median and 90 %)", style.VERMILLION),
        ("temperature_mean", "mean (median and 90 %)", style.GREEN),
    ):
        low, median, high = quantiles(fade[name].transpose("draw", "pack", "time").values, (0.05, 0.50, 0.95))
        heat.fill_between(time, low, high, color=color, alpha=style.BAND_90, linewidth=0)
        heat.plot(time, median, color=color, label=label)
    heat.set_title("Temperature of the cells")
    heat.set_ylabel("Temperature [°C]")
    for axes in (energy, heat):
        style.time_axis(axes, time[-1])
        style.legend_below(axes, rows=2)
    style.note(figure, sample_note(fade, of_capacity=False))
    return figure
