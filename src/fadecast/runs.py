"""The run folder: files written whole or not at all, what made them, and which of them are up to date.

A run may be killed at any moment. Every file is written under another name and then renamed, a stage counts as done
only when the manifest says so with the checksum of its files, and finished tiles of a forecast are kept until the
forecast is whole.
"""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from fadecast import __version__, variables
from fadecast.errors import InputError, RunError
from fadecast.streams import Block, write_blocks
from fadecast.study import Pricing, Study, plain_study, study_of, to_yaml

_ENGINE: Literal["h5netcdf"] = "h5netcdf"
STUDY_FILE = "study.yaml"

_COMPRESSION: Mapping[str, Any] = {"zlib": True, "complevel": 4, "shuffle": True}
_LIBRARIES = ("pybamm", "jax", "numpy", "xarray")
_TEMPORARY = ".tmp"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name and rename it, so that it is there whole or not at all.

    Parameters
    ----------
    path
        Where the file goes; its folder exists.
    write
        Writes the content to the path it is given.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
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
    write_whole(path, lambda temporary: plain.to_netcdf(temporary, engine=_ENGINE, encoding=encoding))


def read_netcdf(path: Path) -> xr.Dataset:
    """Read a dataset that `write_netcdf` wrote into memory."""
    return xr.load_dataset(path, engine=_ENGINE, decode_timedelta=False)


def open_netcdf(path: Path) -> xr.Dataset:
    """Open a dataset whose variables are read when they are needed."""
    return xr.open_dataset(path, engine=_ENGINE, decode_timedelta=False)


def open_fade(path: Path) -> xr.Dataset:
    """Open a fade dataset from anywhere; variables are read when they are needed.

    Raises
    ------
    InputError
        When there is no such file or it is not netCDF.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; --fade must be a netCDF file")
    try:
        return open_netcdf(path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as netCDF ({_first_line(error)}); --fade must be netCDF-4") from None


def open_study(dataset: xr.Dataset) -> Study:
    """Return the study that a stored dataset was made from; its `execution` section is not kept.

    Raises
    ------
    KeyError
        When the dataset does not name a study.
    """
    return study_of(dataset.attrs["study"])


def provenance(study: Pricing) -> dict[str, str | int]:
    """Return what every stored dataset says about its origin."""
    return {
        "study": json.dumps(plain_study(study), ensure_ascii=False),
        "seed": study.seed,
        **origin(),
        **{f"{library}_version": version(library) for library in _LIBRARIES},
    }


def origin() -> dict[str, str]:
    """Return what every result says about the code that made it."""
    return {"fadecast_version": __version__, "git_commit": git_commit()}


@cache
def git_commit() -> str:
    """Return the commit of the checkout that runs, `+dirty` where its code differs, or `unknown`."""
    package = Path(__file__).resolve().parent
    try:
        top = Path(_git(package, "rev-parse", "--show-toplevel"))
        if not (top / "src" / "fadecast").samefile(package):
            return "unknown"
        changed = _git(top, "status", "--porcelain", "--", "src")
        return _git(top, "rev-parse", "HEAD") + ("+dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@dataclass(frozen=True)
class Shards:
    """Finished tiles of one forecast; a tile that is not whole, or not as it was written, counts as missing."""

    folder: Path

    def load(self, key: str) -> xr.Dataset | None:
        """Return a tile that was saved whole, else None."""
        path = self._path(key)
        try:
            if self._checksum(key).read_text(encoding="ascii") != sha256(path):
                return None
        except (OSError, ValueError):
            return None
        return read_netcdf(path)

    def save(self, key: str, dataset: xr.Dataset) -> None:
        """Keep a tile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_netcdf(self._path(key), dataset)
        write_text(self._checksum(key), sha256(self._path(key)))

    def count(self) -> int:
        """Return how many tiles are kept."""
        return len(list(self.folder.glob("*.sha256")))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.nc"

    def _checksum(self, key: str) -> Path:
        return self.folder / f"{key}.sha256"


