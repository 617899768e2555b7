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

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.ageing import Between, ageing_of, block_by_block
from fadecast.cell.balance import balanced
from fadecast.cell.control import Control, Delivery
from fadecast.cell.displaced import three_displaced
from fadecast.cell.exponentials import Block
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CellModel
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.node import Fixed, Node, first_node, next_node, prepared
from fadecast.cell.outline import outlines
from fadecast.cell.partition import Blocks
from fadecast.cell.pieces import Pieces
from fadecast.cell.quadrature import Rule, step_nodes, step_samples
from fadecast.cell.ripple import Ripple
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


class _Sums(NamedTuple):
    """Quadratures over the nodes of a step."""

    means: tuple[Lanes, ...]
    course: Blocks
    power: Lanes
    heat: Lanes
    hottest: Lanes


def take_step(
    cell: CellModel,
    rule: Rule,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    guess: Delivery,
    length: Float[Array, ""],
    ripple: Ripple | None = None,
) -> Step:
    """Advance every lane by one step under one demand.

    Parameters
    ----------
    inputs
        PyBaMM input parameters except the current, each `(1, lanes)`.
    control
        Current and power at a state in the precision of the nodes.
    guess
        What the terminals do at the start, in the precision of the nodes.
    length
        Step [s].
    ripple
        Swings inside the load step, fields `(1, lanes)`; only ageing and what relaxes sees them.
    """
    blocks = diffusion_modes(cell)
    modes = [jnp.asarray(block.modes, y.dtype) @ y[block.rows] for block in blocks]
    fixed = prepared(cell, y, inputs, control, [z[:1] for z in modes], guess.current.dtype)
    first = first_node(fixed, modes, guess)
    end, sums, shape = _follow(fixed, first, rule.nodes, length.astype(fixed.y.dtype))
    between = _between(fixed, first, end, shape)
    displaced = None if ripple is None else three_displaced(cell, ripple, fixed.y, fixed.decays, guess.voltage)
    ageing, sampled, errors = ageing_of(cell, step_samples(rule), y, fixed.inputs, between, length, displaced)
    change = _passed(fixed, y, end, sampled, length)
    share = jnp.asarray(fixed.parts.share, y.dtype)
    size, error = (jnp.abs(share * jnp.concatenate(part)) for part in ((*ageing, *change), errors))
    power, heat, hottest = (part.astype(y.dtype) for part in (sums.power, sums.heat, sums.hottest))
    return Step(_end(fixed, y, modes, end, sums, ageing, change), end.delivery, power, heat, hottest, size, error)


def _between(fixed: Fixed, first: Node, end: Node, shape: Array) -> Between:
    """Collect what ageing needs to know of the time between the nodes."""
    away, decays = [], []
    for block, z, source, decay in zip(fixed.blocks, first.decaying, end.sources, fixed.decays, strict=True):
        if not block.closed:
            away.append(z[1:] - source[1:] / decay[1:])
            decays.append(decay[1:])
    return Between(shape, fixed.means, away, decays)


def _passed(
    fixed: Fixed, y: Float[Array, "states lanes"], end: Node, sampled: Blocks, length: Float[Array, ""]
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
    fixed: Fixed,
    y: Float[Array, "states lanes"],
    modes: list[Block],
    end: Node,
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


def _follow(fixed: Fixed, first: Node, nodes: int, length: Float[Array, ""]) -> tuple[Node, _Sums, Array]:
    """Go from node to node: the last one, quadratures over all, and what ageing needs to know of each."""
    y, lines = fixed.y, [jnp.asarray(line.read, fixed.y.dtype) for line in outlines(fixed.cell)]

    def advance(carry, row):  # type: ignore[no-untyped-def]
        before, last, sums = carry
        share, weight, stretch = row
        new = next_node(fixed, before, last, share * length, stretch)
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
