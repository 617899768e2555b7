"""The forecast of a fleet, shard by shard: each is made by itself, here or by a job elsewhere, and kept."""

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.decades.years import DAYS_PER_YEAR
from fadecast.ensemble import Ensemble, Observer, run_shards
from fadecast.fade import label_shard, leap_error
from fadecast.outcome import Outcome
from fadecast.streams import Block, block_slices

CHECK = "leap-error"
"""Key of the error of the leap, which is found and kept as a shard is."""


class ShardStore(Protocol):
    """Keeps finished shards, so that an interrupted forecast goes on where it stopped."""

    def load(self, key: str) -> xr.Dataset | None:
        """Return a shard that was saved whole, else None."""

    def save(self, key: str, dataset: xr.Dataset) -> None:
        """Keep a shard."""


def shard_keys(count: int, *, checked: bool) -> list[str]:
    """Return the keys under which the shards of a forecast are kept, and its check if it has one."""
    return [*(f"shard-{number:05d}" for number in range(count)), *([CHECK] if checked else [])]


@dataclass(frozen=True, eq=False)
class Forecast:
    """The fade of every pack of every draw, shard by shard: never more than one of them in memory.

    Attributes
    ----------
    ensemble
        What the lanes are made of.
    store
        Keeps finished shards.
    pack_energy_kwh
        First-life nameplate energy of a pack [kW.h].
    """

    ensemble: Ensemble
    store: ShardStore
    pack_energy_kwh: float

    @cached_property
    def shards(self) -> list[np.ndarray]:
        """Lane numbers of each shard."""
        return self.ensemble.shards()

    @cached_property
    def keys(self) -> list[str]:
        """Keys of all that is kept, in the order of the shards; the check is the last."""
        decades = self.ensemble.decades
        return shard_keys(len(self.shards), checked=decades.mode == "leap" and decades.check_days > 0)

    def run(self, progress: Observer) -> dict[str, Any]:
        """Forecast what is not kept yet; return the attributes of the dataset.

        Parameters
        ----------
        progress
            As `make` tells it.

        Raises
        ------
        RuntimeError
            When a shard that was made is gone.
        """
        self.make(self.keys, progress)
        return self._attributes()

    @cached_property
    def _seen(self) -> dict[int, tuple[float, np.ndarray]]:
        """Days simulated, and how many packs ended how, of the shards that this process made or read."""
        return {}

    def make(self, keys: Collection[str], progress: Observer) -> None:
        """Make and keep those of some keys that are not kept yet.

        Parameters
        ----------
        keys
            Some of `keys`.
        progress
            Told, as `plan`, of `packs` and `pack_years` that are left to forecast; of each `shard`: `shard`, `shards`,
            `packs`, `pack_years`, `cell_days`, `seconds`, `loaded`; and, as `advanced`, of `pack_years` in between.
        """
        asked = [number for number, key in enumerate(self.keys[: len(self.shards)]) if key in keys]
        missing = []
        for number in asked:
            shard = self.store.load(self.keys[number])
            if shard is None:
                missing.append(number)
            else:
                self._tell(progress, number, len(asked), shard, None)
        left = sum(_packs_in(self.shards[number]) for number in missing)
        progress("plan", {"packs": left, "pack_years": left * self._years})
        for position, history, health, seconds in run_shards(
            self.ensemble, [self.shards[number] for number in missing], progress
        ):
            number = missing[position]
            shard = label_shard(self.ensemble, self.shards[number], history, health, self.pack_energy_kwh)
            self.store.save(self.keys[number], shard)
            self._tell(progress, number, len(asked), shard, seconds)
        if CHECK in self.keys and CHECK in keys and self.store.load(CHECK) is None:
            began = time.perf_counter()
            self.store.save(CHECK, xr.Dataset(attrs=leap_error(self.ensemble)))
            progress("check", {"seconds": round(time.perf_counter() - began, 3)})

    @property
    def _years(self) -> float:
        return float(self.ensemble.times[-1]) / DAYS_PER_YEAR

    def _tell(self, progress: Observer, number: int, count: int, shard: xr.Dataset, seconds: float | None) -> None:
        real = _packs_in(self.shards[number])
        ends = np.bincount(shard["outcome"].values[:real], minlength=len(Outcome))
        self._seen[number] = float(shard.attrs["cell_days"]), ends
        details = {
            "shard": number,
            "shards": count,
            "packs": real,
            "pack_years": real * self._years,
            "cell_days": float(shard.attrs["cell_days"]),
            "seconds": round(seconds or 0.0, 3),
            "loaded": seconds is None,
        }
        progress("shard", details)

    def blocks(self) -> Iterator[Block]:
        """Read the dataset in the order of draws and packs: some packs of one draw at a time, with their sites.

        Raises
        ------
        RuntimeError
            When a shard is gone or damaged.
        """
        ensemble = self.ensemble
        for key, lanes in zip(self.keys, self.shards, strict=False):
            shard = self._kept(key)
            real = lanes[: _packs_in(lanes)]
            sites = np.unique(real // ensemble.packs_of_site)
            for draw in np.unique(real // ensemble.packs):
                where = np.flatnonzero(real // ensemble.packs == draw)
                part = shard.isel(lane=where).rename(lane="pack").expand_dims("draw")
                first = int(real[where[0]] % ensemble.packs)
                lies = {"draw": slice(draw, draw + 1), "pack": slice(first, first + len(where))}
                if "site" in shard.dims:
                    of_draw = np.flatnonzero(sites // ensemble.fleet.sites == draw)
                    site = int(sites[of_draw[0]] % ensemble.fleet.sites)
                    part, lies["site"] = part.isel(site=of_draw), slice(site, site + len(of_draw))
                yield lies, part.transpose("draw", "pack", "site", "time", missing_dims="ignore")

    def header(self) -> xr.Dataset:
        """Return the coordinates of the dataset, what packs and draws stand for, and the site of each pack."""
        ensemble = self.ensemble
        header = xr.Dataset(
            coords={
                "draw": np.arange(ensemble.lanes // ensemble.packs),
                "pack": np.arange(ensemble.packs),
                "time": ensemble.times / DAYS_PER_YEAR,
            }
        )
        header["pack_weight"] = ensemble.population["pack_weight"]
        header["duty_draw"] = ("draw", ensemble.duty_draw(header["draw"].values))
        if ensemble.fleet.sharing != "fixed":
            header = header.assign_coords(site=np.arange(ensemble.fleet.sites))
            header["site_of_pack"] = ("pack", np.array([ensemble.site_of(pack) for pack in range(ensemble.packs)]))
        return variables.describe(header)

    def _attributes(self) -> dict[str, Any]:
        """Return what the dataset says of the forecast as a whole, all shards of which have been seen."""
        days = np.array([self._seen[number][0] for number in range(len(self.shards))])
        outcomes = np.sum([self._seen[number][1] for number in range(len(self.shards))], axis=0)
        decades = self.ensemble.decades
        found = {
            "title": "fade forecast of second-life battery packs",
            "mode": decades.mode,
            "cell_days": float(days.sum()),
            "outcomes": json.dumps({o.name.lower(): int(outcomes[o]) for o in Outcome}),
        }
        if decades.mode == "leap":
            found["typical_day_error"] = json.dumps(
                [self.ensemble.prepared.typical(draw).error for draw in range(self.ensemble.duty.sizes["draw"])]
            )
        return found | (self._kept(CHECK).attrs if CHECK in self.keys else {})

    def _kept(self, key: str) -> xr.Dataset:
        shard = self.store.load(key)
        if shard is None:
            raise RuntimeError(f"{key} of the forecast is gone or damaged; forecast again")
        return shard


def make_fade(forecast: Forecast, progress: Observer) -> xr.Dataset:
    """Forecast the fade of every pack of every draw, in memory; `fadecast.runs` writes it to a file block by block.

    Returns
    -------
    Fade variables of `fadecast.variables` on `draw`, `pack`, `time` [year]. A pack that failed is NaN after its last
    sound time and its `outcome` says why.
    """
    attributes = forecast.run(progress)
    fade = forecast.header()
    for where, block in forecast.blocks():
        for name, array in block.items():
            if name not in fade:
                shape = tuple(fade.sizes[dim] for dim in array.dims)
                fade[name] = (array.dims, np.full(shape, 0 if array.dtype.kind == "i" else np.nan, array.dtype))
            fade[name].values[block_slices(where, array.dims)] = array.values
    return variables.describe(fade.assign_attrs(attributes))


def _packs_in(lanes: np.ndarray) -> int:
    return len(np.unique(lanes))
