"""Lowered expressions against PyBaMM's own evaluation and against NumPy."""

import jax.numpy as jnp
import numpy as np
import pybamm
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from fadecast.cell.discretised import discretise
from fadecast.cell.lowering import LoweringError, lower
from fadecast.cell.model import AMBIENT, CURRENT, Chemistry, build_cell
from fadecast.cell.tables import piecewise_polynomial

LAWS = (
    "solvent-diffusion limited",
    "reaction limited",
    "electron-migration limited",
    "interstitial-diffusion limited",
)
VARIED = (
    "SEI resistivity [Ohm.m]",
    "Negative electrode LAM constant proportional term [s-1]",
    "Contact resistance [Ohm]",
)
LANES = 24


def physical_states(cell, seed=0):
    """Random states in and near the range a cell visits, in the scaled units of the state vector."""
    rng = np.random.default_rng(seed)
    y = np.tile(cell.initial_state[:, None], (1, LANES))
    for name, low, high in (
        ("concentration_ne", 0.02, 0.95),
        ("concentration_pe", 0.25, 0.98),
        ("active_fraction_ne", 0.3, 0.75),
        ("active_fraction_pe", 0.3, 0.665),
        ("sei", 1.0, 120.0),
        ("plated", 0.0, 0.5),
        ("dead", 0.0, 1.0),
    ):
        rows = cell.rows[name]
        level = rng.uniform(low, high, (1, LANES))
        y[rows] = level * (1 + 0.02 * rng.uniform(-1, 1, (rows.stop - rows.start, LANES)))
    y[cell.rows["temperature"]] *= rng.uniform(0.92, 1.08, (1, LANES))
    inputs = {CURRENT: rng.uniform(-10, 10, (1, LANES)), AMBIENT: rng.uniform(260, 320, (1, LANES))}
    return y, inputs | {name: (value or 0.01) * rng.uniform(0.3, 3, (1, LANES)) for name, value in cell.inputs.items()}


@pytest.mark.parametrize("law", LAWS)
def test_right_hand_side_and_voltage_agree_with_pybamm(law):
    chemistry = Chemistry(sei=law, parameters={"Negative electrode LAM activation energy [J.mol-1]": 4e4})
    cell = build_cell(chemistry, VARIED)
    found = discretise(chemistry, VARIED, ("Voltage [V]",))
    y, inputs = physical_states(cell)
    mine = cell.evaluate(jnp.asarray(y), {name: jnp.asarray(value) for name, value in inputs.items()})
    for name, symbol in (("rhs", found.model.concatenated_rhs), ("voltage", found.outputs["Voltage [V]"])):
        columns = [
            symbol.evaluate(y=y[:, [lane]], inputs={key: value[0, lane] for key, value in inputs.items()})
            for lane in range(LANES)
        ]
        truth = np.hstack(columns)
        scale = np.maximum(np.abs(truth).max(axis=1, keepdims=True), 1e-300)
        np.testing.assert_allclose(np.asarray(mine[name]) / scale, truth / scale, atol=1e-10)


def test_a_varied_parameter_changes_the_result():
    cell = build_cell(Chemistry(), VARIED)
    y, inputs = physical_states(cell)
    inputs = {name: jnp.asarray(value) for name, value in inputs.items()}
    for name in VARIED:
        doubled = {**inputs, name: 2 * inputs[name]}
        before, after = (cell.evaluate(jnp.asarray(y), each) for each in (inputs, doubled))
        assert any((np.asarray(before[key]) != np.asarray(after[key])).any() for key in before), name


@settings(deadline=None, max_examples=50)
@given(st.floats(-0.5, 1.5))
def test_piecewise_polynomial_is_the_spline_inside_and_outside(x):
    breaks = np.array([0.0, 0.01, 0.015, 0.2, 0.21, 0.6, 1.0])
    spline = CubicSpline(breaks, np.exp(-breaks) + np.sin(9 * breaks))
    mine = piecewise_polynomial(spline.x, spline.c)(jnp.full((1, 1), x))
    assert float(mine[0, 0]) == pytest.approx(float(spline(x)), rel=1e-11, abs=1e-11)


def random_matrix(kind, rng):
    if kind == "banded":
        return scipy.sparse.diags([rng.normal(size=8), rng.normal(size=7)], [0, 1], shape=(8, 8)).tocsr()
    if kind == "edges":  # boundary values: a few far-apart diagonals
        matrix = np.zeros((9, 8))
        matrix[0, :2], matrix[8, 6:] = rng.normal(size=2), rng.normal(size=2)
        return scipy.sparse.csr_matrix(matrix)
    if kind == "equal rows":
        return scipy.sparse.csr_matrix(np.tile(rng.normal(size=8), (5, 1)))
    if kind == "column":
        return scipy.sparse.csr_matrix(rng.normal(size=(5, 1)))
    return scipy.sparse.csr_matrix(rng.normal(size=(6, 8)))


@pytest.mark.parametrize("kind", ["banded", "edges", "equal rows", "column", "dense"])
def test_matrix_products(kind):
    rng = np.random.default_rng(3)
    matrix = random_matrix(kind, rng)
    symbol = pybamm.Matrix(matrix) @ pybamm.StateVector(slice(0, matrix.shape[1]))
    y = rng.normal(size=(matrix.shape[1], 5))
    result = lower({"product": symbol})(jnp.asarray(y), {})["product"]
    np.testing.assert_allclose(np.asarray(result), matrix @ y, rtol=1e-13, atol=1e-14)


