"""Dispatch: conservation, limits, order of sources, and hand values."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fadecast.duty import dispatch as module
from fadecast.duty.container import Container
from fadecast.duty.dispatch import Demand, Dispatch, Dispatched, Plan, Plant, repeated_year, states_of_charge, unplanned
from fadecast.duty.sources import Generator, Grid

POWERS = arrays(np.float64, (2, 12), elements=st.floats(0, 1e5, allow_subnormal=False))
SET_POINTS = arrays(np.float64, (2, 12), elements=st.floats(0, 1, allow_subnormal=False))
LIMITS = st.builds(
    Dispatch,
    pack_kwh=st.floats(1, 200),
    usable_fraction=st.floats(0.05, 1),
    converter_kw_per_pack=st.floats(0.01, 500),
    converter_efficiency=st.floats(0.5, 1),
    pack_efficiency=st.floats(0.5, 1),
    soc_min=st.floats(0, 0.5),
    soc_max=st.floats(0.51, 1),
    curtail_below=st.floats(0, 1),
)
NOTHING = np.zeros((2, 12))
# Neither heated nor cooled: dispatch alone.
OPEN = Container(heat_below=-60.0, cool_above=90.0, loss_w_per_k=1e9)
OFF_GRID, NO_GENERATOR = Grid(), Generator()


class Year(NamedTuple):
    """What dispatch did, by draw and step."""

    plant: Plant
    done: Dispatched
    soc: np.ndarray
    pack: np.ndarray
    """Terminal power of all packs [kW]."""


def dispatch(
    load,
    solar,
    limits,
    packs,
    step,
    curtailable=0.0,
    grid=OFF_GRID,
    generator=NO_GENERATOR,
    plan=None,
    soc=None,
    kept=(0.0, 0.0),
):
    """Dispatch a year that repeats; or follow a plan from its start, or none from a state of charge."""
    plant = Plant.of(limits, generator, grid, OPEN, packs)
    plant = plant._replace(charge_target=kept[0], restored_per_hour=kept[1])
    demand = Demand((1 - curtailable) * load.T, curtailable * load.T, solar.T, np.full_like(load.T, 20.0))
    begin, done = repeated_year(plant, demand, step)
    if soc is not None:
        begin, plan = begin._replace(energy=0 * begin.energy + soc * plant.capacity), unplanned(demand)
    if plan is not None:
        _, done = module.dispatch(plant, demand, plan, begin, step)
    done = Dispatched(*(np.asarray(part).T for part in done))
    return Year(plant, done, states_of_charge(plant, done.energy), np.asarray(plant.terminal(done.battery)))


@hypothesis_settings(max_examples=200, deadline=None)
@given(load=POWERS, solar=POWERS, limits=LIMITS, packs=st.integers(1, 2000), step=st.sampled_from([1 / 60, 0.25, 1.0]))
@example(load=NOTHING, solar=NOTHING, limits=Dispatch(), packs=1, step=1.0)
@example(load=NOTHING + 1e5, solar=NOTHING, limits=Dispatch(), packs=1, step=1.0)
@example(load=NOTHING, solar=NOTHING + 1e5, limits=Dispatch(), packs=1, step=1.0)
@example(load=NOTHING + 1e-9, solar=NOTHING + 1e5, limits=Dispatch(), packs=2000, step=1 / 60)
def test_energy_closes_and_limits_hold(load, solar, limits, packs, step):
    _, done, soc, _ = dispatch(load, solar, limits, packs, step)
    scale = 1e-12 * max(1.0, load.max(), solar.max())
    assert np.abs(load - done.unserved - (solar - done.spilled + done.battery)).max() <= scale
    assert np.abs(done.battery).max() <= packs * limits.converter_kw_per_pack
    assert (done.unserved >= 0).all()
    assert (done.unserved <= load + scale).all()
    assert (done.spilled >= 0).all()
    assert (done.spilled <= solar + scale).all()
    assert not ((done.unserved > scale) & (done.spilled > scale)).any()
    assert (soc >= limits.soc_min).all()
    assert (soc <= limits.soc_max).all()
    # The sun is used before the battery, and the battery never charges from itself.
    assert not ((done.battery > 0) & (solar > load)).any()
    assert not ((done.battery < 0) & (solar < load)).any()
    for nothing in (done.grid, done.generator, done.curtailed, done.conditioning):
        np.testing.assert_array_equal(nothing, 0.0)


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    load=POWERS,
    solar=POWERS,
    limits=LIMITS,
    packs=st.integers(1, 2000),
    waits=st.floats(0, 1),
    grid=st.builds(Grid, import_kw_per_pack=st.floats(0, 50), export_kw_per_pack=st.floats(0, 50)),
    generator=st.builds(Generator, kw_per_pack=st.floats(0, 50), minimum=st.floats(0, 1)),
    plan=st.tuples(SET_POINTS, SET_POINTS, SET_POINTS),
    kept=st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.5, 10.0])),
)
def test_energy_closes_and_limits_hold_with_all_sources_and_any_plan(
    load, solar, limits, packs, waits, grid, generator, plan, kept
):
    """Charge that the grid makes up is beyond its limits."""
    plant = Plant.of(limits, generator, grid, OPEN, packs)
    low, high = -plant.exports, plant.imports
    set_points = Plan(low + (high - low) * plan[0].T, plant.generator * plan[1].T, waits * load.T * plan[2].T)
    _, done, soc, _ = dispatch(load, solar, limits, packs, 1.0, waits, grid, generator, set_points, kept=kept)
    low, high = (-np.inf, np.inf) if kept[1] else (low, high)
    made_up = plant.capacity * kept[1]
    scale = 1e-12 * max(1.0, load.max(), solar.max(), plant.imports, plant.exports, plant.generator, made_up)
    served = load - done.curtailed - done.unserved
    given = solar - done.spilled + done.battery + done.grid + done.generator
    assert np.abs(served - given).max() <= scale
    assert (done.grid >= low - scale).all()
    assert (done.grid <= high + scale).all()
    assert (done.generator <= plant.generator).all()
    assert ((done.generator == 0) | (done.generator >= plant.generator_minimum)).all()
    assert (done.curtailed >= 0).all()
    assert (done.curtailed <= waits * load + scale).all()
    assert (done.unserved >= 0).all()
    assert (done.spilled >= 0).all()
    assert (soc >= limits.soc_min).all()
    assert (soc <= limits.soc_max).all()
    assert np.abs(done.battery).max() <= plant.converter
    # Nothing is dropped while anything could serve it, nor while power is thrown away.
    unserved = done.unserved > scale
    assert (done.curtailed[unserved] >= (waits * load)[unserved] - scale).all()
    assert (done.grid[unserved] >= plant.imports - scale).all()
    assert (done.generator[unserved] >= plant.generator - scale).all()
    assert not (unserved & (done.spilled > scale)).any()


def test_grid_then_generator_then_curtailment_serve_what_an_empty_store_leaves():
    grid, generator = Grid(import_kw_per_pack=3.0), Generator(kw_per_pack=2.0, minimum=0.5)
    load = np.array([[1.0, 3.25, 6.0, 7.0, 10.0]])
    done = dispatch(
        load, 0 * load, Dispatch(), 1, 1.0, curtailable=0.4, grid=grid, generator=generator, soc=Dispatch().soc_min
    ).done
    np.testing.assert_allclose(done.grid, [[1, 3, 3, 3, 3]])
    # A generator runs at its least power or above: what the load does not take is stored, and used next.
    np.testing.assert_allclose(done.generator[0, 1], 1.0)
    np.testing.assert_allclose(done.battery[0, :2], [0.0, -0.75], atol=1e-12)
    np.testing.assert_allclose(done.battery[0, 2], 0.75 * (0.97 * 0.98) ** 2)
    np.testing.assert_allclose(done.generator[0, 3:], 2.0)
    np.testing.assert_allclose(done.curtailed[0], [0, 0, 6 - 3 - 2 - done.battery[0, 2], 2, 4])
    np.testing.assert_allclose(done.unserved, [[0, 0, 0, 0, 1]], atol=1e-12)


def test_computing_that_can_wait_saves_a_store_for_what_cannot():
    """In a night of 24 h that asks for 10 kW, half of which can wait."""
    load = np.full((1, 24), 10.0)
    late, early = (
        dispatch(load, 0 * load, Dispatch(curtail_below=level), 3, 1.0, curtailable=0.5, soc=0.95).done
        for level in (0.0, 1.0)
    )
    usable = 3 * 78.0 * 0.65 * (0.95 - 0.10) * 0.97 * 0.98
    whole, rest = np.divmod(usable, 10.0)
    np.testing.assert_allclose(late.battery.sum(), usable)
    np.testing.assert_allclose(late.unserved.sum(), 5.0 * (24 - whole) - rest)
    np.testing.assert_allclose(early.battery, 5.0)
    np.testing.assert_array_equal(early.unserved, 0.0)


@hypothesis_settings(max_examples=100, deadline=None)
@given(load=POWERS, solar=POWERS, limits=LIMITS, packs=st.integers(1, 2000))
def test_the_store_keeps_what_losses_leave(load, solar, limits, packs):
    _, done, soc, terminal = dispatch(load, solar, limits, packs, 1.0)
    capacity = packs * limits.pack_kwh * limits.usable_fraction
    stored = -np.where(terminal > 0, terminal / limits.pack_efficiency, terminal * limits.pack_efficiency)
    np.testing.assert_allclose(np.diff(soc, axis=1) * capacity, stored[:, :-1], atol=1e-9 * capacity)
    charging, efficiency = done.battery < 0, limits.converter_efficiency
    np.testing.assert_allclose(terminal[charging], done.battery[charging] * efficiency, atol=1e-300)
    np.testing.assert_allclose(terminal[~charging], done.battery[~charging] / efficiency, atol=1e-300)


@hypothesis_settings(max_examples=100, deadline=None)
@given(load=POWERS, solar=POWERS, limits=LIMITS)
def test_load_is_dropped_only_when_the_battery_is_empty_or_at_its_limit(load, solar, limits):
    _, done, soc, _ = dispatch(load, solar, limits, 10, 1.0)
    after = np.roll(soc, -1, axis=1)[:, :-1]
    limited = np.abs(done.battery[:, :-1]) >= 10 * limits.converter_kw_per_pack * (1 - 1e-9)
    assert ((done.unserved[:, :-1] < 1e-6) | limited | (after <= limits.soc_min + 1e-9)).all()
    assert ((done.spilled[:, :-1] < 1e-6) | limited | (after >= limits.soc_max - 1e-9)).all()


def test_a_full_store_serves_its_window_less_one_way_losses():
    limits = Dispatch(usable_fraction=0.5, converter_efficiency=0.9, pack_efficiency=0.8, soc_min=0.1, soc_max=0.9)
    load, solar = np.zeros((1, 200)), np.zeros((1, 200))
    solar[:, :100], load[:, 100:] = 1000.0, 1.0
    done = dispatch(load, solar, limits, 1, 1.0).done
    assert done.battery[:, 100:].sum() == pytest.approx(0.8 * 78.0 * 0.5 * 0.9 * 0.8)
    assert -done.battery[:, :100].sum() == pytest.approx(0.8 * 78.0 * 0.5 / (0.9 * 0.8))


def test_a_repeated_year_starts_with_the_charge_it_ends_with():
    rng = np.random.default_rng(0)
    load, solar = rng.uniform(0, 10, (3, 500)), rng.uniform(0, 12, (3, 500))
    limits = Dispatch(pack_efficiency=1, converter_efficiency=1)
    once, twice = (dispatch(np.tile(load, n), np.tile(solar, n), limits, 4, 1.0) for n in (1, 2))
    np.testing.assert_array_equal(once.soc, twice.soc[:, 500:])
    np.testing.assert_allclose(once.soc, twice.soc[:, :500])


def test_the_converter_limits_both_ways():
    limits = Dispatch(converter_kw_per_pack=2.0)
    load, solar = np.array([[100.0, 0.0] * 20]), np.array([[0.0, 100.0] * 20])
    done = dispatch(load, solar, limits, 5, 0.25).done
    assert done.battery.max() == pytest.approx(10.0)
    assert done.battery.min() == pytest.approx(-10.0)
    assert done.unserved[0, 2] == pytest.approx(90.0)


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="widen the window"):
        Dispatch(soc_min=0.9, soc_max=0.5)
