"""The cover of packs from inspection to inspection: what is found, what is owed for it, and what ends it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from fadecast.warranty.contract import Contract, Unserved, guaranteed_level, inspection_times, shortfall
from fadecast.warranty.inspection import defect_years, ends_early, ends_suddenly, lasting_error, passing_error
from fadecast.warranty.observed import Block, interpolate
from fadecast.warranty.remedies import Array, CashRemedy, RepairRemedy, ReplacementRemedy


@dataclass
class Cover:
    """Packs of a block under a contract, as the last inspection left them."""

    contract: Contract
    block: Block
    time: Float[Array, " time"]
    """Of the forecast [year]."""
    base: Float[Array, "draw pack"]
    """Base energy [kWh]."""
    seed: int
    paid: Float[Array, "draw pack"]
    """Paid so far [USD per kWh of base energy]."""
    pack_claims: Float[Array, " draw"]
    """What packs alone would have been paid so far, where the site has a guarantee [USD]."""
    site_due: Float[Array, " draw"]
    """Most that the site alone would have been owed so far [USD]."""
    ends: Float[Array, " draw"]
    """When the owner ends the contract [year]; infinite where that is not before its term."""
    began: Float[Array, "draw pack"]
    """Start of service of the pack that is there now [year]."""
    covered: Bool[np.ndarray, "draw pack"]
    dead: Bool[np.ndarray, "draw pack"]
    stopped: Float[Array, "draw pack"]
    """Inspection after which a pack ended by itself or with its batch [year]; infinite where it has not."""
    defects: Float[Array, "draw pack"]
    """When a first pack ends by the defect of its batch [year]."""
    bias: Float[Array, "draw pack"]
    """Error of every test of a pack [fraction of base energy]."""
    buried: Bool[np.ndarray, "draw pack"]
    """Packs that were found to have ended."""
    voided: Bool[np.ndarray, "draw pack"]
    paid_falsely: Bool[np.ndarray, "draw pack"]
    failures: Float[Array, "draw pack"]
    """Sudden ends so far [1]."""
    repairs: Float[Array, "draw pack"]
    """Repairs so far [1]."""
    repaired: Float[Array, "draw pack"]
    """What they cost so far [USD per kWh of base energy]."""

    @classmethod
    def start(
        cls,
        block: Block,
        contract: Contract,
        time: Float[Array, " time"],
        base: Float[Array, "draw pack"],
        seed: int,
        defect_sampling: float | None = None,
    ) -> "Cover":
        """Begin the cover of a block; see `fadecast.warranty.inspection.defect_years` for the sampling of defects."""
        shape, no = base.shape, np.zeros(base.shape, dtype=bool)
        draws = range(block.draws.start, block.draws.start + shape[0])
        defects = defect_years(contract.failures, defect_sampling, seed, draws, shape[1], contract.term_years)
        zero = np.zeros(shape)
        return cls(
            contract=contract,
            block=block,
            time=time,
            base=base,
            seed=seed,
            paid=zero,
            pack_claims=np.zeros(shape[0]),
            site_due=np.zeros(shape[0]),
            ends=ends_early(contract.termination, contract.failures, seed, draws),
            began=zero.copy(),
            covered=~no,
            dead=no,
            stopped=np.full(shape, np.inf),
            defects=defects,
            bias=lasting_error(contract.test, seed, draws, shape[1]),
            buried=no.copy(),
            voided=no.copy(),
            paid_falsely=no.copy(),
            failures=zero.copy(),
            repairs=zero.copy(),
            repaired=zero.copy(),
        )

    @property
    def draws(self) -> range:
        """Numbers of the draws."""
        return range(self.block.draws.start, self.block.draws.start + len(self.base))

    def in_force(self, year: float) -> Bool[np.ndarray, " draw"]:
        """Return which contracts have not been ended at a time [year]."""
        return np.asarray(self.ends >= year)

    def at(self, values: Float[Array, "draw pack time"], year: float) -> Float[Array, "draw pack"]:
        """Return what packs are at a time [year]: a pack that was replaced is as it was at the age of the new one."""
        found = interpolate(values, self.time, year)
        for began in np.unique(self.began[self.began > 0.0]):
            found = np.where(self.began == began, interpolate(values, self.time, year - began), found)
        return found

    def full_cycles(self, year: float) -> Float[Array, "draw pack"]:
        """Return equivalent full cycles of first-life nameplate that packs have done until a time [year]."""
        found = self.at(self.block.throughput, year)
        for stopped in np.unique(self.stopped[np.isfinite(self.stopped)]):
            found = np.where(self.stopped == stopped, self.at(self.block.throughput, stopped), found)
        return self.block.full_cycles(found)


class Costs(NamedTuple):
    """What one inspection costs the insurer [USD]; NaN for unknown packs."""

    for_packs: Float[Array, "draw pack"]
    """Cash or another pack, for packs that fall short."""
    beside: Float[Array, "draw pack"]
    """Looking at packs, and each pack's part of what the site is paid."""


