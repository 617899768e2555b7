"""SEI on cracks, which starts bare, and salt, whose diffusivity varies along the electrolyte, followed in time."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import Diagnosis, SlowState, aged_state, fresh_state, lift, restrict, total_lithium
from fadecast.cell.control import Window
from fadecast.cell.health import check_up, fresh_mid_stoichiometry
from fadecast.cell.model import AMBIENT, CURRENT, CellModel, Chemistry, build_cell
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.reference import reference_run

from .cells import WIDE, aged, equal_steps, fitted_chemistry, inputs_of, lift_at

CRACKS = {"sei_on_cracks": "true"}
SALT = {
    **CRACKS,
    "model": "SPMe",
    "sei_porosity_change": "true",
    "lithium_plating_porosity_change": "true",
    "electrolyte_points": 8,
}
CHEMISTRIES = {
    name: Chemistry(**given, parameters=fitted_chemistry().parameters)
    for name, given in {"cracks": CRACKS, "salt": SALT, "other law": {**CRACKS, "sei": "ec reaction limited"}}.items()
}
THICKNESS = "X-averaged negative SEI thickness [m]", "X-averaged negative SEI on cracks thickness [m]"
WATCHED = ("sei", "sei_cracks", "plated", "dead", "crack_length", "active_fraction_ne", "active_fraction_pe")
# Time steps give no accuracy to what ages less than this share of a cell in a second: 1 % a year.
SLOW = 0.01 / (365.0 * 86400.0)
WATTS = 18.0  # of 1C


@cache
def cell_of(name: str) -> CellModel:
    # The reference keeps no voltage limits.
    return replace(build_cell(CHEMISTRIES[name], outputs=THICKNESS), voltage_limits=(0.5, 7.0))


def start_of(cell: CellModel, kelvin: float) -> np.ndarray:
    """A fresh cell at part charge, its cracks bare."""
    y = cell.initial_state.copy()
    y[cell.rows["concentration_ne"]] *= 0.7
    y[cell.rows["concentration_pe"]] *= 1.27
    y[cell.rows["temperature"]] = kelvin / cell.scale[cell.rows["temperature"]]
    return y


def salt_of(cell: CellModel, y: jax.Array) -> np.ndarray:
    """Mean salt of each lane."""
    block = next(block for block in diffusion_modes(cell) if block.closed)
    return block.weights[:, 0] @ np.asarray(y)[block.rows]


@cache
def runner(name: str, stepping: Stepping):
    cell, one = cell_of(name), jnp.ones((1, 1))
    window = Window(0.02 * one, 0.95 * one, 5.0 * one)
    return jax.jit(
        lambda y, power, ambient: run_profile(
            cell, WIDE, stepping, 60.0, y, inputs_of(cell, 1), window, Profile(power, ambient)
        )
    )


def pairs_of_power(steps: int, c_rate: float) -> np.ndarray:
    """Load that jumps every minute, up to a C-rate, and returns what it took, shape `(steps, 1)` [W]."""
    drawn = np.random.default_rng(4).uniform(-WATTS * c_rate, WATTS * c_rate, ((steps + 1) // 2, 1))
    return np.stack([drawn, -drawn], axis=1).reshape(-1, 1)[:steps]


def errors_against_idaklu(
    chemistry: str, stepping: Stepping, c_rate: float, kelvin: float, steps: int
) -> dict[str, float]:
    """Errors of ageing over its change, of voltage [V rms] and salt [share of the fresh], and what is made of each."""
    cell = cell_of(chemistry)
    y, power = start_of(cell, kelvin), pairs_of_power(steps, c_rate)
    ambient = np.full((steps, 1), kelvin)
    truth = reference_run(CHEMISTRIES[chemistry], y, power[:, 0], ambient[:, 0], 60.0)
    before = jnp.asarray(y)[:, None]
    mine = runner(chemistry, stepping)(before, jnp.asarray(power), jnp.asarray(ambient))
    end, errors = np.asarray(mine.end)[:, 0], {}
    for name in WATCHED:
        rows = cell.rows[name]
        change = np.maximum(np.abs(truth.states[name][-1] - y[rows]), SLOW * 60.0 * steps * np.abs(y[rows]))
        errors[name] = float((np.abs(end[rows] - truth.states[name][-1]) / change).max())
    errors["voltage"] = float(np.sqrt(np.mean((np.asarray(mine.trace.voltage)[:, 0] - truth.voltage) ** 2)))
    errors["lithium made"] = abs(float((total_lithium(cell, mine.end) / total_lithium(cell, before))[0, 0]) - 1.0)
    if "electrolyte" in cell.rows:
        errors["salt"] = float(np.abs(end[cell.rows["electrolyte"]] - truth.states["electrolyte"][-1]).max())
        errors["salt made"] = abs(float((salt_of(cell, mine.end) / salt_of(cell, before))[0]) - 1.0)
    return errors


def test_sei_on_bare_cracks_agrees_with_idaklu():
    """Four hours from a film of half a picometre: growth of the square is what is summed, so no node is singular."""
    errors = errors_against_idaklu("cracks", Stepping(nodes=8, tolerance=0.003), 0.5, 298.15, 240)
    assert errors.pop("voltage") < 1e-3
    assert errors.pop("lithium made") < 1e-12
    assert errors["sei_cracks"] < 1e-6
    assert max(errors.values()) < 1e-3, errors


def test_sei_on_bare_cracks_converges():
    """Another law, whose rate does not go as one over the thickness, with steps divided again and again."""
    cell = cell_of("other law")
    inputs = {**inputs_of(cell, 1), AMBIENT: jnp.full((1, 1), 298.15)}
    start = jnp.asarray(start_of(cell, 298.15))[:, None]
    end = equal_steps(cell, inputs, jnp.full((1, 1), 1.0), start)
    truth = end(4096)[cell.rows["sei_cracks"]]
    errors = np.array([float(jnp.abs(end(n)[cell.rows["sei_cracks"]] / truth - 1.0).max()) for n in (16, 64, 256)])
    assert (errors[1:] < errors[:-1] / 3).all(), errors
    assert errors[-1] < 1e-5


def test_an_aged_film_is_as_thick_on_cracks_as_on_the_surface():
    cell = cell_of("cracks")
    slow, fresh = aged(cell, [0.0, 0.05, 0.2], [0.0, 0.05, 0.1]), fresh_state(cell, 3)
    y = lift(cell, slow, jnp.full((1, 3), 0.4), jnp.full((1, 3), 298.15))
    given = {**inputs_of(cell, 3), AMBIENT: jnp.full((1, 3), 298.15), CURRENT: jnp.zeros((1, 3))}
    surface, cracks = (np.asarray(cell.evaluate(y, given)[name])[0] for name in THICKNESS)
    film = float(cell.evaluate(jnp.asarray(cell.initial_state)[:, None].repeat(3, 1), given)[THICKNESS[0]][0, 0])
    # Growth is spread over both; the surface had a first film besides, which lost material takes along.
    np.testing.assert_allclose(cracks, surface - film / np.array([1.0, 0.95, 0.9]), rtol=1e-3, atol=1e-12)
    assert (np.asarray(slow.sei_cracks)[0, 1:] > 100 * np.asarray(fresh.sei_cracks)[0, 1:]).all()
    np.testing.assert_allclose(np.asarray(total_lithium(cell, y)), np.asarray(slow.inventory), rtol=1e-14)
    back = restrict(cell, y, slow.inventory)
    for field in SlowState._fields:
        np.testing.assert_allclose(np.asarray(getattr(back, field)), np.asarray(getattr(slow, field)), rtol=1e-13)


def test_more_cracks_hold_more_of_the_lithium():
    name = "Negative electrode number of cracks per unit area [m-2]"
    cell = build_cell(CHEMISTRIES["cracks"], varied=(name,))
    one = jnp.full((1, 2), 1.0)
    diagnosis = Diagnosis(0.1 * one, 0.0 * one, 0.0 * one, 0.05 * one, 2e-8 * one)
    inputs = {name: jnp.asarray([[1.0, 2.0]]) * cell.inputs[name]}
    slow = aged_state(cell, diagnosis, fresh_mid_stoichiometry(cell), inputs)
    ratio = np.asarray(slow.sei_cracks / (slow.sei - fresh_state(cell, 2).sei))[0]
    assert ratio[1] == pytest.approx(2.0 * ratio[0], rel=1e-3)


SALT_STEPPING = Stepping(nodes=8, samples=16, tolerance=0.002)


@pytest.mark.parametrize(
    ("c_rate", "celsius", "steps"),
    [
        (1.0, 25.0, 60),
        *(
            pytest.param(c_rate, celsius, 240, marks=pytest.mark.slow)
            for c_rate in (0.2, 1.0, 2.0)
            for celsius in (0.0, 25.0, 45.0)
        ),
    ],
)
def test_salt_agrees_with_idaklu(c_rate, celsius, steps):
    """One-minute noise; salt falls to 0.05 of its mean at 2C and 0 degC, where diffusivity varies tenfold."""
    errors = errors_against_idaklu("salt", SALT_STEPPING, c_rate, 273.15 + celsius, steps)
    assert errors.pop("voltage") < 1e-3
    assert errors.pop("lithium made") < 1e-12
    assert errors.pop("salt made") < 1e-12
    assert errors.pop("salt") < 1e-3
    assert max(errors.values()) < 1e-3, errors


@pytest.mark.slow
def test_salt_rests_where_an_aged_cell_is_lifted():
    """As much salt as in a fresh cell, evenly in the pores that are left, and still there."""
    cell = cell_of("salt")
    slow = aged(cell, [0.0, 0.02, 0.03], [0.0, 0.02, 0.03])
    inputs = inputs_of(cell, 3)
    y = lift_at(cell, slow, 0.5)
    fresh = float(salt_of(cell, jnp.asarray(cell.initial_state)[:, None])[0])
    np.testing.assert_allclose(salt_of(cell, y), fresh, rtol=1e-13)
    rows = cell.rows["electrolyte"]
    assert (np.asarray(y)[rows.start, 1:] < 0.99 * cell.initial_state[rows.start]).all()
    rest = {**inputs, AMBIENT: jnp.full((1, 3), 298.15), CURRENT: jnp.zeros((1, 3))}
    assert np.abs(np.asarray(cell.rhs(y, rest))[rows]).max() < 1e-9


@pytest.mark.slow
def test_closed_pores_cost_capacity_and_resistance():
    """In a single-particle model with salt; the ohmic part of the resistance is that of narrower pores."""
    cell = replace(cell_of("salt"), voltage_limits=(2.5, 4.2))
    slow = aged(cell, [0.0, 0.02], [0.0, 0.0])
    health = jax.jit(lambda slow: check_up(cell, slow, inputs_of(cell, 2)))(slow)
    assert float(health.capacity[0, 1] / health.capacity[0, 0]) == pytest.approx(0.98, abs=0.02)
    assert float(health.resistance[0, 1]) > 1.01 * float(health.resistance[0, 0])
