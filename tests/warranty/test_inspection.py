"""The numbers that all packs of a draw share."""

import numpy as np
import pytest

from fadecast.warranty.inspection import chances


@pytest.mark.parametrize("batches", [1, 4, 100])
def test_each_is_spread_evenly_over_draws_and_belongs_to_a_draw(batches):
    found = chances(3, range(64), batches)
    assert found.shape == (64, 2 + 2 * batches)
    for column in found.T:
        np.testing.assert_array_equal(np.sort(np.floor(64.0 * column)), np.arange(64))
    np.testing.assert_array_equal(chances(3, range(40, 53), batches), found[40:53])
    assert (chances(4, range(64), batches) != found).any(axis=0).all()


def test_pairs_of_them_hang_on_each_other_no_more_than_chance_would_have_it():
    seeds = np.stack([chances(seed, range(64), 2) for seed in range(200)])
    between = np.mean([np.corrcoef(points.T) for points in seeds], axis=0)
    assert np.abs(between - np.eye(6)).max() < 4.0 / np.sqrt(64 * 200)
