"""Cells with algebraic states followed in time: two phases of one electrode, surface forms, other kinetics."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell import discretised
from fadecast.cell.balance import lost_lithium, particle_lithium
from fadecast.cell.control import Window
from fadecast.cell.elimination import eliminate, layout
from fadecast.cell.lowering import Inputs
from fadecast.cell.model import AMBIENT, CURRENT, CellModel, Chemistry, build_cell
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.partition import SteppingError, partition
from fadecast.cell.profile import Profile, Stepping, run_profile
from fadecast.cell.reference import reference_run
from fadecast.cell.terminals import algebraic_rows, consistent, linearised

from .cells import WIDE, inputs_of

COMPOSITE = {"parameter_set": "Chen2020_composite", "particle_phases": ("2", "1")}
CRACKS = {"surface_form": "algebraic", "sei_on_cracks": "true"}
SALT = {"model": "SPMe", "electrolyte_points": 8}
CHEMISTRIES = {
    "composite": Chemistry(**COMPOSITE),
    "composite, salt": Chemistry(**COMPOSITE, **SALT),
    "cracks": Chemistry(**CRACKS),
    "cracks, salt": Chemistry(**CRACKS, **SALT),
    "asymmetric": Chemistry(intercalation_kinetics="asymmetric Butler-Volmer"),
}
AGEING = ("sei", "plated", "dead", "crack_length", "active_fraction", "lam_lithium")
# Time steps give no accuracy to what ages less than this share of a cell in a second: 1 % a year.
SLOW = 0.01 / (365.0 * 86400.0)


@cache
def cell_of(name: str) -> CellModel:
    # The reference keeps no voltage limits.
    return replace(build_cell(CHEMISTRIES[name]), voltage_limits=(0.5, 7.0))


def given(cell: CellModel, current: float, kelvin: float = 298.15) -> Inputs:
    return {**inputs_of(cell, 1), CURRENT: jnp.full((1, 1), current), AMBIENT: jnp.full((1, 1), kelvin)}


def lithium(cell: CellModel, y: jax.Array) -> float:
    """All of it [mol]."""
    parts = [kind(cell, y, side) for kind in (particle_lithium, lost_lithium) for side in ("ne", "pe")]
    return float(sum(parts)[0, 0])


def charged(cell: CellModel) -> np.ndarray:
    """A state near equilibrium, some lithium plated."""
    y = cell.initial_state.copy()
    for name, rows in cell.rows.items():
        if name.startswith("concentration_ne"):
            y[rows] *= 0.97 if name.endswith("secondary") else 0.8
        if name.startswith("plated"):
            y[rows] = 1e-2
    return y[:, None]


def start_of(name: str, kelvin: float) -> np.ndarray:
    """Discharged by a half in two hours and rested for one, which brings both phases to one potential."""
    cell = cell_of(name)
    y = cell.initial_state.copy()
    y[cell.rows["temperature"]] = kelvin / cell.scale[cell.rows["temperature"]]
    power = np.array([0.9 * cell.nominal_capacity] * 8 + [0.0] * 4)
    end = reference_run(CHEMISTRIES[name], y, power, np.full(len(power), kelvin), 900.0)
    for block, values in end.states.items():
        y[cell.rows[block]] = values[-1]
    return y


def shares_of(cell: CellModel) -> np.ndarray:
    """Share of a cell that one unit of each ageing state is."""
    parts = partition(cell)
    rows = [np.arange(block.start, block.stop) for group in (parts.ageing, parts.relaxing) for block in group.blocks]
    shares = np.full(len(cell.initial_state), np.inf)
    shares[np.concatenate(rows)] = parts.share[:, 0]
    return shares


@cache
def runner(name: str):
    cell, one = cell_of(name), jnp.ones((1, 1))
    window = Window(0.02 * one, 0.95 * one, 5.0 * one)
    stepping = Stepping(nodes=8, samples=16, tolerance=0.002)
    return jax.jit(
        lambda y, power, ambient: run_profile(
            cell, WIDE, stepping, 60.0, y, inputs_of(cell, 1), window, Profile(power, ambient)
        )
    )


def errors_against_idaklu(name: str, c_rate: float, kelvin: float, steps: int) -> dict[str, float]:
    """Errors of ageing over its change, of concentrations over their maxima, of voltage [V rms]; what is made."""
    cell, y = cell_of(name), start_of(name, kelvin)
    watts = 3.6 * cell.nominal_capacity * c_rate
    drawn = np.random.default_rng(4).uniform(-watts, watts, ((steps + 1) // 2, 1))
    power = np.stack([drawn, -drawn], axis=1).reshape(-1, 1)[:steps]
    ambient = np.full((steps, 1), kelvin)
    truth = reference_run(CHEMISTRIES[name], y, power[:, 0], ambient[:, 0], 60.0)
    before = jnp.asarray(y)[:, None]
    mine = runner(name)(before, jnp.asarray(power), jnp.asarray(ambient))
    end, errors = np.asarray(mine.end)[:, 0], {}
    slow = SLOW * 60.0 * steps / shares_of(cell)
    for block, values in truth.states.items():
        rows = cell.rows[block]
        off = np.abs(end[rows] - values[-1])
        if block.startswith(AGEING):
            errors[block] = float((off / np.maximum(np.abs(values[-1] - y[rows]), slow[rows])).max())
        elif block.startswith(("concentration", "electrolyte")):
            errors[f"{block}, absolute"] = float(off.max())
    errors["voltage"] = float(np.sqrt(np.mean((np.asarray(mine.trace.voltage)[:, 0] - truth.voltage) ** 2)))
    errors["lithium made"] = abs(lithium(cell, mine.end) / lithium(cell, before) - 1.0)
    return errors


@pytest.mark.parametrize(
    ("name", "c_rate", "celsius", "steps"),
    [
        pytest.param("composite", 1.0, 25.0, 60, marks=pytest.mark.slow),
        *(
            pytest.param("composite", c_rate, celsius, 240, marks=pytest.mark.slow)
            for c_rate in (0.2, 1.0)
            for celsius in (0.0, 25.0, 45.0)
        ),
        *(
            pytest.param(name, c_rate, celsius, 120, marks=pytest.mark.slow)
            for name in ("composite, salt", "cracks", "asymmetric")
            for c_rate, celsius in ((0.2, 25.0), (1.0, 0.0), (1.0, 45.0))
        ),
    ],
)
def test_agreement_with_idaklu(name, c_rate, celsius, steps):
    """One-minute noise; each ageing state within 1e-3 of its change, voltage within 0.1 mV rms."""
    errors = errors_against_idaklu(name, c_rate, 273.15 + celsius, steps)
    assert errors.pop("voltage") < 1e-4
    assert errors.pop("lithium made") < 1e-12
    assert max(errors.values()) < 1e-3, errors


def test_a_composite_electrode_conserves_lithium(monkeypatch):
    """Of what two phases plate PyBaMM takes one from the particles, ours both."""

    def made(cell: CellModel) -> np.ndarray:
        inputs = {**inputs_of(cell, 2), CURRENT: jnp.asarray([[0.0, 2.0]]), AMBIENT: jnp.full((1, 2), 298.15)}

        def amounts(y: jax.Array) -> tuple[jax.Array, jax.Array]:
            held = lost_lithium(cell, y, "ne")
            return held + particle_lithium(cell, y, "ne") + particle_lithium(cell, y, "pe"), held

        @jax.jit
        def share(y: jax.Array) -> jax.Array:
            y = consistent(cell, y, inputs)
            rates = jnp.concatenate([cell.rhs(y, inputs), jnp.zeros_like(y[algebraic_rows(cell)])])
            _, (whole, held) = jax.jvp(amounts, (y,), (rates,))
            return whole / held

        return np.abs(np.asarray(share(jnp.asarray(np.tile(charged(cell), 2)))))

    chemistry = Chemistry(**COMPOSITE, loss_of_active_material="none")
    assert made(build_cell(chemistry)).max() < 1e-9
    monkeypatch.setattr(discretised, "sum_plating_of_all_phases", lambda model: None)
    # Made anew, and not kept for whoever asks for this chemistry next.
    assert made(build_cell.__wrapped__(chemistry)).min() > 1e-2


@pytest.mark.parametrize("name", ["composite", pytest.param("cracks, salt", marks=pytest.mark.slow)])
def test_a_newton_step_is_that_of_the_whole_jacobian(name):
    cell = cell_of(name)
    where, inputs = algebraic_rows(cell), given(cell, 1.0)
    assert len(layout(cell, False).inner) > 4

    @jax.jit
    def compared(y: jax.Array):  # type: ignore[no-untyped-def]
        y = consistent(cell, y, inputs).at[where].add(1e-3)

        def both(values: jax.Array) -> jax.Array:
            result = cell.evaluate(y.at[where].set(values[:-1, None]), {**inputs, CURRENT: values[-1:, None]})
            return jnp.concatenate([result["algebraic"], result["voltage"]])[:, 0]

        at = jnp.concatenate([y[where, 0], inputs[CURRENT][0]])
        return y[where], both(at), jax.jacfwd(both)(at), linearised(cell, y, inputs, inputs[CURRENT])

    start, value, jacobian, found = jax.tree.map(np.asarray, compared(jnp.asarray(charged(cell))))
    step = -np.linalg.solve(jacobian[:-1, :-1], value[:-1])
    slope = -np.linalg.solve(jacobian[:-1, :-1], jacobian[:-1, -1])
    np.testing.assert_allclose((found.algebraic - start)[:, 0], step, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.algebraic_slope[:, 0], slope, rtol=1e-8, atol=1e-12)
    assert float(found.voltage[0, 0]) == pytest.approx(value[-1] + jacobian[-1, :-1] @ step, rel=1e-12)
    assert float(found.slope[0, 0]) == pytest.approx(jacobian[-1, -1] + jacobian[-1, :-1] @ slope, rel=1e-10)


def test_salt_diffuses_alike_whether_potentials_are_states_or_not():
    """Reactions, which depend on the salt where potentials are states, are no part of its operator."""
    plain, algebraic = (
        next(block for block in diffusion_modes(build_cell(Chemistry(**SALT, surface_form=form))) if block.closed)
        for form in ("false", "algebraic")
    )
    for part in ("decay", "nodes", "modes", "weights"):
        mine, theirs = getattr(algebraic, part), getattr(plain, part)
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max(), err_msg=part)


def test_elimination_solves_sparse_systems():
    rng = np.random.default_rng(1)
    pattern = (rng.uniform(size=(6, 6)) < 0.4) | np.eye(6, dtype=bool)
    matrix = np.where(pattern, rng.normal(size=(3, 6, 6)), 0.0) + 6.0 * np.eye(6)
    sides = rng.normal(size=(2, 3, 6))
    entries = {(int(r), int(c)): jnp.asarray(matrix[None, :, r, c]) for r, c in np.argwhere(pattern)}
    found = eliminate(entries, [[jnp.asarray(side[None, :, row]) for row in range(6)] for side in sides])
    for side, values in zip(sides, found, strict=True):
        solved = np.linalg.solve(matrix, side[:, :, None])[:, :, 0]
        np.testing.assert_allclose(np.concatenate([np.asarray(v) for v in values]).T, solved, rtol=1e-12)


def test_particles_without_a_profile_are_refused():
    cell = build_cell(Chemistry(particle="uniform profile", surface_form="algebraic"))
    with pytest.raises(SteppingError, match="particles ne, pe have no profile of: set particle to Fickian diffusion"):
        partition(cell)
