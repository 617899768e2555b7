"""Which published figures of the reference site hold? Each is worked out again, from other published figures or a run.

Run as `fadecast run configs/nevada.yaml` and then `python experiments/announcement_audit/study.py results/nevada`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fadecast.economics import Economics, Plant, Yearly, carbon, economics_table, yearly
from fadecast.pipeline import plant_of
from fadecast.runs import RunFolder
from fadecast.study import Study, load_study

OUT = Path(__file__).parents[2] / "results" / "reported" / "announcement_audit"

POWER_MW, ENERGY_MWH, LATER_POWER_MW = 12.0, 63.0, 20.0
PACKS, PACK_KWH, ACCELERATORS = 805, 78.0, 2000
COLLECTED_GWH, COLLECTED_CARS, COLLECTED_BN_USD = 20.0, 250_000, 4.0
YEARLY_GWH, YEARLY_BN_USD = 4.0, 0.8
MODULE_CREDIT, CLAIMED_PROFIT_M_USD = 10.0, 70.0
AVAILABILITY, SUN_AND_STORE = 0.992, 0.99
EMISSION_SAVED = 0.30
BUILT_MONTHS, GRID_MONTHS = 3, (12, 24)
_ROUNDED = 0.05
_HIGH = 0.5
"""C-rate from which cells age by current, at the least."""
USD_PER_ACCELERATOR_HOUR = 2.0
"""What an hour of an accelerator is rented for: an assumption, for the order of a month's worth."""


class Run(NamedTuple):
    """A run of the reference study."""

    study: Study
    duty: xr.Dataset
    fade: xr.Dataset
    price: xr.Dataset
    done: Yearly
    plant: Plant


class Verdict(NamedTuple):
    """A published figure, and what it is when worked out again."""

    figure: str
    published: str
    found: str
    verdict: str
    why: str


