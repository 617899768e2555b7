"""How full a cell is at each hour of its year: as the cell itself would be, inside its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cell.cells import aged_state
from fadecast.cell.aged import Diagnosis
from fadecast.cell.control import Limits
from fadecast.cell.health import fresh_mid_stoichiometry
from fadecast.cell.model import Chemistry, build_cell
from fadecast.cell.profile import Profile, Stepping
from fadecast.decades.service import KELVIN, Operation, Service
from fadecast.decades.store import HourlyYear, charge_through_year

from .test_typical_days import year


@pytest.fixture(scope="module")
def cells():
    """Two cells, a third of one apart in material and inventory."""
    operation = Operation(build_cell(Chemistry(), ()), Limits(), Stepping(), 3600.0)
    losses = (jnp.asarray(values)[None] for values in ([0.1, 0.35], [0.05, 0.25], [0.05, 0.25], [0.1, 0.1], [2e-8] * 2))
    return operation, aged_state(operation.cell, Diagnosis(*losses), fresh_mid_stoichiometry(operation.cell))


def years(operation, days, warmer=0.0):
    duty = year(days=days)
    each = (duty.power * operation.cell.nameplate_energy, duty.ambient + warmer + KELVIN)
    return HourlyYear.of(*(np.repeat(values[..., None], 2, axis=-1) for values in each))


def test_the_store_is_as_full_as_the_cell_that_runs_the_days(cells):
    """Ten days again and again: within 2 % in the mean of either cell, which the dispatcher's store is not."""
    operation, slow = cells
    hours = years(operation, 10)
    profile = Profile(*(jnp.concatenate([values, values]) for values in hours))

    @jax.jit
    def run():
        y, window = operation.begin_day(slow, {}, jnp.full((1, 2), 0.5), profile.ambient[:1])
        return operation.run(y, {}, window, profile).trace.state_of_charge

    ends = np.asarray(run())[240:]
    begins = np.concatenate([ends[-1:], ends[:-1]])
    off = np.abs(np.asarray(charge_through_year(operation, Service.start(slow), {}, hours)) - begins).mean(axis=0)
    assert (off < 0.02).all(), off
    believed = np.abs(year(days=10).state_of_charge.reshape(-1, 1) - begins).mean(axis=0)
    assert (believed > 2.0 * off).all(), (believed, off)


def test_a_cell_too_hot_to_charge_stays_empty_and_one_at_rest_stays_as_it_is(cells):
    operation, slow = cells
    hot = np.asarray(charge_through_year(operation, Service.start(slow), {}, years(operation, 10, warmer=60.0)))
    np.testing.assert_allclose(hot, operation.limits.soc_min)
    warm = np.asarray(charge_through_year(operation, Service.start(slow), {}, years(operation, 10)))
    assert (warm >= operation.limits.soc_min - 1e-9).all()
    assert (warm <= operation.limits.soc_max + 1e-9).all()
    assert warm.max() > 0.5
