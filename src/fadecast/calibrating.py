"""The calibration file, and what `fadecast calibrate` makes of it: the state of degraded cells from slow curves."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Discriminator, StringConstraints, Tag, model_validator

from fadecast.calibration.bpx_file import bpx_half_cell, bpx_object
from fadecast.calibration.curve_posterior import Priors
from fadecast.calibration.half_cell import HalfCell, Potential, electrode, half_cell, parameter_set_half_cell
from fadecast.calibration.open_circuit import Curve, Electrodes, curve
from fadecast.calibration.pulses import pulse_table
from fadecast.calibration.state_fit import Fit, Sampling, fit_states
from fadecast.calibration.states import MODES, posterior_groups, unknowns
from fadecast.document import Document, shown
from fadecast.errors import InputError
from fadecast.measured.catalogue import MeasuredDataError, names_of
from fadecast.measured.cycler import Table, read_cycling
from fadecast.measured.files import find_measured
from fadecast.measured.slow_curve import Direction, SlowCurve, slow_curve
from fadecast.settings import settings
from fadecast.table_file import read_table
from fadecast.validation import validated

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^$\\\x00-\x1f]*$")]
"""Text without `$` and backslash, which figures take for mathematics."""

_WHOLE = 0.5
"""Share of nominal capacity below which a curve is taken as partial, not as that of a worn cell."""
_MOST_LEFT_OUT = 0.01
"""Share of the rows of a half-cell curve that are left out before it is refused."""

_LOSSES = {
    "lli_since": "Loss of lithium inventory",
    "lam_ne_since": "Loss of negative active material",
    "lam_pe_since": "Loss of positive active material",
}


@settings
class HalfCellFile:
    """Slow curve of a half cell, from empty to full."""

    file: str
    """Path beside the calibration file, `package:NAME/path` or `data:SET/file`: CSV or parquet."""
    charge: str
    """Column of the charge passed, or of the stoichiometry; its ends are taken as 0 and 1."""
    voltage: str
    """Column of the potential against lithium [V]."""


@settings
class ParameterSetHalfCell:
    """Open-circuit potential of a PyBaMM parameter set."""

    parameter_set: str
    """Name of the set."""
    phase: Literal["", "Primary", "Secondary"] = ""
    """Of an electrode of two materials."""
    way: Literal["", "lithiation", "delithiation"] = ""
    """Where the set tells them apart."""


@settings
class BpxHalfCell:
    """Open-circuit potential of a BPX file."""

    bpx: str
    """Path beside the calibration file, `package:NAME/path` or `data:SET/file`: JSON."""
    phase: Literal["", "Primary", "Secondary"] = ""
    """Of an electrode of two materials: the first or the second that the file names."""


def _kind(source: Any) -> str:
    """Tell half cells apart by what they name; tags begin as pydantic's own, which messages leave out."""
    keys = source if isinstance(source, dict) else getattr(source, "__dict__", ())
    return next((f"union[{key}]" for key in ("bpx", "parameter_set") if key in keys), "union[file]")


HalfCellSource = Annotated[
    Annotated[HalfCellFile, Tag("union[file]")]
    | Annotated[ParameterSetHalfCell, Tag("union[parameter_set]")]
    | Annotated[BpxHalfCell, Tag("union[bpx]")],
    Discriminator(_kind),
]


@settings
class HalfCells:
    """Where the open-circuit potentials come from."""

    negative: HalfCellSource
    """Negative electrode, or its first material."""
    positive: HalfCellSource
    """Positive electrode."""
    negative_second: HalfCellSource | None = None
    """Second material of the negative electrode, such as silicon beside graphite."""


@settings
class MeasuredCurve:
    """A slow charge or discharge of a full cell."""

    name: Name
    """Names the curve in results."""
    file: str
    """Path beside the calibration file, `package:NAME/path` or `data:SET/file`."""
    direction: Direction
    """Charge or discharge."""
    where: Mapping[str, str | int | float] | None = None
    """Rows to look at: columns and their values."""
    compared_with: str | None = None
    """Name of the curve that losses are counted from."""


