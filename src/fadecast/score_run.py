"""The score file, and what `fadecast score` makes of it: cells nobody fitted, held against what was measured."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import yaml
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from fadecast.calibration.laws import AgeingLaw, LawName
from fadecast.calibration.makes import MAKES
from fadecast.calibration.rate_tables import laboratory, start_of
from fadecast.calibration.shipped_rates import Condition, Drawn, beside, predict, shares
from fadecast.cell.health import check_up
from fadecast.cell.model import CellModel, build_cell
from fadecast.decades.cycling import Regime, cycles_per_day, follow
from fadecast.decades.macro import Leap
from fadecast.decades.regimes import repeat_of
from fadecast.decades.service import KELVIN
from fadecast.document import Document, shown
from fadecast.figures.scores import draw_scores
from fadecast.files import write_text, write_whole
from fadecast.measured.catalogue import MeasuredDataError, MissingDataError
from fadecast.outcome import Outcome
from fadecast.runs import RunFolder
from fadecast.score_tables import Foretold, forecast_table, score_table
from fadecast.scored_cells import (
    Case,
    CellUnderTest,
    SetName,
    case_of,
    cases_of,
)
from fadecast.validation import validated


class Scoring(BaseModel):
    """A score: cells to forecast, each without knowing of its own condition."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Names the score and its folder: letters, digits, `_` and `-`."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Seed of every random number."""
    draws: Annotated[int, Ge(20), Le(10_000)] = 48
    """Draws of the rates for each cell."""
    sets: tuple[SetName, ...] = ()
    """Measured sets of the catalogue, each condition forecast from all others."""
    cells: tuple[CellUnderTest, ...] = ()
    """Further cells, forecast from all conditions that were fitted."""
    laws: tuple[LawName, ...] = ()
    """Ageing laws to forecast by, drawn by their weights; all where none is named."""
    tolerance: Annotated[float, Gt(0.0), Le(0.05)] = 1e-3
    """Largest estimated error of a macro step in SOH [1]."""

    @model_validator(mode="after")
    def _agrees(self) -> "Scoring":
        problems = []
        if not self.sets and not self.cells:
            problems.append("cells: is empty and so is sets; must name a cell or a set")
        for number, cell in enumerate(self.cells):
            given = [bool(cell.check_up_days), bool(cell.check_up_cycles), cell.measured is not None]
            if not any(given) or (given[0] and given[1]):
                problems.append(
                    f"cells.{number}: {cell.name}: must have check_up_days or check_up_cycles, or be measured"
                )
            if cell.start_soh is not None and not all(law.start for law in MAKES[cell.make].laws.values()):
                problems.append(f"cells.{number}.start_soh: no {MAKES[cell.make].cells} were measured from there")
            if sum(other.name == cell.name for other in self.cells) > 1:
                problems.append(f"cells.{number}.name: {shown(cell.name)} stands twice")
        if problems:
            raise ValueError("\n".join(problems))
        return self


@dataclass(frozen=True)
class Scored:
    """What was forecast, and how it came true."""

    forecast: pd.DataFrame
    """A row for each cell and check-up."""
    scores: pd.DataFrame
    """A row for each cell that was measured and forecast."""
    failed: tuple[str, ...]
    """Why the others were not forecast."""
    seconds: float


_BROKEN = (Outcome.NOT_FINITE, Outcome.STATE_OUT_OF_BOUNDS)
_FEWEST_DRAWS, _LEAST_SHARE = 19, 0.5
"""Draws that must follow the protocol of a cell to its end, for quantiles of 5 %, and their share of all: else what is
left is no forecast of it."""
_READINGS = 16
"""Of what check-ups find beside ageing, for each draw of ageing: they cost next to nothing."""
_REACH, _GRID = 1.1, 40
"""Days forecast over those that the last check-up by cycles takes at the start, and times among them."""


def check_scoring(document: Document) -> Scoring:
    """Return the score that a file describes.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    return validated(Scoring, document)


