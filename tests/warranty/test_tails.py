import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fadecast.warranty.tails import draws_needed, resolved, value_at_risk


@pytest.mark.parametrize(("level", "draws"), [(0.5, 40), (0.9, 200), (0.95, 400), (0.99, 2000), (0.995, 4000)])
def test_twenty_draws_beyond_resolve_a_level(level, draws):
    assert draws_needed(level) == draws
    for count, told in ((draws, True), (draws - 1, False)):
        assert resolved(np.array([level]), np.random.default_rng(0).random(count), np.ones(count)).item() is told


def test_draws_of_unlike_weight_tell_less_and_light_ones_tell_of_a_tail():
    # Of 1,000 draws the worst 40 count a tenth: they are 0.4 % of all.
    loss = np.arange(1000.0)
    weight = np.where(loss >= 960.0, 0.1, 960.0 * 1.0041 / 960.0)
    np.testing.assert_array_equal(resolved(np.array([0.97, 0.995]), loss, np.ones(1000)), [True, False])
    np.testing.assert_array_equal(resolved(np.array([0.97, 0.995, 0.999]), loss, weight), [True, True, False])
    # All but one of the worst count for next to nothing.
    weight[loss >= 960.0] = np.where(loss[loss >= 960.0] == 999.0, 1.0, 1e-3)
    assert not resolved(np.array([0.998]), loss, weight).any()


def test_quantile_and_tail_mean_by_hand():
    # Worst 20 % of 1..10 are 9 and 10; worst 25 % are 10, 9 and half of 8.
    loss = np.random.default_rng(0).permutation(np.arange(1.0, 11.0))
    quantile, tail = value_at_risk(loss, np.ones((1, 10)), np.array([0.80, 0.75]))
    np.testing.assert_allclose(quantile, [[8.0, 8.0]])
    np.testing.assert_allclose(tail, [[9.5, (10.0 + 9.0 + 0.5 * 8.0) / 2.5]])


def test_rounding_does_not_shift_the_rank():
    assert 0.55 * 100 > 55
    assert value_at_risk(np.arange(1.0, 101.0), np.ones((1, 100)), np.array([0.55]))[0].item() == 55.0


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99, 0.995])
def test_exponential_closed_form(level):
    n = 400_000
    loss = -np.log(1.0 - (np.arange(n) + 0.5) / n)
    quantile, tail = value_at_risk(loss, np.ones((1, n)), np.array([level]))
    assert quantile.item() == pytest.approx(-np.log(1.0 - level), rel=1e-4)
    assert tail.item() == pytest.approx(1.0 - np.log(1.0 - level), rel=1e-3)


@given(arrays(float, 30, elements=st.floats(0.0, 100.0)), arrays(int, 30, elements=st.integers(0, 4)))
def test_a_weight_is_a_repeated_draw(loss, counts):
    counts[0] += 1
    levels = np.array([0.1, 0.5, 0.9])
    repeated = np.repeat(loss, counts)
    expected = value_at_risk(repeated, np.ones((1, repeated.size)), levels)
    np.testing.assert_allclose(value_at_risk(loss, counts[None].astype(float), levels), expected, rtol=1e-9, atol=1e-9)


@given(arrays(float, 50, elements=st.floats(0.0, 100.0)))
def test_tail_mean_is_above_quantile_and_mean(loss):
    quantile, tail = value_at_risk(loss, np.ones((1, 50)), np.array([0.3, 0.9]))
    assert np.all(tail >= quantile)
    assert np.all(tail >= loss.mean() - 1e-9)
