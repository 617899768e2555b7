"""Time steps of a batch of cells: diffusion exactly in its modes, ageing by quadrature in the root of time.

After a jump of the load, concentrations at a surface follow the square root of time, and stress-driven ageing is a
steep power of them: that, not stability, is what costs steps. So one step

* advances each diffusing block in its modes, where linear diffusion at the lane's own diffusivity is a set of exact
  decays; what is left (surface flux, and diffusivity that varies along the radius) is integrated as a linear function
  of time between nodes (an exponential Adams-Moulton method, predicted by extrapolation in the root of time);
* advances states that relax (plated lithium) by the exact solution of their linear equation between nodes;
* solves algebraic states along with the current, and with both the fluxes through the particles' surfaces
  (`coupled.py`);
* integrates temperature and charge from their rates at the nodes, by Radau quadrature in the root of time, and with
  them SEI on cracks, which starts bare, as its square;
* integrates ageing from more samples of its rates, at states interpolated between the nodes: they cost a fraction of
  a node.

Of second order in its fast states (Hochbruck and Ostermann, Acta Numerica 19, 209, 2010,
doi:10.1017/S0962492910000048). Lithium is conserved to rounding: the particles' means follow from the balance of each
electrode.

Nodes and samples may be in single precision. The state and what they add up to keep its own: a step changes a slow
state by less than single precision resolves of it.
"""

import operator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.affine import Affine
from fadecast.cell.ageing import Between, ageing_of, block_by_block, rates_of
from fadecast.cell.balance import balanced
from fadecast.cell.control import Control, Delivery
from fadecast.cell.coupled import couple, moved, surface_blocks
from fadecast.cell.exponentials import Block, phi_functions, relaxed
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.modes import Modes, diffusion_modes, relative_exchange
from fadecast.cell.outline import outlines
from fadecast.cell.partition import Blocks, Partition, partition
from fadecast.cell.pieces import Pieces
from fadecast.cell.quadrature import step_nodes, step_samples
from fadecast.cell.terminals import algebraic_rows

Lanes = Float[Array, "1 lanes"]


class Step(NamedTuple):
    """What one step gives."""

    y: Float[Array, "states lanes"]
    """State at its end."""
    delivery: Delivery
    """At its end."""
    power: Lanes
    """Mean terminal power over it, discharge positive [W]."""
    temperature_mean: Lanes
    """[K]; of the model's temperature state, 0 where it has none."""
    temperature_max: Lanes
    """[K]"""
    change: Block
    """Size of the change of each ageing and relaxing state, as a fraction of a cell (`Partition.share`) [1]."""
    error: Block
    """Estimated error of that change [1]."""


class _Node(NamedTuple):
    """The fast states and their rates at a node."""

    decaying: Blocks
    """Modes of each diffusing block, the first one as its change since the start."""
    relaxing: Blocks
    course: Blocks
    delivery: Delivery
    sources: Blocks
    """What drives each mode besides its own decay."""
    drive: Blocks
    """Rate of the relaxing states at zero."""
    pull: Blocks
    """Decay rate of the relaxing states [1/s]."""
    rates: Blocks
    """Rates of the course."""


class _Sums(NamedTuple):
    """Quadratures over the nodes of a step."""

    means: tuple[Lanes, ...]
    course: Blocks
    power: Lanes
    heat: Lanes
    hottest: Lanes


class _Fixed(NamedTuple):
    """What does not change within a step, in the precision of the nodes."""

    cell: CellModel
    parts: Partition
    blocks: tuple[Modes, ...]
    y: Float[Array, "states lanes"]
    means: list[Lanes]
    """Mean of each diffusing block at the start."""
    decays: list[Block]
    """Decay rate of each mode of each block [1/s]."""
    inputs: Inputs
    control: Control


