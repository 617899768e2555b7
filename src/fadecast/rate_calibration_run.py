"""What a calibration of rates leaves in its folder: posteriors, tables, what the package ships, figures and a page."""

import hashlib
import json
import shutil
import traceback
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
import yaml

from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.forgetting import merged
from fadecast.calibration.joint_model import SIDES, Evidence, conditions_of, count_of, places, unfold
from fadecast.calibration.makes import MAKES, Make
from fadecast.document import Document
from fadecast.figures.captions import RATE_CAPTIONS
from fadecast.figures.rates import draw_rates
from fadecast.files import write_netcdf, write_text, write_whole
from fadecast.measured.catalogue import CATALOGUE
from fadecast.pages import embedded, render
from fadecast.rate_calibrating import (
    FittedLaw,
    FittedRates,
    Measured,
    Observe,
    RateCalibration,
    calibrate_rates,
    read_series,
)
from fadecast.rate_summary import (
    correlated,
    law_table,
    predictions,
    prior_sensitivity,
    rate_notes,
    rate_table,
    table_errors,
    thinned,
)
from fadecast.runs import RunFolder, origin, refuse_study_folder
from fadecast.wording import percent, significant, words

_LIBRARIES = ("pybamm", "jax", "blackjax", "numpy", "scipy")
_MOST_UNKNOWNS = max(len(law.fitted) for make in MAKES.values() for law in make.laws.values())
_SHIPPED = 400
_SHIPPED_FOLD = 256
"""Draws of each law that the package ships."""


def run_rate_calibration(
    calibration: RateCalibration, document: Document, run: RunFolder, observe: Observe = lambda event, details: None
) -> FittedRates:
    """Sample the rates of a calibration and write what was found.

    Tables, posteriors and folds are kept in the folder until all is written: the same call goes on after an
    interruption, and ends as if there had been none.

    Raises
    ------
    InputError
        When measured files are not there or not what they should be; then nothing is written.
    RunError
        When another process works in the folder.
    """
    refuse_study_folder(run)
    measured = read_series(calibration, document)

    def tell(event: str, details: Mapping[str, Any]) -> None:
        run.log("calibrate", event, **details)
        observe(event, details)

    with run.locked():
        run.log("calibrate", "start", laws=list(calibration.laws))
        try:
            found = calibrate_rates(calibration, measured, run.shards(_key(calibration, measured)), tell)
            _write(calibration, found, run)
        except Exception:
            run.log("calibrate", "failed", error=traceback.format_exc())
            raise
        run.drop_shards()
        run.log("calibrate", "done", seconds=round(found.seconds, 3))
    return found


def _key(calibration: RateCalibration, measured: Measured) -> str:
    """Name what parts are made from: settings, priors, laws, measured data, and the code with its libraries."""
    settings = calibration.model_dump(mode="json", exclude={"name"})
    make = MAKES[calibration.rates]
    laws = [repr((law.chemistry, law.fitted, law.run_at)) for law in (make.laws[name] for name in calibration.laws)]
    code = [*origin().values(), *(version(library) for library in _LIBRARIES)]
    content = hashlib.sha256(json.dumps([settings, laws, repr(dict(make.priors)), code], sort_keys=True).encode())
    for array in map(np.ascontiguousarray, jax.tree.leaves(measured)):
        content.update(f"{array.shape} {array.dtype} ".encode() + array.tobytes())
    return content.hexdigest()


def _write(calibration: RateCalibration, found: FittedRates, run: RunFolder) -> None:
    made_by = {**origin(), "seed": str(calibration.seed)}
    settings = yaml.safe_dump(calibration.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    write_text(run.path / "calibration.yaml", settings)
    for each in found.laws:
        write_whole(run.path / f"posterior_{each.law.name}.nc", partial(_write_posterior, each, made_by))
    tables = {
        "rates": rate_table(found),
        "laws": law_table(found),
        "correlated": correlated(found),
        "priors": prior_sensitivity(found),
    }
    for name, table in tables.items():
        write_text(run.path / f"{name}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.5g"))
    make = MAKES[calibration.rates]
    for name, dataset in zip(("posterior", "folds"), shipped_posteriors(make, found), strict=True):
        write_netcdf(run.path / f"{make.name}_{name}.nc", dataset.assign_attrs(made_by))
    figures = run.path / "figures"
    figures.mkdir(exist_ok=True)
    best = found.laws[int(np.argmax(found.weights))]
    with run.scratch("figures") as scratch:
        drawn = draw_rates(predictions(best), tables["rates"], tables["laws"], scratch)
        for path in drawn:
            write_whole(figures / path.name, partial(shutil.copyfile, path))
    page = render(
        "rates.html.jinja",
        name=calibration.name,
        cells=make.cells,
        best=best.law.name,
        laws=[_law_row(each, weight) for each, weight in zip(found.laws, found.weights, strict=True)],
        notes=rate_notes(found),
        quantities=[_quantity_row(row) for row in tables["rates"].to_dict("records")],
        correlated=tables["correlated"].to_dict("records"),
        priors=[_prior_row(row) for row in tables["priors"].to_dict("records")],
        figures=embedded([figures / path.name for path in drawn], RATE_CAPTIONS),
        settings=settings,
        origin={words(key): value for key, value in made_by.items()},
    )
    write_text(run.path / "report.html", page)


def _law_row(each: FittedLaw, weight: float) -> list[str]:
    foretold = significant(float(each.foretold.mean()), 4)
    coarse = [significant(100.0 * error, 2) for error in table_errors(each).values()]
    return [each.law.name, percent(weight), foretold, str(int(each.sampled.divergent.sum())), *coarse]


