"""Products that are cut off below zero: s * (s >= 0) in PyBaMM, which folds constants into one of the two."""

from collections.abc import Iterator

import numpy as np
import pybamm
import scipy.sparse


def cut_off_below_zero(node: pybamm.Symbol) -> bool:
    """Return whether a product is s * (s >= 0) but for factors above 0, as stress that only opens cracks is."""
    factors = list(_factors(node))
    for cut in factors:
        if isinstance(cut, pybamm.EqualHeaviside | pybamm.NotEqualHeaviside) and cut.left == pybamm.Scalar(0):
            others = [each for each in factors if each is not cut and not _never_negative(each)]
            if len(others) == 1 and _is_positive_multiple(others[0], cut.right):
                return True
    return False


def _never_negative(node: pybamm.Symbol) -> bool:
    if isinstance(node, pybamm.Scalar):
        return float(node.value) >= 0.0
    if isinstance(node, pybamm.Array):
        return bool((scipy.sparse.csr_matrix(node.entries).data >= 0.0).all())
    if isinstance(node, pybamm.MatrixMultiplication | pybamm.Multiplication):
        return all(map(_never_negative, node.children))
    return isinstance(node, pybamm.Sqrt | pybamm.AbsoluteValue | pybamm.EqualHeaviside | pybamm.NotEqualHeaviside)


def _is_positive_multiple(one: pybamm.Symbol, other: pybamm.Symbol) -> bool:
    """Return whether two expressions are multiples of each other, by their values in some made-up states."""
    leaves = [leaf for each in (one, other) for leaf in each.pre_order() if not leaf.children]
    slices = [part for leaf in leaves if isinstance(leaf, pybamm.StateVector) for part in leaf.y_slices]
    rows = max((part.stop for part in slices), default=0)
    names = {leaf.name for leaf in leaves if isinstance(leaf, pybamm.InputParameter)}
    rng, ratios = np.random.default_rng(0), []
    for _ in range(3):
        given = rng.uniform(0.2, 1.0, (rows, 1)), {name: rng.uniform(0.5, 1.0) for name in sorted(names)}
        with np.errstate(all="ignore"):
            values = [np.ravel(each.evaluate(t=0.0, y=given[0], inputs=given[1])) for each in (one, other)]
            ratios.append(values[0] / values[1])
    found = np.concatenate(ratios)
    return bool(np.isfinite(found).all() and found[0] > 0.0 and np.allclose(found, found[0], rtol=1e-6, atol=0.0))


def _factors(node: pybamm.Symbol) -> Iterator[pybamm.Symbol]:
    if isinstance(node, pybamm.Multiplication):
        for child in node.children:
            yield from _factors(child)
    else:
        yield node