def take_step(
    cell: CellModel,
    nodes: int,
    samples: int,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    guess: Delivery,
    length: Float[Array, ""],
    estimate: bool = False,
) -> Step:
    """Advance every lane by one step under one demand.

    Parameters
    ----------
    nodes
        Nodes of the quadrature.
    samples
        Samples of the rates of ageing.
    inputs
        PyBaMM input parameters except the current, each `(1, lanes)`.
    control
        Current and power at a state in the precision of the nodes.
    guess
        What the terminals do at the start, in the precision of the nodes.
    length
        Step [s].
    estimate
        Whether to estimate the error, for half as many samples more; else it is that of no quadrature.
    """
    blocks = diffusion_modes(cell)
    modes = [jnp.asarray(block.modes, y.dtype) @ y[block.rows] for block in blocks]
    fixed = _fixed(cell, y, inputs, control, [z[:1] for z in modes], guess.current.dtype)
    first = _first_node(fixed, modes, guess)
    end, sums, shape = _follow(fixed, first, nodes, length.astype(fixed.y.dtype))
    ageing, sampled, errors = ageing_of(
        cell, step_samples(nodes, samples, estimate), y, fixed.inputs, _between(fixed, first, end, shape), length
    )
    change = _passed(fixed, y, end, sampled, length)
    share = jnp.asarray(fixed.parts.share, y.dtype)
    size, error = (jnp.abs(share * jnp.concatenate(part)) for part in ((*ageing, *change), errors))
    power, heat, hottest = (part.astype(y.dtype) for part in (sums.power, sums.heat, sums.hottest))
    return Step(_end(fixed, y, modes, end, sums, ageing, change), end.delivery, power, heat, hottest, size, error)


def _between(fixed: _Fixed, first: _Node, end: _Node, shape: Array) -> Between:
    """Collect what ageing needs to know of the time between the nodes."""
    away, decays = [], []
    for block, z, source, decay in zip(fixed.blocks, first.decaying, end.sources, fixed.decays, strict=True):
        if not block.closed:
            away.append(z[1:] - source[1:] / decay[1:])
            decays.append(decay[1:])
    return Between(shape, fixed.means, away, decays)


def _passed(
    fixed: _Fixed, y: Float[Array, "states lanes"], end: _Node, sampled: Blocks, length: Float[Array, ""]
) -> Blocks:
    """Return the changes of the relaxing states.

    A node knows where such a state settles, the samples what passes meanwhile: what they find more is worth as much as
    is left of it at the end.
    """

    def change(old: Block, new: Block, passed: Block, pull: Block) -> Block:
        settled = new.astype(y.dtype) - old
        return settled + (passed - settled) * jnp.exp(-length * pull.astype(y.dtype))

    return block_by_block(change, fixed.parts.relaxing.read(y), end.relaxing, sampled, end.pull)


def _end(
    fixed: _Fixed,
    y: Float[Array, "states lanes"],
    modes: list[Block],
    end: _Node,
    sums: _Sums,
    ageing: Blocks,
    relaxing: Blocks,
) -> Float[Array, "states lanes"]:
    """Put the state at the end together."""
    parts = fixed.parts
    new = parts.course.add(parts.relaxing.add(parts.ageing.add(y, ageing), relaxing), sums.course)
    for block, start, last, mean in zip(fixed.blocks, modes, end.decaying, sums.means, strict=True):
        moved = start[:1] if block.closed else start[:1] + mean.astype(y.dtype)
        final = last.astype(y.dtype).at[:1].set(moved)
        new = new.at[block.rows].set(jnp.asarray(block.nodes, y.dtype) @ final)
    new = new.at[algebraic_rows(fixed.cell)].set(end.delivery.algebraic.astype(y.dtype))
    return balanced(fixed.cell, y, new)


def _fixed(
    cell: CellModel,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    means: list[Lanes],
    dtype: jnp.dtype,
) -> _Fixed:
    y, inputs, means = jax.tree.map(lambda value: value.astype(dtype), (y, dict(inputs), means))
    blocks = diffusion_modes(cell)
    decays = [_diffusivity(cell, block, y, inputs) * jnp.asarray(block.decay, dtype) for block in blocks]
    return _Fixed(cell, partition(cell), blocks, y, means, decays, inputs, control)


def _first_node(fixed: _Fixed, modes: list[Block], guess: Delivery) -> _Node:
    """Return the start of a step, its rates not yet known."""
    parts, y = fixed.parts, fixed.y
    decaying = tuple(z.astype(y.dtype).at[:1].set(0.0) for z in modes)
    relaxing, course = parts.relaxing.read(y), parts.course.read(y)
    return _Node(
        decaying=decaying,
        relaxing=relaxing,
        course=course,
        delivery=guess,
        sources=tuple(jnp.zeros_like(z) for z in decaying),
        drive=block_by_block(jnp.zeros_like, relaxing),
        pull=block_by_block(jnp.zeros_like, relaxing),
        rates=block_by_block(jnp.zeros_like, course),
    )


