"""Hold one lowered cell against PyBaMM: values at random states, and the lithium balance of its equations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fadecast.cell.discretised import Discretised, state_variables
from fadecast.cell.lowering import Inputs, lower
from fadecast.cell.model import AMBIENT, CURRENT, VOLTAGE, CellModel

LANES = 6
# Longest Newton step of a potential [V]: exponentials overshoot beyond it.
_LONGEST_STEP = 0.1
PARTICLES = "Total lithium in particles [mol]"
ELECTROLYTE = "Total lithium in electrolyte [mol]"
SIDE_REACTIONS = "Total lithium lost to side reactions [mol]"
WITH_MATERIAL = tuple(
    f"Loss of lithium due to loss of active material in {side} electrode [mol]" for side in ("negative", "positive")
)
LITHIUM = (PARTICLES, ELECTROLYTE, SIDE_REACTIONS, *WITH_MATERIAL)
OUTPUTS = (*LITHIUM, "Volume-averaged cell temperature [K]", "Battery open-circuit voltage [V]", "Total heating [W]")

# First guess of the surface potentials.
EQUILIBRIA = tuple(
    f"X-averaged {side} electrode {phase}open-circuit potential [V]"
    for side in ("negative", "positive")
    for phase in ("", "primary ")
)

# PyBaMM name contains → (kind, low, high): what random physical states are drawn from.
_RANGES = (
    ("electrode active material volume fraction", "share", 0.5, 1.0),
    ("Porosity times concentration", "share", 0.7, 1.3),
    ("porosity", "share", 0.6, 1.0),
    ("concentration gradient", "level", -0.02, 0.02),
    ("SEI on cracks concentration", "share", 1.0, 1e4),
    ("SEI concentration", "share", 1.0, 100.0),
    ("lithium plating concentration", "level", 0.0, 0.5),
    ("dead lithium concentration", "level", 0.0, 0.5),
    ("particle concentration", "level", 0.1, 0.9),
    ("particle potential", "shift", -0.05, 0.05),
    ("crack length", "share", 1.0, 5.0),
    ("temperature", "share", 0.93, 1.07),
    ("hysteresis", "level", -0.9, 0.9),
    ("", "shift", -0.01, 0.01),
)


def random_states(cell: CellModel, found: Discretised, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw states in the range a cell visits, in the units of the state vector, and inputs at currents up to 1C."""
    rng = np.random.default_rng(seed)
    y = np.tile(cell.initial_state[:, None], (1, LANES))
    for name, (_, rows) in state_variables(found.model).items():
        kind, low, high = next(entry[1:] for entry in _RANGES if entry[0] in name)
        drawn = rng.uniform(low, high, (1, LANES)) * (1 + 0.02 * rng.uniform(-1, 1, (rows.stop - rows.start, LANES)))
        y[rows] = {"share": y[rows] * drawn, "level": drawn, "shift": y[rows] + drawn}[kind]
    current = cell.nominal_capacity * np.linspace(-1.0, 1.0, LANES)[None]
    inputs = {CURRENT: current, AMBIENT: rng.uniform(263, 318, (1, LANES))}
    return y, inputs | {n: v * rng.uniform(0.5, 2, (1, LANES)) for n, v in cell.inputs.items()}


def disagreement(cell: CellModel, found: Discretised, y: np.ndarray, inputs: dict[str, np.ndarray]) -> float:
    """Return the largest difference to PyBaMM's own evaluation, each row over its largest value in any lane.

    Lanes in which PyBaMM's own value overflows, at a random potential far from equilibrium, are left out.
    """
    mine = cell.evaluate(jnp.asarray(y), {name: jnp.asarray(value) for name, value in inputs.items()})
    symbols = {
        "rhs": found.model.concatenated_rhs,
        "algebraic": found.model.concatenated_algebraic,
        "voltage": found.outputs[VOLTAGE],
        **{name: symbol for name, symbol in found.outputs.items() if name in mine},
    }
    worst = 0.0
    for name, symbol in symbols.items():
        if not int(symbol.size):
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            columns = [
                np.broadcast_to(
                    symbol.evaluate(y=y[:, [k]], inputs={n: v[0, k] for n, v in inputs.items()}), (int(symbol.size), 1)
                )
                for k in range(LANES)
            ]
        truth = np.hstack(columns)
        finite = np.isfinite(truth).all(axis=0)
        if finite.sum() <= LANES / 2:
            raise ValueError(f"PyBaMM's {name} is not finite")
        truth = truth[:, finite]
        # Below this XLA takes numbers for zero and NumPy does not.
        scale = np.maximum(np.abs(truth).max(axis=1, keepdims=True), 1e-290)
        worst = max(worst, float((np.abs(np.asarray(mine[name])[:, finite] - truth) / scale).max()))
    return worst


