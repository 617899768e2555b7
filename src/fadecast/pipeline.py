"""The stages of a run in the order of the data's way; each is redone only when what it depends on has changed."""

import hashlib
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from fadecast import __version__
from fadecast.calibration.shipped_rates import SHIPPED
from fadecast.cell.model import build_cell
from fadecast.decades.years import represented
from fadecast.devices import on_host
from fadecast.duty import duty_years, years_drawn
from fadecast.duty.year import site_plant
from fadecast.economics import Plant, economics_table
from fadecast.ensemble import make_ensemble
from fadecast.errors import InputError, RunError
from fadecast.fade import capacity_of, typical_day_trace
from fadecast.figures import make_figures, make_price_figures
from fadecast.files import sha256, write_text, write_whole
from fadecast.forecast import Forecast
from fadecast.formats import CLIMATE_SUFFIXES
from fadecast.population import in_service, make_population
from fadecast.price_sheet import render_price_sheet
from fadecast.report import render_report
from fadecast.runs import RunFolder, open_fade
from fadecast.study import Pricing, Study, plain_study
from fadecast.tiles import tile_of
from fadecast.variables import describe
from fadecast.warranty import attachments, full_table, price, sensitivities
from fadecast.warranty.portfolio import joined, mixed
from fadecast.warranty.premium import needs_spread
from fadecast.warranty.sensitivity import LARGEST

Observer = Callable[[str, str, Mapping[str, Any]], None]
"""Told of every event: stage, what happened, details.

`start`, `plan`, `shard`, `check`, `advanced`, `done`, `skipped` and `failed` happen."""

CACHE_VARIABLE = "FADECAST_CACHE"


@dataclass(frozen=True)
class Stage:
    """One step from files to files."""

    upstream: tuple[str, ...]
    """Stages whose files it reads."""
    depends: Callable[[Study], Any]
    """The part of the study that it reads, as plain data."""
    make: Callable[[Study, RunFolder, Observer], Sequence[str]]
    """Writes its files and names them."""
    wide: bool = False
    """Whether it works on so many lanes at once that an accelerator helps; else it is made on the processor."""


def run_stages(study: Study, run: RunFolder, wanted: str, observe: Observer, *, patience: float = 0.0) -> None:
    """Make a stage and all it depends on; what is up to date is left as it is.

    Parameters
    ----------
    study
        What to run.
    run
        Where; the folder is made if it is not there.
    wanted
        A name of `STAGES`.
    observe
        Told of every event, as the log is.
    patience
        Longest wait for another process that works in the folder [s].

    Raises
    ------
    InputError
        When there can be no such folder.
    RunError
        When a stage fails, or another process works in the folder.
    """
    plan = needed(wanted)
    use_compilation_cache()
    keys = stage_keys(study)
    with run.locked(patience):
        run.write_study(study)
        for name in plan:
            _bring_up_to_date(name, keys[name], study, run, observe)
            if name == "forecast":
                run.drop_shards()


def refusals(study: Study, wanted: str) -> list[str]:
    """Return why a study cannot be taken as far as a stage, although each section is sound."""
    if "price" in needed(wanted) and study.draws == 1 and needs_spread(study.warranty.premium):
        return [
            "draws: got 1; must be at least 2, since one draw shows no spread to find a capital load from; or set "
            "warranty.premium.capital.cost_of_capital to 0 or warranty.premium.principle to expected_value"
        ]
    return []


def needed(wanted: str) -> list[str]:
    """Return a stage and those it depends on, in order."""
    found = {wanted}
    for name in reversed(list(STAGES)):
        if name in found:
            found.update(STAGES[name].upstream)
    return [name for name in STAGES if name in found]


