"""Typical days against their year: distances, depths of cycles, and more days that stand for it better."""

import numpy as np
import pytest

from fadecast.decades.representation import cycles, representation
from fadecast.decades.typical_days import TypicalDays, YearOfDuty, choose_typical_days

from .test_typical_days import year


def of_days(duty: YearOfDuty, day, weight) -> TypicalDays:
    day, weight = np.array(day), np.array(weight, float)
    return TypicalDays(day, weight, duty.power[day], duty.ambient[day], duty.state_of_charge[day, 0], 0, {})


def test_a_year_that_stands_for_itself_is_at_no_distance():
    duty = year(days=30)
    found = representation(duty, of_days(duty, range(30), np.full(30, 1 / 30)))
    assert max(found.distance.values()) < 1e-12


def test_the_distance_of_a_shift_is_the_shift():
    duty = year(days=2)
    ambient = np.stack([np.full(24, 10.0), np.full(24, 14.0)])
    duty = YearOfDuty(duty.power, ambient, duty.state_of_charge)
    assert representation(duty, of_days(duty, [1], [1.0])).distance["temperature"] == pytest.approx(2.0)
    assert representation(duty, of_days(duty, [0, 1], [0.25, 0.75])).distance["temperature"] == pytest.approx(1.0)


def test_cycles_have_their_depth_and_half_ones_count_half():
    """Two full cycles of 0.5 that carry a wobble of 0.1, from 0.2 and back."""
    course = np.array([0.2, 0.7, 0.6, 0.7, 0.2, 0.7, 0.2])
    depth, charge, end = cycles(course)
    by_depth = {round(d, 9): float(charge[np.isclose(depth, d)].sum() / d) for d in depth}
    assert by_depth == pytest.approx({0.1: 1.0, 0.5: 2.0})
    assert charge.sum() == pytest.approx(0.5 * np.abs(np.diff(course)).sum())
    assert end.max() == len(course) - 1


def test_a_flat_course_has_one_cycle_of_no_depth():
    duty = year(days=3)
    still = YearOfDuty(0.0 * duty.power, duty.ambient, 0.0 * duty.power + 0.5)
    assert [part.tolist() for part in cycles(np.full(9, 0.5))] == [[0.0], [0.0], [8]]
    assert representation(still, of_days(still, [0], [1.0])).year["depth"].mean == 0.0


def test_more_typical_days_stand_for_the_year_better():
    duty = year(days=200, seed=2)
    few, many = (representation(duty, choose_typical_days(duty, count, 4)).distance for count in (3, 60))
    for name in ("power", "state_of_charge", "temperature", "depth"):
        assert many[name] < 0.5 * few[name], name
