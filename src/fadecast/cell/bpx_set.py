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
        When it is no BPX file, describes electrodes of several materials, or electrodes of more than their volume.
    """
    content = read_bpx(path).parameterisation
    for side in ("negative", "positive"):
        electrode = getattr(content, f"{side}_electrode")
        if hasattr(electrode, "particle"):
            raise ValueError(f"{path}: its {side} electrode is of several materials; must be of one")
    try:
        values = _values(path.read_text(encoding="utf-8"))
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
    values = values.copy()
    values.update(_NOT_IN_BPX, check_already_exists=False)
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
        return {key: _with_harmless_formulas(value, (*keys, key)) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_harmless_formulas(value, (*keys, str(n))) for n, value in enumerate(content)]
    # The one text that is for people.
    if not isinstance(content, str) or keys[-1:] == ("description",):
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