@dataclass(frozen=True)
class RunFolder:
    """A folder with the files of one run."""

    path: Path
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Names one call of fadecast in the log."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; it is made if it is not there. A killed process leaves no lock.

        Raises
        ------
        InputError
            When there can be no such folder.
        RunError
            When another process holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be a run folder ({error.strerror}); choose another") from None
        with (self.path / ".lock").open("a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RunError(
                    f"{self.path}: another fadecast process ({lock.read().strip() or 'unknown'}) works in this "
                    "folder; wait for it, stop it, or choose another folder with --out"
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()}")
            lock.flush()
            for left in self.path.rglob(f".*{_TEMPORARY}"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield

    def is_locked(self) -> bool:
        """Return whether a process works in this folder."""
        try:
            with (self.path / ".lock").open("r", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Make a folder that is gone afterwards."""
        folder = self.path / f".{name}.{os.getpid()}{_TEMPORARY}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    @property
    def study_file(self) -> Path:
        """The study of this run, with all its defaults.

        Raises
        ------
        InputError
            When this is not the folder of a run.
        """
        path = self.path / STUDY_FILE
        if not path.is_file():
            raise InputError(f"{self.path}: holds no {STUDY_FILE}; must be the folder of a run")
        return path

    def write_study(self, study: Study) -> None:
        """Keep the study with all its defaults, for `resume`."""
        write_text(self.path / STUDY_FILE, to_yaml(study))

    def write_dataset(self, name: str, dataset: xr.Dataset, study: Pricing) -> str:
        """Write a stage's dataset with its units and its origin; return its name."""
        described = variables.describe(dataset)
        write_netcdf(self.path / name, described.assign_attrs(described.attrs | provenance(study)))
        return name

    def write_blocks(self, name: str, header: xr.Dataset, blocks: Iterable[Block], study: Pricing) -> str:
        """Write a stage's dataset block by block, with its origin; return its name."""
        origin = header.assign_attrs(header.attrs | provenance(study))
        write_whole(self.path / name, lambda temporary: write_blocks(temporary, origin, blocks))
        return name

    def read_dataset(self, name: str) -> xr.Dataset:
        """Read a stage's dataset into memory."""
        return read_netcdf(self.path / name)

    def open_dataset(self, name: str) -> xr.Dataset:
        """Open a stage's dataset, of which variables are read when they are needed."""
        return open_netcdf(self.path / name)

    def read_rows(self, name: str) -> list[dict[str, str]]:
        """Read a stage's table, a mapping of columns to text for each row."""
        with (self.path / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def stages(self) -> Mapping[str, Any]:
        """Return what the manifest says of each stage; a manifest that cannot be read says nothing."""
        try:
            stages = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))["stages"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return stages if isinstance(stages, dict) else {}

    def state(self, stage: str, key: str) -> str:
        """Return `done`, `missing`, or `stale`: made from other settings, or changed since."""
        entry = self.stages().get(stage)
        if entry is None:
            return "missing"
        whole = all(_has(self.path / name, checksum) for name, checksum in entry["files"].items())
        return "done" if whole and entry["key"] == key else "stale"

    def record(self, stage: str, key: str, names: Sequence[str]) -> None:
        """Note in the manifest that a stage is done."""
        entry = {"key": key, "files": {name: sha256(self.path / name) for name in names}}
        manifest = {"fadecast_version": __version__, "stages": {**self.stages(), stage: entry}}
        write_text(self.path / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")

    def shards(self, key: str) -> Shards:
        """Return the finished tiles of the forecast with this key."""
        return Shards(self.path / "shards" / key[:16])

    def drop_shards(self) -> None:
        """Remove the tiles of all forecasts."""
        shutil.rmtree(self.path / "shards", ignore_errors=True)

    def log(self, stage: str, event: str, **details: object) -> None:
        """Add one line to the log."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "run": self.run_id, "stage": stage, "event": event, **details})
        with (self.path / "log.jsonl").open("ab") as log:
            if log.tell() and not _ends_in_newline(self.path / "log.jsonl"):
                log.write(b"\n")
            log.write(line.encode() + b"\n")


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has(path: Path, checksum: str) -> bool:
    return path.is_file() and sha256(path) == checksum


def _sync(path: Path) -> None:
    """Make a file or a folder's names safe against a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def refuse_study_folder(run: RunFolder) -> None:
    """Refuse to put a calibration where a study is.

    Raises
    ------
    InputError
        When the folder is that of a study, or a file.
    """
    if (run.path / STUDY_FILE).exists() or (run.path.exists() and not run.path.is_dir()):
        what = "is the folder of a study" if run.path.is_dir() else "is a file"
        raise InputError(f"{run.path}: {what}; choose another with --out")
