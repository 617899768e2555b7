"""Groups in series: one current, the tightest limit of any group, energy that closes over the pack."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import lift, restrict, total_lithium
from fadecast.cell.control import CURRENT, Bounds, Delivery, Held, Limits, Setting, current_bounds, first_guess, hold
from fadecast.cell.health import stoichiometry_at
from fadecast.cell.model import AMBIENT
from fadecast.cell.profile import Course, Profile, Stepping, run_profile
from fadecast.cell.series import Series, in_series

from .cells import WIDE, aged, electrode_window, fitted_cell, inputs_of, noisy_power

GROUPS, PACKS = 4, 4
LANES = GROUPS * PACKS
SERIES = Series((0.125, 0.125, 0.25, 0.5))
SOC, STEP = np.linspace(0.3, 0.6, LANES), 900.0
LLI = np.linspace(0.15, 0.3, LANES)[::-1].reshape(GROUPS, PACKS).T.ravel()


@cache
def beginning(lli=tuple(LLI), soc=tuple(SOC)):
    """Aged cells, one of each lane: their inputs, window and rested state."""
    cell = fitted_cell()
    slow, inputs = aged(cell, list(lli), [0.8 * value for value in lli]), inputs_of(cell, len(lli))
    window = electrode_window(cell, slow, inputs)
    y = lift(cell, slow, stoichiometry_at(window, jnp.asarray([soc])), jnp.full((1, len(soc)), 298.15))
    return slow, inputs, window, y


def follow(power, start, series, limits=WIDE, ambient=298.15) -> Course:
    """Follow powers per cell, the same for all groups of a pack."""
    _, inputs, window, y = start
    demand = jnp.asarray(np.repeat(power, y.shape[1] // power.shape[1], axis=1))
    profile = Profile(demand, jnp.full(demand.shape, ambient))
    run = jax.jit(run_profile, static_argnums=(0, 1, 2, 3, 8, 9))
    return run(fitted_cell(), limits, Stepping(), STEP, y, inputs, window, profile, 0, series)


def by_pack(values, groups=GROUPS) -> np.ndarray:
    values = np.asarray(values)
    return values.reshape(*values.shape[:-1], -1, groups)


def test_the_groups_of_a_pack_are_summed_by_weight():
    value = jnp.arange(2.0 * LANES).reshape(2, LANES)
    known = by_pack(value)
    np.testing.assert_allclose(by_pack(SERIES.mean(value))[..., 0], known @ SERIES.weight, rtol=1e-15)
    np.testing.assert_array_equal(by_pack(SERIES.least(value)), known.min(axis=-1, keepdims=True).repeat(GROUPS, -1))
    np.testing.assert_array_equal(by_pack(SERIES.most(value)), known.max(axis=-1, keepdims=True).repeat(GROUPS, -1))
    equal = jnp.repeat(value[:, ::96], 96, axis=1)
    np.testing.assert_array_equal(Series.equal(96).mean(equal), equal)


@pytest.mark.parametrize("weight", [(), (0.5, 0.6), (1.5, -0.5)])
def test_weights_must_be_shares(weight):
    with pytest.raises(ValueError, match="must sum to 1"):
        Series(weight)


def test_one_current_flows_and_the_power_of_a_pack_is_the_sum_of_its_groups():
    power = noisy_power(8, PACKS, 3.0)
    course = follow(power, beginning(), SERIES)
    current, voltage = by_pack(course.trace.current), by_pack(course.trace.voltage)
    np.testing.assert_array_equal(current, current[..., :1].repeat(GROUPS, -1))
    assert np.ptp(voltage, axis=-1).min() > 1e-3
    np.testing.assert_allclose((current * voltage) @ SERIES.weight, power, rtol=1e-9)
    totals = course.totals
    np.testing.assert_allclose(by_pack(totals.delivered) @ SERIES.weight, power.sum(axis=0)[None] / 4.0, atol=1e-13)
    assert np.ptp(by_pack(totals.delivered), axis=-1).min() > 0.0
    assert (np.asarray(totals.unserved) == 0.0).all()
    assert (np.asarray(totals.spilled) == 0.0).all()


@pytest.mark.parametrize("groups", [2, 4])
def test_equal_groups_are_one_cell(groups):
    """To rounding: XLA compiles two programs, and puts products and sums of them together differently."""
    power = noisy_power(6, LANES // groups, 6.0)
    start = beginning(tuple(np.repeat(LLI[::groups], groups)), tuple(np.repeat(SOC[::groups], groups)))
    alone, packs = (follow(power, start, series, Limits()) for series in (None, Series.equal(groups)))
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(packs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14 * np.abs(other).max())


def test_packs_of_one_group_need_no_words():
    assert in_series(None) is in_series(Series((1.0,))) is None
    assert in_series(SERIES) is SERIES


def test_the_weak_group_stops_the_pack_while_the_strong_one_has_charge():
    """Of two groups, one of 14 % less lithium and at 0.2 of less charge, long asked for 0.5C."""
    lli, soc = (0.30, 0.15) * 8, (0.4, 0.6) * 8
    start, limits = beginning(lli, soc), Limits()
    course = follow(np.full((8, 8), 0.5 * fitted_cell().nameplate_energy), start, Series.equal(2), limits)
    left = by_pack(course.trace.state_of_charge, 2)[-1]
    np.testing.assert_allclose(left[:, 0], limits.soc_min, atol=5e-4)
    assert (left[:, 1] > 0.3).all()
    np.testing.assert_allclose(course.trace.current[-1], 0.0, atol=1e-3)
    t = course.totals
    given = by_pack(t.delivered, 2).mean(axis=-1)
    np.testing.assert_allclose(given + by_pack(t.unserved, 2)[..., 0], by_pack(t.demanded, 2)[..., 0], rtol=1e-12)
    np.testing.assert_array_equal(by_pack(t.unserved, 2)[..., 0], by_pack(t.unserved, 2)[..., 1])
    # Alone, the strong group would have gone on.
    alone = follow(np.full((8, 16), 0.5 * fitted_cell().nameplate_energy), start, None, limits)
    assert (by_pack(alone.trace.current, 2)[2, :, 1] > by_pack(course.trace.current, 2)[2, :, 1] + 0.1).all()


@pytest.mark.parametrize(("soc", "sign"), [(0.97, -1.0), (0.005, 1.0)])
def test_the_voltage_limit_is_that_of_the_group_that_meets_it_first(soc, sign):
    cell = fitted_cell()
    _, inputs, _, y = beginning(soc=(0.5, 0.5, 0.5, soc) * PACKS)
    here = {**inputs, AMBIENT: jnp.full((1, LANES), 298.15)}
    asked = Setting.of(Held.POWER, jnp.full((1, LANES), sign * 150.0))
    free = Bounds(jnp.full((1, LANES), -100.0), jnp.full((1, LANES), 100.0))
    before = Delivery(jnp.zeros((1, LANES)), jnp.full((1, LANES), 3.7), y[cell.differential :])
    found = hold(cell, y, here, asked, first_guess(asked, before, before.voltage, SERIES), 12, free, SERIES)
    volts = by_pack(cell.voltage(y, {**here, CURRENT: found.current}))[0]
    limit = cell.voltage_limits[1 if sign < 0 else 0]
    np.testing.assert_allclose(volts[:, 3], limit, atol=1e-6)
    assert (sign * (volts[:, :3] - limit) > 0.1).all()
    assert (sign * np.asarray(found.current) > 0.0).all()


def test_a_tester_holds_the_power_of_a_pack_and_says_where_there_is_none():
    cell = fitted_cell()
    _, inputs, _, y = beginning()
    here = {**inputs, AMBIENT: jnp.full((1, LANES), 298.15)}
    watts = jnp.asarray(np.repeat([5.0, -5.0, 20.0, 1e5], GROUPS)[None])
    asked = Setting.of(Held.POWER, watts)
    before = Delivery(jnp.zeros((1, LANES)), jnp.full((1, LANES), 3.7), y[cell.differential :])
    found = hold(cell, y, here, asked, first_guess(asked, before, before.voltage, SERIES), 12, series=SERIES)
    np.testing.assert_allclose(by_pack(found.power)[0, :3] @ SERIES.weight, [5.0, -5.0, 20.0], rtol=1e-9)
    np.testing.assert_array_equal(np.isnan(by_pack(found.current))[0, :, 0], [False, False, False, True])


def test_currents_are_those_of_the_hottest_group():
    """At 43 degC charging is derated to 0.4, at 25 degC it is not."""
    cell, limits = fitted_cell(), Limits()
    y = beginning()[3]
    warm = y.at[cell.rows["temperature"], 2].set(cell.scaled(jnp.full((1, 1), 316.15), "temperature")[0])
    free = Bounds(jnp.full((1, LANES), -50.0), jnp.full((1, LANES), 50.0))
    low, high = (by_pack(each)[0] for each in current_bounds(cell, limits, warm, {}, free, SERIES))
    whole = limits.charge_c_rate * cell.nominal_capacity
    np.testing.assert_allclose(low, -whole * np.array([[0.4], [1.0], [1.0], [1.0]]).repeat(GROUPS, 1), rtol=1e-9)
    np.testing.assert_allclose(high, limits.discharge_c_rate * cell.nominal_capacity, rtol=1e-12)


def test_a_sick_group_takes_its_pack_along_and_no_other():
    """Others of its tile share its time steps, so they may differ by a share of the tolerance of 0.02."""
    _, inputs, window, y = beginning()
    power = noisy_power(2, PACKS, 3.0)
    sound = follow(power, (None, inputs, window, y), SERIES)
    broken = follow(power, (None, inputs, window, y.at[:, 5].set(jnp.nan)), SERIES)
    failed = by_pack(~np.isfinite(np.asarray(broken.end)).all(axis=0))
    np.testing.assert_array_equal(failed, np.arange(PACKS)[:, None].repeat(GROUPS, 1) == 1)
    others = ~failed.ravel()
    np.testing.assert_allclose(
        np.asarray(broken.end)[:, others], np.asarray(sound.end)[:, others], rtol=1e-3, atol=1e-4
    )


def test_lithium_is_conserved_in_each_group():
    slow, _, _, y = beginning()
    end = follow(noisy_power(8, PACKS, 6.0), beginning(), SERIES, Limits()).end
    cell = fitted_cell()
    np.testing.assert_allclose(np.asarray(total_lithium(cell, end)), np.asarray(total_lithium(cell, y)), rtol=1e-12)
    lost = np.asarray(restrict(cell, end, slow.inventory).sei - slow.sei)
    assert (lost > 0.0).all()
