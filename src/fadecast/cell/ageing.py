"""What ageing does over a step: its rates, sampled between the nodes and integrated in the root of time."""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.outline import outlines
from fadecast.cell.partition import Blocks, Group, partition
from fadecast.cell.pieces import Pieces
from fadecast.cell.quadrature import StepSamples

Block = Float[Array, "n lanes"]


class Between(NamedTuple):
    """What the nodes of a step tell of the time between them, in their precision."""

    shape: Float[Array, "nodes n lanes"]
    """At each node the outlines of the diffusing blocks, their means as changes since the start, the relaxing states,
    the course and the current."""
    starts: list[Block]
    """Modes of each diffusing block at the start, without the mean."""
    settled: list[Block]
    """Where the sources at the end would let them settle."""
    decays: list[Block]
    """Their decay rates [1/s]."""


def ageing_of(
    cell: CellModel,
    rule: StepSamples,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    means: list[Block],
    between: Between,
    length: Float[Array, ""],
) -> tuple[Blocks, Blocks, Blocks]:
    """Integrate the rates of ageing: changes of the ageing and of the relaxing states, and estimated errors of both.

    Rates are taken in the precision of the nodes and added up in that of the state.

    Parameters
    ----------
    inputs
        In the precision of the nodes.
    means
        Mean of each diffusing block at the start, in the precision of the nodes.
    """
    parts, lines, low = partition(cell), outlines(cell), between.shape.dtype
    blocks = diffusion_modes(cell)
    heights = [len(line.read) for line in lines], _heights(parts.relaxing), _heights(parts.course)
    ends = np.cumsum([height for group in heights for height in group])
    kinds = np.cumsum([len(group) for group in heights])
    start, aged = y.astype(low), parts.ageing.read(y)

    def at_node(_, time):
        return None, jnp.concatenate(_answer(cell, between, time))

    _, answered = jax.lax.scan(at_node, None, length.astype(low) * jnp.asarray(rule.known, low))
    shape = between.shape.at[:, : answered.shape[1]].add(-answered)

    mixing = jnp.asarray(rule.mixing, low)
    # A sum, not a product: XLA's products of three-dimensional arrays depend on the number of lanes in the last bit.
    mixed = functools.reduce(operator.add, (mixing[:, n, None, None] * shape[n][None] for n in range(len(rule.known))))

    def sample(sums, row):  # type: ignore[no-untyped-def]
        ageing, relaxed, error, rates, here = sums
        time, following, weight, embedded = row
        answers = _answer(cell, between, time)
        values = jnp.split(here, ends)
        found, relaxing, course, (current,) = (values[a:b] for a, b in zip([0, *kinds], [*kinds, None], strict=True))
        profiles = [
            (block.rows, line.profile(outline + answer + jnp.asarray(line.read[:, :1], low) * mean))
            for block, line, outline, answer, mean in zip(blocks, lines, found, answers, means, strict=True)
        ]
        now = block_by_block(lambda a, b, rate: (a + b + 0.5 * weight * length * rate).astype(low), aged, ageing, rates)
        state = Pieces(start).replace(
            *profiles, *parts.ageing.parts(now), *parts.course.parts(course), *parts.relaxing.parts(relaxing)
        )
        change = rates_of(cell, cell.rates(state, {**inputs, CURRENT: current}))
        rates, net = (
            block_by_block(lambda rate: rate.astype(y.dtype), group.read(change))
            for group in (parts.ageing, parts.relaxing)
        )
        error = block_by_block(lambda total, rate: total + (weight - embedded) * length * rate, error, (*rates, *net))
        ageing, relaxed = (
            block_by_block(lambda total, rate: total + weight * length * rate, *pair)
            for pair in ((ageing, rates), (relaxed, net))
        )
        return (ageing, relaxed, error, rates, following), None

    none = [block_by_block(jnp.zeros_like, group.read(y)) for group in (parts.ageing, parts.relaxing)]
    rows = length.astype(low)*jnp.asarray(rule.time, low), jnp.roll(mixed, -1, axis=0), jnp.asarray(rule.weight, y.dtype), jnp.asarray(rule.embedded, y.dtype)
    (ageing, relaxed, error, _, _), _ = jax.lax.scan(sample, (*none, (*none[0], *none[1]), none[0], mixed[0]), rows)
    return ageing, relaxed, error


def _answer(cell, between, time):
    """How far each outline still is from where diffusion lets it settle, some time after the start."""
    low = between.shape.dtype
    return [
        jnp.asarray(line.read[:, 1:], low) @ (jnp.exp(-decay * time) * (first - last))
        for line, decay, first, last in zip(outlines(cell), between.decays, between.starts, between.settled, strict=True)
    ]


def _heights(group: Group) -> list[int]:
    return [block.stop - block.start for block in group.blocks]


def block_by_block(function: Callable[..., Block], *groups: Blocks) -> Blocks:
    """Apply a function to each block of one or several groups of values."""
    return tuple(function(*blocks) for blocks in zip(*groups, strict=True))


def rates_of(cell: CellModel, rates: list[Block]) -> Pieces:
    """Return rates by equation as one time derivative, of which rows can be read alone."""
    whole = jnp.zeros((cell.differential, rates[0].shape[1]), rates[0].dtype)
    return Pieces(whole, tuple(zip(cell.equations.values(), rates, strict=True)))
