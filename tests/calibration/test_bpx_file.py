"""Diagnosed cells taken away as BPX: PyBaMM finds their capacity and voltage again."""

import json
import warnings

import jax.numpy as jnp
import numpy as np
import pybamm
import pytest

from fadecast.calibration.bpx_file import bpx_half_cell, bpx_object
from fadecast.calibration.half_cell import parameter_set_half_cell
from fadecast.calibration.open_circuit import State, charge_at, open_circuit_voltage, stoichiometries

from .cells import NOMINAL, graphite_nmc, made_up, silicon_graphite_nmc

LIMITS = (2.5, 4.2)
LOSSES = {"Loss of lithium inventory since fresh": 0.12}


def diagnosed(electrodes, seed=4) -> tuple[dict[str, float], State]:
    cells = made_up(electrodes, 1, seed, noise=0.0)
    state = State(*(value[0] for value in cells.truth))
    ends = [charge_at(electrodes, state, limit) for limit in LIMITS]
    x, y = stoichiometries(state, jnp.stack(ends))
    return {
        "electrode_capacity_ne": float(state.negative_capacity),
        "electrode_capacity_pe": float(state.positive_capacity),
        "second_share_ne": float(state.share),
        "stoichiometry_ne_empty": float(x[0]),
        "stoichiometry_ne_full": float(x[1]),
        "stoichiometry_pe_empty": float(y[0]),
        "stoichiometry_pe_full": float(y[1]),
        "capacity_at_rest": float(ends[1] - ends[0]),
    }, state


def written(path, electrodes, nominal=NOMINAL, scale=1.0):
    found, state = diagnosed(electrodes)
    for name in ("electrode_capacity_ne", "electrode_capacity_pe", "capacity_at_rest"):
        found[name] *= scale
    potentials = {"Negative": electrodes.negative, "Positive": electrodes.positive}
    content = bpx_object("OKane2022", potentials, found, LIMITS, nominal, "made up", LOSSES)
    path.write_text(json.dumps(content))
    return found, state


@pytest.fixture
def read(tmp_path):
    """Let PyBaMM read a file that was written for some electrodes."""

    def read(electrodes, **how):
        found, state = written(tmp_path / "cell.json", electrodes, **how)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pybamm.ParameterValues.create_from_bpx(str(tmp_path / "cell.json")), found, state

    return read


@pytest.mark.parametrize("electrodes", [graphite_nmc, silicon_graphite_nmc])
@pytest.mark.parametrize("model", ["SPM", "DFN"])
def test_pybamm_discharges_the_cell_to_its_capacity(read, electrodes, model):
    values, found, state = read(electrodes())
    experiment = pybamm.Experiment([f"Discharge at C/1000 until {LIMITS[0]} V"])
    simulation = pybamm.Simulation(getattr(pybamm.lithium_ion, model)(), parameter_values=values, experiment=experiment)
    solution = simulation.solve(initial_soc=1.0)
    capacity = solution["Discharge capacity [A.h]"].entries
    assert capacity[-1] == pytest.approx(found["capacity_at_rest"], rel=2e-3)
    top = charge_at(electrodes(), state, LIMITS[1])
    rest = open_circuit_voltage(electrodes(), state, top - jnp.asarray(capacity))
    inside = (capacity > 0.05 * capacity[-1]) & (capacity < 0.95 * capacity[-1])
    np.testing.assert_allclose(solution["Voltage [V]"].entries[inside], np.asarray(rest)[inside], atol=1.5e-3)


def test_a_small_cell_is_a_small_area(read):
    values, found, _ = read(graphite_nmc(), nominal=0.01 * NOMINAL, scale=0.01)
    whole, _, _ = read(graphite_nmc())
    ratio = values["Electrode height [m]"] * values["Electrode width [m]"]
    ratio /= whole["Electrode height [m]"] * whole["Electrode width [m]"]
    assert ratio == pytest.approx(0.01)
    name = "Negative electrode active material volume fraction"
    assert values[name] == pytest.approx(whole[name])
    assert found["capacity_at_rest"] < 0.06


def test_kinetics_and_transport_are_those_of_the_set(read):
    values, _, _ = read(graphite_nmc())
    theirs = pybamm.ParameterValues("OKane2022")
    warm, salt = pybamm.Scalar(308.15), pybamm.Vector(np.array([800.0, 1500.0]))
    for name in ("Electrolyte diffusivity [m2.s-1]", "Electrolyte conductivity [S.m-1]"):
        ours, expected = (np.ravel(v.evaluate(v[name](salt, warm))) for v in (values, theirs))
        np.testing.assert_allclose(ours, expected, rtol=1e-2)
    for side in ("Negative", "Positive"):
        most = theirs[f"Maximum concentration in {side.lower()} electrode [mol.m-3]"]
        arguments = [pybamm.Scalar(each) for each in (1000.0, 0.3 * most, most)]
        name = f"{side} electrode exchange-current density [A.m-2]"
        ours, expected = (float(v.evaluate(v[name](*arguments, warm))) for v in (values, theirs))
        assert ours == pytest.approx(expected, rel=1e-2)


def test_losses_are_noted_and_not_applied(tmp_path):
    written(tmp_path / "cell.json", graphite_nmc())
    content = json.loads((tmp_path / "cell.json").read_text())
    assert content["Parameterisation"]["User-defined"] == {
        "Loss of lithium inventory since fresh (in this file already)": 0.12
    }
    assert "Degradation" not in content["State"]


def test_an_electrode_of_more_than_solid_is_refused():
    found, _ = diagnosed(graphite_nmc())
    potentials = {"Negative": graphite_nmc().negative, "Positive": graphite_nmc().positive}
    with pytest.raises(ValueError, match=r"negative electrode would be .* active material"):
        bpx_object("OKane2022", potentials, found, LIMITS, 0.5 * NOMINAL, "made up", {})


def test_half_cells_are_read_from_bpx(tmp_path):
    path = tmp_path / "cell.json"
    written(path, graphite_nmc())
    for side, name in (("negative", "Ecker2015"), ("positive", "Chen2020")):
        ours, theirs = bpx_half_cell(path, side), parameter_set_half_cell(name, side)
        np.testing.assert_allclose(ours.potential, theirs.potential, atol=1e-6)
    with pytest.raises(ValueError, match="has 1 materials; phase is 'Secondary'"):
        bpx_half_cell(path, "negative", "Secondary")
    path.write_text("{}")
    with pytest.raises(ValueError, match="is no BPX file"):
        bpx_half_cell(path, "negative")