@settings
class PulseTest:
    """Current pulses between rests, of a cell or of one of its electrodes."""

    name: Name
    """Names the test in results."""
    files: Annotated[tuple[str, ...], MinLen(1)]
    """Paths as those of curves, one after the other in time."""
    voltage: str | None = None
    """Column of the potential, in place of the voltage of the table: of one electrode, for its diffusivity."""
    electrode: Literal["cell", "negative", "positive"] = "cell"
    """What the potential is of: that of a negative electrode rises on discharge."""
    radius: Annotated[float, Gt(0.0), Lt(1e-3)] | None = None
    """Of the particles [m]: gives a diffusivity, not a diffusion time alone."""


class Calibration(BaseModel):
    """A calibration: cells, curves and how their states are sampled."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Names the calibration and its folder: letters, digits, `_` and `-`."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Seed of the chains."""
    nominal_capacity: Annotated[float, Gt(0.0), Lt(1e4)]
    """Of the cells [A.h]."""
    voltage_limits: tuple[Annotated[float, Gt(0.0), Lt(5.5)], Annotated[float, Gt(0.0), Lt(5.5)]]
    """Of the empty and the full cell [V]."""
    half_cells: HalfCells
    """Open-circuit potentials."""
    table: Table = Table()
    """How the tables of the curves are laid out."""
    curves: Annotated[tuple[MeasuredCurve, ...], MinLen(1)]
    """Curves to fit, all of cells of one kind."""
    pulses: tuple[PulseTest, ...] = ()
    """Pulses to find resistance and diffusion times from."""
    bpx_parameter_set: str | None = None
    """PyBaMM set whose geometry, transport and kinetics complete each diagnosed cell to a BPX file; null for none."""
    priors: Priors = Priors()
    """What is known beforehand."""
    sampling: Sampling = Sampling()
    """How the posterior is sampled."""

    @model_validator(mode="after")
    def _agrees(self) -> "Calibration":
        problems = []
        if self.voltage_limits[0] >= self.voltage_limits[1]:
            problems.append(f"voltage_limits: got {shown(list(self.voltage_limits))}; must rise: empty, then full")
        count = Counter([*(each.name for each in self.curves), *(each.name for each in self.pulses)])
        problems += [f"curves, pulses: the name {shown(name)} stands twice" for name, n in count.items() if n > 1]
        for number, each in enumerate(self.curves):
            names = [other.name for other in self.curves]
            if each.compared_with is not None and each.compared_with not in names:
                allowed = f"must be one of {', '.join(names)}"
                problems.append(f"curves.{number}.compared_with: got {shown(each.compared_with)}; {allowed}")
        if problems:
            raise ValueError("\n".join(problems))
        return self


@dataclass(frozen=True)
class Calibrated:
    """What was read and found."""

    curves: Mapping[str, SlowCurve]
    """Measured, by name."""
    notes: Mapping[str, tuple[str, ...]]
    """What was chosen and repaired, and what the curve cannot tell, by name."""
    groups: dict[str, xr.Dataset]
    """Posterior and what belongs to it, as groups of an ArviZ file."""
    pulses: Mapping[str, pd.DataFrame]
    """Resistance and diffusion time of each pulse, by the name of the test."""
    cells: Mapping[str, dict[str, Any]]
    """BPX content of each cell, by name, where it was asked for."""
    fit: Fit
    """As sampled."""
    seconds: float
    """Of the fit, compilation included."""


