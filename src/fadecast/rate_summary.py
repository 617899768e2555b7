"""What a calibration of rates says: tables of its posterior, what speaks against it, and lines for the terminal."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.joint_model import unfold
from fadecast.calibration.likelihood import predicted
from fadecast.calibration.rate_tables import QUANTITIES, unresolved
from fadecast.rate_calibrating import FittedLaw, FittedRates

_LEVELS = (0.05, 0.95)
_FIGURE_DRAWS = 200
_CORRELATED = 0.9
_LARGEST_R_HAT = 1.02
_LARGEST_FOLD_R_HAT = 1.1
"""Of draws without a condition, which are few: they are there for what they foretell together."""
_COARSE = 1.0 / 3.0
"""Error of a table over that of a check-up, beyond which it is no longer small [1]."""
_PRIORS_TRIED = (-1.0, 1.0)
"""By how many of its own standard deviations the prior of a spread is moved."""


def rate_table(found: FittedRates) -> pd.DataFrame:
    """Return prior and posterior of every common quantity and rate, with diagnostics of the chains, for each law."""
    rows = []
    for each in found.laws:
        values = jax.jit(jax.vmap(jax.vmap(partial(unfold, each.law, each.evidence))))(jnp.asarray(each.sampled.z))
        named = {name: (np.asarray(values.common[name]), prior) for name, prior in each.evidence.priors.items()}
        columns = [(name, draws, prior.middle, prior.sd, prior.logarithmic) for name, (draws, prior) in named.items()]
        for n, unknown in enumerate(each.law.fitted):
            draws = unknown.centre * np.exp(np.asarray(values.rates)[..., n])
            columns.append((unknown.parameter, draws, unknown.centre, unknown.log_sd, True))
        for name, draws, middle, sd, logarithmic in columns:
            told = np.log(draws) if logarithmic else draws
            rows.append(
                {
                    "law": each.law.name,
                    "quantity": name,
                    "prior_middle": middle,
                    "prior_sd": sd,
                    "scale": "logarithmic" if logarithmic else "linear",
                    "median": float(np.median(draws)),
                    "p05": float(np.quantile(draws, _LEVELS[0])),
                    "p95": float(np.quantile(draws, _LEVELS[1])),
                    "posterior_over_prior_sd": float(told.std() / sd),
                    "r_hat": float(arviz().rhat(draws)),
                    "ess": float(arviz().ess(draws)),
                }
            )
    return pd.DataFrame(rows)


def law_table(found: FittedRates) -> pd.DataFrame:
    """Return what every law foretold of each condition it did not know [log density per check-up], and its weight.

    With the largest R-hat of the common quantities and rates between groups of draws without that condition, and how
    many of their paths diverged in the last stage.
    """
    columns = ("law", "weight", "condition", "log_density", "r_hat", "divergent")
    rows = [
        dict(zip(columns, (each.law.name, weight, *row), strict=True))
        for each, weight in zip(found.laws, found.weights, strict=True)
        for row in zip(found.folds, each.foretold, _fold_disagreement(each), _fold_divergent(each), strict=True)
    ]
    return pd.DataFrame(rows)


def _fold_disagreement(each: FittedLaw) -> list[float]:
    count = len(each.evidence.priors) + len(each.law.fitted)
    # Groups that never moved disagree without end.
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [[float(arviz().rhat(fold.z[..., n])) for n in range(count)] for fold in each.folds]
    return [max(np.nan_to_num(values, nan=np.inf)) for values in found]


def _fold_divergent(each: FittedLaw) -> list[int]:
    return [int(fold.divergent.sum()) for fold in each.folds]


def correlated(found: FittedRates) -> pd.DataFrame:
    """Return the pairs that cannot be told apart: posterior correlation beyond 0.9 either way."""
    rows = []
    for each in found.laws:
        names = [*each.evidence.priors, *(unknown.parameter for unknown in each.law.fitted)]
        flat = each.sampled.z.reshape(-1, each.sampled.z.shape[-1])[:, : len(names)]
        matrix = np.corrcoef(flat.T)
        for a, b in zip(*np.nonzero(np.triu(np.abs(matrix) > _CORRELATED, 1)), strict=True):
            rows.append({"law": each.law.name, "one": names[a], "other": names[b], "correlation": matrix[a, b]})
    return pd.DataFrame(rows, columns=["law", "one", "other", "correlation"])


def prior_sensitivity(found: FittedRates) -> pd.DataFrame:
    """Return how the posterior would be with priors of the spreads a standard deviation lower and higher.

    Draws are weighed by the one prior over the other. `effective_draws` says how many of them are left; where they are
    few, the change is too large to be told so. `moves_most` is the quantity beside whose mean moves by most of its own
    standard deviations, and `moved` by how many.
    """
    rows = []
    for each in found.laws:
        flat = each.sampled.z.reshape(-1, each.sampled.z.shape[-1])
        names = [*each.evidence.priors, *(unknown.parameter for unknown in each.law.fitted)]
        told = flat[:, : len(names)]
        for n, (name, prior) in enumerate(each.evidence.priors.items()):
            if not name.endswith("_sd"):
                continue
            for shift in _PRIORS_TRIED:
                # Of normal densities of one width, the second about `shift`.
                weights = np.exp(shift * flat[:, n] - 0.5 * shift**2)
                weights /= weights.sum()
                moved = np.delete((weights @ told - told.mean(0)) / told.std(0), n)
                most = int(np.argmax(np.abs(moved)))
                values = np.asarray(prior.value(jnp.asarray(flat[:, n])))
                low, middle, high = np.quantile(values, (0.05, 0.5, 0.95), weights=weights, method="inverted_cdf")
                rows.append(
                    {
                        "law": each.law.name,
                        "quantity": name,
                        "prior_middle": float(prior.value(jnp.asarray(shift))),
                        "median": middle,
                        "p05": low,
                        "p95": high,
                        "effective_draws": float(1.0 / (weights**2).sum()),
                        "moves_most": np.delete(names, n)[most],
                        "moved": float(moved[most]),
                    }
                )
    return pd.DataFrame(rows)


def predictions(each: FittedLaw) -> pd.DataFrame:
    """Return losses as fitted and as measured, of all cells and quantities [1]."""
    flat = each.sampled.z.reshape(-1, each.sampled.z.shape[-1])
    some = jnp.asarray(flat[thinned(len(flat), _FIGURE_DRAWS)])
    values = jax.jit(jax.vmap(lambda z: predicted(each.law, each.evidence, z)[:2]))(some)
    rows = []
    for kind, series, draws in zip(("stored", "cycled"), each.evidence[:2], values, strict=True):
        low, middle, high = np.quantile(np.asarray(draws), (0.05, 0.5, 0.95), axis=0)
        for n, celsius in enumerate(series.temperature):
            for q, quantity in enumerate(QUANTITIES):
                known = np.isfinite(series.losses[n, q])
                rows.append(
                    pd.DataFrame(
                        {
                            "kind": kind,
                            "cell": n,
                            "temperature": celsius,
                            "charge": series.charge[n],
                            "quantity": quantity,
                            "days": series.days[n, known],
                            "measured": series.losses[n, q, known],
                            "p05": low[n, q, known],
                            "p50": middle[n, q, known],
                            "p95": high[n, q, known],
                        }
                    )
                )
    return pd.concat(rows, ignore_index=True)


def table_errors(each: FittedLaw) -> dict[str, float]:
    """Return how coarse the tables of storage and of cycling are in capacity: median over check-ups [1]."""
    tables = {"storage": each.evidence.stored_table, "cycling": each.evidence.cycled_table}
    return {name: float(np.median(unresolved(table)[:, 0])) for name, table in tables.items()}


def rate_notes(found: FittedRates) -> list[str]:
    """Return what speaks against trusting what was found."""
    table, laws = rate_table(found), law_table(found)
    apart = table.fillna({"r_hat": np.inf}).groupby("law", sort=False)["r_hat"].max()
    medians = table.set_index(["law", "quantity"])["median"]
    notes = [
        f"{law}: chains disagree (R-hat {r_hat:.3f}); neither its posterior nor its weight is to be trusted"
        for law, r_hat in apart[apart > _LARGEST_R_HAT].items()
    ]
    for each in found.laws:
        noises = {"storage": "noise", "cycling": "noise_second" if each.law.start else "noise"}
        notes += [
            f"{each.law.name}: the table of {what} is coarse (highest polynomials: {100.0 * error:.2f} points of "
            "capacity); the posterior may follow the table, not the law"
            for what, error in table_errors(each).items()
            if error > _COARSE * medians[each.law.name, noises[what]]
        ]
    for law, rows in laws[laws["r_hat"] > _LARGEST_FOLD_R_HAT].groupby("law", sort=False):
        worst = rows.sort_values("r_hat").iloc[-1]
        count = f"{len(rows)} of {len(found.folds)} conditions"
        worst_is = f"R-hat {worst['r_hat']:.2f} at most, without {worst['condition']}"
        more = "ask for more fold_draws or fold_moves"
        notes.append(f"{law}: draws without a condition disagree for {count} ({worst_is}); {more}")
    return notes


def rate_lines(found: FittedRates) -> list[str]:
    """Return what a calibration of rates found, the summary last."""
    lines = [
        f"{each.law.name}: weight {weight:.2f}, foretells {each.foretold.mean():.3f} per check-up, "
        f"{int(each.sampled.divergent.sum())} divergent paths"
        for each, weight in zip(found.laws, found.weights, strict=True)
    ]
    table = rate_table(found)
    summary = (
        f"laws: {len(found.laws)} conditions: {len(found.folds)} r_hat_max: {table['r_hat'].max():.3f} "
        f"ess_min: {table['ess'].min():.0f} seconds: {found.seconds:.0f}"
    )
    return [*lines, *rate_notes(found), summary]


def thinned(count: int, wanted: int) -> np.ndarray:
    """Return which of so many draws are taken where fewer are wanted, evenly."""
    return np.linspace(0, count - 1, min(wanted, count)).astype(int)
