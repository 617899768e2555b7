"""How far is a forecast of ten years extrapolation? Shares of its variance, and how much of each was known beforehand.

Run as `python experiments/extrapolation/study.py RUN`, where RUN is the folder of a run with many draws, whose packs
have rates of a joint posterior (`fadecast run configs/nevada_tail.yaml --out RUN`).
"""

import argparse
import itertools
from collections.abc import Mapping
from math import factorial
from pathlib import Path
from tempfile import TemporaryDirectory

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fadecast.calibration.joint_model import COMMON, correlation
from fadecast.calibration.shipped_rates import posterior
from fadecast.figures import style
from fadecast.files import write_netcdf
from fadecast.outcome import Outcome
from fadecast.population import in_service
from fadecast.population.posterior_rates import InService, posterior_parameters, sample_posterior_rates
from fadecast.runs import RunFolder, open_study

OUT = Path(__file__).parents[2] / "results" / "reported" / "extrapolation"
PRIOR_DRAWS = 4000
# Drift last: a new fleet has its own, which no prior speaks for.
LABELS = ("film growth", "negative LAM", "positive LAM", "film energy", "negative energy", "positive energy", "drift")


def main() -> None:
    """Decompose the variance of a run and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    run = RunFolder(parser.parse_args().run)
    fade, packs, duty = (run.open_dataset(f"{name}.nc") for name in ("fade", "population", "duty"))
    study = open_study(fade)
    service = in_service(study.cell.chemistry, duty)
    of_draws = in_forecast(packs, service)
    before = beforehand(service, study.seed, packs.sizes["pack"], study.population.drift_between_packs)
    narrowing = of_draws.var(axis=0) / before.var(axis=0)
    rows, ended = [], fade["outcome"].isin([outcome for outcome in Outcome if outcome.end_of_life])
    # A pack at the end of its life keeps nothing; one whose run failed is left out.
    kept = fade["retention"].where(np.isfinite(fade["retention"]) | ~ended, 0.0)
    for year in np.arange(1.0, fade["time"].to_numpy()[-1] + 0.5):
        retention = kept.sel(time=year, method="nearest").mean("pack").to_numpy()
        shares = shares_of(of_draws, retention)
        for name, share, prior in zip(LABELS, shares, narrowing, strict=True):
            rows.append({"year": year, "quantity": name, "share": share, "variance_over_prior": prior})
        rows.append({"year": year, "quantity": "rest", "share": 1.0 - shares.sum(), "variance_over_prior": np.nan})
        rows[-1]["standard_deviation"] = retention.std(ddof=1)
    table = pd.DataFrame(rows)
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "shares.csv", index=False, float_format="%.4g", lineterminator="\n")
    with style.printed():
        drawn(table).savefig(OUT / "shares.png")
    last = table[table["year"] == table["year"].max()]
    print(last.to_string(index=False, float_format="%.3f"))
    rates = last.iloc[: len(LABELS) - 1]
    from_prior = (rates["share"] * rates["variance_over_prior"].clip(upper=1.0)).sum()
    drift, rest = last["share"].iloc[-2:]
    print(f"share_from_prior: {from_prior:.3f} share_of_drift: {drift:.3f} rest: {rest:.3f}")


def in_forecast(packs: xr.Dataset, service: InService) -> np.ndarray:
    """Return what the draws of a run took, means over their packs, `(draw, quantity)`."""
    names = posterior_parameters(service.law)
    return _means(
        {name: packs["parameter_value"].sel(parameter=name).to_numpy() for name in names}, packs["retention_drift"]
    )


def beforehand(service: InService, seed: int, packs: int, drift_between_packs: float) -> np.ndarray:
    """Return the same of draws from the prior: what packs would be without any measurement."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "prior.nc"
        write_netcdf(path, prior(service))
        found = sample_posterior_rates(str(path), service, seed, PRIOR_DRAWS, packs, drift_between_packs)
    return _means(found.rates, found.drift)