def _follow(fixed: _Fixed, first: _Node, nodes: int, length: Float[Array, ""]) -> tuple[_Node, _Sums, Array]:
    """Go from node to node: the last one, quadratures over all, and what ageing needs to know of each."""
    y, lines = fixed.y, [jnp.asarray(line.read, fixed.y.dtype) for line in outlines(fixed.cell)]

    def advance(carry, row):  # type: ignore[no-untyped-def]
        before, last, sums = carry
        share, weight, stretch = row
        new = _next_node(fixed, before, last, share * length, stretch)
        temperature = fixed.parts.temperature(fixed.cell, Pieces(y).replace(*fixed.parts.course.parts(new.course)))
        sums = _Sums(
            means=tuple(m + weight * length * source[:1] for m, source in zip(sums.means, new.sources, strict=True)),
            course=block_by_block(lambda total, rate: total + weight * length * rate, sums.course, new.rates),
            power=sums.power + weight * new.delivery.power,
            heat=sums.heat + weight * temperature,
            hottest=jnp.maximum(sums.hottest, temperature),
        )
        outline = [line @ z for line, z in zip(lines, new.decaying, strict=True)]
        solved = [new.delivery.algebraic] if len(new.delivery.algebraic) else []
        return (last, new, sums), jnp.concatenate([*outline, *new.relaxing, *new.course, *solved, new.delivery.current])

    still = jnp.zeros_like(first.delivery.current)
    sums = _Sums(tuple(jnp.zeros_like(z[:1]) for z in first.decaying), first.rates, still, still, still)
    rows = tuple(jnp.asarray(part, y.dtype) for part in step_nodes(nodes))
    (_, end, sums), shape = jax.lax.scan(advance, (first, first, sums), rows)
    return end, sums, shape


def _next_node(fixed: _Fixed, before: _Node, last: _Node, gap: Float[Array, ""], stretch: Float[Array, ""]) -> _Node:
    """Predict the fast states at the next node, evaluate what drives them there, and correct them."""
    parts, blocks = fixed.parts, fixed.blocks
    phis = [phi_functions(decay * gap) for decay in fixed.decays]
    expected = tuple(new + stretch * (new - old) for new, old in zip(last.sources, before.sources, strict=True))
    predicted = tuple(
        phi.decay * z + gap * (phi.mean * source + phi.ramp * (later - source))
        for phi, z, source, later in zip(phis, last.decaying, last.sources, expected, strict=True)
    )
    course = block_by_block(
        lambda value, new, old: value + gap * (new + 0.5 * stretch * (new - old)), last.course, last.rates, before.rates
    )
    relaxing = _expected_to_relax(fixed, last, gap)
    state = Pieces(fixed.y).replace(
        *_profiles(fixed, predicted), *parts.course.parts(course), *parts.relaxing.parts(relaxing)
    )
    # Extrapolated like the sources, the current is close enough for one Newton iteration.
    guess = jax.tree.map(lambda new, old: new + stretch * (new - old), last.delivery, before.delivery)
    gains = [gap * phi.ramp for phi in phis]
    state, delivery, reached = _at_terminals(fixed, state, guess, predicted, expected, gains)
    rates, relaxing, drive, pull = _relax(
        fixed, state, {**fixed.inputs, CURRENT: delivery.current}, relaxing, last, gap
    )
    sources = tuple(
        jnp.asarray(block.modes, z.dtype) @ rates[block.rows] + decay * z
        for block, decay, z in zip(blocks, fixed.decays, reached, strict=True)
    )
    corrected = tuple(
        z + gain * (source - later) for gain, z, source, later in zip(gains, predicted, sources, expected, strict=True)
    )
    sources = _salt_again(fixed, state, {**fixed.inputs, CURRENT: delivery.current}, corrected, sources)
    now = parts.course.rates(rates, course)
    course = block_by_block(lambda value, old, new: value + 0.5 * gap * (old + new), last.course, last.rates, now)
    return _Node(corrected, relaxing, course, delivery, sources, drive, pull, now)


def _expected_to_relax(fixed: _Fixed, last: _Node, gap: Float[Array, ""]) -> Blocks:
    """Return the relaxing states that a node is evaluated at.

    Algebraic states stand still while these relax, which is right only where they hardly move.
    """
    if not len(last.delivery.algebraic):
        return last.relaxing
    return block_by_block(partial(relaxed, gap), last.relaxing, last.drive, last.pull, last.drive, last.pull)


