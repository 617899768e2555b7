"""Several forecasts under one contract, as one: fleets side by side, or one fleet under models of which one is true."""

import json
import zlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Int
from xarray.backends import BackendArray
from xarray.core import indexing

_DIMS = ("draw", "pack", "time")
_RATES = ("rates", "rate_posterior")
_MIXED = zlib.crc32(b"which forecast a draw follows")


def joined(fades: Sequence[xr.Dataset]) -> xr.Dataset:
    """Put the packs of several forecasts next to each other; their values are read when they are needed.

    What draws have in common (weather, workload) must be the same in all, as it is for studies of one seed: draw i of
    the result is draw i of each. What packs have alone should not (`population.own_seed`).

    Parameters
    ----------
    fades
        Fade datasets of as many draws, at the same times, whose packs stand for as many.

    Returns
    -------
    What they all hold of each pack, and what they all say alike of draws.

    Raises
    ------
    ValueError
        When their draws, times or weights differ, or what weather and workload of their draws hang on; says which.
    """
    if any("outcome" in fade for fade in fades):
        fades = [_with_outcome(fade) for fade in fades]
    first = fades[0]
    for number, other in enumerate(fades[1:], start=2):
        _refuse_others(first, other, f"forecast {number}")
    common = [name for name in first.data_vars if all(name in other for other in fades)]
    by_pack = [name for name in common if "pack" in first[name].dims and set(first[name].dims) <= set(_DIMS)]
    result = first[[name for name in common if "pack" not in first[name].dims]].drop_dims("pack", errors="ignore")
    result = result.drop_vars([name for name, of in result.data_vars.items() if not set(of.dims) <= {"draw"}])
    for name in by_pack:
        parts = [fade[name].transpose(*_DIMS, missing_dims="ignore").variable for fade in fades]
        lazy = indexing.LazilyIndexedArray(_Joined(parts))
        result[name] = xr.Variable(parts[0].dims, lazy, first[name].attrs)
    return result.assign_coords({name: first[name] for name in ("draw", "time") if name in first.coords})


def mixed(fades: Sequence[xr.Dataset], weights: Sequence[float], seed: int) -> xr.Dataset:
    """Let each draw of one fleet follow one of several forecasts of it: which ageing law holds is not known either.

    Of a forecast as many draws are taken as its weight says, to the nearest whole number, and which is left to chance:
    in order, laws could go with years of weather. Values are read when they are needed.

    Parameters
    ----------
    fades
        Forecasts of the same packs and draws, as of studies that differ in `cell` only.
    weights
        Of the forecasts, in any unit.
    seed
        Of the choice.

    Returns
    -------
    What they all hold, and `forecast` on `draw`: the number of the forecast that each draw follows, from 0.

    Raises
    ------
    ValueError
        When weights are not one number of at least 0 for each forecast and above 0 for one; or when draws, times, packs
        or their weights differ, or what weather and workload of their draws hang on.
    """
    if len(weights) != len(fades) or not np.isfinite(weights).all() or min(weights) < 0.0 or not sum(weights):
        raise ValueError(
            f"weights are {list(weights)} for {len(fades)} forecasts: each needs one, of at least 0, and one above 0"
        )
    if any("outcome" in fade for fade in fades):
        fades = [_with_outcome(fade) for fade in fades]
    first = fades[0]
    for number, other in enumerate(fades[1:], start=2):
        _refuse_others(first, other, f"forecast {number}")
        packs = [fade.sizes.get("pack") for fade in (first, other)]
        if packs[0] != packs[1]:
            raise ValueError(f"forecast {number} has {packs[1]} packs, the first has {packs[0]}: must be of one fleet")
        if (key := _differs(_fleet(first), _fleet(other))) is not None:
            raise ValueError(f"forecast {number} was made with another {key} than the first: its packs are others")
    ends = np.round(np.cumsum([0.0, *weights]) / sum(weights) * first.sizes.get("draw", 0)).astype(int)
    followed = np.repeat(np.arange(len(fades)), np.diff(ends))
    followed = np.random.default_rng([seed, _MIXED]).permutation(followed)
    kept = [name for name in first.data_vars if all(_alike(first, fade, name) for fade in fades[1:])]
    result = first[kept]
    for name in (name for name in kept if "draw" in first[name].dims):
        dims = ("draw", *(dim for dim in first[name].dims if dim != "draw"))
        parts = [fade[name].transpose(*dims).variable for fade in fades]
        lazy = indexing.LazilyIndexedArray(_Followed(parts, followed))
        result[name] = xr.Variable(dims, lazy, first[name].attrs)
    return result.assign(forecast=("draw", followed))