def inspect(cover: Cover, number: int, year: float) -> Costs:
    """Hold packs against their guarantee, replace or pay.

    Parameters
    ----------
    cover
        Changed in place.
    number, year
        Of the inspection, from 0, and its time [year].
    """
    contract, test = cover.contract, cover.contract.test
    cover.covered &= cover.in_force(year)[:, None]
    _end_packs(cover, number, year)
    _check_terms(cover, year)
    capacity = np.where(cover.dead, 0.0, _capacity(cover, year))
    found = _shortfall(cover, capacity, year, 0.0)
    first = found
    if test.bias_sd > 0.0 or test.noise_sd > 0.0:
        first = _shortfall(cover, capacity, year, _error(cover, number, again=False))
    suspected = (first > 0.0) & cover.covered & (year > contract.waiting_period_years)
    owed = first
    if test.retest and test.noise_sd > 0.0:
        owed = _shortfall(cover, capacity, year, _error(cover, number, again=True))
    owed = np.fmax(owed, 0.0) * suspected
    remedy = contract.remedy
    if isinstance(remedy, CashRemedy):
        amount = _cash(cover, remedy, owed)
    elif isinstance(remedy, RepairRemedy):
        amount = _repair(cover, remedy, owed)
    else:
        amount = _replace(cover, remedy, owed, capacity, year)
    cover.paid_falsely |= (amount > 0.0) & (found <= 0.0)
    # A pack that was found to have ended and was paid for is not looked at again.
    beside = test.handling_usd * (suspected & ~cover.buried)
    cover.buried |= suspected & cover.dead
    if isinstance(remedy, CashRemedy) and (contract.site_guarantee or contract.availability_guarantee):
        amount, to_site = _with_site(cover, remedy, amount, capacity, year)
        beside = beside + to_site
    if contract.unserved is not None:
        beside = beside + _for_unserved(cover, contract.unserved, number, year)
    known = np.isfinite(cover.base)
    return Costs(np.where(known, amount, np.nan), np.where(known, beside, np.nan))


def _capacity(cover: Cover, year: float) -> Float[Array, "draw pack"]:
    """Return what packs keep [fraction of base energy], with what repairs gave back."""
    measure = cover.block.measured(cover.contract)
    left = cover.at(measure, year)
    if not isinstance(cover.contract.remedy, RepairRemedy):
        return left
    # A pack at the end of its life has no capacity for new modules to add to.
    mended = np.minimum(left + cover.contract.remedy.restores * cover.repairs, measure[:, :, 0])
    return np.where(left > 0.0, mended, left)


def _end_packs(cover: Cover, number: int, year: float) -> None:
    """Let packs end that fail between the inspection before and this one."""
    contract = cover.contract
    if contract.failures.per_year == 0.0 and contract.failures.defect_probability == 0.0:
        return
    before = _before(contract, number)
    packs = cover.base.shape[1]
    ends = ends_suddenly(contract.failures, cover.seed, cover.draws, packs, number, year - before)
    ends |= (cover.defects > before) & (cover.defects <= year) & (cover.began == 0.0)
    ends &= ~cover.dead & cover.in_force(year)[:, None]
    cover.failures += ends
    cover.dead |= ends
    cover.stopped = np.where(ends, before, cover.stopped)


def _before(contract: Contract, number: int) -> float:
    """Return the time of the inspection before one [year], or the start of service."""
    return float(inspection_times(contract)[number - 1]) if number else 0.0


