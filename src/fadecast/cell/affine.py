"""Columns that are affine in a few numbers of each lane, and stay so through sums and constant factors.

A profile in a particle that is known by its surface and its mean need not be written out: what PyBaMM makes of it, a
mean, a surface, the difference of both, are a few multiply-adds of the numbers. Of a profile known as its mean and
what it differs from it by, a gradient does not see the mean. A difference that does not depend on the level of a
profile is so taken without it, and single precision does not lose it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# What rounding leaves of a coefficient that cancels, as a share of what it cancelled from.
_ROUNDING = 1e-13

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Affine:
    """`offset + coefficients @ numbers + rest`, not computed until something else than a sum asks for it."""

    coefficients: np.ndarray
    """Shape `(rows, m)`."""
    offset: np.ndarray
    """Shape `(rows, 1)`."""
    numbers: Float[Array, "m lanes"]
    rest: Float[Array, "rows lanes"] | None = None

    # Makes NumPy leave an operation with an array on its left to this class.
    __array_ufunc__ = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the column written out."""
        return len(self.offset), self.numbers.shape[1]

    @property
    def dtype(self) -> jnp.dtype:
        """Of the column written out."""
        return self.numbers.dtype

    def dense(self) -> Float[Array, "rows lanes"]:
        """Return the column written out."""
        terms = [
            self.coefficients[:, k : k + 1].astype(self.dtype) * self.numbers[k : k + 1]
            for k in np.flatnonzero(self.coefficients.any(axis=0))
        ]
        total: Array = jnp.broadcast_to(self.offset.astype(self.dtype), self.shape)
        for term in terms:
            total = total + term
        return total if self.rest is None else total + self.rest

    def transformed(self, matrix: np.ndarray, product: Callable[[Array], Any]) -> "Affine | Array":
        """Return the product with a constant matrix, of which `product` is that with an array of lanes."""
        if len(self.offset) == 1:
            matrix = matrix.sum(axis=1, keepdims=True)
        if (matrix == matrix[0]).all():
            matrix = matrix[:1]
        whole = np.concatenate([self.coefficients, self.offset], axis=1)
        known = matrix @ whole
        known = np.where(np.abs(known) <= _ROUNDING * (np.abs(matrix) @ np.abs(whole)), 0.0, known)
        rest = None if self.rest is None else product(self.rest)
        if rest is not None and not known.any():
            return rest
        return Affine(known[:, :-1], known[:, -1:], self.numbers, rest)

    def __add__(self, other: Any) -> "Affine | Array":
        """Add a constant or a column in the same numbers and stay affine; else write the column out."""
        if isinstance(other, Affine) and other.numbers is self.numbers:
            rests = [part for part in (self.rest, other.rest) if part is not None]
            known = _sum(self.coefficients, other.coefficients), _sum(self.offset, other.offset)
            return Affine(*_same_rows(*known), self.numbers, sum(rests[1:], start=rests[0]) if rests else None)
        if _is_constant(other):
            offset = self.offset + np.asarray(other, float)
            return Affine(*_same_rows(self.coefficients, offset), self.numbers, self.rest)
        return self.dense() + written_out(other)

    __radd__ = __add__

    def __mul__(self, other: Any) -> "Affine | Array":
        """Multiply with a constant and stay affine; else write the column out."""
        if _is_constant(other):
            factor = np.asarray(other, float)
            rest = None if self.rest is None else jnp.asarray(factor, self.dtype) * self.rest
            return Affine(*_same_rows(self.coefficients * factor, self.offset * factor), self.numbers, rest)
        return self.dense() * written_out(other)

    __rmul__ = __mul__

    def __neg__(self) -> "Affine | Array":
        """Change the sign."""
        return self * -1.0

    def __sub__(self, other: Any) -> "Affine | Array":
        """Subtract as `+` adds."""
        return self + (-other)

    def __rsub__(self, other: Any) -> "Affine | Array":
        """Subtract as `+` adds."""
        return (-self) + other

    def __truediv__(self, other: Any) -> "Affine | Array":
        """Divide as `*` multiplies."""
        if _is_constant(other):
            return self * (1.0 / np.asarray(other, float))
        return self.dense() / written_out(other)

    def __rtruediv__(self, other: Any) -> Array:
        """Divide by the column written out."""
        return written_out(other) / self.dense()


def written_out(value: T) -> T | Array:
    """Return an affine column written out, anything else as it is."""
    return value.dense() if isinstance(value, Affine) else value


def _is_constant(value: object) -> bool:
    """Tell constants, of one row or a column of rows, from values of lanes."""
    return isinstance(value, np.ndarray | np.generic | float | int) and not isinstance(value, jax.Array)


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = a + b
    return np.where(np.abs(total) <= _ROUNDING * (np.abs(a) + np.abs(b)), 0.0, total)


def _same_rows(coefficients: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = max(len(coefficients), len(offset))
    return np.broadcast_to(coefficients, (rows, coefficients.shape[1])), np.broadcast_to(offset, (rows, 1))
