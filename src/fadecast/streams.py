"""Write a dataset larger than memory block by block, as a netCDF-4 file like any other of a run."""

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from fadecast import variables

Block = tuple[Mapping[str, slice], xr.Dataset]
"""Part of a dataset, and where it lies along the dimensions that it has a part of."""


def write_blocks(path: Path, header: xr.Dataset, blocks: Iterable[Block]) -> None:
    """Write a dataset of blocks; the first of them says which variables there are.

    Each block is checked as `fadecast.variables.describe` does; HDF5 chunks are blocks.

    Parameters
    ----------
    path
        File to make; must not be there.
    header
        Coordinates, attributes, and variables that are no part of blocks, described.
    blocks
        In the order of the file.

    Raises
    ------
    fadecast.variables.VariableError
        When a block does not say what is declared of its variables.
    OSError
        When the disk takes no more.
    """
    with _sink(path) as sink, h5netcdf.File(sink, "w") as file:
        file.dimensions = {str(dim): size for dim, size in header.sizes.items()}
        file.attrs.update(header.attrs)
        for name, array in header.variables.items():
            _create(file, str(name), array, {})[...] = array.values
        for where, dataset in blocks:
            sizes = {str(dim): size for dim, size in dataset.sizes.items()}
            for name, values in variables.describe(dataset).data_vars.items():
                if name not in file.variables:
                    _create(file, str(name), values.variable, sizes)
                file.variables[name][block_slices(where, values.dims)] = values.values
            sink.check()


def block_slices(where: Mapping[str, slice], dims: tuple[Hashable, ...]) -> tuple[slice, ...]:
    """Return where a block lies in a variable of the whole."""
    return tuple(where.get(str(dim), slice(None)) for dim in dims)


class _Sink:
    """A file of which HDF5 never hears that it cannot be written.

    HDF5 that is told so when it closes a file leaves objects behind that end the process, later and by a signal. So
    what went wrong is kept, nothing is written from then on, and it is raised when HDF5 is out of the way.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._wrong: OSError | None = None
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._wrong is not None:
            raise self._wrong

    def write(self, content: memoryview) -> int:
        """Write, or keep why not."""
        self._attempt(self._write_all, memoryview(content))
        return len(content)

    def truncate(self, size: int) -> None:
        """Make the file as long as HDF5 thinks that it is."""
        self._attempt(self._file.truncate, size)

    def readinto(self, room: memoryview) -> int:
        """Read; what was not written is zero."""
        found = self._file.readinto(room)
        room[found:] = bytes(len(room) - found)
        return len(room)

    def flush(self) -> None:
        """Nothing is held back."""

    def _write_all(self, left: memoryview) -> None:
        while left:
            left = left[self._file.write(left) :]

    def _attempt(self, change: Callable[[Any], object], argument: object) -> None:
        if self._wrong is None:
            try:
                change(argument)
            except OSError as error:
                self._wrong = error


@contextlib.contextmanager
def _sink(path: Path) -> Iterator[_Sink]:
    with path.open("x+b", buffering=0) as file:
        sink = _Sink(file)
        yield sink
        sink.check()


def _create(file: h5netcdf.File, name: str, array: xr.Variable, block: dict[str, int]) -> h5netcdf.Variable:
    """Create a variable with its attributes, compressed in chunks of a block."""
    sizes = {dim: len(file.dimensions[dim]) for dim in map(str, array.dims)}
    options = {}
    if array.ndim and array.dtype.kind in "fi":
        chunks = tuple(min(block.get(dim, size), size) for dim, size in sizes.items())
        options = {"chunks": chunks, "compression": "gzip", "compression_opts": 4, "shuffle": True}
    fill = np.nan if array.dtype.kind == "f" else None
    made = file.create_variable(name, tuple(sizes), array.dtype, fillvalue=fill, **options)
    made.attrs.update(array.attrs)
    return made
