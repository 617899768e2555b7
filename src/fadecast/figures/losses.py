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


def reserves(price: xr.Dataset) -> Figure:
    """Draw what is still unpaid after each policy year, and the premium by the size of the fleet."""
    figure = style.page(3.3)
    unpaid, fleets = figure.subplots(1, 2)
    years = np.concatenate([[0.0], price["policy_year"].values])
    all_claims = (price["draw_weight"] * price["claim_amount"]).sum() / _energy(price)
    expected = np.concatenate([[all_claims.item()], price["reserve"].values])
    half = np.concatenate([[np.nan], price["reserve_interval"].values])
    unpaid.plot(years, expected, color=style.BLUE, label="expected")
    unpaid.fill_between(
        years, np.maximum(expected - half, 0.0), expected + half, color=style.BLUE, alpha=0.2, linewidth=0
    )
    if np.isfinite(price["reserve_high"]).any():
        unpaid.plot(years[1:], price["reserve_high"], color=style.VERMILLION, linestyle="--", label="95 % of draws")
    units = readable(price["premium"].attrs["units"])
    unpaid.set(xlabel="Policy year", ylabel=f"Unpaid claims [{units}]", xlim=(0.0, years[-1]))
    unpaid.set_ylim(bottom=0.0)
    unpaid.legend()
    finite = np.isfinite(price["fleet_size"].values)
    size, premium = price["fleet_size"].values, price["fleet_premium"].values
    fleets.semilogx(size[finite], premium[finite], ".-", color=style.BLUE, label="by fleet size")
    fleets.axhline(premium[~finite][0], color=style.GREY, linestyle="--", label="any number")
    fleets.set(xlabel="Packs", ylabel=f"Premium [{units}]")
    fleets.set_ylim(bottom=0.0)
    fleets.legend()
    return figure


def _energy(price: xr.Dataset) -> float:
    """Return the base energy of all packs of all draws [kWh], those included that packs stand for."""
    return float((price["draw_weight"] * price["base_energy"]).sum()) * float(price.attrs.get("pack_weight", 1.0))


def _mark(axes: Axes, price: xr.Dataset, name: str, color: str, line: str, label: str) -> None:
    value = price[name].item()
    units = readable(price[name].attrs["units"])
    axes.axvline(value, color=color, linestyle=line, label=f"{label}: {value:.2f} {units}")
