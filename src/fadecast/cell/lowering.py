"""Discretised PyBaMM expressions as JAX functions on `(state, lane)` arrays.

PyBaMM evaluates a discretised symbol on column vectors `(n, 1)`; the same rules hold when each column is a
lane, so `(n, 1)` constants broadcast over `(n, lanes)` values. A value whose rows are all equal is carried as one
row. Common sub-expressions are lowered once.
"""

import functools
import operator
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import pybamm
import scipy.sparse
from jaxtyping import Array, Float

from fadecast.cell.affine import Affine, written_out
from fadecast.cell.cut_off import cut_off_below_zero
from fadecast.cell.pieces import Pieces, State, is_traced
from fadecast.cell.tables import multilinear, piecewise_polynomial

Value = Float[Array, "n lanes"] | np.ndarray | float
Inputs = Mapping[str, Float[Array, "1 lanes"]]

# Beyond this many diagonals a dense product costs less than shifted multiply-adds.
_MAX_DIAGONALS = 4

_MOST_QUARTERS = 16


class LoweringError(NotImplementedError):
    """A PyBaMM symbol that fadecast cannot express in JAX."""

    def __init__(self, symbol: pybamm.Symbol, why: str) -> None:
        super().__init__(
            f"PyBaMM symbol {type(symbol).__name__} ({symbol.name[:80]!r}) cannot be lowered: {why}. It comes with "
            "one of the model options or the parameter set; choose another or extend src/fadecast/cell/lowering.py"
        )


def lower(
    symbols: Mapping[str, pybamm.Symbol],
) -> Callable[[State, Inputs], dict[str, Float[Array, "n lanes"]]]:
    """Make one JAX function of several discretised symbols.

    Parameters
    ----------
    symbols
        Discretised, parameter-processed symbols by the name they get in the result.

    Returns
    -------
    callable
        `f(y, inputs)` with `y` of shape `(states, lanes)`, an array or pieces, and `inputs` a mapping from the name
        of each PyBaMM input parameter to `(1, lanes)`; returns the values by name, each `(n, lanes)`.

    Raises
    ------
    LoweringError
        When a symbol has no JAX form, naming it.
    """
    order: dict[pybamm.Symbol, Callable[..., Value | Affine]] = {}
    for symbol in symbols.values():
        for node in symbol.post_order():
            if node not in order:
                order[node] = _operation(node)

    def evaluate(y: State, inputs: Inputs) -> dict[str, Float[Array, "n lanes"]]:
        values: dict[pybamm.Symbol, Value | Affine] = {}
        for node, operation in order.items():
            if isinstance(node, pybamm.StateVector):
                values[node] = operation(y)
            elif isinstance(node, pybamm.InputParameter):
                values[node] = operation(inputs)
            else:
                parts = [values[child] for child in node.children]
                if type(node) not in _AFFINE:
                    parts = [written_out(part) for part in parts]
                if any(isinstance(part, jax.Array) for part in parts):
                    parts = [_in_precision(part, y.dtype) for part in parts]
                values[node] = _in_precision(operation(*parts), y.dtype, constants=False)
        lanes = y.shape[1]
        return {
            name: jnp.broadcast_to(jnp.asarray(written_out(values[s]), dtype=y.dtype), (int(s.size), lanes))
            for name, s in symbols.items()
        }

    known = jax.jit(evaluate, inline=True)

    def evaluate_known(y: State, inputs: Inputs) -> dict[str, Float[Array, "n lanes"]]:
        """Evaluate, but trace for the same shapes only once: a program asks for the voltage dozens of times."""
        return known(y, dict(inputs)) if is_traced(y) else evaluate(y, inputs)

    return evaluate_known


def _in_precision(value: Value | Affine, dtype: jnp.dtype, constants: bool = True) -> Value | Affine:
    """Bring a value to the precision of the state; constants among themselves stay in double precision."""
    if not isinstance(value, jax.Array | np.ndarray | np.generic) or not (constants or isinstance(value, jax.Array)):
        return value
    alike = value.dtype == dtype or not np.issubdtype(value.dtype, np.floating)
    return value if alike else value.astype(dtype)


