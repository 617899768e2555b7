"""What ageing does over a step: its rates, sampled between the nodes and integrated in the root of time."""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fadecast.cell.displaced import Point
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.outline import outlines
from fadecast.cell.partition import Blocks, Group, partition
from fadecast.cell.pieces import Pieces
from fadecast.cell.quadrature import StepSamples
from fadecast.cell.terminals import algebraic_rows, linearised, with_algebraic

Block = Float[Array, "n lanes"]

# Newton iterations of the algebraic states at a sample, from the polynomial through the nodes: an open-circuit
# potential with the noise of a measurement is off it by millivolts.
_ITERATIONS = 2


class Between(NamedTuple):
    """What the nodes of a step tell of the time between them, in their precision."""

    shape: Float[Array, "nodes n lanes"]
    """At each node the outlines of the diffusing blocks, their means as changes since the start, the relaxing states,
    the course, the algebraic states and the current."""
    means: list[Block]
    """Mean of each diffusing block at the start."""
    away: list[Block]
    """How far each mode but the mean is at the start from where it would settle, of blocks that answer a jump."""
    decays: list[Block]
    """Decay rates of these modes [1/s]."""


def ageing_of(
    cell: CellModel,
    rule: StepSamples,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    between: Between,
    length: Float[Array, ""],
    displaced: Point | None = None,
) -> tuple[Blocks, Blocks, Blocks]:
    """Integrate the rates of ageing: changes of the ageing and of the relaxing states, and estimated errors of both.

    Rates are taken in the precision of the nodes and added up in that of the state.

    Parameters
    ----------
    inputs
        PyBaMM input parameters except the current, in the precision of the nodes.
    displaced
        Three points around each sample that rates are averaged over; none: the sample itself.
    """
    parts, blocks, lines, low = partition(cell), diffusion_modes(cell), outlines(cell), between.shape.dtype
    where = algebraic_rows(cell)
    solved = [where.stop - where.start] if where.stop > where.start else []
    heights = [len(line.read) for line in lines], _heights(parts.relaxing), _heights(parts.course), solved
    ends = np.cumsum([height for group in heights for height in group])
    kinds = np.cumsum([len(group) for group in heights])
    start, aged = y.astype(low), parts.ageing.read(y)
    levels = [jnp.asarray(line.read[:, :1], low) * mean for line, mean in zip(lines, between.means, strict=True)]
    mixed = _mixed(cell, rule, between, length)

    def sample(sums, row):  # type: ignore[no-untyped-def]
        ageing, relaxed, error, rates, here = sums
        following, share, weight, embedded = row
        values = jnp.split(here, ends)
        found, relaxing, course, algebraic, (current,) = (
            values[a:b] for a, b in zip([0, *kinds], [*kinds, None], strict=True)
        )
        answers = _answers(cell, between, share * length.astype(low))
        numbers = [a + b + c for a, b, c in zip(found, answers, levels, strict=True)]
        now = block_by_block(lambda a, b, rate: (a + b + 0.5 * weight * length * rate).astype(low), aged, ageing, rates)
        state = Pieces(start).replace(
            *parts.ageing.parts(now), *parts.course.parts(course), *parts.relaxing.parts(relaxing)
        )

        def rates_at(numbers: list[Block], current: Block) -> tuple[Blocks, Blocks]:
            profiles = [
                (block.rows, line.profile(number)) for block, line, number in zip(blocks, lines, numbers, strict=True)
            ]
            here = state.replace(*profiles)
            for guess in algebraic:
                here = here.replace((where, _solved(cell, here, inputs, current, guess)))
            change = rates_of(cell, cell.rates(here, {**inputs, CURRENT: current}))
            return parts.ageing.read(change), parts.relaxing.read(change)

        if displaced is None:
            both = rates_at(numbers, current)
        else:
            both = _mean_rates(cell, rates_at, numbers, current, displaced)
        rates, net = (block_by_block(lambda rate: rate.astype(y.dtype), group) for group in both)
        error = block_by_block(lambda total, rate: total + (weight - embedded) * length * rate, error, (*rates, *net))
        ageing, relaxed = (
            block_by_block(lambda total, rate: total + weight * length * rate, *pair)
            for pair in ((ageing, rates), (relaxed, net))
        )
        return (ageing, relaxed, error, rates, following), None

    none = [block_by_block(jnp.zeros_like, group.read(y)) for group in (parts.ageing, parts.relaxing)]
    # Each sample hands the next what is between the nodes: read where it is used, it would keep XLA from vector loops.
    shares = jnp.asarray(rule.time, low)
    rows = jnp.roll(mixed, -1, axis=0), shares, *(jnp.asarray(part, y.dtype) for part in (rule.weight, rule.embedded))
    begin = (*none, (*none[0], *none[1]), none[0], mixed[0])
    (ageing, relaxed, error, _, _), _ = jax.lax.scan(sample, begin, rows)
    return tuple(ageing), tuple(relaxed), tuple(error)


def _mean_rates(
    cell: CellModel,
    rates_at: Callable[[list[Block], Block], tuple[Blocks, Blocks]],
    numbers: list[Block],
    current: Block,
    displaced: Point,
) -> tuple[Blocks, Blocks]:
    """Average rates over points around a sample."""

    def add(total, point: Point):  # type: ignore[no-untyped-def]
        raised = [
            number + jnp.asarray(line.raised, number.dtype) * surface
            for line, number, surface in zip(outlines(cell), numbers, point.surfaces, strict=True)
        ]
        rates = rates_at(raised, current + point.current)
        return jax.tree.map(lambda sum_, rate: sum_ + point.chance * rate, total, rates), None

    none = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(rates_at, numbers, current))
    return jax.lax.scan(add, none, displaced)[0]


def _mixed(
    cell: CellModel, rule: StepSamples, between: Between, length: Float[Array, ""]
) -> Float[Array, "samples n lanes"]:
    """Interpolate the shape at the samples, without what answers a jump."""
    low, nodes = between.shape.dtype, range(len(rule.known))

    def at_node(_, share):  # type: ignore[no-untyped-def]
        answers = zip(outlines(cell), _answers(cell, between, share * length.astype(low)), strict=True)
        return None, jnp.concatenate([jnp.broadcast_to(answer, (len(line.read), lanes)) for line, answer in answers])

    lanes = between.shape.shape[2]
    _, answered = jax.lax.scan(at_node, None, jnp.asarray(rule.known, low))
    shape = between.shape.at[:, : answered.shape[1]].add(-answered)
    mixing = jnp.asarray(rule.mixing, low)
    # A sum, not a product: XLA's products of three-dimensional arrays depend on the number of lanes in the last bit.
    return functools.reduce(operator.add, (mixing[:, n, None, None] * shape[n][None] for n in nodes))


def _answers(cell: CellModel, between: Between, time: Float[Array, ""]) -> list[Block]:
    """Return how far the outline of each block still is from where it would settle, some time into the step.

    Particles answer a jump by exponential decays too steep for a polynomial through a few nodes. Salt does not matter
    as much: 0.
    """
    low, known = between.shape.dtype, zip(between.away, between.decays, strict=True)
    found = []
    for block, line in zip(diffusion_modes(cell), outlines(cell), strict=True):
        if block.closed:
            found.append(jnp.zeros((1, 1), low))
        else:
            away, decay = next(known)
            found.append(jnp.asarray(line.read[:, 1:], low) @ (jnp.exp(-decay * time) * away))
    return found


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
