"""Where and in what precision a run is made: sharded over devices, in single precision, without calls to the host."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import lift, total_lithium
from fadecast.cell.health import stoichiometry_at
from fadecast.cell.profile import Course, Profile, Stepping, run_profile

from .cells import aged, electrode_window, fitted_cell, inputs_of, noisy_power
from .test_stepper import WATCHED, WIDE

LANES, TILE, STEPS = 64, 16, 120

STEPPING = Stepping(nodes=3, tolerance=None)


def problem(dtype=float):
    """Cells of many ages and their two hours of one-minute load at up to 1C, in some precision."""
    cell = fitted_cell()
    losses = np.linspace(0.02, 0.3, LANES)
    slow, inputs = aged(cell, list(losses), list(0.6 * losses)), inputs_of(cell, LANES)
    window = electrode_window(cell, slow, inputs)
    ambient = np.broadcast_to(np.linspace(278.15, 313.15, LANES), (STEPS, LANES))
    profile = Profile(jnp.asarray(noisy_power(STEPS, LANES, 5.0, seed=6)), jnp.asarray(ambient))
    start = lift(cell, slow, stoichiometry_at(window, jnp.full((1, LANES), 0.5)), jnp.asarray(ambient[:1]))
    return jax.tree.map(lambda part: part.astype(dtype), (start, inputs, window, profile))


def tile(y, inputs, window, profile) -> Course:
    return run_profile(fitted_cell(), WIDE, STEPPING, 60.0, y, inputs, window, profile)


def on_devices(count: int) -> list[Course]:
    """Run the tiles dealt out to some devices, each by the one program of a tile."""
    devices, run = jax.devices()[:count], jax.jit(tile)
    parts = [jax.tree.map(lambda part, n=n: part[..., n : n + TILE], problem()) for n in range(0, 3 * TILE, TILE)]
    placed = [jax.device_put(part, devices[n % count]) for n, part in enumerate(parts)]
    courses = [run(*part) for part in placed]
    assert {course.end.device for course in courses} == set(devices)
    return courses


def compare_devices() -> None:
    """Run three tiles on one device and on two: called in a process that has them."""
    one, two = (jax.tree.map(np.asarray, on_devices(count)) for count in (1, 2))
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert left.tobytes() == right.tobytes()
    print("equal")


def test_lanes_on_one_and_on_two_devices_are_bit_equal():
    command = "from tests.cell.test_devices import compare_devices; compare_devices()"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert done.stdout.strip().endswith("equal"), done.stderr[-2000:]


def test_nodes_in_single_precision_age_a_cell_alike():
    """Two hours: each change of an ageing state within 3e-4 of double precision, lithium conserved as in it."""
    start, *rest = problem()
    cell, ends = fitted_cell(), []
    for precision in ("double", "single"):
        stepping = dataclasses.replace(STEPPING, precision=precision)
        run = jax.jit(lambda *a, s=stepping: run_profile(cell, WIDE, s, 60.0, *a).end)
        ends.append(np.asarray(run(start, *rest)))
    double, single = ends
    assert single.dtype == np.float64
    for name in WATCHED:
        rows = cell.rows[name]
        change = np.abs(double[rows] - np.asarray(start)[rows])
        assert (np.abs(single[rows] - double[rows]) <= 3e-4 * change).all(), name
    lithium = [np.asarray(total_lithium(cell, jnp.asarray(y))) for y in (start, single)]
    np.testing.assert_allclose(lithium[1], lithium[0], rtol=1e-13)


def test_single_precision_throughout_and_how_far_off():
    """Two hours: voltage within 10 uV rms, temperature 1 mK, concentrations 0.2 mol.m-3; slow states lose digits."""
    courses = {}
    for dtype in (jnp.float64, jnp.float32):
        courses[dtype] = jax.jit(tile)(*problem(dtype))
        leaks = {str(leaf.dtype) for leaf in jax.tree.leaves(courses[dtype])}
        assert leaks == {jnp.dtype(dtype).name}
    double, single = (jax.tree.map(lambda part: np.asarray(part, float), course) for course in courses.values())
    cell = fitted_cell()
    assert np.sqrt(np.mean((double.trace.voltage - single.trace.voltage) ** 2)) < 1e-5
    for name, bound in (("temperature", 1e-3), ("concentration_ne", 0.2), ("concentration_pe", 0.2)):
        error = cell.physical(single.end, name) - cell.physical(double.end, name)
        assert np.abs(error).max() < bound, name
    share = {}
    for name in WATCHED:
        rows = cell.rows[name]
        share[name] = np.median(np.abs(single.end - double.end)[rows] / np.abs(double.end - double.start)[rows])
    assert share["plated"] < 1e-5
    # What one step adds to these is near the rounding of what is there: single precision is not for ageing.
    assert 1e-3 < share["sei"] < 0.1
    assert share["dead"] > 0.5


def test_the_program_calls_nothing_on_the_host():
    text = jax.jit(tile).lower(*problem()).as_text()
    assert "while" in text
    assert "callback" not in text
    assert "infeed" not in text
