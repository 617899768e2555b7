"""What a tester would measure on an aged cell: electrode windows, capacities, pulse resistances, modes of degradation.

`check_up` is what a forecast takes at every output time: from rest at the upper limit, which is what a tester's charge
approaches. `laboratory_check_up` follows a tester's protocol instruction by instruction.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fadecast.cell.aged import Lanes, SlowState, cyclable_lithium, fresh_state, lift
from fadecast.cell.balance import FARADAY
from fadecast.cell.control import Control, Delivery, Held, Setting, Window, hold
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, POROSITY, CellModel
from fadecast.cell.protocol import USUAL, Instruction, Precision, Record, rest, run_protocol
from fadecast.cell.quadrature import Rule
from fadecast.cell.stepper import take_step

# 50 halvings leave 1e-15 of a stoichiometry; a correction that is larger than this is of a limit that is not met.
_HALVINGS, _LARGEST_CORRECTION = 50, 1e-9

_VOLTAGE_MET = 1e-3  # [V]

CLOSED = 0.05
"""Of a volume that films leave to the electrolyte [1]: beyond, a DFN runs into a knee, and no SPMe says what comes of
it (experiments/knee_dfn)."""

# Nodes of the C/10 discharge as shares of the equilibrium capacity: fine where the voltage drops to its limit.
_DISCHARGE_NODES = np.concatenate([np.linspace(0.0, 0.9, 19)[:-1], np.linspace(0.9, 1.0, 41)])

_CAPACITY_RULE, _PULSE_RULE = Rule(2, 4), Rule(4, 4)

_PULSE_SECONDS, _FIRST_READING = 10.0, 0.1

# Instructions of the laboratory protocol: both discharges, the rest before the pulse and its two parts.
_C10, _C2, _PULSE = 3, 8, (14, 15, 16)


class Health(NamedTuple):
    """Results of a check-up at the reference temperature, each `(1, lanes)`."""

    capacity: Lanes
    """C/10 discharge capacity between the voltage limits [A.h]."""
    resistance: Lanes
    """Resistance of a 10 s 1C discharge pulse at half charge [ohm]."""


class Degradation(NamedTuple):
    """What a cell has lost since it was new, first life included, each `(1, lanes)`."""

    lli: Lanes
    """Loss of lithium inventory over first-life inventory [1]."""
    lam_ne: Lanes
    """Loss of negative active material over its first-life volume fraction [1]."""
    lam_pe: Lanes
    """Loss of positive active material over its first-life volume fraction [1]."""


class LaboratoryHealth(NamedTuple):
    """Results of `laboratory_protocol`, each `(1, lanes)`; not a number where the cell could not be brought through."""

    capacity_c10: Lanes
    """C/10 discharge capacity [A.h]."""
    capacity_c2: Lanes
    """C/2 discharge capacity [A.h]."""
    resistance_100ms: Lanes
    """Resistance of a 1C discharge pulse of 0.1 s at half charge [ohm]."""
    resistance_10s: Lanes
    """The same after 10 s [ohm]."""
    degradation: Degradation
    """Before the check-up."""


def electrode_window(cell: CellModel, slow: SlowState, inputs: Inputs) -> Window:
    """Find the negative stoichiometries at which the rested cell meets its voltage limits.

    The open-circuit voltage rises with the negative stoichiometry at constant cyclable lithium, so each limit is
    found by bisection between the points where either electrode is empty or full. A limit that cannot be met is
    returned as the end of that range. Halving has no derivative; a Newton step at its end has that of the limit.
    """
    temperature = jnp.full_like(slow.sei, cell.reference_temperature)
    lithium = cyclable_lithium(cell, slow)
    sites_ne = slow.active_fraction_ne * cell.negative.volume * cell.negative.maximum_concentration
    sites_pe = slow.active_fraction_pe * cell.positive.volume * cell.positive.maximum_concentration
    low = jnp.clip((lithium - sites_pe) / sites_ne, 0.0, 1.0)
    high = jnp.clip(lithium / sites_ne, 0.0, 1.0)
    rest = {**inputs, AMBIENT: temperature, CURRENT: jnp.zeros_like(temperature)}

    def crossing(limit: float) -> Lanes:
        def volts(stoichiometry: Lanes) -> Lanes:
            return cell.voltage(lift(cell, slow, stoichiometry, temperature, inputs), rest)

        def halve(_: int, bracket: tuple[Lanes, Lanes]) -> tuple[Lanes, Lanes]:
            below, above = bracket
            middle = 0.5 * (below + above)
            under = volts(middle) < limit
            return jnp.where(under, middle, below), jnp.where(under, above, middle)

        below, above = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
        found = jax.lax.stop_gradient(0.5 * (below + above))
        voltage, slope = jax.jvp(volts, (found,), (jnp.ones_like(found),))
        correction = (limit - voltage) / jax.lax.stop_gradient(slope)
        return found + jnp.where(jnp.abs(correction) < _LARGEST_CORRECTION, correction, 0.0)

    empty, full = (crossing(limit) for limit in cell.voltage_limits)
    porosity = None
    if cell.pores_close:
        y = lift(cell, slow, jnp.full_like(low, 0.5), temperature, inputs)
        porosity = cell.evaluate(y, rest)[POROSITY].min(axis=0, keepdims=True)
    return Window(empty, full, (full - empty) * sites_ne * FARADAY / 3600.0, porosity)


def window_met(cell: CellModel, slow: SlowState, inputs: Inputs, window: Window) -> Bool[Array, " lanes"]:
    """Tell whether the rested cell really meets both voltage limits at the ends of its window, its pores open."""
    temperature = jnp.full_like(slow.sei, cell.reference_temperature)
    rest = {**inputs, AMBIENT: temperature, CURRENT: jnp.zeros_like(temperature)}
    empty, full = (
        cell.voltage(lift(cell, slow, stoichiometry, temperature, inputs), rest)
        for stoichiometry in (window.stoichiometry_empty, window.stoichiometry_full)
    )
    low, high = cell.voltage_limits
    return ((abs(empty - low) < _VOLTAGE_MET) & (abs(full - high) < _VOLTAGE_MET))[0] & ~pores_closed(window)


def pores_closed(window: Window) -> Bool[Array, " lanes"]:
    """Tell whether films have closed the pores of an electrode."""
    if window.porosity is None:
        return jnp.zeros(window.capacity.shape[1], bool)
    return window.porosity[0] < CLOSED


def stoichiometry_at(window: Window, state_of_charge: Lanes) -> Lanes:
    """Negative stoichiometry at a state of charge of the aged cell [1]."""
    return window.stoichiometry_empty + state_of_charge * (window.stoichiometry_full - window.stoichiometry_empty)


def check_up(cell: CellModel, slow: SlowState, inputs: Inputs) -> Health:
    """Measure capacity and resistance as a tester does, at the reference temperature, on a copy of the cell."""
    window = electrode_window(cell, slow, inputs)
    temperature = jnp.full_like(slow.sei, cell.reference_temperature)
    lab = {**inputs, AMBIENT: temperature}
    full = lift(cell, slow, window.stoichiometry_full, temperature, lab)
    half = lift(cell, slow, stoichiometry_at(window, jnp.full_like(slow.sei, 0.5)), temperature, lab)
    return Health(_discharge_capacity(cell, full, lab, window), _pulse_resistance(cell, half, lab))


def degradation(cell: CellModel, slow: SlowState) -> Degradation:
    """Compare a cell with the first-life cell."""
    return Degradation(
        lli=1.0 - cyclable_lithium(cell, slow) / cell.fresh_lithium,
        lam_ne=1.0 - slow.active_fraction_ne / cell.negative.active_fraction,
        lam_pe=1.0 - slow.active_fraction_pe / cell.positive.active_fraction,
    )


def laboratory_protocol(cell: CellModel) -> tuple[Instruction, ...]:
    """Return the protocol of a laboratory check-up, from any state of charge.

    Charge at C/3 to the upper voltage limit, hold it until C/50, rest an hour; discharge at C/10 to the lower limit;
    the same again at C/2; charge, discharge half the C/10 capacity at C/3, rest two hours; 1C pulse, read at 0.1 s and
    at 10 s. All rates are over the first-life nominal capacity.
    """
    nominal, (lowest, highest) = cell.nominal_capacity, cell.voltage_limits
    charge = (
        Instruction(Held.CURRENT, -nominal / 3.0, voltage=highest),
        Instruction(Held.VOLTAGE, highest, current=nominal / 50.0),
        rest(3600.0),
    )

    def discharge(rate: float) -> tuple[Instruction, ...]:
        return Instruction(Held.CURRENT, rate * nominal, voltage=lowest), rest(3600.0)

    to_half = Instruction(Held.CURRENT, nominal / 3.0, voltage=lowest, share_of=(_C10, 0.5))
    pulse = (
        Instruction(Held.CURRENT, nominal, seconds) for seconds in (_FIRST_READING, _PULSE_SECONDS - _FIRST_READING)
    )
    return (*charge, *discharge(0.1), *charge, *discharge(0.5), *charge, to_half, rest(7200.0), *pulse)


def laboratory_check_up(
    cell: CellModel, slow: SlowState, inputs: Inputs, precision: Precision = USUAL
) -> LaboratoryHealth:
    """Measure capacities and resistances by `laboratory_protocol`, at the reference temperature, on a copy of the cell.

    Against `check_up`, the capacity lacks what the tester's charge left out, and the resistance is that of a cell that
    has not come to rest entirely. The cell ages during the protocol, as it does in a laboratory.
    """
    window = electrode_window(cell, slow, inputs)
    temperature = jnp.full_like(slow.sei, cell.reference_temperature)
    half = lift(cell, slow, stoichiometry_at(window, jnp.full_like(slow.sei, 0.5)), temperature, inputs)
    _, record = run_protocol(cell, half, {**inputs, AMBIENT: temperature}, laboratory_protocol(cell), precision)
    return laboratory_health(cell, record, degradation(cell, slow))


def laboratory_health(cell: CellModel, record: Record, lost: Degradation) -> LaboratoryHealth:
    """Evaluate the record of a `laboratory_protocol`."""
    at_rest, early, late = (record.voltage[number : number + 1] for number in _PULSE)
    return LaboratoryHealth(
        capacity_c10=record.charge[_C10 : _C10 + 1],
        capacity_c2=record.charge[_C2 : _C2 + 1],
        resistance_100ms=(at_rest - early) / cell.nominal_capacity,
        resistance_10s=(at_rest - late) / cell.nominal_capacity,
        degradation=lost,
    )


def _held(cell: CellModel, inputs: Inputs, current: Lanes) -> Control:
    """Control that applies a current."""
    setting = Setting.of(Held.CURRENT, current)
    return lambda state, guess, iterations: hold(cell, state, inputs, setting, guess, iterations)


def _start(cell: CellModel, y: Float[Array, "states lanes"], current: Lanes) -> Delivery:
    return Delivery(current, jnp.zeros_like(current), y[cell.differential :])


def _discharge_capacity(cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs, window: Window) -> Lanes:
    """Discharge at C/10 to the lower voltage limit; the crossing is interpolated linearly within its step."""
    current = jnp.full_like(window.capacity, 0.1 * cell.nominal_capacity)
    limit = cell.voltage_limits[0]

    def volts(state: Float[Array, "states lanes"]) -> Lanes:
        return cell.voltage(state, {**inputs, CURRENT: current})

    def advance(carry, share):  # type: ignore[no-untyped-def]
        y, voltage, capacity, done = carry
        charge = share * window.capacity
        on = jnp.where(done, 0.0, current)
        control = _held(cell, inputs, on)
        guess = control(y, _start(cell, y, on), 2)
        y = take_step(cell, _CAPACITY_RULE, y, inputs, control, guess, charge * 3600.0 / current).y
        after = volts(y)
        fraction = jnp.clip((voltage - limit) / jnp.maximum(voltage - after, 1e-12), 0.0, 1.0)
        capacity = capacity + jnp.where(done, 0.0, charge * jnp.where(after < limit, fraction, 1.0))
        return (y, after, capacity, done | (after < limit)), None

    start = (y, volts(y), jnp.zeros_like(current), jnp.zeros_like(current, bool))
    (_, _, capacity, _), _ = jax.lax.scan(advance, start, jnp.asarray(np.diff(_DISCHARGE_NODES), y.dtype))
    return capacity


def _pulse_resistance(cell: CellModel, y: Float[Array, "states lanes"], inputs: Inputs) -> Lanes:
    current = jnp.full_like(y[:1], cell.nominal_capacity)
    at_rest = cell.voltage(y, {**inputs, CURRENT: jnp.zeros_like(current)})
    control = _held(cell, inputs, current)
    guess = control(y, _start(cell, y, current), 3)
    y = take_step(cell, _PULSE_RULE, y, inputs, control, guess, jnp.asarray(_PULSE_SECONDS)).y
    return (at_rest - cell.voltage(y, {**inputs, CURRENT: current})) / current


@lru_cache(maxsize=8)
def fresh_mid_stoichiometry(cell: CellModel) -> tuple[float, float]:
    """Negative and positive stoichiometry of the fresh cell at half charge [1]."""
    slow = fresh_state(cell, 1)
    inputs = {name: jnp.full((1, 1), value) for name, value in cell.inputs.items()}
    window = electrode_window(cell, slow, inputs)
    negative = 0.5 * (window.stoichiometry_empty + window.stoichiometry_full)
    positive = (cell.fresh_lithium - negative * cell.negative.capacity) / cell.positive.capacity
    return float(negative[0, 0]), float(positive[0, 0])