def _check_terms(cover: Cover, year: float) -> None:
    """End the cover of packs that broke the terms of use, or have done their cycles."""
    contract, terms = cover.contract, cover.contract.conditions
    broken = np.zeros_like(cover.covered)
    for name, most in (
        ("temperature_max", terms.max_temperature),
        ("c_rate_max", terms.max_c_rate),
        ("state_of_charge_max", terms.max_state_of_charge),
    ):
        if most is not None:
            broken |= cover.at(cover.block.further[name], year) > most
    if terms.min_state_of_charge is not None:
        broken |= cover.at(cover.block.further["state_of_charge_min"], year) < terms.min_state_of_charge
    if terms.max_cycles_per_year is not None:
        broken |= cover.full_cycles(year) > terms.max_cycles_per_year * (year - cover.began)
    if contract.max_full_cycles is not None:
        broken |= cover.full_cycles(year) > contract.max_full_cycles
    # A pack that has ended does no more cycles.
    broken &= ~cover.dead
    cover.voided |= broken & cover.covered
    cover.covered &= ~broken


def _error(cover: Cover, number: int, *, again: bool) -> Float[Array, "draw pack"]:
    error = passing_error(cover.contract.test, cover.seed, cover.draws, cover.base.shape[1], number, again)
    return np.where(cover.dead, 0.0, cover.bias + error)


def _shortfall(
    cover: Cover, capacity: Float[Array, "draw pack"], year: float, error: float | Float[Array, "draw pack"]
) -> Float[Array, "draw pack"]:
    """Return the shortfall by a test of capacity with an error [fraction of base energy]."""
    power = None
    if cover.contract.power_guarantee is not None:
        power = cover.block.power(cover.at(cover.block.further["resistance"], year))
        power = np.where(cover.dead, 0.0, power)
    cycles = cover.full_cycles(year) if cover.contract.cycle_guarantee is not None else None
    # Of one age, as all packs are until one is replaced, the level is looked up once.
    age = year - (cover.began if cover.began.any() else np.zeros((1, 1)))
    return shortfall(cover.contract, age, np.maximum(capacity + error, 0.0), power, cycles)


def _cash(cover: Cover, remedy: CashRemedy, owed: Float[Array, "draw pack"]) -> Float[Array, "draw pack"]:
    """Pay what is owed beyond what was paid before [USD]."""
    contract = cover.contract
    limit = np.inf if contract.limit_usd_per_kwh is None else contract.limit_usd_per_kwh - cover.repaired
    due = np.minimum((1.0 - contract.owner_share) * remedy.owed(owed), limit)
    amount = np.maximum(due - cover.paid, 0.0) * cover.base
    cover.paid = np.maximum(due, cover.paid)
    return np.asarray(amount)


def _repair(cover: Cover, remedy: RepairRemedy, owed: Float[Array, "draw pack"]) -> Float[Array, "draw pack"]:
    """Repair packs where that makes up for what is missing, pay for the others [USD]."""
    contract = cover.contract
    mended = (owed > 0.0) & (owed <= remedy.restores) & (cover.repairs < remedy.most) & ~cover.dead
    cost = (1.0 - contract.owner_share) * remedy.cost(cover.base)
    if contract.limit_usd_per_kwh is not None:
        left = np.maximum(contract.limit_usd_per_kwh - cover.paid - cover.repaired, 0.0)
        cost = np.minimum(cost, left * cover.base)
        mended &= left > 0.0
    cost = np.where(mended, cost, 0.0)
    cover.repairs = cover.repairs + mended
    cover.repaired = cover.repaired + np.divide(cost, cover.base, out=np.zeros_like(cost), where=cover.base > 0.0)
    return cost + _cash(cover, remedy.cash, np.where(mended, 0.0, owed))


