"""Chemistries admitted to a forecast: every state of theirs is carried, or is one that a day starts anew."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import SlowState, fresh_state, lift, restrict
from fadecast.cell.chemistry import Chemistry, GrowthLaw, MaterialLoss
from fadecast.cell.model import build_cell
from fadecast.cell.partition import partition
from fadecast.decades.admitted import forecast_problems

LIFTED = {
    *("concentration_ne", "concentration_pe", "temperature", "plated", "electrolyte"),
    *("discharge_capacity", "charge_throughput"),
}
OTHER_SETS = ("Ai2020", "Ecker2015", "Marquis2019", "Mohtat2020", "NCA_Kim2011", "ORegan2022", "Prada2013")
BOTH = ("swelling and cracking", "none")
SOME = [
    Chemistry(),
    Chemistry(sei="VonKolzenberg2020", loss_of_active_material="stress and reaction-driven"),
    Chemistry(sei="ec reaction limited", particle_mechanics=BOTH, loss_of_active_material="reaction-driven"),
    Chemistry(parameter_set="Prada2013"),
    Chemistry(model="SPMe", sei_on_cracks="true", sei_porosity_change="true", lithium_plating_porosity_change="true"),
]
ALL = [
    *[Chemistry(sei=law) for law in GrowthLaw.__args__ if law not in ("none", "constant")],
    *[Chemistry(loss_of_active_material=loss) for loss in MaterialLoss.__args__ if loss != "none"],
    *[Chemistry(parameter_set=name) for name in OTHER_SETS],
    Chemistry(stress_induced_diffusion="false"),
]


def check(chemistry):
    assert not list(forecast_problems(chemistry))
    cell = build_cell(dataclasses.replace(chemistry, particle_points=5))
    fields = set(SlowState._fields) - {"inventory"}
    # No cracks, no SEI on them.
    assert fields - {"sei_cracks"} <= set(cell.rows)
    assert set(cell.rows) <= fields | LIFTED
    partition(cell)
    slow = fresh_state(cell, 2)
    back = restrict(cell, lift(cell, slow, jnp.full((1, 2), 0.5), jnp.full((1, 2), 298.15)), slow.inventory)
    for mine, truth in zip(back, slow, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(truth), rtol=1e-13)


@pytest.mark.parametrize("chemistry", SOME, ids=lambda chemistry: f"{chemistry.parameter_set}, {chemistry.sei}")
def test_a_slow_state_carries_what_is_admitted(chemistry):
    check(chemistry)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chemistry",
    ALL,
    ids=lambda chemistry: f"{chemistry.parameter_set}, {chemistry.sei}, {chemistry.loss_of_active_material}",
)
def test_a_slow_state_carries_all_that_is_admitted(chemistry):
    check(chemistry)
