import jax
import jax.numpy as jnp
import numpy as np
import pybamm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.calibration.half_cell import (
    HalfCell,
    electrode,
    half_cell,
    integral_at,
    parameter_set_half_cell,
    potential_at,
)

from .cells import graphite_nmc, silicon_graphite_nmc

INSIDE = jnp.linspace(0.013, 0.987, 57)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("scale", [1.0, -2.5])
def test_potential_falls_as_lithium_enters_however_the_curve_was_measured(reverse, scale):
    full = np.linspace(0.0, 1.0, 101)
    potential = 1.0 - 0.8 * full
    charge = scale * full + 3.0
    if scale < 0.0:
        potential = potential[::-1]
        charge = charge[::-1]
    order = slice(None, None, -1) if reverse else slice(None)
    found = half_cell(charge[order], potential[order])
    np.testing.assert_allclose(found.stoichiometry, full, atol=1e-12)
    np.testing.assert_allclose(found.potential, 1.0 - 0.8 * full, atol=1e-12)


def test_noise_is_levelled_and_no_more():
    rng = np.random.default_rng(0)
    full = np.linspace(0.0, 1.0, 400)
    clean = 1.0 - full**2
    found = half_cell(full, clean + 1e-3 * rng.normal(size=full.size))
    assert (np.diff(found.potential) <= 0.0).all()
    assert np.sqrt(np.mean((found.potential - clean) ** 2)) < 1e-3


def test_curves_that_tell_nothing_are_refused():
    with pytest.raises(ValueError, match="5 points"):
        half_cell(np.arange(5.0), np.arange(5.0))
    with pytest.raises(ValueError, match=r"does not depend on charge|must fall"):
        half_cell(np.arange(20.0), np.ones(20))


@pytest.mark.parametrize(("name", "side"), [("Chen2020", "positive"), ("Chen2020", "negative")])
def test_tables_hold_the_potential_of_the_parameter_set(name, side):
    values = pybamm.ParameterValues(name)
    theirs = values[f"{side.capitalize()} electrode OCP [V]"](pybamm.Vector(np.asarray(INSIDE)))
    ours = potential_at(electrode(parameter_set_half_cell(name, side)), INSIDE)
    np.testing.assert_allclose(ours, np.asarray(values.evaluate(theirs)).ravel(), rtol=2e-4)


def test_a_potential_that_a_set_lacks_is_named():
    with pytest.raises(ValueError, match="Chen2020 has no 'Secondary: Negative electrode OCP"):
        parameter_set_half_cell("Chen2020", "negative", "Secondary")


@settings(deadline=None)
@given(share=st.floats(0.0, 0.59), place=st.floats(0.02, 0.98))
def test_the_slope_of_the_integral_is_the_potential(share, place):
    for electrodes, used in ((graphite_nmc(), 0.0), (silicon_graphite_nmc(), share)):
        slope = jax.grad(lambda x, e=electrodes, s=used: integral_at(e.negative, x[None], s)[0])(jnp.asarray(place))
        potential = potential_at(electrodes.negative, jnp.asarray([place]), used)[0]
        np.testing.assert_allclose(slope, potential, rtol=1e-8)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37])
def test_two_materials_hold_lithium_at_one_potential(share):
    first, second = (parameter_set_half_cell("Chen2020_composite", "negative", p) for p in ("Primary", "Secondary"))
    potential = np.linspace(0.06, 0.8, 40)
    held = [np.interp(-potential, -each.potential, each.stoichiometry) for each in (first, second)]
    together = jnp.asarray((1.0 - share) * held[0] + share * held[1])
    found = potential_at(silicon_graphite_nmc().negative, together, share)
    np.testing.assert_allclose(found, potential, atol=1e-3)


def test_beyond_its_ends_a_potential_goes_on_straight():
    line = electrode(HalfCell(np.array([0.0, 1.0]), np.array([1.0, 0.2])))
    np.testing.assert_allclose(potential_at(line, jnp.array([-0.1, 1.1])), [1.08, 0.12], atol=1e-9)


def test_a_whole_cycle_is_no_half_cell():
    charge = np.concatenate([np.linspace(0.0, 1.0, 100), np.linspace(0.0, 1.0, 100) + 1e-4])
    potential = np.concatenate([np.linspace(1.0, 0.1, 100), np.linspace(0.8, 0.3, 100)])
    with pytest.raises(ValueError, match=r"rises by .* V where it must fall"):
        half_cell(charge, potential)
