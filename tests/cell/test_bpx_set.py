"""A cell from a BPX file: PyBaMM's own evaluation of it, its formulas, and what is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pybamm
import pytest

from bpx_cell import SET, bpx_text
from cell_check import OUTPUTS, disagreement, imbalance, random_states
from fadecast.cell.bpx_set import bpx_parameter_values
from fadecast.cell.chemistry import Chemistry
from fadecast.cell.discretised import discretise
from fadecast.cell.model import build_cell, lowered_cell, needed_outputs
from fadecast.cell.parameters import parameter_values

FORMULAS = {
    ("Negative electrode", "OCP [V]"): "0.08 + 0.9 * exp(-25 * x) - 0.04 * tanh(6 * (x - 0.5))",
    ("Positive electrode", "OCP [V]"): "4.4 - 0.8 * x - 0.2 * x ** 3",
    ("Positive electrode", "Diffusivity [m2.s-1]"): "4e-15 * (1 + 2 * (1 - x))",
    ("Electrolyte", "Conductivity [S.m-1]"): "0.3 + 1.3 * (x / 1000) * exp(-x / 1500)",
}


@pytest.fixture
def file(tmp_path):
    """Write that file, with other values for some keys of its sections."""

    def write(changes=None):
        content = json.loads(bpx_text())
        for (section, key), value in (changes or {}).items():
            content["Parameterisation"][section][key] = value
        path = tmp_path / "cell.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("model", ["SPM", "SPMe"])
@pytest.mark.parametrize("changes", [{}, FORMULAS], ids=["tables", "formulas"])
def test_the_lowered_cell_is_what_pybamm_evaluates(file, model, changes):
    chemistry = Chemistry(model=model, bpx=str(file(changes)))
    found = discretise(chemistry, (), (*OUTPUTS, *needed_outputs(chemistry)))
    cell = lowered_cell(chemistry, found, OUTPUTS)
    y, inputs = random_states(cell, found)
    assert disagreement(cell, found, y, inputs) < 1e-9
    assert imbalance(cell, found, y, inputs) < 1e-9


def test_a_set_written_as_bpx_ages_as_the_set_does(file):
    ours, theirs = build_cell(Chemistry(bpx=str(file()))), build_cell(Chemistry(parameter_set=SET))
    assert ours.fresh_lithium == pytest.approx(theirs.fresh_lithium, rel=2e-3)
    found = discretise(Chemistry(parameter_set=SET), (), ())
    y, inputs = random_states(theirs, found)
    given = {name: jnp.asarray(value) for name, value in inputs.items()}
    same = jnp.concatenate([ours.scaled(theirs.physical(y, name), name) for name in theirs.rows])
    np.testing.assert_allclose(ours.voltage(same, given), theirs.voltage(y, given), atol=3e-3)
    for name in ("sei", "crack_length", "active_fraction_ne"):
        mine, exact = (
            np.asarray(cell.rhs(s, given)[cell.rows[name]]) * cell.scale[cell.rows[name]][:, None]
            for cell, s in ((ours, same), (theirs, y))
        )
        np.testing.assert_allclose(mine, exact, rtol=0.02, atol=1e-3 * np.abs(exact).max(), err_msg=name)


def test_a_formula_is_what_pybamm_makes_of_it(file):
    values = bpx_parameter_values(file(FORMULAS))
    place = np.linspace(0.01, 0.99, 30)
    given = values["Negative electrode OCP [V]"](pybamm.Vector(place))
    expected = 0.08 + 0.9 * np.exp(-25 * place) - 0.04 * np.tanh(6 * (place - 0.5))
    np.testing.assert_allclose(np.ravel(values.evaluate(given)), expected, rtol=1e-12)


@pytest.mark.parametrize("formula", ["exec(chr(49))", "__import__('os')", "x.real", "9**9**9**9"])
def test_what_is_no_arithmetic_never_runs(file, formula, capsys):
    with pytest.raises(ValueError, match=r"no BPX file|makes no cell"):
        bpx_parameter_values(file({("Negative electrode", "OCP [V]"): formula}))
    assert not capsys.readouterr().out


def test_an_electrode_of_more_than_its_volume_is_refused(file):
    with pytest.raises(ValueError, match=r"positive electrode is 0\.66 active material .* 0\.40 pores"):
        bpx_parameter_values(file({("Positive electrode", "Porosity"): 0.4}))


def test_blended_electrodes_are_refused(file):
    path = file()
    content = json.loads(path.read_text())
    negative = content["Parameterisation"]["Negative electrode"]
    shared = {
        key: negative.pop(key) for key in ("Thickness [m]", "Porosity", "Transport efficiency", "Conductivity [S.m-1]")
    }
    content["Parameterisation"]["Negative electrode"] = {
        **shared,
        "Particle": {"Graphite": negative, "Silicon": negative},
    }
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="negative electrode is of several materials; must be of one"):
        bpx_parameter_values(path)


def test_what_a_file_lacks_is_borrowed_as_for_any_set(file):
    path = file()
    content = json.loads(path.read_text())
    del content["Parameterisation"]["Cell"]["Density [kg.m-3]"]
    path.write_text(json.dumps(content))
    assert "Negative electrode density [kg.m-3]" not in bpx_parameter_values(path)
    values, theirs = parameter_values(str(path)), parameter_values(SET)
    for name in (
        "SEI solvent diffusivity [m2.s-1]",
        "Negative electrode cracking rate",
        "Dead lithium decay constant [s-1]",
    ):
        assert name in values
        assert type(values[name]) is type(theirs[name])
    build_cell(Chemistry(bpx=str(path)))


def without(path, *keys):
    content = json.loads(path.read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    del part[keys[-1]]
    path.write_text(json.dumps(content))
    return path


def test_a_cell_of_which_no_cooling_is_said_is_cooled_like_others(file):
    path = without(file(), "State", "Thermal environment")
    name = "Total heat transfer coefficient [W.m-2.K-1]"
    assert name not in bpx_parameter_values(path)
    assert parameter_values(str(path))[name] == parameter_values(SET)[name] > 0.0


def test_text_for_people_is_no_parameter(file):
    path = file()
    content = json.loads(path.read_text())
    content["Parameterisation"]["User-defined"] = {"description": "made up", "Contact resistance [Ohm]": 0.01}
    path.write_text(json.dumps(content))
    assert bpx_parameter_values(path)["Contact resistance [Ohm]"] == 0.01


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ("Parameterisation", "Cell", "Nominal cell capacity [A.h]"),
            -5.0,
            r"nominal capacity is -5 A\.h; must be above 0",
        ),
        (
            ("Parameterisation", "Positive electrode", "OCP [V]"),
            4.0,
            r"positive OCP is 4; must be a formula or a table",
        ),
    ],
)
def test_what_makes_no_cell_is_said_as_such(file, place, value, message):
    path = file()
    content = json.loads(path.read_text())
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        bpx_parameter_values(path)


def test_a_file_of_a_single_particle_model_has_too_little(file):
    path = file()
    content = json.loads(path.read_text())
    content["Header"]["Model"] = "SPM"
    parameters = content["Parameterisation"]
    del parameters["Electrolyte"], parameters["Separator"], content["State"]
    for side in ("Negative electrode", "Positive electrode"):
        for key in ("Porosity", "Transport efficiency", "Conductivity [S.m-1]"):
            del parameters[side][key]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="it is a file of the model SPM; must be DFN"):
        bpx_parameter_values(path)
