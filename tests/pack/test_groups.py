"""Windows of a pack by hand, and drift with balancing against small steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell.cells import aged, fitted_cell, inputs_of, lift_at
from fadecast.cell.aged import total_lithium
from fadecast.cell.control import Limits, state_of_charge
from fadecast.cell.health import Health, electrode_window
from fadecast.cell.series import Series
from fadecast.pack.groups import (
    bled,
    discharged,
    group_charge,
    headroom,
    pack_capacity,
    pack_health,
    relative,
    within_limits,
)

TWO, GROUPS = Series.equal(2), 5
LANES = 4 * GROUPS


def row(*values: float) -> jax.Array:
    return jnp.asarray([values])


@pytest.mark.parametrize(
    ("capacity", "gap", "pack", "full", "empty"),
    [
        pytest.param((5.0, 4.0), (0.0, 0.0), 4.0, (1.0, 1.0), (0.2, 0.0), id="balanced: the small one"),
        pytest.param((5.0, 4.0), (1.0, 0.0), 4.0, (0.8, 1.0), (0.0, 0.0), id="both are empty at once"),
        pytest.param((5.0, 4.0), (2.0, 0.0), 3.0, (0.6, 1.0), (0.0, 0.25), id="the large one is empty first"),
        pytest.param((5.0, 4.0), (0.0, 1.0), 3.0, (1.0, 0.75), (0.4, 0.0), id="the small one is never full"),
    ],
)
def test_the_window_of_two_groups_by_hand(capacity, gap, pack, full, empty):
    q, h = row(*capacity), row(*gap) + 0.7
    np.testing.assert_allclose(relative(TWO, h)[0], gap, atol=1e-15)
    np.testing.assert_allclose(pack_capacity(TWO, q, h)[0], pack, rtol=1e-15)
    for s, known in ((1.0, full), (0.0, empty)):
        np.testing.assert_allclose(group_charge(TWO, q, h, jnp.full((1, 2), s))[0], known, atol=1e-15)
    moved = (group_charge(TWO, q, h, jnp.full((1, 2), s)) * q for s in (0.9, 0.4))
    np.testing.assert_allclose(next(moved) - next(moved), 0.5 * pack, rtol=1e-14)


def test_a_pack_is_kept_where_all_groups_are_within_their_limits():
    limits, q = Limits(soc_min=0.1, soc_max=0.9), row(5.0, 4.0)
    for gap in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (1.5, 0.0)):
        for s, bound, found in ((0.0, 0.1, "min"), (1.0, 0.9, "max")):
            kept = within_limits(TWO, limits, q, row(*gap), jnp.full((1, 2), s))
            groups = group_charge(TWO, q, row(*gap), kept)
            np.testing.assert_allclose(getattr(groups, found)(), bound, atol=1e-14)
    equal = within_limits(TWO, limits, row(4.0, 4.0), row(0.0, 0.0), row(0.0, 0.0))
    np.testing.assert_allclose(equal, limits.soc_min, atol=1e-15)
    middle = row(0.5, 0.5)
    np.testing.assert_array_equal(within_limits(TWO, limits, q, row(0.0, 0.0), middle), middle)


def test_a_check_up_of_a_pack_is_of_its_tightest_group_and_its_mean_resistance():
    health = pack_health(Series((0.25, 0.75)), Health(row(5.0, 4.0), row(0.02, 0.04)), row(2.0, 0.0))
    np.testing.assert_allclose(health.capacity, 3.0)
    np.testing.assert_allclose(health.resistance, 0.035)


def in_small_steps(excess: np.ndarray, drift: np.ndarray, bleed: float, days: float, steps: int) -> np.ndarray:
    """Charge above the emptiest group, stepping: who stands above is bled, though not below the emptiest."""
    h = -excess
    for _ in range(steps):
        h = h + drift * days / steps
        h = np.minimum(h + bleed * days / steps, h.max())
    return h.max() - h


@given(
    excess=st.lists(st.floats(0.0, 2.0), min_size=GROUPS, max_size=GROUPS),
    drift=st.lists(st.floats(-0.01, 0.05), min_size=GROUPS, max_size=GROUPS),
    bleed=st.sampled_from([0.0, 0.001, 0.02, 0.2]),
    days=st.floats(0.1, 400.0),
)
@settings(max_examples=60, deadline=None)
def test_drift_and_balancing_over_any_time_are_those_of_small_steps(excess, drift, bleed, days):
    series, steps = Series.equal(GROUPS), 4000
    start = np.array(excess) - min(excess)
    h = _bled(series, jnp.asarray([3.0 - start]), jnp.asarray([drift]), bleed, days)
    mine = np.asarray(series.most(h) - h)[0]
    # A step bleeds who stands less than that above the emptiest; each of few changes of leader may be late by one.
    step = GROUPS * (bleed + np.ptp(drift)) * days / steps
    np.testing.assert_allclose(mine, in_small_steps(start, np.array(drift), bleed, days, steps), atol=step + 1e-12)


_bled = jax.jit(bled, static_argnums=0)


def test_one_long_stretch_is_many_short_ones_and_a_group_of_more_drift_takes_the_lead():
    series, h = Series.equal(3), row(1.0, 0.8, 0.0)
    drift, bleed = row(0.0, 0.01, 0.02), 0.003
    # The second is at the level of the first after 0.2 / 0.013 days, the third at that of the second long after.
    caught = 0.2 / 0.013
    at_once = _bled(series, h, drift, bleed, caught)
    np.testing.assert_allclose(at_once, [[1.0, 1.0, 0.023 * caught]], rtol=1e-14)
    level, third = 1.0, 0.023 * caught
    later = (level - third) / 0.013
    after = _bled(series, h, drift, bleed, caught + later + 10.0)
    top = 1.0 + 0.01 * later + 0.2
    # The first has been bled since the second leads, never as much as it would take.
    np.testing.assert_allclose(after, [[1.0 + 0.003 * (later + 10.0), top - 0.07, top]], rtol=1e-13)
    parts = h
    for _ in range(50):
        parts = _bled(series, parts, drift, bleed, (caught + later + 10.0) / 50)
    np.testing.assert_allclose(parts, after, rtol=1e-12)


def test_without_balancing_groups_drift_apart_linearly():
    rng = np.random.default_rng(1)
    h, drift = jnp.asarray(rng.uniform(0.0, 1.0, (1, LANES))), jnp.asarray(rng.uniform(0.0, 0.1, (1, LANES)))
    np.testing.assert_allclose(_bled(Series.equal(GROUPS), h, drift, 0.0, 77.0), h + 77.0 * drift, rtol=1e-13)


def test_enough_balancing_keeps_groups_together_and_the_emptiest_is_never_bled():
    rng = np.random.default_rng(2)
    h, drift = jnp.asarray(rng.uniform(0.0, 1.0, (1, LANES))), jnp.asarray(rng.uniform(0.0, 0.01, (1, LANES)))
    series = Series.equal(GROUPS)
    after = _bled(series, h, drift, 0.02, 365.0)
    np.testing.assert_allclose(after, series.most(after), rtol=1e-13)
    assert (np.asarray(after) <= np.asarray(series.most(h) + 365.0 * series.most(drift)) + 1e-12).all()


def test_a_charge_taken_from_a_group_moves_its_headroom_and_no_lithium_is_lost():
    cell = fitted_cell()
    slow = aged(cell, [0.2] * 4, [0.1] * 4)
    y, window = lift_at(cell, slow, 0.6), electrode_window(cell, slow, inputs_of(cell, 4))
    charge = row(0.0, 0.01, 0.1, -0.1)
    after = discharged(cell, y, charge)
    np.testing.assert_allclose(headroom(cell, after, window) - headroom(cell, y, window), charge, atol=1e-12)
    np.testing.assert_allclose(total_lithium(cell, after), total_lithium(cell, y), rtol=1e-14)
    soc = state_of_charge(cell, after, window)
    np.testing.assert_allclose((soc - 0.6) * window.capacity, -charge, atol=1e-12)
