"""Nodes inside a step after a jump of the load, and samples between them.

Diffusion answers a jump as the square root of time, so what depends on a surface is smooth in that root: the nodes are
Radau's in it. Rates of ageing are rougher than the surface they depend on (a measured open-circuit potential has the
noise of the measurement, a stress that pulls does not push), so they are sampled more often, at Gauss points of the
root.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre


class Rule(NamedTuple):
    """How often a time step looks at the cell."""

    nodes: int
    """Evaluations after the start."""
    samples: int
    """Samples of the rates of ageing."""
    estimate: bool = False
    """Whether to estimate the error, for half as many samples more; else it is that of no quadrature."""


class StepNodes(NamedTuple):
    """Nodes of a step of unit length; the first is its start, the last its end. All of shape `(count + 1,)`."""

    length: np.ndarray
    """From the node before [1]."""
    weight: np.ndarray
    """Of the quadrature; 0 at the start [1]."""
    stretch: np.ndarray
    """Ratio of this interval to the one before in the root of time, 0 where there is none before [1]."""


class StepSamples(NamedTuple):
    """Samples of a step of unit length between its nodes, in the order of time; `n` of them."""

    known: np.ndarray
    """Times of the start and the nodes, `(nodes + 1,)` [1]."""
    time: np.ndarray
    """Of each sample, `(n,)` [1]."""
    mixing: np.ndarray
    """Each sample as a mixture of the nodes, by the polynomial through them in the root of time, `(n, nodes + 1)`."""
    weight: np.ndarray
    """Of the quadrature, `(n,)` [1]."""
    embedded: np.ndarray
    """Of a quadrature on fewer samples, mixed of fewer nodes, `(n,)`: the difference estimates the error [1]."""


@cache
def step_nodes(count: int) -> StepNodes:
    """Make the start and `count` Radau nodes in the square root of time."""
    root = _radau(count)
    jumps = np.diff(root, prepend=0.0)
    start = np.zeros(1)
    return StepNodes(
        length=np.concatenate([start, np.diff(root**2, prepend=0.0)]),
        weight=np.concatenate([start, 2.0 * root * _interpolatory(root)]),
        stretch=np.concatenate([[0.0, 0.0], jumps[1:] / jumps[:-1]]),
    )


@cache
def step_samples(rule: Rule) -> StepSamples:
    """Make Gauss samples in the square root of time between the start and the nodes.

    With an estimate half as many follow for it: every other one again, mixed of the nodes without the start.
    """
    known = np.concatenate([[0.0], _radau(rule.nodes)])
    points, weights = legendre.leggauss(rule.samples)
    root = 0.5 * (points + 1.0)
    full = StepSamples(known**2, root**2, _mixing(root, known), root * weights, np.zeros(rule.samples))
    if not rule.estimate:
        return full
    again = root[1::2]
    # In the root of time the integrand is 0 at the start: one more known point.
    embedded = 2.0 * again * _interpolatory(np.concatenate([[0.0], again]))[1:]
    fewer = np.pad(_mixing(again, known[1:]), ((0, 0), (1, 0)))
    half = StepSamples(known**2, again**2, fewer, np.zeros(len(again)), embedded)
    order = np.argsort(np.concatenate([root, again]), kind="stable")
    return StepSamples(full.known, *(np.concatenate(pair)[order] for pair in zip(full[1:], half[1:], strict=True)))


def _mixing(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Weights of known points in the polynomial through them, at each point."""
    return np.array([[np.prod([(p - o) / (k - o) for o in known if o != k]) for k in known] for p in points])


def _radau(count: int) -> np.ndarray:
    """Radau points on (0, 1], the last of them 1."""
    polynomial = np.zeros(count + 1)
    polynomial[count], polynomial[count - 1] = 1.0, -1.0
    points = 0.5 * (np.sort(legendre.legroots(polynomial).real) + 1.0)
    points[-1] = 1.0
    return points


def _interpolatory(points: np.ndarray) -> np.ndarray:
    """Weights on [0, 1] that integrate polynomials of degree `len(points) - 1`."""
    powers = np.arange(len(points))
    return np.linalg.solve(points[None, :] ** powers[:, None], 1.0 / (powers + 1.0))