def _quantity_row(row: Mapping[Any, Any]) -> list[str]:
    """Return law, name, prior, median, interval, narrowing, R-hat and effective draws."""
    if row["scale"] == "logarithmic":
        prior = f"{significant(row['prior_middle'], 3)}, within a factor of {significant(np.exp(row['prior_sd']), 2)}"
    else:
        prior = f"{significant(row['prior_middle'], 3)} ± {significant(row['prior_sd'], 2)}"
    low, middle, high = (significant(row[name], 3) for name in ("p05", "median", "p95"))
    narrowing = significant(row["posterior_over_prior_sd"], 2)
    return [
        row["law"],
        row["quantity"],
        prior,
        middle,
        f"{low} to {high}",
        narrowing,
        f"{row['r_hat']:.3f}",
        f"{row['ess']:,.0f}",
    ]


def _prior_row(row: Mapping[Any, Any]) -> list[str]:
    """Return law, spread, prior, median, interval, draws left, and what moves most by how much."""
    prior, middle, low, high = (significant(row[name], 3) for name in ("prior_middle", "median", "p05", "p95"))
    left, moved = f"{row['effective_draws']:,.0f}", f"{row['moved']:+.2f}"
    return [row["law"], row["quantity"], prior, middle, f"{low} to {high}", left, row["moves_most"], moved]


def _write_posterior(fitted: FittedLaw, origin: dict[str, str], path: Path) -> None:
    values = jax.jit(jax.vmap(jax.vmap(partial(unfold, fitted.law, fitted.evidence))))(jnp.asarray(fitted.sampled.z))
    posterior = {name: np.asarray(value) for name, value in values.common.items()}
    posterior["rate"] = np.asarray(values.rates)
    posterior["field"] = np.asarray(values.field)
    data = arviz().from_dict(
        posterior=posterior,
        sample_stats={
            "diverging": fitted.sampled.divergent,
            "acceptance_rate": fitted.sampled.acceptance,
            "n_steps": fitted.sampled.steps,
        },
        coords={"unknown": [unknown.parameter for unknown in fitted.law.fitted]},
        dims={"rate": ["unknown"], "field": ["place"]},
        attrs=origin,
    )
    data.to_netcdf(str(path), engine="h5netcdf")


def shipped_posteriors(make: Make, found: FittedRates) -> tuple[xr.Dataset, xr.Dataset]:
    """Return draws given all conditions, and without each: what `calibration/shipped_rates.py` reads."""
    whole, folds = [], []
    for each in found.laws:
        flat = each.sampled.z.reshape(-1, each.sampled.z.shape[-1])
        whole.append(_draws(each, flat[thinned(len(flat), _SHIPPED)]))
        folded = [merged(fold.z, fold.log_evidence) for fold in each.folds]
        without = [_draws(each, draws[thinned(len(draws), _SHIPPED_FOLD)]) for draws in folded]
        folds.append(xr.concat([_of_fold(each.evidence, part, n) for n, part in enumerate(without)], "fold"))
    laws = [each.law.name for each in found.laws]
    evidence = found.laws[0].evidence
    temperature, charge, _ = places(evidence)
    groups = conditions_of(evidence.cycled)
    sources = "; ".join(f"{CATALOGUE[name].citation} ({CATALOGUE[name].licence})" for name in make.sets)
    what = f"Draws of the ageing of {make.cells}, by fadecast calibrate"
    attrs = {"what": what, "make": make.name, "sources": sources}
    posterior = xr.concat(whole, "law").assign_coords(
        law=laws, place_temperature=("place", temperature), place_charge=("place", charge)
    )
    means = [evidence.cycled.temperature[groups == n].mean() for n in range(count_of(groups))]
    posterior = posterior.assign_coords(group_temperature=("group", means))
    posterior["weight"] = ("law", found.weights)
    return (
        posterior.assign_attrs(attrs),
        xr.concat(folds, "law").assign_coords(law=laws, fold=list(found.folds)).assign_attrs(attrs),
    )


def _draws(each: FittedLaw, z: np.ndarray) -> xr.Dataset:
    values = jax.jit(jax.vmap(partial(unfold, each.law, each.evidence)))(jnp.asarray(z))
    cycling, condition = (np.asarray(part) for part in (values.cycling, values.condition))
    rate = np.full((len(z), _MOST_UNKNOWNS), np.nan)
    rate[:, : len(each.law.fitted)] = np.asarray(values.rates)
    names = list(each.evidence.priors)
    single = np.float32
    draws = xr.Dataset(
        {
            "common": (("draw", "quantity"), np.stack([np.asarray(values.common[n]) for n in names], 1).astype(single)),
            "rate": (("draw", "unknown"), rate.astype(single)),
            "field": (("draw", "place"), np.asarray(values.field).astype(single)),
        },
        coords={"quantity": names, "side": list(SIDES)},
    )
    draws["cycling"] = ("draw", "group"), cycling.astype(single)
    # Of an electrode that no cell tells of nothing departs.
    condition = np.pad(condition, ((0, 0), (0, 0), (0, len(SIDES) - condition.shape[2])))
    draws["condition"] = ("draw", "group", "side"), condition.astype(single)
    return draws


def _of_fold(evidence: Evidence, draws: xr.Dataset, number: int) -> xr.Dataset:
    """Keep of the places and conditions those that a fold is without; a storage condition has no cycled cells."""
    stored = len(evidence.stored.temperature)
    if number < stored:
        return draws.isel(place=number, group=0)
    at = places(evidence)[2][conditions_of(evidence.cycled) == number - stored][0]
    return draws.isel(place=stored + at, group=number - stored)
