"""Parameters: what a set lacks comes from the supplement, what it has stays, and any scalar may vary by lane."""

from typing import get_args

import jax.numpy as jnp
import numpy as np
import pybamm
import pytest

from fadecast.cell.chemistry import Chemistry, ParameterSet
from fadecast.cell.discretised import MissingParameterError, discretise
from fadecast.cell.model import AMBIENT, CURRENT, build_cell
from fadecast.cell.parameters import parameter_values, supplement

SHAPING = (
    "Negative electrode thickness [m]",
    "Separator thickness [m]",
    "Positive electrode thickness [m]",
    "Negative particle radius [m]",
    "Positive particle radius [m]",
)
GROUPS = 9
# PyBaMM rounds off powers near zero (relative error 2.5e-7 for a square root at full scale) where their base is no
# constant, so the same value as constant and as input differ by as much.
REGULARISED = "Initial concentration in electrolyte [mol.m-3]"


def varying():
    """Every scalar of the set that lanes may differ in."""
    values = pybamm.ParameterValues("OKane2022")
    scalars = [name for name, value in values.items() if isinstance(value, int | float)]
    return tuple(name for name in scalars if name not in (*SHAPING, REGULARISED, AMBIENT, CURRENT))


def test_every_scalar_may_vary_and_gives_what_pybamm_gives_with_that_value():
    """Lane `k` has every ninth parameter, from the `k`-th on, 1 % off: as if PyBaMM had the value as a constant."""
    names = varying()
    cell = build_cell(Chemistry(), names)
    rng = np.random.default_rng(0)
    y = cell.initial_state[:, None] * rng.uniform(0.98, 1.0, (len(cell.initial_state), 1))
    y[cell.rows["plated"]], y[cell.rows["dead"]] = 0.1, 0.2
    inputs = {CURRENT: jnp.full((1, GROUPS), 2.5), AMBIENT: jnp.full((1, GROUPS), 290.0)}
    for place, name in enumerate(names):
        factor = np.where(np.arange(GROUPS) == place % GROUPS, 1.01, 1.0)
        # Where the set has a zero, a value has to be added to be seen.
        inputs[name] = jnp.asarray((cell.inputs[name] * factor + (cell.inputs[name] == 0.0) * (factor - 1.0))[None])
    mine = cell.evaluate(jnp.tile(y, (1, GROUPS)), inputs)
    physical = cell.reference[:, None] + cell.scale[:, None] * y
    fresh = cell.reference[:, None] + cell.scale[:, None] * np.asarray(cell.fresh(GROUPS, inputs))
    for lane in range(GROUPS):
        found = discretise(
            Chemistry(parameters={name: float(inputs[name][0, lane]) for name in names}), (), ("Voltage [V]",)
        )
        other = build_cell(Chemistry(parameters={name: float(inputs[name][0, lane]) for name in names}))
        its_y = (physical - other.reference[:, None]) / other.scale[:, None]
        given = {CURRENT: 2.5, AMBIENT: 290.0}
        rhs = found.model.concatenated_rhs.evaluate(y=its_y, inputs=given)[:, 0] * other.scale
        volts = found.outputs["Voltage [V]"].evaluate(y=its_y, inputs=given)[0, 0]
        got = np.asarray(mine["rhs"])[:, lane] * cell.scale
        np.testing.assert_allclose(got, rhs, rtol=1e-9, atol=1e-12 * np.abs(rhs).max())
        assert float(mine["voltage"][0, lane]) == pytest.approx(volts, rel=1e-12)
        np.testing.assert_allclose(fresh[:, lane], other.reference + other.scale * other.initial_state, rtol=1e-12)


def test_a_parameter_that_pybamm_regularises_may_vary_too():
    cell, other = build_cell(Chemistry(), (REGULARISED,)), build_cell(Chemistry(parameters={REGULARISED: 1200.0}))
    inputs = {CURRENT: jnp.full((1, 1), 2.5), AMBIENT: jnp.full((1, 1), 290.0)}
    y = jnp.asarray(cell.initial_state[:, None])
    mine = cell.voltage(y, {**inputs, REGULARISED: jnp.full((1, 1), 1200.0)})
    assert float(mine[0, 0]) == pytest.approx(float(other.voltage(y, inputs)[0, 0]), abs=1e-7)


@pytest.mark.parametrize("name", SHAPING)
def test_what_the_mesh_is_made_of_cannot_vary(name):
    with pytest.raises(ValueError, match="all lanes share one mesh"):
        build_cell(Chemistry(), (name,))


@pytest.mark.parametrize("parameter_set", get_args(ParameterSet))
def test_the_supplement_fills_and_never_overwrites(parameter_set):
    own, filled = pybamm.ParameterValues(parameter_set), parameter_values(parameter_set)
    for name, value in own.items():
        assert filled[name] is value or filled[name] == value, name
    added = set(filled.keys()) - set(own.keys())
    assert {name for name in added if "activation energy" not in name} <= set(supplement())


def test_each_entry_of_the_supplement_says_units_source_and_prior():
    for name, entry in supplement().items():
        assert entry["source"]
        assert entry["prior"]["distribution"] in ("lognormal factor", "uniform", "fixed"), name
        if name.endswith("]"):
            assert name.endswith(f"[{entry['units']}]"), name
        assert sum(key in entry for key in ("donor", "same_as", "value")) == 1, name
        if "donor" in entry:
            given = pybamm.ParameterValues(entry["donor"])[entry["donor_name"]]
            assert callable(given) == (entry["kind"] == "function"), name


def test_a_parameter_that_nobody_has_is_named():
    with pytest.raises(MissingParameterError, match="OKane2022 lacks 'Negative particle lithiation diffusivity"):
        build_cell(Chemistry(diffusivity="current sigmoid"))


def test_an_unknown_output_is_named():
    with pytest.raises(KeyError, match=r"Voltge.*Voltage \[V\]"):
        build_cell(Chemistry(), outputs=("Voltge [V]",))
