"""What the battery is asked to do: a typical day of one cell, a cold and a hot week of the site."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fadecast.figures import style
from fadecast.figures.statistics import Array

_WEEK_HOURS = 168
_FLOWS = ("load", "solar", "battery", "grid", "generator", "curtailed", "unserved", "spilled")


def typical_day(trace: xr.Dataset) -> Figure:
    """Draw power, state of charge and temperature of one cell over a typical day."""
    hour = trace["hour"].values
    edges = np.append(hour, 2.0 * hour[-1] - hour[-2])
    figure = style.page(4.2)
    power, charge, heat = figure.subplots(3, 1, sharex=True)
    demand, delivered = trace["trace_demand"].values, trace["trace_power"].values
    power.axhline(0.0, color=style.GREY, linewidth=0.7)
    power.stairs(demand, edges, baseline=None, color=style.ORANGE, linewidth=2.4, label="demanded (discharge positive)")
    power.stairs(delivered, edges, baseline=None, color=style.BLUE, linewidth=1.0, label="delivered")
    power.set_ylabel("Power of the\ncell [W]")
    charge.plot(hour, trace["trace_state_of_charge"].values, color=style.BLUE)
    charge.set_ylabel("State of\ncharge [%]")
    charge.set_ylim(-0.03, 1.03)
    style.in_percent(charge, y=True)
    heat.plot(hour, trace["trace_temperature"].values, color=style.VERMILLION)
    heat.set(ylabel="Temperature\n[°C]", xlabel="Hour of the day [h]", xticks=np.arange(0, 25, 3))
    heat.set_xlim(0.0, 24.0)
    figure.align_ylabels()
    style.legend_above(figure, power, columns=2)
    if {"draw", "pack", "day_of_year", "weight"} <= trace.attrs.keys():
        style.note(
            figure,
            f"Draw {trace.attrs['draw']}, pack {trace.attrs['pack']} at the start of service, "
            f"day {trace.attrs['day_of_year'] + 1} of the year, which stands for "
            f"{365.0 * trace.attrs['weight']:.0f} days.",
        )
    return figure


def site_weeks(duty: xr.Dataset) -> Figure:
    """Draw what serves the site, and its state of charge, in the coldest and the warmest week of draw 0."""
    year = duty.isel(draw=0)
    weeks = {"Coldest week": coldest_week(year), "Warmest week": warmest_week(year)}
    names = ("load_power", "solar_power", "battery_power")
    scale, unit = (1e-3, "MW") if max(float(abs(year[name]).max()) for name in names) >= 2e3 else (1.0, "kW")
    figure = style.page(3.8)
    axes = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=[2.0, 1.0])
    for column, (title, steps) in enumerate(weeks.items()):
        week = year.isel(hour=steps)
        first = int(week["hour"].values[0] // 24) + 1
        mean = f"{float(week['ambient_temperature'].mean()):.0f}".replace("-", "−")
        text = f"{title} (days {first}–{first + 6}, mean {mean} °C)"
        axes[0, column].set_title(text, fontweight="normal", fontsize=8.5)
        _draw_power(axes[0, column], week, scale)
        _draw_charge(axes[1, column], week)
    axes[0, 0].set_ylabel(f"Power [{unit}]")
    axes[1, 0].set_ylabel("State of\ncharge [%]")
    style.in_percent(axes[1, 0], y=True)
    figure.supxlabel("Day of the week shown [day]", fontsize=8.5)
    figure.align_ylabels()
    style.legend_above(figure, axes[0, 0], axes[0, 1], columns=5)
    return figure


def _draw_power(axes: Axes, week: xr.Dataset, scale: float) -> None:
    """Stack what gives power above zero and what takes it besides the load below; the load is a line."""
    day = _days(week)
    power = {name: scale * week[f"{name}_power"].values for name in _FLOWS}
    # What a generator has to give at least may be spilled too; sun is first.
    spilled_sun = np.minimum(power["spilled"], power["solar"])
    given = {
        "sun used": (style.ORANGE, power["solar"] - spilled_sun),
        "battery": (style.BLUE, power["battery"].clip(min=0.0)),
        "grid": (style.PURPLE, power["grid"].clip(min=0.0)),
        "generator": (style.GREY, power["generator"] - (power["spilled"] - spilled_sun)),
    }
    taken = {
        "charging": (style.SKY, power["battery"].clip(max=0.0)),
        "sold to the grid": (style.PURPLE, power["grid"].clip(max=0.0)),
    }
    for side in (given, taken):
        base = np.zeros_like(day)
        for label, (color, part) in side.items():
            if part.any():
                axes.fill_between(day, base, base + part, color=color, linewidth=0, step="post", label=label)
            base = base + part
    load = power["load"]
    served = load - power["unserved"]
    axes.plot(day, load, color=style.BLACK, linewidth=0.7, drawstyle="steps-post", label="load")
    for label, color, low, high in (
        ("put off", style.GREEN, served - power["curtailed"], served),
        ("not served", style.VERMILLION, served, load),
    ):
        if (high > low).any() or label == "not served":
            axes.fill_between(day, low, high, color=color, linewidth=0, step="post", label=label)
    axes.axhline(0.0, color=style.GREY, linewidth=0.7)


def _draw_charge(axes: Axes, week: xr.Dataset) -> None:
    axes.plot(_days(week), week["state_of_charge"].values, color=style.BLUE, linewidth=1.0)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlim(0.0, _WEEK_HOURS / 24)
    axes.set_xticks(np.arange(0, 8))


def _days(week: xr.Dataset) -> Array:
    hour = week["hour"].values
    return np.asarray((hour - hour[0]) / 24.0)


def coldest_week(year: xr.Dataset) -> slice:
    """Return the steps of the week, of those counted from 1 January, with the lowest mean outdoor temperature."""
    means, steps = _weekly_temperature(year)
    return _week(int(means.argmin()), steps)


def warmest_week(year: xr.Dataset) -> slice:
    """Return the steps of the week, of those counted from 1 January, with the highest mean outdoor temperature."""
    means, steps = _weekly_temperature(year)
    return _week(int(means.argmax()), steps)


def _week(number: int, steps: int) -> slice:
    return slice(number * steps, (number + 1) * steps)


def _weekly_temperature(year: xr.Dataset) -> tuple[Array, int]:
    hour = year["hour"].values
    steps = round(_WEEK_HOURS / (hour[1] - hour[0]))
    whole = hour.size // steps
    temperature = year["ambient_temperature"].values[: whole * steps]
    return temperature.reshape(whole, steps).mean(axis=1), steps
