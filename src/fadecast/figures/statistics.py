"""The statistics that figures and report show of a forecast, as plain functions of (draw, pack, time) arrays.

NaN is a pack whose run failed: it leaves every statistic from then on. A pack that could no longer be charged is at the
end of its life, not unknown: it holds 0 from then on, as in the price.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from fadecast.outcome import Outcome
from fadecast.warranty.claims import TAIL_EVENT_RETENTION
from fadecast.warranty.observed import blocks, check_fade

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def capacity_left(
    fade: xr.Dataset, measure: Literal["retention", "soh"] = "retention"
) -> Float[Array, "draw pack time"]:
    """Return retention or SOH [1] as the price sees it.

    Raises
    ------
    ValueError
        If the dataset is not as `fadecast.warranty.observed.check_fade` wants it.
    """
    return np.concatenate([getattr(block, measure) for block in blocks(check_fade(fade, 0.0))])


def quantiles(values: Float[Array, "draw pack time"], levels: Sequence[float]) -> Float[Array, "level time"]:
    """Return quantiles over all known packs of all draws at each time; NaN where none is known."""
    result = np.full((len(levels), values.shape[-1]), np.nan)
    for column in range(values.shape[-1]):
        known = values[..., column]
        known = known[np.isfinite(known)]
        if known.size:
            result[:, column] = np.quantile(known, levels)
    return result


def draw_medians(values: Float[Array, "draw pack time"]) -> Float[Array, "draw time"]:
    """Return the median over the known packs of each draw; NaN where none is known."""
    ranked = np.sort(values, axis=1)
    known = np.isfinite(values).sum(axis=1, keepdims=True)
    lower, upper = (np.take_along_axis(ranked, at, axis=1) for at in (np.maximum(known - 1, 0) // 2, known // 2))
    return np.asarray(0.5 * (lower + upper))[:, 0]


def loss_probability(
    retention: Float[Array, "draw pack time"], left: float = TAIL_EVENT_RETENTION
) -> tuple[Float[Array, " time"], Float[Array, "draw time"]]:
    """Return the share of packs whose retention has been below `left` up to each time, of all draws and of each.

    The share is of the packs seen through that time, as for the tail event of the price.
    """
    return share_below(np.minimum.accumulate(retention, axis=2), left)


def share_below(
    values: Float[Array, "draw pack time"], limit: float
) -> tuple[Float[Array, " time"], Float[Array, "draw time"]]:
    """Return the share of the known packs below a limit at each time, of all draws and of each; NaN of none known."""
    seen = np.isfinite(values)
    lost = seen & (values < limit)
    return _share(lost.sum(axis=(0, 1)), seen.sum(axis=(0, 1))), _share(lost.sum(axis=1), seen.sum(axis=1))


def _share(part: Int[np.ndarray, "..."], whole: Int[np.ndarray, "..."]) -> Float[Array, "..."]:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def yearly(values: Float[Array, "draw pack time"], time: Float[Array, " time"]) -> Float[Array, "draw pack interval"]:
    """Return the mean rate [1/year] of a cumulative quantity in each interval of `time` [year]."""
    return np.asarray(np.diff(values, axis=2) / np.diff(time))


def evenly_ranked(values: Float[Array, " draw"], most: int) -> Int[np.ndarray, " chosen"]:
    """Return at most `most` indices whose values are spread evenly over the ranks, the extremes among them."""
    order = np.argsort(values, kind="stable")
    return order[np.unique(np.linspace(0, order.size - 1, min(most, order.size)).round().astype(int))]


def outcome_counts(fade: xr.Dataset) -> dict[Outcome, int]:
    """Return how many packs ended in each way; without `outcome`, a pack with an unknown value has failed."""
    if "outcome" in fade:
        codes = fade["outcome"].values
    else:
        known = np.isfinite(capacity_left(fade)).all(axis=2)
        codes = np.where(known, Outcome.COMPLETED, Outcome.NOT_FINITE)
    return {outcome: int(np.sum(codes == outcome)) for outcome in Outcome}


def sample_note(fade: xr.Dataset, *, of_capacity: bool = True) -> str:
    """Return how many packs and draws the statistics rest on, and which are left out.

    Packs at the end of life have an empty capacity, but no other quantity: statistics that are not `of_capacity` leave
    them out too.
    """
    counts = outcome_counts(fade)
    draws, packs = fade.sizes["draw"], fade.sizes["pack"]
    exhausted = sum(counts.pop(outcome) for outcome in Outcome if outcome.end_of_life)
    failed = sum(counts.values()) - counts[Outcome.COMPLETED]
    note = f"{_count(draws, 'draw')} of {_count(packs, 'pack')}{standing_for(fade)}."
    if failed:
        verb = "is" if failed == 1 else "are"
        note += f" {failed:,} of {draws * packs:,} runs failed and {verb} left out from then on."
    if exhausted:
        how = "as empty capacity" if of_capacity else "no longer"
        verb = "counts" if exhausted == 1 else "count"
        note += f" {_count(exhausted, 'pack')} reached the end of life and {verb} {how} from then on."
    return note


def standing_for(fade: xr.Dataset) -> str:
    """Say for how many packs each stands, where it is for more than itself."""
    weight = float(fade.get("pack_weight", 1.0))
    return f", each of which stands for {weight:.4g}" if weight != 1.0 else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("s" if number != 1 else "")
