"""Random numbers that belong to a draw and a pack, not to the loop that asks for them.

Every quantity has its own stream, named after it, so that adding a quantity, a draw or a pack leaves all
other numbers as they were.
"""

import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

_STAGE = zlib.crc32(b"population")
_SMALLEST = 2.0**-54


class Seeds(NamedTuple):
    """Seeds of a fleet beside others, with which it shares what draws have in common."""

    common: int
    """Of what all packs of a draw share."""
    own: int
    """Of what packs have alone."""


Seed = int | Seeds
"""One seed of both, or one of each."""


class Inside(NamedTuple):
    """How numbers of packs become those of their groups, which follow each other pack by pack."""

    groups: int
    """Groups of a pack."""
    share: float
    """Share of the variance that lies between the groups of a pack [1]; the rest lies between packs."""


def draw_uniforms(seed: Seed, quantity: str, draws: int, width: int = 1) -> Float[np.ndarray, "draw width"]:
    """Return uniform numbers in (0, 1) of each draw."""
    common = seed.common if isinstance(seed, Seeds) else seed
    return _uniforms(common, f"{quantity}/draw", 0, (draws, width))


def pack_uniforms(
    seed: Seed, quantity: str, draws: int, packs: int, width: int = 1, inside: Inside | None = None
) -> Float[np.ndarray, "draw pack width"]:
    """Return uniform numbers in (0, 1) of each pack of each draw, or of each of their groups.

    Those of a group are the normal scores of its pack and its own, by the shares of the variance. A group's own numbers
    are the same whatever the number of draws, packs and groups.
    """
    alone = seed.own if isinstance(seed, Seeds) else seed
    whole = np.stack([_uniforms(alone, f"{quantity}/pack", draw, (packs, width)) for draw in range(draws)])
    if inside is None:
        return whole
    own = np.stack(
        [
            np.stack([_uniforms(alone, f"{quantity}/group {n}", draw, (packs, width)) for n in range(inside.groups)], 1)
            for draw in range(draws)
        ]
    )
    mixed = np.sqrt(1.0 - inside.share) * ndtri(whole)[:, :, None] + np.sqrt(inside.share) * ndtri(own)
    return np.clip(ndtr(mixed.reshape(draws, packs * inside.groups, width)), _SMALLEST, 1.0 - _SMALLEST)


def draw_normals(seed: Seed, quantity: str, draws: int, width: int = 1) -> Float[np.ndarray, "draw width"]:
    """Return standard normal numbers of each draw."""
    return np.asarray(ndtri(draw_uniforms(seed, quantity, draws, width)))


def pack_normals(
    seed: Seed, quantity: str, draws: int, packs: int, width: int = 1, inside: Inside | None = None
) -> Float[np.ndarray, "draw pack width"]:
    """Return standard normal numbers of each pack of each draw, or of each of their groups."""
    return np.asarray(ndtri(pack_uniforms(seed, quantity, draws, packs, width, inside)))


def _uniforms(seed: int, stream: str, draw: int, shape: tuple[int, int]) -> Float[np.ndarray, "row width"]:
    # Numpy pads short keys with zeros, so all keys here have the same length: [.., 0] must not equal [..].
    generator = np.random.default_rng([seed, _STAGE, zlib.crc32(stream.encode()), draw])
    return np.maximum(generator.random(shape), _SMALLEST)
