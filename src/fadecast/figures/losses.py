"""What a bad outcome costs: the exceedance curve of the portfolio loss."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fadecast.figures import style
from fadecast.figures.terms import resolution_note
from fadecast.figures.units import readable
from fadecast.warranty import exceedance
from fadecast.warranty.tails import DRAWS_BEYOND

_LOG_FROM = 100
"""From so many draws on the probability axis is logarithmic: the tail is what such a run is for."""


def loss_exceedance(price: xr.Dataset) -> Figure:
    """Draw the probability that the portfolio loses at least so much, with the part that the draws do not resolve."""
    curve = exceedance(price)
    draws = len(curve)
    loss, probability = curve["loss"].to_numpy(), curve["probability"].to_numpy()
    figure = style.page(3.4)
    axes = figure.add_subplot()
    # A draw's share of the probability is lost at that draw's loss, so the curve steps down behind it.
    x, y = np.concatenate([[0.0], loss, loss[-1:]]), np.concatenate([[1.0], probability, [0.0]])
    axes.step(x, y, where="pre", color=style.BLUE, label="portfolio loss")
    axes.plot(loss, probability, ".", color=style.BLUE, markersize=4 if draws <= _LOG_FROM else 0)
    resolved = min(1.0, DRAWS_BEYOND / draws)
    label = f"not resolved: fewer than {DRAWS_BEYOND} draws beyond"
    axes.axhspan(0.0, resolved, color=style.GREY, alpha=0.15, linewidth=0, label=label)
    _mark(axes, price, "expected_loss", style.GREEN, "--", "expected loss")
    _mark(axes, price, "premium", style.VERMILLION, "-.", "premium")
    largest = max(loss.max(), price["premium"].item())
    largest = largest if largest > 0.0 else 1.0
    axes.set_xlim(-0.01 * largest, 1.05 * largest)
    if draws >= _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(0.5 / draws, 1.3)
    else:
        axes.set_ylim(0.0, 1.03)
    units = readable(price["expected_loss"].attrs["units"])
    axes.set(
        xlabel=f"Discounted loss of all packs over the term, per base energy [{units}]",
        ylabel="Probability of at least this loss [%]",
    )
    style.in_percent(axes, y=True)
    style.legend_above(figure, axes, columns=2)
    none = "" if loss.max() > 0.0 else " No draw has any loss."
    style.note(figure, resolution_note(price) + none)
    return figure


def _mark(axes: Axes, price: xr.Dataset, name: str, color: str, line: str, label: str) -> None:
    value = price[name].item()
    units = readable(price[name].attrs["units"])
    axes.axvline(value, color=color, linestyle=line, label=f"{label}: {value:.2f} {units}")
