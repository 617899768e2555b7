"""Each condition left out in turn: which cells that are, and what of the unknowns nothing else tells.

What only left-out cells depend on is, given all else, as it was held likely beforehand: it need not be sampled but can
be drawn, and what is foretold is found from more draws.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fadecast.calibration.joint_model import (
    Evidence,
    conditions_of,
    correlation,
    count_of,
    log_spreads,
    places,
    sections,
    sizes,
)
from fadecast.calibration.laws import AgeingLaw


class Untold(NamedTuple):
    """What cells that are known say nothing of, once all else is given."""

    turn: Float[np.ndarray, "n n"]
    """Orthogonal: of the unknowns, those of the field so that the last ones are of places where no known cell is."""
    free: Bool[np.ndarray, " n"]
    """Which of the turned unknowns no known cell depends on."""


def left_out(evidence: Evidence) -> Float[np.ndarray, "folds cells"]:
    """Return which cells each fold is without: 1 for these, stored cells first.

    A storage condition is left out alone, cycled cells with all of their condition.
    """
    stored, groups = len(evidence.stored.temperature), conditions_of(evidence.cycled)
    cells = stored + len(groups)
    out = np.zeros((stored + count_of(groups), cells))
    out[range(stored), range(stored)] = 1.0
    for number in range(count_of(groups)):
        out[stored + number, stored:][groups == number] = 1.0
    return out


def untold(law: AgeingLaw, evidence: Evidence, out: Float[np.ndarray, " cells"]) -> Untold:
    """Return what is not told where the cells that are 1 in `out` are left out."""
    counts, at, stored = sizes(law, evidence), sections(law, evidence), len(evidence.stored.temperature)
    temperature, charge, where = places(evidence)
    known, cycled, group = out == 0.0, out[stored:] == 0.0, conditions_of(evidence.cycled)
    used = {
        "field": np.append(np.arange(stored), stored + where)[known],
        "cycling": group[cycled],
        "condition": _driven(law, group[cycled]),
        "cell": _driven(law, np.flatnonzero(cycled)),
        "growth": np.flatnonzero(known),
    }
    free = np.zeros(sum(counts.values()), bool)
    for name, some in used.items():
        free[at[name]] = ~np.isin(np.arange(counts[name]), some)
    order = np.argsort(free[at["field"]], kind="stable")
    free[at["field"]] = free[at["field"]][order]
    # One field by two triangular factors: whatever the order, its unknowns are standard normal.
    matrix, turn = correlation(temperature, charge), np.eye(len(free))
    factor = np.linalg.cholesky(matrix[np.ix_(order, order)])
    turn[at["field"], at["field"]] = np.linalg.solve(factor, np.linalg.cholesky(matrix)[order])
    return Untold(turn, free)


def _driven(law: AgeingLaw, units: np.ndarray) -> np.ndarray:
    """Return the unknowns of loss of material by stress of some cells or conditions."""
    each = len(law.stress)
    return np.asarray((each * units[:, None] + np.arange(each)).ravel())


def redrawn(
    law: AgeingLaw, evidence: Evidence, untold: Untold, z: Float[Array, "draws n"], key: Array
) -> Float[Array, "draws n"]:
    """Draw anew what is not told, given all else."""
    turn, free = (jnp.asarray(part) for part in untold)
    spread = jnp.exp(jax.vmap(lambda each: log_spreads(law, evidence, each))(z))
    return jnp.where(free[None], spread * jax.random.normal(key, z.shape), z @ turn.T) @ turn
