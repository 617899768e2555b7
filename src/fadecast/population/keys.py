"""Random numbers that belong to a draw and a pack, not to the loop that asks for them.

Every quantity has its own stream, named after it, so that adding a quantity, a draw or a pack leaves all
other numbers as they were.
"""

import zlib

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

_STAGE = zlib.crc32(b"population")
_SMALLEST = 2.0**-54


def draw_uniforms(seed: int, quantity: str, draws: int, width: int = 1) -> Float[np.ndarray, "draw width"]:
    """Return uniform numbers in (0, 1) of each draw."""
    return _uniforms(seed, f"{quantity}/draw", 0, (draws, width))


def pack_uniforms(
    seed: int, quantity: str, draws: int, packs: int, width: int = 1
) -> Float[np.ndarray, "draw pack width"]:
    """Return uniform numbers in (0, 1) of each pack of each draw."""
    return np.stack([_uniforms(seed, f"{quantity}/pack", draw, (packs, width)) for draw in range(draws)])


def draw_normals(seed: int, quantity: str, draws: int, width: int = 1) -> Float[np.ndarray, "draw width"]:
    """Return standard normal numbers of each draw."""
    return np.asarray(ndtri(draw_uniforms(seed, quantity, draws, width)))


def pack_normals(
    seed: int, quantity: str, draws: int, packs: int, width: int = 1
) -> Float[np.ndarray, "draw pack width"]:
    """Return standard normal numbers of each pack of each draw."""
    return np.asarray(ndtri(pack_uniforms(seed, quantity, draws, packs, width)))


def _uniforms(seed: int, stream: str, draw: int, shape: tuple[int, int]) -> Float[np.ndarray, "row width"]:
    # Numpy pads short keys with zeros, so all keys here have the same length: [.., 0] must not equal [..].
    generator = np.random.default_rng([seed, _STAGE, zlib.crc32(stream.encode()), draw])
    return np.maximum(generator.random(shape), _SMALLEST)
