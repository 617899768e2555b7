"""PyBaMM's LG M50 as a BPX file."""

import json
from functools import cache

import pybamm

from fadecast.calibration.bpx_file import bpx_object
from fadecast.calibration.half_cell import electrode, parameter_set_half_cell
from fadecast.cell.balance import FARADAY
from fadecast.cell.chemistry import Chemistry
from fadecast.cell.model import build_cell
from fadecast.cell.parameters import parameter_values

SET = "OKane2022"


@cache
def bpx_text():
    """Return a BPX file of the set's own fresh cell, as text."""
    cell = build_cell(Chemistry(parameter_set=SET))
    ends = pybamm.lithium_ion.get_min_max_stoichiometries(parameter_values(SET))
    names = ("ne_empty", "ne_full", "pe_full", "pe_empty")
    state = {f"stoichiometry_{name}": float(end) for name, end in zip(names, ends, strict=True)}
    state |= {f"electrode_capacity_{side}": of.capacity * FARADAY / 3600.0 for side, of in cell.electrodes}
    potentials = {side: electrode(parameter_set_half_cell(SET, side.lower())) for side in ("Negative", "Positive")}
    limits = cell.voltage_limits
    return json.dumps(bpx_object(SET, potentials, state, limits, cell.nominal_capacity, "the set itself", {}))
