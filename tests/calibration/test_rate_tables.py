import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.calibration.laws import Unknown
from fadecast.calibration.rate_tables import (
    QUANTITIES,
    Place,
    _chebyshev,
    chosen,
    tabulate,
    tabulated,
    unresolved,
)

ONE, OTHER = Unknown("one", 2.0, 1.0, (-2.0, 1.0), 7), Unknown("other", 5.0, 1.0, (-1.0, 2.0), 6)
PLACE = Place(np.array([0.0, 25.0, 45.0]), np.array([0.1, 0.5, 0.9]))
DAYS = np.array([[10.0, 40.0], [20.0, 40.0], [30.0, 90.0]])


def formula(one, other, temperature, days):
    """Growth with the root of time, and some that is proportional to it, faster where it is warm."""
    return 1e-3 * np.sqrt(one * days) * (1.0 + 0.02 * temperature) + 1e-5 * other**1.5 * days


def engine(cell, inputs, place, steps, times, tolerance):
    one, other = (np.asarray(inputs[name])[0] for name in ("one", "other"))
    found = formula(one, other, place.temperature, times[:, None])
    return np.stack([found] * len(QUANTITIES))


def table(run=engine, where=(0, 1, 2)):
    return tabulate(None, (ONE, OTHER), PLACE, (), DAYS, np.array(where), 1e-3, run)


def test_a_table_gives_what_the_engine_gives_between_its_points():
    rng = np.random.default_rng(0)
    for _ in range(20):
        logs = np.stack([rng.uniform(*unknown.reach, 3) for unknown in (ONE, OTHER)], axis=1)
        found = np.asarray(tabulated(table(), jnp.asarray(logs)))[:, 0]
        ones, others = (unknown.centre * np.exp(logs[:, n]) for n, unknown in enumerate((ONE, OTHER)))
        true = formula(ones[:, None], others[:, None], PLACE.temperature[:, None], DAYS)
        np.testing.assert_allclose(found, true, rtol=3e-3)


def test_more_points_come_closer():
    """Chebyshev interpolation of a smooth function converges geometrically."""
    logs, errors = jnp.zeros((3, 2)) + 0.37, []
    true = formula(2.0 * np.exp(0.37), 5.0 * np.exp(0.37), PLACE.temperature[:, None], DAYS)
    for points in (3, 5, 7):
        unknowns = tuple(Unknown(u.parameter, u.centre, 1.0, u.reach, points) for u in (ONE, OTHER))
        made = tabulate(None, unknowns, PLACE, (), DAYS, np.arange(3), 1e-3, engine)
        errors.append(np.abs(np.asarray(tabulated(made, logs))[:, 0] / true - 1.0).max())
    assert errors[2] < 0.2 * errors[1] < 0.04 * errors[0]


@pytest.mark.parametrize("points", [3, 4, 5])
def test_a_table_is_off_by_no_more_than_it_says_and_not_by_far_less(points):
    rng = np.random.default_rng(1)
    unknowns = tuple(Unknown(u.parameter, u.centre, 1.0, u.reach, points) for u in (ONE, OTHER))
    made = tabulate(None, unknowns, PLACE, (), DAYS, np.arange(3), 1e-3, engine)
    off = []
    for _ in range(200):
        # As Chebyshev weights have it: closer together near the ends of the reach.
        unit = np.cos(np.pi * rng.uniform(size=(3, 2)))
        low, high = np.asarray(made.low), np.asarray(made.high)
        logs = low + 0.5 * (high - low) * (1.0 + unit)
        ones, others = (u.centre * np.exp(logs[:, n]) for n, u in enumerate(unknowns))
        true = formula(ones[:, None], others[:, None], PLACE.temperature[:, None], DAYS)
        off.append(np.log(np.asarray(tabulated(made, jnp.asarray(logs)))[:, 0] / true))
    middle = np.asarray(tabulated(made, jnp.tile(0.5 * (made.low + made.high), (3, 1))))[:, 0]
    error = middle * np.sqrt(np.mean(np.square(off), axis=0))
    said = unresolved(made)[:, 0]
    assert (error < said).all()
    assert (error > 0.02 * said).all()


def test_cells_of_one_condition_share_its_lanes():
    lanes = []

    def counted(cell, inputs, place, steps, times, tolerance):
        lanes.append(len(place.temperature))
        return engine(cell, inputs, place, steps, times, tolerance)

    found = tabulated(table(counted, where=(1, 1, 2)), jnp.zeros((3, 2)))
    assert lanes == [3 * 7 * 6]
    assert found[0, 0, 1] == pytest.approx(float(found[1, 0, 1]), rel=1e-12)


def test_beyond_the_reach_a_table_stands_still_and_has_derivatives_within():
    made = table()
    there, beyond = (tabulated(made, jnp.full((3, 2), at)) for at in (np.array([1.0, 2.0]), np.array([4.0, 9.0])))
    np.testing.assert_allclose(there, beyond, rtol=1e-4)
    slope = jax.grad(lambda logs: tabulated(made, logs).sum())(jnp.zeros((3, 2)))
    assert (np.asarray(slope) > 0.0).all()


def test_lanes_that_break_are_taken_as_lost():
    def broken(*given):
        return np.full_like(engine(*given), np.nan)

    np.testing.assert_allclose(tabulated(table(broken), jnp.zeros((3, 2))), 0.8, rtol=1e-6)


def test_between_times_of_a_grid_losses_are_read_as_powers_of_time():
    """Exact for a loss that goes with the root of time, wherever the check-ups are."""

    def root(cell, inputs, place, steps, times, tolerance):
        return np.stack([1e-3 * np.sqrt(np.asarray(inputs["one"])[0] * times[:, None])] * len(QUANTITIES))

    made = tabulate(None, (ONE,), PLACE, (), DAYS + 0.3, np.arange(3), 1e-3, root, every=7.0)
    logs = jnp.full((3, 1), 0.4)
    np.testing.assert_allclose(
        np.asarray(tabulated(made, logs))[:, 0], 1e-3 * np.sqrt(2.0 * np.exp(0.4) * (DAYS + 0.3)), rtol=1e-6
    )


def test_polynomials_are_those_of_chebyshev_with_their_slopes():
    at = np.linspace(-1.0, 1.0, 21)
    found, slopes = jax.jvp(lambda x: _chebyshev(x, 7), (jnp.asarray(at),), (jnp.ones(21),))
    np.testing.assert_allclose(found, np.polynomial.chebyshev.chebvander(at, 6), atol=1e-14)
    each = [np.polynomial.chebyshev.Chebyshev.basis(n).deriv()(at) for n in range(7)]
    np.testing.assert_allclose(slopes, np.stack(each, axis=1), atol=1e-12)


def test_losses_that_are_chosen_are_read_as_in_the_whole_table():
    whole, logs = table(), jnp.full((3, 2), 0.4)
    quantity, time = np.array([[0, 2], [1, 1], [2, 0]]), np.array([[1, 0], [0, 1], [1, 1]])
    read = np.asarray(tabulated(whole, logs))
    np.testing.assert_allclose(
        tabulated(chosen(whole, quantity, time), logs), read[np.arange(3)[:, None], quantity, time], rtol=1e-12
    )
