"""Parameter values of a cell: a set or a BPX file, what it lacks from one sourced supplement, Arrhenius LAM rates."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pybamm

from fadecast.cell.bpx_set import bpx_parameter_values
from fadecast.formats import BPX_SUFFIX
from fadecast.package_data import shipped

CURRENT = "Current function [A]"
AMBIENT = "Ambient temperature [K]"
CONTACT_RESISTANCE = "Contact resistance [Ohm]"

LAM_RATE = {
    "ne": "Negative electrode LAM constant proportional term [s-1]",
    "pe": "Positive electrode LAM constant proportional term [s-1]",
}
LAM_ENERGY = {
    "ne": "Negative electrode LAM activation energy [J.mol-1]",
    "pe": "Positive electrode LAM activation energy [J.mol-1]",
}
"""Parameters that fadecast adds: PyBaMM takes the LAM rate as a function of temperature, its sets give a constant."""

# PyBaMM's names of the same parameter per phase of a composite electrode, and per sign of the stress.
_PHASES = ("", "Primary: ", "Secondary: ")
_DIRECTIONS = ("", " (tensile)", " (compressive)")


def parameter_values(source: str) -> pybamm.ParameterValues:
    """Return parameter values, with what they lack from the supplement; what they have is never overwritten.

    The LAM activation energies that fadecast adds are zero, which changes nothing.

    Parameters
    ----------
    source
        Name of a PyBaMM parameter set, or path of a BPX file.

    Raises
    ------
    ValueError
        When there is no such set, or the file describes no cell.
    """
    bpx = source.endswith(BPX_SUFFIX)
    values = bpx_parameter_values(Path(source)) if bpx else pybamm.ParameterValues(source)
    composite = "Primary: Maximum concentration in negative electrode [mol.m-3]" in values
    for name, entry in supplement().items():
        if name not in values and (composite or not name.startswith(_PHASES[1:])):
            values.update({name: _supplied(entry, values)}, check_already_exists=False)
    values.update(dict.fromkeys(LAM_ENERGY.values(), 0.0), check_already_exists=False)
    return values


@cache
def supplement() -> dict[str, dict[str, Any]]:
    """Return the sourced values of parameters that some or all PyBaMM sets lack, by PyBaMM name."""
    return shipped("parameter_supplement")["parameters"]


def _supplied(entry: dict[str, Any], values: pybamm.ParameterValues) -> float | Callable[..., Any]:
    if "donor" in entry:
        return _donor(entry["donor"])[entry["donor_name"]]
    if "same_as" in entry:
        return values[entry["same_as"]]
    if entry.get("form") == "loss per current density":
        return partial(_loss_by_current, entry["value"])
    return float(entry["value"])


@cache
def _donor(parameter_set: str) -> pybamm.ParameterValues:
    return pybamm.ParameterValues(parameter_set)


def _loss_by_current(rate: float, current_density: pybamm.Symbol, temperature: pybamm.Symbol) -> pybamm.Symbol:
    del temperature
    return -rate * abs(current_density)


def arrhenius_lam(
    values: pybamm.ParameterValues, constants: pybamm.ParameterValues, varied: tuple[str, ...] = ()
) -> None:
    """Give all stress-driven LAM rates an Arrhenius law about the reference temperature, in place."""
    reference = float(constants["Reference temperature [K]"])
    for side, base in LAM_RATE.items():
        for phase in _PHASES:
            for direction in _DIRECTIONS:
                name = f"{phase}{base.replace(' [', f'{direction} [')}"
                if name not in constants:
                    continue
                rate, energy = (
                    pybamm.InputParameter(each) if each in varied else float(constants[each])
                    for each in (name, LAM_ENERGY[side])
                )
                values.update({name: partial(_arrhenius, rate, energy, reference)})


def _arrhenius(
    rate: pybamm.Symbol | float, energy: pybamm.Symbol | float, reference: float, temperature: pybamm.Symbol
) -> pybamm.Symbol:
    return rate * pybamm.exp(energy / pybamm.constants.R * (1 / reference - 1 / temperature))
