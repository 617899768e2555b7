import numpy as np
import pytest

from fadecast.population.evidence import degradation_modes
from fadecast.population.modes import LARGEST_DEVIATION, sample_directions, scale_to_soh


def linear(lli, lam_ne, lam_pe):
    return 1.0 - (0.8 * lli + 0.15 * lam_ne + 0.05 * lam_pe)


def limited(lli, lam_ne, lam_pe):
    """Return the least of what lithium and either electrode allow: kinked, as of a real cell."""
    return np.minimum(1.0 - lli, np.minimum(1.15 * (1.0 - lam_ne), 1.3 * (1.0 - lam_pe)))


def test_a_linear_cell_is_scaled_in_closed_form():
    directions = np.array([[[1.0, 0.9]], [[0.8, 0.5]], [[0.6, 0.7]]])
    soh = np.array([[0.7, 0.65]])
    losses = scale_to_soh(directions, soh, linear)
    scale = (1.0 - soh) / (0.8 * directions[0] + 0.15 * directions[1] + 0.05 * directions[2])
    np.testing.assert_allclose(losses, scale * directions, rtol=1e-12)


@pytest.mark.parametrize("capacity_of", [linear, limited])
def test_soh_is_matched_and_the_direction_kept(capacity_of):
    directions = sample_directions(1, degradation_modes(), 20, 50)
    soh = np.linspace(0.5, 0.84, 1000).reshape(20, 50)
    losses = scale_to_soh(directions, soh, capacity_of)
    np.testing.assert_allclose(capacity_of(*losses), soh, rtol=1e-12)
    np.testing.assert_allclose(losses / losses[0], directions / directions[0], rtol=1e-12)
    assert losses.min() > 0.0
    assert losses.max() < 1.0


def test_a_pack_has_the_same_losses_alone_and_among_others():
    directions = sample_directions(1, degradation_modes(), 3, 7)
    soh = np.linspace(0.6, 0.8, 21).reshape(3, 7)
    together = scale_to_soh(directions, soh, limited)
    alone = scale_to_soh(directions[:, 2:3, 4:5], soh[2:3, 4:5], limited)
    np.testing.assert_array_equal(together[:, 2:3, 4:5], alone)


def test_a_soh_that_no_loss_reaches_is_refused():
    directions = np.ones((3, 1, 1))
    with pytest.raises(ValueError, match=r"1 of 1 packs.*SOH 0\.700.*has 1\.000 of its nominal.*narrow soh_range"):
        scale_to_soh(directions, np.array([[0.7]]), lambda lli, lam_ne, lam_pe: 1.0 - 0.1 * lli)


def test_a_capacity_that_is_not_finite_is_refused():
    directions = np.ones((3, 1, 1))
    with pytest.raises(ValueError, match="finite"):
        scale_to_soh(directions, np.array([[0.7]]), lambda lli, lam_ne, lam_pe: np.full_like(lli, np.nan))


def test_the_measured_spread_between_cells_is_recovered():
    modes = degradation_modes()
    logs = np.log(sample_directions(2, modes, 4_000, 200))
    between_packs = np.cov((logs - logs.mean(axis=2, keepdims=True)).reshape(3, -1))
    np.testing.assert_allclose(between_packs, modes.log_covariance, rtol=0.03)
    np.testing.assert_allclose(logs.mean(axis=(1, 2)), modes.log_mean, atol=0.02)
    between_draws = np.cov(logs.mean(axis=2))
    np.testing.assert_allclose(between_draws, modes.log_covariance * (1.0 / modes.cells + 1.0 / 200), rtol=0.1)


def test_directions_have_no_tail_beyond_the_evidence():
    modes = degradation_modes()
    logs = np.log(sample_directions(3, modes, 200, 1_000))
    furthest = np.abs(logs - modes.log_mean[:, None, None]).max(axis=(1, 2))
    np.testing.assert_allclose(furthest, LARGEST_DEVIATION * np.sqrt(np.diag(modes.log_covariance)))