def consistent(
    cell: CellModel, found: Discretised, y: np.ndarray, inputs: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Make the algebraic states consistent by Newton's method; return them with the inputs they are consistent with.

    Where that fails the current is raised from zero in steps. Kinetics of Marcus have a largest current: the last step
    that they can carry is taken.
    """
    if cell.differential == len(y):
        return y, inputs
    y = y.copy()
    for name in EQUILIBRIA:
        block = "surface_potential_ne" if "negative" in name else "surface_potential_pe"
        if name in found.outputs and block in cell.rows:
            volts = lower({"": found.outputs[name]})(jnp.asarray(y), {n: jnp.asarray(v) for n, v in inputs.items()})[""]
            y[cell.rows[block]] = cell.scaled(volts, block)
    solved = _newton(cell, found, y, inputs)
    if solved is not None:
        return solved, inputs
    last = None
    for share in np.linspace(0.0, 1.0, 6):
        at_share = {**inputs, CURRENT: share * inputs[CURRENT]}
        solved = _newton(cell, found, y if last is None else last[0], at_share)
        if solved is None:
            break
        last = solved, at_share
    if last is None:
        raise ValueError("the algebraic states do not converge at rest")
    return last


def _newton(cell: CellModel, found: Discretised, y: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray | None:
    """Solve for the algebraic states, lane by lane side by side; nothing where that does not converge."""
    first, count, lanes = cell.differential, len(y) - cell.differential, y.shape[1]
    residual = lower({"": found.model.concatenated_algebraic})
    repeated = {name: jnp.repeat(jnp.asarray(value), count, axis=1) for name, value in inputs.items()}
    seeds = jnp.zeros((len(y), lanes * count)).at[first:].set(jnp.tile(jnp.eye(count), (1, lanes)))
    potentials = [k for name, rows in cell.rows.items() if "potential" in name for k in range(rows.start, rows.stop)]
    before = np.inf
    for _ in range(40):
        value, columns = jax.jvp(
            lambda s: residual(s, repeated)[""], (jnp.repeat(jnp.asarray(y), count, axis=1),), (seeds,)
        )
        matrix = np.asarray(columns).reshape(count, lanes, count).transpose(1, 0, 2)
        step = np.zeros_like(y)
        try:
            step[first:] = np.linalg.solve(matrix, np.asarray(value)[:, ::count].T[..., None])[..., 0].T
        except np.linalg.LinAlgError:
            return None
        volts = np.abs(step[potentials] * cell.scale[potentials, None]).max(axis=0, initial=_LONGEST_STEP)
        y = y - step * _LONGEST_STEP / volts
        longest = np.abs(step).max()
        if before < 1e-9 and longest >= 0.1 * before:
            return y
        before = longest
    return None


def imbalance(cell: CellModel, found: Discretised, y: np.ndarray, inputs: dict[str, np.ndarray]) -> float:
    """Return the rate at which the salt, or particles with all they lost, gain or lose lithium.

    Relative to the lithium that ageing moves and a thousandth of what moves in and between particles and pores: that
    cancels to rounding only.
    """
    balanced, inputs = consistent(cell, found, y, inputs)
    here = jnp.asarray(balanced)
    given = {name: jnp.asarray(value) for name, value in inputs.items()}
    rates = jnp.zeros_like(here).at[: cell.differential].set(cell.rhs(here, given))
    lithium = lower({name: found.outputs[name] for name in LITHIUM})
    # PyBaMM counts the lithium of side reactions in one pair of electrodes, all else in the cell.
    pairs = float(found.constants["Number of electrodes connected in parallel to make a cell"])

    def amounts(state: Array) -> tuple[Array, ...]:
        held = lithium(state, given)
        lost = pairs * held[SIDE_REACTIONS] + sum(held[name] for name in WITH_MATERIAL)
        return held[PARTICLES] + lost, held[ELECTROLYTE], lost

    (_, _, lost), pull = jax.vjp(amounts, here)
    one, none = jnp.ones_like(lost), jnp.zeros_like(lost)
    kept, salt, ageing = (
        np.asarray(pull(tuple(one if k == n else none for k in range(3)))[0] * rates) for n in range(3)
    )
    moved = np.abs(ageing).sum(axis=0) + 1e-3 * (np.abs(kept) + np.abs(salt)).sum(axis=0)
    made = np.maximum(np.abs(kept.sum(axis=0)), np.abs(salt.sum(axis=0)))
    return float((np.maximum(made - _rounding(cell, here, given, pull), 0.0) / np.maximum(moved, 1e-300)).max())


def _rounding(cell: CellModel, y: Array, given: Inputs, pull: Callable[..., tuple[Array, ...]]) -> np.ndarray:
    """Return the lithium that rounding of the state alone makes where currents balance by an algebraic equation.

    A rounded potential of 4 V is wrong by 1e-15 V, which an exchange current of 1e6 A/m2 (MSMR_Example) turns into
    lithium.
    """
    if cell.differential == len(y):
        return np.zeros(y.shape[1])
    one = jnp.ones((1, y.shape[1]))
    weights = pull((one, 0 * one, 0 * one))[0][: cell.differential]
    _, back = jax.vjp(lambda state: jnp.sum(weights * cell.rhs(state, given), axis=0), y)
    size = np.abs(np.asarray(y)) + np.abs(cell.reference / cell.scale)[:, None]
    return 4 * np.finfo(float).eps * np.abs(np.asarray(back(one[0])[0]) * size).sum(axis=0)
