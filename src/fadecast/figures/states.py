"""Figures of the state of degraded cells: how curves were fitted, what was lost, and how sure that is."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fadecast.figures import style

MOST = 6
"""Curves that are drawn; more could not be told apart."""

_LOSSES = {
    "lli_since": "Lithium inventory",
    "lam_ne_since": "Negative material",
    "lam_pe_since": "Positive material",
    "lam_primary_since": "First negative material",
    "lam_second_since": "Second negative material",
}
_PAIRS = {
    "electrode_capacity_ne": "Negative\ncapacity [%]",
    "electrode_capacity_pe": "Positive\ncapacity [%]",
    "lithium_inventory": "Lithium\ninventory [%]",
    "second_share_ne": "Share of second\nmaterial [%]",
    "polarisation": "Polarisation\n[mV]",
}
_POINTS = 300


def draw_states(groups: Mapping[str, xr.Dataset], folder: Path) -> list[Path]:
    """Draw the figures of a calibration as PNG; the first `MOST` curves."""
    folder.mkdir(parents=True, exist_ok=True)
    posterior, observed, constant = (
        groups[name].isel(curve=slice(MOST)) for name in ("posterior", "observed_data", "constant_data")
    )
    drawn = {
        "state_fit": lambda: state_fit(posterior, observed),
        "state_derivative": lambda: state_derivative(observed),
        "state_pairs": lambda: state_pairs(posterior),
    }
    compared = constant["curve"].values[constant["curve"].values != constant["compared_with"].values]
    if len(compared):
        drawn["state_losses"] = lambda: state_losses(posterior.sel(curve=compared))
    paths = []
    with style.printed():
        for name, draw in drawn.items():
            paths.append(folder / f"{name}.png")
            draw().savefig(paths[-1])
    return paths


def state_fit(posterior: xr.Dataset, observed: xr.Dataset) -> Figure:
    """Measured and fitted voltage, and their difference."""
    figure = style.page(4.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for color, (name, one) in zip(style.SERIES, observed.groupby("curve"), strict=False):
        charge, measured, fitted = (one[key].values.ravel() for key in ("charge", "voltage_measured", "voltage_fitted"))
        above.plot(charge, measured, ".", color=color, markersize=3, label=f"{name}, measured")
        above.plot(charge, fitted, color=color, linewidth=1.0, label=f"{name}, fitted")
        spread = 1e3 * float(posterior["discrepancy"].sel(curve=name).mean())
        below.axhspan(-spread, spread, color=color, alpha=0.5 * style.BAND_90, linewidth=0)
        below.plot(charge, 1e3 * (measured - fitted), color=color, linewidth=1.0)
    above.set_ylabel("Voltage [V]")
    below.set_ylabel("Measured less\nfitted [mV]")
    below.set_xlabel("Charge [A.h]")
    style.legend_above(figure, above, columns=min(4, 2 * observed.sizes["curve"]))
    return figure


def state_derivative(observed: xr.Dataset) -> Figure:
    """Slope of voltage over charge, measured and fitted."""
    figure = style.page(3.2)
    axes = figure.subplots()
    steepest = []
    for color, (name, one) in zip(style.SERIES, observed.groupby("curve"), strict=False):
        charge, measured, fitted = (one[key].values.ravel() for key in ("charge", "voltage_measured", "voltage_fitted"))
        slope = np.gradient(measured, charge)
        axes.plot(charge, slope, ".", color=color, markersize=3, label=f"{name}, measured")
        axes.plot(charge, np.gradient(fitted, charge), color=color, linewidth=1.0, label=f"{name}, fitted")
        steepest.append(np.quantile(slope, 0.93))
    axes.set_ylim(0.0, 1.3 * max(steepest))
    axes.set_xlabel("Charge [A.h]")
    axes.set_ylabel("dV/dQ [V/(A.h)]")
    style.legend_above(figure, axes, columns=min(4, 2 * observed.sizes["curve"]))
    return figure


def state_losses(posterior: xr.Dataset) -> Figure:
    """Losses against the curves that others are compared with."""
    shown = {name: label for name, label in _LOSSES.items() if name in posterior}
    figure = style.page(1.2 + 0.35 * len(shown))
    axes = figure.subplots()
    count = posterior.sizes["curve"]
    for number, (color, marker, curve) in enumerate(zip(style.SERIES, style.MARKERS, posterior["curve"], strict=False)):
        values = np.stack([posterior[name].sel(curve=curve).values.ravel() for name in shown])
        low, high = np.quantile(values, (0.05, 0.95), axis=1)
        middle = values.mean(axis=1)
        height = np.arange(len(shown)) + 0.6 * ((number + 0.5) / count - 0.5)
        bars = np.stack([middle - low, high - middle])
        axes.errorbar(middle, height, xerr=bars, fmt=marker, color=color, capsize=3, label=str(curve.values))
    axes.set_yticks(np.arange(len(shown)), list(shown.values()))
    axes.invert_yaxis()
    style.in_percent(axes, x=True)
    axes.set_xlabel("Lost [%]")
    style.legend_above(figure, axes, columns=4)
    return figure


def state_pairs(posterior: xr.Dataset) -> Figure:
    """Pairs of what was sampled, from the mean of each curve: in per cent of it, polarisation in mV."""
    shown = {name: label for name, label in _PAIRS.items() if name in posterior}
    last = len(shown) - 1
    figure = style.page(6.2)
    grid = figure.subplots(last, last, sharex="col", sharey="row", squeeze=False)
    for axes in grid.ravel():
        axes.set_visible(False)
    names = list(shown)
    for left, right in combinations(range(len(names)), 2):
        axes = grid[right - 1, left]
        axes.set_visible(True)
        axes.locator_params(nbins=4)
        for color, curve in zip(style.SERIES, posterior["curve"].values, strict=False):
            x, y = (_deviation(posterior[names[n]].sel(curve=curve).values.ravel(), names[n]) for n in (left, right))
            step = max(1, len(x) // _POINTS)
            axes.plot(x[::step], y[::step], ".", markersize=2, alpha=0.6, color=color, label=str(curve))
        if left == 0:
            axes.set_ylabel(shown[names[right]])
        if right == last:
            axes.set_xlabel(shown[names[left]])
    style.legend_above(figure, grid[0, 0], columns=4)
    return figure


def _deviation(values: np.ndarray, name: str) -> np.ndarray:
    mean = values.mean()
    return 1e3 * (values - mean) if name == "polarisation" else 100.0 * (values / mean - 1.0)
