"""Draws of the ageing of measured cells that ship with the package, and what they say of a cell nobody fitted.

The posteriors are those of `fadecast calibrate configs/calibrate_lgm50.yaml` and `calibrate_lfp.yaml`: given all
conditions, and without each.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import truncnorm

from fadecast.calibration.joint_model import SIDES, YEAR, correlation, inverse, overhang
from fadecast.calibration.laws import AgeingLaw
from fadecast.calibration.likelihood import FREEDOM
from fadecast.calibration.makes import MAKES
from fadecast.netcdf_file import first_line, read_foreign

SHIPPED = tuple(MAKES)
"""Name the posteriors that ship with the package, each of a make."""
NEAR = 3.0
"""Cells this close in temperature are of one condition [K]."""

_CYCLES_OF_A_CHECK_UP = (3.0, 1.0)
"""Full cycles that cost what a check-up does: median, and standard deviation of the logarithm. A check-up has two to
four; that its cost is theirs, and goes on with the root of their number, is a guess that the spread allows for."""
_LARGEST_LOG, _LARGEST_ENERGY = 30.0, 1e6
"""Beyond any draw: of a logarithm of a rate [1], and of an activation energy [J.mol-1]."""


class Condition(NamedTuple):
    """How a cell is held."""

    temperature: float
    """[degC]"""
    state_of_charge: float
    """Mean [1]."""
    rests: bool
    """Whether it is stored."""
    low_passes: float = 0.0
    """Times that the lowest charge is gone through and back, in one equivalent full cycle."""
    worn: bool = False
    """Whether it begins a second life."""


class Drawn(NamedTuple):
    """Draws of the ageing of one cell under one law."""

    multiples: dict[str, Float[np.ndarray, " draw"]]
    """Of the values that the law holds likely, by name."""
    common: dict[str, Float[np.ndarray, " draw"]]
    """By the names of the priors of the make."""


def posterior(source: str = "lgm50") -> xr.Dataset:
    """Return the draws given all conditions: those of a make that ship, or of a file that `fadecast calibrate` made.

    Raises
    ------
    ValueError
        When there is no such file, or it is none of these.
    """
    if source in SHIPPED:
        return _shipped(f"{source}_posterior.nc")
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"no file {path}")
    return _calibrated(path, path.stat().st_mtime_ns)


def folds(make: str = "lgm50") -> xr.Dataset:
    """Return the draws given all conditions of a make but one, for each of them."""
    return _shipped(f"{make}_folds.nc")


def make_of(found: xr.Dataset) -> str:
    """Return the make that draws are of; files of older versions say none."""
    return str(found.attrs.get("make", "lgm50"))


@cache
def _shipped(name: str) -> xr.Dataset:
    with resources.as_file(resources.files("fadecast") / "data" / name) as path:
        return xr.load_dataset(path, engine="h5netcdf")


@lru_cache(maxsize=4)
def _calibrated(path: Path, _: int) -> xr.Dataset:
    try:
        found = read_foreign(path)
        if make_of(found) not in MAKES:
            raise ValueError(f"its make is {make_of(found)!r}")
        shipped = _shipped(f"{make_of(found)}_posterior.nc")
        for name, variable in shipped.variables.items():
            if found[name].dims != variable.dims:
                raise ValueError(f"{name} is on {found[name].dims}, not on {variable.dims}")
        _check_names(found)
        _check_draws(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no draws of rates as the posterior of a calibration does ({first_line(error)})"
        ) from None
    return found


def _check_names(found: xr.Dataset) -> None:
    if sorted(map(str, found["quantity"].values)) != sorted(MAKES[make_of(found)].priors):
        raise ValueError("its common quantities are not those of this version")
    laws, known = [str(law) for law in found["law"].values], MAKES[make_of(found)].laws
    if unknown := sorted(set(laws) - set(known)):
        raise ValueError(f"its laws {unknown} are none of {', '.join(known)}")
    if len(set(laws)) < len(laws) or not laws or tuple(map(str, found["side"].values)) != SIDES:
        raise ValueError(f"its laws are {laws} and its sides {list(found['side'].values)}; must be each once")
    if not min(found.sizes.values()) or found.sizes["unknown"] < max(len(known[law].fitted) for law in laws):
        raise ValueError(f"its sizes {dict(found.sizes)} are too small for these laws")


def _check_draws(found: xr.Dataset) -> None:
    """Refuse draws that no rate can be made of: what is not finite, or beyond what any prior holds possible."""
    for name in found["quantity"].values:
        most, least = (_LARGEST_ENERGY, -_LARGEST_ENERGY) if "energy" in name else (1e4, 0.0)
        _check_range(found["common"].sel(quantity=name), f"common {name}", least, most)
    laws = MAKES[make_of(found)].laws
    for law in found["law"].values:
        rate = found["rate"].sel(law=law).isel(unknown=slice(len(laws[str(law)].fitted)))
        _check_range(rate, f"rate of {law}", -_LARGEST_LOG, _LARGEST_LOG)
    for name in ("field", "cycling", "condition"):
        _check_range(found[name], name, -_LARGEST_LOG, _LARGEST_LOG)
    for name in ("place_temperature", "group_temperature"):
        _check_range(found[name], name, -100.0, 200.0)
    _check_range(found["place_charge"], "place_charge", 0.0, 1.0)
    _check_range(found["weight"], "weight", 0.0, 1.0)
    if not np.isfinite(leaning(found, np.array([25.0]), np.array([0.5]))[0]).all():
        raise ValueError("its places are too near each other to tell them apart")


def _check_range(values: xr.DataArray, what: str, low: float, high: float) -> None:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{what} is {values.dtype}; must be numbers")
    if not ((values >= low) & (values <= high)).all():
        raise ValueError(
            f"{what} runs from {values.min().item():g} to {values.max().item():g}; must be {low:g} to {high:g}"
        )


def weights(make: str = "lgm50") -> dict[str, float]:
    """Return the weight of every law of a make in the mixture."""
    return {str(law): float(value) for law, value in posterior(make)["weight"].to_series().items()}


def shares(draws: int, laws: Sequence[str] = (), make: str = "lgm50") -> dict[str, int]:
    """Return how many of some draws are of each law, by their weights: of those named, or of all where none is.

    Raises
    ------
    ValueError
        When there are no draws of a law that is named.
    """
    known = weights(make)
    if missing := [law for law in laws if law not in known]:
        raise ValueError(f"no draws of {', '.join(missing)} for {make}; there are of {', '.join(known)}")
    given = {law: weight for law, weight in known.items() if law in laws or not laws}
    if not sum(given.values()):
        given = dict.fromkeys(given, 1.0)
    ends = np.round(np.cumsum([0.0, *given.values()]) / sum(given.values()) * draws).astype(int)
    return {law: int(count) for law, count in zip(given, np.diff(ends), strict=True) if count}


def predict(
    law: str, condition: Condition, without: str | None, draws: int, rng: np.random.Generator, make: str = "lgm50"
) -> Drawn:
    """Draw the ageing of a cell.

    Parameters
    ----------
    law
        One of the make's.
    condition
        Of the cell.
    without
        Name of the condition that the draws may not know of; none where it is no fitted one.
    draws
        How many.
    rng
        Of all random numbers.
    make
        That the cell is of.
    """
    chosen = MAKES[make].laws[law]
    found = posterior(make).sel(law=law) if without is None else folds(make).sel(law=law, fold=without)
    found = found.isel(draw=rng.choice(found.sizes["draw"], draws, replace=draws > found.sizes["draw"]))
    common = {str(name): found["common"].sel(quantity=name).to_numpy() for name in found["quantity"].to_numpy()}
    rates = found["rate"].transpose("draw", "unknown").to_numpy()
    field = _field_at(found, common["field_sd"], condition, rng) if without is None else found["field"].to_numpy()
    if without is None:
        cycling, material = _departures(found, common, condition, draws, rng)
    else:
        cycling, material = found["cycling"].to_numpy(), found["condition"].transpose("draw", "side").to_numpy()
    at = inverse(np.array(condition.temperature))
    logs = {}
    for n, unknown in enumerate(chosen.cycled):
        log = rates[:, n]
        if n < len(chosen.film):
            log = log + common["film_energy"] * at + field + (0.0 if condition.rests or condition.worn else cycling)
        elif n >= len(chosen.stored):
            side = n - len(chosen.stored)
            log = log + common[f"energy_{SIDES[side]}"] * at + material[:, side]
            # Cells in a second life differ by what they had lost before.
            log = log if chosen.start else log + common["cell_sd"] * rng.normal(size=draws)
        logs[unknown.parameter] = np.exp(log)
    return Drawn(logs | _starts(chosen, rates, common, rng), common)


def _starts(
    law: AgeingLaw,
    rates: Float[np.ndarray, "draw unknown"],
    common: dict[str, Float[np.ndarray, " draw"]],
    rng: np.random.Generator,
) -> dict[str, Float[np.ndarray, " draw"]]:
    """Draw what a cell had lost at its start, as far as fitted ones were run at."""
    found, after = {}, len(law.cycled)
    for n, unknown in enumerate(law.start):
        middle, spread = rates[:, after + n], common["start_sd"]
        low, high = ((end - middle) / spread for end in unknown.reach)
        found[unknown.parameter] = np.exp(truncnorm.rvs(low, high, middle, spread, random_state=rng))
    return found


def beside(
    drawn: Drawn,
    condition: Condition,
    days: Float[np.ndarray, " times"],
    cycles: Float[np.ndarray, " times"],
    check_ups: int,
    rng: np.random.Generator,
    make: str = "lgm50",
) -> Float[np.ndarray, "times draw"]:
    """Draw what a check-up finds beside what the engine says of retention [1]: 0 at the first.

    Cycles through the lowest charge cost what those of check-ups do: there silicon is worked and lost (Kirkaldy et al.
    2022, doi:10.1021/acsaem.2c02047), which the laws leave out. No fitted cell was cycled there, so that part is wide.

    Parameters
    ----------
    days
        Of check-ups, from 0.
    cycles
        Equivalent full cycles until then.
    check_ups
        1 where each of them ages the cell as those of the fitted cells did, else 0.
    make
        That the cell is of; without silicon cycles cost nothing beside the law. To a cell in a second life, neither do
        check-ups, nor does the overhang.
    """
    if condition.worn:
        return _noise(drawn.common["noise_second"], len(days), rng)
    count = len(drawn.common["noise"])
    place = np.array([condition.temperature]), np.array([condition.state_of_charge]), days[None]
    common = {name: jnp.asarray(values) for name, values in drawn.common.items()}
    held = np.asarray(jax.vmap(lambda each: overhang(each, *place))(common))[:, 0].T
    growth = drawn.common["growth_sd"] * rng.normal(size=count) * days[:, None] / YEAR
    number = check_ups * np.arange(len(days))[:, None]
    median, sd = _CYCLES_OF_A_CHECK_UP
    passes = condition.low_passes * cycles[:, None] / (median * np.exp(sd * rng.normal(size=count)))
    damage = drawn.common["check_up"] * np.sqrt(number)
    if silicon := MAKES[make].silicon:
        worked = silicon * np.tanh(drawn.common["check_up"] * np.sqrt(number + passes) / silicon)
        damage = damage + worked - silicon * np.tanh(damage / silicon)
    return np.asarray(_noise(drawn.common["noise"], len(days), rng) - held - growth - damage)


def _noise(width: Float[np.ndarray, " draw"], times: int, rng: np.random.Generator) -> Float[np.ndarray, "times draw"]:
    found = width * rng.standard_t(FREEDOM, size=(times, len(width)))
    found[0] = 0.0
    return found


def leaning(
    found: xr.Dataset, temperature: Float[np.ndarray, " new"], charge: Float[np.ndarray, " new"]
) -> tuple[Float[np.ndarray, "place new"], Float[np.ndarray, "new new"]]:
    """Return how the field at new places leans on that at fitted ones, and a factor of the covariance that is left.

    The second is for a field of spread 1. Temperatures [degC], charges [1].
    """
    fitted = found.sizes["place"]
    joint = correlation(
        np.append(found["place_temperature"].to_numpy(), temperature),
        np.append(found["place_charge"].to_numpy(), charge),
    )
    on_known = np.linalg.solve(joint[:fitted, :fitted], joint[:fitted, fitted:])
    left = joint[fitted:, fitted:] - joint[fitted:, :fitted] @ on_known
    return on_known, np.linalg.cholesky(left)


def _field_at(
    found: xr.Dataset, sd: Float[np.ndarray, " draw"], condition: Condition, rng: np.random.Generator
) -> Float[np.ndarray, " draw"]:
    """Draw the field at a place from what it is at others."""
    on_known, left = leaning(found, np.array([condition.temperature]), np.array([condition.state_of_charge]))
    known = found["field"].transpose("draw", "place").to_numpy()
    return np.asarray(known @ on_known[:, 0] + sd * left[0, 0] * rng.normal(size=len(sd)))


def _departures(
    found: xr.Dataset, common: dict[str, np.ndarray], condition: Condition, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Departures of a condition that is known by its temperature, else of a new one."""
    cycling = common["cycling_sd"] * rng.normal(size=draws)
    material = common["condition_sd"][:, None] * rng.normal(size=(draws, len(SIDES)))
    near = np.flatnonzero(np.abs(found["group_temperature"].to_numpy() - condition.temperature) <= NEAR)
    if len(near) == 1:
        known = found.isel(group=int(near[0]))
        return known["cycling"].to_numpy(), known["condition"].transpose("draw", "side").to_numpy()
    return cycling, material
