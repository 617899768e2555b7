"""The report of a study: one HTML file that needs nothing beside it, on screen and in print."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from fadecast.figures.statistics import (
    capacity_left,
    draw_medians,
    outcome_counts,
    quantiles,
    sample_note,
    share_below,
    standing_for,
)
from fadecast.figures.terms import contract_of, resolution_note
from fadecast.figures.units import readable
from fadecast.outcome import Outcome
from fadecast.pages import embedded, render
from fadecast.warranty import Contract, price_table
from fadecast.warranty.contract import guaranteed_level
from fadecast.warranty.observed import interpolate
from fadecast.warranty.tails import draws_needed
from fadecast.wording import in_years, money, percent, significant, span, text, words

_TEMPLATE = "report.html.jinja"
_NOT_RESOLVED = "not_resolved"
_MOST_FAILED = 50
"""Failed packs listed one by one."""

_QUANTITIES = {
    "premium": "Premium",
    "expected_loss": "Expected discounted loss",
    "expenses": "Expenses",
    "capital_load": "Cost of capital",
    "tail_event_probability": "Probability that a pack loses more than 20 % of its capacity within 3 years",
    "failed_share": "Packs left out because their forecast failed within the term",
    "exhausted_share": "Packs at the end of life within the term",
}
_QUANTILES = {"value_at_risk": "Value at risk", "tail_value_at_risk": "Tail value at risk"}
_COUNTED = ("failed_share", "exhausted_share")
_MEASURES = {"retention": "capacity at the start of service", "soh": "first-life nameplate capacity"}

_ORIGIN = ("seed", "git_commit")
_SHOWN_ELSEWHERE = ("study", "Conventions", "title", "outcomes", "typical_day_error")


@dataclass(frozen=True)
class Headline:
    """A number that answers the question of the study."""

    label: str
    value: str
    interval: str


@dataclass(frozen=True)
class PriceRow:
    """A priced quantity as the table prints it."""

    label: str
    name: str
    value: str
    interval: str
    units: str


@dataclass(frozen=True)
class FailedPack:
    """A pack whose run did not complete."""

    draw: str
    pack: str
    outcome: str
    last_year: str


def render_report(
    study: Mapping[str, Any],
    duty: xr.Dataset,
    population: xr.Dataset,
    fade: xr.Dataset,
    price: xr.Dataset,
    figures: Sequence[Path],
    summary: Mapping[str, Any],
    economics: Sequence[Mapping[str, str]] = (),
) -> str:
    """Write the report of a study as HTML.

    Parameters
    ----------
    study
        The whole configuration as plain data (text, numbers, lists, mappings).
    duty, population, fade, price
        Datasets of the stages.
    figures
        PNG files, named after the keys of `fadecast.figures.CAPTIONS`; they are embedded, in that order.
    summary
        What else the run reports of itself, such as times and sizes, by name.
    economics
        Rows of what a kWh costs, as of `fadecast.economics.economics_table`; none where it was not worked out.

    Returns
    -------
    A self-contained HTML document without scripts.
    """
    datasets = {"duty": duty, "population": population, "fade": fade, "price": price}
    return render(
        _TEMPLATE,
        study=study,
        question=_question(study, fade),
        asked=_asked(study, duty),
        promise=_promise(price),
        headlines=_headlines(fade, price),
        sample=sample_note(fade),
        interval=price.attrs.get("interval", ""),
        price_rows=price_rows(price),
        resolution=resolution_note(price),
        economics=[_cost_row(row) for row in economics],
        figures=embedded(figures),
        extrapolation=population.attrs.get("extrapolation", ""),
        outcomes=[(words(o.name), count, o.remedy) for o, count in outcome_counts(fade).items()],
        failed=failed_packs(fade)[:_MOST_FAILED],
        failed_total=len(failed_packs(fade)),
        parameters=_parameters(population),
        assumptions=_assumptions(datasets),
        summary=[(words(str(name)), text(value)) for name, value in summary.items()],
        origin=_origin(datasets),
        configuration=yaml.safe_dump(json.loads(json.dumps(study)), sort_keys=False, allow_unicode=True, width=100),
    )


def _question(study: Mapping[str, Any], fade: xr.Dataset) -> str:
    draws, packs = fade.sizes["draw"], fade.sizes["pack"]
    years = fade["time"].values[-1]
    place = study.get("site", {}).get("climate")
    where = f" in the climate of {place}" if place else ""
    return (
        f"How fast do retired electric-vehicle packs fade in {in_years(years)} of second-life service{where}, and what "
        f"does a guarantee of their capacity cost? Forecast: in each of {draws:,} draws of what is not known about all "
        f"of them (ageing rates, weather, load) {packs:,} packs{standing_for(fade)}."
    )


def _summed(duty: xr.Dataset, name: str) -> float:
    """Sum a power over all draws, one in memory at a time."""
    return sum(float(duty[name].isel(draw=draw).sum()) for draw in range(duty.sizes["draw"]))


def _asked(study: Mapping[str, Any], duty: xr.Dataset) -> str:
    """Say in words what the packs were asked to do."""
    settings = study.get("duty", {})
    match settings.get("service", "site"):
        case "regulation":
            return "a year of drawn frequency regulation, its charge made up by the grid."
        case "cycling":
            return "a year of cycles between the limits of charge at constant power."
        case "driving":
            return "a year in a car: ways out and back on most days, charged at home."
        case "rest":
            return "a year of rest."
    planned = settings.get("dispatch", {}).get("policy") == "look_ahead"
    others = "then grid, generator and putting off, where the site has them" + (", by plans ahead" if planned else "")
    unserved, load = (_summed(duty, name) for name in ("unserved_power", "load_power"))
    share = unserved / (load or 1.0)
    return (
        f"the duty of the site: sun first, the battery next, {others}; {100.0 * share:.1f} % of the site's load is not "
        "served."
    )


def _promise(price: xr.Dataset) -> str:
    contract = contract_of(price)
    if contract is None:
        return ""
    points = " and ".join(f"{100.0 * level:g} % after {in_years(year)}" for year, level in contract.guarantee)
    return (
        f"Guaranteed for {in_years(contract.term_years)}: {points}, of the {_MEASURES[contract.measure]}, held against "
        f"an inspection every {in_years(contract.inspection_interval_years)}. Prices are per kWh of that energy."
    )


def _headlines(fade: xr.Dataset, price: xr.Dataset) -> list[Headline]:
    by_name = {row.name: row for row in price_rows(price)}
    priced = [
        Headline(row.label, f"{row.value} {row.units}".strip(), f"Monte-Carlo interval: {row.interval}")
        for row in (by_name[name] for name in ("premium", "expected_loss", "tail_event_probability"))
    ]
    return [*priced, *_capacity_headlines(fade, contract_of(price)), *_energy_headlines(fade)]


def _capacity_headlines(fade: xr.Dataset, contract: Contract | None) -> list[Headline]:
    time = fade["time"].values
    measure = "retention" if contract is None else contract.measure
    year = time[-1] if contract is None else min(contract.term_years, time[-1])
    values = interpolate(capacity_left(fade, measure), time, year)[:, :, None]
    low, median, high = quantiles(values, (0.05, 0.50, 0.95))[:, 0]
    medians = draw_medians(values)[:, 0]
    headlines = [
        Headline(
            f"Median capacity after {in_years(year)}, of the {_MEASURES[measure]}",
            percent(median),
            f"90 % of all packs and draws: {span(low, high)}; medians of single draws: "
            f"{span(np.fmin.reduce(medians), np.fmax.reduce(medians))}",
        )
    ]
    if contract is not None:
        level = float(guaranteed_level(contract, np.array([year]))[0])
        share, by_draw = share_below(values, level)
        headlines.append(
            Headline(
                f"Packs below the guaranteed {100.0 * level:g} % at the end of the term",
                percent(share[0]),
                f"in single draws: {span(np.fmin.reduce(by_draw[:, 0]), np.fmax.reduce(by_draw[:, 0]))}",
            )
        )
    return headlines


def _energy_headlines(fade: xr.Dataset) -> list[Headline]:
    years = fade["time"].values[-1]
    yearly = fade["energy_unserved"].transpose("draw", "pack", "time").values[:, :, -1:] / years
    # A millionth of a kWh is rounding of what is zero.
    yearly = np.round(yearly, 6)
    low, median, high = quantiles(yearly, (0.05, 0.50, 0.95))[:, 0]
    return [
        Headline(
            "Energy demanded of a pack and not delivered, median",
            f"{significant(median, 3)} kWh/year",
            f"90 % of all packs and draws: {significant(low, 3)} to {significant(high, 3)} kWh/year",
        )
    ]


def price_rows(price: xr.Dataset) -> list[PriceRow]:
    """Return the price table as it is printed; what the draws do not resolve is spelled `not_resolved`."""
    return [
        _price_row(str(row["quantity"]), str(row["units"]), *(float(row[name]) for name in ("value", "low", "high")))
        for row in price_table(price).to_dict("records")
    ]


def _price_row(name: str, units: str, value: float, low: float, high: float) -> PriceRow:
    write = percent if units == "1" else money
    label, need = _price_label(name)
    resolved = bool(np.isfinite(value))
    if not (np.isfinite(low) and np.isfinite(high)):
        interval = _NOT_RESOLVED
    else:
        # An interval of no width is no certainty: nothing was seen to vary.
        interval = f"{write(low)} to {write(high)}" if high > low else "no draw differs"
    return PriceRow(
        label=label,
        name=name,
        value=write(value) if resolved else _NOT_RESOLVED,
        interval="counted" if name in _COUNTED else interval if resolved else need,
        units=readable(units) if resolved else "",
    )


def _cost_row(row: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Return label, value, interval and units of a part of what a kWh costs, or of what making packs emits."""
    value, *span = (significant(float(row[name]), 3) for name in ("value", "low", "high") if row[name])
    return words(row["quantity"]), value, " to ".join(span) or "counted", readable(row["units"])


