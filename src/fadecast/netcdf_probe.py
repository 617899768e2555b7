"""Look through an HDF5 file as whoever opens it will; run as a program of its own by `fadecast.netcdf_file`.

A broken file can keep HDF5 2.0 for ever, as a global heap with an object of no size does, or bring the process down.
That is for this process to find out. What Python can catch is left for the one that opens the file to say.
"""

import contextlib
import resource
import sys
from pathlib import Path

import h5py  # type: ignore[import-untyped]

_SECONDS = 10
"""Of the processor; opening takes milliseconds."""
_SMALL = 20_000_000
"""Bytes of a file whose values are looked at too."""
_MOST = 100_000_000
"""Bytes of one variable in memory."""


def look_through(path: Path) -> None:
    """Read all names, attributes and dimensions of a file, and the values of a small one."""
    small = path.stat().st_size <= _SMALL

    def look(name: str, item: h5py.HLObject) -> None:
        for key in list(item.attrs):
            with contextlib.suppress(Exception):
                item.attrs[key]
        if isinstance(item, h5py.Dataset):
            with contextlib.suppress(Exception):
                [list(dim.items()) for dim in item.dims]
            with contextlib.suppress(Exception):
                if small and item.nbytes <= _MOST and not item.external:
                    item[()]

    with contextlib.suppress(Exception), h5py.File(path, "r") as file:
        look("/", file)
        file.visititems(look)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    look_through(Path(sys.argv[1]))
