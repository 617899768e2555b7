"""Finished shards of a forecast, kept until it is whole."""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from fadecast.files import read_netcdf, sha256, write_netcdf, write_text


@dataclass(frozen=True)
class Shards:
    """Finished shards of one forecast; one that is not whole, or not as it was written, counts as missing."""

    folder: Path

    def load(self, key: str) -> xr.Dataset | None:
        """Return a shard that was saved whole, else None."""
        return read_netcdf(self._path(key)) if self.is_sound(key) else None

    def is_sound(self, key: str) -> bool:
        """Return whether a shard is there as it was saved."""
        try:
            return self._checksum(key).read_text(encoding="ascii") == sha256(self._path(key))
        except (OSError, ValueError):
            return False

    def save(self, key: str, dataset: xr.Dataset) -> None:
        """Keep a shard."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_netcdf(self._path(key), dataset)
        write_text(self._checksum(key), sha256(self._path(key)))

    def keys(self) -> set[str]:
        """Return which shards are there, sound or not."""
        return {path.stem for path in self.folder.glob("*.sha256") if self._path(path.stem).is_file()}

    def size(self) -> int:
        """Return how many bytes they take."""
        return sum(path.stat().st_size for path in self.folder.glob("*.nc"))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.nc"

    def _checksum(self, key: str) -> Path:
        return self.folder / f"{key}.sha256"
