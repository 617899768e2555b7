"""Which losses made a pack's capacity loss, where cells like its own have been diagnosed or an assumption is wanted."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt
from jaxtyping import Float

from fadecast.netcdf_file import first_line, read_foreign
from fadecast.population.evidence import degradation_modes
from fadecast.population.keys import Inside, Seed, draw_uniforms, pack_uniforms
from fadecast.population.modes import sample_directions
from fadecast.settings import settings

Factor = Annotated[float, Gt(0.0)]

_LOSSES = ("lli_since", "lam_ne_since", "lam_pe_since")
_SMALLEST = 1e-3
"""Loss per capacity lost that a diagnosis is taken to at least [1]."""
_LEAST_AGED = 0.02
"""Capacity lost below which a cell tells nothing of how it is lost [1]."""


@settings
class Split:
    """How the capacity lost before second life is split over lithium inventory and the two electrodes."""

    posterior: str | None = None
    """Posterior of `fadecast calibrate` (`posterior.nc`), relative to the study file: each pack takes the split of one
    of its aged curves at random, each draw one sample of the posterior. Null: the split of six measured LG M50T
    cells."""
    factors: tuple[Factor, Factor, Factor] = (1.0, 1.0, 1.0)
    """Multipliers of loss of lithium inventory, negative and positive material, before they are scaled to the SOH [1]:
    SOH and pulses do not tell the split, so what it does to a price is worth a look."""


def split_directions(
    split: Split, seed: Seed, draws: int, packs: int, inside: Inside | None = None
) -> Float[np.ndarray, "mode draw pack"]:
    """Return losses per capacity lost of each pack, or each of its groups: the direction LLI : LAM_NE : LAM_PE.

    Raises
    ------
    ValueError
        When there is no such posterior, or it holds no aged cell.
    """
    if split.posterior is None:
        directions = sample_directions(seed, degradation_modes(), draws, packs, inside)
    else:
        samples = diagnosed(split.posterior)
        count, cells, _ = samples.shape
        sample = np.minimum((draw_uniforms(seed, "posterior", draws)[:, 0] * count).astype(int), count - 1)
        cell = pack_uniforms(seed, "posterior", draws, packs, 1, inside)[..., 0]
        cell = np.minimum((cell * cells).astype(int), cells - 1)
        directions = np.moveaxis(samples[sample[:, None], cell], -1, 0)
    return np.asarray(directions * np.array(split.factors)[:, None, None])


def diagnosed(posterior: str) -> Float[np.ndarray, "sample cell mode"]:
    """Return losses per capacity lost of the aged cells of a posterior.

    Raises
    ------
    ValueError
        When there is no such file, or it holds no aged cell.
    """
    path = Path(posterior)
    if not path.is_file():
        raise ValueError(f"no file {path}")
    return _diagnosed(path, path.stat().st_mtime_ns)[0]


def diagnosed_soh(posterior: str) -> float:
    """Return the least capacity of the aged cells of a posterior, over that of the cells they are compared with [1].

    Raises
    ------
    ValueError
        When there is no such file, or it holds no aged cell.
    """
    diagnosed(posterior)
    path = Path(posterior)
    return _diagnosed(path, path.stat().st_mtime_ns)[1]


@lru_cache(maxsize=4)
def _diagnosed(path: Path, _: int) -> tuple[Float[np.ndarray, "sample cell mode"], float]:
    try:
        groups = [read_foreign(path, name) for name in ("posterior", "constant_data")]
        found, compared = groups[0], groups[1]["compared_with"]
        losses = np.stack([found[name].transpose("chain", "draw", "curve").values for name in _LOSSES], axis=-1)
        capacity = found["capacity_at_rest"].transpose("chain", "draw", "curve").values
        names = [str(name) for name in found["curve"].values]
        reference = [names.index(str(name)) for name in compared.values]
        real = all(values.dtype.kind in "fiu" for values in (losses, capacity))
        if not (real and np.isfinite(losses).all() and np.isfinite(capacity).all() and losses.size):
            raise ValueError("holds nothing, or what is not a number")
        if not ((np.abs(losses) <= 1.0).all() and (capacity > 0.0).all()):
            raise ValueError("has losses beyond -1 to 1, or capacities that are not above 0")
        with np.errstate(over="ignore"):
            lost = 1.0 - capacity / capacity[..., reference]
        if not (lost >= -1.0).all():
            raise ValueError("has capacities of more than twice those of the curves that they are compared with")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is no posterior of fadecast calibrate ({first_line(error)})") from None
    # Over the mean: a ratio of two draws has no mean where a loss may be nothing.
    lost = lost.mean(axis=(0, 1), keepdims=True)
    aged = lost[0, 0] > _LEAST_AGED
    if not aged.any():
        raise ValueError(
            f"{path} holds no curve that has lost more than {_LEAST_AGED:.0%} of the capacity of the curve it is "
            "compared with"
        )
    per_capacity = losses[..., aged, :] / lost[..., aged, None]
    floored = np.maximum(per_capacity, _SMALLEST).reshape(-1, int(aged.sum()), len(_LOSSES))
    return floored, float(1.0 - lost.max())
