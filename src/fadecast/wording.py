"""Names and values of the code as people read them."""

import json
from collections.abc import Mapping

import numpy as np

_SPELLING = {"soh": "SOH", "usd": "USD", "kwh": "kWh", "pybamm": "PyBaMM", "jax": "JAX"}


def words(name: str) -> str:
    """Return a name of the code in words."""
    words = " ".join(_SPELLING.get(word, word) for word in name.lower().split("_"))
    return words[:1].upper() + words[1:]


def text(value: object) -> str:
    """Return a value of unknown kind as people read it; JSON text is laid out."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return text(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_nested(each)}" for key, each in value.items())
    if isinstance(value, list | tuple | np.ndarray):
        return "(" + ", ".join(text(each) for each in value) + ")"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return significant(float(value), 6)
    return "none" if value is None else str(value)


def _nested(value: object) -> str:
    return f"({text(value)})" if isinstance(value, Mapping) else text(value)


def significant(value: float, digits: int) -> str:
    """Return a number by its significant digits."""
    return f"{value:,.{digits}g}" if np.isfinite(value) else "not known"


def in_years(number: float) -> str:
    """Return a number of years."""
    return f"{number:g} year" + ("" if number == 1.0 else "s")


def money(value: float) -> str:
    """Return an amount to the cent."""
    return f"{value:,.2f}"


def percent(value: float) -> str:
    """Return a fraction in per cent."""
    return f"{100.0 * value:.1f} %" if np.isfinite(value) else "not known"


def span(low: float, high: float) -> str:
    """Return a range of fractions in per cent."""
    return f"{percent(low)} to {percent(high)}"
