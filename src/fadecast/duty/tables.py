"""Small fitted tables that ship with the package, and drawing from a table of quantiles."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import signal, special

Array = np.ndarray[Any, np.dtype[np.float64]]


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


def write_table(path: Path, content: dict[str, Any]) -> None:
    """Write a table as JSON, one line per entry, numbers to five significant digits."""
    lines = (f"{json.dumps(key)}: {json.dumps(_plain(value))}" for key, value in content.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def levels(count: int) -> Array:
    """Return the probabilities of a table of `count` equally spaced quantiles, 0 and 1 included."""
    return np.linspace(0.0, 1.0, count)


def from_normal(z: Float[np.ndarray, "n"], quantiles: Float[np.ndarray, "level"]) -> Float[np.ndarray, "n"]:
    """Map standard normal scores to the distribution whose equally spaced quantiles are given."""
    return np.asarray(np.interp(special.ndtr(z), levels(quantiles.size), quantiles))


def normal_scores(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return the standard normal scores of the ranks of a sample (Blom: (rank - 3/8) / (n + 1/4))."""
    rank = values.argsort(kind="stable").argsort(kind="stable") + 1.0
    return np.asarray(special.ndtri((rank - 0.375) / (values.size + 0.25)))


def red_noise(rng: np.random.Generator, count: int, persistence: float) -> Float[np.ndarray, "count"]:
    """Return a stationary first-order autoregression of unit variance with the given lag-1 correlation."""
    shocks = rng.standard_normal(count)
    shocks[1:] *= np.sqrt(1.0 - persistence**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -persistence], shocks))
