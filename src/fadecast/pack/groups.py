"""A pack of groups in series: where each group stands in its window, and what that leaves of the pack.

The headroom of a group is the charge from where it stands to where it is full. Groups carry one current, so their
headrooms differ by what made them drift apart, whatever the pack does: a_g = h_g - min h, the relative headroom, is
what a pack carries beside the slow states of its groups. The group with a_g = 0 is full first. Between that and its
emptiest group being empty a pack holds Q_p = min_g (Q_g - a_g). Symbols: Q capacity [A.h], s state of charge of the
pack, q charge of a group above empty. All arrays are `(1, lanes)`, a cell of a group each (`fadecast.cell.series`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.balance import FARADAY, active_fraction
from fadecast.cell.control import Limits, Window, state_of_charge
from fadecast.cell.health import Health
from fadecast.cell.model import CellModel
from fadecast.cell.series import Lanes, Series


class Imbalance(NamedTuple):
    """What makes groups differ beside their slow states, each `(1, lanes)`."""

    headroom: Lanes
    """At the start of service [A.h]."""
    leakage: Lanes
    """Charge that a group loses by itself, which no side reaction of the model takes [A.h/day]."""

    @classmethod
    def none(cls, like: Lanes) -> "Imbalance":
        """Start balanced, without self-discharge."""
        return cls(jnp.zeros_like(like), jnp.zeros_like(like))


def headroom(cell: CellModel, y: Float[Array, "states lanes"], window: Window) -> Lanes:
    """Charge from a state to a full group [A.h]; the window is that of the state's own losses."""
    return (1.0 - state_of_charge(cell, y, window)) * window.capacity


def relative(series: Series, headroom: Lanes) -> Lanes:
    """Headroom above that of the fullest group of each pack [A.h], from 0."""
    return headroom - series.least(headroom)


def pack_capacity(series: Series, capacity: Lanes, headroom: Lanes) -> Lanes:
    """Charge that a pack holds, in each of its lanes [A.h]; 0 or less where no state fits all groups."""
    return series.least(capacity - relative(series, headroom))


def group_charge(series: Series, capacity: Lanes, headroom: Lanes, state_of_charge: Lanes) -> Lanes:
    """State of charge of each group at one of the pack [1]: q_g = Q_g - a_g - (1 - s) Q_p, over Q_g."""
    q = capacity - relative(series, headroom) - (1.0 - state_of_charge) * pack_capacity(series, capacity, headroom)
    return q / capacity


def within_limits(series: Series, limits: Limits, capacity: Lanes, headroom: Lanes, state_of_charge: Lanes) -> Lanes:
    """Move a pack's state of charge to where all groups are within the limits of theirs [1].

    Where they are too far apart for that the fullest group is at its upper limit.
    """
    whole, a = pack_capacity(series, capacity, headroom), relative(series, headroom)
    lowest, highest = (1.0 - ((1.0 - soc) * capacity - a) / whole for soc in (limits.soc_min, limits.soc_max))
    return jnp.clip(state_of_charge, series.most(lowest), series.least(highest))


def pack_health(series: Series, groups: Health, headroom: Lanes) -> Health:
    """Check-up of each pack, in each of its lanes, from those of its groups, per cell.

    Capacity is what C/10 gives from the fullest group being full to the first at its lower voltage limit, the groups
    as far apart as they are: no tester balances them first. Resistances in series add; the sum is given over the number
    of groups, as that of a mean cell [ohm].
    """
    return Health(pack_capacity(series, groups.capacity, headroom), series.mean(groups.resistance))


def bled(series: Series, headroom: Lanes, drift: Lanes, bleed: float, days: Float[Array, ""] | float) -> Lanes:
    """Let groups drift and be balanced for some days, exactly; return their headroom [A.h].

    A passive balancer discharges every group that stands above the emptiest one, by at most `bleed` a day, and none
    below that. With e_g the charge above the emptiest group and m the drift of that group, e_g' = m - drift_g - bleed,
    kept at 0 from below: straight lines until a group of more drift has come down to the emptiest one and leads from
    there on. Each group leads once at most. Without balancing this is a linear drift.

    Parameters
    ----------
    headroom
        At the start [A.h].
    drift
        Rate of the headroom by side reactions and self-discharge [A.h/day]. An amount that is common to the groups of a
        pack, here or in the headroom, comes back in the result and changes nothing else.
    bleed
        Most that balancing takes from a group [A.h/day], 0 or more.
    days
        How long [day].
    """
    lowest, drift = series.packs(series.most(headroom))[..., :1], series.packs(drift)
    excess = lowest - series.packs(headroom)

    def lead(_: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Go on until another group is the emptiest one, or to the end."""
        excess, lowest, left = carry
        m = jnp.where(excess <= 0.0, drift, -jnp.inf).max(axis=-1, keepdims=True)
        faster = drift > m
        arrival = jnp.where(faster, excess / jnp.where(faster, drift + bleed - m, 1.0), jnp.inf)
        span = jnp.minimum(left, arrival.min(axis=-1, keepdims=True))
        after = jnp.maximum(excess + (m - drift - bleed) * span, 0.0)
        # Zero, not what rounding leaves of it: that group leads from here.
        return jnp.where(arrival <= span, 0.0, after), lowest + m * span, left - span

    start = (excess, lowest, jnp.ones_like(lowest) * days)
    excess, lowest, _ = jax.lax.fori_loop(0, series.groups, lead, start)
    return (lowest - excess).reshape(headroom.shape)


def discharged(cell: CellModel, y: Float[Array, "states lanes"], charge: Lanes) -> Float[Array, "states lanes"]:
    """Take a charge [A.h] from groups without their terminals, as self-discharge and balancing do.

    Lithium goes from the negative to the positive particles, evenly over each electrode; none is lost.
    """
    moved = charge * 3600.0 / FARADAY
    for side, sign in (("ne", -1.0), ("pe", 1.0)):
        phase = cell.phases[side]
        rows = cell.rows[f"concentration_{side}"]
        change = sign * moved / (phase.volume * active_fraction(cell, y, side))
        y = y.at[rows].add(change / jnp.asarray(cell.scale[rows, None], y.dtype))
    return y
