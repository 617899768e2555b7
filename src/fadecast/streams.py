"""Write a dataset larger than memory block by block, as a netCDF-4 file like any other of a run."""

from collections.abc import Iterable
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.fade import Block, block_slices


def write_blocks(path: Path, header: xr.Dataset, blocks: Iterable[Block]) -> None:
    """Write a fade dataset of blocks; the first of them says which variables there are.

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
        for block in blocks:
            described = variables.describe(block.dataset)
            for name, values in described.data_vars.items():
                if name not in file.variables:
                    _create(
                        file, str(name), values.variable, {str(dim): size for dim, size in block.dataset.sizes.items()}
                    )
                file.variables[name][block_slices(block, values.dims)] = values.values


def _create(file: h5netcdf.File, name: str, array: xr.Variable, block: dict[str, int]) -> h5netcdf.Variable:
    """Create a variable with its attributes, compressed in chunks of a block."""
    sizes = {dim: len(file.dimensions[dim]) for dim in map(str, array.dims)}
    options = {}
    if array.ndim and array.dtype.kind in "fi":
        chunks = tuple(min(block.get(dim, 1 if dim == "site" else size), size) for dim, size in sizes.items())
        options = {"chunks": chunks, "compression": "gzip", "compression_opts": 4, "shuffle": True}
    fill = np.nan if array.dtype.kind == "f" else None
    made = file.create_variable(name, tuple(sizes), array.dtype, fillvalue=fill, **options)
    made.attrs.update(array.attrs)
    return made
