"""Typical days: they are real days, the extremes are kept, and their weights reproduce the year."""

import numpy as np
import pytest

from fadecast.decades.typical_days import YearOfDuty, choose_typical_days


def year(days: int = 120, steps: int = 24, seed: int = 0) -> YearOfDuty:
    rng = np.random.default_rng(seed)
    hour = np.arange(steps) * 24 / steps
    season = np.sin(2 * np.pi * np.arange(days) / days)[:, None]
    ambient = 12 + 10 * season + 6 * np.sin((hour - 9) / 12 * np.pi) + rng.normal(0, 2, (days, 1))
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * rng.uniform(0.3, 1.0, (days, 1))
    power = 0.06 - 0.2 * sun + 0.01 * rng.normal(size=(days, steps))
    charge, level = np.empty_like(power), 0.5
    for step, demand in enumerate(power.ravel()):
        charge.flat[step] = level
        level = np.clip(level - demand * 24 / steps / 0.75, 0.05, 0.95)
    return YearOfDuty(power, ambient, charge)


def test_weights_reproduce_throughput_arrhenius_factor_and_charge():
    typical = choose_typical_days(year(), 8, 4)
    assert typical.weight.sum() == pytest.approx(1.0)
    assert (typical.weight > 0).all()
    assert max(abs(error) for error in typical.error.values()) < 1e-5


def test_days_are_real_and_begin_with_the_evening_before():
    duty = year()
    typical = choose_typical_days(duty, 6, 4)
    for position, day in enumerate(typical.day):
        np.testing.assert_array_equal(typical.power[position, 4:], duty.power[day])
        np.testing.assert_array_equal(typical.power[position, :4], duty.power[day - 1, -4:])
        assert typical.state_of_charge[position] == duty.state_of_charge[day - 1, -4]


def test_the_hottest_day_and_the_emptiest_store_are_kept():
    duty = year(seed=3)
    typical = choose_typical_days(duty, 5, 4)
    factor = np.exp(-38000 / 8.314462618 * (1 / (duty.ambient + 273.15) - 1 / 298.15)).mean(axis=1)
    assert factor.argmax() in typical.day
    assert duty.state_of_charge.mean(axis=1).argmin() in typical.day


def test_more_typical_days_than_days_is_refused():
    with pytest.raises(ValueError, match="ask for fewer"):
        choose_typical_days(year(days=6), 5, 4)


def test_days_that_are_alike_but_for_noise_are_stood_for_by_ordinary_ones():
    """The medoid of such days is the quietest of them, and no weights make up for that."""
    rng = np.random.default_rng(5)
    power = 0.05 * rng.normal(size=(200, 48)) * rng.uniform(0.7, 1.3, (200, 1))
    charge = 0.5 + 0.01 * np.cumsum(rng.normal(size=(200, 48)), axis=1)
    typical = choose_typical_days(YearOfDuty(power, np.full_like(power, 20.0), charge), 8, 4)
    assert abs(typical.error["throughput"]) < 1e-3
    squares = (power**2).mean(axis=1)
    assert typical.weight @ squares[typical.day] == pytest.approx(squares.mean(), rel=0.05)
