"""The current that the salt of an electrolyte carries."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from fadecast.cell.control import Limits
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, POROSITY, CellModel, Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.salt import carried_by_salt

from .cells import WIDE, aged, electrode_window, equal_steps, lift_at
from .test_coupled import SALT

ALLOWED = (100.0, 4000.0)
# Porosities of 0.25, 0.15 and 0.07.
LLI = [0.0, 0.04, 0.07]


@pytest.fixture(scope="module")
def cell() -> CellModel:
    return build_cell(Chemistry(**{**SALT, "sei_on_cracks": "false"}))


@pytest.fixture(scope="module")
def inputs(cell) -> Inputs:
    return {AMBIENT: jnp.full((1, 3), 298.15)}


@pytest.fixture(scope="module")
def start(cell) -> jax.Array:
    return lift_at(cell, aged(cell, LLI, [0.0] * 3), 0.5)


@pytest.fixture(scope="module")
def salt_of(cell, inputs):
    """Concentration of salt [mol.m-3]."""

    def salt(y: jax.Array) -> np.ndarray:
        pores = cell.evaluate(y, {**inputs, CURRENT: jnp.zeros((1, 3))})[POROSITY]
        return np.asarray(cell.physical(y, "electrolyte") / pores)

    return salt


@pytest.fixture(scope="module")
def held(cell, inputs):
    """Follow a current [A] for some seconds in many steps."""

    def follow(y: jax.Array, current: jax.Array, seconds: float) -> jax.Array:
        return equal_steps(cell, inputs, current, y, seconds)(256)

    return follow


def by_exponential(cell: CellModel, y: jax.Array, inputs: Inputs, seconds: float) -> np.ndarray:
    """Lowest and highest current of each lane by the exponential of the Jacobian of the salt."""
    rows, found = cell.rows["electrolyte"], []
    for lane in range(y.shape[1]):
        here = {name: value[:, lane : lane + 1] for name, value in inputs.items()}

        salt, n = y[rows, lane], rows.stop - rows.start
        jacobian, by_ampere = _slopes(cell, salt, 0.0, y[:, lane], here)
        block = np.zeros((n + 2, n + 2))
        block[:n, :n], block[:n, n] = jacobian, _rates(cell, salt, 0.0, y[:, lane], here)
        block[:n, n + 1] = by_ampere
        free, gained = scipy.linalg.expm(seconds * block)[:n, n:].T
        pores = cell.evaluate(y[:, lane : lane + 1], {**here, CURRENT: jnp.zeros((1, 1))})[POROSITY]
        low, high = (np.asarray(cell.scaled(each * pores, "electrolyte"))[:, 0] for each in ALLOWED)
        then = np.asarray(salt) + free
        ends = np.concatenate([(low - then) / gained, (high - then) / gained])
        found.append((ends[ends <= 0.0].max(initial=-np.inf), ends[ends > 0.0].min()))
    return np.array(found).T


def rates_of_salt(cell: CellModel, salt: jax.Array, current: float, y: jax.Array, inputs: Inputs) -> jax.Array:
    rows = cell.rows["electrolyte"]
    return cell.rhs(y.at[rows].set(salt)[:, None], {**inputs, CURRENT: jnp.reshape(current, (1, 1))})[rows, 0]


_rates = jax.jit(rates_of_salt, static_argnums=0)
_slopes = jax.jit(jax.jacfwd(rates_of_salt, argnums=(1, 2)), static_argnums=0)
_carried_by_salt = jax.jit(carried_by_salt, static_argnums=(0, 1))


@pytest.mark.parametrize("seconds", [60.0, 900.0])
def test_bounds_are_those_of_linear_diffusion(cell, inputs, start, held, seconds):
    """Of a profile at rest, and of one that a charge has bent."""
    bent = held(start, jnp.asarray([[-3.0, -2.0, -0.8]]), 600.0)
    for y in (start, bent):
        bounds = _carried_by_salt(cell, ALLOWED, y, inputs, jnp.asarray(seconds))
        truth = by_exponential(cell, y, inputs, seconds)
        np.testing.assert_allclose(np.concatenate(bounds), truth, rtol=0.01)


@pytest.mark.slow
def test_salt_stays_in_its_range_where_more_is_asked_for(cell, inputs, start, salt_of):
    """Twelve minutes of 2C in cells of ever closer pores, charged and discharged.

    The third one is held at both ends. Without the limit it breaks when charged, and comes to 7 mol/l when discharged.
    A load that does not meet it is followed the same to the last bit.
    """
    window = electrode_window(cell, aged(cell, LLI, [0.0] * 3), inputs)

    def follow(limits: Limits):
        """Salt after each minute and currents of each lane, of a charge and a discharge; and a state of little load."""

        @jax.jit
        def minute(y: jax.Array, watts: float):
            profile = Profile(jnp.full((1, 3), watts), jnp.full((1, 3), 298.15))
            return run_profile(cell, limits, Stepping(), 60.0, y, inputs, window, profile)

        for watts in (-36.0, 36.0):
            y, rows, amperes = start, [], []
            for _ in range(12):
                course = minute(y, watts)
                y = course.end
                rows.append(salt_of(y))
                amperes.append(np.asarray(course.trace.current)[0])
            yield np.stack(rows), np.stack(amperes)
        yield np.asarray(minute(start, 1.0).end)

    (charged, charging), (discharged, discharging), unmet = follow(replace(WIDE, salt=ALLOWED))
    (broken, _), (beyond, _), free = follow(WIDE)
    # Time steps do not watch salt: it is some tens off.
    assert charged.min() > 50.0
    assert (charged[3:, :, 2].min(axis=1) < 130.0).all()
    np.testing.assert_allclose(discharged[1:, :, 2].max(axis=1), 4000.0, rtol=1e-3)
    assert discharged.max() < 4002.0
    assert (charging[3:, 2] < -1.0).all()
    assert (discharging[3:, 2] > 0.9).all()
    assert not np.isfinite(broken[:, :, 2]).any()
    assert beyond[0, :, 2].max() > 6500.0
    np.testing.assert_array_equal(unmet, free)
