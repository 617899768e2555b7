"""Hold one lowered cell against PyBaMM: values at random states, and the lithium balance of its equations."""

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import FARADAY
from fadecast.cell.chemistry import Chemistry
from fadecast.cell.discretised import Discretised, discretise, state_variables
from fadecast.cell.lowering import lower
from fadecast.cell.model import AMBIENT, CURRENT, CellModel, build_cell

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
    """Return the largest difference to PyBaMM's own evaluation, each row over its largest value in any lane."""
    mine = cell.evaluate(jnp.asarray(y), {name: jnp.asarray(value) for name, value in inputs.items()})
    symbols = {"rhs": found.model.concatenated_rhs, "algebraic": found.model.concatenated_algebraic, **found.outputs}
    worst = 0.0
    for name, symbol in symbols.items():
        if not int(symbol.size):
            continue
        columns = [
            np.broadcast_to(symbol.evaluate(y=y[:, [k]], inputs={n: v[0, k] for n, v in inputs.items()}), (int(symbol.size), 1))
            for k in range(LANES)
        ]
        truth = np.hstack(columns)
        if not np.isfinite(truth).all():
            raise ValueError(f"PyBaMM's {name} is not finite")
        scale = np.maximum(np.abs(truth).max(axis=1, keepdims=True), 1e-300)
        worst = max(worst, float((np.abs(np.asarray(mine[name]) - truth) / scale).max()))
    return worst


def consistent(cell: CellModel, found: Discretised, y: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Make the algebraic states consistent by Newton's method, lane by lane side by side."""
    first, count, lanes = cell.differential, len(y) - cell.differential, y.shape[1]
    if not count:
        return y
    residual = lower({"": found.model.concatenated_algebraic})
    repeated = {name: jnp.repeat(jnp.asarray(value), count, axis=1) for name, value in inputs.items()}
    seeds = jnp.zeros((len(y), lanes * count)).at[first:].set(jnp.tile(jnp.eye(count), (1, lanes)))
    potentials = [k for name, rows in cell.rows.items() if "potential" in name for k in range(rows.start, rows.stop)]
    before = np.inf
    for _ in range(60):
        value, columns = jax.jvp(
            lambda s: residual(s, repeated)[""], (jnp.repeat(jnp.asarray(y), count, axis=1),), (seeds,)
        )
        matrix = np.asarray(columns).reshape(count, lanes, count).transpose(1, 0, 2)
        step = np.zeros_like(y)
        step[first:] = np.linalg.solve(matrix, np.asarray(value)[:, ::count].T[..., None])[..., 0].T
        volts = np.abs(step[potentials] * cell.scale[potentials, None]).max(axis=0, initial=_LONGEST_STEP)
        y = y - step * _LONGEST_STEP / volts
        longest = np.abs(step).max()
        if before < 1e-9 and longest >= 0.1 * before:
            return y
        before = longest
    raise ValueError(f"the algebraic states do not converge: last step {before:.1e}")


def imbalance(cell: CellModel, found: Discretised, y: np.ndarray, inputs: dict[str, np.ndarray]) -> float:
    """Return the rate at which particles with all lost lithium, or the salt, gain or lose lithium.

    Relative to the lithium that ageing moves and a hundredth of 1C: the current cancels between the electrodes to
    rounding only.
    """
    y = jnp.asarray(consistent(cell, found, y, inputs))
    given = {name: jnp.asarray(value) for name, value in inputs.items()}
    tangent = jnp.zeros_like(y).at[: cell.differential].set(cell.rhs(y, given))
    lithium = lower({name: found.outputs[name] for name in LITHIUM})
    _, flow = jax.jvp(lambda s: jnp.concatenate(list(lithium(s, given).values())), (y,), (tangent,))
    flow = np.asarray(flow)
    moved = np.abs(flow[2:]).sum(axis=0) + 0.01 * cell.nominal_capacity / FARADAY
    return float((np.maximum(np.abs(flow[0] + flow[2:].sum(axis=0)), np.abs(flow[1])) / moved).max())
