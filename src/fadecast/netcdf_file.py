"""Datasets from anywhere: what HDF5 and the libraries on top of it make of a broken file becomes one kind of error."""

import contextlib
import subprocess
import sys
import traceback
from functools import lru_cache
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import xarray as xr

_PROBE = Path(__file__).with_name("netcdf_probe.py")
_PATIENCE = 600.0
"""Seconds of a busy machine until a probe is given up, which has a limit of its own to its time of the processor."""
_MOST_VARIABLES = 500
"""Opening takes a hundredth of a second for each."""
_MOST_GROWING = 100
"""Where a dimension can grow, h5netcdf asks all variables how long it is, once more for each of them."""


def open_foreign(path: Path, group: str | None = None) -> xr.Dataset:
    """Open a netCDF-4 file, or a group of it; variables are read when they are needed.

    Raises
    ------
    OSError
        When there is no such file.
    ValueError
        When it is no netCDF-4, or nothing that xarray understands; says why, and not which file.
    """
    state = path.stat()
    if not _comes_back(path, state.st_mtime_ns, state.st_size):
        raise ValueError("cannot be read as netCDF-4 (the file is broken: HDF5 does not come back from it)")
    try:
        _check_content(path, group)
        return xr.open_dataset(path, group=group, engine="h5netcdf", decode_timedelta=False)
    except Exception as error:
        why = first_line(error)
        _let_go(error)
    raise ValueError(f"cannot be read as netCDF-4 ({why})")


def read_foreign(path: Path, group: str | None = None) -> xr.Dataset:
    """Read a netCDF-4 file, or a group of it, into memory.

    Raises
    ------
    OSError, ValueError
        As `open_foreign`, and when a variable cannot be read.
    """
    with open_foreign(path, group) as dataset:
        try:
            return dataset.load()
        except Exception as error:
            raise ValueError(f"cannot be read as netCDF-4 ({first_line(error)})") from None


def _let_go(error: BaseException | None) -> None:
    """Free what an error holds on to, unheard: h5netcdf cannot close a file that it could not open, and says so."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
    finally:
        sys.unraisablehook = before


def first_line(error: Exception) -> str:
    """Return what an error says on its first line, or its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


@lru_cache(maxsize=32)
def _comes_back(path: Path, *_: int) -> bool:
    """Return whether HDF5 comes back from a file as it was at a time and of a size."""
    # Isolated, so that nothing in the folder where the program runs is taken for a library.
    command = [sys.executable, "-I", str(_PROBE), str(path.absolute())]
    with contextlib.suppress(OSError):
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return False
        # An exit code above 0 is of a Python that could not look, and says nothing of the file.
        return done.returncode >= 0
    return True


def _check_content(path: Path, group: str | None) -> None:
    """Refuse what reads other files, or takes minutes to open."""
    with h5py.File(path, "r") as file:
        # What fails here fails once more, with a traceback of its own, when h5netcdf lets go of the file.
        file.attrs.get("_nc3_strict")
        names = [group] if group else []
        for place in [file, *(file[name] for name in names if _is_inside(file, name))]:
            if len(place) > _MOST_VARIABLES:
                raise ValueError(f"it has {len(place):,} variables; must have {_MOST_VARIABLES} at most")
            growing = False
            for name in place:
                item = place[name] if _is_inside(place, name) else None
                if item is None or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
                    raise ValueError(f"{name!r:.60} is elsewhere; must be in the file itself")
                growing = growing or (isinstance(item, h5py.Dataset) and None in (item.maxshape or ()))
            if growing and len(place) > _MOST_GROWING:
                raise ValueError(
                    f"it has {len(place)} variables and an unlimited dimension; must have {_MOST_GROWING} variables at "
                    "most, or dimensions of fixed lengths"
                )


def _is_inside(place: h5py.Group, name: str) -> bool:
    return isinstance(place.get(name, getlink=True), h5py.HardLink)