def test_unknown_symbol_is_named():
    symbol = pybamm.t * pybamm.StateVector(slice(0, 1))
    with pytest.raises(LoweringError, match=r"Time.*lowering\.py"):
        lower({"x": symbol})


def test_unknown_parameter_is_named():
    with pytest.raises(KeyError, match="SEI resistivity"):
        build_cell(Chemistry(parameters={"SEI resistivity": 1.0}))
    with pytest.raises(KeyError, match="Negative electrode OCP"):
        build_cell(Chemistry(), ("Negative electrode OCP [V]",))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cracks_do_not_grow_in_particles_at_rest(dtype):
    """The stress of a level particle is rounding, and may have either sign where it is worked out twice."""
    cell, rng = build_cell(Chemistry()), np.random.default_rng(3)
    y = np.tile(cell.initial_state[:, None], (1, 20_000))
    y[cell.rows["concentration_ne"]] = rng.uniform(0.02, 0.95, (1, 20_000))
    y[cell.rows["concentration_ne"]] *= 1.0 + np.finfo(dtype).eps * rng.normal(size=(10, 20_000))
    inputs = {CURRENT: np.zeros((1, 20_000)), AMBIENT: np.full((1, 20_000), 298.15)}
    found = cell.evaluate(jnp.asarray(y, dtype), {name: jnp.asarray(value, dtype) for name, value in inputs.items()})
    growth = np.asarray(found["rhs"])[cell.rows["crack_length"]]
    assert np.isfinite(growth).all()
    assert np.abs(growth).max() < 1e-15


STATES = pybamm.StateVector(slice(0, 4))
FIRST, SECOND = pybamm.StateVector(slice(0, 2)), pybamm.StateVector(slice(2, 4))
GRID = np.linspace(-2.0, 2.0, 7), np.linspace(-3.0, 3.0, 5)
SURFACE = np.sin(GRID[0])[:, None] * np.exp(0.3 * GRID[1])[None]
SYMBOLS = {
    "arctan": pybamm.arctan(STATES),
    "erf": pybamm.erf(STATES),
    "largest": pybamm.max(STATES) + STATES,
    "smallest": pybamm.min(STATES) + STATES,
    "floor": pybamm.Floor(STATES),
    "ceiling": pybamm.Ceiling(STATES),
    "modulo": STATES % 0.7,
    "hypot": pybamm.hypot(FIRST, SECOND),
    "inner product": pybamm.inner(FIRST, SECOND),
    "index": pybamm.Index(STATES, slice(1, 3)),
    "branches": pybamm.Conditional(pybamm.InputParameter("branch"), FIRST, SECOND),
    "sparse stack": pybamm.SparseStack(SECOND, FIRST),
    "regularised power": pybamm.reg_power(STATES, 0.4, 2.0),
    "regularised arcsinh": pybamm.arcsinh2(FIRST, SECOND),
    "ufunc": pybamm.Function(np.tan, STATES),
    "surface": pybamm.Interpolant(GRID, SURFACE, (FIRST, SECOND), interpolator="linear"),
    "pchip": pybamm.Interpolant(GRID[0], np.cos(GRID[0]), STATES, interpolator="pchip"),
    "not outside": pybamm.Interpolant(GRID[0] / 4, np.cos(GRID[0]), STATES, extrapolate=False),
}


@pytest.mark.parametrize("name", SYMBOLS)
def test_each_symbol_is_what_pybamm_evaluates(name):
    symbol = SYMBOLS[name]
    y = np.random.default_rng(2).uniform(-1.4, 1.4, (4, 6))
    branch = np.array([[0.0, 1.0, 1.4, 1.6, 2.0, 3.0]])
    columns = [symbol.evaluate(y=y[:, [lane]], inputs={"branch": branch[0, lane]}) for lane in range(6)]
    truth = np.hstack([np.asarray(column).reshape(-1, 1) for column in columns])
    mine = np.asarray(lower({"x": symbol})(jnp.asarray(y), {"branch": jnp.asarray(branch)})["x"])
    np.testing.assert_allclose(mine, truth, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "base",
    [
        -2.0 * STATES * (STATES >= 0.0),
        (STATES - 0.5) * (STATES >= 0.0),
        STATES * (STATES >= 0.0) * pybamm.tanh(STATES - 0.7),
        FIRST * (SECOND >= 0.0),
    ],
)
def test_what_is_negative_beside_its_cut_stays_so(base):
    y = np.random.default_rng(4).uniform(-1.4, 1.4, (4, 6))
    truth = np.hstack([(base**2).evaluate(y=y[:, [lane]]) for lane in range(6)])
    mine = np.asarray(lower({"x": base**2})(jnp.asarray(y), {})["x"])
    np.testing.assert_allclose(mine, truth, rtol=1e-13, atol=1e-14)


def test_interpolants_that_are_not_known_are_named():
    with pytest.raises(LoweringError, match="linear only"):
        lower({"x": pybamm.Interpolant(GRID, SURFACE, (FIRST, SECOND), interpolator="cubic")})
