"""SEI on cracks without surface states: PyBaMM's own balance is violated, ours is not, and the ageing is the same."""

import jax.numpy as jnp
import numpy as np
import pytest

from cell_check import OUTPUTS, imbalance, random_states
from fadecast.cell import discretised
from fadecast.cell.balance import lost_lithium, particle_lithium
from fadecast.cell.discretised import discretise
from fadecast.cell.model import CellModel, Chemistry, build_cell, lowered_cell, needed_outputs
from fadecast.cell.reference import reference_run

from .cells import fitted_chemistry, noisy_power


def cracked(**given) -> Chemistry:
    return Chemistry(sei_on_cracks="true", parameters=fitted_chemistry().parameters, **given)


@pytest.mark.parametrize("model", ["SPM", "SPMe"])
def test_the_correction_moves_the_balance_and_nothing_else(model, monkeypatch):
    chemistry = cracked(model=model, electrolyte_points=6)
    found = {"ours": discretise(chemistry, (), (*OUTPUTS, *needed_outputs(chemistry)))}
    monkeypatch.setattr(discretised, "charge_particles_for_cracks", lambda model: None)
    found["PyBaMM's"] = discretise(chemistry, (), (*OUTPUTS, *needed_outputs(chemistry)))
    cells = {whose: lowered_cell(chemistry, each) for whose, each in found.items()}
    y, inputs = random_states(cells["ours"], found["ours"])
    assert imbalance(cells["ours"], found["ours"], y, inputs) < 1e-10
    assert imbalance(cells["PyBaMM's"], found["PyBaMM's"], y, inputs) > 1e-2
    given = {name: jnp.asarray(value) for name, value in inputs.items()}
    ours, theirs = (np.asarray(cell.rhs(jnp.asarray(y), given)) for cell in cells.values())
    # What intercalates less also heats less.
    charged = {"concentration_ne", "electrolyte", "temperature"}
    for name, rows in cells["ours"].rows.items():
        if name not in charged:
            np.testing.assert_allclose(ours[rows], theirs[rows], rtol=1e-12, err_msg=name)
    surface = cells["ours"].rows["concentration_ne"].stop - 1
    assert (ours[surface] < theirs[surface]).all()


def moved(chemistry: Chemistry, steps: int) -> tuple[CellModel, dict[str, float]]:
    """Changes of one-minute noise by IDAKLU: crack SEI [mol.m-3], lithium in particles and lost by them [mol]."""
    cell = build_cell(chemistry)
    start = cell.initial_state.copy()
    start[cell.rows["concentration_ne"]] *= 0.6
    start[cell.rows["concentration_pe"]] *= 1.3
    run = reference_run(chemistry, start, noisy_power(steps, 1, 6.0, seed=4)[:, 0], np.full(steps, 298.15), 60.0)
    end = start.copy()
    for name, rows in cell.rows.items():
        end[rows] = run.states[name][-1]

    def amounts(y: np.ndarray) -> dict[str, float]:
        state = jnp.asarray(y)[:, None]
        return {
            "crack SEI": float(cell.physical(state, "sei_cracks")[0, 0]),
            "particles": float((particle_lithium(cell, state, "ne") + particle_lithium(cell, state, "pe"))[0, 0]),
            "lost": float((lost_lithium(cell, state, "ne") + lost_lithium(cell, state, "pe"))[0, 0]),
        }

    before, after = amounts(start), amounts(end)
    return cell, {name: after[name] - before[name] for name in after}


@pytest.mark.parametrize("model", ["SPM", pytest.param("SPMe", marks=pytest.mark.slow)])
def test_agreement_with_the_surface_form_in_which_pybamm_charges_the_particles(model):
    """Another approximation of the same cell: 1e-3 in crack SEI and in the lithium that the particles lose."""
    cell, ours = moved(cracked(model=model), 120)
    _, theirs = moved(cracked(model=model, surface_form="algebraic", sei_film_resistance="average"), 120)
    assert ours["particles"] == pytest.approx(theirs["particles"], rel=1e-3)
    assert ours["crack SEI"] == pytest.approx(theirs["crack SEI"], rel=1e-3)
    assert ours["particles"] == pytest.approx(-ours["lost"], abs=1e-11 * cell.fresh_lithium)
    on_cracks = ours["crack SEI"] * cell.lithium_per_sei * cell.negative.volume
    assert on_cracks > 0.3 * ours["lost"]
