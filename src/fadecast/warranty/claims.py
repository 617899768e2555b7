"""From fade to money: what every pack claims over the term, draw by draw."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from fadecast.warranty.contract import Array, Contract, guaranteed_level, inspection_times, owed
from fadecast.warranty.observed import Block, blocks, check_fade, interpolate

TAIL_EVENT_YEARS = 3.0
"""The tail event is retention below `TAIL_EVENT_RETENTION` within this time [year]."""
TAIL_EVENT_RETENTION = 0.80
"""Retention that marks the tail event [1]."""


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
    loss_years: Float[Array, " draw"]
    """Discounted claims of the packs of the forecast times their time of payment [USD.year]."""
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


def settle(fade: xr.Dataset, contract: Contract, discount_rate: float, pack_energy_kwh: float) -> Claims:
    """Hold a fade forecast against a contract.

    Parameters
    ----------
    fade
        Fade dataset, see `fadecast.warranty.observed.check_fade`; it is read a few draws at a time.
    contract
        The contract.
    discount_rate
        Risk-free rate, compounded yearly [1/year].
    pack_energy_kwh
        First-life nameplate energy of one pack [kWh].

    Raises
    ------
    ValueError
        If the dataset is not as `check_fade` and `blocks` want it, or the pack energy is not positive.
    """
    if not (np.isfinite(pack_energy_kwh) and pack_energy_kwh > 0.0):
        raise ValueError(
            f"pack_energy_kwh is {pack_energy_kwh:g}, expected the nameplate energy of a pack, above 0 kWh"
        )
    plain = check_fade(fade, contract.term_years)
    claims = _no_claims(plain.sizes["draw"], plain.sizes["pack"], int(np.ceil(contract.term_years)))
    for block in blocks(plain):
        time = plain["time"].values.astype(np.float64)
        _set_base_energy(claims, block, contract, time, pack_energy_kwh)
        _pay(claims, block, contract, time, discount_rate)
        _count_tail_events(claims, block, time)
    # Of packs that stand for others all ratios are those of all; only this is an amount.
    claims.paid[...] *= float(fade.get("pack_weight", 1.0))
    return claims


def _no_claims(draws: int, packs: int, policy_years: int) -> Claims:
    return Claims(
        loss=np.zeros((draws, packs)),
        base_energy=np.zeros((draws, packs)),
        paid=np.zeros((draws, policy_years)),
        loss_years=np.zeros(draws),
        tail_events=np.zeros(draws),
        tail_packs=np.zeros(draws),
        exhausted=np.zeros(draws),
    )


def _measured(block: Block, contract: Contract) -> Float[Array, "draw pack time"]:
    return block.retention if contract.measure == "retention" else block.soh


def _set_base_energy(claims: Claims, block: Block, contract: Contract, time: Array, pack_energy_kwh: float) -> None:
    start = block.soh[:, :, 0]
    known = np.isfinite(start)
    for year in inspection_times(contract):
        measured = interpolate(_measured(block, contract), time, year)
        known &= np.isfinite(measured)
    share = start if contract.measure == "retention" else 1.0
    claims.base_energy[block.draws] = np.where(known, share * pack_energy_kwh, np.nan)
    # `measured` is that at the end of the term here: an exhausted pack that was filled up measures exactly 0.
    claims.exhausted[block.draws] = np.sum(block.exhausted & known & (measured == 0.0), axis=1)


def _pay(claims: Claims, block: Block, contract: Contract, time: Array, discount_rate: float) -> None:
    """Add the payments of a block: at each inspection what is owed beyond what was paid before."""
    at = block.draws
    base = claims.base_energy[at]
    before = np.zeros_like(base)
    years = inspection_times(contract)
    for year, level in zip(years, guaranteed_level(contract, years), strict=True):
        due = owed(contract, level, interpolate(_measured(block, contract), time, year))
        payment = np.maximum(due - before, 0.0) * base
        before = np.maximum(due, before)
        discounted = payment * (1.0 + discount_rate) ** -year
        claims.loss[at] += discounted
        claims.loss_years[at] += year * np.nansum(discounted, axis=1)
        claims.paid[at, int(np.ceil(year)) - 1] += np.nansum(payment, axis=1)


def _count_tail_events(claims: Claims, block: Block, time: Array) -> None:
    if time[-1] < TAIL_EVENT_YEARS:
        return
    lowest = interpolate(block.retention, time, TAIL_EVENT_YEARS)
    # Retention is straight between times, so its lowest value is at one of them or at the end of the window.
    for index in np.flatnonzero(time < TAIL_EVENT_YEARS):
        lowest = np.minimum(lowest, block.retention[:, :, index])
    claims.tail_packs[block.draws] = np.isfinite(lowest).sum(axis=1)
    claims.tail_events[block.draws] = (lowest < TAIL_EVENT_RETENTION).sum(axis=1)