def _operation(node: pybamm.Symbol) -> Callable[..., Value | Affine]:
    """Return the JAX operation of one node on the values of its children."""
    if isinstance(node, pybamm.Scalar):
        scalar = float(node.value)
        return lambda: scalar
    if isinstance(node, pybamm.Array):  # Vector and Matrix
        entries = node.entries
        if scipy.sparse.issparse(entries):
            return lambda: entries
        column = np.asarray(entries, dtype=float)
        return lambda: _one_row(column)
    if isinstance(node, pybamm.StateVector):
        return _state_rows(node)
    if isinstance(node, pybamm.InputParameter):
        name = node.name
        return lambda inputs: inputs[name]
    if isinstance(node, pybamm.MatrixMultiplication):
        return _matrix_product(node)
    if isinstance(node, pybamm.Concatenation):
        return _concatenation(node)
    if isinstance(node, pybamm.Interpolant):
        return _interpolation(node)
    if isinstance(node, pybamm.Index):
        rows = node.slice
        return lambda value: jnp.broadcast_to(value, (node.child.size, np.shape(value)[1]))[rows]
    if isinstance(node, pybamm.Conditional):
        return _branches
    if type(node) is pybamm.Power and cut_off_below_zero(node.left):
        # PyBaMM folds constants into the one and not the other: rounded differently, a product can be just below zero.
        return lambda base, exponent: _power(jnp.maximum(base, 0.0), exponent)
    if type(node) is pybamm.RegPower:
        return _regularised_power(node.delta)
    if type(node) is pybamm.Arcsinh2:
        return _regularised_arcsinh(node.eps)
    if type(node) in _ELEMENTWISE:
        return _ELEMENTWISE[type(node)]
    if type(node) is pybamm.Function and isinstance(node.function, np.ufunc):
        return getattr(jnp, node.function.__name__)
    raise LoweringError(node, "no JAX operation is known for it")


_ELEMENTWISE: dict[type, Callable[..., Value]] = {
    pybamm.Addition: lambda a, b: a + b,
    pybamm.Subtraction: lambda a, b: a - b,
    pybamm.Multiplication: lambda a, b: a * b,
    pybamm.Inner: lambda a, b: a * b,
    pybamm.Division: lambda a, b: a / b,
    pybamm.Power: lambda a, b: _power(a, b),
    pybamm.Negate: lambda a: -a,
    pybamm.AbsoluteValue: lambda a: jnp.abs(a),
    pybamm.Sign: lambda a: jnp.sign(a),
    pybamm.Minimum: lambda a, b: jnp.minimum(a, b),
    pybamm.Maximum: lambda a, b: jnp.maximum(a, b),
    pybamm.EqualHeaviside: lambda a, b: jnp.where(a <= b, *_one_and_zero(a, b)),
    pybamm.NotEqualHeaviside: lambda a, b: jnp.where(a < b, *_one_and_zero(a, b)),
    pybamm.Exp: lambda a: jnp.exp(a),
    pybamm.Log: lambda a: jnp.log(a),
    pybamm.Sqrt: lambda a: jnp.sqrt(a),
    pybamm.Tanh: lambda a: jnp.tanh(a),
    pybamm.Cosh: lambda a: jnp.cosh(a),
    pybamm.Sinh: lambda a: jnp.sinh(a),
    pybamm.Arcsinh: lambda a: _arcsinh(a),
    pybamm.Sin: lambda a: jnp.sin(a),
    pybamm.Cos: lambda a: jnp.cos(a),
    pybamm.Arctan: lambda a: jnp.arctan(a),
    pybamm.Erf: lambda a: jax.scipy.special.erf(a),
    pybamm.Max: lambda a: jnp.max(jnp.asarray(a), axis=0, keepdims=True),
    pybamm.Min: lambda a: jnp.min(jnp.asarray(a), axis=0, keepdims=True),
    pybamm.Floor: lambda a: jnp.floor(a),
    pybamm.Ceiling: lambda a: jnp.ceil(a),
    pybamm.Modulo: lambda a, b: jnp.mod(a, b),
    pybamm.Hypot: lambda a, b: jnp.hypot(a, b),
    pybamm.NotConstant: lambda a: a,
}


_AFFINE = (
    pybamm.Addition,
    pybamm.Subtraction,
    pybamm.Multiplication,
    pybamm.Division,
    pybamm.Negate,
    pybamm.MatrixMultiplication,
)
"""Operations that know what to do with an affine column; all others get it written out."""


