"""Makes of cells whose ageing is found from what was measured: their model, their laws, and what is held likely."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fadecast.calibration.joint_model import COMMON, SECOND_LIFE, Prior
from fadecast.calibration.laws import START_LAM, STRESS, AgeingLaw, Unknown, laws_of
from fadecast.cell.model import Chemistry
from fadecast.cell.parameters import LAM_RATE

MakeName = Literal["lgm50", "lfp"]


@dataclass(frozen=True, eq=False)
class Make:
    """Cells of one make."""

    name: MakeName
    cells: str
    """What they are, as a title has it."""
    sets: tuple[str, ...]
    """Measured sets of the catalogue: of storage, and of cycling."""
    laws: Mapping[str, AgeingLaw]
    """By name."""
    priors: Mapping[str, Prior]
    """Of the common quantities: those of `joint_model.COMMON`, and `SECOND_LIFE` where cells were not new."""
    silicon: float
    """Share of the capacity of a new cell that lost silicon can take at most [1]."""
    celsius: tuple[float, float]
    """Lowest and highest temperature measured at [degC]."""
    days: float
    """Longest time that was measured [day]."""
    cycled_by: str
    """Says of other cycling that it is none that was measured."""


_LFP = Chemistry(
    parameter_set="Prada2013",
    nameplate_voltage=3.2,
    parameters={"Lithium plating kinetic rate constant [m.s-1]": 0.0, LAM_RATE["pe"]: 0.0},
)
"""Prada2013 has no plating and no loss of material. The plating of the LG M50 in its place would cost more than a
quarter of the capacity in a month at C/2, which no measured cell lost; capacity alone does not tell positive material.
"""

MAKES: Mapping[str, Make] = {
    make.name: make
    for make in (
        Make(
            name="lgm50",
            cells="LG M50 cells",
            sets=("kuzhiyil2024_lgm50_calendar", "kirkaldy2024_lgm50t_expt2_2"),
            laws=laws_of(Chemistry(), material=True, stress=STRESS),
            priors=COMMON,
            silicon=0.13,  # configs/calibrate_lgm50t_state.yaml
            celsius=(0.0, 45.0),
            days=770.0,
            cycled_by="cycling other than 15 % of charge, 0.3C and 1C",
        ),
        Make(
            name="lfp",
            cells="cells of iron phosphate",
            sets=("schimpe2018_lfp_calendar", "uconn_lfp_first_second_life"),
            laws=laws_of(
                _LFP,
                material=False,
                stress=(Unknown(LAM_RATE["ne"], 1e-7, 1.5, (-3.5, 1.8), 8),),
                start=(Unknown(START_LAM, 0.15, 0.5, (-2.0, 0.75), 6),),
                slowest=-7.0,
            ),
            priors={
                **COMMON,
                **SECOND_LIFE,
                # Three full cycles at C/2 and 25 degC by the law that Wang et al. 2011 found for such cells, which goes
                # with the power 0.55 of throughput (doi:10.1016/j.jpowsour.2010.11.134).
                "check_up": Prior(0.003, 0.5, logarithmic=True),
                # First lives of other currents.
                "condition_sd": Prior(0.5, 0.5, logarithmic=True),
            },
            silicon=0.0,
            celsius=(10.0, 55.0),
            days=234.0,
            cycled_by="cycling other than full cycles at C/2 and 25 degC, in a second life",
        ),
    )
}
"""LG M50 (PyBaMM's OKane2022), and iron phosphate against graphite: Sony's 26650, stored, and cells of 1.2 A.h whose
maker is not known, in a second life, by the set of a third maker's 2.3 A.h cell (Prada2013), whose open-circuit
potentials and balance stand for them."""
