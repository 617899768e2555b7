"""How far SPM and SPMe are from DFN, at every condition: a map with the numbers in it."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from fadecast.cell.discrepancy_table import QUANTITIES, grid
from fadecast.figures import style

NAMES = {
    "voltage_rms": "Voltage, rms [mV]",
    "discharge_capacity": "Charge delivered",
    "heat": "Heat",
    "temperature_rise": "Temperature rise",
    "sei": "SEI",
    "sei_on_cracks": "SEI on cracks",
    "plated": "Plated lithium",
    "dead": "Dead lithium",
    "crack_length": "Crack growth",
    "lam_ne": "LAM negative",
    "lam_pe": "LAM positive",
    "lli": "Lithium lost",
}
_TITLES = {"swing": "one-minute AI swing", "discharge": "discharge to cut-off, rest"}
# Linear within 1 %, logarithmic to 100 %.
_SCALE = SymLogNorm(linthresh=1.0, vmin=-100.0, vmax=100.0)


def discrepancy_map(frame: pd.DataFrame) -> Figure:
    """Draw the table of all conditions: loads below each other, models side by side.

    Parameters
    ----------
    frame
        Rows of `fadecast.cell.discrepancy_table.compare` with `load`, `model`, `c_rate` and `temperature_degC`.
    """
    figure = style.page(7.4)
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for row, load in zip(panels, _TITLES, strict=True):
        for axes, model in zip(row, ("SPM", "SPMe"), strict=True):
            _panel(axes, frame, load, model)
            axes.set_title(f"{model}, {_TITLES[load]}", fontsize=8.5)
    for axes in panels[1]:
        axes.set_xlabel("Ambient [°C] at C-rate")
    colours = mpl.cm.ScalarMappable(_SCALE, "RdBu_r")
    bar = figure.colorbar(colours, ax=panels, location="bottom", aspect=60, ticks=[-100, -10, -1, 0, 1, 10, 100])
    bar.ax.set_xticklabels(["−100", "−10", "−1", "0", "1", "10", "100"])
    bar.set_label("Difference from DFN, of DFN's change over the run [%]")
    style.note(figure, "A dot: DFN's change is below the floor. Voltage row: rms difference in mV, not coloured.")
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, load: str, model: str) -> None:
    names = [name for name in QUANTITIES if name in NAMES and not (load == "swing" and name == "discharge_capacity")]
    columns = [grid(frame, load, model, name, "difference" if name == "voltage_rms" else "relative") for name in names]
    rates, temperatures = columns[0].index, columns[0].columns
    values = np.stack([each.to_numpy(dtype=float).ravel() for each in columns])
    coloured = 100.0 * values
    coloured[names.index("voltage_rms")] = np.nan
    axes.imshow(np.clip(coloured, -100, 100), norm=_SCALE, cmap="RdBu_r", aspect="auto")
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        voltage = names[row] == "voltage_rms"
        text = _short(value, signed=False) if voltage else _short(100.0 * value, signed=True)
        dark = not voltage and abs(value) > 0.12
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    for edge in range(len(temperatures), values.shape[1], len(temperatures)):
        axes.axvline(edge - 0.5, color=style.BLACK, linewidth=0.8)
    axes.set_yticks(range(len(names)), [NAMES[name] for name in names])
    middle = len(temperatures) // 2
    labels = [
        f"{temperature:g}" + (f"\n{rate:g}C" if place == middle else "")
        for rate in rates
        for place, temperature in enumerate(temperatures)
    ]
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(length=0, labelbottom=True)


def _short(value: float, *, signed: bool) -> str:
    if not np.isfinite(value):
        return "·"
    digits = 0 if abs(value) >= 9.95 else 1
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return "0" if float(text) == 0.0 else text.replace("-", "−")
