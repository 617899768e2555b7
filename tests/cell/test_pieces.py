"""States in pieces, and that programs which are traced see them as those that are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pybamm
import pytest

from fadecast.cell.lowering import lower
from fadecast.cell.pieces import Pieces

WHOLE = jnp.arange(12.0).reshape(6, 2)
REPLACED = Pieces(WHOLE).replace((slice(4, 6), -jnp.ones((2, 2))), (slice(1, 3), jnp.full((2, 2), 0.5)))


@pytest.fixture(scope="module")
def lowered():
    whole, voltage = pybamm.StateVector(slice(0, 6)), pybamm.StateVector(slice(1, 2), slice(4, 5))
    return lower({"rates": -whole * pybamm.InputParameter("k"), "voltage": pybamm.exp(voltage)})


def test_pieces_pass_through_a_program_as_they_are():
    found = jax.jit(lambda y: y)(REPLACED)
    assert [(where.start, where.stop) for where, _ in found.parts] == [(4, 6), (1, 3)]
    assert (found.assembled() == REPLACED.assembled()).all()


@pytest.mark.parametrize("y", [WHOLE, REPLACED], ids=["whole", "pieces"])
def test_values_and_derivatives_do_not_know_whether_they_are_traced(lowered, y):
    inputs = {"k": jnp.full((1, 2), 3.0)}

    def both(state):
        return lowered(state, inputs)

    traced, plain = jax.jit(both)(y), both(y)
    for name, value in plain.items():
        np.testing.assert_allclose(traced[name], value, rtol=1e-15)
    tangent = jax.tree.map(jnp.ones_like, y)
    _, slopes = jax.jvp(both, (y,), (tangent,))
    np.testing.assert_allclose(slopes["rates"], -3.0 * np.ones((6, 2)))
    np.testing.assert_allclose(slopes["voltage"], plain["voltage"], rtol=1e-15)


def test_a_program_traces_what_it_asks_for_often_only_once(lowered, monkeypatch):
    seen = []
    exp = jnp.exp
    monkeypatch.setattr(jnp, "exp", lambda value: seen.append(value) or exp(value))

    @jax.jit
    def often(y):
        for _ in range(5):
            y = y + lowered(y, {"k": jnp.ones((1, 3))})["voltage"].sum()
        return y

    often(jnp.ones((6, 3)))
    assert len(seen) == 1