def run_scoring(
    scoring: Scoring, document: Document, run: RunFolder, observe: Callable[[str], None] = lambda what: None
) -> Scored:
    """Forecast all cells of a score, and write forecasts, scores and figures.

    Raises
    ------
    InputError
        When a measured file is not there or not what it should be; then nothing is written.
    RunError
        When another process works in the folder.
    """
    cases = list(_cases(scoring, document))
    began = time.perf_counter()
    try:
        found = _forecasts(scoring, cases, observe)
    except ValueError as error:
        raise document.refuse([f"cells: {error}"]) from None
    foretold = {case.name: _foretold(case, found[case.name], scoring.draws) for case in cases}
    failed = [_failure(case, foretold[case.name], scoring.draws) for case in cases if not foretold[case.name].followed]
    if len(failed) == len(cases):
        raise document.refuse([f"cells: {'; '.join(failed)}"])
    tables = forecast_table(cases, foretold), score_table(cases, foretold)
    scored = Scored(*tables, tuple(failed), time.perf_counter() - began)
    with run.locked():
        content = yaml.safe_dump(scoring.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
        write_text(run.path / "score.yaml", content)
        for name, table in (("forecast.csv", scored.forecast), ("scores.csv", scored.scores)):
            write_text(run.path / name, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
        figures = run.path / "figures"
        figures.mkdir(exist_ok=True)
        with run.scratch("figures") as scratch:
            for path in draw_scores(scored.forecast, scored.scores, scratch):
                write_whole(figures / path.name, partial(shutil.copyfile, path))
        run.log("score", "done", cells=len(cases), failed=failed, seconds=round(scored.seconds, 3))
    return scored


def _check_steps(cell: CellModel, cases: Sequence[Case]) -> None:
    """Refuse a protocol that leads nowhere before any is forecast."""
    for case in cases:
        soc = jnp.full((1, 1), case.start_soc)
        try:
            repeat_of(cell, case.steps, soc, jnp.full_like(soc, cell.nominal_capacity))
        except ValueError as error:
            raise ValueError(f"{case.name}: {error}") from None


def _cases(scoring: Scoring, document: Document) -> Iterator[Case]:
    for number, name in enumerate(scoring.sets):
        try:
            yield from cases_of(name)
        except (MissingDataError, MeasuredDataError) as error:
            raise document.refuse([f"sets.{number}: {error}"]) from None
    for number, cell in enumerate(scoring.cells):
        yield case_of(cell, document, f"cells.{number}")


class _Forecast(NamedTuple):
    """Draws of one cell under one law at its check-ups; days and cycles `(check-ups, draws)`."""

    days: np.ndarray
    cycles: np.ndarray
    retention: np.ndarray
    """As read at check-ups, some readings of each draw: `(check-ups, draws, readings)`."""


def _foretold(case: Case, parts: Sequence[_Forecast], draws: int) -> Foretold:
    """Put draws of all laws together."""
    days, cycles, retention = (np.concatenate([part[n] for part in parts], axis=1) for n in range(3))
    if days.shape[1] >= max(_FEWEST_DRAWS, _LEAST_SHARE * draws):
        return Foretold(np.median(days, axis=1), np.median(cycles, axis=1), retention, followed=True)
    asked = [given if len(given) else np.full(len(days), np.nan) for given in (case.days, case.cycles)]
    return Foretold(asked[0], asked[1], retention, followed=False)


def _failure(case: Case, foretold: Foretold, draws: int) -> str:
    lost = draws - foretold.retention.shape[1]
    what = "follow the protocol to its end" if case.start_soh is None else "start so, or not follow to the end"
    return f"{case.name}: {lost} of {draws} draws cannot {what}"


def _forecasts(scoring: Scoring, cases: Sequence[Case], observe: Callable[[str], None]) -> dict[str, list[_Forecast]]:
    """Forecast all cells under each law that has a share of the draws."""
    found: dict[str, list[_Forecast]] = {case.name: [] for case in cases}
    of_makes = {case.make: shares(scoring.draws, scoring.laws, case.make) for case in cases}
    for make, of_laws in of_makes.items():
        alike = [case for case in cases if case.make == make]
        for name, draws in of_laws.items():
            law = MAKES[make].laws[name]
            cell = build_cell(law.chemistry, tuple(unknown.parameter for unknown in law.cycled))
            _check_steps(cell, alike)
            for steps, new in dict.fromkeys((case.steps, case.start_soh is None) for case in alike):
                batch = [case for case in alike if case.steps == steps and (case.start_soh is None) == new]
                some = f"{', '.join(case.name for case in batch[:3])}{' ...' if len(batch) > 3 else ''}"
                observe(f"{make}, {name}, {draws} draws, {len(batch)} cells: {some}")
                for case, forecast in zip(batch, _forecast(cell, law, draws, scoring, batch), strict=True):
                    found[case.name].append(forecast)
    return found


def _forecast(
    cell: CellModel, law: AgeingLaw, draws: int, scoring: Scoring, batch: Sequence[Case]
) -> Iterator[_Forecast]:
    """Forecast cells of one make under the same steps by one law."""
    count, make = len(batch), batch[0].make

    def lanes(values: Sequence[float]) -> jax.Array:
        return jnp.repeat(jnp.asarray(values, float), draws)[None]

    soc, ambient = lanes([case.start_soc for case in batch]), lanes([case.ambient + KELVIN for case in batch])
    nominal = jnp.full_like(soc, cell.nominal_capacity)
    repeat = repeat_of(cell, batch[0].steps, soc, nominal)
    mean = np.asarray(repeat.mean_state_of_charge)[0, ::draws]
    passes = np.asarray(repeat.low_passes / jnp.maximum(repeat.full_cycles, 1e-9))[0, ::draws]
    rests = all(step.rest for step in batch[0].steps)
    aged = batch[0].start_soh is not None
    conditions = [
        Condition(case.ambient, float(mean[n]), rests, float(passes[n]), aged) for n, case in enumerate(batch)
    ]
    predicted = [
        predict(law.name, where, case.without, draws, _generator(scoring.seed, f"{case.name}/{law.name}"), make)
        for case, where in zip(batch, conditions, strict=True)
    ]
    inputs = {
        unknown.parameter: unknown.centre
        * jnp.asarray(np.concatenate([each.multiples[unknown.parameter] for each in predicted]))[None]
        for unknown in law.fitted
    }
    operation = laboratory(cell)
    regime = Regime(soc, ambient, lambda capacity: repeat_of(cell, batch[0].steps, soc, capacity).instructions)
    start_soh = np.repeat([case.start_soh for case in batch], draws) if aged else None
    slow, inputs, met = start_of(cell, inputs, start_soh, count * draws)
    start = np.where(met, cycles_per_day(operation, slow, inputs, regime), np.nan).reshape(count, draws)
    times = _times(batch, start)
    history = follow(operation, Leap(tolerance=scoring.tolerance), slow, inputs, regime, times)
    capacity = np.stack(
        [np.asarray(_capacity(cell, _row(history.service.slow, n), inputs))[0] for n in range(len(times))]
    )
    retention = (capacity / capacity[0]).reshape(len(times), count, draws)
    throughput = np.asarray(history.service.throughput)[:, 0].reshape(len(times), count, draws)
    cycles = throughput / (2.0 * cell.nominal_capacity)
    by_days = np.array([[not len(case.cycles)] for case in batch])
    sound = (met & ~np.isin(history.outcome, _BROKEN)).reshape(count, draws) & (by_days | (start > 0.0))
    for n, case in enumerate(batch):
        kept = sound[n]
        common = {name: values[kept] for name, values in predicted[n].common.items()}
        drawn = Drawn(predicted[n].multiples, common)
        rng = _generator(scoring.seed, f"{case.name}/{law.name}/beside")
        yield _at_check_ups(case, conditions[n], times, cycles[:, n, kept], retention[:, n, kept], drawn, rng)


def _times(batch: Sequence[Case], cycles_per_day: np.ndarray) -> np.ndarray:
    """Return the times of all check-ups of a batch; where they are by cycles, a grid that reaches the last of them."""
    days = [case.days for case in batch]
    for case, rates in zip(batch, cycles_per_day, strict=True):
        passing = rates[rates > 0.0]
        if len(case.cycles) and len(passing):
            # As cells fade a repeat passes less charge and takes less time; a tenth more covers what does not cancel.
            days.append(np.linspace(0.0, _REACH * case.cycles[-1] / passing.min(), _GRID))
        elif len(case.cycles) and np.isfinite(rates).any():
            raise ValueError(f"{case.name}: the protocol passes no charge; give check_up_days, not check_up_cycles")
    # Where no draw can begin, a day tells as much as any time.
    return np.unique(np.concatenate([[0.0], *days])) if any(map(len, days)) else np.array([0.0, 1.0])


def _at_check_ups(
    case: Case,
    condition: Condition,
    times: np.ndarray,
    cycles: np.ndarray,
    retention: np.ndarray,
    drawn: Drawn,
    rng: np.random.Generator,
) -> _Forecast:
    """Read a forecast at the check-ups of a cell, with what they find beside ageing."""
    if not (draws := retention.shape[1]):
        none = np.empty((max(len(case.cycles), len(case.days)), 0, _READINGS))
        return _Forecast(none[..., 0], none[..., 0], none)
    if len(case.cycles):
        found = np.stack([np.interp(case.cycles, cycles[:, d], retention[:, d]) for d in range(draws)], axis=1)
        days = np.stack([np.interp(case.cycles, cycles[:, d], times) for d in range(draws)], axis=1)
        at = np.tile(case.cycles[:, None], draws)
    else:
        rows = np.searchsorted(times, case.days)
        found, days, at = retention[rows], np.tile(case.days[:, None], draws), cycles[rows]
    middle = np.median(days, axis=1), np.median(at, axis=1)
    often = drawn._replace(common={name: np.repeat(values, _READINGS) for name, values in drawn.common.items()})
    beyond = beside(often, condition, *middle, int(case.check_ups_age), rng, case.make)
    return _Forecast(days, at, found[..., None] + beyond.reshape(*found.shape, _READINGS))


def _generator(seed: int, stream: str) -> np.random.Generator:
    return np.random.default_rng([seed, *stream.encode()])


def _row(slow: object, number: int) -> object:
    return jax.tree.map(lambda value: jnp.asarray(value[number]), slow)


@partial(jax.jit, static_argnums=0)
def _capacity(cell: CellModel, slow: object, inputs: dict[str, jax.Array]) -> jax.Array:
    return check_up(cell, slow, inputs).capacity  # type: ignore[arg-type]
