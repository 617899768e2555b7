"""Macro steps: the adaptive Heun method that advances the slow state of coupled or single packs over years.

Its estimated error in capacity and resistance controls the step (the method: E et al., Commun. Comput. Phys. 2, 367,
2007). What days do to a slow state is asked of a `Days`, which knows whether packs feel each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le

from fadecast.cell.aged import SlowState
from fadecast.cell.control import Window
from fadecast.cell.extremes import Extremes, of_nothing, stacked
from fadecast.cell.health import CLOSED
from fadecast.decades.accuracy import Rates, heun_error
from fadecast.decades.packs import judge_packs, moved_apart
from fadecast.decades.service import Operation, Service, exhausted_capacity
from fadecast.decades.straightened import advance, between, relax, straight_rate, straighten
from fadecast.outcome import Outcome
from fadecast.settings import settings

_SAFETY, _SHRINK, _GROW = 0.9, 0.3, 3.0

_RESOLVED_FAILURE = 10.0  # [day]
_SHORTEST = 1.0  # [day]: a step that is shorter costs more than its days, and rates have some noise
_BROKEN = (Outcome.NOT_FINITE, Outcome.STATE_OUT_OF_BOUNDS)
_AT_END = [outcome for outcome in Outcome if outcome.end_of_life]


@settings
class Leap:
    """How the slow state is advanced."""

    tolerance: Annotated[float, Gt(0), Le(0.05)] = 2e-4
    """Largest estimated error of one macro step in SOH, lithium inventory or active material of the new cell [1],
    and of a tenth of that in resistance. Those of the steps add up."""
    first_step_days: Annotated[float, Gt(0), Le(3650)] = 30.0
    """First macro step [day]."""
    longest_step_days: Annotated[float, Ge(1), Le(3650)] = 730.0
    """Longest macro step [day]."""


Passed = Callable[[float], None]
"""Told of days that have passed."""


class SiteDay(NamedTuple):
    """Sites on an average day."""

    energy: np.ndarray
    """Energies per day [kW.h] in the order of `SITE_ENERGIES`, `(sites, energies)`."""
    capability: np.ndarray
    """Capacity of the packs that run over that of all packs at the start [1], `(sites,)`."""


SITE_ENERGIES = ("unserved", "spilled", "curtailed", "generator", "grid")


class Evaluated(NamedTuple):
    """What the days do to packs at their slow state."""

    rate: Service
    """Change per day, fields `(1, lanes)`."""
    extremes: Extremes
    """Of the days, fields `(lanes,)`."""
    window: Window
    """Electrode windows, fields `(1, lanes)`."""
    site: SiteDay | None
    """None where packs do not feel each other."""


class Days(Protocol):
    """What a day does to the packs of a batch, on average."""

    operation: Operation
    cell_days: float
    """Days simulated in one evaluation, summed over lanes."""

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        """Run the typical days at a state; lanes that do not run carry nothing."""

    def deviation(self, one: SlowState, other: SlowState) -> np.ndarray:
        """Compare two slow states; see `fadecast.decades.accuracy.deviation`. Shape `(lanes,)`."""


class Swaps(Protocol):
    """Replaces packs in service."""

    def stops(self, end: float) -> np.ndarray:
        """Return the times [day] before `end` at which packs may be swapped."""

    def swap(self, slow: SlowState, capacity: np.ndarray) -> tuple[np.ndarray, SlowState]:
        """Swap packs of these capacities [A.h]: which lanes, and the slow state after it."""

    def replaced(self) -> np.ndarray:
        """Return how many packs of each site were swapped so far."""


@dataclass(frozen=True)
class History:
    """A batch of cells over its service, at the requested times.

    Attributes
    ----------
    service
        Fields of shape `(times, 1, lanes)`. A pack that was swapped keeps what it was on its last day.
    extremes
        Of the days run up to each time, fields `(times, lanes)`.
    outcome
        Outcome code, shape `(lanes,)`.
    last_good
        Last time at which a failed lane was sound [day], infinite where none failed, shape `(lanes,)`.
    cell_days
        Days simulated, summed over lanes.
    macro_steps
        Times between which the slow state was advanced [day], from 0; of the leap only.
    site
        Quantities of sites, each of shape `(times, sites)`: `SITE_ENERGIES` since the start [kW.h], `capability` [1]
        and packs replaced so far, `replacements`. Empty where packs do not feel each other.
    """

    service: Service
    extremes: Extremes
    outcome: np.ndarray
    last_good: np.ndarray
    cell_days: float
    macro_steps: np.ndarray
    site: Mapping[str, np.ndarray]


class _Here(NamedTuple):
    """What running the days at a state gives, in straightened variables."""

    rate: Service
    codes: np.ndarray
    capacity: np.ndarray
    """Between the voltage limits at rest, of whole packs [A.h], shape `(lanes,)`."""
    porosity: np.ndarray
    """Least of whole packs [1], shape `(lanes,)`; 1 where films take none of it."""
    site: SiteDay | None


class Macro:
    """The macro loop of one batch, with what it remembers from step to step.

    Parameters
    ----------
    outcome
        Outcome codes of lanes known to have failed before the start, shape `(lanes,)`.
    counted
        Which lanes are packs; the rest only fill up tiles and are in no error. Shape `(lanes,)`.
    swaps
        Replaces packs; none are where it is not given.
    passed
        Told of the days that each step passed.
    """

    def __init__(
        self,
        days: Days,
        settings: Leap,
        outcome: np.ndarray,
        counted: np.ndarray,
        swaps: Swaps | None = None,
        passed: Passed = lambda days: None,
    ) -> None:
        self.days, self.settings, self.counted, self.swaps, self.passed = days, settings, counted, swaps, passed
        self.outcome = outcome.astype(np.int8)
        self.running = self.outcome == Outcome.COMPLETED
        self.last_good = np.where(self.running, np.inf, -np.inf)
        self.extremes = of_nothing(len(outcome))
        self.original = np.ones(len(outcome), dtype=bool)
        self.evaluations = 0

    def run(self, start: Service, times: np.ndarray) -> History:
        """March through the times [day]; states and rates are kept in the straightened variables."""
        time, wanted, before_end = 0.0, self.settings.first_step_days, np.inf
        stops = np.append(self.swaps.stops(times[-1]) if self.swaps else [], times[-1])
        # The macro loop is plain NumPy: only the days themselves are worth compiling.
        start = jax.tree.map(np.asarray, start)
        state = straighten(start)
        here = self._evaluate(state)
        self._mark(here.codes != Outcome.COMPLETED, here.codes, -np.inf)
        output, ends, before = _Output(start, self.extremes, here.site), [time], None
        while time < times[-1]:
            allowed = min(wanted, self.settings.longest_step_days, stops[stops > time * (1 + 1e-12)][0] - time)
            step = min(allowed, before_end)
            predicted = self._advance(state, here.rate, step)
            ahead = self._evaluate(predicted)
            mean_rate = jax.tree.map(lambda a, b: 0.5 * (a + b), here.rate, ahead.rate)
            new = self._advance(state, mean_rate, step)
            there = self._evaluate(new)
            worst = np.maximum(ahead.codes, there.codes)
            broken = self.running & (np.isin(ahead.codes, _BROKEN) | np.isin(there.codes, _BROKEN))
            ending = broken | (self.running & (worst == Outcome.PORES_CLOSED))
            error = self._error(new, heun_error(step, Rates(here.rate, ahead.rate, there.rate), before), ending)
            change = float(np.clip(_SAFETY * np.cbrt(self.settings.tolerance / max(error, 1e-30)), _SHRINK, _GROW))
            if error > self.settings.tolerance and step > _SHORTEST:
                wanted = max(step * change, _SHORTEST)
                continue
            if ending.any() and step > _RESOLVED_FAILURE:
                # An end that no error tells of: pass it in a short step, so that its time is not an artefact of one.
                if broken.any():
                    wanted = max(_SHRINK * step, _RESOLVED_FAILURE)
                else:
                    before_end = _short_of(min(self._open_for(here, there, step), step))
                continue
            crossed = time + step * self._crossing(here, there)
            self._mark(broken, worst, time)
            self._mark(np.isin(there.codes, _AT_END), there.codes, crossed)
            new = jax.tree.map(lambda old, value: np.where(broken, old, value), state, new)  # noqa: B023
            there = there._replace(rate=self._standing_still(there.rate))
            passed = times[(times > time) & (times <= (time + step) * (1 + 1e-12))]
            for at in passed:
                row = relax(between(state, here.rate, new, there.rate, step, (at - time) / step))
                output.add(self._apart(row, state, mean_rate, at - time), self.original, self.extremes)
            output.add_site(time, step, here.site, there.site, passed)
            self.passed(step)
            # A stop is met to the last bit, for it is asked for by value.
            nearest = stops[np.abs(stops - (time + step)).argmin()]
            time = nearest if abs(nearest - (time + step)) < 1e-9 * nearest else time + step
            before = step, here.rate
            before_end = _short_of(self._open_for(here, there, step) - step)
            # A step that is short for an end says little of how long those after it can be.
            wanted = max(step * change, _SHORTEST if step == allowed else wanted)
            state, here = new, there
            ends.append(time)
            if self.swaps and time in stops[:-1]:
                state, after = self._swap(self.swaps, state, here, output)
                before, here = (before if after is here else None), after
        return History(
            service=output.service(),
            extremes=stacked(output.extremes),
            outcome=self.outcome,
            last_good=self.last_good,
            cell_days=self.evaluations * self.days.cell_days,
            macro_steps=np.array(ends),
            site=output.site(),
        )

    def _evaluate(self, state: Service) -> _Here:
        """Run the days at a state; lanes that ended stand still."""
        relaxed = relax(state)
        found = self.days.rates(relaxed, self.running)
        self.evaluations += 1
        judged, capacity, porosity = judge_packs(self.days.operation, relaxed, found.window, found.rate)
        codes = np.where(self.running, judged, self.outcome)
        sound = self.running & (codes == Outcome.COMPLETED)
        counts = sound & self.original
        most = self.extremes.beyond(found.extremes)
        self.extremes = jax.tree.map(lambda new, old: np.where(counts, new, old), most, self.extremes)
        rate = found.rate._replace(slow=straight_rate(relaxed.slow, found.rate.slow))
        return _Here(self._standing_still(rate), codes, capacity, porosity, found.site)

    def _advance(self, state: Service, rate: Service, step: float) -> Service:
        """Go on at a rate for some days."""
        return self._apart(advance(state, rate, step), state, rate, step)

    def _apart(self, new: Service, state: Service, rate: Service, days: float) -> Service:
        """Return a new state with headrooms as after some days from a state: balancing is no rate, it ends at zero."""
        if state.headroom is None or rate.headroom is None:
            return new
        return new._replace(headroom=moved_apart(self.days.operation, state.headroom, rate.headroom, days))

    def _swap(self, swaps: Swaps, state: Service, here: _Here, output: "_Output") -> tuple[Service, _Here]:
        """Let packs be swapped; new ones start counting, and the old ones keep what they were."""
        relaxed = relax(state)
        lanes, slow = swaps.swap(relaxed.slow, here.capacity)
        lanes = lanes & self.counted
        if not lanes.any():
            return state, here
        output.keep(relaxed, lanes & self.original)
        self._mark(lanes & self.original, np.full(len(lanes), Outcome.REPLACED), np.inf)
        self.original, self.running = self.original & ~lanes, self.running | lanes
        output.replacements = swaps.replaced()
        fresh = Service.start(slow, None if state.headroom is None else jnp.zeros_like(state.headroom))
        state = straighten(jax.tree.map(lambda old, new: np.where(lanes, new, old), relaxed, fresh))
        return state, self._evaluate(state)

    def _standing_still(self, rate: Service) -> Service:
        """Rates with lanes that ended, or cannot be evaluated, set to zero."""
        return jax.tree.map(lambda value: np.where(self.running & np.isfinite(value), value, 0.0), rate)

    def _mark(self, lanes: np.ndarray, codes: np.ndarray, last_good: np.ndarray | float) -> None:
        """Record how lanes that run end, and until when the packs that began in them were sound."""
        lanes = lanes & self.running
        first = lanes & self.original
        self.last_good = np.where(first, last_good, self.last_good)
        self.outcome = np.where(first, codes, self.outcome).astype(np.int8)
        self.running = self.running & ~lanes

    def _crossing(self, here: _Here, there: _Here) -> np.ndarray:
        """Share of the step at which each lane's capacity or porosity fell to what is taken out of service."""

        def share(before: np.ndarray, after: np.ndarray, limit: float) -> np.ndarray:
            lost = np.maximum(before - after, 1e-30)
            return np.where(after < limit, np.clip((before - limit) / lost, 0.0, 1.0), 1.0)

        capacity = share(here.capacity, there.capacity, exhausted_capacity(self.days.operation.cell))
        return np.minimum(capacity, share(here.porosity, there.porosity, CLOSED))

    def _open_for(self, here: _Here, there: _Here, step: float) -> float:
        """Days from `here` until pores close first in a lane that runs, at the pace of a step."""
        lost = here.porosity - there.porosity
        closing = self.running & (lost > 0.0)
        return float((step * (here.porosity - CLOSED)[closing] / lost[closing]).min(initial=np.inf))

    def _error(self, new: Service, error: Service, ending: np.ndarray) -> float:
        """Largest `deviation` that an error makes over the lanes that go on, headrooms of groups included."""
        cell, series = self.days.operation.cell, self.days.operation.series
        right = jax.tree.map(lambda value, off: value + off, new, error)
        off = self.days.deviation(relax(new).slow, relax(right).slow)
        if series is not None and error.headroom is not None:
            # What the groups of a pack have in common means nothing.
            apart = series.most(error.headroom) - series.least(error.headroom)
            off = np.maximum(off, np.asarray(apart[0]) / cell.nominal_capacity)
        return float(off[self.running & self.counted & ~ending & np.isfinite(off)].max(initial=0.0))


