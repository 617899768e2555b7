"""Forecasts of packs made of groups: the same bits however the work is divided, and packs as their groups make them."""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.cell.model import build_cell
from fadecast.decades.years import Decades
from fadecast.duty import Duty, Site, make_duty
from fadecast.ensemble import Execution, make_ensemble
from fadecast.fade import capacity_of, typical_day_trace
from fadecast.forecast import Forecast, make_fade
from fadecast.operated import Cell
from fadecast.outcome import Outcome
from fadecast.population import Groups, Population, in_service, make_population

PACKS, TILE, PACK_KWH = 20, 16, 78.0
DECADES = Decades(typical_days=1, output_interval_days=182.5, check_days=0)
LLI = "Loss of lithium inventory"


class Memory(dict):
    load = dict.get
    save = dict.__setitem__


@pytest.fixture(scope="module")
def duty():
    return make_duty(Site(), Duty(timestep_minutes=60), 1, PACKS, 1)


@pytest.fixture(scope="module")
def population(duty):
    settings, chemistry = Population(groups=Groups(n_series=6, weakest=1)), Cell().chemistry
    share = capacity_of(build_cell(chemistry))
    return make_population(settings, 1, PACKS, 1, share, service=in_service(chemistry, duty))


def forecast(duty, population, workers=1, shards=None):
    shards = Memory() if shards is None else shards
    execution = Execution(tile=TILE, workers=workers)
    ensemble = make_ensemble(Cell(), DECADES, duty, population, 0.5, execution)
    return make_fade(Forecast(ensemble, shards, PACK_KWH), lambda event, details: None)


@pytest.fixture(scope="module")
def fade(duty, population):
    return forecast(duty, population)


def test_packs_start_at_the_capacity_of_their_weakest_group_and_fade(population, fade):
    assert fade["capacity"].dims == ("draw", "pack", "time")
    assert (fade["outcome"] == Outcome.COMPLETED).all()
    np.testing.assert_allclose(fade["soh"].isel(time=0), population["initial_soh"], atol=2e-3)
    assert (fade["retention"].isel(time=-1) < 1.0).all()
    lost = population["parameter_value"].sel(parameter=LLI)
    np.testing.assert_allclose(fade["lli"].isel(time=0), lost, rtol=1e-9)


def test_the_bits_depend_neither_on_workers_nor_on_what_was_finished_before(duty, population, fade):
    shards = Memory()
    first = forecast(duty, population, 2, shards)
    again = forecast(duty, population, 1, Memory(list(shards.items())[:1]))
    assert first.identical(fade)
    assert again.identical(fade)


def test_a_group_that_holds_nothing_masks_its_pack_and_the_other_tile_is_untouched(duty, population, fade):
    sick = population.copy(deep=True)
    sick["group_parameter_value"].loc[{"parameter": LLI, "pack": 3, "group": 1}] = 0.95
    broken = forecast(duty, sick)
    assert broken["outcome"].values[0, 3] == Outcome.CAPACITY_EXHAUSTED
    assert broken["capacity"].isel(pack=3).isnull().all()
    assert (broken["outcome"] == Outcome.COMPLETED).sum() == PACKS - 1
    other = {"pack": slice(TILE, None)}
    assert broken.isel(other).drop_attrs().identical(fade.isel(other).drop_attrs())


@pytest.mark.slow
def test_both_modes_know_of_groups(duty, population):
    ensemble = replace(make_ensemble(Cell(), DECADES, duty, population, 1.0), times=np.array([0.0, 2.0]))
    operation, cell = ensemble.operation, ensemble.operation.cell
    assert operation.series.groups == 2
    assert operation.bleed == pytest.approx(0.005 * cell.nominal_capacity)
    lanes = np.arange(2)
    direct, health = replace(ensemble, decades=Decades(mode="direct")).simulate(lanes)
    leapt, _ = ensemble.simulate(lanes)
    assert direct.service.slow.sei.shape == leapt.service.slow.sei.shape == (2, 1, 2)
    np.testing.assert_allclose(health.capacity[0] / cell.nominal_capacity, population["initial_soh"][0, :2], atol=2e-3)


def test_a_typical_day_of_a_pack_is_the_mean_of_its_groups(duty, population):
    trace = typical_day_trace(Cell(), DECADES, duty, population, 0, 0)
    lit = np.abs(trace["trace_demand"]) > 0.1
    np.testing.assert_allclose(trace["trace_power"].where(lit), trace["trace_demand"].where(lit), rtol=0.02)
