"""Write a dataset larger than memory block by block, as a netCDF-4 file like any other of a run."""

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

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
    """
    with h5netcdf.File(path, "w") as file:
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


def block_slices(where: Mapping[str, slice], dims: tuple[Hashable, ...]) -> tuple[slice, ...]:
    """Return where a block lies in a variable of the whole."""
    return tuple(where.get(str(dim), slice(None)) for dim in dims)


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
