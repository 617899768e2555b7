"""Makes of cells whose ageing is found from what was measured: their model, their laws, and what is held likely."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fadecast.calibration.joint_model import COMMON, Prior
from fadecast.calibration.laws import AgeingLaw, laws_of
from fadecast.cell.model import Chemistry

MakeName = Literal["lgm50", "lfp"]


@dataclass(frozen=True, eq=False)
class Make:
    """Cells of one make."""

    name: MakeName
    cells: str
    """What they are, as a title has it."""
    sets: tuple[str, ...]
    """Measured sets of the catalogue: of storage, and of cycling where there is one."""
    laws: Mapping[str, AgeingLaw]
    """By name."""
    priors: Mapping[str, Prior]
    """Of the quantities of `joint_model.COMMON`."""
    silicon: float
    """Share of the capacity of a new cell that lost silicon can take at most [1]."""
    celsius: tuple[float, float]
    """Lowest and highest temperature measured at [degC]."""
    days: float
    """Longest time that was measured [day]."""

    @property
    def cycled(self) -> bool:
        """Whether cells were cycled: only then rates say what packs lose."""
        return len(self.sets) > 1


MAKES: Mapping[str, Make] = {
    make.name: make
    for make in (
        Make(
            name="lgm50",
            cells="LG M50 cells",
            sets=("kuzhiyil2024_lgm50_calendar", "kirkaldy2024_lgm50t_expt2_2"),
            laws=laws_of(Chemistry(), material=True, stress=True),
            priors=COMMON,
            silicon=0.13,  # configs/calibrate_lgm50t_state.yaml
            celsius=(0.0, 45.0),
            days=770.0,
        ),
        Make(
            name="lfp",
            cells="Sony 26650 cells of iron phosphate",
            sets=("schimpe2018_lfp_calendar",),
            laws=laws_of(
                Chemistry(parameter_set="Prada2013", nameplate_voltage=3.2), material=False, stress=False, slowest=-7.0
            ),
            # No silicon that a check-up could cost.
            priors={**COMMON, "check_up": Prior(0.001, 1.0, logarithmic=True)},
            silicon=0.0,
            celsius=(10.0, 55.0),
            days=234.0,
        ),
    )
}
"""LG M50 (PyBaMM's OKane2022), and iron phosphate against graphite: Sony's 26650 by the set of another maker's 2.3 A.h
cell (Prada2013), whose open-circuit potentials and balance stand for it."""