class _Output:
    """Rows at the requested times."""

    def __init__(self, start: Service, extremes: Extremes, site: SiteDay | None) -> None:
        self.rows, self.extremes = [start], [extremes]
        self.kept: Service | None = None
        self.site_rows: list[tuple[np.ndarray, ...]] = []
        if site is not None:
            self.energy, self.replacements = np.zeros_like(site.energy), np.zeros_like(site.capability)
            self.site_rows.append((self.energy, site.capability, self.replacements))

    def add(self, row: Service, original: np.ndarray, extremes: Extremes) -> None:
        """Add the packs at one time."""
        if self.kept is not None:
            row = jax.tree.map(lambda last, now: np.where(original, now, last), self.kept, row)
        self.rows.append(row)
        self.extremes.append(extremes)

    def keep(self, last: Service, lanes: np.ndarray) -> None:
        """Keep what packs were on their last day."""
        before = self.kept or last
        self.kept = jax.tree.map(lambda old, new: np.where(lanes, new, old), before, last)

    def add_site(self, time: float, step: float, here: SiteDay | None, there: SiteDay | None, at: np.ndarray) -> None:
        """Add up a step of the sites, their rates taken as linear in time, and read them at some times in it."""
        if here is None or there is None:
            return

        def after(days: float) -> tuple[np.ndarray, np.ndarray]:
            share = days / step
            energy = self.energy + days * (here.energy + 0.5 * share * (there.energy - here.energy))
            return energy, here.capability + share * (there.capability - here.capability)

        self.site_rows += [(*after(each - time), self.replacements) for each in at]
        self.energy = after(step)[0]

    def service(self) -> Service:
        """Return the packs, fields `(times, 1, lanes)`."""
        return jax.tree.map(lambda *parts: np.stack(parts), *self.rows)

    def site(self) -> dict[str, np.ndarray]:
        """Return the sites, each quantity `(times, sites)`."""
        if not self.site_rows:
            return {}
        energy, capability, replacements = (np.array(part) for part in zip(*self.site_rows, strict=True))
        return {
            **dict(zip(SITE_ENERGIES, np.moveaxis(energy, -1, 0), strict=True)),
            "capability": capability,
            "replacements": replacements,
        }


def _short_of(days: float) -> float:
    """Return the step towards an end that is so many days off: halfway into the short one that passes it."""
    return max(days - 0.5 * _RESOLVED_FAILURE, _RESOLVED_FAILURE)