def _at_terminals(
    fixed: _Fixed,
    state: Pieces,
    guess: Delivery,
    predicted: tuple[Block, ...],
    expected: tuple[Block, ...],
    gains: list[Block],
) -> tuple[Pieces, Delivery, tuple[Block, ...]]:
    """Find what the terminals do at a predicted state; where there are algebraic states, move its surfaces along."""
    where = algebraic_rows(fixed.cell)
    count = where.stop - where.start
    if not count:
        delivery = fixed.control(state, guess, 1)
        return state.replace((where, delivery.algebraic)), delivery, predicted
    coupled = couple(fixed.cell, state, fixed.decays, predicted, expected, gains)
    guess = guess._replace(algebraic=jnp.concatenate([guess.algebraic, *coupled.surplus]))
    delivery = fixed.control(coupled, guess, 1)
    coupled = coupled.solved(where, delivery.algebraic)
    reached = list(predicted)
    for n, surplus in zip(surface_blocks(fixed.cell), coupled.surplus, strict=True):
        reached[n] = moved(fixed.blocks[n], predicted[n], gains[n], surplus)
    delivery = delivery._replace(algebraic=delivery.algebraic[:count])
    return Pieces(coupled.whole, coupled.parts), delivery, tuple(reached)


def _salt_again(
    fixed: _Fixed, state: Pieces, inputs: Inputs, corrected: tuple[Block, ...], sources: tuple[Block, ...]
) -> tuple[Block, ...]:
    """Take the sources of salt again at its corrected profile.

    Its diffusivity varies manifold along an electrolyte: what is left to its sources then shrinks as the square of its
    share, of whatever sign.
    """
    if not any(block.closed for block in fixed.blocks):
        return sources
    profiles = _profiles(fixed, corrected)
    rates = rates_of(fixed.cell, fixed.cell.rates(state.replace(*profiles), inputs))
    return tuple(
        jnp.asarray(block.modes, z.dtype) @ rates[block.rows] + decay * z if block.closed else source
        for block, decay, z, source in zip(fixed.blocks, fixed.decays, corrected, sources, strict=True)
    )


def _profiles(fixed: _Fixed, decaying: tuple[Block, ...]) -> list[tuple[slice, Affine]]:
    """Return the profile of every diffusing block, as parts of a state: its mean at the start, and what is more."""
    profiles = []
    for block, z, mean in zip(fixed.blocks, decaying, fixed.means, strict=True):
        even = block.nodes[:, :1]
        profiles.append((block.rows, Affine(even, 0.0 * even, mean, jnp.asarray(block.nodes, z.dtype) @ z)))
    return profiles


def _relax(
    fixed: _Fixed, state: Pieces, inputs: Inputs, expected: Blocks, last: _Node, gap: Float[Array, ""]
) -> tuple[Pieces, Blocks, Blocks, Blocks]:
    """Evaluate all rates and relax what relaxes: rates there, the relaxing states, their drive and their pull.

    `expected` are the relaxing states of the state.
    """
    cell, relaxing = fixed.cell, fixed.parts.relaxing

    def rates_at(values: Blocks) -> list[Block]:
        return cell.rates(state.replace(*relaxing.parts(values)), inputs)

    if not relaxing.blocks:
        return rates_of(cell, rates_at(expected)), expected, last.drive, last.pull
    rates, along = jax.linearize(rates_at, expected)
    slopes = along(block_by_block(jnp.ones_like, expected))
    pull = block_by_block(operator.neg, relaxing.read(rates_of(cell, slopes)))
    drive = block_by_block(
        lambda rate, p, value: rate + p * value, relaxing.read(rates_of(cell, rates)), pull, expected
    )
    settled = block_by_block(partial(relaxed, gap), last.relaxing, last.drive, last.pull, drive, pull)
    moved = along(block_by_block(operator.sub, settled, expected))
    return rates_of(cell, [a + b for a, b in zip(rates, moved, strict=True)]), settled, drive, pull


def _diffusivity(cell: CellModel, block: Modes, y: Float[Array, "states lanes"], inputs: Inputs) -> Lanes:
    """Diffusivity of each lane over that of the reference state [1].

    It is PyBaMM's mean over the particle where there is one, else halfway between the least and the largest along the
    block: what is left to the sources is then always less than what decays.
    """
    still = {**inputs, CURRENT: jnp.zeros_like(y[:1])}
    if block.diffusivity is not None:
        return cell.evaluate(y, still)[block.diffusivity] / block.reference_diffusivity

    def rates(part: Block) -> Block:
        return rates_of(cell, cell.rates(Pieces(y).replace((block.rows, part)), still))[block.rows]

    ratios = relative_exchange(block, rates, y[block.rows])
    low, high = (bound(ratios, axis=0, keepdims=True) for bound in (jnp.min, jnp.max))
    return jnp.maximum(0.5 * (low + high), 1e-6)
