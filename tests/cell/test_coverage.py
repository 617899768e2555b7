"""What of PyBaMM the lowered cell covers, row by row of the committed table, and why the rest is refused."""

import warnings
from typing import get_args

import pybamm
import pytest

from cell_check import EQUILIBRIA, OUTPUTS, imbalance, random_states
from cell_coverage import FAMILIES, NOT_CELLS, PLAIN, TABLE, VALUES, check, pair_cover, rows, table, written
from fadecast.cell import chemistry as options
from fadecast.cell.chemistry import Chemistry, PybammOptionError, UnphysicalError
from fadecast.cell.discretised import discretise, pybamm_model
from fadecast.cell.model import lowered_cell, needed_outputs

STATUSES = {"works", "PyBaMM refuses", "set lacks the parameter", "refused as unphysical"}
VIOLATING = (
    ("double layer", {"surface_form": "differential", "sei_film_resistance": "average"}),
    ("polynomial particles", {"particle": "quadratic profile"}),
    ("polynomial particles", {"particle": ("Fickian diffusion", "quartic profile"), "model": "SPMe"}),
    ("MSMR with heat", {**FAMILIES["MSMR_Example"], "parameter_set": "MSMR_Example", **PLAIN, "thermal": "lumped"}),
    (
        "transference number that varies, with salt transport",
        {"model": "SPMe", "parameter_set": "ORegan2022", **PLAIN},
    ),
)


def is_quick(row):
    """Whether a row is in the default run: single options of an SPM, and each set plain in SPM and full in SPMe."""
    if row.group == "single option":
        return row.given["model"] == "SPM"
    return row.group == "parameter set" and row.name.endswith(("SPM, no ageing", "SPMe, full ageing"))


def as_parameters(chosen):
    slow = pytest.mark.slow
    return [pytest.param(row, id=row.name, marks=() if is_quick(row) else slow) for row in chosen]


@pytest.mark.parametrize("row", as_parameters(rows()))
def test_a_row_of_the_table_is_what_the_code_gives(row):
    with warnings.catch_warnings():
        # PyBaMM says at each use that its hysteresis decay rate was redefined in 25.10.
        warnings.filterwarnings("ignore", message="The definition of the hysteresis decay rate")
        assert check(row.given) == written()[row.name]


def test_the_table_holds_each_row_and_no_unexplained_status():
    results = written()
    assert list(results) == [row.name for row in rows()]
    assert {result.status for result in results.values()} <= STATUSES
    assert TABLE.read_text(encoding="utf-8") == table(results)


def test_every_set_that_pybamm_ships_is_offered_or_said_not_to_be_a_lithium_ion_cell():
    assert set(get_args(options.ParameterSet)) | set(NOT_CELLS) == set(pybamm.parameter_sets)


def test_pairs_hold_every_value_that_is_not_refused_everywhere():
    held = {(field, value) for given in pair_cover() for field, value in given.items()}
    for field in ("sei", "lithium_plating", "loss_of_active_material", "sei_on_cracks", "particle_mechanics"):
        assert {(field, value) for value in VALUES[field]} <= held


def test_each_refusal_has_a_violation_to_show():
    assert {name for name, _ in VIOLATING} == {kind.name for kind in options.UNPHYSICAL}


@pytest.mark.parametrize(("name", "given"), VIOLATING)
def test_what_is_refused_as_unphysical_violates_the_balance(name, given, monkeypatch):
    with pytest.raises(UnphysicalError) as refused:
        Chemistry(**given)
    assert str(refused.value) == next(kind.why for kind in options.UNPHYSICAL if kind.name == name)
    monkeypatch.setattr(options, "UNPHYSICAL", ())
    chemistry = Chemistry(**given)
    equilibria = [name for name in EQUILIBRIA if name in pybamm_model(chemistry)[0].variables]
    found = discretise(chemistry, (), (*OUTPUTS, *equilibria, *needed_outputs(chemistry)))
    cell = lowered_cell(chemistry, found)
    y, inputs = random_states(cell, found)
    assert imbalance(cell, found, y, inputs) > 1e-5


def test_what_pybamm_refuses_is_said_when_the_chemistry_is_made():
    with pytest.raises(PybammOptionError, match="stress-induced diffusion without a particle"):
        Chemistry(particle_mechanics="none")
    with pytest.raises(PybammOptionError, match="x-average side reactions"):
        discretise(Chemistry(x_average_side_reactions="false"))


def test_defaults_are_the_options_of_the_first_release():
    assert Chemistry().options == {
        "SEI": "solvent-diffusion limited",
        "SEI on cracks": "false",
        "SEI porosity change": "false",
        "lithium plating": "partially reversible",
        "lithium plating porosity change": "false",
        "particle mechanics": ("swelling and cracking", "swelling only"),
        "loss of active material": "stress-driven",
        "thermal": "lumped",
        "contact resistance": "true",
        "particle phases": "1",
        "open-circuit potential": "single",
        "particle": "Fickian diffusion",
        "diffusivity": "single",
        "exchange-current density": "single",
        "x-average side reactions": "true",
    }
