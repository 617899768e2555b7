"""Cells in a second life as one posterior: rates, the power of stress, what cells had to spare, and noise."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from lives import Lives, grid_of, lost_by, times_reached

from fadecast.calibration.joint_model import Prior
from fadecast.calibration.likelihood import FREEDOM, student
from fadecast.calibration.makes import MAKES

LAW = MAKES["lfp"].laws["solvent"]
_SHARED = MAKES["lfp"].priors
GRID = grid_of(40, 120)


class Cells(NamedTuple):
    """What was measured."""

    group: Int[np.ndarray, " cells"]
    """Number of the first life."""
    start_soh: Float[np.ndarray, " cells"]
    cell: Int[np.ndarray, " readings"]
    days: Float[np.ndarray, " readings"]
    lost: Float[np.ndarray, " readings"]
    """Capacity over that at the start [1]."""


class Model(NamedTuple):
    """What is held likely of cells, and how likely what was measured of them then is."""

    lives: Lives
    cells: Cells
    priors: Mapping[str, Prior]
    power: float | None
    """Of stress; none where it is unknown."""


class Known(NamedTuple):
    """Unknowns as numbers; rates as logarithms of multiples."""

    film: Array
    stress: Float[Array, " groups"]
    exponent: Array
    """Logarithm of the power over 2."""
    start: Array
    """Middle of what cells have to spare, logarithm of a multiple of 0.4."""
    start_sd: Array
    noise: Array


def model_of(lives: Lives, cells: Cells, film: tuple[float, float], power: float | None) -> Model:
    """Return the model; priors are those of the calibration, that of film growth is what storage told of it."""
    stress = LAW.stress[0]
    priors = {
        "film": Prior(*film),
        "stress": Prior(0.0, stress.log_sd),
        # As the supplement of parameters holds a borrowed one.
        "exponent": Prior(0.0, 1.0),
        "start": Prior(0.0, 0.5),
        "start_sd": _SHARED["start_sd"],
        "noise": _SHARED["noise_second"],
        "condition_sd": _SHARED["condition_sd"],
    }
    return Model(lives, cells, priors, power)


def size(model: Model) -> int:
    """Return how many unknowns there are."""
    return len(model.priors) + int(model.cells.group.max()) + 1


def known(model: Model, z: Float[Array, " n"]) -> Known:
    """Turn standard normal unknowns into numbers."""
    common = {name: prior.value(z[n]) for n, (name, prior) in enumerate(model.priors.items())}
    exponent = common["exponent"] if model.power is None else jnp.log(model.power / 2.0)
    stress = common["stress"] + common["condition_sd"] * z[len(common) :]
    return Known(common["film"], stress, exponent, common["start"], common["start_sd"], common["noise"])


def reached(model: Model, found: Known) -> Float[Array, "cells starts levels"]:
    """Read when cells have lost how much, each at its own capacity; logarithms of times are linear in it."""
    groups = len(found.stress)
    alike = jnp.ones(groups)
    least, most = times_reached(model.lives, found.film * alike, found.stress, found.exponent * alike, GRID.coarse)
    low, high = np.asarray(model.lives.ends)
    share = jnp.asarray((model.cells.start_soh - low) / (high - low))[:, None, None]
    return least[model.cells.group] + share * (most - least)[model.cells.group]


def weights(found: Known) -> Float[Array, " finer"]:
    """Return how likely starts are beforehand, logarithms."""
    return jax.nn.log_softmax(-0.5 * ((GRID.fine - found.start) / found.start_sd) ** 2)


def lost(model: Model, found: Known) -> Float[Array, "readings finer"]:
    """Losses at readings from every start [1]."""
    cells = model.cells
    return lost_by(reached(model, found), cells.cell, np.log(cells.days)) @ jnp.asarray(GRID.between)


def log_density(model: Model, out: Float[Array, " cells"], z: Float[Array, " n"]) -> Array:
    """Log density of unknowns and measurements; `out` is how much of each cell is left out.

    What a cell had to spare is summed over.
    """
    found, cells = known(model, z), model.cells
    likely = student(cells.lost[:, None] - lost(model, found), found.noise**2)
    # A product: sums of rows by their number take several times as long.
    of_cells = jnp.asarray(np.eye(len(cells.group))[:, cells.cell]) @ likely
    each = jax.scipy.special.logsumexp(of_cells + weights(found)[None], axis=1)
    return ((1.0 - out) * each).sum() - 0.5 * (z**2).sum()


def foretold(
    model: Model, of: Bool[np.ndarray, " readings"], z: Float[np.ndarray, "draws n"], again: int, seed: int
) -> Float[np.ndarray, "readings all"]:
    """Draw what check-ups of some cells find, knowing nothing of them but their capacity [1].

    Parameters
    ----------
    of
        Which readings.
    again
        Starts and noise for each draw.
    """
    rng = np.random.default_rng(seed)
    numbers = np.flatnonzero(of)
    _, which = np.unique(model.cells.cell[numbers], return_inverse=True)

    @jax.jit
    def of_draw(each: Array) -> tuple[Array, Array, Array]:
        found = known(model, each)
        return lost(model, found)[numbers], weights(found), found.noise

    rows = []
    for each in z:
        values, likely, noise = map(np.asarray, of_draw(jnp.asarray(each)))
        starts = rng.choice(len(likely), size=(which.max() + 1, again), p=np.exp(likely) / np.exp(likely).sum())
        off = float(noise) * rng.standard_t(FREEDOM, size=(len(numbers), again))
        rows.append(values[np.arange(len(numbers))[:, None], starts[which]] + off)
    return np.concatenate(rows, axis=1)
