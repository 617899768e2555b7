"""Fade under a laboratory protocol that is repeated for months: storage, or cycling between check-ups.

The multiscale method of `leap.py`, with a repeat of the protocol in place of typical days: at a macro time the slow
state is lifted, the protocol is run twice, and what the second run changes, over the time that it takes, is the rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.aged import Lanes, SlowState, restrict
from fadecast.cell.control import Window
from fadecast.cell.extremes import Extremes
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT
from fadecast.cell.protocol import Instruction, Precision, run_protocol
from fadecast.decades.accuracy import deviation
from fadecast.decades.macro import Evaluated, History, Leap, Macro, Passed
from fadecast.decades.service import Operation, Service
from fadecast.outcome import Outcome

_DAY = 86400.0


@dataclass(frozen=True, eq=False)
class Regime:
    """What is repeated."""

    state_of_charge: Lanes
    """At the start of a repeat [1], `(1, lanes)`."""
    ambient: Lanes
    """[K], `(1, lanes)`."""
    protocol: Callable[[Lanes], tuple[Instruction, ...]]
    """One repeat, for cells of these capacities [A.h]; as many instructions whatever they are."""


def follow(
    operation: Operation,
    settings: Leap,
    slow: SlowState,
    inputs: Inputs,
    regime: Regime,
    times: np.ndarray,
    precision: Precision | None = None,
    passed: Passed = lambda days: None,
) -> History:
    """Advance a batch of cells through the given times under a protocol that is repeated.

    All lanes share the macro steps; each comes to the ends of its own instructions. A lane that cannot follow the
    protocol is frozen.

    Parameters
    ----------
    operation
        Of the cell; its limits are those of the state of charge only.
    slow
        Slow state at time 0, fields `(1, lanes)`.
    inputs
        PyBaMM input parameters, each `(1, lanes)`.
    regime
        What is repeated.
    times
        Of the history [day], increasing from 0.
    precision
        Of the time steps of the protocol.
    passed
        Told of the days that each macro step passed.
    """
    repeats = _Repeats(operation, inputs, regime, precision or Precision())
    lanes = regime.ambient.shape[1]
    outcome = np.full(lanes, Outcome.COMPLETED, dtype=np.int8)
    macro = Macro(repeats, settings, outcome, np.ones(lanes, dtype=bool), passed=passed)
    return macro.run(Service.start(slow), np.asarray(times, float))


def cycles_per_day(
    operation: Operation, slow: SlowState, inputs: Inputs, regime: Regime, precision: Precision | None = None
) -> Float[np.ndarray, " lanes"]:
    """Return the equivalent full cycles of nominal capacity that cells of a slow state pass in a day."""
    repeats = _Repeats(operation, inputs, regime, precision or Precision())
    rate = repeats.rates(Service.start(slow), np.ones(slow.sei.shape[1], dtype=bool)).rate
    return np.asarray(rate.throughput[0]) / (2.0 * operation.cell.nominal_capacity)


class _Repeats:
    """A protocol in place of days; see `fadecast.decades.macro.Days`."""

    def __init__(self, operation: Operation, inputs: Inputs, regime: Regime, precision: Precision) -> None:
        self.operation, self.regime, self.precision = operation, regime, precision
        self.inputs = {**inputs, AMBIENT: regime.ambient}
        self.cell_days = 0.0

    def rates(self, state: Service, running: np.ndarray) -> Evaluated:
        """Run the protocol twice; see `Days`."""
        slow = jax.tree.map(jnp.asarray, state.slow)
        y, window = _begun(self.operation, slow, self.inputs, self.regime.state_of_charge, self.regime.ambient)
        protocol = self.regime.protocol(window.capacity)
        first, _ = run_protocol(self.operation.cell, y, self.inputs, protocol, self.precision)
        first = _as_at_start(self.operation, y, first)
        last, record = run_protocol(self.operation.cell, first, self.inputs, protocol, self.precision)
        days = record.duration.sum(axis=0, keepdims=True) / _DAY
        rate, hottest = _change(self.operation, slow, first, last, days, self.regime.ambient)
        to_numpy = partial(jax.tree.map, np.asarray)
        # Of a protocol currents and charges are given, and no forecast asks for them.
        unknown = np.full(len(hottest), np.nan)
        extremes = Extremes(np.asarray(hottest), unknown, unknown, unknown)
        return Evaluated(to_numpy(rate), extremes, to_numpy(window), site=None)

    def deviation(self, one: SlowState, other: SlowState) -> np.ndarray:
        """Compare two slow states; see `Days`."""
        return deviation(self.operation.cell, self.inputs, one, other)


@partial(jax.jit, static_argnums=0)
def _begun(
    operation: Operation, slow: SlowState, inputs: Inputs, state_of_charge: Lanes, ambient: Lanes
) -> tuple[Float[Array, "states lanes"], Window]:
    return operation.begin_day(slow, inputs, state_of_charge, ambient)


@partial(jax.jit, static_argnums=0)
def _as_at_start(
    operation: Operation, start: Float[Array, "states lanes"], end: Float[Array, "states lanes"]
) -> Float[Array, "states lanes"]:
    """Take back what a repeat has aged: it was run for concentrations and temperature, and rates are those of now."""
    for name in SlowState._fields:
        if name in operation.cell.rows:
            rows = operation.cell.rows[name]
            end = end.at[rows].set(start[rows])
    return end


@partial(jax.jit, static_argnums=0)
def _change(
    operation: Operation,
    slow: SlowState,
    first: Float[Array, "states lanes"],
    last: Float[Array, "states lanes"],
    days: Lanes,
    ambient: Lanes,
) -> tuple[Service, Float[Array, " lanes"]]:
    """Change of a cell per day, from one end of the protocol to the next; highest temperature there [K]."""
    cell = operation.cell
    before, after = (restrict(cell, y, slow.inventory) for y in (first, last))
    row = cell.rows["charge_throughput"]
    none = jnp.zeros_like(days)
    change = Service(
        slow=jax.tree.map(lambda a, b: (b - a) / days, before, after),
        throughput=(last[row] - first[row]) / days,
        unserved=none,
        spilled=none,
        degree_days=ambient + none,
    )
    return change, cell.physical(last, "temperature")[0]
