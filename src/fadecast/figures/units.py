"""CF units as people write them: `USD.kW-1.h-1` is USD/kWh."""

import re

_SYMBOLS = {"degC": "°C", "ohm": "Ω", "K": "K"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def readable(units: str) -> str:
    """Return CF units in common notation; a bare number `1` gives an empty string."""
    if units == "1":
        return ""
    above: list[str] = []
    below: list[str] = []
    for part in units.split("."):
        match = re.fullmatch(r"([^\d\s-]+)(-?\d+)?", part)
        if match is None:
            return units
        name, exponent = match[1], int(match[2] or 1)
        power = str(abs(exponent)).translate(_SUPERSCRIPT) if abs(exponent) != 1 else ""
        (above if exponent > 0 else below).append(_SYMBOLS.get(name, name) + power)
    if not below:
        return _product(above)
    return f"{_product(above) or '1'}/{_product(below)}"


def _product(parts: list[str]) -> str:
    """Join factors; energy and charge are written in one word (kWh, Ah)."""
    return re.sub(r"·h\b", "h", "·".join(parts))
