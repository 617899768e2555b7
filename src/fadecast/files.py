"""Files that are there whole or not at all: written under another name, made safe, then renamed."""

import hashlib
import os
import re
import socket
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from fadecast.unpacking import unpacked_outside

_ENGINE: Literal["h5netcdf"] = "h5netcdf"
_COMPRESSION: Mapping[str, Any] = {"zlib": True, "complevel": 4, "shuffle": True}
_TEMPORARY = ".tmp"
_MADE_BY = re.compile(rf"\..+\.(?P<host>[^.]+)\.(?P<process>\d+)\.[0-9a-f]{{8}}\{_TEMPORARY}")


def temporary_name(path: Path) -> Path:
    """Return a name beside a path that says which process of which machine made it, and is nobody else's."""
    # Processes of two machines, or threads of one process, may write the same file at the same time.
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")


def abandoned(folder: Path) -> list[Path]:
    """Return what processes of this machine that are no more have left half written in a folder and below it.

    What was left by another machine is not told from what it is about to finish, and stays.
    """
    return [path for path in folder.rglob(f".*{_TEMPORARY}") if _is_abandoned(path.name)]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name and rename it, so that it is there whole or not at all.

    Parameters
    ----------
    path
        Where the file goes; its folder exists.
    write
        Writes the content to the path it is given.
    """
    temporary = temporary_name(path)
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_netcdf(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset whole or not at all, compressed; the same content gives the same bytes."""
    plain = dataset.drop_encoding()
    encoding = {
        name: _COMPRESSION for name, array in plain.variables.items() if array.ndim and array.dtype.kind in "fi"
    }
    # In memory first: HDF5 that finds a disk full ends the process.
    content = plain.to_netcdf(engine=_ENGINE, encoding=encoding)
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def read_netcdf(path: Path) -> xr.Dataset:
    """Read a dataset that `write_netcdf` wrote into memory."""
    return xr.load_dataset(path, engine=_ENGINE, decode_timedelta=False)


def open_netcdf(path: Path) -> xr.Dataset:
    """Open a dataset whose variables are read when they are needed."""
    return unpacked_outside(xr.open_dataset(path, engine=_ENGINE, decode_timedelta=False), path)


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_line(path: Path, line: str) -> None:
    """Add a line to a log, on a line of its own even where the last one was cut short."""
    with path.open("ab+") as log:
        if log.tell():
            log.seek(-1, os.SEEK_END)
            if log.read(1) != b"\n":
                line = f"\n{line}"
        log.write(f"{line}\n".encode())


def _host() -> str:
    return socket.gethostname().replace(".", "-") or "unknown"


def _is_abandoned(name: str) -> bool:
    made = _MADE_BY.fullmatch(name)
    return made is not None and made["host"] == _host() and not _is_alive(int(made["process"]))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    """Make a file or a folder's names safe against a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
