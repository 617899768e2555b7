"""Radial meshes: PyBaMM's own, uniform or finer at the surface."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cell_coverage import Result, check
from fadecast.cell.model import build_cell
from fadecast.cell.profile import Profile, Stepping, run_profile

from .cells import WIDE, aged, electrode_window, fitted_chemistry, inputs_of, lift_at, noisy_power


def test_a_stretched_mesh_is_pybamms_and_keeps_lithium():
    given = {"particle_points": 8, "particle_stretch": 1.0}
    assert check(given) == Result("works", "27 + 0 states")


def losses(points: int, stretch: float) -> np.ndarray:
    """Crack growth and lost lithium of both electrodes over two hours of one-minute noise."""
    chemistry = dataclasses.replace(fitted_chemistry(), particle_points=points, particle_stretch=stretch)
    cell = build_cell(chemistry)
    slow, inputs = aged(cell, [0.15], [0.12]), inputs_of(cell, 1)
    start, window = lift_at(cell, slow, 0.5), electrode_window(cell, slow, inputs)
    profile = Profile(jnp.asarray(noisy_power(120, 1, 5.0, seed=4)), jnp.full((120, 1), 298.15))
    stepping = Stepping(nodes=6, samples=16, tolerance=None)
    end = jax.jit(lambda y: run_profile(cell, WIDE, stepping, 60.0, y, inputs, window, profile).end)(start)
    states = ("crack_length", "lam_lithium_ne", "lam_lithium_pe")
    return np.array([float((cell.physical(end, name) - cell.physical(start, name))[0, 0]) for name in states])


@pytest.mark.slow
def test_ten_stretched_points_are_closer_than_ten_uniform_ones_and_uniform_ones_converge_at_second_order():
    uniform = {points: losses(points, 0.0) for points in (10, 20, 40, 80)}
    order = np.log2((uniform[20] - uniform[40]) / (uniform[40] - uniform[80]))
    np.testing.assert_allclose(order, 2.0, atol=0.3)
    limit = (4.0 * uniform[80] - uniform[40]) / 3.0
    off = {stretch: np.abs(losses(10, stretch) / limit - 1.0) for stretch in (0.0, 1.0)}
    assert (off[1.0] < 0.4 * off[0.0]).all()
    assert off[1.0].max() < 0.03
