"""Affine columns against the same sums and products of columns written out."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.cell.affine import Affine, written_out

ROWS, NUMBERS, LANES = 5, 3, 4


def column(rng: np.random.Generator, numbers: jnp.ndarray, rest: bool) -> Affine:
    return Affine(
        rng.normal(size=(ROWS, NUMBERS)),
        rng.normal(size=(ROWS, 1)),
        numbers,
        jnp.asarray(rng.normal(size=(ROWS, LANES))) if rest else None,
    )


STEPS = (
    lambda rng, a, b: (a + b, written_out(a) + written_out(b)),
    lambda rng, a, b: (a - b, written_out(a) - written_out(b)),
    lambda rng, a, b: (-a, -written_out(a)),
    lambda rng, a, b: (a * (k := rng.normal()), written_out(a) * k),
    lambda rng, a, b: ((k := rng.normal(size=(ROWS, 1))) * a, k * written_out(a)),
    lambda rng, a, b: (a / (k := 2.0 + rng.uniform()), written_out(a) / k),
    lambda rng, a, b: ((k := rng.normal(size=(1, 1))) - a, k - written_out(a)),
    lambda rng, a, b: (a * (k := jnp.asarray(rng.normal(size=(1, LANES)))), written_out(a) * k),
    lambda rng, a, b: ((k := jnp.asarray(rng.normal(size=(1, LANES)))) / a, k / written_out(a)),
    lambda rng, a, b: ((k := jnp.asarray(rng.normal(size=(ROWS, LANES)))) - a, k - written_out(a)),
)


@given(
    st.integers(0, 2**32 - 1), st.lists(st.integers(0, 6), max_size=6), st.integers(0, len(STEPS) - 1), st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_sums_and_products_are_those_of_columns_written_out(seed, steps, last, rest):
    """Also after a chain of operations that stay affine, and with one more that may not."""
    rng = np.random.default_rng(seed)
    numbers = jnp.asarray(rng.normal(size=(NUMBERS, LANES)))
    affine, other = column(rng, numbers, rest), column(rng, numbers, not rest)
    for step in (*steps, last):
        affine, dense = STEPS[step](rng, affine, other)
        np.testing.assert_allclose(written_out(affine), dense, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_product_with_a_matrix_is_that_of_the_column_written_out(seed, height, rest):
    rng = np.random.default_rng(seed)
    affine = column(rng, jnp.asarray(rng.normal(size=(NUMBERS, LANES))), rest)
    matrix = rng.normal(size=(height, ROWS))
    found = written_out(affine.transformed(matrix, lambda value: jnp.asarray(matrix) @ value))
    np.testing.assert_allclose(found, matrix @ np.asarray(written_out(affine)), rtol=1e-9, atol=1e-12)


def test_what_differences_of_a_profile_do_not_see_is_gone():
    """A gradient of a profile about its mean keeps single precision of the differences, whatever the mean."""
    about = jnp.asarray([[1e-5], [2e-5], [4e-5]], jnp.float32)
    profile = 0.37 * Affine(np.ones((3, 1)), np.full((3, 1), 7.0), jnp.full((1, 1), 5e4, jnp.float32), about)
    gradient = np.diff(np.eye(3), axis=0)
    found = profile.transformed(gradient, lambda value: jnp.asarray(gradient, value.dtype) @ value)
    np.testing.assert_allclose(written_out(found), 0.37 * np.array([[1e-5], [2e-5]]), rtol=1e-6)
