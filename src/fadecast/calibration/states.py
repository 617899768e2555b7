"""Posterior of the state of degraded cells as datasets, and what of it the curves cannot tell."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from fadecast import variables
from fadecast.calibration.curve_posterior import Priors
from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.open_circuit import POINTS, Curve, Electrodes, State, charge_at, inventory, stoichiometries
from fadecast.calibration.state_fit import Fit, disagreement

MODES = ("lli_since", "lam_ne_since", "lam_pe_since")
"""Losses of every cell."""
PHASES = ("lam_primary_since", "lam_second_since")
"""Losses of a cell with two negative materials."""

_LARGEST_R_HAT = 1.05
_CORRELATED = 0.95
_TOLD = 0.5
"""Posterior over prior standard deviation above which a curve has told little."""
_COARSE = 0.03
"""Relative standard deviation of a capacity above which losses of material are known coarsely."""
_ANOTHER_MODE = 3.0
_FEWEST_EFFECTIVE = 100


def posterior_groups(
    fit: Fit,
    curves: Curve,
    electrodes: Electrodes,
    names: Sequence[str],
    compared_with: Sequence[int],
    voltage_limits: tuple[float, float],
) -> dict[str, xr.Dataset]:
    """Return the groups of an ArviZ file: `posterior`, `sample_stats`, `observed_data`, `constant_data`.

    Parameters
    ----------
    fit
        Of all curves.
    curves
        That were fitted.
    electrodes
        Half cells.
    names
        Of the curves.
    compared_with
        For each curve the one that its losses are counted from; itself for none.
    voltage_limits
        Of the empty and the full cell at rest [V].
    """
    composite = electrodes.negative.composite
    ends = _at_limits(electrodes, fit.state, voltage_limits)
    state = fit.state
    values = {
        "electrode_capacity_ne": state.negative_capacity,
        "electrode_capacity_pe": state.positive_capacity,
        "stoichiometry_ne_empty": ends[0][0],
        "stoichiometry_ne_full": ends[0][1],
        "stoichiometry_pe_empty": ends[1][0],
        "stoichiometry_pe_full": ends[1][1],
        "capacity_at_rest": ends[2],
        "lithium_inventory": np.asarray(inventory(state)),
        "polarisation": state.polarisation,
        "discrepancy": fit.discrepancy,
        "noise": fit.noise,
        **_losses(state, compared_with, composite),
    }
    if composite:
        values["second_share_ne"] = state.share
    dims = ("curve", "chain", "draw")
    coords = {"curve": list(names)}
    sampled = {"chain": np.arange(fit.noise.shape[1]), "draw": np.arange(fit.noise.shape[2]), **coords}
    stepped = {"step": np.arange(POINTS), **coords}
    measured = np.asarray(curves.voltage)
    groups = {
        "posterior": xr.Dataset({k: (dims, v) for k, v in values.items()}, sampled).transpose("chain", "draw", "curve"),
        "sample_stats": xr.Dataset(
            {"lp": (dims, fit.log_posterior), "acceptance_rate": (dims, fit.acceptance)}, sampled
        ).transpose("chain", "draw", "curve"),
        "observed_data": xr.Dataset(
            {
                "voltage_measured": (("curve", "step"), measured),
                "voltage_fitted": (("curve", "step"), measured - fit.residual),
                "charge": (("curve", "step"), np.asarray(curves.step)[:, None] * (np.arange(POINTS) + 0.5)),
            },
            stepped,
        ),
        "constant_data": xr.Dataset(
            {
                "compared_with": ("curve", [names[n] for n in compared_with]),
                "second_mode": ("curve", np.minimum(fit.second_mode, 1e6)),
                "curve_rmse": ("curve", np.sqrt(np.mean(fit.residual**2, axis=1))),
            },
            coords,
        ),
    }
    return {name: variables.describe(group) for name, group in groups.items()}


@jax.jit
def _at_limits(
    electrodes: Electrodes, state: State, limits: tuple[float, float]
) -> tuple[list[Array], list[Array], Array]:
    """Return negative and positive stoichiometries of the empty and the full cell at rest, and the charge between."""

    def each(state: State) -> tuple[list[Array], list[Array], Array]:
        charges = [charge_at(electrodes, state, limit) for limit in limits]
        x, y = stoichiometries(state, jnp.stack(charges))
        return [x[0], x[1]], [y[0], y[1]], charges[1] - charges[0]

    flat = State(*(jnp.ravel(field) for field in state))
    found = jax.lax.map(each, flat, batch_size=4096)
    return jax.tree.map(lambda value: value.reshape(state.share.shape), found)


def _losses(state: State, compared_with: Sequence[int], composite: bool) -> dict[str, Float[np.ndarray, "c k d"]]:
    first = np.asarray(compared_with)

    def lost(amount: np.ndarray) -> np.ndarray:
        return 1.0 - amount / amount[first]

    amounts = [np.asarray(each) for each in (inventory(state), state.negative_capacity, state.positive_capacity)]
    found = {name: lost(amount) for name, amount in zip(MODES, amounts, strict=True)}
    if composite:
        parts = (np.asarray(state.negative_capacity * share) for share in (1.0 - state.share, state.share))
        found |= {name: lost(part) for name, part in zip(PHASES, parts, strict=True)}
    return found


def unknowns(groups: dict[str, xr.Dataset], fit: Fit, priors: Priors, nominal_capacity: float) -> list[list[str]]:
    """Say of each curve what it cannot tell, or what makes its posterior doubtful.

    Parameters
    ----------
    groups
        Of `posterior_groups`.
    fit
        Of all curves.
    priors
        That it was fitted with.
    nominal_capacity
        Of the cell [A.h].
    """
    posterior = groups["posterior"]
    agreement = disagreement(fit)
    found = []
    for number, disagrees in enumerate(agreement.tolist()):
        one = posterior.isel(curve=number)
        found.append(
            [*_doubts(one, disagrees, float(fit.second_mode[number])), *_untold(one, priors, nominal_capacity)]
        )
    return found


def _doubts(posterior: xr.Dataset, agreement: float, second_mode: float) -> Iterator[str]:
    if agreement > _LARGEST_R_HAT:
        yield f"chains disagree (R-hat {agreement:.2f}): sample longer, or take intervals as rough"
    effective = min(
        float(arviz().ess(posterior[name])[name]) for name in ("electrode_capacity_ne", "lithium_inventory")
    )
    if effective < _FEWEST_EFFECTIVE:
        yield f"only {effective:.0f} effective draws: sample longer"
    if second_mode < _ANOTHER_MODE:
        yield (
            f"other electrodes explain the curve nearly as well (log posterior {second_mode:.1f} lower), and no chain "
            "has been there"
        )


def _untold(posterior: xr.Dataset, priors: Priors, nominal_capacity: float) -> Iterator[str]:
    """Compare the posterior with the prior, and find what only a combination of quantities is told of."""
    values = {
        "negative capacity": np.log(posterior["electrode_capacity_ne"].values.ravel() / nominal_capacity),
        "positive capacity": np.log(posterior["electrode_capacity_pe"].values.ravel() / nominal_capacity),
    }
    for name, value in values.items():
        if (told := value.std() / priors.capacity_log_sd) > _TOLD:
            yield f"the curve tells little of the {name}: its spread is {told:.0%} of that of the prior"
        elif value.std() > _COARSE:
            yield f"the {name} is known coarsely: its standard deviation is {value.std():.0%}"
    if "second_share_ne" in posterior:
        share = np.log(posterior["second_share_ne"].values.ravel())
        if (told := share.std() / priors.share_log_sd) > _TOLD:
            yield f"the curve tells little of the second negative material: its spread is {told:.0%} of the prior's"
    values["lithium inventory"] = posterior["lithium_inventory"].values.ravel()
    names = list(values)
    correlation = np.corrcoef(np.stack(list(values.values())))
    for first, second in zip(*np.triu_indices(len(names), 1), strict=True):
        if abs(correlation[first, second]) > _CORRELATED:
            yield (
                f"{names[first]} and {names[second]} are told apart badly: their posterior correlation is "
                f"{correlation[first, second]:.2f}"
            )


def state_table(groups: dict[str, xr.Dataset]) -> Any:
    """Return a table with one row for each curve: mean and standard deviation of all that was sampled."""
    posterior = groups["posterior"]
    mean, spread = (getattr(posterior, how)(("chain", "draw")) for how in ("mean", "std"))
    columns = {}
    for name in posterior.data_vars:
        columns[str(name)], columns[f"{name}_sd"] = mean[name].values, spread[name].values
    table = xr.Dataset({name: ("curve", value) for name, value in columns.items()}, {"curve": posterior["curve"]})
    constant = groups["constant_data"]
    return table.assign(compared_with=constant["compared_with"], curve_rmse=constant["curve_rmse"]).to_dataframe()
