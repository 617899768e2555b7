"""Protocols as a researcher writes them: steps with C-rates and ends, made into what is repeated in a forecast."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import jax.numpy as jnp
from annotated_types import Ge, Gt, Le

from fadecast.cell.aged import Lanes
from fadecast.cell.control import Held
from fadecast.cell.model import CellModel
from fadecast.cell.protocol import Instruction
from fadecast.settings import settings

Fraction = Annotated[float, Ge(0.0), Le(1.0)]
_SECONDS = 3600.0
_LONGEST_HOURS = 1000.0


@settings
class CyclingStep:
    """One step of a protocol: what is held, and what ends it. Discharge is positive."""

    c_rate: float | None = None
    """Current over nominal capacity [1/h]."""
    current: float | None = None
    """[A]"""
    power: float | None = None
    """[W]"""
    voltage: Annotated[float, Gt(0.0)] | None = None
    """Held voltage [V]."""
    rest: bool = False
    """No current, for `hours`."""
    until_voltage: Annotated[float, Gt(0.0)] | None = None
    """Ends a current or power [V]; where none is named, the limits of the cell do."""
    until_c_rate: Annotated[float, Gt(0.0)] | None = None
    """Ends a held voltage when the size of the current has fallen to this over nominal capacity [1/h]."""
    until_soc: Fraction | None = None
    """Ends a current or power at this state of charge of the cell as it is, by the charge since the start [1]. A step
    that is there already is passed over."""
    hours: Annotated[float, Gt(0.0), Le(_LONGEST_HOURS)] | None = None
    """Longest duration [h]."""

    def __post_init__(self) -> None:
        """Check that one thing is held, and that it ends."""
        held = [name for name in ("c_rate", "current", "power", "voltage") if getattr(self, name) is not None]
        held += ["rest"] * self.rest
        if len(held) != 1:
            raise ValueError(
                f"a step holds {held or 'nothing'}; must hold one of c_rate, current, power, voltage, rest"
            )
        ends = {
            name for name in ("until_voltage", "until_c_rate", "until_soc", "hours") if getattr(self, name) is not None
        }
        allowed = {
            "rest": {"hours"},
            "voltage": {"until_c_rate", "hours"},
        }.get(held[0], {"until_voltage", "until_soc", "hours"})
        if not ends or not ends <= allowed:
            raise ValueError(f"a step of {held[0]} ends by {sorted(ends) or 'nothing'}; must end by {sorted(allowed)}")
        if held[0] in ("c_rate", "current", "power") and getattr(self, held[0]) == 0.0:
            raise ValueError(f"{held[0]} is 0; must not be: write rest")


LOW = 0.30
"""State of charge below which silicon does most of the work of a graphite electrode with some [1]."""


class Repeat(NamedTuple):
    """One repeat of a protocol at cells of some capacity."""

    instructions: tuple[Instruction, ...]
    mean_state_of_charge: Lanes
    """Over time, roughly where powers and voltages end steps [1]."""
    full_cycles: Lanes
    """Equivalent full cycles of the capacity of the cell."""
    low_passes: Lanes
    """Times that the lowest `LOW` of charge is gone through and back."""


def repeat_of(cell: CellModel, steps: Sequence[CyclingStep], start_soc: Lanes, capacity: Lanes) -> Repeat:
    """Make the instructions of one repeat.

    Parameters
    ----------
    cell
        Gives nominal capacity and voltage limits.
    steps
        Of the protocol.
    start_soc
        State of charge at the start [1], `(1, lanes)`.
    capacity
        Of the cells as they are [A.h], `(1, lanes)`.

    Raises
    ------
    ValueError
        When a step is to end at a state of charge that it leads away from, and where it begins is known.
    """
    instructions, soc = [], start_soc
    known = True
    charges, hours, swept, low = (jnp.zeros_like(soc) for _ in range(4))
    for number, step in enumerate(steps):
        longest = jnp.full_like(soc, _LONGEST_HOURS if step.hours is None else step.hours)
        after = soc
        if step.rest:
            instructions.append(Instruction(Held.CURRENT, 0.0, duration=_SECONDS * longest))
        elif step.voltage is not None:
            until = None if step.until_c_rate is None else step.until_c_rate * cell.nominal_capacity
            instructions.append(Instruction(Held.VOLTAGE, step.voltage, duration=_SECONDS * longest, current=until))
            after, known = _at_limit(cell, step.voltage, soc)
        else:
            if known and _leads_away(step, soc):
                raise ValueError(f"step {number}: does not lead to until_soc {step.until_soc:g}")
            driven = _driven(cell, step, start_soc, soc, capacity)
            instructions.append(driven.instruction)
            # By hours from where nothing is known one comes to where nothing is.
            known = driven.known and (known or step.until_voltage is not None or step.until_soc is not None)
            longest, after = driven.hours, driven.after
        counted = jnp.where(longest >= _LONGEST_HOURS, 1.0, longest)
        charges, hours = charges + counted * 0.5 * (soc + after), hours + counted
        swept += 0.5 * jnp.abs(after - soc)
        low += 0.5 * jnp.abs(jnp.minimum(after, LOW) - jnp.minimum(soc, LOW)) / LOW
        soc = after
    return Repeat(tuple(instructions), charges / hours, swept, low)


class _Driven(NamedTuple):
    """A step of a current or power, at a cell that can do what it asks."""

    instruction: Instruction
    hours: Lanes
    """That it takes, roughly where it is a power."""
    after: Lanes
    """State of charge at its end [1]."""
    known: bool
    """Whether that is known."""


def _driven(cell: CellModel, step: CyclingStep, start: Lanes, soc: Lanes, capacity: Lanes) -> _Driven:
    """Make the instruction of a current or power that begins at `soc`, and the protocol at `start`."""
    amperes = step.current if step.c_rate is None else step.c_rate * cell.nominal_capacity
    held, value = (Held.CURRENT, amperes) if step.power is None else (Held.POWER, step.power)
    assert value is not None
    if amperes is None:
        amperes = value / (0.5 * sum(cell.voltage_limits))
    longest, passed = jnp.full_like(soc, _LONGEST_HOURS if step.hours is None else step.hours), None
    if step.until_soc is not None:
        passed, after = (start - step.until_soc) * capacity, jnp.full_like(soc, step.until_soc)
        known = step.hours is None and step.until_voltage is None
    elif step.until_voltage is not None:
        after, known = _at_limit(cell, step.until_voltage, soc)
    else:
        after, known = jnp.clip(soc - amperes * longest / capacity, 0.0, 1.0), held is Held.CURRENT
    # A cell that can no longer do what the step asks of it stops where a tester would.
    low, high = cell.voltage_limits
    limit = step.until_voltage or (low if value > 0.0 else high)
    instruction = Instruction(held, value, _SECONDS * longest, voltage=limit, passed=passed)
    ends_somewhere = known or step.until_voltage is None or step.until_soc is not None
    hours = jnp.minimum(longest, jnp.abs(after - soc) * capacity / abs(amperes)) if ends_somewhere else longest
    return _Driven(instruction, hours, after, known)


def _leads_away(step: CyclingStep, soc: Lanes) -> bool:
    """Tell whether a current or power leads away from the state of charge that it is to end at."""
    value = next(each for each in (step.c_rate, step.current, step.power) if each is not None)
    # Of the charges alone: a cell that is at its end may have no capacity left.
    return step.until_soc is not None and bool(((soc - step.until_soc) / value < -1e-9).any())


def _at_limit(cell: CellModel, voltage: float | None, soc: Lanes) -> tuple[Lanes, bool]:
    """Return the state of charge at a voltage, where that is a limit of the cell, and whether it is known."""
    low, high = cell.voltage_limits
    for limit, at in ((low, 0.0), (high, 1.0)):
        if voltage is not None and abs(voltage - limit) < 1e-6:
            return jnp.full_like(soc, at), True
    return soc, False
