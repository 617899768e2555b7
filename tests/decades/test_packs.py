"""Packs of groups in both modes: windows, drift and balancing, and what a pack is of its groups."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cell.cells import aged_state, check_up
from fadecast.cell.aged import Diagnosis, SlowState, held_lithium
from fadecast.cell.control import Limits, state_of_charge
from fadecast.cell.extremes import Extremes
from fadecast.cell.health import fresh_mid_stoichiometry
from fadecast.cell.model import Chemistry, build_cell
from fadecast.cell.profile import Stepping
from fadecast.cell.series import Series
from fadecast.decades.direct import direct
from fadecast.decades.leap import leap
from fadecast.decades.macro import Leap
from fadecast.decades.service import KELVIN, Operation
from fadecast.decades.typical_days import choose_typical_days
from fadecast.decades.whole import of_packs
from fadecast.decades.years import day_batch
from fadecast.outcome import Outcome
from fadecast.pack.groups import Imbalance, pack_capacity, relative
from fadecast.population.evidence import single_fits

from .test_typical_days import year

LANES, SPIN_UP, LIMITS = 4, 4, Limits()
SEI = "SEI solvent diffusivity [m2.s-1]"
PAIRS = Series.equal(2)
LEAKAGE = jnp.asarray([[0.0, 0.004, 0.002, 0.001]])


@pytest.fixture(scope="module")
def alone():
    chemistry = Chemistry(parameters={rate.name: rate.value for rate in single_fits() if rate.name != SEI})
    return Operation(build_cell(chemistry, (SEI,)), LIMITS, Stepping(), 3600.0)


@pytest.fixture(scope="module")
def paired(alone):
    return replace(alone, series=PAIRS)


def started(operation, lli=(0.10, 0.15, 0.20, 0.25)):
    lli = jnp.asarray([lli])
    diagnosis = Diagnosis(lli, 0.8 * lli, 0.8 * lli, jnp.full((1, LANES), 0.1), jnp.full((1, LANES), 2e-8))
    return aged_state(operation.cell, diagnosis, fresh_mid_stoichiometry(operation.cell))


def inputs() -> dict:
    return {SEI: jnp.full((1, LANES), next(rate.value for rate in single_fits() if rate.name == SEI))}


def batch(operation, duty, count=3):
    return day_batch([choose_typical_days(duty, count, SPIN_UP)] * LANES, operation.cell, count + 2)


def day_by_day(operation, slow, days, rates=None, imbalance=None):
    duty = year(days=60)
    power, ambient = (
        jnp.asarray(np.repeat(values[..., None], LANES, axis=-1))
        for values in (duty.power * operation.cell.nameplate_energy, duty.ambient + KELVIN)
    )
    charge = jnp.full((1, LANES), duty.state_of_charge[0, 0])
    times = np.array([0.0, days])
    return direct(operation, slow, rates or inputs(), charge, power, ambient, times, imbalance=imbalance)


def last(service) -> SlowState:
    return SlowState(*(jnp.asarray(value[-1]) for value in service.slow))


@pytest.mark.parametrize("mode", ["direct", pytest.param("leap", marks=pytest.mark.slow)])
def test_equal_groups_live_as_one_cell(alone, paired, mode):
    slow, days = started(alone, (0.1, 0.1, 0.2, 0.2)), batch(alone, year())
    one, two = (
        day_by_day(op, slow, 2.0)
        if mode == "direct"
        else leap(op, Leap(), slow, inputs(), days, SPIN_UP, np.array([0.0, 100.0]))
        for op in (alone, paired)
    )
    np.testing.assert_allclose(two.service.headroom, 0.0, atol=1e-12)
    assert one.service.headroom is None
    same = two.service._replace(headroom=None)
    for mine, theirs in zip(jax.tree.leaves(one.service), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(one.outcome, two.outcome)


def test_a_day_begins_with_all_groups_inside_their_limits_as_far_apart_as_they_are(paired):
    slow, apart = started(paired), jnp.asarray([[0.0, 0.3, 0.5, 0.0]])
    for charge in (0.0, 0.4, 1.0):
        ambient = jnp.full((1, LANES), 298.15)
        y, window = paired.begin_day(slow, inputs(), jnp.full((1, LANES), charge), ambient, apart)
        soc = state_of_charge(paired.cell, y, window)
        assert (np.asarray(soc) > LIMITS.soc_min - 1e-9).all()
        assert (np.asarray(soc) < LIMITS.soc_max + 1e-9).all()
        np.testing.assert_allclose(relative(PAIRS, (1.0 - soc) * window.capacity), apart, atol=1e-12)


def test_leakage_drives_groups_apart_and_balancing_keeps_them_together(paired):
    slow, days = started(paired), 12.0
    imbalance = Imbalance(jnp.zeros((1, LANES)), LEAKAGE)
    free, bled = (
        day_by_day(replace(paired, bleed=bleed), slow, days, imbalance=imbalance).service.headroom[-1, 0]
        for bleed in (0.0, 0.02)
    )
    np.testing.assert_allclose(free, days * np.array([0.0, 0.004, 0.001, 0.0]), atol=5e-4)
    assert np.abs(bled).max() < 1e-4
    assert np.abs(free[[1, 2]] - days * np.array([0.004, 0.001])).max() > 1e-6


@pytest.mark.slow
def test_leap_agrees_with_direct_in_how_far_groups_drift_apart(paired):
    """Sixty days: headrooms of a quarter of an ampere-hour within 1.5 %, packs within 6e-4 of 5 A.h."""
    slow, duty = started(paired), year(days=60)
    imbalance = Imbalance(jnp.asarray([[0.0, 0.0, 0.1, 0.0]]), LEAKAGE)
    days = batch(paired, duty, 10)
    for bleed in (0.0, 0.001):
        operation = replace(paired, bleed=bleed)
        leapt = leap(operation, Leap(), slow, inputs(), days, SPIN_UP, np.array([0.0, 60.0]), imbalance=imbalance)
        truth = day_by_day(operation, slow, 60.0, imbalance=imbalance)
        mine, theirs = (history.service.headroom[-1, 0] for history in (leapt, truth))
        np.testing.assert_allclose(mine, theirs, atol=3e-3)
        assert theirs.max() > 0.1
        packs = []
        for history in (leapt, truth):
            health = check_up(operation.cell, last(history.service), inputs())
            packs.append(pack_capacity(PAIRS, health.capacity, jnp.asarray(history.service.headroom[-1])))
        np.testing.assert_allclose(*packs, atol=3e-3)


def test_lithium_is_conserved_in_each_group_whatever_is_bled(paired):
    slow, operation = started(paired), replace(paired, bleed=0.02)
    history = day_by_day(operation, slow, 6.0, imbalance=Imbalance(jnp.full((1, LANES), 0.2) * LEAKAGE, LEAKAGE))
    assert (history.outcome == Outcome.COMPLETED).all()
    end = last(history.service)
    np.testing.assert_allclose(end.inventory, slow.inventory, rtol=1e-14)
    # A balancer takes charge, not lithium: what no longer cycles is that of groups that were not bled.
    still = last(day_by_day(paired, slow, 6.0).service)
    lost, usual = (held_lithium(operation.cell, each) - held_lithium(operation.cell, slow) for each in (end, still))
    np.testing.assert_allclose(lost, usual, rtol=0.05)


def test_a_group_that_fails_ends_its_pack(paired):
    slow = started(paired)
    sick = {SEI: inputs()[SEI].at[0, 1].set(jnp.nan)}
    for history in (
        leap(paired, Leap(), slow, sick, batch(paired, year()), SPIN_UP, np.array([0.0, 50.0])),
        day_by_day(paired, slow, 2.0, sick),
    ):
        assert history.outcome.tolist() == [Outcome.NOT_FINITE, Outcome.NOT_FINITE, 0, 0]
        assert np.isfinite(history.service.slow.sei[-1, 0, 2:]).all()


def test_a_pack_that_cannot_be_used_is_exhausted(paired):
    """Without balancing a group that leaks 0.15 A.h a day leaves less than 30 % of the nameplate within three weeks."""
    imbalance = Imbalance(jnp.zeros((1, LANES)), jnp.asarray([[0.0, 0.15, 0.0, 0.0]]))
    times = np.array([0.0, 40.0])
    history = leap(
        paired, Leap(), started(paired), inputs(), batch(paired, year()), SPIN_UP, times, imbalance=imbalance
    )
    assert history.outcome.tolist() == [Outcome.CAPACITY_EXHAUSTED, Outcome.CAPACITY_EXHAUSTED, 0, 0]
    capacity = float(check_up(paired.cell, started(paired), inputs()).capacity[0, 1])
    expected = (capacity - 0.3 * paired.cell.nominal_capacity) / 0.15
    np.testing.assert_allclose(history.last_good[:2], expected, rtol=0.03)


def test_packs_are_what_their_groups_make_of_them(paired):
    slow, series = started(paired), Series((0.25, 0.75))
    operation, times = replace(paired, series=series), np.array([0.0, 100.0])
    imbalance = Imbalance(jnp.zeros((1, LANES)), LEAKAGE)
    groups = leap(operation, Leap(), slow, inputs(), batch(paired, year()), SPIN_UP, times, imbalance=imbalance)
    rows = [check_up(paired.cell, SlowState(*row), inputs()) for row in zip(*groups.service.slow, strict=True)]
    health = type(rows[0])(*(jnp.concatenate(parts) for parts in zip(*rows, strict=True)))
    history, whole = of_packs(series, groups, health)
    assert history.service.headroom is None
    assert history.service.slow.sei.shape == (2, 1, 2)
    np.testing.assert_allclose(history.service.slow.sei, groups.service.slow.sei.reshape(2, 1, 2, 2) @ series.weight)
    of_group = Extremes(*(value.reshape(2, 2, 2) for value in groups.extremes))
    for name in ("temperature", "current", "fullest"):
        np.testing.assert_array_equal(getattr(history.extremes, name), getattr(of_group, name).max(axis=-1))
    np.testing.assert_array_equal(history.extremes.emptiest, of_group.emptiest.min(axis=-1))
    left = np.asarray(health.capacity) - groups.service.headroom[:, 0]
    np.testing.assert_allclose(whole.capacity, left.reshape(2, 2, 2).min(axis=-1))
    np.testing.assert_allclose(whole.resistance, np.asarray(health.resistance).reshape(2, 2, 2) @ series.weight)
    np.testing.assert_array_equal(history.outcome, [0, 0])
    with pytest.raises(ValueError, match="headroom"):
        of_packs(series, replace(groups, service=groups.service._replace(headroom=None)), health)
