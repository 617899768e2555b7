"""Groups in series: lanes that carry one current.

A group is cells in parallel. They are taken to share its current evenly and to age alike, so that one cell stands for
them: a lane is one cell of one group, and powers and energies are per cell. Spread within a group is left out.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import isclose

import jax.numpy as jnp
from jaxtyping import Array, Float

Lanes = Float[Array, "*rows lanes"]


@dataclass(frozen=True)
class Series:
    """How the lanes of a batch make packs: `groups` lanes after each other are one pack, in every pack alike.

    What is not a number in one lane is in the others of its pack, never in another pack.

    Raises
    ------
    ValueError
        When the weights are not positive or do not sum to 1.
    """

    weight: tuple[float, ...]
    """Share of the pack's groups that each simulated group stands for [1]; they sum to 1."""

    def __post_init__(self) -> None:
        if not self.weight or min(self.weight) <= 0.0 or not isclose(sum(self.weight), 1.0, rel_tol=1e-9):
            raise ValueError(
                f"weights of groups are {self.weight}; each must be positive and they must sum to 1: give the share of "
                "the pack's groups that each one stands for"
            )

    @classmethod
    def equal(cls, groups: int) -> "Series":
        """Simulate every group of a pack."""
        return cls((1.0 / groups,) * groups)

    @property
    def groups(self) -> int:
        """Simulated groups of a pack."""
        return len(self.weight)

    def mean(self, value: Lanes) -> Lanes:
        """Weighted mean over the groups of each pack, in each of its lanes."""
        if all(one == other for one, other in pairwise(self.weight)):
            return self._all(self.packs(value).mean(axis=-1))
        return self._all((self.weights(value) * self.packs(value)).sum(axis=-1))

    def least(self, value: Lanes) -> Lanes:
        """Smallest of each pack, in each of its lanes."""
        return self._all(self.packs(value).min(axis=-1))

    def most(self, value: Lanes) -> Lanes:
        """Largest of each pack, in each of its lanes."""
        return self._all(self.packs(value).max(axis=-1))

    def first(self, value: Lanes) -> Lanes:
        """Value of the first group of each pack, in each of its lanes: the same to the last bit."""
        return self._all(self.packs(value)[..., 0])

    def packs(self, value: Lanes) -> Float[Array, "*rows packs groups"]:
        """Lanes by pack and group."""
        return value.reshape(*value.shape[:-1], -1, self.groups)

    def weights(self, value: Lanes) -> Float[Array, "*ones groups"]:
        """Weights in the precision of a value, to be multiplied with its `packs`."""
        return jnp.asarray(self.weight, value.dtype).reshape((1,) * value.ndim + (-1,))

    def _all(self, value: Float[Array, "*rows packs"]) -> Lanes:
        return jnp.repeat(value, self.groups, axis=-1)


def in_series(series: Series | None) -> Series | None:
    """Return None for packs of one group, which need no words about groups."""
    return None if series is None or series.groups == 1 else series
