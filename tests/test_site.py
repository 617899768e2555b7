"""Packs of one site that feel each other: shared power, fade fed back into dispatch, replacement, divided work."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from fadecast.cell.model import build_cell
from fadecast.decades.years import Decades
from fadecast.duty import Duty, Site, make_duty
from fadecast.ensemble import Execution, make_ensemble
from fadecast.fade import capacity_of
from fadecast.forecast import Forecast, make_fade
from fadecast.operated import Cell
from fadecast.outcome import Outcome
from fadecast.pack.sharing import Fleet
from fadecast.population import Population, in_service, make_population
from fadecast.site import Packs, Sites

DRAWS, PACKS, YEARS = 1, 24, 3.0
SERVED = Duty(timestep_minutes=60)
DECADES = Decades(typical_days=2, output_interval_days=182.5, check_days=0)


class Memory(dict):
    """Finished shards, kept in memory."""

    load = dict.get
    save = dict.__setitem__


def made(settings):
    chemistry = Cell().chemistry
    service = in_service(chemistry, make_duty(Site(), SERVED, DRAWS, PACKS, 1))
    made = make_population(settings, DRAWS, PACKS, 1, capacity_of(build_cell(chemistry)), service=service)
    # Dispatch knows of the model's capacity, and not of what capacity is found to be off by.
    return made.assign(retention_drift=0.0 * made["retention_drift"])


@pytest.fixture(scope="module")
def population():
    return made(Population())


def forecast(population, fleet, packs=PACKS, **execution):
    duty = make_duty(Site(), SERVED, DRAWS, packs // fleet.sites, 1)
    execution = Execution(**{"tile": 16, "workers": 1} | execution)
    ensemble = make_ensemble(Cell(), DECADES, duty, population.isel(pack=slice(packs)), YEARS, execution, fleet, SERVED)
    return make_fade(Forecast(ensemble, Memory(), 78.0), lambda event, details: None)


@pytest.fixture(scope="module")
def equal(population):
    return forecast(population, Fleet(sharing="equal"))


def test_a_site_whose_packs_fade_leaves_more_unserved_each_year(equal):
    each_year = np.diff(equal["site_unserved"].values[0, 0, ::2])
    assert (np.diff(each_year) > 0.0).all()
    capability = equal["site_capability"].values[0, 0]
    assert capability[0] == 1.0
    mean = (equal["capacity"].values[0, :, -1].sum()) / equal["capacity"].values[0, :, 0].sum()
    assert capability[-1] == pytest.approx(mean, abs=2e-3)


def test_packs_that_carry_alike_have_the_throughput_of_packs_by_themselves(population, equal):
    alone = forecast(population, Fleet())
    through = [fade["charge_throughput"].values[0, :, -1] for fade in (equal, alone)]
    np.testing.assert_allclose(*through, rtol=5e-3)


def test_by_health_strong_packs_carry_more(population, equal):
    health = forecast(population, Fleet(sharing="health"))
    ratio = (health["charge_throughput"] / equal["charge_throughput"]).values[0, :, -1]
    start = equal["capacity"].values[0, :, 0]
    assert np.corrcoef(ratio, start)[0, 1] > 0.95


def test_the_bits_do_not_depend_on_how_many_tiles_run_at_once(population, equal):
    assert forecast(population, Fleet(sharing="equal"), workers=3).identical(equal)


def test_two_sites_are_two_forecasts(population):
    both = forecast(population, Fleet(sharing="equal", sites=2), packs=24)
    first = forecast(population, Fleet(sharing="equal"), packs=12)
    np.testing.assert_array_equal(both["site_of_pack"], np.repeat([0, 1], 12))
    np.testing.assert_array_equal(both["soh"].values[:, :12], first["soh"].values)
    np.testing.assert_array_equal(both["site_unserved"].values[:, 0], first["site_unserved"].values[:, 0])


@pytest.mark.slow
def test_sites_that_fit_into_one_tile_are_forecast_together(population):
    """As if each were by itself, but for the macro steps that they share."""
    together = forecast(population, Fleet(sharing="equal", sites=3))
    packs = slice(8, 16)
    alone = forecast(population.isel(pack=packs), Fleet(sharing="equal"), packs=8)
    np.testing.assert_allclose(together["soh"].values[:, packs], alone["soh"].values, atol=2e-4)
    for name in ("site_unserved", "site_capability"):
        np.testing.assert_allclose(together[name].values[0, 1], alone[name].values[0, 0], rtol=1e-3)


@pytest.mark.slow
def test_packs_that_stand_for_others_make_a_site_of_the_whole(equal):
    settings = Population(representatives=6)
    few = made(settings)
    duty = make_duty(Site(), SERVED, DRAWS, PACKS, 1)
    fleet = Fleet(sharing="equal")
    ensemble = make_ensemble(Cell(), DECADES, duty, few, YEARS, Execution(tile=16, workers=1), fleet, SERVED)
    found = make_fade(Forecast(ensemble, Memory(), 78.0), lambda event, details: None)
    assert float(found["pack_weight"]) == 4.0
    numbers = few["pack_number"].values[0]
    np.testing.assert_allclose(found["soh"].values[0], equal["soh"].values[0, numbers], atol=5e-4)
    np.testing.assert_allclose(found["site_unserved"], equal["site_unserved"], rtol=0.02)


def test_a_pack_is_replaced_by_the_next_of_its_own_site_and_counts_for_those_it_stands_for(population):
    """Two sites of three packs in one tile."""
    fleet = Fleet(sharing="equal", replace_below=0.5)
    duty = make_duty(Site(), SERVED, DRAWS, 3, 1)
    ensemble = make_ensemble(
        Cell(),
        DECADES,
        duty,
        population.isel(pack=slice(6)),
        YEARS,
        Execution(tile=16),
        replace(fleet, sites=2),
        SERVED,
    )
    slow, inputs, _ = ensemble.start(np.minimum(np.arange(16), 5))
    packs = Packs(16, jax.tree.map(np.asarray, slow), inputs, np.arange(16) < 6, weight=2.0)
    sites = Sites(ensemble.operation, fleet, None, [ensemble.prepared.typical(0)] * 2, packs)
    capacity = np.full(16, 4.0)
    capacity[[1, 4]] = 1.0
    gone, swapped = sites.swap(packs.slow, capacity)
    assert np.flatnonzero(gone).tolist() == [1, 4]
    np.testing.assert_array_equal(swapped.sei[0, [1, 4]], packs.slow.sei[0, [2, 5]])
    np.testing.assert_array_equal(sites.replaced(), [2.0, 2.0])
    capacity[1] = 4.0
    _, again = sites.swap(swapped, capacity)
    np.testing.assert_array_equal(again.sei[0, [1, 4]], packs.slow.sei[0, [2, 3]])
    np.testing.assert_array_equal(sites.replaced(), [2.0, 4.0])


def test_a_replaced_pack_keeps_its_last_day_and_the_site_goes_on_with_another(population, equal):
    limit = float(np.quantile(equal["soh"].values[0, :, 2], 0.3))
    swapped = forecast(population, Fleet(sharing="equal", replace_below=limit, inspection_days=365.0))
    gone = swapped["outcome"].values[0] == Outcome.REPLACED
    replaced = swapped["site_replacements"].values[0, 0]
    assert gone.sum() >= 7
    assert (np.diff(replaced) >= 0).all()
    assert replaced[-1] >= gone.sum()
    soh = swapped["soh"].values[0]
    # Replaced at the first inspection, a pack keeps what it had there.
    early = gone & (equal["soh"].values[0, :, 2] < limit)
    assert (np.abs(soh[early, 3:] - soh[early, 2:3]) < 1e-12).all()
    assert np.isfinite(soh).all()
    assert np.isnan(swapped["temperature_mean"].values[0, early, 3:]).all()
    assert swapped["site_capability"].values[0, 0, -1] > equal["site_capability"].values[0, 0, -1]
    assert swapped["site_unserved"].values[0, 0, -1] < equal["site_unserved"].values[0, 0, -1]