def stage_keys(study: Study) -> dict[str, str]:
    """Return a checksum per stage of all that its files depend on."""
    keys: dict[str, str] = {}
    for name, stage in STAGES.items():
        content = [name, __version__, stage.depends(study), [keys[above] for above in stage.upstream]]
        keys[name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return keys


def price_file(
    study: Pricing, fades: Sequence[Path], run: RunFolder | None, weights: Sequence[float] = ()
) -> xr.Dataset:
    """Price the contract of a study on fade datasets from anywhere; write the price if a folder is given.

    The packs of several are one fleet under one contract; with `weights`, several are of the same packs, and one of
    them comes true.

    Raises
    ------
    InputError
        When a file is not a fade dataset, or this contract cannot be priced on them.
    """
    datasets = [open_fade(fade) for fade in fades]
    try:
        priced = _price(study, _together(datasets, weights, study.seed))
    except (TypeError, ValueError) as error:
        raise InputError(f"{', '.join(map(str, fades))}: {error}") from None
    if run:
        with run.locked():
            _write_price(run, study, priced)
    return priced


def _together(datasets: Sequence[xr.Dataset], weights: Sequence[float], seed: int) -> xr.Dataset:
    if weights:
        return mixed(datasets, weights, seed)
    return datasets[0] if len(datasets) == 1 else joined(datasets)


def use_compilation_cache() -> None:
    """Keep compiled programs between runs, in `$FADECAST_CACHE` or the user's cache folder, if it can be written."""
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(named) if named else base / "fadecast" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def logging_observer(run: RunFolder, observe: Observer) -> Observer:
    """Return an observer that logs what it is told, but for how far work has advanced, and tells another."""

    def tell(stage: str, event: str, details: Mapping[str, Any]) -> None:
        if event != "advanced":
            run.log(stage, event, **details)
        observe(stage, event, details)

    return tell


def _bring_up_to_date(name: str, key: str, study: Study, run: RunFolder, observe: Observer) -> None:
    began, tell = time.perf_counter(), logging_observer(run, observe)
    if run.state(name, key) == "done":
        tell(name, "skipped", {"seconds": _seconds(began)})
        return
    tell(name, "start", {"key": key})
    try:
        with nullcontext() if STAGES[name].wide else on_host():
            run.record(name, key, STAGES[name].make(study, run, tell))
    except (Exception, KeyboardInterrupt) as error:
        tell(name, "failed", {"seconds": _seconds(began), "error": traceback.format_exc()})
        if isinstance(error, Exception):
            reason = str(error) or type(error).__name__
            raise RunError(f"{run.path}: stage {name} failed: {reason} (more in log.jsonl)") from error
        raise
    tell(name, "done", {"seconds": _seconds(began)})


def _seconds(began: float) -> float:
    return round(time.perf_counter() - began, 3)


def _make_duty(study: Study, run: RunFolder, observe: Observer) -> list[str]:
    count = years_drawn(study.duty, study.draws)
    years = duty_years(study.site, study.duty, study.draws, study.packs // study.fleet.sites, study.seed)
    first = next(years)
    header = describe(xr.Dataset(coords={"draw": np.arange(count), "hour": first["hour"].values}))
    blocks = (({"draw": slice(n, n + 1)}, year) for n, year in enumerate(chain([first], years)))
    return [run.write_blocks("duty.nc", header, blocks, study)]


def _make_population(study: Study, run: RunFolder, observe: Observer) -> list[str]:
    cell = build_cell(study.cell.chemistry)
    settings = study.population
    by_posterior = settings.rate_posterior is not None
    service = in_service(study.cell.chemistry, run.open_dataset("duty.nc")) if by_posterior else None
    population = make_population(
        settings, study.draws, study.packs, study.seed, capacity_of(cell), study.fleet.sites, service
    )
    return [run.write_dataset("population.nc", population, study)]


def make_forecast(study: Study, run: RunFolder) -> Forecast:
    """Put together the forecast of a run whose duty and population are made."""
    duty, population = run.open_dataset("duty.nc"), run.read_dataset("population.nc")
    ensemble = make_ensemble(
        study.cell, study.decades, duty, population, study.years, study.execution, study.fleet, study.duty
    )
    return Forecast(ensemble, run.shards(stage_keys(study)["forecast"]), study.pack_energy_kwh)


def _make_fade(study: Study, run: RunFolder, observe: Observer) -> list[str]:
    forecast = make_forecast(study, run)
    found = forecast.run(lambda event, details: observe("forecast", event, details))
    header = forecast.header().assign_attrs(**found, tile=forecast.ensemble.tile)
    return [run.write_blocks("fade.nc", header, forecast.blocks(), study)]


def _make_price(study: Study, run: RunFolder, observe: Observer) -> list[str]:
    return _write_price(run, study, _price(study, run.open_dataset("fade.nc")))


def _price(study: Pricing, fade: xr.Dataset) -> xr.Dataset:
    asked = fade, study.warranty.contract, study.warranty.premium, study.pack_energy_kwh, study.seed
    priced = price(*asked)
    if fade["retention"].size > LARGEST:
        return priced
    return priced.merge(sensitivities(*asked), combine_attrs="override").merge(
        attachments(*asked), combine_attrs="override"
    )


def _write_price(run: RunFolder, study: Pricing, priced: xr.Dataset) -> list[str]:
    table = full_table(priced).to_csv(index=False, lineterminator="\n")
    write_text(run.path / "price.csv", table)
    with run.scratch("sheet") as scratch:
        sheet = render_price_sheet(study.name, priced, make_price_figures(priced, scratch))
    write_text(run.path / "price_sheet.html", sheet)
    return [run.write_dataset("price.nc", priced, study), "price.csv", "price_sheet.html"]


def plant_of(study: Study) -> Plant:
    """Return what stands at the site of a study, as its cash flow sees it."""
    site = site_plant(study.duty, study.packs)
    return Plant(
        study.packs,
        study.pack_energy_kwh,
        study.packs * study.duty.solar.kw_per_pack,
        converter_kw=float(site.converter),
        battery_kwh=float((site.high - site.low) * site.one_way),
        export_kw=float(site.exports),
    )


def _make_economics(study: Study, run: RunFolder, observe: Observer) -> list[str]:
    if study.economics is None:
        return []
    duty, fade, priced = run.open_dataset("duty.nc"), run.open_dataset("fade.nc"), run.read_dataset("price.nc")
    table = economics_table(study.economics, plant_of(study), duty, fade, priced, study.seed)
    write_text(run.path / "economics.csv", table.to_csv(index=False, lineterminator="\n"))
    return ["economics.csv"]


def _make_report(study: Study, run: RunFolder, observe: Observer) -> list[str]:
    duty, fade = (run.open_dataset(name) for name in ("duty.nc", "fade.nc"))
    population, priced = (run.read_dataset(name) for name in ("population.nc", "price.nc"))
    soh = population["initial_soh"].values[0]
    middle = int(np.argsort(soh, kind="stable")[soh.size // 2])
    trace = typical_day_trace(study.cell, study.decades, duty, population, 0, middle)
    typical = represented(study.decades, duty, 0) if study.decades.mode == "leap" else None
    figures = run.path / "figures"
    figures.mkdir(exist_ok=True)
    with run.scratch("figures") as scratch:
        drawn = make_figures(duty, population, fade, priced, trace, scratch, typical=typical)
        for path in drawn:
            write_whole(figures / path.name, partial(shutil.copyfile, path))
    # What a run does not repeat, such as its seconds, stays out: the same study gives the same report.
    summary = {
        "cell_days": fade.attrs["cell_days"],
        "load_step_minutes": study.decades.load_step_minutes or study.duty.timestep_minutes,
        "tile": fade.attrs["tile"],
    }
    pictures = [figures / path.name for path in drawn]
    costs = run.read_rows("economics.csv") if study.economics else []
    html = render_report(plain_study(study), duty, population, fade, priced, pictures, summary, costs)
    write_text(run.path / "report.html", html)
    return ["report.html", *(f"figures/{path.name}" for path in drawn)]


def _part(*sections: str) -> Callable[[Study], Any]:
    return lambda study: {section: plain_study(study)[section] for section in sections}


def _duty_depends(study: Study) -> Any:
    climate = Path(study.site.climate)
    content = sha256(climate) if climate.name.endswith(CLIMATE_SUFFIXES) else None
    trace = study.duty.workload.trace
    measured = [sha256(Path(trace.file))] if trace else []
    return [_part("seed", "packs", "draws", "site", "duty")(study), study.fleet.sites, content, *measured]


def _population_depends(study: Study) -> Any:
    part = _part("seed", "packs", "draws", "population")(study)
    rates = study.population.rate_posterior
    posteriors = [study.population.split.posterior, None if rates in SHIPPED else rates]
    content = [sha256(Path(posterior)) for posterior in posteriors if posterior]
    return [part, study.fleet.sites, plain_study(study)["cell"]["chemistry"], *content, *_bpx_content(study)]


def _forecast_depends(study: Study) -> Any:
    # Lanes of a tile share their time steps, so its size is part of the numbers.
    tile = tile_of(study.draws, study.simulated_packs, study.fleet, study.execution.tile)
    return [_part("years", "cell", "decades", "fleet")(study), tile, *_bpx_content(study)]


def _bpx_content(study: Study) -> list[str]:
    bpx = study.cell.chemistry.bpx
    return [sha256(Path(bpx))] if bpx else []


STAGES: Mapping[str, Stage] = {
    "duty": Stage((), _duty_depends, _make_duty),
    "population": Stage(("duty",), _population_depends, _make_population, wide=True),
    "forecast": Stage(("duty", "population"), _forecast_depends, _make_fade, wide=True),
    "price": Stage(("forecast",), _part("seed", "warranty"), _make_price),
    "economics": Stage(("duty", "forecast", "price"), _part("seed", "packs", "economics"), _make_economics),
    "report": Stage(("duty", "population", "forecast", "price", "economics"), _part("name"), _make_report),
}
