import numpy as np
import pytest
import xarray as xr

from fadecast.population.evidence import degradation_modes
from fadecast.population.modes import sample_directions
from fadecast.population.split import Split, diagnosed, split_directions


@pytest.fixture
def posterior(tmp_path):
    """A posterior of one fresh and two aged cells, the second of which has lost material only, in 3 chains of 50."""
    path = tmp_path / "posterior.nc"
    rng = np.random.default_rng(0)
    dims, coords = ("chain", "draw", "curve"), {"curve": ["fresh", "lithium", "material"]}
    lost = np.array([0.0, 0.1, 0.2])
    jitter = 1.0 + 0.01 * rng.normal(size=(3, 50, 1))
    losses = {
        "lli_since": lost * [0.0, 1.0, 0.0] * jitter,
        "lam_ne_since": lost * [0.0, 0.0, 0.8] * jitter,
        "lam_pe_since": lost * [0.0, 0.2, 1.0] * jitter,
        "capacity_at_rest": 5.0 * (1.0 - lost) * np.ones((3, 50, 1)),
    }
    xr.Dataset({name: (dims, value) for name, value in losses.items()}, coords).to_netcdf(
        path, group="posterior", engine="h5netcdf"
    )
    xr.Dataset({"compared_with": ("curve", ["fresh", "fresh", "fresh"])}, coords).to_netcdf(
        path, group="constant_data", mode="a", engine="h5netcdf"
    )
    return str(path)


def test_without_a_posterior_the_split_is_that_of_the_measured_cells():
    ours = split_directions(Split(), 3, 4, 5)
    np.testing.assert_array_equal(ours, sample_directions(3, degradation_modes(), 4, 5))


def test_factors_multiply_losses():
    plain, more = (split_directions(Split(factors=factors), 3, 4, 5) for factors in ((1.0, 1.0, 1.0), (2.0, 1.0, 0.5)))
    np.testing.assert_allclose(more / plain, np.broadcast_to(np.array([2.0, 1.0, 0.5])[:, None, None], plain.shape))


def test_packs_are_split_as_the_aged_cells_are(posterior):
    samples = diagnosed(posterior)
    assert samples.shape == (150, 2, 3)
    np.testing.assert_allclose(samples.mean(axis=0), [[1.0, 1e-3, 0.2], [1e-3, 0.8, 1.0]], atol=5e-3)
    lli, lam_ne, lam_pe = split_directions(Split(posterior=posterior), 1, 20, 400)
    of_lithium = lli > 0.5
    assert 0.4 < of_lithium.mean() < 0.6
    np.testing.assert_allclose(lam_pe[of_lithium].mean(), 0.2, atol=0.01)
    np.testing.assert_allclose(lam_ne[~of_lithium].mean(), 0.8, atol=0.01)


def test_what_the_posterior_leaves_open_is_common_to_the_packs_of_a_draw(posterior):
    lli, _, _ = split_directions(Split(posterior=posterior), 1, 20, 400)
    by_draw = [np.unique(row[row > 0.5]) for row in lli]
    assert all(len(values) == 1 for values in by_draw)
    assert len({values[0] for values in by_draw}) > 10


def test_a_pack_is_the_same_whatever_the_number_of_others(posterior):
    few, many = (split_directions(Split(posterior=posterior), 1, *size) for size in ((3, 7), (5, 50)))
    np.testing.assert_array_equal(few, many[:, :3, :7])


def test_a_loss_that_may_be_nothing_gives_no_wild_ratio(tmp_path):
    path, rng = tmp_path / "posterior.nc", np.random.default_rng(1)
    dims, coords = ("chain", "draw", "curve"), {"curve": ["fresh", "aged"]}
    lost = np.stack([np.zeros((4, 500)), 0.03 + 0.03 * rng.normal(size=(4, 500))], axis=-1)
    values = dict.fromkeys(("lli_since", "lam_ne_since", "lam_pe_since"), 0.5 * lost)
    values["capacity_at_rest"] = 5.0 * (1.0 - lost)
    xr.Dataset({k: (dims, v) for k, v in values.items()}, coords).to_netcdf(path, group="posterior", engine="h5netcdf")
    xr.Dataset({"compared_with": ("curve", ["fresh", "fresh"])}, coords).to_netcdf(
        path, group="constant_data", mode="a", engine="h5netcdf"
    )
    found = diagnosed(str(path))
    assert found.max() < 3.0
    np.testing.assert_allclose(np.median(found), 0.5, atol=0.05)


def test_what_is_no_posterior_is_said(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        diagnosed(str(tmp_path / "none.nc"))
    path = tmp_path / "text.nc"
    path.write_text("no netCDF")
    with pytest.raises(ValueError, match="no posterior of fadecast calibrate"):
        diagnosed(str(path))
