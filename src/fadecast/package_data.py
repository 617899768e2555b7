"""Small fitted tables that ship with the package: what measured data said, with its source and licence."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np


def shipped(name: str) -> dict[str, Any]:
    """Return the content of a JSON table of the package's data folder.

    Parameters
    ----------
    name
        File name without `.json`.

    Raises
    ------
    ValueError
        If the package ships no such table.
    """
    folder = resources.files("fadecast") / "data"
    try:
        content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        have = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
        raise ValueError(f"the package ships no table {name!r}; choose one of {have}") from None
    return content


def write_table(path: Path, content: dict[str, Any], digits: int = 5) -> None:
    """Write a table as JSON, one line per entry, numbers to so many significant digits."""
    lines = (f"{json.dumps(key)}: {json.dumps(_plain(value, digits))}" for key, value in content.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _plain(value: Any, digits: int) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), digits)
    if isinstance(value, dict):
        return {key: _plain(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