def main() -> None:
    """Work out every figure; write the table of verdicts, and what a kWh costs with and without credits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="run folder of configs/nevada.yaml")
    run = opened(parser.parse_args().folder)
    OUT.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([*of_figures(run), *of_forecast(run)])
    table.to_csv(OUT / "verdicts.csv", index=False)
    print(table[["figure", "published", "found", "verdict"]].to_string(index=False))
    prices = pd.concat([priced(run, name, economics) for name, economics in cases()], ignore_index=True)
    prices.to_csv(OUT / "levelised_price.csv", index=False, float_format="%.5g")
    print(
        prices.pivot_table(index="quantity", columns="case", values="value", sort=False).to_string(float_format="%.4f")
    )


def opened(path: Path) -> Run:
    """Open a run folder."""
    folder = RunFolder(path)
    study = load_study(folder.study_file)
    duty, fade = folder.open_dataset("duty.nc"), folder.open_dataset("fade.nc")
    done = yearly(duty, fade, Economics().years)
    return Run(study, duty, fade, folder.read_dataset("price.nc"), done, plant_of(study))


def of_figures(run: Run) -> Iterator[Verdict]:
    """Hold published figures against each other."""
    packs_mwh = PACKS * PACK_KWH / 1000.0
    start = float(run.fade["soh"].isel(time=0).mean())
    yield Verdict(
        "energy of the site",
        f"{ENERGY_MWH:g} MWh, {PACKS} packs of about {PACK_KWH:g} kWh",
        f"{packs_mwh:.1f} MWh by first-life nameplate, {packs_mwh * start:.0f} MWh at the SOH of retired packs",
        _holds(packs_mwh, ENERGY_MWH) + " for nameplate",
        f"retired packs hold {100.0 * (1.0 - start):.0f} % less",
    )
    hours, later = ENERGY_MWH / POWER_MW, LATER_POWER_MW / ENERGY_MWH
    yield Verdict(
        "power of the battery",
        f"{POWER_MW:g} MW for {ENERGY_MWH:g} MWh",
        f"{1.0 / hours:.2f} C at most, {later:.2f} C at {LATER_POWER_MW:g} MW",
        "no high C-rate" if later < _HIGH else "high C-rate",
        f"over nameplate; {1.0 / start:.1f} times that over what retired packs hold",
    )
    per_car, whole, each = (
        1e6 * COLLECTED_GWH / COLLECTED_CARS,
        1e3 * COLLECTED_BN_USD / COLLECTED_GWH,
        1e3 * YEARLY_BN_USD / YEARLY_GWH,
    )
    yield Verdict(
        "cars behind what is collected",
        f"{COLLECTED_GWH:g} GWh a year, {COLLECTED_CARS:,} cars",
        f"{per_car:.0f} kWh a car",
        _holds(per_car, PACK_KWH),
        f"packs of the site have {PACK_KWH:g} kWh",
    )
    yield Verdict(
        "cost level",
        f"{COLLECTED_GWH:g} GWh for {COLLECTED_BN_USD:g} bn USD; {YEARLY_GWH:g} GWh a year for {YEARLY_BN_USD:g} bn",
        f"{whole:.0f} and {each:.0f} USD/kWh",
        _holds(whole, each),
        "",
    )
    credit = MODULE_CREDIT * ENERGY_MWH / 1000.0
    sun = Economics().solar_credit_usd_per_kwh * run.done.sun.sum(axis=1).mean() / 1e6
    yield Verdict(
        "credits of a site",
        f"{CLAIMED_PROFIT_M_USD:g} M USD of gross profit for {ENERGY_MWH:g} MWh",
        f"{credit:.2f} M USD by 45X, {sun:.1f} M USD in ten years by 45Y",
        _holds(credit + sun, CLAIMED_PROFIT_M_USD),
        f"{CLAIMED_PROFIT_M_USD:g} M USD by 45X would take {CLAIMED_PROFIT_M_USD / MODULE_CREDIT:.0f} GWh of packs",
    )
    month = ACCELERATORS * USD_PER_ACCELERATOR_HOUR * 730.0 / 1e6
    early = [month * (months - BUILT_MONTHS) for months in GRID_MONTHS]
    yield Verdict(
        "three months to build",
        f"in place of {GRID_MONTHS[0]} to {GRID_MONTHS[1]}",
        f"{early[0]:.0f} to {early[1]:.0f} M USD of accelerator rent earlier",
        "worth more than the credits" if early[0] > credit + sun else "worth less than the credits",
        f"at an assumed {USD_PER_ACCELERATOR_HOUR:g} USD an hour for each of {ACCELERATORS:,}",
    )


def of_forecast(run: Run) -> Iterator[Verdict]:
    """Hold published figures against the forecast."""
    served = (run.done.served / run.done.load).mean(axis=0)
    most = float(run.duty["load_power"].isel(draw=0).max()) / 1000.0
    yield Verdict(
        "power of the computers",
        f"{POWER_MW:g} MW, {ACCELERATORS:,} accelerators",
        f"{most:.1f} MW at most, cooling included",
        "battery is larger than its load" if most < POWER_MW else "battery is smaller than its load",
        "12 MW are its converters; they carry the sun of noon",
    )
    yield Verdict(
        "availability",
        f"{100 * AVAILABILITY:g} % of seven months; over {100 * SUN_AND_STORE:g} % by sun and store",
        f"{100 * served[0]:.1f} % of the energy of the first year, {100 * served[-1]:.1f} % of the tenth",
        "holds" if served[0] >= SUN_AND_STORE else "not by this model of the site",
        f"photovoltaics of {run.plant.solar_kw / 1000:.0f} MW are assumed, their size is not public; no other source",
    )
    event, half = (float(run.price[f"tail_event_probability{part}"]) for part in ("", "_interval"))
    yield Verdict(
        "more than 20 % of capacity within three years",
        "the tail that is feared",
        f"{100 * event:.2f} % of packs (half-width {100 * half:.2f})",
        "not seen" if event == 0.0 else "seen",
        "in the model; sudden failures and knees below what was measured are not in it",
    )
    made = carbon(Economics(), run.plant, run.done).set_index("packs")["kg_per_mwh"]
    saved = 1.0 - made["re-used"] / made["new"]
    yield Verdict(
        "emission of making the packs",
        f"{100 * EMISSION_SAVED:g} % less than new",
        f"{100 * saved:.0f} % less for each MWh out of the battery over ten years",
        _holds(saved, EMISSION_SAVED),
        "new packs as large, which give as much every year",
    )
    rate = np.abs(run.duty["pack_power"].isel(draw=0).to_numpy())
    yield Verdict(
        "high C-rates of AI load",
        "fast fade is feared",
        f"{np.median(rate):.3f} C in the median, {np.quantile(rate, 0.99):.2f} C in 99 %, {rate.max():.2f} C at most",
        "not at this site" if rate.max() < _HIGH else "some",
        "over nameplate, by the minute",
    )


def _holds(found: float, published: float) -> str:
    """Say whether two figures agree as far as such figures are rounded."""
    return "holds" if abs(found / published - 1.0) < _ROUNDED else "does not hold"


def cases() -> Iterator[tuple[str, Economics]]:
    """Yield what a kWh is priced under."""
    plain = Economics()
    yield "with credits", plain
    yield "no credits", replace(plain, module_credit_usd_per_kwh=0.0, solar_credit_usd_per_kwh=0.0)
    yield "operation triples with all capability lost", replace(plain, operation_rise=3.0)


def priced(run: Run, name: str, economics: Economics) -> pd.DataFrame:
    """Return the levelised price of one case, the warranty of the study bought."""
    table = economics_table(economics, run.plant, run.duty, run.fade, run.price, run.study.seed)
    return table.assign(case=name)


if __name__ == "__main__":
    main()