def _price_label(name: str) -> tuple[str, str]:
    """Return the label of a quantity, and what it would take to resolve it."""
    quantity, _, level = name.rpartition("_")
    if quantity not in _QUANTILES:
        return _QUANTITIES.get(name, words(name)), "the forecast does not reach far enough"
    return f"{_QUANTILES[quantity]}, {level} %", f"needs {draws_needed(float(level) / 100.0):,} draws"


def failed_packs(fade: xr.Dataset) -> list[FailedPack]:
    """Return the packs whose run did not complete, with the last time that is known of each."""
    if "outcome" not in fade:
        return []
    codes = fade["outcome"].transpose("draw", "pack").values
    known = np.isfinite(fade["retention"].transpose("draw", "pack", "time").values)
    time = fade["time"].values
    packs = []
    for draw, pack in zip(*np.nonzero(codes != Outcome.COMPLETED), strict=True):
        seen = time[known[draw, pack]]
        packs.append(
            FailedPack(
                draw=str(fade["draw"].values[draw]),
                pack=str(fade["pack"].values[pack]),
                outcome=words(Outcome(codes[draw, pack]).name),
                last_year=f"{seen[-1]:.2f}" if seen.size else "none",
            )
        )
    return packs


def _parameters(population: xr.Dataset) -> list[tuple[str, str, str, str, str]]:
    """Return name, kind, units, median and 90 % range over all packs and draws of each parameter."""
    values = population["parameter_value"].transpose("draw", "pack", "parameter").values
    low, median, high = quantiles(values, (0.05, 0.50, 0.95))
    rows = zip(
        population["parameter"].values,
        population["parameter_kind"].values,
        population["parameter_units"].values,
        strict=True,
    )
    return [
        (
            str(name),
            str(kind),
            readable(str(units)),
            significant(median[n], 3),
            f"{significant(low[n], 3)} to {significant(high[n], 3)}",
        )
        for n, (name, kind, units) in enumerate(rows)
    ]


