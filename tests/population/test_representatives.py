"""A few packs that stand for all: which they are, how often each is chosen, and what their means are worth."""

import numpy as np
import pytest

from fadecast.population import Groups, Population, make_population
from fadecast.population.representatives import choose_representatives

from .test_population import SEI, capacity_of

ALL = np.random.default_rng(5).uniform(0.6, 0.8, size=(2000, 23))


def made(**settings):
    return make_population(Population(rate_posterior=None, rates=(SEI,), **settings), 4, 30, 11, capacity_of, sites=2)


def test_each_pack_is_chosen_with_the_same_probability_and_once_at_most():
    chosen = choose_representatives(1, ALL, 1, 5)
    assert (np.diff(chosen, axis=1) > 0).all()
    counts = np.bincount(chosen.ravel(), minlength=23)
    expected = 2000 * 5 / 23
    # A binomial count of 2000; 4.5 standard deviations.
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected * (1 - 5 / 23))


def test_means_are_unbiased_and_nearer_than_those_of_packs_at_random():
    chosen = choose_representatives(1, ALL, 1, 5)
    off = np.take_along_axis(ALL, chosen, axis=1).mean(axis=1) - ALL.mean(axis=1)
    at_random = ALL[:, :5].mean(axis=1) - ALL.mean(axis=1)
    assert abs(off.mean()) < 4.0 * off.std() / np.sqrt(len(off))
    assert off.std() < 0.4 * at_random.std()


def test_all_packs_are_their_own_representatives():
    np.testing.assert_array_equal(choose_representatives(1, ALL[:3, :8], 2, 4), np.tile(np.arange(8), (3, 1)))


def test_those_of_a_draw_do_not_depend_on_how_many_there_are():
    np.testing.assert_array_equal(choose_representatives(1, ALL[:2], 1, 5), choose_representatives(1, ALL, 1, 5)[:2])


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="5 representatives of 4 packs of a site"):
        choose_representatives(1, ALL[:, :8], 2, 5)


@pytest.mark.parametrize("groups", [Groups(), Groups(n_series=4), Groups(n_series=4, sorting="capacity", weakest=1)])
def test_they_are_packs_of_the_whole_study(groups):
    whole, few = made(groups=groups), made(groups=groups, representatives=5)
    assert float(whole["pack_weight"]) == 1.0
    assert float(few["pack_weight"]) == 3.0
    assert few.sizes["pack"] == 10
    # As many of each site.
    assert (np.sum(few["pack_number"].values < 15, axis=1) == 5).all()
    assert (np.diff(few["pack_number"].values, axis=1) > 0).all()
    for name in set(whole.data_vars) - {"pack_number", "pack_weight", "group_weight", "balancing"}:
        same = whole[name].isel(pack=few["pack_number"].drop_vars("pack"), draw=few["draw"].drop_vars("draw"))
        if whole[name].dtype.kind == "f":
            np.testing.assert_allclose(few[name].values, same.transpose(*few[name].dims).values, rtol=1e-12)
        else:
            np.testing.assert_array_equal(few[name], same)