def _fleet(fade: xr.Dataset) -> dict[str, Any]:
    """Return what packs are drawn by, beside their rates, as far as a forecast says."""
    population = json.loads(fade.attrs.get("study", "{}")).get("population", {})
    return {f"population.{key}": value for key, value in population.items() if key not in _RATES}


def _differs(first: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    return next((key for key in first.keys() & other.keys() if first[key] != other[key]), None)


def _alike(first: xr.Dataset, other: xr.Dataset, name: Hashable) -> bool:
    return name in other and first[name].sizes == other[name].sizes


def _with_outcome(fade: xr.Dataset) -> xr.Dataset:
    """Return a forecast that says how packs ended; one that does not is of packs that did not end."""
    if "outcome" in fade:
        return fade
    return fade.assign(outcome=xr.zeros_like(fade["soh"].isel(time=0, drop=True), dtype=np.int8))


def _shared(fade: xr.Dataset) -> dict[str, Any]:
    """Return what weather and workload of the draws hang on, as far as a forecast says."""
    study = json.loads(fade.attrs.get("study", "{}"))
    duty = study.get("duty", {})
    held = {key: study[key] for key in ("seed", "site") if key in study}
    return held | {f"duty.{key}": duty[key] for key in ("service", "workload", "distinct_years") if key in duty}


def _refuse_others(first: xr.Dataset, other: xr.Dataset, name: str) -> None:
    for dim in ("draw", "time"):
        sizes = [fade.sizes.get(dim) for fade in (first, other)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"{name} has {sizes[1]} of {dim}, the first has {sizes[0]}: they must be the same")
    if (key := _differs(_shared(first), _shared(other))) is not None:
        raise ValueError(f"{name} was made with another {key} than the first: its draws have other weather or workload")
    for key, why in (
        ("time", "they must end and be looked at together"),
        ("pack_weight", "packs must stand for as many"),
        ("duty_draw", "draws must have the same weather and workload"),
    ):
        values = [fade[key].values for fade in (first, other) if key in fade]
        if len(values) == 1 or (values and not np.allclose(values[0], values[1], rtol=0.0, atol=1e-9)):
            raise ValueError(f"{name} has another {key} than the first: {why}")
    units = [fade["time"].attrs.get("units") if "time" in fade else None for fade in (first, other)]
    if units[0] != units[1]:
        raise ValueError(f"{name} has time in {units[1]!r}, the first in {units[0]!r}: they must be the same")


class _Joined(BackendArray):
    """Variables one after the other along packs, read when asked."""

    def __init__(self, parts: Sequence[xr.Variable]) -> None:
        self.parts, self.axis = parts, parts[0].dims.index("pack")
        shape = list(parts[0].shape)
        shape[self.axis] = sum(part.shape[self.axis] for part in parts)
        self.shape, self.dtype = tuple(shape), np.result_type(*(part.dtype for part in parts))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        # Of what is asked of draws and times all packs are read: pricing goes draw by draw.
        asked: list[slice] = []
        left: list[int | slice] = []
        for dim, index in enumerate(key):
            if dim == self.axis:
                asked.append(slice(None))
                left.append(index)
            elif isinstance(index, slice):
                asked.append(index)
                left.append(slice(None))
            else:
                asked.append(slice(int(index), int(index) + 1))
                left.append(0)
        values = np.concatenate([np.asarray(part[tuple(asked)].values) for part in self.parts], axis=self.axis)
        return np.asarray(values[tuple(left)])


class _Followed(BackendArray):
    """Variables of the same shape, of which each draw is read from one."""

    def __init__(self, parts: Sequence[xr.Variable], followed: Int[np.ndarray, " draw"]) -> None:
        self.parts, self.followed = parts, followed
        self.shape, self.dtype = parts[0].shape, np.result_type(*(part.dtype for part in parts))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        draws, rest = np.arange(self.shape[0])[key[0]], key[1:]
        if not draws.ndim:
            return self._of(int(draws), rest)
        if not draws.size:
            return np.asarray(self.parts[0][key].values)
        return np.stack([self._of(draw, rest) for draw in draws])

    def _of(self, draw: int, rest: tuple[int | slice, ...]) -> np.ndarray:
        return np.asarray(self.parts[self.followed[draw]][(draw, *rest)].values)
