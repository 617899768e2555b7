"""Where reinsurance pays: losses kept below an attachment and ceded above it, against losses kept whole."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from fadecast.variables import describe
from fadecast.warranty.claims import settle
from fadecast.warranty.contract import Contract
from fadecast.warranty.intervals import half_widths
from fadecast.warranty.layers import Kind, Layer, cede
from fadecast.warranty.observed import clusters
from fadecast.warranty.premium import Premium, levels_of
from fadecast.warranty.principles import mean_and_deviation
from fadecast.warranty.remedies import Array
from fadecast.warranty.valuation import Pool, load_for_risk, pool_of

LEVELS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
"""Quantiles that are tried as attachments [1], of losses of packs (excess of loss) or draws (stop loss)."""
KINDS: tuple[Kind, ...] = ("excess_of_loss", "stop_loss")


class _Ceded(NamedTuple):
    """Losses of draws under one layer [USD/kWh]."""

    attachment: float
    taken: Float[Array, " draw"]
    kept: Float[Array, " draw"]


def attachments(
    fade: xr.Dataset, contract: Contract, premium: Premium, pack_energy_kwh: float, seed: int
) -> xr.Dataset:
    """Try one layer without limit at rising attachments, in place of `premium.reinsurance`.

    What a loss costs is its expected part that is kept, the load that the principle of the premium asks for on what is
    kept, and what the reinsurer asks for (`premium.reinsurer`). For stop loss, a reinsurer who asks for a share more
    than the expected loss, and a load of k times the tail mean beyond the expected loss, the cheapest attachment is the
    loss that is exceeded with probability k / (k + share) (Cai and Tan 2007, doi:10.2143/AST.37.1.2020800, where k is
    1).

    Parameters
    ----------
    fade, contract, premium, pack_energy_kwh, seed
        As of `fadecast.warranty.price`.

    Returns
    -------
    `attachment`, `cession_price` and `cession_saving` on `(cession, attachment_level)`, the last against no
    reinsurance, with its Monte-Carlo interval by pairs.
    """
    discount = premium.yield_curve or premium.discount_rate
    claims = settle(fade, contract, discount, pack_energy_kwh, seed, premium.defect_sampling)
    pool, levels = pool_of(claims, premium, float(fade.get("pack_weight", 1.0))), levels_of(premium)
    layers = [[_ceded(pool, kind, level) for level in LEVELS] for kind in KINDS]

    def tried(weights: Float[Array, "replicate draw"]) -> dict[str, Array]:
        weights = weights * pool.weight

        def kept(loss: Float[Array, " draw"]) -> Float[Array, " replicate"]:
            expected = (weights @ (loss * pool.energy)) / (weights @ pool.energy)
            return expected + load_for_risk(pool, premium, levels, loss, expected, weights)

        whole = [kept(each[0].taken + each[0].kept) for each in layers]
        prices = [[_asked(pool, premium, layer.taken, weights) for layer in each] for each in layers]
        savings = [
            [alone - kept(layer.kept) - price for layer, price in zip(each, of, strict=True)]
            for alone, each, of in zip(whole, layers, prices, strict=True)
        ]
        return {
            name: np.moveaxis(np.array(values), -1, 0)
            for name, values in (("cession_price", prices), ("cession_saving", savings))
        }

    dims, values = ("cession", "attachment_level"), tried(np.ones((1, pool.loss.size)))
    widths = half_widths(tried, clusters(fade), premium.confidence, seed)
    arrays = {name: (dims, value[0]) for name, value in values.items()}
    arrays["cession_saving_interval"] = (dims, widths["cession_saving"])
    arrays["attachment"] = (dims, np.array([[layer.attachment for layer in each] for each in layers]))
    return describe(xr.Dataset(arrays, coords={"cession": list(KINDS), "attachment_level": LEVELS}))


def _ceded(pool: Pool, kind: Kind, level: float) -> _Ceded:
    if kind == "stop_loss":
        # Of all packs that those of the forecast stand for, as premiums are.
        loss, energy = (pool.ratio * pool.energy)[:, None], pool.energy[:, None]
    else:
        loss, energy = pool.claims.loss, pool.claims.base_energy
    ratio = np.divide(loss, energy, out=np.full_like(loss, np.nan), where=energy > 0.0)
    at = float(np.nanquantile(ratio, level, method="inverted_cdf")) if level > 0.0 else 0.0
    split = cede((Layer(kind=kind, attachment_usd_per_kwh=at),), loss, energy)
    return _Ceded(at, split.ceded[0] / pool.energy, split.retained / pool.energy)


def _asked(
    pool: Pool, premium: Premium, taken: Float[Array, " draw"], weights: Float[Array, "replicate draw"]
) -> Float[Array, " replicate"]:
    """Return what the reinsurer asks for losses of draws [USD/kWh]."""
    expected = (weights @ (taken * pool.energy)) / (weights @ pool.energy)
    loads = premium.reinsurer
    return (1.0 + loads.expected_value) * expected + loads.standard_deviation * mean_and_deviation(taken, weights)[1]
