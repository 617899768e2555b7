"""From fade to money: what every pack claims over the term, draw by draw."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from fadecast.warranty.contract import Contract, inspection_times
from fadecast.warranty.cover import Cover, inspect
from fadecast.warranty.credibility import MOST_YEARS
from fadecast.warranty.inspection import likelihood_ratio
from fadecast.warranty.observed import Block, check_fade, interpolate, read_blocks, spans
from fadecast.warranty.remedies import Array, straight
from fadecast.warranty.survival import follow

TAIL_EVENT_YEARS = 3.0
"""The tail event is retention below `TAIL_EVENT_RETENTION` within this time [year]."""
TAIL_EVENT_RETENTION = 0.80
"""Retention that marks the tail event [1]."""
_THREADS = 2
"""One reads while the other works out claims. No claim hangs on their number."""

Discount = float | tuple[tuple[float, float], ...]
"""A risk-free rate compounded yearly [1/year], or points (year, rate) of such rates by maturity."""


@dataclass(frozen=True)
class Claims:
    """What a contract costs on a forecast.

    A pack is *excluded* when its measured quantity is unknown (NaN) at an inspection: it carries neither
    loss nor base energy. A pack whose run ended because it could no longer be charged is at the end of its
    life, not unknown: it measures 0 from then on, and is counted in `exhausted`.
    """

    loss: Float[Array, "draw pack"]
    """Claims discounted to the start of service [USD]; NaN for excluded packs."""
    base_energy: Float[Array, "draw pack"]
    """Energy that the guarantee refers to [kWh]; NaN for excluded packs."""
    paid: Float[Array, "draw policy_year"]
    """Undiscounted claims by policy year [USD], of all packs that those of the forecast stand for."""
    discounted: Float[Array, "draw policy_year"]
    """Discounted claims of the packs of the forecast [USD]."""
    discounted_years: Float[Array, "draw policy_year"]
    """The same times their time of payment [USD.year]."""
    count: Float[Array, "draw policy_year"]
    """Payments to packs of the forecast [1]."""
    largest: Float[Array, "draw policy_year"]
    """Largest undiscounted payment for one pack of the forecast [USD]."""
    level: Float[Array, "draw year"]
    """Mean over packs of what the contract measures, after each of the first years, none replaced [fraction of base
    energy]."""
    weight: Float[Array, " draw"]
    """How much each draw counts: 1, but for importance sampling [1]."""
    refund: Float[Array, " draw"]
    """Present value of what an owner who ends the contract early is given back of the premium, over the premium [1]."""
    ended: Float[Array, " draw"]
    """1 where the owner ended the contract before its term."""
    false_claims: Float[Array, " draw"]
    """Packs paid for at some inspection although they kept what was guaranteed [1]."""
    voided: Float[Array, " draw"]
    """Packs whose cover ended for breaking the terms of use, or by their full cycles [1]."""
    failures: Float[Array, " draw"]
    """Sudden ends of packs, by themselves or by a defect of their batch [1]."""
    at_risk: Float[Array, "draw inspection"]
    """Packs known at an inspection that did not fall short at an earlier one [1]."""
    fallen: Float[Array, "draw inspection"]
    """Packs that then fall short for the first time, by fade alone [1]."""
    tail_events: Float[Array, " draw"]
    """Packs with the tail event [1]."""
    tail_packs: Float[Array, " draw"]
    """Packs seen through the time of the tail event [1]; 0 if the forecast is shorter."""
    exhausted: Float[Array, " draw"]
    """Packs at the end of their life before the end of the term [1]."""

    @property
    def excluded(self) -> int:
        """Packs, over all draws, left out because they are unknown at an inspection."""
        return int(np.isnan(self.base_energy).sum())

    @property
    def loss_years(self) -> Float[Array, " draw"]:
        """Discounted claims of the packs of the forecast times their time of payment [USD.year]."""
        return np.asarray(self.discounted_years.sum(axis=1))


def settle(
    fade: xr.Dataset,
    contract: Contract,
    discount: Discount,
    pack_energy_kwh: float,
    seed: int = 0,
    defect_sampling: float | None = None,
) -> Claims:
    """Hold a fade forecast against a contract.

    Parameters
    ----------
    fade
        Fade dataset, see `fadecast.warranty.observed.check_fade`; it is read a few draws at a time.
    contract
        The contract.
    discount
        Risk-free rate, or rates by maturity.
    pack_energy_kwh
        First-life nameplate energy of one pack [kWh].
    seed
        Of the errors of tests, and of ends of packs besides fade. Draw i and pack j have the same whatever the number
        of draws and packs.
    defect_sampling
        Probability that a batch is defective in the sample, which draws are weighed back from; None: as the contract
        has it.

    Raises
    ------
    ValueError
        If the dataset is not as `check_fade` and `read_blocks` want it, or the pack energy is not positive.
    """
    if not (np.isfinite(pack_energy_kwh) and pack_energy_kwh > 0.0):
        raise ValueError(
            f"pack_energy_kwh is {pack_energy_kwh:g}, expected the nameplate energy of a pack, above 0 kWh"
        )
    plain = check_fade(fade, contract.term_years, contract.needs)
    claims = _no_claims(plain.sizes["draw"], plain.sizes["pack"], contract)
    time = plain["time"].values.astype(np.float64)

    def settle_draws(draws: slice) -> None:
        for block in read_blocks(plain, draws):
            _set_base_energy(claims, block, contract, time, pack_energy_kwh)
            cover = Cover.start(block, contract, time, claims.base_energy[block.draws], seed, defect_sampling)
            claims.weight[block.draws] = likelihood_ratio(contract.failures, defect_sampling, seed, cover.draws)
            _pay(claims, block, cover, discount)
            claims.at_risk[block.draws], claims.fallen[block.draws] = follow(block, contract, time)
            _count_tail_events(claims, block, time)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(settle_draws, spans(plain)))
    _aggregate(claims, contract)
    # Of packs that stand for others means are those of all; only this is an amount.
    claims.paid[...] *= float(fade.get("pack_weight", 1.0))
    return claims


def discount_factor(discount: Discount, year: float) -> float:
    """Return what a dollar paid at a time [year] is worth at the start of service [USD]."""
    rate = discount if isinstance(discount, int | float) else straight(discount, year)
    return float((1.0 + rate) ** -year)


def _no_claims(draws: int, packs: int, contract: Contract) -> Claims:
    policy_years = int(np.ceil(contract.term_years))
    by_pack = {name: np.zeros((draws, packs)) for name in ("loss", "base_energy")}
    yearly = ("paid", "discounted", "discounted_years", "count", "largest")
    by_year = {name: np.zeros((draws, policy_years)) for name in yearly}
    by_year["level"] = np.zeros((draws, min(MOST_YEARS, policy_years)))
    by_inspection = {name: np.zeros((draws, len(inspection_times(contract)))) for name in ("at_risk", "fallen")}
    by_draw = (
        "weight",
        "refund",
        "ended",
        "false_claims",
        "voided",
        "failures",
        "tail_events",
        "tail_packs",
        "exhausted",
    )
    return Claims(**by_pack, **by_year, **by_inspection, **{name: np.zeros(draws) for name in by_draw})


def _set_base_energy(claims: Claims, block: Block, contract: Contract, time: Array, pack_energy_kwh: float) -> None:
    start = block.soh[:, :, 0]
    known = np.isfinite(start)
    values = block.measured(contract)
    for year in inspection_times(contract):
        measured = interpolate(values, time, year)
        known &= np.isfinite(measured)
        for further in block.further.values():
            # A pack at the end of its life has no resistance any more; of another it must be known.
            known &= np.isfinite(interpolate(further, time, year)) | block.exhausted
    share = start if contract.measure == "retention" else 1.0
    claims.base_energy[block.draws] = np.where(known, share * pack_energy_kwh, np.nan)
    for year in range(1, claims.level.shape[1] + 1):
        then = np.where(known, interpolate(values, time, float(year)) if year <= time[-1] else 0.0, 0.0)
        claims.level[block.draws, year - 1] = then.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    # `measured` is that at the end of the term here: an exhausted pack that was filled up measures exactly 0.
    claims.exhausted[block.draws] = np.sum(block.exhausted & known & (measured == 0.0), axis=1)


def _pay(claims: Claims, block: Block, cover: Cover, discount: Discount) -> None:
    """Add the payments of a block, inspection by inspection."""
    at = block.draws
    for number, year in enumerate(inspection_times(cover.contract)):
        for_packs, beside = inspect(cover, number, float(year))
        amount = for_packs + beside
        discounted = amount * discount_factor(discount, float(year))
        claims.loss[at] += discounted
        policy_year = int(np.ceil(year)) - 1
        worth = np.nansum(discounted, axis=1)
        claims.discounted[at, policy_year] += worth
        claims.discounted_years[at, policy_year] += year * worth
        claims.paid[at, policy_year] += np.nansum(amount, axis=1)
        claims.count[at, policy_year] += np.nansum(for_packs > 0.0, axis=1)
        largest = np.fmax.reduce(for_packs, axis=1, initial=0.0)
        claims.largest[at, policy_year] = np.maximum(claims.largest[at, policy_year], largest)
    term, refund_share = cover.contract.term_years, cover.contract.termination.refund_share
    claims.ended[at] = cover.ends < term
    left = np.maximum(1.0 - cover.ends / term, 0.0)
    claims.refund[at] = refund_share * left * [discount_factor(discount, year) for year in np.minimum(cover.ends, term)]
    known = np.isfinite(claims.base_energy[at])
    claims.false_claims[at] = (cover.paid_falsely & known).sum(axis=1)
    claims.voided[at] = (cover.voided & known).sum(axis=1)
    claims.failures[at] = (cover.failures * known).sum(axis=1)


def _aggregate(claims: Claims, contract: Contract) -> None:
    """Leave of all payments of a draw what lies between the aggregate deductible and the limit, year after year.

    Payments of a policy year are cut alike.
    """
    low, limit = contract.aggregate_deductible_usd_per_kwh, contract.aggregate_limit_usd_per_kwh
    if low == 0.0 and limit is None:
        return
    energy = np.nansum(claims.base_energy, axis=1)[:, None]
    upper = np.inf if limit is None else limit * energy
    borne = np.clip(np.cumsum(claims.paid, axis=1) - low * energy, 0.0, upper)
    kept = np.diff(borne, axis=1, prepend=0.0)
    share = np.divide(kept, claims.paid, out=np.zeros_like(kept), where=claims.paid > 0.0)
    before = claims.discounted.sum(axis=1)
    claims.paid[...] = kept
    for values in (claims.discounted, claims.discounted_years, claims.largest):
        values *= share
    claims.count[share == 0.0] = 0.0
    # Packs share what is left by what they claimed.
    after = claims.discounted.sum(axis=1)
    claims.loss[...] *= np.divide(after, before, out=np.zeros_like(after), where=before > 0.0)[:, None]


def _count_tail_events(claims: Claims, block: Block, time: Array) -> None:
    if time[-1] < TAIL_EVENT_YEARS:
        return
    lowest = interpolate(block.retention, time, TAIL_EVENT_YEARS)
    # Retention is straight between times, so its lowest value is at one of them or at the end of the window.
    for index in np.flatnonzero(time < TAIL_EVENT_YEARS):
        lowest = np.minimum(lowest, block.retention[:, :, index])
    claims.tail_packs[block.draws] = np.isfinite(lowest).sum(axis=1)
    claims.tail_events[block.draws] = (lowest < TAIL_EVENT_RETENTION).sum(axis=1)
