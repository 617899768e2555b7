from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fadecast.calibration.coordinates import spread_of
from fadecast.calibration.forgetting import bearable, forget, merged, picked

SEEN = np.array([[1.0, 0.5, 0.0], [0.3, -1.0, 0.4], [0.0, 0.8, 1.0], [1.2, 0.0, -0.7]])
"""What each of four cells measures of three unknowns, with an error of 1/2."""
MEASURED = np.array([2.0, -0.5, 0.4, 0.1])


def line(known, z):
    left = (MEASURED - SEEN @ z) / 0.5
    return -0.5 * (z**2).sum() - 0.5 * (known * left**2).sum()


def exact(known):
    """Return mean, covariance and log of the integral of `line`."""
    precision = np.eye(3) + 4.0 * (SEEN.T * known) @ SEEN
    middle = np.linalg.solve(precision, 4.0 * (SEEN.T * known) @ MEASURED)
    total = float(line(known, middle)) - 0.5 * np.linalg.slogdet(precision)[1]
    return middle, np.linalg.inv(precision), total


def below(density):
    """Return the share below 0 of the first of two unknowns that are independent of each other."""
    at = jnp.linspace(-6.0, 6.0, 4001)
    value = np.exp(np.asarray(jax.vmap(lambda z: density(jnp.array([z, 0.0])))(at)))
    return value[np.asarray(at) < 0.0].sum() / value.sum()


@pytest.mark.parametrize("gone", [[0], [1, 3]])
def test_a_measurement_of_a_line_is_forgotten(gone):
    every, known = np.ones(4), np.ones(4)
    known[gone] = 0.0
    middle, spread, total = exact(every)
    begun = np.random.default_rng(0).multivariate_normal(middle, spread, size=(4, 200))
    found = forget(line, 4)(begun, jnp.asarray(np.linalg.cholesky(spread)), known, jax.random.key(0))
    wanted, wide, left = exact(known)
    sd, flat = np.sqrt(np.diag(wide)), found.z.reshape(-1, 3)
    assert (np.abs(wanted - middle) > 0.5 * np.sqrt(np.diag(spread))).any()
    # Of 800 draws a good half are apart from each other.
    np.testing.assert_allclose((flat.mean(axis=0) - wanted) / sd, 0.0, atol=4.0 / np.sqrt(400))
    np.testing.assert_allclose(np.cov(flat.T) / np.outer(sd, sd), wide / np.outer(sd, sd), atol=0.2)
    assert found.log_evidence.mean() == pytest.approx(left - total, abs=0.2)


def two(known, z):
    """Two parts that no path goes between, the lower of which one cell speaks against."""
    parts = jnp.stack([-0.5 * ((z[0] - top) / 0.2) ** 2 for top in (-3.0, 3.0)])
    return jax.scipy.special.logsumexp(parts) + 2.0 * known[0] * jnp.tanh(z[0]) - 0.5 * z[1] ** 2


def of_two(share, groups, count, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(groups, count, 2))
    z[..., 0] = np.where(rng.random((groups, count)) < share, -3.0, 3.0) + 0.2 * z[..., 0]
    return z


def test_draws_go_to_both_parts_of_a_posterior_that_no_path_goes_between():
    """One in fifty lies in the lower part given all, and half without the cell that says so."""
    few, many = (below(partial(two, jnp.array([known]))) for known in (1.0, 0.0))
    assert few < 0.02
    assert many == pytest.approx(0.5)
    run, wide = forget(two, 2), jnp.diag(jnp.array([0.8, 1.0]))
    found = run(of_two(few, 4, 500, 1), wide, np.zeros(1), jax.random.key(1))
    lower = found.z[..., 0][found.z[..., 0] < 0.0]
    # Some 36 of 2,000 draws began there, and weights multiply their error.
    assert lower.size / 2000 == pytest.approx(many, abs=0.15)
    assert lower.std() == pytest.approx(0.2, rel=0.2)


def test_groups_that_met_more_of_a_posterior_count_for_more():
    """One draw of 64 is in the lower part, or none: by themselves groups come to less than there is of it."""
    few, many = (below(partial(two, jnp.array([known]))) for known in (1.0, 0.0))
    run, wide = forget(two, 1), jnp.diag(jnp.array([0.8, 1.0]))
    apart, together = [], []
    for seed in range(8):
        found = run(of_two(few, 16, 64, seed), wide, np.zeros(1), jax.random.key(seed))
        apart.append((found.z[..., 0] < 0.0).mean())
        together.append((merged(found.z, found.log_evidence)[:, 0] < 0.0).mean())
    error = np.std(together, ddof=1) / np.sqrt(8)
    assert np.mean(apart) < many - 0.07
    assert np.mean(together) == pytest.approx(many, abs=3.0 * error + 0.02)


def test_draws_do_not_hang_on_the_number_of_cores(monkeypatch):
    found = []
    for cores in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        begun = np.random.default_rng(0).normal(size=(3, 16, 3))
        found.append(forget(line, 2)(begun, jnp.eye(3), np.array([1.0, 0.0, 1.0, 1.0]), jax.random.key(0)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_as_much_is_taken_back_as_leaves_half_of_the_draws():
    change = np.zeros((2, 64))
    change[1, :16] = 8.0
    more = bearable(change, 1.0)
    weights = np.exp(more * change[1])
    assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(32.0, rel=1e-4)
    assert bearable(change, 0.01) == 0.01
    assert bearable(change[:1], 1.0) == 1.0


def test_draws_that_have_no_density_left_end_in_an_error():
    def density(known, z):
        return jnp.where((z[0] > 0.0) & (known[0] < 1.0), jnp.nan, -0.5 * (z**2).sum())

    begun = np.random.default_rng(0).normal(size=(2, 32, 2))
    with pytest.raises(ValueError, match="have no density without these"):
        forget(density, 1)(begun + 3.0, jnp.eye(2), np.zeros(1), jax.random.key(0))
    few = begun - 1.0
    assert (few[..., 0] > 0.0).any()
    found = forget(density, 1)(few, jnp.eye(2), np.zeros(1), jax.random.key(0))
    assert np.isfinite(found.z).all()
    assert (found.z[..., 0] < 0.0).all()


def test_draws_are_drawn_as_often_as_they_weigh():
    weights = np.array([0.5, 0.0, 0.25, 0.25])
    np.testing.assert_array_equal(picked(weights, 0.3), [0, 0, 2, 3])
    often = np.bincount(np.concatenate([picked(np.array([0.3, 0.7]), offset) for offset in np.linspace(0, 1, 1001)]))
    np.testing.assert_allclose(often / often.sum(), [0.3, 0.7], atol=2e-3)


def test_coordinates_of_weighed_draws_are_those_of_as_many_draws():
    z = np.random.default_rng(2).normal(size=(2, 30, 3)) @ np.diag([1.0, 5.0, 0.1])
    times = np.random.default_rng(3).integers(1, 4, size=(2, 30))
    weighed = spread_of(z, jnp.eye(3), times / times.sum())
    drawn = spread_of(np.repeat(z.reshape(-1, 3), times.ravel(), axis=0)[None], jnp.eye(3))
    np.testing.assert_allclose(weighed.middle, drawn.middle, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(weighed.wide), np.asarray(drawn.wide), rtol=0.02, atol=1e-12)
