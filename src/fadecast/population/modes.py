"""Which losses made a pack's capacity loss: lithium inventory and active material of the two electrodes."""

from typing import Protocol

import numpy as np
from jaxtyping import Float
from scipy.optimize import elementwise

from fadecast.population.evidence import DegradationModes
from fadecast.population.keys import Inside, Seed, draw_normals, pack_normals

MODE_NAMES = (
    "Loss of lithium inventory",
    "Loss of active material in negative electrode",
    "Loss of active material in positive electrode",
)

LARGEST_LOSS = 0.99
"""No loss of inventory or material is taken further than this."""

LARGEST_DEVIATION = 3.0
"""Standard deviations at which the logarithm of a loss per capacity lost is cut: six cells tell no tail."""

Losses = Float[np.ndarray, " cell"]


class CapacityOf(Protocol):
    """Capacity over fresh capacity of cells with given losses; elementwise, on 1-D arrays of any length."""

    def __call__(self, lli: Losses, lam_ne: Losses, lam_pe: Losses, /) -> Losses:
        """Return capacity over fresh capacity [1], falling as the losses grow together."""
        ...


def sample_directions(
    seed: Seed, modes: DegradationModes, draws: int, packs: int, inside: Inside | None = None
) -> Float[np.ndarray, "mode draw pack"]:
    """Return losses per capacity lost of each pack, or each of its groups: the direction LLI : LAM_NE : LAM_PE.

    Cells differ (per pack), and the mean of few measured cells is itself uncertain (per draw): both are
    normal in the logarithm, the second with the covariance divided by the number of cells.
    """
    factor = np.linalg.cholesky(modes.log_covariance)
    largest = LARGEST_DEVIATION * np.sqrt(np.diag(modes.log_covariance))
    cells = pack_normals(seed, "modes", draws, packs, 3, inside)
    mean = draw_normals(seed, "modes", draws, 3)[:, None, :] / np.sqrt(modes.cells)
    deviations = np.clip((cells + mean) @ factor.T, -largest, largest)
    return np.moveaxis(np.exp(modes.log_mean + deviations), -1, 0)


def scale_to_soh(
    directions: Float[np.ndarray, "mode draw pack"],
    soh: Float[np.ndarray, "draw pack"],
    capacity_of: CapacityOf,
) -> Float[np.ndarray, "mode draw pack"]:
    """Scale each pack's direction so that its capacity is its SOH, and return the losses [1].

    Solves capacity_of(s d) = soh for s of each pack by Chandrupatla's method.

    Parameters
    ----------
    directions
        Losses per capacity lost.
    soh
        Capacity over fresh capacity, below 1.
    capacity_of
        The cell's capacity after given losses.

    Raises
    ------
    ValueError
        When no loss up to `LARGEST_LOSS` reaches the SOH of a pack, or the capacity is not finite on the way.
    """
    d = directions.reshape(len(directions), -1)
    target = soh.reshape(-1)
    largest = LARGEST_LOSS / d.max(axis=0)

    def surplus(s: Losses, lli: Losses, lam_ne: Losses, lam_pe: Losses, aim: Losses) -> Losses:
        return np.asarray(capacity_of(s * lli, s * lam_ne, s * lam_pe) - aim)

    none = np.zeros_like(target)
    guess = np.minimum(1.0 - target, 0.5 * largest)
    bracket = elementwise.bracket_root(surplus, none, guess, xmin=none, xmax=largest, args=(*d, target))
    _require(bracket.success, target, d, capacity_of)
    root = elementwise.find_root(surplus, bracket.bracket, args=(*d, target))
    _require(root.success, target, d, capacity_of)
    return np.asarray(root.x * d).reshape(directions.shape)


def _require(
    success: np.ndarray, target: Losses, directions: Float[np.ndarray, "mode cell"], capacity_of: CapacityOf
) -> None:
    if not success.all():
        first = int(np.flatnonzero(~success)[0])
        none = np.zeros(1)
        capacity = float(np.asarray(capacity_of(none, none, none))[0])
        ratio = " : ".join(f"{value:.2f}" for value in directions[:, first])
        raise ValueError(
            f"{(~success).sum()} of {success.size} packs cannot be brought to their SOH by losses up to "
            f"{LARGEST_LOSS}; the first has SOH {target[first]:.3f} and LLI : LAM_NE : LAM_PE = {ratio}. "
            f"The cell model has {capacity:.3f} of its nominal capacity without losses; that must be finite, above the "
            "SOH of every pack, and fall as losses grow: else narrow soh_range"
        )
