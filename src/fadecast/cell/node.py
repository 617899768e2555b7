"""One node of a time step: predict the fast states, evaluate what drives them, correct them.

The method is that of `stepper.py`, which goes from node to node.
"""

import operator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.affine import Affine
from fadecast.cell.ageing import block_by_block, rates_of
from fadecast.cell.control import Control, Delivery
from fadecast.cell.coupled import couple, moved, surface_blocks
from fadecast.cell.exponentials import Block, phi_functions, relaxed
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.modes import Modes, diffusion_modes, relative_exchange
from fadecast.cell.partition import Blocks, Partition, partition
from fadecast.cell.pieces import Pieces
from fadecast.cell.terminals import algebraic_rows

Lanes = Float[Array, "1 lanes"]


class Node(NamedTuple):
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


class Fixed(NamedTuple):
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


def prepared(
    cell: CellModel,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    means: list[Lanes],
    dtype: jnp.dtype,
) -> Fixed:
    """Collect what does not change within a step, in the precision of its nodes.

    Parameters
    ----------
    means
        Mean of each diffusing block at the start.
    """
    y, inputs, means = jax.tree.map(lambda value: value.astype(dtype), (y, dict(inputs), means))
    blocks = diffusion_modes(cell)
    decays = [_diffusivity(cell, block, y, inputs) * jnp.asarray(block.decay, dtype) for block in blocks]
    return Fixed(cell, partition(cell), blocks, y, means, decays, inputs, control)


def first_node(fixed: Fixed, modes: list[Block], guess: Delivery) -> Node:
    """Return the start of a step, its rates not yet known."""
    parts, y = fixed.parts, fixed.y
    decaying = tuple(z.astype(y.dtype).at[:1].set(0.0) for z in modes)
    relaxing, course = parts.relaxing.read(y), parts.course.read(y)
    return Node(
        decaying=decaying,
        relaxing=relaxing,
        course=course,
        delivery=guess,
        sources=tuple(jnp.zeros_like(z) for z in decaying),
        drive=block_by_block(jnp.zeros_like, relaxing),
        pull=block_by_block(jnp.zeros_like, relaxing),
        rates=block_by_block(jnp.zeros_like, course),
    )


def next_node(fixed: Fixed, before: Node, last: Node, gap: Float[Array, ""], stretch: Float[Array, ""]) -> Node:
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
    return Node(corrected, relaxing, course, delivery, sources, drive, pull, now)


def _expected_to_relax(fixed: Fixed, last: Node, gap: Float[Array, ""]) -> Blocks:
    """Return the relaxing states that a node is evaluated at.

    Algebraic states stand still while these relax, which is right only where they hardly move.
    """
    if not len(last.delivery.algebraic):
        return last.relaxing
    return block_by_block(partial(relaxed, gap), last.relaxing, last.drive, last.pull, last.drive, last.pull)


def _at_terminals(
    fixed: Fixed,
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
    fixed: Fixed, state: Pieces, inputs: Inputs, corrected: tuple[Block, ...], sources: tuple[Block, ...]
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


def _profiles(fixed: Fixed, decaying: tuple[Block, ...]) -> list[tuple[slice, Affine]]:
    """Return the profile of every diffusing block, as parts of a state: its mean at the start, and what is more."""
    profiles = []
    for block, z, mean in zip(fixed.blocks, decaying, fixed.means, strict=True):
        even = block.nodes[:, :1]
        profiles.append((block.rows, Affine(even, 0.0 * even, mean, jnp.asarray(block.nodes, z.dtype) @ z)))
    return profiles


def _relax(
    fixed: Fixed, state: Pieces, inputs: Inputs, expected: Blocks, last: Node, gap: Float[Array, ""]
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
