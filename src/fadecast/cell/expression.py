"""Formulas of BPX files, taken apart before anything runs them: the library that reads BPX makes Python of any call.

The BPX grammar lets through `eval(chr(49))`, since it knows no names of functions but counts on `exp`, `tanh` and
`cosh`. A formula is taken apart here, and what is not arithmetic of `x` is refused.
"""

import ast
from collections.abc import Callable, Mapping

import numpy as np

_LONGEST = 10_000
"""Characters of a formula."""
_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"exp": np.exp, "tanh": np.tanh, "cosh": np.cosh}
_UNARY: Mapping[type, Callable[[np.ndarray], np.ndarray]] = {ast.UAdd: np.positive, ast.USub: np.negative}
_BINARY: Mapping[type, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}


def evaluate(formula: str, x: np.ndarray) -> np.ndarray:
    """Return the values of a formula of BPX 1.1; beyond what it is defined for they are not finite.

    Parameters
    ----------
    formula
        Numbers, `x`, `+ - * / **`, brackets, and `exp`, `tanh` and `cosh`.
    x
        Where.

    Raises
    ------
    ValueError
        When it is anything else.
    """
    try:
        # Powers of whole numbers would take hours; in floating point they overflow at once.
        with np.errstate(all="ignore"):
            return np.broadcast_to(_value(_parsed(formula).body, x.astype(float)), x.shape)
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"{formula[:60]!r} is no formula ({error})") from None


def harmless(formula: str) -> str:
    """Return a formula as it may be run as Python: it is arithmetic, and of floating-point numbers alone.

    Raises
    ------
    ValueError
        When it is anything else.
    """
    evaluate(formula, np.array([0.5]))
    return ast.unparse(_Floating().visit(_parsed(formula)))


class _Floating(ast.NodeTransformer):
    """Makes every number a floating-point one."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(float(node.value))  # type: ignore[arg-type]


def _parsed(formula: str) -> ast.Expression:
    if len(formula) > _LONGEST:
        raise ValueError(f"a formula of {len(formula):,} characters; must have {_LONGEST:,} at most")
    return ast.parse(formula.strip(), mode="eval")


def _value(node: ast.expr, x: np.ndarray) -> np.ndarray:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return np.asarray(float(number))
        case ast.Name(id="x"):
            return x
        case ast.UnaryOp(op=sign, operand=of) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(of, x))
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            return _BINARY[type(operation)](_value(left, x), _value(right, x))
        case ast.Call(func=ast.Name(id=name), args=[of], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_value(of, x))
    what = ast.unparse(node)[:60]
    raise ValueError(f"{what!r} is no part of a formula; must be of numbers, x, + - * / **, {', '.join(_FUNCTIONS)}")
