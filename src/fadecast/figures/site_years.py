"""A site over its years: what its packs can still do, and what it leaves unserved."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fadecast.figures import style
from fadecast.figures.statistics import quantiles, standing_for

_BAND = (0.05, 0.50, 0.95)


def site_years(fade: xr.Dataset) -> Figure:
    """Draw capability and replaced packs, and the load unserved each year, of sites whose packs feel each other."""
    time = fade["time"].values
    capability, replaced, unserved = (
        fade[name].transpose("draw", "site", "time").values
        for name in ("site_capability", "site_replacements", "site_unserved")
    )
    figure = style.page(3.4)
    left, right = style.panels(figure)
    low, median, high = quantiles(capability, _BAND)
    left.fill_between(time, low, high, color=style.BLUE, alpha=0.18, linewidth=0)
    left.plot(time, median, color=style.BLUE, label="capability")
    left.set_ylabel("Capacity over that at the start [%]")
    style.in_percent(left, y=True)
    left.set_title("What the packs can do")
    if replaced.max() > 0.0:
        count = left.twinx()
        count.plot(time, quantiles(replaced, _BAND)[1], "--", color=style.VERMILLION)
        count.set_ylabel("Packs replaced (dashed)")
    years = np.arange(1, int(np.floor(time[-1] + 1e-9)) + 1)
    ends = np.concatenate([[0.0], years]) if len(years) else np.array([0.0, time[-1]])
    cumulative = np.stack([np.interp(ends, time, row) for row in unserved.reshape(-1, len(time))])
    low, median, high = np.quantile(np.diff(cumulative, axis=1) / 1000.0, _BAND, axis=0)
    right.fill_between(ends[1:], low, high, color=style.ORANGE, alpha=0.25, linewidth=0, step=None)
    right.plot(ends[1:], median, "o-", color=style.ORANGE)
    right.set_ylim(bottom=0.0)
    right.set_ylabel("Unserved load [MWh/year]")
    right.set_title("What the site cannot serve")
    for axes in (left, right):
        style.time_axis(axes, time[-1])
    of = {name: fade.sizes[name] for name in ("draw", "site", "pack")}
    counted = ", ".join(f"{count:,} {name}{'s' if count > 1 else ''}" for name, count in of.items())
    style.note(figure, f"{counted}{standing_for(fade)}.")
    return figure
