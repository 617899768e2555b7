"""What service does to a batch of cells, day by day: the quantities both time-stepping modes advance."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes, SlowState, cyclable_lithium, lift, restrict
from fadecast.cell.control import Limits, Window
from fadecast.cell.health import electrode_window, pores_closed, stoichiometry_at
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.profile import Course, Profile, Stepping, run_profile
from fadecast.cell.series import Series
from fadecast.outcome import Outcome
from fadecast.pack.groups import group_charge, within_limits

KELVIN = 273.15

# A pack whose window has shrunk to this share of its nameplate is taken out of service.
_EXHAUSTED_SHARE = 0.3


class Service(NamedTuple):
    """A cell in service: its slow state and what has added up since the start, fields `(1, lanes)`."""

    slow: SlowState
    throughput: Lanes
    """Absolute charge [A.h]."""
    unserved: Lanes
    """Discharge energy demanded and not delivered [W.h]."""
    spilled: Lanes
    """Charging energy offered and not taken [W.h]."""
    degree_days: Lanes
    """Integral of the cell temperature [K.day]."""
    headroom: Lanes | None = None
    """Of a group of a pack above that of its fullest group [A.h]; None where each cell is by itself."""

    @classmethod
    def start(cls, slow: SlowState, headroom: Lanes | None = None) -> "Service":
        """Begin service."""
        zero = jnp.zeros_like(slow.sei)
        return cls(slow, zero, zero, zero, zero, headroom)


@dataclass(frozen=True)
class Operation:
    """How all cells of a run are operated: the lowered cell, its limits, the division of load steps, packs."""

    cell: CellModel
    limits: Limits
    stepping: Stepping
    load_step: float
    """Load step [s]."""
    series: Series | None = None
    """Lanes that are groups in series; None: each cell is by itself."""
    bleed: float = 0.0
    """Most that passive balancing takes from a group [A.h/day]."""

    @property
    def steps_per_day(self) -> int:
        """Load steps in a day."""
        return round(86400.0 / self.load_step)

    def run(
        self,
        y: Float[Array, "states lanes"],
        inputs: Inputs,
        window: Window,
        profile: Profile,
        spin_up: int = 0,
    ) -> Course:
        """Follow a profile; see `fadecast.cell.profile.run_profile`."""
        return run_profile(
            self.cell, self.limits, self.stepping, self.load_step, y, inputs, window, profile, spin_up, self.series
        )

    def begin_day(
        self, slow: SlowState, inputs: Inputs, state_of_charge: Lanes, ambient: Lanes, headroom: Lanes | None = None
    ) -> tuple[Float[Array, "states lanes"], Window]:
        """Rested full state at a state of charge (kept inside its limits) and an ambient temperature [K].

        Of groups in series, the state of charge is the pack's, the same in its lanes; a pack is balanced without a
        `headroom` [A.h].
        """
        window = electrode_window(self.cell, slow, inputs)
        if self.series is None:
            soc = jnp.clip(state_of_charge, self.limits.soc_min, self.limits.soc_max)
        else:
            apart = jnp.zeros_like(window.capacity) if headroom is None else headroom
            pack = within_limits(self.series, self.limits, window.capacity, apart, state_of_charge)
            soc = group_charge(self.series, window.capacity, apart, pack)
        return lift(self.cell, slow, stoichiometry_at(window, soc), ambient, inputs), window


def day_change(operation: Operation, course: Course, slow: SlowState) -> Service:
    """Difference that a profile of one day made to cells with this slow state."""
    first, last = (restrict(operation.cell, y, slow.inventory) for y in (course.start, course.end))
    row = operation.cell.rows["charge_throughput"]
    return Service(
        slow=jax.tree.map(jnp.subtract, last, first),
        throughput=course.end[row] - course.start[row],
        unserved=course.totals.unserved,
        spilled=course.totals.spilled,
        degree_days=course.totals.temperature_mean,
    )


def exhausted_capacity(cell: CellModel) -> float:
    """Capacity between the voltage limits below which a pack is taken out of service [A.h]."""
    return _EXHAUSTED_SHARE * cell.nominal_capacity


def judge(cell: CellModel, slow: SlowState, window: Window, change: Service) -> np.ndarray:
    """Outcome code of each lane at this slow state and with this change, NumPy fields, shape `(lanes,)`."""
    finite = np.isfinite(np.concatenate(jax.tree.leaves((slow, window, change)))).all(axis=0)
    active = np.concatenate([slow.active_fraction_ne, slow.active_fraction_pe])
    films = np.concatenate([slow.sei, slow.sei_cracks, slow.dead, cyclable_lithium(cell, slow)])
    physical = ((active > 0.0) & (active <= 1.0)).all(axis=0) & (films >= 0.0).all(axis=0)
    exhausted = window.capacity[0] < exhausted_capacity(cell)
    code = np.where(exhausted, Outcome.CAPACITY_EXHAUSTED, Outcome.COMPLETED)
    code = np.where(physical, code, Outcome.STATE_OUT_OF_BOUNDS)
    code = np.where(finite, code, Outcome.NOT_FINITE)
    # Last: where pores have closed, the rest has broken for it.
    return np.where(pores_closed(window), Outcome.PORES_CLOSED, code).astype(np.int8)
