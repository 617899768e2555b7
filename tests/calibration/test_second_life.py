import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.calibration.laws import START_LAM
from fadecast.calibration.makes import MAKES
from fadecast.calibration.rate_tables import Place, losses, start_of
from fadecast.cell.aged import cyclable_lithium, fresh_state, held_lithium
from fadecast.cell.health import check_up
from fadecast.cell.model import build_cell
from fadecast.scored_cells import SECOND_LIFE_STEPS

LAW = MAKES["lfp"].laws["solvent"]
DAYS = np.array([0.0, 20.0, 40.0])
FILM, STRESS = (unknown.parameter for unknown in LAW.cycled)


@pytest.fixture(scope="module")
def cell():
    return build_cell(LAW.chemistry, (FILM, STRESS))


def inputs(film, stress, lam):
    values = {FILM: film, STRESS: stress, START_LAM: lam}
    return {name: jnp.asarray(value, float)[None] for name, value in values.items()}


def test_a_cell_starts_with_its_capacity_and_its_material(cell):
    lam, soh = np.array([0.05, 0.2, 0.05, 0.2]), np.array([0.7, 0.7, 0.8, 0.8])
    given = inputs([1e-21] * 4, [1e-8] * 4, lam)
    slow, rest, met = start_of(cell, given, soh, 4)
    assert met.all()
    assert set(rest) == {FILM, STRESS}
    fresh = fresh_state(cell, 4, rest)
    capacity = check_up(cell, slow, rest).capacity / check_up(cell, fresh, rest).capacity
    np.testing.assert_allclose(capacity[0], soh, atol=1e-3)
    np.testing.assert_allclose((slow.active_fraction_ne / fresh.active_fraction_ne)[0], 1.0 - lam, rtol=1e-12)
    # What cycles and what is held is what there is; a cell of less capacity has less that cycles.
    np.testing.assert_allclose(held_lithium(cell, slow) + cyclable_lithium(cell, slow), slow.inventory, rtol=1e-12)
    assert (cyclable_lithium(cell, slow)[0, :2] < cyclable_lithium(cell, slow)[0, 2:]).all()


def test_stress_wears_a_smaller_electrode_faster_and_faster(cell):
    """What LAM costs rises with its rate and with what was lost before, and more in the second half of the time.

    Half the negative electrode does not take three quarters of the capacity: no loss of lithium explains such a cell.
    """
    given = inputs([1e-22] * 4, [2e-8, 2e-7, 2e-7, 2e-8], [0.05, 0.05, 0.25, 0.5])
    place = Place(np.full(4, 25.0), np.ones(4), np.full(4, 0.75))
    lost = losses(cell, given, place, SECOND_LIFE_STEPS, DAYS, 5e-3)
    assert np.isnan(lost[..., 3]).all()
    capacity, lam_ne, lam_pe = lost[..., :3]
    assert (np.diff(capacity[-1]) > 0.005).all()
    assert (np.diff(lam_ne[-1]) > 0.005).all()
    assert (capacity[2, 1:] > 2.0 * capacity[1, 1:]).all()
    assert (lam_pe == 0.0).all()
