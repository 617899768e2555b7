"""Time steps of a batch of cells: diffusion exactly in its modes, ageing by quadrature in the root of time.

After a jump of the load, concentrations at a surface follow the square root of time, and stress-driven ageing is a
steep power of them: that, not stability, is what costs steps. So one step

* advances each diffusing block in its modes, where linear diffusion at the lane's own diffusivity is a set of exact
  decays; what is left (surface flux, and diffusivity that varies along the radius) is integrated as a linear function
  of time between nodes (an exponential Adams-Moulton method, predicted by extrapolation in the root of time);
* advances states that relax within seconds (plated lithium) by the exact solution of their linear equation between
  nodes;
* integrates everything else from its rates at the nodes by Radau quadrature in the root of time, SEI on cracks, which
  starts bare, as its square.

Of second order in its fast states (Hochbruck and Ostermann, Acta Numerica 19, 209, 2010,
doi:10.1017/S0962492910000048). Lithium is conserved to rounding: the particles' means follow from the balance of each
electrode.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fadecast.cell.balance import balanced
from fadecast.cell.control import Control, Delivery
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import CURRENT, CellModel
from fadecast.cell.modes import Modes, diffusion_modes, relative_exchange
from fadecast.cell.partition import Partition, partition
from fadecast.cell.pieces import Pieces
from fadecast.cell.quadrature import step_nodes
from fadecast.cell.terminals import algebraic_rows

Block = Float[Array, "n lanes"]
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
    """Size of the change of each ageing state, as a fraction of a cell (`Partition.share`) [1]."""
    error: Block
    """Estimated error of that change [1]."""


class _Node(NamedTuple):
    """The state and its rates at a node."""

    decaying: tuple[Block, ...]
    """Modes of each diffusing block."""
    relaxing: Block
    rest: Block
    delivery: Delivery
    sources: tuple[Block, ...]
    """What drives each mode besides its own decay."""
    drive: Block
    """Rate of the relaxing states at zero."""
    pull: Block
    """Decay rate of the relaxing states [1/s]."""
    rates: Block
    """Rates of the rest."""


def take_step(
    cell: CellModel,
    nodes: int,
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    guess: Delivery,
    length: Float[Array, ""],
) -> Step:
    """Advance every lane by one step under one demand.

    Parameters
    ----------
    nodes
        Nodes of the quadrature.
    inputs
        PyBaMM input parameters except the current, each `(1, lanes)`.
    control
        Current and power at a state.
    guess
        What the terminals do at the start.
    length
        Step [s].
    """
    blocks, parts, rule = diffusion_modes(cell), partition(cell), step_nodes(nodes)
    scales = [_diffusivity(cell, block, y, inputs) for block in blocks]
    decays = [scale * jnp.asarray(block.decay, y.dtype) for scale, block in zip(scales, blocks, strict=True)]
    decaying = tuple(jnp.asarray(block.modes, y.dtype) @ y[block.rows] for block in blocks)
    zero = _Node(
        decaying=decaying,
        relaxing=y[parts.relaxing],
        rest=parts.read(y),
        delivery=guess,
        sources=tuple(jnp.zeros_like(z) for z in decaying),
        drive=jnp.zeros_like(y[parts.relaxing]),
        pull=jnp.zeros_like(y[parts.relaxing]),
        rates=jnp.zeros_like(parts.read(y)),
    )

    def advance(carry, row):  # type: ignore[no-untyped-def]
        before, last, sums = carry
        share, weight, embedded, stretch = row
        new = _next_node(cell, parts, blocks, decays, y, inputs, control, before, last, share * length, stretch)
        temperature = parts.temperature(cell, new.rest)
        sums = _Sums(
            means=tuple(m + weight * length * source[:1] for m, source in zip(sums.means, new.sources, strict=True)),
            rest=sums.rest + weight * length * new.rates,
            error=sums.error + (weight - embedded) * length * new.rates,
            relaxing=sums.relaxing + weight * length * (new.drive - new.pull * new.relaxing),
            power=sums.power + weight * new.delivery.power,
            heat=sums.heat + weight * temperature,
            hottest=jnp.maximum(sums.hottest, temperature),
        )
        return (last, new, sums), None

    still = jnp.zeros_like(guess.power)
    sums = _Sums(
        tuple(jnp.zeros_like(z[:1]) for z in decaying), zero.rates, zero.rates, zero.drive, still, still, still
    )
    rows = tuple(jnp.asarray(part, y.dtype) for part in rule)
    (_, end, sums), _ = jax.lax.scan(advance, (zero, zero, sums), rows)
    rest = zero.rest + sums.rest
    new = parts.write(y, rest).at[parts.relaxing].set(end.relaxing)
    for block, start, z, mean in zip(blocks, decaying, end.decaying, sums.means, strict=True):
        mean = start[:1] if block.closed else start[:1] + mean
        new = new.at[block.rows].set(jnp.asarray(block.nodes, z.dtype) @ z.at[:1].set(mean))
    new = new.at[algebraic_rows(cell)].set(end.delivery.algebraic)
    relaxed = end.relaxing - zero.relaxing
    change = jnp.concatenate([parts.change(zero.rest, rest, sums.rest), relaxed])
    error = jnp.concatenate([parts.change(zero.rest, rest, sums.error), sums.relaxing - relaxed])
    change, error = (jnp.abs(jnp.asarray(parts.share, y.dtype) * part) for part in (change, error))
    return Step(balanced(cell, y, new), end.delivery, sums.power, sums.heat, sums.hottest, change, error)


class _Sums(NamedTuple):
    """Quadratures over a step."""

    means: tuple[Lanes, ...]
    rest: Block
    error: Block
    relaxing: Block
    power: Lanes
    heat: Lanes
    hottest: Lanes


def _next_node(
    cell: CellModel,
    parts: Partition,
    blocks: tuple[Modes, ...],
    decays: list[Block],
    y: Float[Array, "states lanes"],
    inputs: Inputs,
    control: Control,
    before: _Node,
    last: _Node,
    gap: Float[Array, ""],
    stretch: Float[Array, ""],
) -> _Node:
    """Predict the state at the next node, evaluate what drives it there, correct it, and take the rates of ageing."""
    phis = [_phi(decay * gap) for decay in decays]
    expected = tuple(new + stretch * (new - old) for new, old in zip(last.sources, before.sources, strict=True))
    predicted = tuple(
        phi.decay * z + gap * (phi.mean * source + phi.ramp * (later - source))
        for phi, z, source, later in zip(phis, last.decaying, last.sources, expected, strict=True)
    )
    rest = last.rest + gap * (last.rates + 0.5 * stretch * (last.rates - before.rates))
    state = Pieces(y).replace(
        *_profiles(blocks, predicted), *parts.rest_parts(rest), *parts.relaxing_parts(last.relaxing)
    )
    # Extrapolated like the sources, the current is close enough for one Newton iteration.
    guess = jax.tree.map(lambda new, old: new + stretch * (new - old), last.delivery, before.delivery)
    delivery = control(state, guess, 1)
    state = state.replace((algebraic_rows(cell), delivery.algebraic))
    here = {**inputs, CURRENT: delivery.current}
    rates, relaxing, drive, pull = _relax(cell, parts, state, here, last, gap)
    sources = tuple(
        jnp.asarray(block.modes, z.dtype) @ rates[block.rows] + decay * z
        for block, decay, z in zip(blocks, decays, predicted, strict=True)
    )
    corrected = tuple(
        z + gap * phi.ramp * (source - later)
        for phi, z, source, later in zip(phis, predicted, sources, expected, strict=True)
    )
    # Ageing is a steep power of the surface concentration, so its rates are worth a second look; of that evaluation
    # only the rows of the rest are used, which cost a fraction. So is salt, whose diffusivity varies manifold along an
    # electrolyte: what is left to its sources then shrinks as the square of its share, of whatever sign.
    state = state.replace(*_profiles(blocks, corrected), *parts.relaxing_parts(relaxing))
    again = cell.rhs(state, here)
    slow = parts.rates(again, rest)
    sources = tuple(
        jnp.asarray(block.modes, z.dtype) @ again[block.rows] + decay * z if block.closed else source
        for block, decay, z, source in zip(blocks, decays, corrected, sources, strict=True)
    )
    return _Node(
        decaying=corrected,
        relaxing=relaxing,
        rest=last.rest + 0.5 * gap * (last.rates + slow),
        delivery=delivery,
        sources=sources,
        drive=drive,
        pull=pull,
        rates=slow,
    )


def _profiles(blocks: tuple[Modes, ...], decaying: tuple[Block, ...]) -> list[tuple[slice, Block]]:
    """Concentrations of every diffusing block, as parts of a state."""
    return [(block.rows, jnp.asarray(block.nodes, z.dtype) @ z) for block, z in zip(blocks, decaying, strict=True)]


def _relax(
    cell: CellModel, parts: Partition, state: Pieces, inputs: Inputs, last: _Node, gap: Float[Array, ""]
) -> tuple[Block, Block, Block, Block]:
    """Evaluate all rates and relax what relaxes: rates there, the relaxing states, their drive and their pull."""

    def rates_at(relaxing: Block) -> Block:
        return cell.rhs(state.replace(*parts.relaxing_parts(relaxing)), inputs)

    if not parts.relaxes:
        return rates_at(last.relaxing), last.relaxing, last.drive, last.pull
    rates, along = jax.linearize(rates_at, last.relaxing)
    pull = -along(jnp.ones_like(last.relaxing))[parts.relaxing]
    drive = rates[parts.relaxing] + pull * last.relaxing
    relaxing = _relaxed(last, drive, pull, gap)
    return rates + along(relaxing - last.relaxing), relaxing, drive, pull


def _relaxed(last: _Node, drive: Block, pull: Block, gap: Float[Array, ""]) -> Block:
    """Solve `p' = drive - pull p` over an interval, its pull at the mean of both ends and its drive linear in time."""
    phi = _phi(0.5 * (last.pull + pull) * gap)
    return phi.decay * last.relaxing + gap * (phi.mean * last.drive + phi.ramp * (drive - last.drive))


class _Phi(NamedTuple):
    """Functions of an exponential method at x: e^-x, (1 - e^-x) / x, and (x - 1 + e^-x) / x^2."""

    decay: Block
    mean: Block
    ramp: Block


def _phi(x: Block) -> _Phi:
    decay = jnp.exp(-x)
    mean = jnp.where(x < 1e-5, 1.0 - 0.5 * x, (1.0 - decay) / jnp.maximum(x, 1e-5))
    ramp = jnp.where(x < 1e-3, 0.5 - x / 6.0, (1.0 - mean) / jnp.maximum(x, 1e-3))
    return _Phi(decay, mean, ramp)


def _diffusivity(cell: CellModel, block: Modes, y: Float[Array, "states lanes"], inputs: Inputs) -> Lanes:
    """Diffusivity of each lane over that of the reference state [1].

    It is PyBaMM's mean over the particle where there is one, else halfway between the least and the largest along the
    block: what is left to the sources is then always less than what decays.
    """
    still = {**inputs, CURRENT: jnp.zeros_like(y[:1])}
    if block.diffusivity is not None:
        return cell.evaluate(y, still)[block.diffusivity] / block.reference_diffusivity

    def rates(part: Block) -> Block:
        return cell.rhs(Pieces(y).replace((block.rows, part)), still)[block.rows]

    ratios = relative_exchange(block, rates, y[block.rows])
    low, high = (bound(ratios, axis=0, keepdims=True) for bound in (jnp.min, jnp.max))
    return jnp.maximum(0.5 * (low + high), 1e-6)
