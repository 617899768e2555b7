"""How packs behind their own converters share the power of a site, and when one is replaced.

Packs share power by dispatch, not current by Kirchhoff. A share is what a pack gets over what it would get if all
packs that began carried the same.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Bool, Float

from fadecast.settings import settings

# Halvings, and the least that a pack is worth over the mean, which bounds what is halved.
_ROUNDS, _LEAST = 60, 1e-4


@settings
class Fleet:
    """How the packs of a site serve it together."""

    sharing: Literal["fixed", "equal", "health", "remaining_warranty"] = "fixed"
    """fixed: for ever what dispatch asked of the packs at the start of service; they do not feel each other. Else the
    site is dispatched again for the capacity that is left, at every macro step, and packs that run share its power:
    equal: alike; health: by capacity; remaining_warranty: by how far retention is above the guarantee."""
    guaranteed_retention: Annotated[float, Ge(0), Le(1)] = 0.7
    """Retention that sharing by remaining warranty counts from [1]."""
    largest_share: Annotated[float, Gt(1), Le(100)] = 2.0
    """Largest share of a pack over the mean of those that run, and the inverse of the smallest [1]."""
    replace_below: Annotated[float, Ge(0.3), Le(1)] | None = None
    """Capacity over nameplate below which a pack is replaced at an inspection [1]: by one like another pack of its
    site at the start of service. Null: packs are never replaced."""
    inspection_days: Annotated[float, Ge(1), Le(3650)] = 365.0
    """Time between inspections [day]."""
    sites: Annotated[int, Ge(1), Le(100000)] = 1
    """Sites that the packs are divided among, each with packs of its own and the same weather and load."""

    def __post_init__(self) -> None:
        """Refuse replacement where packs do not feel each other."""
        if self.replace_below is not None and self.sharing == "fixed":
            raise ValueError(
                "replace_below: packs are replaced where they share power; set sharing to equal, health or "
                "remaining_warranty, or leave replace_below out"
            )


def shares(
    fleet: Fleet,
    capacity: Float[Array, "*sites packs"],
    at_start: Float[Array, "*sites packs"],
    running: Bool[Array, "*sites packs"],
    packs: int,
) -> Float[Array, "*sites packs"]:
    """Share the power of each site among its packs that run.

    Parameters
    ----------
    capacity, at_start
        Of each pack, now and at the start of service [A.h].
    running
        Which packs carry anything.
    packs
        Packs that a site began with.

    Returns
    -------
    Power of each pack over an equal share of the packs that its site began with [1]; those of a site sum to `packs`
    unless none runs.
    """
    merit = {
        "equal": jnp.ones_like(capacity),
        "health": capacity,
        "remaining_warranty": jnp.maximum(capacity / at_start - fleet.guaranteed_retention, 0.0),
    }[fleet.sharing]

    def total(of_packs: Array) -> Array:
        return jnp.sum(of_packs, axis=-1, keepdims=True)

    count = jnp.maximum(total(running), 1)
    low, high = 1.0 / fleet.largest_share, fleet.largest_share
    # No merit at all is no difference.
    merit = jnp.where(running, merit + 1e-12, 0.0)
    relative = jnp.maximum(merit * count / jnp.maximum(total(merit), 1e-30), _LEAST)

    def bounded(scale: Array) -> Array:
        return jnp.where(running, jnp.clip(scale * relative, low, high), 0.0)

    def halve(_: int, between: tuple[Array, Array]) -> tuple[Array, Array]:
        # The mean share grows with the scale: what bounds cut off some, others get.
        below, above = between
        middle = 0.5 * (below + above)
        enough = total(bounded(middle)) >= count
        return jnp.where(enough, below, middle), jnp.where(enough, middle, above)

    largest = jnp.full(count.shape, high / _LEAST)
    _, scale = jax.lax.fori_loop(0, _ROUNDS, halve, (jnp.zeros_like(largest), largest))
    found = bounded(scale)
    return packs * found / jnp.maximum(total(found), 1e-30)
