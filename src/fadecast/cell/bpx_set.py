"""A BPX file (Battery Parameter eXchange) as PyBaMM parameter values of a cell.

The library that reads BPX, and PyBaMM after it, run the formulas of a file as Python. Here each is taken apart first,
so that what runs is arithmetic (`fadecast.cell.expression`).
"""

import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import bpx
import pybamm
from pydantic import ValidationError

from fadecast.cell.expression import harmless

_NOT_IN_BPX = {"Contact resistance [Ohm]": 0.0}
"""What PyBaMM's sets all have and BPX has no word for; packs bring their own."""
_COOLING = "Total heat transfer coefficient [W.m-2.K-1]"
_SOLID_AND_PORES = 1.0 + 1e-6
"""Most of an electrode's volume that active material and pores may be [1]."""


def read_bpx(path: Path) -> bpx.BPX:
    """Return the content of a BPX file.

    Raises
    ------
    ValueError
        When it is none.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except Exception as error:
        raise ValueError(f"{path} is no BPX file ({_reason(error)})") from None


def bpx_parameter_values(path: Path) -> pybamm.ParameterValues:
    """Return what a BPX file says of a cell, by PyBaMM's names.

    Raises
    ------
    ValueError
        When it is no BPX file of a DFN, describes electrodes of several materials, or electrodes of more than their
        volume.
    """
    content = read_bpx(path)
    if content.header.model != "DFN":
        raise ValueError(
            f"{path}: it is a file of the model {content.header.model}; must be DFN, which has all that a cell needs"
        )
    for side in ("negative", "positive"):
        electrode = getattr(content.parameterisation, f"{side}_electrode")
        if hasattr(electrode, "particle"):
            raise ValueError(f"{path}: its {side} electrode is of several materials; must be of one")
        if isinstance(electrode.ocp, float | int):
            raise ValueError(f"{path}: its {side} OCP is {electrode.ocp:g}; must be a formula or a table")
    try:
        values = _values(path.read_text(encoding="utf-8")).copy()
    except Exception as error:
        raise ValueError(f"{path}: PyBaMM makes no cell of it ({_reason(error)})") from None
    for side in ("Negative", "Positive"):
        solid = float(values[f"{side} electrode active material volume fraction"])
        pores = float(values.get(f"{side} electrode porosity", 0.0))
        if solid + pores > _SOLID_AND_PORES:
            raise ValueError(
                f"{path}: its {side.lower()} electrode is {solid:.2f} active material (surface area times radius over "
                f"three) and {pores:.2f} pores; must be 1 together at most"
            )
    if not float(values["Nominal cell capacity [A.h]"]) > 0.0:
        raise ValueError(
            f"{path}: its nominal capacity is {values['Nominal cell capacity [A.h]']:g} A.h; must be above 0"
        )
    if (
        content.state is None
        or content.state.thermal_environment is None
        or (content.state.thermal_environment.heat_transfer_coefficient is None)
    ):
        # PyBaMM takes a cell for adiabatic of which nothing is said.
        del values[_COOLING]
    missing = {name: value for name, value in _NOT_IN_BPX.items() if name not in values}
    values.update(missing, check_already_exists=False)
    return values


@lru_cache(maxsize=16)
def _values(text: str) -> pybamm.ParameterValues:
    with warnings.catch_warnings():
        # PyBaMM warns of a state that is not in the file; a forecast sets its own.
        warnings.simplefilter("ignore")
        return pybamm.ParameterValues.create_from_bpx_obj(_content(text))


def _parsed(text: str) -> bpx.BPX:
    with warnings.catch_warnings():
        # It warns of voltage limits that potentials do not meet exactly.
        warnings.simplefilter("ignore")
        return bpx.parse_bpx_obj(_content(text))


def _content(text: str) -> Any:
    content = json.loads(text)
    parameters = content.get("Parameterisation") if isinstance(content, dict) else None
    return (
        {**content, "Parameterisation": _with_harmless_formulas(parameters, ())} if parameters is not None else content
    )


def _with_harmless_formulas(content: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(content, dict):
        # Text for people may stand anywhere under this name; PyBaMM would take it for a number.
        kept = {key: value for key, value in content.items() if key != "description"}
        return {key: _with_harmless_formulas(value, (*keys, key)) for key, value in kept.items()}
    if isinstance(content, list):
        return [_with_harmless_formulas(value, (*keys, str(n))) for n, value in enumerate(content)]
    if not isinstance(content, str):
        return content
    try:
        return harmless(content)
    except ValueError as error:
        raise ValueError(f"{', '.join(keys)}: {error}") from None


def _reason(error: Exception) -> str:
    """Return one line on why a file is not what it should be, with the place in it."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{': '.join(map(str, first['loc']))}: {first['msg']}"
    return (str(error) or type(error).__name__).splitlines()[0]
