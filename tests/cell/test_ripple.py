"""Swings inside a load step: at a surface, as points, and in the ageing that is averaged over these."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from fadecast.cell.balance import FARADAY
from fadecast.cell.control import Limits
from fadecast.cell.model import AMBIENT, CURRENT, CellModel, Chemistry, build_cell, parameter_values
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.ripple import _surface, particles, surface_response, three_points, unresolved
from fadecast.duty.services import Regulation, regulation_power

from .cells import WIDE, aged, electrode_window, fitted_cell, inputs_of, lift_at

STRESS = ("crack_length", "active_fraction_ne", "active_fraction_pe")
CELSIUS = (10.0, 25.0, 40.0)
USUAL, FINE = Stepping(), Stepping(nodes=8, samples=16, tolerance=0.001)


def blocks(cell: CellModel):
    return dict(zip(("ne", "pe"), diffusion_modes(cell), strict=True))


@pytest.mark.parametrize("side", ["ne", "pe"])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_a_surface_responds_as_the_particle_followed_by_matrix_exponentials(side, ratio):
    cell = fitted_cell()
    block, phase = blocks(cell)[side], cell.phases[side]
    # One row more carries the flux: the exponential of the whole is then exact for a constant current.
    rows = len(block.nodes)
    operator = np.zeros((rows + 1, rows + 1))
    operator[:rows, :rows] = -ratio * block.nodes @ (block.decay * block.modes)
    operator[rows - 1, rows] = 1.0 / (FARADAY * phase.volume * phase.active_fraction * block.weights[-1, 0])
    amperes = np.random.default_rng(0).normal(0.0, 2.0, 30)
    times, profile, truth = np.array([0.1, 0.5, 1.0]), np.zeros(rows), []
    for current in amperes:
        at = [(expm(60.0 * t * operator) @ np.append(profile, current))[:rows] for t in times]
        truth.append([1.5 * c[-1] - 0.5 * c[-2] - block.weights[:, 0] @ c for c in at])
        profile = at[-1]
    particle = dict(zip(("ne", "pe"), particles(cell), strict=True))[side]
    found = surface_response(particle, ratio, amperes, 60.0, times)
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-9 * np.abs(truth).max())


@pytest.mark.parametrize("stretch", [0.0, 1.0])
def test_surface_and_current_are_those_of_pybamm(stretch):
    """A current makes each particle's last row move as the response counts on; the surface is PyBaMM's."""
    names = {
        s: f"X-averaged {n} particle surface concentration [mol.m-3]"
        for s, n in zip(("ne", "pe"), ("negative", "positive"), strict=True)
    }
    # Plating takes some of a small current.
    chemistry = Chemistry(particle_stretch=stretch, lithium_plating="none")
    cell = build_cell(chemistry, outputs=tuple(names.values()))
    y = jnp.asarray(cell.initial_state)[:, None] * (1.0 + 0.01 * jnp.cos(jnp.arange(len(cell.initial_state)))[:, None])
    given = {AMBIENT: jnp.full((1, 1), 298.15)}
    by_current = jax.jacfwd(lambda current: cell.rhs(y, {**given, CURRENT: jnp.full((1, 1), current)})[:, 0])(0.0)
    values = cell.evaluate(y, {**given, CURRENT: jnp.zeros((1, 1))})
    for (side, block), sign in zip(blocks(cell).items(), (-1.0, 1.0), strict=True):
        phase, scale = cell.phases[side], cell.scale[block.rows]
        surface = _surface(block) @ np.asarray(cell.physical(y, f"concentration_{side}"))[-2:]
        np.testing.assert_allclose(surface, np.asarray(values[names[side]])[0], rtol=1e-9)
        change = np.asarray(by_current)[block.rows] * scale
        expected = sign / (FARADAY * phase.volume * phase.active_fraction * block.weights[-1, 0])
        active = np.asarray(cell.physical(y, f"active_fraction_{side}"))[0, 0] / phase.active_fraction
        np.testing.assert_allclose(change[-1], expected / active, rtol=1e-6)
        assert np.abs(change[:-1]).max() < 1e-9 * np.abs(change[-1])


@pytest.mark.parametrize(("side", "name"), [("ne", "Negative"), ("pe", "Positive")])
@pytest.mark.parametrize("minutes", [3.0, 20.0, 120.0])
def test_a_sine_has_the_amplitude_of_diffusion_into_a_sphere(side, name, minutes):
    """Within the error of 20 points: 1 %, of fast swings 5 %."""
    cell = fitted_cell()
    block, phase = blocks(cell)[side], cell.phases[side]
    period, steps = 60.0 * minutes, 180
    power = np.sin(2.0 * np.pi * (np.arange(12 * steps) + 0.5) / steps)
    swing = getattr(unresolved(cell, power, period / steps, steps), side)
    radius = parameter_values("OKane2022")[f"{name} particle radius [m]"]
    s, square = 2j * np.pi / period, radius**2 / block.reference_diffusivity
    p = np.sqrt(s * square)
    mean = 1.0 / (FARADAY * phase.volume * phase.active_fraction)
    response = mean * (square / 3.0 * np.tanh(p) / (p - np.tanh(p)) - 1.0 / s)
    amplitude = abs(response) * cell.nominal_capacity / cell.nameplate_energy
    assert swing.spread[-1] == pytest.approx(amplitude / np.sqrt(2.0), rel=0.05 if minutes < 10.0 else 0.01)
    assert abs(swing.mean[-1]) < 1e-6 * swing.spread[-1]
    slow = abs(p) < 2.0
    assert 0.45 < swing.exponent[-1] <= 1.0
    assert (swing.exponent[-1] > 0.9) or not slow


def test_what_is_left_of_swings_fades_without_a_steep_power():
    """Hours after the last swing next to nothing is left, at any diffusivity of a lane."""
    cell = fitted_cell()
    power = np.concatenate([np.random.default_rng(0).normal(0.0, 5.0, 60), np.zeros(540)])
    ripple = unresolved(cell, power, 60.0, 15)
    for swing in (ripple.ne, ripple.pe):
        assert ((swing.exponent >= 0.0) & (swing.exponent <= 2.0)).all()
        cold = (np.abs(swing.mean) + swing.spread) * 0.2**-swing.exponent
        assert cold[-1] < 1e-9 * cold.max()


def test_three_points_have_the_moments_and_are_gausss_of_a_normal_distribution():
    rng = np.random.default_rng(0)
    skewness = rng.uniform(-3.0, 3.0, (4, 5))
    kurtosis = 1.0 + skewness**2 + rng.uniform(0.0, 5.0, (4, 5))
    points = three_points(jnp.asarray(skewness), jnp.asarray(kurtosis))
    place, weight = np.asarray(points.place), np.asarray(points.weight)
    for power, moment in enumerate((1.0, 0.0, 1.0, skewness, kurtosis)):
        np.testing.assert_allclose((weight * place**power).sum(axis=0), np.broadcast_to(moment, (4, 5)), atol=1e-11)
    assert (weight > -1e-12).all()
    normal = three_points(jnp.zeros((1, 1)), jnp.full((1, 1), 3.0))
    np.testing.assert_allclose(np.asarray(normal.place).ravel(), [np.sqrt(3.0), 0.0, -np.sqrt(3.0)], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(normal.weight).ravel(), [1 / 6, 2 / 3, 1 / 6], rtol=1e-14)


@cache
def problem(lanes: int, dtype=float):
    """Cells of many ages, four hours of noise by the minute at a quarter of an hour, and what that loses."""
    cell = fitted_cell()
    losses = np.linspace(0.05, 0.3, lanes)
    slow = aged(cell, list(losses), list(0.5 * losses))
    power = 0.3 * cell.nameplate_energy * np.random.default_rng(4).standard_normal(240)
    ripple = jax.tree.map(lambda v: jnp.tile(jnp.asarray(v)[:, None], (1, lanes)), unresolved(cell, power, 60.0, 15))
    coarse = jnp.tile(jnp.asarray(power.reshape(-1, 15).mean(axis=1))[:, None], (1, lanes))
    profile = Profile(coarse, jnp.full(coarse.shape, 298.15), ripple)
    everything = lift_at(cell, slow, 0.5), electrode_window(cell, slow, inputs_of(cell, lanes)), profile
    return jax.tree.map(lambda part: part.astype(dtype), everything)


def run(y, window, profile, stepping=USUAL, limits=WIDE, load_step=900.0):
    cell = fitted_cell()
    lanes = inputs_of(cell, y.shape[1])
    return jax.jit(lambda *a: run_profile(cell, limits, stepping, load_step, a[0], lanes, a[1], a[2]))(
        y, window, profile
    )


def grown(start, end):
    cell = fitted_cell()
    return {name: np.asarray(end - start)[cell.rows[name]][0] for name in (*STRESS, "sei")}


def test_no_swings_change_nothing():
    y, window, profile = problem(16)
    none = jax.tree.map(lambda v: 0.0 * v, profile.ripple)._replace(kurtosis=jnp.full_like(profile.power, 3.0))
    without = run(y, window, profile._replace(ripple=None)).end
    np.testing.assert_allclose(run(y, window, profile._replace(ripple=none)).end, without, rtol=1e-12)
    some = grown(y, run(y, window, profile).end)
    assert all(
        (np.abs(some[name]) > 2.0 * np.abs(value)).all() for name, value in grown(y, without).items() if name in STRESS
    )


def test_lanes_do_not_depend_on_how_many_there_are():
    y, window, profile = problem(32)
    stepping = Stepping(tolerance=None)
    half = jax.tree.map(lambda part: part[..., 16:], (y, window, profile))
    np.testing.assert_array_equal(run(y, window, profile, stepping).end[:, 16:], run(*half, stepping).end)


def test_single_precision_agrees():
    y, window, profile = problem(16)
    double, single = (
        grown(y, run(y, window, profile, Stepping(tolerance=None, precision=p)).end) for p in ("double", "single")
    )
    for name in STRESS:
        np.testing.assert_allclose(single[name], double[name], rtol=1e-3)


@pytest.mark.slow
def test_both_modes_differentiate_ageing_under_swings():
    """Of the crack growth and both active fractions, by the size of all swings, the lithium and the load."""
    cell = fitted_cell()
    y, window, profile = problem(16)
    part = jax.tree.map(lambda v: v[:4], profile)

    def losses(swings, load):
        rippled = part._replace(power=load * part.power, ripple=part.ripple.delivered(jnp.full((1, 16), swings)))
        end = run_profile(cell, WIDE, Stepping(tolerance=None), 900.0, y, inputs_of(cell, 16), window, rippled).end
        return jnp.stack([jnp.sum((end - y)[cell.rows[name]]) for name in STRESS])

    at, step = (1.0, 1.0), 1e-4
    backward = jax.jit(jax.jacrev(losses, argnums=(0, 1)))(*at)
    forward = jax.jit(jax.jacfwd(losses, argnums=(0, 1)))(*at)
    function = jax.jit(losses)
    for k in range(2):
        np.testing.assert_allclose(backward[k], forward[k], rtol=1e-8)
        up, down = (function(*(1.0 + sign * step * (n == k) for n in range(2))) for sign in (1.0, -1.0))
        np.testing.assert_allclose((up - down) / (2.0 * step), forward[k], rtol=1e-4)
    assert (np.abs(np.asarray(forward[0])) > 0.0).all()


def test_what_is_not_delivered_does_not_swing():
    """An empty cell that is asked to discharge rests, whatever the swings of the demand."""
    cell = fitted_cell()
    y, window, profile = problem(16)
    asked = profile._replace(power=0.0 * profile.power + 0.1 * cell.nameplate_energy)
    full = Limits(soc_min=0.7)
    still, swung = (run(y, window, p, limits=full) for p in (asked._replace(ripple=None), asked))
    assert float(jnp.abs(still.totals.delivered).max()) == 0.0
    np.testing.assert_allclose(swung.end, still.end, rtol=1e-12)


def noise() -> np.ndarray:
    minutes = np.arange(1440)
    return 0.15 * np.sin(4.0 * np.pi * minutes / 1440) + 0.1 * np.random.default_rng(3).standard_normal(1440)


def regulation() -> np.ndarray:
    return regulation_power(np.random.default_rng(1), Regulation(), 1)[:1440] / 60.0


# Largest error over change of cracks and both losses of active material at 10, 25 and 40 degC: with the correction,
# and the least without.
BOUNDS = {
    (noise, 15): (0.06, 0.15),
    (noise, 60): (0.08, 0.20),
    (regulation, 15): (0.08, 0.6),
    (regulation, 60): (0.08, 0.9),
}


@pytest.mark.parametrize(("load", "minutes"), BOUNDS)
def test_quarters_of_an_hour_age_as_minutes_do(load, minutes):
    cell = fitted_cell()
    power = load() * cell.nameplate_energy
    slow = aged(cell, [0.12] * 3, [0.1] * 3)
    kelvin = jnp.asarray([CELSIUS]) + 273.15
    y = lift_at(cell, slow, 0.5).at[cell.rows["temperature"]].set(kelvin / cell.scale[cell.rows["temperature"]][0])
    np.testing.assert_allclose(cell.physical(y, "temperature"), kelvin)
    window = electrode_window(cell, slow, inputs_of(cell, 3))

    def ends(watts, length, ripple=None):
        columns = jax.tree.map(lambda v: jnp.tile(jnp.asarray(v)[:, None], (1, 3)), (watts, ripple))
        profile = Profile(columns[0], jnp.broadcast_to(kelvin, columns[0].shape), columns[1])
        return grown(y, run(y, window, profile, FINE, load_step=length).end)

    truth, coarse = ends(power, 60.0), power.reshape(-1, minutes).mean(axis=1)
    ripple = unresolved(cell, power, 60.0, minutes)
    plain, corrected = (ends(coarse, 60.0 * minutes, each) for each in (None, ripple))
    most, least = BOUNDS[load, minutes]
    for name in STRESS:
        with_, without = (np.abs(found[name] / truth[name] - 1.0) for found in (corrected, plain))
        assert with_.max() < most, (name, with_)
        assert without.min() > least, (name, without)
        assert (with_ < 0.3 * without).all()


def test_loads_and_cells_without_an_answer_are_refused():
    with pytest.raises(ValueError, match="not whole coarse steps of 15; cut it"):
        unresolved(fitted_cell(), np.zeros(100), 60.0, 15)
    composite = build_cell(
        Chemistry(
            parameter_set="Chen2020_composite",
            particle_phases=("2", "1"),
            open_circuit_potential=(("single", "single"), "single"),
            sei="none",
            lithium_plating="none",
            particle_mechanics="none",
            loss_of_active_material="none",
        )
    )
    with pytest.raises(ValueError, match="the ne electrode to be one active material"):
        unresolved(composite, np.zeros(30), 60.0, 15)
