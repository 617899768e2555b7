"""The most that a cell has been through, which is what terms of use are about."""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Values: TypeAlias = Float[Array, "*shape"] | Float[np.ndarray, "*shape"]


class Extremes(NamedTuple):
    """Extremes over some time, every field of one shape."""

    temperature: Values
    """Highest cell temperature at a node of a time step [K]."""
    current: Values
    """Largest current at the start or end of a load step, of charge or discharge [A]; swings inside do not count."""
    fullest: Values
    """Highest state of charge of the aged cell at the start of a load step [1]."""
    emptiest: Values
    """Lowest state of charge there [1]."""

    def over_first(self) -> "Extremes":
        """Return the extremes over the first dimension."""
        temperature, current, fullest = (value.max(axis=0) for value in self[:3])
        return Extremes(temperature, current, fullest, self.emptiest.min(axis=0))

    def beyond(self, other: "Extremes") -> "Extremes":
        """Return the extremes of both times, as arrays of NumPy."""
        temperature, current, fullest = map(np.maximum, self[:3], other[:3])
        return Extremes(temperature, current, fullest, np.minimum(self.emptiest, other.emptiest))


def of_nothing(lanes: int) -> Extremes:
    """Return what any time goes beyond, fields `(lanes,)`."""
    least = np.full(lanes, -np.inf)
    return Extremes(least, least, least, -least)


def of_load_step(temperature: Array, start: Array, end: Array, state_of_charge: Array) -> Extremes:
    """Return the extremes of a load step with some currents at its start and end [A]."""
    current = jnp.maximum(jnp.abs(start), jnp.abs(end))
    return Extremes(temperature, current, state_of_charge, state_of_charge)


def stacked(rows: list[Extremes]) -> Extremes:
    """Return extremes at some times with the times first, as arrays of NumPy."""
    return jax.tree.map(lambda *values: np.stack(values), *rows)