def _one_row(column: np.ndarray) -> np.ndarray:
    """One row of a constant column whose rows are all equal."""
    return column[:1] if column.shape[1] == 1 and len(np.unique(column)) == 1 else column


def _state_rows(node: pybamm.StateVector) -> Callable[..., Value | Affine]:
    pieces = [(piece.start, piece.stop) for piece in node.y_slices]
    if len(pieces) == 1:
        rows = slice(*pieces[0])
        return lambda y: y.column(rows) if isinstance(y, Pieces) else y[rows]
    return lambda y: jnp.concatenate([y[start:stop] for start, stop in pieces])


def _concatenation(node: pybamm.Concatenation) -> Callable[..., Value]:
    """Stack the children, in the order of the domains where PyBaMM interleaves them."""
    sizes = [int(child.size) for child in node.children]
    if isinstance(node, pybamm.DomainConcatenation):
        places = np.split(np.arange(sum(sizes), dtype=float)[:, None], np.cumsum(sizes)[:-1])
        order = node._concatenation_evaluate(places).ravel().astype(int)
        if (order != np.arange(sum(sizes))).any():
            return lambda *parts: _stack(parts, sizes)[order]
    return lambda *parts: _stack(parts, sizes)


def _stack(parts: tuple[Value, ...], sizes: list[int]) -> Array:
    if not parts:
        return jnp.zeros((0, 1))
    lanes = max(np.shape(part)[1] if np.ndim(part) else 1 for part in parts)
    return jnp.concatenate(
        [jnp.broadcast_to(jnp.asarray(part), (size, lanes)) for part, size in zip(parts, sizes, strict=True)]
    )


def _one_and_zero(a: Value, b: Value) -> tuple[np.ndarray, np.ndarray]:
    """In the precision of two values: XLA would carry Python's own in double."""
    dtype = jnp.result_type(a, b)
    return np.ones((), dtype), np.zeros((), dtype)


def _power(base: Value, exponent: Value) -> Value:
    """Power; of constant quarters by roots and products, which cost a tenth of the library's function."""
    constant = np.ndim(exponent) == 0 or np.size(exponent) == 1
    if not constant or isinstance(exponent, jax.Array) or not isinstance(base, jax.Array):
        return base**exponent
    quarters = 4.0 * float(np.asarray(exponent).reshape(()))
    if quarters != round(quarters) or abs(quarters) > _MOST_QUARTERS:
        return _steep_power(base, quarters / 4.0) if quarters > 4.0 else base**exponent
    whole, rest = divmod(abs(round(quarters)), 4)
    root = jnp.sqrt(base) if rest else base
    factors = [base] * whole + ([root] if rest >= 2 else []) + ([jnp.sqrt(root)] if rest % 2 else [])
    product = functools.reduce(lambda a, b: a * b, factors) if factors else jnp.ones_like(base)
    return product if quarters >= 0 else 1.0 / product


def _steep_power(base: Array, exponent: float) -> Array:
    """Power of more than one, by an exponential and a logarithm: a quarter of the library function's cost."""
    inside = jnp.where(base > 0.0, base, 1.0)
    return jnp.where(base > 0.0, jnp.exp(exponent * jnp.log(inside)), jnp.where(base < 0.0, jnp.nan, 0.0))


def _arcsinh(value: Value) -> Array:
    """Inverse hyperbolic sine to rounding, in one logarithm."""
    # Not `abs` and `sign`, whose derivatives vanish at zero current.
    one, _ = _one_and_zero(value, value)
    sign = jnp.where(value < 0.0, -one, one)
    size = sign * value
    return sign * jnp.log1p(size + size * size / (1.0 + jnp.sqrt(size * size + 1.0)))


def _regularised_power(delta: float) -> Callable[..., Value]:
    def power(base: Value, exponent: Value, scale: Value) -> Value:
        x = base / scale
        return x * _power(x * x + delta**2, (exponent - 1) / 2) * _power(scale, exponent)

    return power


def _regularised_arcsinh(eps: float) -> Callable[..., Value]:
    def arcsinh2(a: Value, b: Value) -> Value:
        magnitude = jnp.sqrt(b * b + eps * eps)
        return _arcsinh(a / jnp.where(b < 0.0, -magnitude, magnitude))

    return arcsinh2


