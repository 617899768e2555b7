"""A few days of duty that repeat, all of them typical days: the same for a leap and for every day simulated."""

import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import SlowState
from fadecast.cell.lowering import Inputs
from fadecast.decades.direct import direct
from fadecast.decades.leap import DayBatch, leap
from fadecast.decades.macro import History, Leap
from fadecast.decades.service import KELVIN, Operation
from fadecast.decades.store import HourlyYear, charge_through_year
from fadecast.decades.typical_days import YearOfDuty

SPIN_UP = 4


class Repeated:
    """Cells of one operation under the same days."""

    def __init__(self, operation: Operation, inputs: Inputs, lanes: int, duty: YearOfDuty) -> None:
        self.operation, self.inputs, self.lanes, self.duty = operation, inputs, lanes, duty
        self.power, self.ambient = (
            np.repeat(values[..., None], lanes, axis=-1)
            for values in (duty.power * operation.cell.nameplate_energy, duty.ambient + KELVIN)
        )
        before = (np.roll(values, 1, axis=0)[:, -SPIN_UP:] for values in (self.power, self.ambient))
        whole = (np.concatenate(parts, axis=1) for parts in zip(before, (self.power, self.ambient), strict=True))
        even = jnp.full((len(self.power), lanes), 1.0 / len(self.power))
        self.days = DayBatch(even, even, *(jnp.asarray(values.swapaxes(0, 1)) for values in whole))
        hours, carried = 24 * np.arange(len(self.power)) - SPIN_UP, HourlyYear.of(self.power, self.ambient)
        self.beginning = lambda state: charge_through_year(operation, state, inputs, carried)[hours]

    def leap(self, start: SlowState, times: np.ndarray, settings: Leap) -> History:
        """Leap from a state."""
        how = self.operation, settings
        return leap(*how, start, self.inputs, self.days, SPIN_UP, times, beginning=self.beginning)

    def direct(self, start: SlowState, times: np.ndarray) -> History:
        """Every day."""
        charge = jnp.full((1, self.lanes), self.duty.state_of_charge[0, 0])
        power, ambient = jnp.asarray(self.power), jnp.asarray(self.ambient)
        return direct(self.operation, start, self.inputs, charge, power, ambient, times)
