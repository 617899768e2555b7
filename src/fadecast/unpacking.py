"""Read compressed variables of a netCDF-4 file on several threads at once.

HDF5 lets one thread in at a time and unpacks while it is inside, which is most of the time that reading takes. Here
HDF5 only fetches chunks as they are stored, and each thread unpacks its own.
"""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

_SHUFFLED_DEFLATED = [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]


def unpacked_outside(dataset: xr.Dataset, path: Path) -> xr.Dataset:
    """Return a dataset, opened from this file, whose variables are unpacked outside HDF5; values are the same.

    This is for floats that are stored as they are and packed as fadecast packs them: bytes shuffled, then deflated.
    Others stay with HDF5.
    """
    with h5py.File(path, "r") as file:
        for name in dataset.data_vars:
            variable, stored = dataset[name].variable, file.get(str(name))
            if isinstance(stored, h5py.Dataset) and stored.dtype == variable.dtype and _is_packed(stored):
                lazy = indexing.MemoryCachedArray(indexing.LazilyIndexedArray(_Packed(path.resolve(), stored)))
                dataset[name] = xr.Variable(variable.dims, lazy, variable.attrs, variable.encoding)
    return dataset


def _is_packed(stored: h5py.Dataset) -> bool:
    pipeline = stored.id.get_create_plist()
    filters = [pipeline.get_filter(number)[0] for number in range(pipeline.get_nfilters())]
    fill = np.asarray(stored.attrs.get("_FillValue", np.nan))
    masked = "missing_value" in stored.attrs or fill.dtype.kind != "f" or not np.isnan(fill).all()
    scaled = "scale_factor" in stored.attrs or "add_offset" in stored.attrs
    if stored.dtype.kind != "f" or filters != _SHUFFLED_DEFLATED or masked or scaled:
        return False
    # What was never written has no chunk, and is HDF5's to fill.
    every = math.prod(-(-size // chunk) for size, chunk in zip(stored.shape, stored.chunks, strict=True))
    return bool(stored.id.get_num_chunks() == every)


class _Packed(BackendArray):
    """A variable of a file of which all chunks are there, shuffled and deflated."""

    def __init__(self, path: Path, stored: h5py.Dataset) -> None:
        self.path, self.name = path, stored.name
        self.shape, self.dtype, self.chunks = stored.shape, stored.dtype, stored.chunks

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        whole = [range(size) for size in self.shape]
        asked = [some[index] for some, index in zip(whole, key, strict=True) if isinstance(index, slice)]
        with h5py.File(self.path, "r") as file:
            stored = file[self.name]
            if len(asked) < len(key) or not all(some and some.step == 1 for some in asked):
                return np.asarray(stored[key])
            values = np.empty([len(some) for some in asked], self.dtype)
            for part in stored.iter_chunks(tuple(slice(some.start, some.stop) for some in asked)):
                first = tuple(at.start - at.start % size for at, size in zip(part, self.chunks, strict=True))
                skipped, packed = stored.id.read_direct_chunk(first)
                # HDF5 keeps a chunk as it is where packing makes it no smaller.
                found = stored[part] if skipped else self._unpacked(packed)[_less(part, first)]
                values[_less(part, [some.start for some in asked])] = found
        return values

    def _unpacked(self, packed: bytes) -> np.ndarray:
        """Return the values of a chunk: first bytes of all of them come first, then all second ones."""
        shuffled = zlib.decompress(packed, bufsize=math.prod(self.chunks) * self.dtype.itemsize)
        by_place = np.frombuffer(shuffled, np.uint8).reshape(self.dtype.itemsize, -1)
        return np.stack(list(by_place), axis=1).view(self.dtype).reshape(self.chunks)


def _less(part: tuple[slice, ...], origin: Sequence[int]) -> tuple[slice, ...]:
    """Return where a part lies, counted from an origin."""
    return tuple(slice(at.start - first, at.stop - first) for at, first in zip(part, origin, strict=True))
