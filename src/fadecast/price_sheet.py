"""The price sheet: what an underwriter needs of a price on one page, with what it does not hold."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from fadecast.figures.terms import contract_of, resolution_note
from fadecast.figures.units import readable
from fadecast.pages import embedded, render
from fadecast.warranty import Contract
from fadecast.wording import money, percent, significant, text, words

_TEMPLATE = "price_sheet.html.jinja"
_NOT_RESOLVED = "not resolved"
_BUILD_UP = ("expected_loss", "expenses", "capital_load", "refund", "premium")
_CLAIMS = ("claims_per_pack", "mean_claim", "tail_event_probability")
_SHARES = ("failed_share", "exhausted_share", "ended_share", "voided_share", "false_claim_share", "failures_per_pack")
_SPREADS = ("systematic_standard_deviation", "individual_standard_deviation", "retained_standard_deviation")

_LABELS = {
    "capital_load": "Load for risk",
    "refund": "Given back to owners who end early",
    "claims_per_pack": "Payments per pack over the term",
    "mean_claim": "Discounted payments over the number to packs, USD",
    "tail_event_probability": "Packs that lose more than 20 % of capacity within 3 years",
    "systematic_standard_deviation": "Standard deviation of what all packs share",
    "individual_standard_deviation": "Standard deviation of what one pack has alone",
    "retained_standard_deviation": "Standard deviation after reinsurance",
}


@dataclass(frozen=True)
class Table:
    """A table of the sheet."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def render_price_sheet(name: str, price: xr.Dataset, figures: Sequence[Path]) -> str:
    """Write the price sheet as HTML.

    Parameters
    ----------
    name
        Of the study.
    price
        Price dataset, with the contract among its attributes.
    figures
        PNG files, named after the keys of `fadecast.figures.CAPTIONS`; they are embedded.

    Returns
    -------
    A self-contained HTML document without scripts.
    """
    return render(
        _TEMPLATE,
        name=name,
        units=readable(price["premium"].attrs["units"]),
        premium=_cell(price, "premium"),
        basis=_basis(price),
        tables=[table for make in _TABLES if (table := make(price)).rows],
        terms=_terms(price),
        settings=[(words(key), text(value)) for key, value in json.loads(price.attrs["premium_settings"]).items()],
        figures=embedded(figures),
        limits=_limits(price),
        origin=[(words(str(key)), text(value)) for key, value in price.attrs.items() if key in ("seed", "git_commit")],
    )


def _basis(price: xr.Dataset) -> str:
    principle = words(price.attrs["principle"]).lower()
    rests = f", capital from {price.attrs['capital_basis']}" if price.attrs["principle"] == "cost_of_capital" else ""
    return f"Load for risk by the principle of {principle}{rests}. Interval: {price.attrs['interval']}."


def _terms(price: xr.Dataset) -> list[tuple[str, str]]:
    """Return the terms of the contract that are in force, with those that are not named last."""
    given = json.loads(price.attrs["contract"])
    off = [words(key).lower() for key, value in given.items() if value is None or value in (0.0, {})]
    rows = [(words(key), text(value)) for key, value in given.items() if not (value is None or value in (0.0, {}))]
    return [*rows, ("Not agreed", ", ".join(off) or "nothing")]


def _limits(price: xr.Dataset) -> list[str]:
    contract = contract_of(price) or Contract()
    test = contract.test
    measured = "tests err as the terms say" if test.bias_sd or test.noise_sd else "tests are taken to be without error"
    weather = price["weather_standard_deviation"].item()
    told = (
        "what weather and load bring is not told from what rates bring: each draw has its own of both"
        if not np.isfinite(weather)
        else f"years of weather and load bring {money(weather)} of the systematic standard deviation"
    )
    return [
        f"Covers {price.attrs['coverage']}.",
        "The error of the ageing model beyond what its rates and its drift say is in no number here.",
        f"Packs whose forecast failed are left out: {percent(price['failed_share'].item())} of them.",
        f"Of inspections: {measured}.",
        f"Of the split of risk: {told}.",
        "Premiums of other fleet sizes scale the load for risk as the standard deviation; that is exact where the load "
        "rests on it, else an approximation.",
        "Return levels take the years of all draws together.",
        resolution_note(price),
    ]


