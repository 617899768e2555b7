"""What no time step makes or loses, for every kind of ageing that can be followed: lithium, salt, energy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.cell.aged import total_lithium
from fadecast.cell.control import Limits, Window
from fadecast.cell.model import Chemistry, build_cell
from fadecast.cell.modes import diffusion_modes
from fadecast.cell.profile import Profile, Stepping, run_profile

from .cells import inputs_of, noisy_power

LANES, DAYS, HOURS = 3, 20, 24
LIMITS = Limits(charge_derating=(), discharge_derating=())
CRACKED = {"sei_on_cracks": "true"}
SALT = {"model": "SPMe", "electrolyte_points": 6}
CHEMISTRIES = {
    "default": {},
    "SEI on cracks": CRACKED,
    "salt": SALT,
    "salt, cracks and closing pores": {
        **SALT,
        **CRACKED,
        "sei_porosity_change": "true",
        "lithium_plating_porosity_change": "true",
    },
    "reaction-limited SEI": {"sei": "reaction limited"},
    "SEI of EC, on cracks": {"sei": "ec reaction limited", **CRACKED},
    "electron-migration SEI": {"sei": "electron-migration limited"},
    "interstitial SEI": {"sei": "interstitial-diffusion limited"},
    "VonKolzenberg SEI": {"sei": "VonKolzenberg2020"},
    "irreversible plating": {"lithium_plating": "irreversible"},
    "reversible plating": {"lithium_plating": "reversible"},
    "reaction-driven loss": {"loss_of_active_material": "reaction-driven"},
    "stress and reaction-driven loss": {"loss_of_active_material": "stress and reaction-driven"},
    "asymmetric loss": {"loss_of_active_material": "asymmetric stress-driven"},
    "nothing but SEI": {"lithium_plating": "none", "particle_mechanics": "none", "loss_of_active_material": "none"},
    "isothermal": {"thermal": "isothermal"},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "default" else pytest.mark.slow) for name in CHEMISTRIES]
)
def test_lithium_salt_and_energy_are_kept(name):
    """Twenty days of hourly noise at 0, 25 and 45 degC, from fresh: lithium within 1e-10 a year."""
    cell = build_cell(Chemistry(**CHEMISTRIES[name]))
    y = jnp.tile(jnp.asarray(cell.initial_state)[:, None], (1, LANES))
    y = y.at[cell.rows["concentration_ne"]].multiply(0.7).at[cell.rows["concentration_pe"]].multiply(1.27)
    power = noisy_power(DAYS * HOURS, LANES, 6.0, seed=1)
    ambient = 273.15 + np.broadcast_to([0.0, 25.0, 45.0], power.shape)
    window = Window(*(jnp.full((1, LANES), value) for value in (0.02, 0.95, 5.0)))
    run = jax.jit(
        lambda power, ambient: run_profile(
            cell, LIMITS, Stepping(), 3600.0, y, inputs_of(cell, LANES), window, Profile(power, ambient)
        )
    )
    course = run(jnp.asarray(power), jnp.asarray(ambient))
    assert np.isfinite(np.asarray(course.end)).all()
    grown = np.asarray(cell.physical(course.end, "sei") - cell.physical(y, "sei"))
    assert (grown > 0.0).all()
    made = np.asarray(total_lithium(cell, course.end) / total_lithium(cell, y)) - 1.0
    assert np.abs(made).max() * 365.0 / DAYS < 1e-10
    for block in (block for block in diffusion_modes(cell) if block.closed):
        salt = [block.weights[:, 0] @ np.asarray(state)[block.rows] for state in (y, course.end)]
        np.testing.assert_allclose(salt[1], salt[0], rtol=1e-10)
    totals = course.totals
    balance = np.asarray(totals.demanded - totals.delivered - totals.unserved + totals.spilled)
    assert np.abs(balance).max() < 1e-12 * np.abs(power).sum(axis=0).max()
