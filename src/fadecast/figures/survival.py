"""How long packs keep what is guaranteed."""

import json

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fadecast.figures import style
from fadecast.figures.terms import draws_note

_LEAST_SPAN = 0.10
"""Smallest span of the axis of shares: below it, a figure would magnify next to nothing."""


def survival(price: xr.Dataset) -> Figure:
    """Draw the share of packs that have not yet fallen short after each inspection, with its Monte-Carlo interval."""
    years = np.concatenate([[0.0], price["inspection"].values])
    kept = np.concatenate([[1.0], price["survival"].values])
    half = np.concatenate([[0.0], price["survival_interval"].values])
    low, high = np.maximum(kept - half, 0.0), np.minimum(kept + half, 1.0)
    figure = style.page(3.2)
    axes = figure.add_subplot()
    axes.step(years, kept, where="post", color=style.BLUE, label="not yet fallen short")
    at_end = f"at the end of the term: {100.0 * kept[-1]:.1f} %"
    if np.isfinite(half).all():
        confidence = 100.0 * json.loads(price.attrs["premium_settings"])["confidence"]
        label = f"{confidence:g} % Monte-Carlo interval"
        axes.fill_between(
            years, low, high, step="post", color=style.BLUE, alpha=style.BAND_90, linewidth=0, label=label
        )
        at_end += f" ({100.0 * low[-1]:.1f} to {100.0 * high[-1]:.1f})"
    # What the last inspection finds lasts no time: a step alone would not show it.
    reach = np.nan_to_num([[kept[-1] - low[-1]], [high[-1] - kept[-1]]])
    axes.errorbar(years[-1], kept[-1], reach, fmt="o", color=style.VERMILLION, markersize=4, capsize=3, label=at_end)
    span = max(1.0 - np.fmin(low, kept).min(), _LEAST_SPAN)
    axes.set_ylim(1.0 - 1.05 * span, 1.0 + 0.05 * span)
    axes.set_ylabel("Packs not yet fallen short [%]")
    style.time_axis(axes, years[-1])
    style.in_percent(axes, y=True)
    style.legend_above(figure, axes, columns=3)
    style.note(figure, draws_note(price))
    return figure