def _build_up(price: xr.Dataset) -> Table:
    return Table("Premium", ("Part", "Value", "Interval"), [_row(price, name) for name in _BUILD_UP])


def _principles(price: xr.Dataset) -> Table:
    rows = [
        (words(str(each)), *_numbers(price, "principle_premium", money, principle=each))
        for each in price["principle"].values
    ]
    note = "Each with the loadings below; expenses are the same."
    return Table("Premium by principle", ("Principle", "Premium", "Interval"), rows, note)


def _claims(price: xr.Dataset) -> Table:
    shares = [(words(name), percent(price[name].item()), "counted") for name in _SHARES]
    return Table("Claims", ("Quantity", "Value", "Interval"), [*(_row(price, name) for name in _CLAIMS), *shares])


def _bad_years(price: xr.Dataset) -> Table:
    rows = [
        (
            f"{period:g} years",
            *_numbers(price, "aggregate_exceedance", money, return_period=period),
            *_numbers(price, "occurrence_exceedance", money, return_period=period),
        )
        for period in price["return_period"].values
    ]
    all_claims, largest = "All claims of a year, per kWh (AEP)", "Largest claim of one pack in a year, USD (OEP)"
    columns = ("Return period", all_claims, "Interval", largest, "Interval")
    return Table("Bad years", columns, rows, "Undiscounted. A level that fewer than 20 draws reach is not resolved.")


def _bad_terms(price: xr.Dataset) -> Table:
    rows = [
        (
            f"{100 * level:g} %",
            *_numbers(price, "value_at_risk", money, level=level),
            *_numbers(price, "tail_value_at_risk", money, level=level),
        )
        for level in price["level"].values
    ]
    return Table("Loss of the term", ("Level", "VaR", "Interval", "TVaR", "Interval"), rows)


def _reserves(price: xr.Dataset) -> Table:
    rows = [
        (
            f"{year:g}",
            *_numbers(price, "reserve", money, policy_year=year),
            _value(price["reserve_high"].sel(policy_year=year).item(), money),
            _value(price["earned_share"].sel(policy_year=year).item(), percent),
        )
        for year in price["policy_year"].values
    ]
    columns = ("End of year", "Expected unpaid", "Interval", "95 % unpaid", "Earned")
    return Table("Reserves", columns, rows, "Undiscounted claims still to be paid; a premium is earned as claims are.")


def _risk(price: xr.Dataset) -> Table:
    rows = [_row(price, name) for name in _SPREADS]
    for size in price["fleet_size"].values:
        fleet = "any number of packs" if np.isinf(size) else f"{size:,.0f} pack{'s' if size > 1 else ''}"
        rows.append((f"premium of {fleet}", *_numbers(price, "fleet_premium", money, fleet_size=size)))
    note = "What packs share stays however many there are; what each has alone falls as the root of their number."
    return Table("What diversifies", ("Quantity", "Value", "Interval"), rows, note)


def _changes(price: xr.Dataset) -> Table:
    rows = []
    if "premium_change" in price:
        for number, name in enumerate(price["change"].values):
            value, half = (float(price[f"premium_change{part}"][number]) for part in ("", "_interval"))
            span = f"{value - half:+.2f} to {value + half:+.2f}" if np.isfinite(half) else _NOT_RESOLVED
            rows.append((str(name), f"{value:+.2f}" if np.isfinite(value) else _NOT_RESOLVED, span))
    note = "One thing at a time, the same draws, errors and failures: changes are by pairs."
    return Table("What the premium hangs on", ("Change", "Premium", "Interval"), rows, note)


def _slopes(price: xr.Dataset) -> Table:
    rows = []
    for number, name in enumerate(price["sensitivity"].values if "sensitivity" in price else ()):
        value, half = (float(price[f"premium_slope{part}"][number]) for part in ("", "_interval"))
        span = f"{value - half:+.3f} to {value + half:+.3f}" if np.isfinite(half) else _NOT_RESOLVED
        rows.append((str(name), f"{value:+.3f}" if np.isfinite(value) else _NOT_RESOLVED, span))
    note = (
        "Derivatives along the paths where these are continuous (cash by the first test); of replacements, repairs and "
        "second tests the difference that a whole point or per cent makes."
    )
    return Table("What the premium rises by", ("For each", "Premium", "Interval"), rows, note)


