"""Figures of a study, for print: what was forecast, how sure it is, and what it costs."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr

from fadecast.figures.captions import CAPTIONS, Caption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fadecast.decades.representation import Representation

_MOST_YEARS = 16
"""Draws of duty that the statistics of the load are drawn of."""

__all__ = ["CAPTIONS", "Caption", "make_figures", "make_price_figures"]


def make_figures(
    duty: xr.Dataset,
    population: xr.Dataset,
    fade: xr.Dataset,
    price: xr.Dataset,
    trace: xr.Dataset | None,
    folder: Path,
    measured: pd.DataFrame | None = None,
    typical: "Representation | None" = None,
) -> list[Path]:
    """Draw every figure of a study as PNG, 170 mm wide at 200 dpi.

    Parameters
    ----------
    duty, population, fade, price
        Datasets of the stages.
    trace
        One typical day of one pack (`trace_*` of `fadecast.variables`); without it that figure is left out.
    folder
        Where the files go; made if it does not exist.
    measured
        Measured fade to hold the forecast against: columns `time` [year], `retention` [1], `label`.
    typical
        A year beside its typical days; without it that figure is left out.

    Returns
    -------
    The files, in the order of `CAPTIONS`, named after its keys.
    """
    return _drawn(_drawings(duty, population, fade, price, trace, measured, typical), folder)


def make_price_figures(price: xr.Dataset, folder: Path) -> list[Path]:
    """Draw the figures of a price sheet as PNG; return the files, named after keys of `CAPTIONS`."""
    return _drawn(_price_drawings(price), folder)


def _drawn(drawings: Iterable[tuple[str, Callable[[], "Figure"]]], folder: Path) -> list[Path]:
    # Drawing is the only part of a study that needs matplotlib, which takes long to import.
    from fadecast.figures import style

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with style.printed():
        for name, draw in drawings:
            path = folder / f"{name}.png"
            draw().savefig(path, metadata={"Title": CAPTIONS[name].title})
            paths.append(path)
    return paths


def _price_drawings(price: xr.Dataset) -> Iterator[tuple[str, Callable[[], "Figure"]]]:
    from fadecast.figures import losses, survival

    yield "loss_exceedance", lambda: losses.loss_exceedance(price)
    yield "reserves", lambda: losses.reserves(price)
    yield "survival", lambda: survival.survival(price)


def _drawings(
    duty: xr.Dataset,
    population: xr.Dataset,
    fade: xr.Dataset,
    price: xr.Dataset,
    trace: xr.Dataset | None,
    measured: pd.DataFrame | None,
    typical: "Representation | None",
) -> Iterator[tuple[str, Callable[[], "Figure"]]]:
    from fadecast.figures import load, packs, retention, site, site_years
    from fadecast.figures import typical as typical_figure

    yield "fade_fan", lambda: retention.fade_fan(fade, price, measured)
    yield "end_of_term", lambda: retention.end_of_term(fade, price)
    yield "tail_event", lambda: retention.tail_event(fade, price)
    yield from _price_drawings(price)
    if trace is not None:
        yield "typical_day", lambda: site.typical_day(trace)
    yield "site_weeks", lambda: site.site_weeks(duty)
    few = duty.isel(draw=slice(_MOST_YEARS))
    if float(few["load_power"].max()) > 0.0:
        yield "load_statistics", lambda: load.load_statistics(few)
    if typical is not None:
        yield "typical_days", lambda: typical_figure.typical_days(typical)
    if "site_unserved" in fade:
        yield "site_years", lambda: site_years.site_years(fade)
    yield "degradation", lambda: packs.degradation(fade)
    yield "starting_states", lambda: packs.starting_states(population, fade)
    yield "shortfall_and_heat", lambda: packs.shortfall_and_heat(fade)