def _assumptions(datasets: Mapping[str, xr.Dataset]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what each stage says of its own assumptions, by stage."""
    stages = []
    for stage, dataset in datasets.items():
        rows = [
            (words(str(name)), percent(value) if str(name).endswith("_share") else text(value))
            for name, value in dataset.attrs.items()
            if not _is_origin(str(name)) and name not in _SHOWN_ELSEWHERE
        ]
        if "typical_day_error" in dataset.attrs:
            rows.append(("Largest error of the typical days", _typical_day_error(dataset.attrs["typical_day_error"])))
        if rows:
            stages.append((stage, rows))
    return stages


def _typical_day_error(content: str) -> str:
    """Say how far the weighted typical days are from the year, at worst over draws."""
    by_draw: list[dict[str, float]] = json.loads(content)
    worst = {name: max(abs(errors[name]) for errors in by_draw) for name in by_draw[0]}
    return ", ".join(f"{words(name).lower()} {significant(100.0 * error, 2)} %" for name, error in worst.items())


def _origin(datasets: Mapping[str, xr.Dataset]) -> list[tuple[str, str, str]]:
    """Return name, value and the datasets that say so, of what made them."""
    rows: dict[tuple[str, str], list[str]] = {}
    for stage, dataset in datasets.items():
        for name, value in dataset.attrs.items():
            if _is_origin(str(name)):
                rows.setdefault((words(str(name)), text(value)), []).append(stage)
    return [(name, value, ", ".join(stages)) for (name, value), stages in rows.items()]


def _is_origin(name: str) -> bool:
    return name in _ORIGIN or name.endswith("_version")
