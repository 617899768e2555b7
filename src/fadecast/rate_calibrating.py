"""The file of a calibration of rates, and what `fadecast calibrate` makes of it: how fast cells of one make age."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from annotated_types import Ge, Gt, Le, MinLen
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from fadecast.calibration.forgetting import Moved, merged
from fadecast.calibration.joint_fit import Effort, Sampled, sample, sample_folds
from fadecast.calibration.joint_model import Evidence, Series, conditions, conditions_of, count_of
from fadecast.calibration.law_weights import foretold, stacked
from fadecast.calibration.laws import AgeingLaw, LawName
from fadecast.calibration.left_out import left_out
from fadecast.calibration.makes import MAKES, Make, MakeName
from fadecast.calibration.rate_tables import QUANTITIES, Place, Table, tabulate
from fadecast.cell.model import build_cell
from fadecast.decades.regimes import CyclingStep
from fadecast.document import Document, shown
from fadecast.measured import lgm50, sony_lfp, uconn_lfp
from fadecast.measured.catalogue import MeasuredDataError, MissingDataError
from fadecast.scored_cells import SECOND_LIFE_CELSIUS, SECOND_LIFE_STEPS, STORED, cycled_steps, stored_name
from fadecast.validation import validated

_SECOND_LIFE_INTERVAL = 7.0
"""At which the engine is read of cells in a second life [day]."""
_Fields = TypeVar("_Fields", Table, Sampled, Moved)


class RateCalibration(BaseModel):
    """A calibration of rates: laws, and how their parameters are sampled."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Names the calibration and its folder: letters, digits, `_` and `-`."""
    rates: MakeName
    """Cells that rates are found of: `lgm50`, LG M50 and LG M50T, stored and cycled; `lfp`, iron phosphate, stored
    (Sony 26650) and in a second life (1.2 A.h)."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Seed of all draws."""
    laws: Annotated[tuple[LawName, ...], MinLen(1)] = ("solvent",)
    """Ageing laws that are held against each other."""
    tolerance: Annotated[float, Gt(0.0), Le(0.05)] = 1e-3
    """Largest estimated error of a macro step in SOH [1]."""
    chains: Annotated[int, Ge(2), Le(64)] = 4
    """Chains of each posterior."""
    pilot: Annotated[int, Ge(50), Le(10_000)] = 400
    """Draws of each chain, and as many before, that only say how wide the posterior is in which direction."""
    warmup: Annotated[int, Ge(50), Le(10_000)] = 500
    """Draws of each chain that adapt its step, and are left out."""
    draws: Annotated[int, Ge(64), Le(100_000)] = 1000
    """Draws of each chain that are kept."""
    fold_draws: Annotated[int, Ge(10), Le(10_000)] = 64
    """Draws of each chain that are moved to what they would be without a condition; no more than `draws`."""
    fold_moves: Annotated[int, Ge(1), Le(1000)] = 6
    """Paths of each such draw after every part of the condition that is taken back."""

    @model_validator(mode="after")
    def _agrees(self) -> "RateCalibration":
        if len(set(self.laws)) < len(self.laws):
            raise ValueError(f"laws: got {shown(list(self.laws))}; must name each law once")
        if self.fold_draws > self.draws:
            raise ValueError(f"fold_draws: got {self.fold_draws}; must not exceed draws {self.draws}")
        known = MAKES[self.rates].laws
        if unknown := [law for law in self.laws if law not in known]:
            raise ValueError(f"laws: got {shown(unknown)}; rates {self.rates} has {', '.join(known)}")
        return self


@dataclass(frozen=True)
class FittedLaw:
    """One law as sampled."""

    law: AgeingLaw
    evidence: Evidence
    sampled: Sampled
    folds: tuple[Moved, ...]
    """Draws without each condition."""
    foretold: Float[np.ndarray, " folds"]
    """Log predictive density of what each fold is without, per check-up."""


