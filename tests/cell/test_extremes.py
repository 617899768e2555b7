"""What a cell has been through is what its course shows, from the end of spin-up."""

import jax
import jax.numpy as jnp
import numpy as np

from fadecast.cell.aged import lift
from fadecast.cell.control import state_of_charge
from fadecast.cell.extremes import Extremes, of_nothing, stacked
from fadecast.cell.health import stoichiometry_at
from fadecast.cell.profile import Course, Profile, Stepping, run_profile

from .cells import LAM, LLI, WIDE, aged, electrode_window, fitted_cell, inputs_of

LOAD_STEP, LANES = 900.0, len(LLI)
SHARES = np.array([1.2, 0.1, -0.5, 0.3, -0.8, 0.2])
"""Power of the load steps over nameplate energy [1/h]; the first is spin-up, and the largest."""


def followed() -> tuple[Course, jax.Array]:
    """Follow the profile; return its course, and the state of charge at the end of spin-up."""
    cell, inputs = fitted_cell(), inputs_of(fitted_cell(), LANES)
    slow = aged(cell, LLI, LAM)
    power = jnp.asarray(SHARES[:, None] * cell.nameplate_energy * np.ones(LANES))

    @jax.jit
    def run() -> tuple[Course, jax.Array]:
        window = electrode_window(cell, slow, inputs)
        y = lift(cell, slow, stoichiometry_at(window, jnp.full((1, LANES), 0.6)), jnp.full((1, LANES), 298.15))
        ambient = jnp.full_like(power, 298.15)
        profile = Profile(power, ambient)
        course = run_profile(cell, WIDE, Stepping(), LOAD_STEP, y, inputs, window, profile, spin_up=1)
        return course, state_of_charge(cell, course.start, window)

    return run()


def test_extremes_are_those_of_the_course():
    course, first = followed()
    found, trace = course.totals.extremes, course.trace
    assert {np.shape(value) for value in found} == {(1, LANES)}
    # Charges are those at the start of load steps: all ends but the last, and that of spin-up.
    charges = np.concatenate([first, trace.state_of_charge[:-1]])
    np.testing.assert_allclose(found.fullest[0], charges.max(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.emptiest[0], charges.min(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.temperature[0], np.max(trace.temperature, axis=0))
    # At the end of a charge the voltage is higher than at its start, and the current less.
    ends = np.abs(trace.current).max(axis=0)
    assert (found.current[0] > ends).all()
    low, high = fitted_cell().voltage_limits
    power = np.abs(SHARES[1:]).max() * fitted_cell().nameplate_energy
    assert (found.current >= power / high).all()
    assert (found.current <= power / low).all()


def test_extremes_of_two_times_go_beyond_both():
    one = Extremes(*np.array([[300.0, 310.0], [2.0, 1.0], [0.9, 0.8], [0.3, 0.1]]))
    other = Extremes(*np.array([[305.0, 305.0], [1.0, 3.0], [0.7, 0.95], [0.2, 0.2]]))
    expected = [[305.0, 310.0], [2.0, 3.0], [0.9, 0.95], [0.2, 0.1]]
    np.testing.assert_array_equal(one.beyond(other), expected)
    np.testing.assert_array_equal(other.beyond(one), expected)
    np.testing.assert_array_equal(stacked([one, other]).over_first(), expected)
    np.testing.assert_array_equal(of_nothing(2).beyond(one), one)
