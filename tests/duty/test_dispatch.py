"""Off-grid dispatch: conservation, limits, and hand values."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fadecast.duty.dispatch import Dispatch, dispatch

POWERS = arrays(np.float64, (2, 12), elements=st.floats(0, 1e5, allow_subnormal=False))
LIMITS = st.builds(
    Dispatch,
    pack_kwh=st.floats(1, 200),
    usable_fraction=st.floats(0.05, 1),
    converter_kw_per_pack=st.floats(0.01, 500),
    converter_efficiency=st.floats(0.5, 1),
    pack_efficiency=st.floats(0.5, 1),
    soc_min=st.floats(0, 0.5),
    soc_max=st.floats(0.51, 1),
)
NOTHING = np.zeros((2, 12))


@hypothesis_settings(max_examples=200, deadline=None)
@given(load=POWERS, solar=POWERS, limits=LIMITS, packs=st.integers(1, 2000), step=st.sampled_from([1 / 60, 0.25, 1.0]))
@example(load=NOTHING, solar=NOTHING, limits=Dispatch(), packs=1, step=1.0)
@example(load=NOTHING + 1e5, solar=NOTHING, limits=Dispatch(), packs=1, step=1.0)
@example(load=NOTHING, solar=NOTHING + 1e5, limits=Dispatch(), packs=1, step=1.0)
@example(load=NOTHING + 1e-9, solar=NOTHING + 1e5, limits=Dispatch(), packs=2000, step=1 / 60)
def test_energy_closes_and_limits_hold(load, solar, limits, packs, step):
    done = dispatch(load, solar, limits, packs, step)
    scale = 1e-12 * max(1.0, load.max(), solar.max())
    assert np.abs(load - done.unserved - (solar - done.spilled + done.battery)).max() <= scale
    assert np.abs(done.battery).max() <= packs * limits.converter_kw_per_pack
    assert (done.unserved >= 0).all()
    assert (done.unserved <= load + scale).all()
    assert (done.spilled >= 0).all()
    assert (done.spilled <= solar + scale).all()
    assert not ((done.unserved > scale) & (done.spilled > scale)).any()
    assert (done.soc >= limits.soc_min).all()
    assert (done.soc <= limits.soc_max).all()
    # The sun is used before the battery, and the battery never charges from itself.
    assert not ((done.battery > 0) & (solar > load)).any()
    assert not ((done.battery < 0) & (solar < load)).any()


@hypothesis_settings(max_examples=100, deadline=None)
@given(load=POWERS, solar=POWERS, limits=LIMITS, packs=st.integers(1, 2000))
def test_the_store_keeps_what_losses_leave(load, solar, limits, packs):
    done = dispatch(load, solar, limits, packs, 1.0)
    capacity = packs * limits.pack_kwh * limits.usable_fraction
    terminal = done.pack * packs * limits.pack_kwh
    stored = -np.where(terminal > 0, terminal / limits.pack_efficiency, terminal * limits.pack_efficiency)
    np.testing.assert_allclose(np.diff(done.soc, axis=1) * capacity, stored[:, :-1], atol=1e-9 * capacity)
    charging, efficiency = done.battery < 0, limits.converter_efficiency
    np.testing.assert_allclose(terminal[charging], done.battery[charging] * efficiency)
    np.testing.assert_allclose(terminal[~charging], done.battery[~charging] / efficiency)


@hypothesis_settings(max_examples=100, deadline=None)
@given(load=POWERS, solar=POWERS, limits=LIMITS)
def test_load_is_dropped_only_when_the_battery_is_empty_or_at_its_limit(load, solar, limits):
    done = dispatch(load, solar, limits, 10, 1.0)
    after = np.roll(done.soc, -1, axis=1)[:, :-1]
    limited = np.abs(done.battery[:, :-1]) >= 10 * limits.converter_kw_per_pack * (1 - 1e-9)
    assert ((done.unserved[:, :-1] < 1e-6) | limited | (after <= limits.soc_min + 1e-9)).all()
    assert ((done.spilled[:, :-1] < 1e-6) | limited | (after >= limits.soc_max - 1e-9)).all()


def test_a_full_store_serves_its_window_less_one_way_losses():
    limits = Dispatch(usable_fraction=0.5, converter_efficiency=0.9, pack_efficiency=0.8, soc_min=0.1, soc_max=0.9)
    load, solar = np.zeros((1, 200)), np.zeros((1, 200))
    solar[:, :100], load[:, 100:] = 1000.0, 1.0
    done = dispatch(load, solar, limits, 1, 1.0)
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
    done = dispatch(load, solar, limits, 5, 0.25)
    assert done.battery.max() == pytest.approx(10.0)
    assert done.battery.min() == pytest.approx(-10.0)
    assert done.unserved[0, 2] == pytest.approx(90.0)


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="widen the window"):
        Dispatch(soc_min=0.9, soc_max=0.5)
