"""Where a time step of a tester ends: what becomes of one that was tried, lane by lane.

A time step is repeated shorter where a signal bends more than allowed, and repeated to end at a limit where it passed
one. At a limit its length is a function of the state, so that forward derivatives are those of the exact crossing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Lanes = Float[Array, "1 lanes"]
Flags = Bool[Array, "1 lanes"]

# A limit counts as met within this of its voltage [V], or of its current [1/h] or charge [1] over nominal capacity,
# once a repetition moved the end of the time step by no more than this share.
_MET, _SETTLED = 1e-6, 1e-3

_MOST_REPEATS = 8

# Shortest time step [s]; how much lengths may change, and must where they have to shrink.
_SHORTEST = 1e-6
_LEAST, _GROW, _SHRINK = 0.1, 4.0, 0.5


class Signals(NamedTuple):
    """What is watched for bends and limits, or its rate [1/s], each `(1, lanes)`."""

    voltage: Lanes
    """[V]"""
    current: Lanes
    """Discharge positive [A]."""
    temperature: Lanes
    """[K]; 0 where it is not a state."""
    charge: Lanes
    """Discharged since the cell was lifted, in all [A.h]."""


class Ends(NamedTuple):
    """What ends an instruction, each `(1, lanes)`; limits are not a number where there are none."""

    discharging: Flags
    """Whether the voltage limit is met by falling, that of the charge by rising."""
    duration: Lanes
    """[s]"""
    voltage: Lanes
    """[V]"""
    current: Lanes
    """Size to which it falls [A]."""
    charge: Lanes
    """[A.h]"""


class Attempt(NamedTuple):
    """A time step that was tried, each `(1, lanes)`."""

    began: Signals
    slopes: Signals
    """At its start; no derivative is taken of them."""
    elapsed: Lanes
    """Of the instruction at its start [s]."""
    repeats: Int[Array, "1 lanes"]
    """How often it was repeated to end at a limit."""
    shift: Lanes
    """Relative change of the length by the last of these, 1 before."""
    length: Lanes
    """[s]"""
    ended: Signals


class Verdict(NamedTuple):
    """What becomes of it, each `(1, lanes)`."""

    accepted: Flags
    finished: Flags
    """The instruction has come to its end."""
    limited: Flags
    """By a limit."""
    locating: Flags
    """To be repeated to end at a limit."""
    stuck: Flags
    """Rejected, and cannot be shorter."""
    length: Lanes
    """Of the next try of the same instruction [s]."""


def judge(ends: Ends, allowed: tuple[float, ...], nominal_capacity: float, attempt: Attempt) -> Verdict:
    """Decide what becomes of a time step.

    Parameters
    ----------
    allowed
        How far each of the `Signals` may leave a straight line.
    nominal_capacity
        Scale of currents and charges [A.h].
    """
    close = _MET * jnp.asarray([[1.0], [nominal_capacity], [nominal_capacity]], attempt.length.dtype)
    bend = jax.lax.stop_gradient(_bend(allowed, attempt))
    accurate = bend <= 1.0
    before, margin = (_margins(ends, signals) for signals in (attempt.began, attempt.ended))
    at_limit, beyond, already = (
        jnp.any(where, axis=0, keepdims=True) for where in (jnp.abs(margin) <= close, margin < close, before <= close)
    )
    whole = attempt.length >= (ends.duration - attempt.elapsed) * (1.0 - 1e-12)
    met = accurate & at_limit & ~already & (jnp.abs(attempt.shift) <= _SETTLED)
    locating = accurate & ~already & ~met & (beyond | ((attempt.repeats > 0) & ~whole))
    # A long step may be too rough to end at a limit: go there in shorter ones.
    rough = locating & (attempt.repeats >= _MOST_REPEATS)
    locating, accurate = locating & ~rough, accurate & ~rough
    expired = accurate & ~already & ~met & ~locating & whole
    change = jnp.clip(0.9 / jnp.sqrt(jnp.maximum(bend, 1e-30)), _LEAST, _GROW)
    change = jnp.where(accurate, change, jnp.minimum(change, _SHRINK))
    usual = jnp.maximum(jax.lax.stop_gradient(attempt.length) * change, _SHORTEST)
    return Verdict(
        accepted=accurate & ~already & ~locating,
        finished=already | met | expired,
        limited=already | met,
        locating=locating,
        stuck=~accurate & ~rough & ~already & (attempt.length <= _SHORTEST),
        length=jnp.where(locating, _crossing(ends, attempt), usual),
    )


def _margins(ends: Ends, signals: Signals) -> Float[Array, "3 lanes"]:
    """Distances of voltage [V], current [A] and charge [A.h] from their limits; 1 where there is none."""
    above = signals.voltage - ends.voltage
    voltage = jnp.where(jnp.isnan(ends.voltage), 1.0, jnp.where(ends.discharging, above, -above))
    current = jnp.where(jnp.isnan(ends.current), 1.0, jnp.abs(signals.current) - ends.current)
    left = ends.charge - signals.charge
    charge = jnp.where(jnp.isnan(ends.charge), 1.0, jnp.where(ends.discharging, left, -left))
    return jnp.concatenate([voltage, current, charge])


def _bend(allowed: tuple[float, ...], attempt: Attempt) -> Lanes:
    """How far signals left straight lines, over what is allowed; infinite where the step failed."""
    away = [
        jnp.abs(ended - began - rate * attempt.length) / each
        for began, rate, ended, each in zip(attempt.began, attempt.slopes, attempt.ended, allowed, strict=True)
    ]
    bend = jnp.max(jnp.concatenate(away), axis=0, keepdims=True)
    return jnp.where(jnp.isfinite(bend), bend, jnp.inf)


def _crossing(ends: Ends, attempt: Attempt) -> Lanes:
    """Length at which the first limit is met, on parabolas through the start, its slope and the end.

    Its derivative is that of a Newton step from the end: the crossing moves by the margin there over its slope.
    """
    length, slopes = attempt.length, attempt.slopes
    margin = _margins(ends, attempt.ended)
    low, high = (jax.lax.stop_gradient(each) for each in (_margins(ends, attempt.began), margin))
    span = jnp.maximum(jax.lax.stop_gradient(length), 1e-30)
    falling = jnp.where(ends.discharging, slopes.voltage, -slopes.voltage)
    shrinking = jnp.sign(jax.lax.stop_gradient(attempt.began.current)) * slopes.current
    filling = jnp.where(ends.discharging, -slopes.charge, slopes.charge)
    limits, rates = (ends.voltage, ends.current, ends.charge), (falling, shrinking, filling)
    slope = jnp.concatenate([jnp.where(jnp.isnan(a), 0.0, b) for a, b in zip(limits, rates, strict=True)])
    bend = (high - low - slope * span) / span**2
    root = jnp.sqrt(jnp.maximum(slope**2 - 4.0 * bend * low, 0.0)) - slope
    crossings = jnp.where(root > 0.0, 2.0 * low / jnp.where(root > 0.0, root, 1.0), jnp.inf)
    first = jnp.argmin(crossings, axis=0)[None]
    margin, high, tip, crossing = (
        jnp.take_along_axis(each, first, axis=0) for each in (margin, high, slope + 2.0 * bend * span, crossings)
    )
    moved = length - jax.lax.stop_gradient(length) - (margin - high) / jnp.where(tip == 0.0, -1.0, tip)
    return jnp.clip(crossing, 0.0, 2.0 * span) + moved
