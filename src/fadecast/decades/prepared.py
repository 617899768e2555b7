"""Years of a duty dataset as a forecast follows them, each prepared when it is first asked for and kept."""

from dataclasses import replace
from threading import RLock

import xarray as xr

from fadecast.cell.model import CellModel
from fadecast.cell.ripple import Ripple
from fadecast.decades.coarser import coarser, ripple_of_days, ripple_of_year
from fadecast.decades.typical_days import TypicalDays, YearOfDuty, choose_typical_days
from fadecast.decades.years import Decades, coarseness, year_of_duty


class PreparedYears:
    """The draws of a duty in load steps, their typical days, and the swings inside the steps.

    A year in the duty's own steps is in memory only while it is prepared, unless load steps are those. Tiles that run
    at the same time may ask for the same year; one of them prepares it.
    """

    def __init__(self, cell: CellModel, decades: Decades, duty: xr.Dataset, spin_up: int) -> None:
        self.cell, self.decades, self.duty, self.spin_up = cell, decades, duty, spin_up
        self.coarseness = coarseness(decades, duty)
        """Steps of the duty in a load step."""
        self.rippled = decades.variance_correction and self.coarseness > 1
        """Whether ageing sees swings inside load steps."""
        self._years: dict[int, YearOfDuty] = {}
        self._typical: dict[int, TypicalDays] = {}
        self._preparing = RLock()

    def year(self, draw: int) -> YearOfDuty:
        """Return a draw of the duty in load steps."""
        with self._preparing:
            if draw not in self._years:
                self._years[draw] = coarser(self._in_own_steps(draw), self.coarseness)
            return self._years[draw]

    def typical(self, draw: int) -> TypicalDays:
        """Return the typical days of a draw of the duty."""
        with self._preparing:
            if draw not in self._typical:
                self._typical[draw] = self._chosen(draw)
            return self._typical[draw]

    def ripple(self, draw: int) -> Ripple | None:
        """Return the swings inside the load steps of a draw of the duty; None where ageing does not see them."""
        return ripple_of_year(self.cell, self._in_own_steps(draw), self.coarseness) if self.rippled else None

    def _chosen(self, draw: int) -> TypicalDays:
        days = choose_typical_days(self.year(draw), self.decades.typical_days, self.spin_up)
        if not self.rippled:
            return days
        fine = self._in_own_steps(draw)
        return replace(days, ripple=ripple_of_days(self.cell, fine, days.day, self.spin_up, self.coarseness))

    def _in_own_steps(self, draw: int) -> YearOfDuty:
        return year_of_duty(self.duty.isel(draw=draw))
