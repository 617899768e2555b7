"""Reinsurance: what others take of the loss.

Quota shares take of every loss, excess of loss of what they leave of each pack's, stop loss of what both leave of all
packs'. Layers of one kind stand side by side on the same loss. All are of losses discounted to the start of service,
over the whole term.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Float

from fadecast.settings import settings
from fadecast.warranty.remedies import Array

Kind = Literal["quota_share", "excess_of_loss", "stop_loss"]

_ORDER: tuple[Kind, ...] = ("quota_share", "excess_of_loss", "stop_loss")
_ROUNDING = 1e-9


@settings
class Layer:
    """One layer of reinsurance."""

    kind: Kind
    """A share of each loss; of each pack's loss what exceeds the attachment; or of all packs' together."""
    share: Annotated[float, Gt(0.0), Le(1.0)] = 1.0
    """Share of the layer that is taken [1]; the one number of a quota share."""
    attachment_usd_per_kwh: Annotated[float, Ge(0.0)] = 0.0
    """Loss that is left below the layer [USD per kWh of base energy]."""
    limit_usd_per_kwh: Annotated[float, Gt(0.0)] | None = None
    """Most that the layer holds [USD per kWh of base energy]; none: no limit."""

    def __post_init__(self) -> None:
        """Refuse a quota share with borders."""
        if self.kind == "quota_share" and (self.attachment_usd_per_kwh or self.limit_usd_per_kwh):
            raise ValueError(
                "a quota_share takes a share of every loss; give no attachment and no limit, or a stop_loss"
            )


@settings
class Reinsurer:
    """What a reinsurer asks for beyond the expected loss of a layer."""

    expected_value: Annotated[float, Ge(0.0), Le(10.0)] = 0.20
    """Times the expected loss of the layer [1]. An assumption."""
    standard_deviation: Annotated[float, Ge(0.0), Le(10.0)] = 0.10
    """Times the standard deviation of its loss over draws [1]. An assumption."""


class Split(NamedTuple):
    """Losses of all packs in each draw [USD]."""

    ceded: Float[Array, "layer draw"]
    retained: Float[Array, " draw"]


def check_layers(layers: tuple[Layer, ...]) -> None:
    """Refuse layers that together take more than there is.

    Raises
    ------
    ValueError
        Where shares of layers of one kind add up to more than 1.
    """
    for kind in _ORDER:
        same = [layer for layer in layers if layer.kind == kind]
        for at in (layer.attachment_usd_per_kwh for layer in same):
            # Borders that meet are one, whatever their last digits.
            after = at + _ROUNDING * (1.0 + at)
            here = [
                each
                for each in same
                if each.attachment_usd_per_kwh <= after < each.attachment_usd_per_kwh + _width(each)
            ]
            taken = sum(each.share for each in here)
            if taken > 1.0 + _ROUNDING:
                raise ValueError(f"{kind} layers take {taken:g} of the loss above {at:g} USD/kWh; must be at most 1")


def cede(layers: tuple[Layer, ...], loss: Float[Array, "draw pack"], energy: Float[Array, "draw pack"]) -> Split:
    """Divide losses over the layers of reinsurance and what is left.

    Parameters
    ----------
    layers
        In any order.
    loss, energy
        Discounted losses [USD] and base energy [kWh]; NaN for packs that are not known.
    """
    left, held = np.nan_to_num(loss), np.nan_to_num(energy)
    ceded = np.zeros((len(layers), len(left)))
    for kind in _ORDER:
        subject = left
        for number, layer in enumerate(layers):
            if layer.kind == kind:
                taken = _taken(layer, subject, held)
                ceded[number] = taken.sum(axis=1)
                left = left - taken
    return Split(ceded, np.asarray(left.sum(axis=1)))


def _taken(layer: Layer, loss: Float[Array, "draw pack"], energy: Float[Array, "draw pack"]) -> Float[Array, "..."]:
    if layer.kind == "quota_share":
        return layer.share * loss
    if layer.kind == "excess_of_loss":
        return np.asarray(layer.share * _inside(layer, loss, energy))
    total = loss.sum(axis=1, keepdims=True)
    inside = layer.share * _inside(layer, total, energy.sum(axis=1, keepdims=True))
    # Packs have their part of it by what they lost.
    return np.asarray(loss * np.divide(inside, total, out=np.zeros_like(total), where=total > 0.0))


def _inside(layer: Layer, loss: Array, energy: Array) -> Array:
    above = np.maximum(loss - layer.attachment_usd_per_kwh * energy, 0.0)
    return above if layer.limit_usd_per_kwh is None else np.minimum(above, layer.limit_usd_per_kwh * energy)


def _width(layer: Layer) -> float:
    return np.inf if layer.limit_usd_per_kwh is None else layer.limit_usd_per_kwh