def _branches(selector: Value, *branches: Value) -> Value:
    """Branch `i`, counted from 1, where the selector is within a half of `i`; zero where it is near none."""
    return sum(
        jnp.where(jnp.abs(selector - number) < 0.5, branch, 0.0) for number, branch in enumerate(branches, start=1)
    )


def _interpolation(node: pybamm.Interpolant) -> Callable[..., Value]:
    axes = [np.asarray(axis, float) for axis in node.x]
    y, pieces = np.asarray(node.y, float), node.function
    if node.dimension > 1:
        if node.interpolator != "linear":
            raise LoweringError(node, f"interpolants of {node.dimension} variables are known as linear only")
        inside = multilinear(axes, y)
    elif y.ndim > 1:
        raise LoweringError(node, "interpolants of vectors are not known")
    elif node.interpolator == "linear":
        inside = piecewise_polynomial(axes[0], np.stack([np.diff(y) / np.diff(axes[0]), y[:-1]]))
    else:
        inside = piecewise_polynomial(np.asarray(pieces.x), np.asarray(pieces.c))
    return inside if node.extrapolate else _undefined_outside(inside, axes)


def _undefined_outside(inside: Callable[..., Value], axes: list[np.ndarray]) -> Callable[..., Value]:
    """Not a number outside the table, as PyBaMM has it where an interpolant must not extrapolate."""

    def evaluate(*values: Value) -> Value:
        within = [(value >= axis[0]) & (value <= axis[-1]) for value, axis in zip(values, axes, strict=True)]
        known = within[0]
        for other in within[1:]:
            known = known & other
        return jnp.where(known, inside(*values), jnp.nan)

    return evaluate


def _matrix_product(node: pybamm.MatrixMultiplication) -> Callable[..., Value | Affine]:
    """Lower `constant matrix @ value`, the only product a discretised PyBaMM model contains."""
    left = node.children[0]
    if not left.is_constant():
        raise LoweringError(node, "its left factor is not a constant matrix")
    matrix = left.evaluate()
    dense = matrix.toarray() if scipy.sparse.issparse(matrix) else np.asarray(matrix, dtype=float)
    if dense.shape[1] == 1:
        return lambda _, value: _one_row(dense).astype(jnp.result_type(written_out(value))) * value
    varying, totals = _varying_product(dense), _one_row(dense.sum(axis=1, keepdims=True))

    def product(_: Value, value: Value | Affine) -> Value | Affine:
        if isinstance(value, Affine):
            return value.transformed(dense, varying)
        return totals.astype(jnp.result_type(value)) * value if np.shape(value)[0] == 1 else varying(value)

    return product


def _varying_product(dense: np.ndarray) -> Callable[[Value], Value]:
    """Product with a value whose rows differ; one row where all rows of the result are equal."""
    rows, columns = dense.shape
    if (dense == dense[0]).all():
        places = np.flatnonzero(dense[0])
        if len(places) > _MAX_DIAGONALS:
            return lambda value: jnp.matmul(dense[:1].astype(jnp.result_type(value)), value, precision="highest")
        # Few terms, not a product: XLA makes one loop of them, with what they are used in.
        return lambda value: functools.reduce(
            operator.add, [float(dense[0, k]) * jnp.asarray(value)[k : k + 1] for k in places]
        )
    offsets = [d for d in range(1 - rows, columns) if np.diagonal(dense, d).any()]
    if len(offsets) <= _MAX_DIAGONALS:
        return _banded(dense, offsets)
    return lambda value: jnp.matmul(dense.astype(jnp.result_type(value)), value, precision="highest")


def _banded(dense: np.ndarray, offsets: list[int]) -> Callable[[Value], Value]:
    """Product with a banded matrix: row `i` of the result is the sum of `dense[i, i + offset] * value[i + offset]`."""
    rows, columns = dense.shape
    before, after = max(0, -offsets[0]), max(0, rows + offsets[-1] - columns)
    wide = np.pad(dense, ((0, 0), (before, after)))
    diagonals = [(before + offset, np.diagonal(wide, before + offset)[:, None]) for offset in offsets]

    def product(value: Value) -> Value:
        padded = jnp.pad(value, ((before, after), (0, 0)))
        dtype = jnp.result_type(value)
        return sum(diagonal.astype(dtype) * padded[first : first + rows] for first, diagonal in diagonals)

    return product
