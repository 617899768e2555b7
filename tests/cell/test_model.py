"""The lowered cell beyond the default chemistry: names of states, algebraic states, outputs, and PyBaMM's own run."""

import jax.numpy as jnp
import numpy as np
import pytest

from cell_check import EQUILIBRIA, consistent
from cell_coverage import CRACKS, FAMILIES
from fadecast.cell.chemistry import Chemistry
from fadecast.cell.discretised import discretise, pybamm_model
from fadecast.cell.model import AMBIENT, CURRENT, build_cell, lowered_cell, needed_outputs
from fadecast.cell.reference import reference_run

CRACKED = Chemistry(**CRACKS)
TWO_PHASES = Chemistry(parameter_set="Chen2020_composite", **FAMILIES["Chen2020_composite"])


def test_differential_states_come_first_and_are_named():
    cell = build_cell(CRACKED)
    assert cell.differential == 32
    assert cell.rows["sei_cracks"].stop <= cell.differential
    assert cell.rows["surface_potential_ne"].start == 32
    assert cell.rows["surface_potential_pe"].stop == len(cell.initial_state) == len(cell.scale) == 34
    covered = sorted(row for rows in cell.rows.values() for row in range(rows.start, rows.stop))
    assert covered == list(range(34))


def test_salt_is_one_block():
    cell = build_cell(Chemistry(model="SPMe", electrolyte_points=8))
    assert cell.rows["electrolyte"].stop - cell.rows["electrolyte"].start == 24
    covered = sorted(row for rows in cell.rows.values() for row in range(rows.start, rows.stop))
    assert covered == list(range(len(cell.initial_state)))


def test_a_cell_without_algebraic_states_has_an_empty_residual():
    cell = build_cell(Chemistry())
    y = jnp.asarray(np.tile(cell.initial_state[:, None], (1, 3)))
    values = cell.evaluate(y, {CURRENT: jnp.ones((1, 3)), AMBIENT: jnp.full((1, 3), 298.15)})
    assert cell.differential == len(cell.initial_state)
    assert values["algebraic"].shape == (0, 3)


def test_two_phases_have_bookkeeping_of_their_own():
    cell = build_cell(TWO_PHASES)
    assert list(cell.phases) == ["ne_primary", "ne_secondary", "pe"]
    assert {"concentration_ne_primary", "concentration_ne_secondary", "sei_primary"} <= set(cell.rows)
    outputs = ("Total lithium in particles [mol]",)
    whole = build_cell(TWO_PHASES, outputs=outputs)
    inputs = {CURRENT: jnp.zeros((1, 1)), AMBIENT: jnp.full((1, 1), 298.15)}
    counted = whole.evaluate(jnp.asarray(whole.initial_state[:, None]), inputs)[outputs[0]]
    assert cell.fresh_lithium == pytest.approx(float(counted[0, 0]), rel=1e-12)


@pytest.mark.parametrize("chemistry", [CRACKED, TWO_PHASES], ids=["cracks", "two phases"])
def test_pybamms_own_run_starts_from_the_lowered_state_and_stays_on_its_equations(chemistry):
    """Half a minute at 2 W: ends of PyBaMM's steps satisfy the lowered algebraic equations, and move as they say."""
    equilibria = [name for name in EQUILIBRIA if name in pybamm_model(chemistry)[0].variables]
    found = discretise(chemistry, (), (*needed_outputs(chemistry), *equilibria))
    cell = lowered_cell(chemistry, found)
    watts, kelvin = 2.0, 298.15
    inputs = {CURRENT: np.full((1, 1), 0.5), AMBIENT: np.full((1, 1), kelvin)}
    start = consistent(cell, found, cell.initial_state[:, None], inputs)[0][:, 0]
    run = reference_run(chemistry, start, np.full(3, watts), np.full(3, kelvin), 10.0)
    ends = np.stack([np.concatenate([run.states[name][step] for name in cell.rows]) for step in range(3)], axis=1)
    order = np.concatenate([np.arange(rows.start, rows.stop) for rows in cell.rows.values()])
    ends = ends[np.argsort(order)]
    given = {CURRENT: jnp.asarray(watts / run.voltage[None]), AMBIENT: jnp.full((1, 3), kelvin)}
    values = cell.evaluate(jnp.asarray(ends), given)
    np.testing.assert_allclose(np.asarray(values["voltage"])[0], run.voltage, atol=1e-6)
    assert np.abs(np.asarray(values["algebraic"])).max() < 1e-4
    rates = np.asarray(values["rhs"])
    moved = (ends[:, 2] - ends[:, 1])[: cell.differential] / 10.0
    throughput = cell.rows["charge_throughput"]
    np.testing.assert_allclose(moved[throughput], rates[throughput].mean(), rtol=1e-3)
    for name in cell.rows:
        if name.startswith(("sei", "lam_lithium_pe")):
            rows = cell.rows[name]
            np.testing.assert_allclose(moved[rows], rates[rows, 1:].mean(axis=1), rtol=2e-2, atol=1e-12)
