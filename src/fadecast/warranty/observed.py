"""What the insurer can see of a fade forecast: the border check, the failed packs, the measured quantity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from fadecast.outcome import Outcome
from fadecast.variables import VARIABLES
from fadecast.warranty.contract import Contract
from fadecast.warranty.remedies import Array

_DIMS = ("draw", "pack", "time")
_MEASURES = ("retention", "soh")
_SAME_TIME = 1e-6
"""A forecast that ends this much before the term still covers it [year]: half a minute, rounding of dates."""
_BLOCK = 2**23
"""Numbers of one variable read at once (64 MB): the forecast is read draw by draw, never as a whole."""
_PART = 2**20
"""Numbers of one variable in a block (8 MB): what is worked out from it stays in the cache of a processor."""


@dataclass(frozen=True)
class Block:
    """Some draws of a fade forecast in memory; a pack at the end of its life counts as 0 from then on."""

    draws: slice
    """Which draws."""
    retention: Float[Array, "draw pack time"]
    """Capacity over capacity at start of service; NaN where the run failed."""
    soh: Float[Array, "draw pack time"]
    """Capacity over first-life nameplate capacity; NaN where the run failed."""
    exhausted: Bool[np.ndarray, "draw pack"]
    """Packs that could no longer be charged: the end of their life, not of the run."""
    further: Mapping[str, Float[Array, "draw pack time"]] = field(default_factory=dict)
    """What the terms need beside, by the names of `fadecast.variables`; NaN after the end of a pack."""

    def measured(self, contract: Contract) -> Float[Array, "draw pack time"]:
        """Return what a contract measures [fraction of base energy]."""
        return self.retention if contract.measure == "retention" else self.soh

    def power(self, resistance: Float[Array, "draw pack"]) -> Float[Array, "draw pack"]:
        """Return the power that packs have left, by their resistance [ohm], over that at the start [1]."""
        left = self.further["resistance"][:, :, 0] / resistance
        # A pack at the end of its life has no resistance, and no power.
        return np.where(self.exhausted & np.isnan(left), 0.0, left)

    @cached_property
    def throughput(self) -> Float[Array, "draw pack time"]:
        """Charge passed [A.h]: a pack at the end of its life passes no more."""
        return self._held("charge_throughput")

    @cached_property
    def unserved(self) -> Float[Array, "draw pack time"]:
        """Energy asked for and not delivered [kW.h]: nothing more is asked of a pack at the end of its life."""
        return self._held("energy_unserved")

    def _held(self, name: str) -> Float[Array, "draw pack time"]:
        given = self.further[name]
        return np.where(self.exhausted[..., None], np.fmax.accumulate(given, axis=2), given)

    def full_cycles(self, throughput: Float[Array, "draw pack"]) -> Float[Array, "draw pack"]:
        """Return the equivalent full cycles of first-life nameplate of a charge passed [A.h]."""
        nominal = self.further["capacity"][:, :, 0] / self.soh[:, :, 0]
        return np.asarray(throughput / (2.0 * nominal))


def check_fade(fade: xr.Dataset, last_year: float, needs: Sequence[str] = ()) -> xr.Dataset:
    """Return the part of a fade dataset that pricing needs, in the order draw, pack, time.

    Values are not read here: `blocks` checks them as they come.

    Parameters
    ----------
    fade
        `retention` and `soh` on `draw`, `pack`, `time`, in any order, `time` in units `year`; `outcome` on
        `draw`, `pack`, `pack_weight` and `duty_draw` on `draw`, if there are any. Anything else is ignored.
    last_year
        Time that the forecast must reach [year].
    needs
        Variables that the terms need beside retention and soh.

    Raises
    ------
    ValueError
        On a missing variable or dimension, foreign units, an empty dimension, or a time axis that does not
        rise from 0 to `last_year`.
    """
    for name in (*_MEASURES, *needs):
        if name not in fade:
            needed = (*_MEASURES, *needs)
            raise ValueError(f"fade has no variable {name!r}, only {_names(fade.data_vars)}; pricing needs {needed}")
        if set(fade[name].dims) != set(_DIMS):
            raise ValueError(
                f"{name!r} has dims {fade[name].dims}, expected {_DIMS} in any order: rename or reduce them"
            )
        if not fade[name].size:
            raise ValueError(f"{name!r} is empty: {dict(fade[name].sizes)}; pricing needs a draw, a pack and two times")
        units = VARIABLES[name].units
        if fade[name].attrs.get("units", units) != units:
            what = "convert it to a fraction" if units == "1" else "convert it"
            raise ValueError(f"{name!r} is in {fade[name].attrs['units']!r}, expected {units!r}: {what}")
    _check_time(fade, last_year)
    _check_shared(fade)
    wanted = [*_MEASURES, *needs, *(["outcome"] if "outcome" in fade else [])]
    plain = fade[wanted].reset_coords(drop=True).transpose(*_DIMS, missing_dims="ignore")
    if "outcome" in plain and plain["outcome"].dims != _DIMS[:2]:
        raise ValueError(f"'outcome' has dims {plain['outcome'].dims}, expected {_DIMS[:2]}: one code per pack")
    return plain


def clusters(fade: xr.Dataset) -> Int[np.ndarray, " draw"]:
    """Return a number of each draw, the same for those that share their year of weather and workload."""
    shared = _values(fade["duty_draw"]) if "duty_draw" in fade else np.arange(fade.sizes["draw"])
    return np.asarray(np.unique(shared, return_inverse=True)[1])


def _names(names: object) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"  # type: ignore[call-overload]


def _check_shared(fade: xr.Dataset) -> None:
    """Check what says for how many packs each stands, and which draws share their weather."""
    if "pack_weight" in fade:
        weight = _values(fade["pack_weight"])
        if weight.ndim or weight.dtype.kind not in "fiu" or not (np.isfinite(weight) and weight > 0.0):
            raise ValueError(f"pack_weight is {weight}; expected one number above 0: packs that each stands for")
    if "duty_draw" in fade and fade["duty_draw"].dims != _DIMS[:1]:
        raise ValueError(f"duty_draw has dims {fade['duty_draw'].dims}, expected {_DIMS[:1]}: one number per draw")


def _check_time(fade: xr.Dataset, last_year: float) -> None:
    if "time" not in fade.coords:
        raise ValueError("fade has no coordinate 'time': add the times of the forecast, with attrs units='year'")
    time = fade["time"]
    if time.attrs.get("units") != "year" or time.dtype.kind not in "fiu":
        raise ValueError(
            f"time is {time.dtype} in units {time.attrs.get('units')!r}, expected numbers in units 'year': "
            "convert it and set fade.time.attrs['units'] = 'year'"
        )
    years = time.values
    if abs(years[0]) > _SAME_TIME:
        raise ValueError(f"time starts at {years[0]:g} year, expected 0: base energy is that at start of service")
    if not np.all(np.diff(years) > 0):
        raise ValueError(f"time is not rising at index {int(np.argmin(np.diff(years) > 0)) + 1}: sort it, drop repeats")
    if years[-1] < last_year - _SAME_TIME:
        raise ValueError(
            f"the forecast ends after {years[-1]:g} years, the contract after {last_year:g}: forecast longer "
            "or shorten contract.term_years"
        )


def blocks(fade: xr.Dataset) -> Iterator[Block]:
    """Read a checked fade dataset a few draws at a time.

    Raises
    ------
    ValueError
        If a finite value is outside the range that `fadecast.variables` declares.
    """
    for draws in spans(fade):
        yield from read_blocks(fade, draws)


def read_blocks(fade: xr.Dataset, draws: slice) -> Iterator[Block]:
    """Read some draws of a checked fade dataset, see `blocks`, which says what is raised."""
    part = fade.isel(draw=draws)
    values = {str(name): _values(part[name]) for name in part.data_vars}
    ends = [outcome for outcome in Outcome if outcome.end_of_life]
    ended = np.isin(values.pop("outcome"), ends) if "outcome" in values else np.zeros(part["soh"].shape[:2], dtype=bool)
    for name, stored in values.items():
        _check_values(name, stored)
    step = max(1, _PART // values["soh"][0].size)
    for first in range(0, len(ended), step):
        some = slice(first, first + step)
        held, exhausted = {name: _by_time(stored[some]) for name, stored in values.items()}, ended[some]
        retention, soh = (held.pop(name) for name in _MEASURES)
        if exhausted.any():
            for measure in (retention, soh):
                measure[:, :, 1:][exhausted[:, :, None] & np.isnan(measure[:, :, 1:])] = 0.0
        begin = draws.start + first
        yield Block(slice(begin, begin + len(soh)), retention=retention, soh=soh, exhausted=exhausted, further=held)


def spans(fade: xr.Dataset) -> list[slice]:
    """Return which draws of a checked fade dataset are read together."""
    step = max(1, _BLOCK // (fade.sizes["pack"] * fade.sizes["time"]))
    return [slice(first, first + step) for first in range(0, fade.sizes["draw"], step)]


def _by_time(stored: np.ndarray) -> Float[Array, "draw pack time"]:
    """Return a copy in which the packs of one time lie side by side, for they are looked at time by time."""
    return np.array(stored.transpose(2, 0, 1), dtype=np.float64, order="C").transpose(1, 2, 0)


def _check_values(name: str, stored: np.ndarray) -> None:
    if stored.dtype.kind not in "fiu":
        raise ValueError(f"{name!r} is {stored.dtype}; must be numbers")
    low, high = VARIABLES[name].valid_range
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    smallest, largest = (float(extreme.reduce(stored, axis=None)) for extreme in (np.fmin, np.fmax))
    # A resistance of nothing, or without end, says nothing of power.
    beyond = np.isinf(smallest) or np.isinf(largest) or (name == "resistance" and smallest <= 0.0)
    if smallest < low or largest > high or beyond:
        percent = "give fractions, not percent, and " if VARIABLES[name].units == "1" else ""
        raise ValueError(
            f"{name!r} runs from {smallest:g} to {largest:g}, allowed is {low:g} to {high:g}"
            f"{', both exclusive' if beyond else ''}: {percent}mask failed packs with NaN"
        )


def _values(array: xr.DataArray) -> np.ndarray:
    """Return values that may still lie in a file, in which anything can be broken."""
    try:
        return np.asarray(array.values)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{array.name!r} cannot be read ({reason})") from None


def interpolate(
    values: Float[Array, "draw pack time"], time: Float[Array, " time"], year: float
) -> Float[Array, "draw pack"]:
    """Return the values at one time [year], straight between the two times around it.

    At a time of the dataset it is the value there, whatever is missing before or after.
    """
    after = min(int(np.searchsorted(time, year - _SAME_TIME)), time.size - 1)
    if abs(time[after] - year) <= _SAME_TIME:
        return values[:, :, after]
    share = (year - time[after - 1]) / (time[after] - time[after - 1])
    between: Array = (1.0 - share) * values[:, :, after - 1] + share * values[:, :, after]
    return between
