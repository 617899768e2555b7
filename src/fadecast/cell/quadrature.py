"""Nodes inside a step after a jump of the load.

Diffusion answers a jump as the square root of time, so rates that depend on a surface are smooth in that root: the
nodes are Radau's in it. Four of them integrate stress-driven ageing to about 1e-3 where equal steps need dozens.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre


class StepNodes(NamedTuple):
    """Nodes of a step of unit length; the first is its start, the last its end. All of shape `(count + 1,)`."""

    length: np.ndarray
    """From the node before [1]."""
    weight: np.ndarray
    """Of the quadrature; 0 at the start [1]."""
    embedded: np.ndarray
    """Weights of a quadrature of lower order on fewer of the nodes: the difference estimates the error [1]."""
    stretch: np.ndarray
    """Ratio of this interval to the one before in the root of time, 0 where there is none before [1]."""


@cache
def step_nodes(count: int) -> StepNodes:
    """Make the start and `count` Radau nodes in the square root of time."""
    polynomial = np.zeros(count + 1)
    polynomial[count], polynomial[count - 1] = 1.0, -1.0
    root = 0.5 * (np.sort(legendre.legroots(polynomial).real) + 1.0)
    root[-1] = 1.0
    # In the root of time the integrand is 0 at the start, a known point, which stands in for the first node.
    embedded = np.zeros(count)
    embedded[1:] = _interpolatory(np.concatenate([[0.0], root[1:]]))[1:]
    jumps = np.diff(root, prepend=0.0)
    stretch = np.concatenate([[0.0, 0.0], jumps[1:] / jumps[:-1]])
    start = np.zeros(1)
    return StepNodes(
        length=np.concatenate([start, np.diff(root**2, prepend=0.0)]),
        weight=np.concatenate([start, 2.0 * root * _interpolatory(root)]),
        embedded=np.concatenate([start, 2.0 * root * embedded]),
        stretch=stretch,
    )


def _interpolatory(points: np.ndarray) -> np.ndarray:
    """Weights on [0, 1] that integrate polynomials of degree `len(points) - 1`."""
    powers = np.arange(len(points))
    return np.linalg.solve(points[None, :] ** powers[:, None], 1.0 / (powers + 1.0))