def check_calibration(document: Document) -> Calibration:
    """Return the calibration that a file describes.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    return validated(Calibration, document)


def calibrate(
    calibration: Calibration, document: Document, observe: Callable[[int, str], None] = lambda done, what: None
) -> Calibrated:
    """Read the curves of a calibration and sample the states of their cells.

    Raises
    ------
    InputError
        When a file is not there or not what it should be: names it and the key.
    """
    folder = document.path.resolve().parent
    electrodes = _electrodes(calibration.half_cells, document, folder)
    measured = {}
    for number, each in enumerate(calibration.curves):
        with _Naming(document, f"curves.{number}.file"):
            path = find_measured(each.file, folder)
            table = read_cycling(path, calibration.table, each.where)
            found = slow_curve(table.rows, each.direction, calibration.nominal_capacity, path)
            measured[each.name] = (found, (*found.notes, *table.notes))
    pulses = {each.name: _pulses(calibration, n, document, folder) for n, each in enumerate(calibration.pulses)}
    _check_bpx(calibration, document, electrodes)
    began = time.perf_counter()
    names = list(measured)
    first = [names.index(each.compared_with or each.name) for each in calibration.curves]
    curves = _stacked(calibration, [found for found, _ in measured.values()], first)
    priors, nominal = calibration.priors, calibration.nominal_capacity
    fit = fit_states(electrodes, curves, nominal, priors, calibration.sampling, calibration.seed, observe)
    seconds = time.perf_counter() - began
    for number, name in enumerate(names):
        if not np.isfinite(np.stack([each[number] for each in fit.state])).all():
            raise document.refuse(
                [f"curves.{number}: {name}: no electrodes explain it; check half_cells and capacities"]
            )
    groups = posterior_groups(fit, curves, electrodes, names, first, calibration.voltage_limits)
    said = unknowns(groups, fit, priors, nominal)
    with _Naming(document, "bpx_parameter_set"):
        cells = _cells(calibration, groups, electrodes)
    notes = {name: (*measured[name][1], *said[number]) for number, name in enumerate(names)}
    read = {name: found for name, (found, _) in measured.items()}
    return Calibrated(read, notes, groups, pulses, cells, fit, seconds)


def _pulses(calibration: Calibration, number: int, document: Document, folder: Path) -> pd.DataFrame:
    test = calibration.pulses[number]
    columns = calibration.table.columns
    if columns.time is None:
        raise document.refuse([f"pulses.{number}: pulses need time and current; table.columns.time must name a column"])
    table = replace(calibration.table, columns=replace(columns, voltage=test.voltage or columns.voltage))
    parts: list[pd.DataFrame] = []
    for place, file in enumerate(test.files):
        with _Naming(document, f"pulses.{number}.files.{place}"):
            rows = read_cycling(find_measured(file, folder), table).rows
            if test.electrode == "negative":
                rows["voltage"] = -rows["voltage"]
            if parts and rows["time"].iloc[0] < parts[-1]["time"].iloc[-1]:
                raise MeasuredDataError(f"{file}: begins before the file that it follows ends; must come after it")
            start = parts[-1]["charge"].iloc[-1] if parts else 0.0
            parts.append(rows.assign(charge=rows["charge"] + start))
    # A file may begin with the last row of the one before.
    rows = pd.concat(parts).drop_duplicates("time").reset_index(drop=True)
    found = pulse_table(rows, test.radius)
    if found.empty:
        raise document.refuse([f"pulses.{number}: {test.name}: no steady current between rests; must have a pulse"])
    return found


def _check_bpx(calibration: Calibration, document: Document, electrodes: Electrodes) -> None:
    """Refuse a parameter set that can complete no cell, before hours are spent on fits."""
    if calibration.bpx_parameter_set is not None:
        small = dict.fromkeys(("electrode_capacity_ne", "electrode_capacity_pe"), 0.5 * calibration.nominal_capacity)
        window = {f"stoichiometry_{side}_{end}": 0.5 for side in ("ne", "pe") for end in ("empty", "full")}
        potentials = {"Negative": electrodes.negative, "Positive": electrodes.positive}
        limits, nominal = calibration.voltage_limits, calibration.nominal_capacity
        with _Naming(document, "bpx_parameter_set"):
            bpx_object(calibration.bpx_parameter_set, potentials, small | window, limits, nominal, "", {})


def _cells(calibration: Calibration, groups: Mapping[str, xr.Dataset], electrodes: Electrodes) -> dict[str, Any]:
    if calibration.bpx_parameter_set is None:
        return {}
    means = groups["posterior"].mean(("chain", "draw"))
    potentials = {"Negative": electrodes.negative, "Positive": electrodes.positive}
    limits, nominal = calibration.voltage_limits, calibration.nominal_capacity
    cells = {}
    for name in means.indexes["curve"]:
        state = {str(key): float(value) for key, value in means.sel(curve=name).data_vars.items()}
        reference = str(groups["constant_data"]["compared_with"].sel(curve=name).values)
        losses = {f"{_LOSSES[key]} since {reference}": state[key] for key in MODES if reference != name}
        cells[str(name)] = bpx_object(
            calibration.bpx_parameter_set, potentials, state, limits, nominal, f"{calibration.name}: {name}", losses
        )
    return cells


class _Naming:
    """Turns what is wrong with a measured file into a message that names the key of the calibration."""

    def __init__(self, document: Document, key: str) -> None:
        self.document, self.key = document, key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, MeasuredDataError | OSError | ValueError) and not isinstance(error, InputError):
            raise self.document.refuse([f"{self.key}: {str(error).splitlines()[0]}"]) from None


def _stacked(calibration: Calibration, found: list[SlowCurve], first: list[int]) -> Curve:
    passed = [abs(each.charge[-1] - each.charge[0]) for each in found]
    parts = []
    for number, each in enumerate(found):
        way = 1.0 if calibration.curves[number].direction == "charge" else -1.0
        # A partial curve says nothing of the capacity that is left.
        whole = min(passed[number], passed[first[number]]) > _WHOLE * calibration.nominal_capacity
        lost = max(0.0, 1.0 - passed[number] / passed[first[number]]) if whole else 0.0
        parts.append(curve(each.charge, each.voltage, way, lost))
    return Curve(*(jnp.stack(fields) for fields in zip(*parts, strict=True)))


def _electrodes(half_cells: HalfCells, document: Document, folder: Path) -> Electrodes:
    def material(side: str, source: HalfCellSource) -> HalfCell:
        with _Naming(document, f"half_cells.{side}"):
            if isinstance(source, HalfCellFile):
                return _from_file(source, folder)
            if isinstance(source, BpxHalfCell):
                return bpx_half_cell(find_measured(source.bpx, folder), side.split("_")[0], source.phase)
            return parameter_set_half_cell(source.parameter_set, side.split("_")[0], source.phase, source.way)

    second = half_cells.negative_second
    negative = electrode(
        material("negative", half_cells.negative), material("negative_second", second) if second else None
    )
    positive: Potential = electrode(material("positive", half_cells.positive))
    return Electrodes(negative, positive)


def _from_file(source: HalfCellFile, folder: Path) -> HalfCell:
    path = find_measured(source.file, folder)
    try:
        table = read_table(path)
    except ValueError as error:
        raise MeasuredDataError(f"{path}: {error}") from None
    missing = [name for name in (source.charge, source.voltage) if name not in table]
    if missing:
        raise MeasuredDataError(f"{path}: no column {missing[0]!r}; it has {names_of(table)}")
    columns = table[[source.charge, source.voltage]].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not len(columns):
        raise MeasuredDataError(f"{path}: has no rows")
    sound = np.isfinite(columns).all(axis=1) & (columns[:, 1] > -0.5) & (columns[:, 1] < 5.5)
    if (~sound).mean() > _MOST_LEFT_OUT:
        raise MeasuredDataError(
            f"{path}: {(~sound).mean():.1%} of its rows have no number, or no {source.voltage!r} from -0.5 to 5.5 V; "
            f"must be {_MOST_LEFT_OUT:.0%} at most"
        )
    charge, potential = columns[sound].T
    return half_cell(charge, potential)
