"""How the lanes of a forecast are divided into tiles and shards.

Tiles are as equal as can be: a program costs by the lane, so a site of 100 packs in tiles of 64 would step 28 lanes
that nobody asked for, and in tiles of 50 none.
"""

import numpy as np

from fadecast.pack.sharing import Fleet


def shards_of(draws: int, packs: int, fleet: Fleet, most: int) -> list[np.ndarray]:
    """Divide lanes, numbered draw by draw, into what is forecast by itself.

    Returns
    -------
    Lane numbers of each shard: a tile, or where packs feel each other the tiles of a site, or whole sites that one tile
    holds; filled up with their last lane.
    """
    lanes, tile = draws * packs, tile_of(draws, packs, fleet, most)
    if fleet.sharing == "fixed":
        return [_filled(start, lanes, tile) for start in range(0, lanes, tile)]
    site = packs // fleet.sites
    whole, together = -(-site // tile) * tile, max(tile // site, 1) * site
    return [_filled(start, min(start + together, lanes), whole) for start in range(0, lanes, together)]


def tile_of(draws: int, packs: int, fleet: Fleet, most: int) -> int:
    """Return how many lanes each tile has: the fewest that make no more tiles than `most` of them would."""
    if fleet.sharing == "fixed":
        return _evenly(draws * packs, most)
    site = packs // fleet.sites
    return _evenly(site, most) if site > most else site * _evenly(draws * fleet.sites, most // site)


def _evenly(count: int, most: int) -> int:
    return -(-count // -(-count // most))


def _filled(start: int, end: int, size: int) -> np.ndarray:
    return np.minimum(np.arange(start, start + size), end - 1)