def _replace(
    cover: Cover,
    remedy: ReplacementRemedy,
    owed: Float[Array, "draw pack"],
    capacity: Float[Array, "draw pack"],
    year: float,
) -> Float[Array, "draw pack"]:
    """Replace packs that fall short, and return what that costs [USD]."""
    contract = cover.contract
    taken = owed > 0.0
    amount = (1.0 - contract.owner_share) * remedy.cost(year, cover.base, capacity)
    if contract.limit_usd_per_kwh is not None:
        amount = np.minimum(amount, np.maximum(contract.limit_usd_per_kwh - cover.paid, 0.0) * cover.base)
    amount = np.where(taken, amount, 0.0)
    cover.paid = cover.paid + np.divide(amount, cover.base, out=np.zeros_like(amount), where=cover.base > 0.0)
    cover.began = np.where(taken, year, cover.began)
    cover.dead &= ~taken
    cover.stopped = np.where(taken, np.inf, cover.stopped)
    cover.buried &= ~taken
    if not remedy.renewed:
        cover.covered &= ~taken
    return amount


def _with_site(
    cover: Cover,
    remedy: CashRemedy,
    amount: Float[Array, "draw pack"],
    capacity: Float[Array, "draw pack"],
    year: float,
) -> tuple[Float[Array, "draw pack"], Float[Array, "draw pack"]]:
    """Return what packs are paid, and their parts of what the site is paid beside, so that the larger is paid once.

    In all, payments come to what packs alone would have had until now or the site alone, whichever is more.
    """
    before = np.maximum(cover.pack_claims, cover.site_due)
    claimed = np.nansum(amount, axis=1)
    cover.pack_claims = cover.pack_claims + claimed
    if year > cover.contract.waiting_period_years:
        energy = np.nansum(cover.base, axis=1)
        held = np.nansum(cover.base * capacity, axis=1)
        level = float(guaranteed_level(cover.contract, np.array(year), "site_guarantee"))
        missing = np.maximum(level - np.divide(held, energy, out=np.full_like(held, level), where=energy > 0.0), 0.0)
        missing = np.maximum(missing, _unavailable(cover, capacity, year))
        due = (1.0 - cover.contract.owner_share) * remedy.owed(missing) * energy * cover.in_force(year)
        cover.site_due = np.maximum(cover.site_due, due)
    now = np.maximum(cover.pack_claims, cover.site_due) - before
    to_packs = np.minimum(now, claimed)
    share = np.divide(to_packs, claimed, out=np.zeros_like(now), where=claimed > 0.0)
    return np.asarray(amount * share[:, None]), _by_energy(cover, now - to_packs)


def _unavailable(cover: Cover, capacity: Float[Array, "draw pack"], year: float) -> Float[Array, " draw"]:
    """Return the share of covered packs in service that is missing to what is guaranteed [1]."""
    known = np.isfinite(cover.base) & cover.covered
    serving = np.sum(known & (capacity > 0.0), axis=1)
    level = float(guaranteed_level(cover.contract, np.array(year), "availability_guarantee"))
    share = np.divide(serving, known.sum(axis=1), out=np.full(len(known), level), where=known.any(axis=1))
    return np.maximum(level - share, 0.0)


def _for_unserved(cover: Cover, terms: Unserved, number: int, year: float) -> Float[Array, "draw pack"]:
    """Pay for energy that was not delivered since the inspection before, beyond what is allowed [USD]."""
    before = max(_before(cover.contract, number), cover.contract.waiting_period_years)
    if year <= before:
        return np.zeros_like(cover.base)
    total = cover.block.unserved
    since = interpolate(total, cover.time, year) - interpolate(total, cover.time, before)
    # Of a pack that ended before, nothing is asked and nothing allowed; of one that fails, not in that time either.
    serving = np.isfinite(interpolate(cover.block.further["energy_unserved"], cover.time, before))
    counted = np.isfinite(cover.base) & np.isfinite(since) & serving & cover.covered & ~cover.dead
    energy, missed = (np.sum(np.where(counted, each, 0.0), axis=1) for each in (cover.base, since))
    beyond = np.maximum(missed - terms.allowed_kwh_per_kwh * (year - before) * energy, 0.0)
    return _by_energy(cover, (1.0 - cover.contract.owner_share) * terms.usd_per_kwh * beyond * cover.in_force(year))


def _by_energy(cover: Cover, amount: Float[Array, " draw"]) -> Float[Array, "draw pack"]:
    """Divide an amount among the packs of a draw, by their base energy."""
    energy = np.nansum(cover.base, axis=1)[:, None]
    share = np.divide(cover.base, energy, out=np.zeros_like(cover.base), where=energy > 0.0)
    return np.asarray(amount[:, None] * share)