@dataclass(frozen=True)
class FittedRates:
    """All laws as sampled, and their weights."""

    laws: tuple[FittedLaw, ...]
    weights: np.ndarray
    """Of the laws in the mixture."""
    folds: tuple[str, ...]
    """Names of the conditions that the folds are without."""
    seconds: float
    """That this process took, compilation included."""


class Measured(NamedTuple):
    """What rates are found from."""

    stored: Series
    cycled: Series
    hours: float
    """That a cycle takes; NaN where cells are cycled by voltages."""


class PartStore(Protocol):
    """Keeps what is done, so that an interrupted calibration goes on where it stopped."""

    def load(self, key: str) -> xr.Dataset | None:
        """Return a part that was saved whole, else None."""

    def save(self, key: str, dataset: xr.Dataset) -> None:
        """Keep a part."""


Observe = Callable[[str, Mapping[str, Any]], None]


def check_rate_calibration(document: Document) -> RateCalibration:
    """Return the calibration of rates that a file describes.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    return validated(RateCalibration, document)


def read_series(calibration: RateCalibration, document: Document) -> Measured:
    """Read what was measured of the cells that a calibration names.

    Raises
    ------
    InputError
        When measured files are not there or not what they should be.
    """
    try:
        return measured_series(calibration.rates)
    except (MissingDataError, MeasuredDataError) as error:
        raise document.refuse([f"rates: {error}"]) from None


def calibrate_rates(
    calibration: RateCalibration,
    measured: Measured,
    store: PartStore,
    observe: Observe = lambda event, details: None,
) -> FittedRates:
    """Sample the rates of all laws, given all conditions and without each in turn.

    Parameters
    ----------
    calibration
        What is asked for.
    measured
        What was measured.
    store
        Keeps tables, posteriors and folds one by one; those that it has are not made again.
    observe
        Told, as `part`, of every part that is there: `law`, `part`, `seconds`, `loaded`; and, as `fold`, of `law`,
        how many folds are `done` and how many `folds` there are.
    """
    began = time.perf_counter()
    make = MAKES[calibration.rates]
    fitted = [_fit(make, make.laws[name], measured, calibration, store, observe) for name in calibration.laws]
    weights = stacked(np.stack([each.foretold for each in fitted]))
    names = fold_names(measured.stored, measured.cycled)
    return FittedRates(tuple(fitted), weights, names, time.perf_counter() - began)


def measured_series(make: str) -> Measured:
    """Read all storage series and cycled cells of a make.

    Raises
    ------
    MissingDataError, MeasuredDataError
        When a file is not there or not as expected.
    """
    if make == "lfp":
        return Measured(_stored(sony_lfp.sony_lfp_calendar().assign(capacity_std=0.0)), _second_life(), np.nan)
    stored = _stored(lgm50.lgm50_calendar().dropna(), lgm50.lgm50_calendar_lam())
    cells = [table for _, table in lgm50.lgm50_cycling().groupby("cell")]
    times = np.stack([table["days"].to_numpy()[1:] for table in cells])
    lost = np.stack(
        [
            np.stack(
                [
                    1.0 - table["capacity"].to_numpy()[1:] / table["capacity"].iloc[0],
                    *(table[f"lam_{side}"].to_numpy()[1:] for side in ("ne", "pe")),
                ]
            )
            for table in cells
        ]
    )
    celsius = np.array([table["surface_temperature"].mean() for table in cells])
    hours = 24.0 * float(times[0, -1]) / float(cells[0]["cycles"].iloc[-1])
    # Charged at 0.3C and discharged at 1C, then at rest where the discharge ends.
    charge = np.full(len(cells), 0.70 + 0.075 * (0.15 / 0.3 + 0.15) / hours)
    return Measured(stored, Series(celsius, charge, times, lost, np.zeros_like(times)), hours)


def _stored(calendar: pd.DataFrame, material: pd.DataFrame | None = None) -> Series:
    """Return storage series, with the negative material that each has lost where that was measured."""
    keys, tables = zip(*calendar.groupby(["temperature", "soc"]), strict=True)
    temperature, soc = np.array(keys).T
    days, losses, spread = _padded(tables, max(map(len, tables)) - 1)
    if material is None:
        return Series(temperature, soc, days, losses, spread)
    for n, ((celsius, charge), table) in enumerate(zip(keys, tables, strict=True)):
        rows = material[(material["temperature"] == celsius) & (material["soc"] == charge) & (material["days"] > 0.0)]
        at = np.searchsorted(table["days"].to_numpy()[1:], rows["days"].to_numpy())
        known = at < len(table) - 1
        losses[n, 1, at[known]] = rows["lam_ne"].to_numpy()[known]
    return Series(temperature, soc, days, losses, spread)


def _second_life() -> Series:
    """Return cells in a second life; conditions are the protocols of the first."""
    measured = uconn_lfp.uconn_second_life().assign(capacity_std=0.0)
    # From week to week check-ups say nearly the same.
    keys, tables = zip(
        *((key, _every_second(table)) for key, table in measured.groupby(["group", "cell"])), strict=True
    )
    days, losses, spread = _padded(tables, max(map(len, tables)) - 1)
    count = len(tables)
    return Series(
        np.full(count, SECOND_LIFE_CELSIUS),
        np.full(count, 0.5),
        days,
        losses,
        spread,
        np.unique([group for group, _ in keys], return_inverse=True)[1],
        np.array([table["start_soh"].iloc[0] for table in tables]),
    )


def _every_second(table: pd.DataFrame) -> pd.DataFrame:
    """Return the start and every second check-up, the last among them."""
    return table.iloc[[0, *sorted(range(len(table) - 1, 0, -2))]]


def _padded(tables: Sequence[pd.DataFrame], longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    days = np.stack([np.pad(table["days"].to_numpy()[1:], (0, longest + 1 - len(table)), "edge") for table in tables])
    losses, spread = np.full((len(tables), len(QUANTITIES), longest), np.nan), np.zeros((len(tables), longest))
    for n, table in enumerate(tables):
        capacity, first = table["capacity"].to_numpy(), table["capacity"].iloc[0]
        losses[n, 0, : len(table) - 1] = 1.0 - capacity[1:] / first
        spread[n, : len(table) - 1] = table["capacity_std"].to_numpy()[1:] / first
    return days, losses, spread


def fold_names(stored: Series, cycled: Series) -> tuple[str, ...]:
    """Name what each fold is without: a storage condition, or all cycled cells of a condition."""
    names = [stored_name(t, s) for t, s in zip(stored.temperature, stored.charge, strict=True)]
    groups = conditions_of(cycled)
    return (*names, *(f"cycled {n}" for n in range(count_of(groups))))


def _fit(
    make: Make, law: AgeingLaw, measured: Measured, calibration: RateCalibration, store: PartStore, observe: Observe
) -> FittedLaw:
    def part(name: str, kind: type[_Fields], make: Callable[[], _Fields]) -> _Fields:
        began, key = time.perf_counter(), f"{law.name}-{name}"
        kept = store.load(key)
        if kept is None:
            # As it will be read again: a calibration that goes on is to end as one that was never interrupted.
            kept = _packed(make())
            store.save(key, kept)
            loaded = False
        else:
            loaded = True
        seconds = round(time.perf_counter() - began, 3)
        observe("part", {"law": law.name, "part": name, "seconds": seconds, "loaded": loaded})
        return _unpacked(kept, kind)

    stored, cycled, _ = measured
    tables = (
        part("storage", Table, lambda: _stored_table(law, stored, calibration.tolerance)),
        part("cycling", Table, lambda: _cycled_table(law, measured, calibration.tolerance)),
    )
    storage, cycling = jax.tree.map(jnp.asarray, tables)
    evidence = Evidence(stored, cycled, storage, cycling, make.priors)
    effort = Effort(
        calibration.chains,
        calibration.pilot,
        calibration.warmup,
        calibration.draws,
        calibration.fold_draws,
        calibration.fold_moves,
    )
    sampled = part("posterior", Sampled, lambda: sample(law, evidence, effort, calibration.seed))
    folds = _folds(law, evidence, sampled, effort, calibration.seed, store, observe)
    scores = foretold(law, evidence, np.stack([merged(fold.z, fold.log_evidence) for fold in folds]))
    return FittedLaw(law, evidence, sampled, folds, scores)


def _stored_table(law: AgeingLaw, stored: Series, tolerance: float) -> Table:
    cell = build_cell(law.chemistry, tuple(unknown.parameter for unknown in law.stored))
    place = Place(stored.temperature, stored.charge)
    return tabulate(cell, law.stored, place, (STORED,), stored.days, np.arange(len(stored.temperature)), tolerance)


def _cycled_table(law: AgeingLaw, measured: Measured, tolerance: float) -> Table:
    cycled, groups = measured.cycled, conditions(measured.cycled.temperature)
    cell = build_cell(law.chemistry, tuple(unknown.parameter for unknown in law.cycled))
    place, steps = cycled_place(measured)
    made = partial(tabulate, cell, law.run_at, place, steps, cycled.days, groups, tolerance)
    # Of second lives nothing but capacity was measured.
    return made() if cycled.start_soh is None else made(every=_SECOND_LIFE_INTERVAL, quantities=1)


def cycled_place(measured: Measured) -> tuple[Place, tuple[CyclingStep, ...]]:
    """Return where cycled cells are held, a field for each of their temperatures, and what they repeat."""
    cycled, groups = measured.cycled, conditions(measured.cycled.temperature)

    def means(values: np.ndarray) -> np.ndarray:
        return np.array([values[groups == n].mean() for n in range(count_of(groups))])

    celsius = means(cycled.temperature)
    if cycled.start_soh is None:
        steps = cycled_steps(measured.hours)
        return Place(celsius, np.full(len(celsius), steps[1].until_soc)), steps
    # Cells start within five points of their mean: what that makes of their fade, the material lost before takes up.
    return Place(celsius, np.ones(len(celsius)), means(cycled.start_soh)), SECOND_LIFE_STEPS


def _folds(
    law: AgeingLaw,
    evidence: Evidence,
    sampled: Sampled,
    effort: Effort,
    seed: int,
    store: PartStore,
    observe: Observe,
) -> tuple[Moved, ...]:
    """Return the draws without each condition; those that were kept are not made again."""
    began, out = time.perf_counter(), left_out(evidence)
    keys = [f"{law.name}-fold-{number:03d}" for number in range(len(out))]
    parts = {n: kept for n, key in enumerate(keys) if (kept := store.load(key)) is not None}
    missing = [number for number in range(len(out)) if number not in parts]
    for number, found in sample_folds(law, evidence, sampled, out, effort, seed, missing):
        parts[number] = _packed(found)
        store.save(keys[number], parts[number])
        observe("fold", {"law": law.name, "done": len(parts), "folds": len(out)})
    seconds = round(time.perf_counter() - began, 3)
    observe("part", {"law": law.name, "part": "folds", "seconds": seconds, "loaded": not missing})
    return tuple(_unpacked(parts[number], Moved) for number in range(len(out)))


def _packed(values: Any) -> xr.Dataset:
    """Return a named tuple of arrays as a dataset."""
    fields = ((name, np.asarray(value)) for name, value in zip(values._fields, values, strict=True))
    return xr.Dataset({name: ([f"{name}_{n}" for n in range(value.ndim)], value) for name, value in fields})


def _unpacked(values: xr.Dataset, kind: type[_Fields]) -> _Fields:
    """Return the named tuple of arrays that a dataset holds."""
    fields: Any = (values[field].to_numpy() for field in kind._fields)
    return kind(*fields)
