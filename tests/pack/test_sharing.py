"""Shares of a site's power: they sum up, keep their bounds, and follow what a policy says."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.pack.sharing import Fleet, shares

POLICIES = ("equal", "health", "remaining_warranty")


def of(policy, capacity, running=None, at_start=4.0, **given):
    capacity = jnp.asarray(capacity)
    running = jnp.ones(capacity.shape, bool) if running is None else jnp.asarray(running)
    fleet = Fleet(sharing=policy, **given)
    return np.asarray(shares(fleet, capacity, jnp.full_like(capacity, at_start), running, len(capacity)))


def test_by_health_a_pack_carries_in_proportion_to_its_capacity():
    np.testing.assert_allclose(of("health", [3.0, 4.0, 5.0]), [0.75, 1.0, 1.25], rtol=1e-9)


def test_by_remaining_warranty_it_carries_in_proportion_to_what_it_has_above_the_guarantee():
    found = of("remaining_warranty", [3.6, 3.2], guaranteed_retention=0.7)
    np.testing.assert_allclose(found, [4 / 3, 2 / 3], rtol=1e-9)


def test_packs_that_stopped_carry_nothing_and_the_others_more():
    np.testing.assert_allclose(of("equal", [4.0, 4.0, 4.0, 4.0], [True, False, True, True]), [4 / 3, 0, 4 / 3, 4 / 3])


def test_packs_below_the_guarantee_carry_the_least_and_never_nothing():
    found = of("remaining_warranty", [2.0, 3.6, 3.6], largest_share=2.0)
    assert found[0] == pytest.approx(0.5)
    assert found[1] == found[2] == pytest.approx(1.25)


def test_where_all_are_below_it_they_carry_alike():
    np.testing.assert_allclose(of("remaining_warranty", [2.0, 2.5]), 1.0)


def test_where_none_runs_none_carries():
    np.testing.assert_array_equal(of("health", [4.0, 3.0], [False, False]), 0.0)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(POLICIES),
    st.lists(st.tuples(st.floats(0.0, 5.0), st.booleans()), min_size=1, max_size=20),
    st.floats(1.01, 50.0),
)
def test_shares_sum_to_the_packs_and_keep_their_bounds(policy, packs, largest):
    capacity, running = map(np.array, zip(*packs, strict=True))
    found = of(policy, capacity, running, largest_share=largest)
    assert (found[~running] == 0.0).all()
    if running.any():
        assert found.sum() == pytest.approx(len(packs), rel=1e-9)
        mean = len(packs) / running.sum()
        assert (found[running] <= largest * mean * (1 + 1e-6)).all()
        assert (found[running] >= mean / largest * (1 - 1e-6)).all()


def test_replacement_needs_packs_that_feel_each_other():
    with pytest.raises(ValueError, match="set sharing to equal"):
        Fleet(replace_below=0.6)
