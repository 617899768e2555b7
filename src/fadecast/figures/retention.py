"""How much capacity is left: over time, at the end of the term, and how probable a large loss is."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fadecast.figures import style
from fadecast.figures.statistics import (
    Array,
    capacity_left,
    draw_medians,
    evenly_ranked,
    loss_probability,
    quantiles,
    sample_note,
)
from fadecast.figures.terms import contract_of
from fadecast.warranty.claims import TAIL_EVENT_RETENTION, TAIL_EVENT_YEARS
from fadecast.warranty.contract import Contract, guaranteed_level, inspection_times
from fadecast.warranty.observed import interpolate

_MOST_LINES = 24
"""Draws shown one by one; more would hide each other."""
_BINS = 50
_LOWEST_TOP = 0.05
"""Smallest end of a probability axis: below it, a figure would magnify next to nothing."""
_REACH = 3.0
"""A guarantee further from the values than so many times their span is named in words, not drawn."""
_SMALLEST_SPAN = 0.05
_BIN_WIDTHS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_NAMES = {"retention": "Retention", "soh": "State of health"}
_MEANINGS = {"retention": "capacity over start of service", "soh": "capacity over first-life nameplate"}


def fade_fan(fade: xr.Dataset, price: xr.Dataset, measured: pd.DataFrame | None) -> Figure:
    """Draw retention over time: how packs differ (bands), what is unknown (lines of draws), guarantee, measurements."""
    values = capacity_left(fade)
    time = fade["time"].to_numpy()
    figure = style.page(3.7)
    axes = figure.add_subplot()
    bands = quantiles(values, style.LEVELS)
    style.fan(axes, time, bands, style.BLUE, "all packs and draws")
    shown = _draw_lines(axes, time, draw_medians(values))
    axes.plot([], [], color=style.BLACK, linewidth=0.5, label=f"median of each draw{shown}")
    note = sample_note(fade)
    contract = contract_of(price)
    if contract is not None:
        note += _draw_guarantee(axes, contract, bands)
    if measured is not None:
        _draw_measured(axes, measured)
    axes.set_ylabel("Retention [% of capacity at start]")
    style.time_axis(axes, time[-1])
    style.in_percent(axes, y=True)
    style.legend_above(figure, axes, columns=3)
    style.note(figure, note)
    return figure


def _draw_guarantee(axes: Axes, contract: Contract, shown: Array) -> str:
    """Draw the guaranteed curve and its inspections where that can be done, and return what must be said of it."""
    if contract.measure != "retention":
        return " The guarantee is on the state of health, not on retention, and so not drawn here."
    inspections = inspection_times(contract)
    level = guaranteed_level(contract, inspections)
    if not within_reach(float(level.min()), shown):
        return f" The guarantee, {100.0 * level.min():g} % at its lowest, lies far below and is not drawn."
    years = np.union1d(np.array([0.0, contract.term_years]), [year for year, _ in contract.guarantee])
    years = years[years <= contract.term_years]
    axes.plot(years, guaranteed_level(contract, years), "--", color=style.VERMILLION, label="guaranteed curve")
    axes.plot(inspections, level, ".", color=style.VERMILLION, markersize=6, label="inspection of the guarantee")
    return (
        "" if contract.cycle_guarantee is None else " Packs with many cycles are held to a lower level than is drawn."
    )


def within_reach(level: float, values: Array) -> bool:
    """Return whether a level can share an axis with values without squeezing them into a small part of it."""
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    room = _REACH * max(high - low, _SMALLEST_SPAN)
    return not (level < low - room or level > high + room)


def _draw_lines(axes: Axes, time: Array, lines: Array) -> str:
    """Draw one thin line per draw, and return how many of how many if not all are shown."""
    chosen = evenly_ranked(lines[:, -1], _MOST_LINES)
    axes.plot(time, lines[chosen].T, color=style.BLACK, linewidth=0.5, alpha=0.6)
    return "" if chosen.size == len(lines) else f" ({chosen.size} of {len(lines):,})"


def _draw_measured(axes: Axes, measured: pd.DataFrame) -> None:
    for number, (label, points) in enumerate(measured.groupby("label", sort=False)):
        marker = style.MARKERS[number % len(style.MARKERS)]
        axes.plot(
            points["time"].to_numpy(),
            points["retention"].to_numpy(),
            marker,
            markersize=4,
            markerfacecolor="white",
            color=style.SERIES[(number + 2) % len(style.SERIES)],
            label=f"measured: {label}",
        )


def end_of_term(fade: xr.Dataset, price: xr.Dataset) -> Figure:
    """Draw the distribution of what the contract measures at the end of its term: all packs, and draw by draw."""
    contract = contract_of(price)
    measure = "retention" if contract is None else contract.measure
    time = fade["time"].to_numpy()
    year = time[-1] if contract is None else min(contract.term_years, time[-1])
    values = interpolate(capacity_left(fade, measure), time, year)
    figure = style.page(3.8)
    packs, draws = figure.subplots(2, 1, sharex=True, height_ratios=[1.2, 1.0])
    _draw_histogram(packs, values)
    _draw_strips(draws, values)
    note = sample_note(fade)
    if contract is not None:
        level = float(guaranteed_level(contract, np.array([year]))[0])
        if within_reach(level, values):
            for axes in (packs, draws):
                axes.axvline(level, linestyle="--", color=style.VERMILLION, label=f"guaranteed: {100.0 * level:g} %")
        else:
            note += f" The guaranteed {100.0 * level:g} % lies far outside the axis."
    draws.set_xlabel(f"{_NAMES[measure]} after {year:g} years ({_MEANINGS[measure]}) [%]")
    style.in_percent(draws, x=True)
    style.legend_above(figure, packs, draws, columns=3)
    style.note(figure, note)
    return figure


def bin_edges(values: Array) -> Array:
    """Return the edges of equal bins of a round width that hold all values [1], about `_BINS` of them."""
    low, high = values.min(), values.max()
    width = next((w for w in _BIN_WIDTHS if (high - low) / w <= _BINS), _BIN_WIDTHS[-1])
    # The margins keep a value on an edge from falling out by rounding.
    first, last = max(np.floor(low / width - 1e-9), 0.0), np.ceil(high / width + 1e-9)
    return np.asarray(width * np.arange(first, last + 1.0))


def _draw_histogram(axes: Axes, values: Array) -> None:
    known = values[np.isfinite(values)]
    if not known.size:
        axes.text(0.5, 0.5, "no pack was seen to the end of the term", ha="center", transform=axes.transAxes)
        return
    edges = bin_edges(known)
    counts, _ = np.histogram(known, edges)
    axes.stairs(counts / counts.sum(), edges, fill=True, color=style.BLUE, alpha=style.BAND_50, label="all packs")
    axes.set_ylabel(f"Share of packs [%]\nin bins of {100.0 * (edges[1] - edges[0]):g} %")
    style.in_percent(axes, y=True)


def _draw_strips(axes: Axes, values: Array) -> None:
    """Draw one strip per draw, in the order of the medians."""
    by_draw = quantiles(values.T[None], style.LEVELS)
    chosen = evenly_ranked(by_draw[2], _MOST_LINES)
    row = np.arange(chosen.size)
    low, lower, median, upper, high = by_draw[:, chosen]
    axes.hlines(row, low, high, color=style.BLUE, alpha=0.6, linewidth=1.0, label="90 % of the packs of a draw")
    axes.hlines(row, lower, upper, color=style.BLUE, linewidth=2.5, label="50 % of the packs of a draw")
    axes.plot(median, row, "o", color=style.BLACK, markersize=3, label="median of a draw")
    shown = "" if chosen.size == len(values) else f"\n({chosen.size} of {len(values):,})"
    axes.set(ylabel=f"Draws, by median{shown}", yticks=[])
    axes.set_ylim(-1.0, chosen.size)


def tail_event(fade: xr.Dataset, price: xr.Dataset) -> Figure:
    """Draw the probability that a pack has lost more than a fifth of its capacity, over time."""
    time = fade["time"].to_numpy()
    all_draws, each = loss_probability(capacity_left(fade))
    figure = style.page(3.2)
    axes = figure.add_subplot()
    by_draw = quantiles(each[:, None], (0.05, 0.95))
    axes.fill_between(time, *by_draw, color=style.BLUE, alpha=style.BAND_90, linewidth=0, label="90 % of the draws")
    shown = _draw_lines(axes, time, each)
    axes.plot([], [], color=style.BLACK, linewidth=0.5, label=f"one draw{shown}")
    axes.plot(time, all_draws, color=style.BLUE, linewidth=2.0, label="all packs and draws")
    if time[-1] >= TAIL_EVENT_YEARS:
        axes.axvline(TAIL_EVENT_YEARS, linestyle=":", color=style.GREY)
        _mark_tail_event(axes, price)
    lost = 1.0 - TAIL_EVENT_RETENTION
    axes.set_ylabel(f"Probability that more than\n{100.0 * lost:g} % of capacity was lost [%]")
    style.time_axis(axes, time[-1])
    top = min(1.0, 1.1 * max(_LOWEST_TOP, float(np.fmax.reduce(each, axis=None))))
    axes.set_ylim(-0.02 * top, 1.02 * top)
    style.in_percent(axes, y=True)
    style.legend_above(figure, axes, columns=4)
    style.note(figure, sample_note(fade))
    return figure


def _mark_tail_event(axes: Axes, price: xr.Dataset) -> None:
    value = price["tail_event_probability"].item()
    half_width = price["tail_event_probability_interval"].item()
    if not np.isfinite(value):
        return
    label = f"within {TAIL_EVENT_YEARS:g} years: {100.0 * value:.1f} %"
    down, up = (0.0, 0.0) if np.isnan(half_width) else (min(half_width, value), min(half_width, 1.0 - value))
    axes.errorbar(
        TAIL_EVENT_YEARS,
        value,
        yerr=[[down], [up]],
        fmt="o",
        color=style.VERMILLION,
        markersize=5,
        capsize=3,
        label=label,
        zorder=5,
    )
