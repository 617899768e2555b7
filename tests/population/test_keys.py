import numpy as np
import pytest
from scipy.stats import kstest

from fadecast.population.keys import draw_uniforms, pack_normals, pack_uniforms


def test_numbers_of_a_draw_and_pack_do_not_depend_on_how_many_are_asked_for():
    few = pack_uniforms(7, "soh", 2, 3, 2)
    many = pack_uniforms(7, "soh", 9, 11, 2)
    np.testing.assert_array_equal(many[:2, :3], few)
    np.testing.assert_array_equal(draw_uniforms(7, "soh", 9)[:2], draw_uniforms(7, "soh", 2))


def test_streams_of_seeds_quantities_draws_and_levels_differ():
    streams = [
        pack_uniforms(7, "soh", 2, 4)[0, :, 0],
        pack_uniforms(7, "soh", 2, 4)[1, :, 0],
        pack_uniforms(8, "soh", 2, 4)[0, :, 0],
        pack_uniforms(7, "resistance", 2, 4)[0, :, 0],
        draw_uniforms(7, "soh", 4)[:, 0],
        draw_uniforms(7, "resistance", 4)[:, 0],
    ]
    assert len({stream[0] for stream in streams}) == len(streams)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_packs_are_uniform_within_and_between_draws(seed):
    sample = pack_uniforms(seed, "soh", 50, 100)[..., 0]
    assert kstest(sample.ravel(), "uniform").pvalue > 1e-3
    assert kstest(sample[:, 0], "uniform").pvalue > 1e-3


def test_normals_are_standard():
    sample = pack_normals(3, "modes", 20, 500, 2).ravel()
    assert kstest(sample, "norm").pvalue > 1e-3
