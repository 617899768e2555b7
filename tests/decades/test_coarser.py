"""Longer load steps: the same energy and charge, and a memory of the day before in what is lost."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from fadecast.cell.model import build_cell
from fadecast.decades.coarser import coarser, ripple_of_days, ripple_of_year
from fadecast.decades.typical_days import YearOfDuty
from fadecast.decades.years import Decades
from fadecast.duty import Duty, Site, make_duty
from fadecast.ensemble import make_ensemble
from fadecast.fade import capacity_of
from fadecast.operated import Cell
from fadecast.population import Population, make_population
from fadecast.population.evidence import single_fits

from .test_typical_days import year


@pytest.fixture(scope="module")
def cell():
    return build_cell(Cell().chemistry)


def test_means_keep_the_energy_and_each_step_begins_as_it_did():
    fine = year(days=10, steps=96)
    coarse = coarser(fine, 4)
    assert coarse.power.shape == (10, 24)
    np.testing.assert_allclose(coarse.power.sum(), fine.power.sum() / 4, rtol=1e-12)
    np.testing.assert_allclose(coarse.ambient.mean(axis=1), fine.ambient.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(coarse.state_of_charge, fine.state_of_charge[:, ::4])
    assert coarser(fine, 1) is fine


def test_a_load_that_is_constant_in_longer_steps_loses_nothing(cell):
    coarse = year(days=5, steps=24)
    fine = YearOfDuty(*(np.repeat(values, 4, axis=1) for values in (coarse.power, coarse.ambient, coarse.power)))
    ripple = ripple_of_year(cell, fine, 4)
    for part in (ripple.power, ripple.ne.spread, ripple.pe.spread, ripple.ne.mean, ripple.pe.mean):
        assert part.shape == (5, 24)
        assert np.abs(part).max() < 1e-9
    assert (ripple.kurtosis >= 1.0 + ripple.skewness**2).all()


def test_a_day_remembers_the_one_before(cell):
    """Days on their own are as days of the whole year, their spin-up as the end of the day before."""
    fine = year(days=6, steps=96)
    days = ripple_of_days(cell, fine, np.array([3, 0]), 2, 4)
    whole = ripple_of_year(cell, fine, 4)
    jax.tree.map(lambda each: each.shape == (2, 26) or pytest.fail(str(each.shape)), days)
    for found, of_year in zip(jax.tree.leaves(days), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(found[0, 2:], of_year[3], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(found[0, :2], of_year[2, -2:], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(found[1, :2], of_year[-1, -2:], rtol=1e-6, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["leap", "direct"])
def test_hours_of_a_duty_by_quarters_age_cells_as_the_quarters_do(cell, mode):
    """Under grid regulation hours lose most of crack growth, and the swings inside them give it back."""
    duty = make_duty(Site(), Duty(timestep_minutes=15, service="regulation"), 1, 4, 1)
    packs = Population(rate_posterior=None, rates=single_fits())
    population = make_population(packs, 1, 4, 1, capacity_of(cell))

    def cracked(**options):
        decades = Decades(mode=mode, typical_days=2, **options)
        ensemble = replace(make_ensemble(Cell(), decades, duty, population, 1.0), times=np.array([0.0, 3.0]))
        operation = ensemble.operation
        assert operation.load_step == 60.0 * (decades.load_step_minutes or 15)
        assert ensemble.prepared.year(0).power.shape == (365, operation.steps_per_day)
        length = ensemble.simulate(np.arange(4))[0].service.slow.crack_length
        return (length[-1] - length[0]).mean()

    quarters, hours, corrected = (
        cracked(**options)
        for options in ({}, {"load_step_minutes": 60, "variance_correction": False}, {"load_step_minutes": 60})
    )
    assert hours < 0.5 * quarters
    assert corrected == pytest.approx(quarters, rel=0.2)
