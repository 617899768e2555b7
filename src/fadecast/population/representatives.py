"""Which packs of a site are simulated where a few of them stand for all."""

import numpy as np
from jaxtyping import Float, Int

from fadecast.population.keys import draw_uniforms


def choose_representatives(
    seed: int, soh: Float[np.ndarray, "draw pack"], sites: int, count: int
) -> Int[np.ndarray, "draw chosen"]:
    """Choose packs of each site of each draw, evenly by SOH; each stands for as many.

    A stratified sample: packs sorted by SOH are cut into as many strata of one length, and one of each is chosen. Each
    pack is chosen with the same probability, so that means over the chosen ones are unbiased for means over all, and
    none twice. Those of a draw are the same whatever the number of draws.

    Parameters
    ----------
    soh
        Of all packs; those of a site after each other, of every site as many.
    count
        Packs to choose of each site, at most as many as it has.

    Returns
    -------
    Numbers of packs, rising.

    Raises
    ------
    ValueError
        When sites have fewer packs than that.
    """
    draws, packs = soh.shape
    of_site = packs // sites
    if count > of_site:
        raise ValueError(f"{count} representatives of {of_site} packs of a site; ask for fewer, or leave them out")
    order = np.argsort(soh.reshape(draws, sites, of_site), axis=2, kind="stable")
    uniforms = draw_uniforms(seed, "representatives", draws, sites * count).reshape(draws, sites, count)
    chosen = np.sort(np.take_along_axis(order, _one_of_each_stratum(uniforms, of_site), axis=2), axis=2)
    return (chosen + of_site * np.arange(sites)[:, None]).reshape(draws, -1)


def _one_of_each_stratum(uniforms: Float[np.ndarray, "*sets count"], size: int) -> Int[np.ndarray, "*sets count"]:
    """Choose one of each stratum of length size/count; returns places among `size`.

    Where a stratum ends inside a unit, the unit may be chosen in both but not twice: Deville's systematic sampling
    (Tille, Sampling Algorithms, 2006, section 7.2).
    """
    count = uniforms.shape[-1]
    length = size / count
    places = np.empty(uniforms.shape, dtype=int)
    before = np.full(uniforms.shape[:-1], -1)
    for stratum in range(count):
        u = uniforms[..., stratum]
        border, into = divmod(stratum * size, count)
        last = -(-(stratum + 1) * size // count) - 1
        # The share of the border's unit that lies in this stratum, and with which probability the unit is still free.
        shared = 1.0 - into / count if into else 0.0
        free = 1.0 - into / count / length
        again = np.where(before == border, 0.0, shared / length / free)
        inner = stratum * length + shared + (u - again) / (1.0 - again) * (length - shared)
        least = border + (1 if into else 0)
        before = np.where(u < again, border, np.clip(inner.astype(int), least, last))
        places[..., stratum] = before
    return places