def _means(parameters: Mapping[str, np.ndarray], drift: ArrayLike) -> np.ndarray:
    """Rates by their logarithms, energies and drift as they are."""
    columns = [(value if "energy" in name else np.log(value)).mean(axis=1) for name, value in parameters.items()]
    return np.stack([*columns, np.asarray(drift).mean(axis=1)], axis=1)


def prior(service: InService) -> xr.Dataset:
    """Return draws from the prior, in the form of the posterior that ships."""
    like = posterior().sel(law=[service.law.name])
    rng = np.random.default_rng(0)
    z = rng.normal(size=(PRIOR_DRAWS, len(COMMON)))
    common = np.stack([np.asarray(each.value(jnp.asarray(z[:, n]))) for n, each in enumerate(COMMON.values())], axis=1)
    spreads = [unknown.log_sd for unknown in service.law.cycled]
    rate = np.zeros((PRIOR_DRAWS, like.sizes["unknown"]))
    rate[:, : len(spreads)] = rng.normal(size=(PRIOR_DRAWS, len(spreads))) * spreads
    factor = np.linalg.cholesky(correlation(like["place_temperature"].to_numpy(), like["place_charge"].to_numpy()))
    field = rng.normal(size=(PRIOR_DRAWS, len(factor))) @ factor.T
    # What no pack reads may not be negative either in such a file.
    common = np.where(["energy" in name for name in COMMON], common, np.maximum(common, 0.0))
    names = list(COMMON)
    drawn = {
        "common": (("law", "draw", "quantity"), common[None]),
        "rate": (("law", "draw", "unknown"), rate[None]),
        "field": (("law", "draw", "place"), (common[:, [names.index("field_sd")]] * field)[None]),
        "cycling": (("law", "draw", "group"), np.zeros((1, PRIOR_DRAWS, like.sizes["group"]))),
        "condition": (("law", "draw", "group", "side"), np.zeros((1, PRIOR_DRAWS, like.sizes["group"], 2))),
    }
    kept = like.drop_vars(["draw", *drawn], errors="ignore").assign_coords(quantity=names)
    return kept.assign({name: (dims, values.astype(np.float32)) for name, (dims, values) in drawn.items()})


def shares_of(quantities: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Return the share of the variance of a result that each quantity explains, linearly: the mean over all orders.

    Lindeman, Merenda and Gold; see Groemping (2007), doi:10.1198/000313007X188252.
    """
    count = quantities.shape[1]
    explained = {}
    for size in range(count + 1):
        for chosen in itertools.combinations(range(count), size):
            design = np.column_stack([np.ones(len(result)), quantities[:, list(chosen)]])
            design /= np.abs(design).max(axis=0)
            left = result - design @ np.linalg.lstsq(design, result, rcond=None)[0]
            explained[chosen] = 1.0 - left.var() / result.var()
    shares = np.zeros(count)
    for chosen, value in explained.items():
        for n in set(range(count)) - set(chosen):
            weight = factorial(len(chosen)) * factorial(count - len(chosen) - 1) / factorial(count)
            shares[n] += weight * (explained[tuple(sorted((*chosen, n)))] - value)
    return shares


def drawn(table: pd.DataFrame) -> Figure:
    """Return the shares over the years, stacked."""
    figure = style.page(3.2)
    axes = figure.subplots()
    wide = table.pivot_table(index="year", columns="quantity", values="share", sort=False)
    axes.stackplot(wide.index, 100.0 * wide.clip(lower=0.0).T, labels=wide.columns, alpha=0.85)
    axes.set_xlabel("Time in service [year]")
    axes.set_ylabel("Share of variance over draws [%]")
    axes.set_xlim(wide.index.min(), wide.index.max())
    axes.set_ylim(0.0, 100.0)
    style.legend_above(figure, axes, columns=4)
    return figure


if __name__ == "__main__":
    main()