def _cessions(price: xr.Dataset) -> Table:
    rows = []
    for kind in price["cession"].values if "cession" in price else ():
        tried = price.sel(cession=kind)
        # Where most lose nothing, many levels begin at the same loss.
        _, apart = np.unique(tried["attachment"].values, return_index=True)
        savings = tried["cession_saving"].values[apart]
        best = apart[int(np.nanargmax(savings))] if np.nanmax(savings, initial=0.0) > 0.0 else None
        for number in apart:
            at = tried.isel(attachment_level=number)
            value, half = at["cession_saving"].item(), at["cession_saving_interval"].item()
            span = f"{value - half:+.2f} to {value + half:+.2f}" if np.isfinite(half) else _NOT_RESOLVED
            name = f"{words(str(kind))}{', the cheapest' if number == best else ''}"
            numbers = (_value(at[part].item(), money) for part in ("attachment", "cession_price"))
            rows.append((name, *numbers, f"{value:+.2f}" if np.isfinite(value) else _NOT_RESOLVED, span))
    note = (
        "A layer without limit in place of those below, against none: by how much losses and load for risk are "
        "cheaper, the price of the layer paid. The loads of the reinsurer are among the settings."
    )
    return Table("Where reinsurance pays", ("Layer", "Attachment", "Its price", "Saving", "Interval"), rows, note)


def _telemetry(price: xr.Dataset) -> Table:
    rows = []
    for number in range(price.sizes["telemetry_year"]):
        at = price.isel(telemetry_year=number)
        span = [_value(at[f"telemetry_{end}"].item(), money) for end in ("low", "high")]
        spreads = [_value(at[f"telemetry_{name}"].item(), money) for name in ("deviation", "deviation_left")]
        expected = " to ".join(span) if _NOT_RESOLVED not in span else _NOT_RESOLVED
        rows.append((f"{number + 1}", *spreads, expected, f"{at['telemetry_draws_left'].item():.0f}"))
    columns = ("After year", "Unpaid: deviation unmeasured", "once measured", "then expected (90 %)", "Draws left")
    note = (
        "The mean capacity of the fleet is measured each year, with the error below; draws are weighed by it. The "
        "spread that goes is what the reserve need not hold."
    )
    return Table("What telemetry will tell", columns, rows, note)


def _reinsurance(price: xr.Dataset) -> Table:
    rows = [
        (
            words(str(price["layer_kind"].values[n])),
            *_numbers(price, "ceded_loss", money, layer=n),
            *_numbers(price, "ceded_standard_deviation", money, layer=n),
        )
        for n in price["layer"].values
    ]
    columns = ("Layer", "Expected loss", "Interval", "Standard deviation", "Interval")
    return Table("Reinsurance", columns, rows)


_TABLES: tuple[Callable[[xr.Dataset], Table], ...] = (
    _build_up,
    _claims,
    _principles,
    _bad_terms,
    _bad_years,
    _changes,
    _slopes,
    _risk,
    _reserves,
    _telemetry,
    _cessions,
    _reinsurance,
)


def _row(price: xr.Dataset, name: str) -> tuple[str, str, str]:
    units = price[name].attrs["units"]
    write: Callable[[float], str] = percent if name.endswith("probability") else money if "USD" in units else _plain
    return (_LABELS.get(name, words(name)), *_numbers(price, name, write))


def _plain(value: float) -> str:
    return significant(value, 3)


def _numbers(price: xr.Dataset, name: str, write: Callable[[float], str], **place: object) -> tuple[str, str]:
    """Return a value and its interval."""
    at = price.sel(place)
    value, half = at[name].item(), at[f"{name}_interval"].item()
    if not np.isfinite(half):
        return _value(value, write), _NOT_RESOLVED
    return _value(value, write), f"{write(max(value - half, 0.0))} to {write(value + half)}"


def _cell(price: xr.Dataset, name: str) -> str:
    value, interval = _numbers(price, name, money)
    return f"{value} ({interval})"


def _value(value: float, write: Callable[[float], str]) -> str:
    return write(value) if np.isfinite(value) else _NOT_RESOLVED
