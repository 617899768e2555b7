"""The run folder: files written whole or not at all, what made them, and which of them are up to date.

A run may be killed at any moment. Every file is written under another name and then renamed, a stage counts as done
only when the manifest says so with the checksum of its files, and finished shards of a forecast are kept until the
forecast is whole.
"""

import contextlib
import csv
import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import xarray as xr

from fadecast import __version__, variables
from fadecast.errors import InputError, RunError
from fadecast.files import (
    abandoned,
    append_line,
    open_netcdf,
    read_netcdf,
    sha256,
    temporary_name,
    write_netcdf,
    write_text,
    write_whole,
)
from fadecast.netcdf_file import open_foreign
from fadecast.shards import Shards
from fadecast.streams import Block, write_blocks
from fadecast.study import Pricing, Study, plain_study, study_of, to_yaml
from fadecast.unpacking import unpacked_outside

STUDY_FILE = "study.yaml"

_LOCK_POLL_SECONDS = 0.2
_LIBRARIES = ("pybamm", "jax", "numpy", "xarray")


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
        return unpacked_outside(open_foreign(path), path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; --fade must be a fade dataset, netCDF-4") from None


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
class RunFolder:
    """A folder with the files of one run."""

    path: Path
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Names one call of fadecast in the log."""
    log_name: str = "log.jsonl"
    """The log; jobs that work in the folder at the same time have one each."""

    @contextlib.contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the folder for this process; it is made if it is not there. A killed process leaves no lock.

        Parameters
        ----------
        patience
            Longest wait for another process that holds it [s].

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
            if not _acquired(lock, patience):
                lock.seek(0)
                raise RunError(
                    f"{self.path}: another fadecast process ({lock.read().strip() or 'unknown'}) works in this "
                    "folder; wait for it, stop it, or choose another folder with --out"
                )
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            for left in abandoned(self.path):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
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
        folder = temporary_name(self.path / name)
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
        """Return the finished shards of the forecast with this key."""
        return Shards(self.path / "shards" / key[:16])

    def drop_shards(self) -> None:
        """Remove the shards of all forecasts."""
        shutil.rmtree(self.path / "shards", ignore_errors=True)

    def log(self, stage: str, event: str, **details: object) -> None:
        """Add one line to the log."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "run": self.run_id, "stage": stage, "event": event, **details})
        append_line(self.path / self.log_name, line)


def _has(path: Path, checksum: str) -> bool:
    return path.is_file() and sha256(path) == checksum


def _acquired(lock: IO[str], patience: float) -> bool:
    """Return whether a lock is ours, at the latest after some seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return True


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


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
