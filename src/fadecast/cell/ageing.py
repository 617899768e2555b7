"""What ageing does over a step: its rates, sampled between the nodes and integrated in the root of time."""

import functools
import operator
from collections.abc import Callable

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
from fadecast.cell.quadrature import step_samples
from fadecast.cell.terminals import algebraic_rows, linearised, with_algebraic

Block = Float[Array, "n lanes"]

# Newton iterations of the algebraic states at a sample, from the polynomial through the nodes: an open-circuit
# potential with the noise of a measurement is off it by millivolts.
_ITERATIONS = 2


def ageing_of(
    cell: CellModel,
    samples: int,
    nodes: int,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    modes: list[Block],
    shape: Float[Array, "nodes n lanes"],
    length: Float[Array, ""],
    estimate: bool,
) -> tuple[Blocks, Blocks, Blocks]:
    """Integrate the rates of ageing: changes of the ageing and of the relaxing states, and estimated errors of both.

    `shape` holds at each node the outlines of the diffusing blocks, as changes of their mean since the start, the
    relaxing states, the course, the algebraic states and the current.
    """
    parts, blocks, lines, rule = (
        partition(cell),
        diffusion_modes(cell),
        outlines(cell),
        step_samples(nodes, samples, estimate),
    )
    begin = [jnp.asarray(line.read[:, :1], y.dtype) * z[:1] for line, z in zip(lines, modes, strict=True)]
    where = algebraic_rows(cell)
    solved = [where.stop - where.start] if where.stop > where.start else []
    heights = [len(line.read) for line in lines], _heights(parts.relaxing), _heights(parts.course), solved
    ends = np.cumsum([height for group in heights for height in group])
    kinds = np.cumsum([len(group) for group in heights])
    # A sum, not a product: XLA's products of three-dimensional arrays depend on the number of lanes in the last bit.
    mixing = jnp.asarray(rule.mixing, shape.dtype)
    between = functools.reduce(operator.add, (mixing[:, n, None, None] * shape[n][None] for n in range(nodes + 1)))

    def sample(sums, row):  # type: ignore[no-untyped-def]
        ageing, relaxed, error, rates = sums
        here, weight, embedded = row
        values = [value.astype(y.dtype) for value in jnp.split(here, ends)]
        found, relaxing, course, algebraic, (current,) = (
            values[a:b] for a, b in zip([0, *kinds], [*kinds, None], strict=True)
        )
        profiles = [
            (block.rows, jnp.asarray(line.write, y.dtype) @ (outline + start))
            for block, line, outline, start in zip(blocks, lines, found, begin, strict=True)
        ]
        now = block_by_block(
            lambda a, b, rate: a + b + 0.5 * weight * length * rate, parts.ageing.read(y), ageing, rates
        )
        state = Pieces(y).replace(
            *profiles, *parts.ageing.parts(now), *parts.course.parts(course), *parts.relaxing.parts(relaxing)
        )
        for guess in algebraic:
            state = state.replace((where, _solved(cell, state, inputs, current, guess)))
        change = rates_of(cell, cell.rates(state, {**inputs, CURRENT: current}))
        rates, net = parts.ageing.read(change), parts.relaxing.read(change)
        error = block_by_block(lambda total, rate: total + (weight - embedded) * length * rate, error, (*rates, *net))
        ageing, relaxed = (
            block_by_block(lambda total, rate: total + weight * length * rate, *pair)
            for pair in ((ageing, rates), (relaxed, net))
        )
        return (ageing, relaxed, error, rates), None

    none = [block_by_block(jnp.zeros_like, group.read(y)) for group in (parts.ageing, parts.relaxing)]
    rows = between, jnp.asarray(rule.weight, y.dtype), jnp.asarray(rule.embedded, y.dtype)
    (ageing, relaxed, error, _), _ = jax.lax.scan(sample, (*none, (*none[0], *none[1]), none[0]), rows)
    return ageing, relaxed, error


def _solved(cell: CellModel, state: Pieces, inputs: Inputs, current: Array, guess: Block) -> Block:
    """Solve the algebraic states at a current."""

    def improve(_: int, values: Block) -> Block:
        return linearised(cell, with_algebraic(cell, state, values), inputs, current).algebraic

    return jax.lax.fori_loop(0, _ITERATIONS, improve, guess)


def _heights(group: Group) -> list[int]:
    return [block.stop - block.start for block in group.blocks]


def block_by_block(function: Callable[..., Block], *groups: Blocks) -> Blocks:
    """Apply a function to each block of one or several groups of values."""
    return tuple(function(*blocks) for blocks in zip(*groups, strict=True))


def rates_of(cell: CellModel, rates: list[Block]) -> Pieces:
    """Return rates by equation as one time derivative, of which rows can be read alone."""
    whole = jnp.zeros((cell.differential, rates[0].shape[1]), rates[0].dtype)
    return Pieces(whole, tuple(zip(cell.equations.values(), rates, strict=True)))
