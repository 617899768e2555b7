"""Values that are unpacked outside HDF5 are those that HDF5 reads."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import xarray as xr

from fadecast.files import open_netcdf, write_netcdf
from fadecast.streams import write_blocks
from fadecast.unpacking import _Packed

SHAPE = (5, 30, 4)
DIMS = ("draw", "pack", "time")


def fade(dtype=float):
    soh = np.random.default_rng(2).uniform(0.1, 0.9, SHAPE).astype(dtype)
    soh[1, 3, 2:] = np.nan
    return xr.Dataset(
        {"soh": (DIMS, soh), "outcome": (DIMS[:2], np.zeros(SHAPE[:2], dtype=np.int8))},
        coords={"draw": range(5), "pack": range(30), "time": ("time", np.arange(4.0), {"units": "year"})},
    )


def in_blocks(path, whole, *, packs=30):
    """Write soh draws by twos, so that the last chunk goes beyond the end, and packs in parts."""
    places = [
        {"draw": slice(draw, min(draw + 2, 5)), "pack": slice(pack, min(pack + packs, 30))}
        for draw in range(0, 5, 2)
        for pack in range(0, 30, packs)
    ]
    write_blocks(path, whole.drop_vars(["soh", "outcome"]), ((at, whole[["soh"]].isel(at)) for at in places))


def unpacked(dataset, name="soh"):
    """Whether a variable is read outside HDF5."""
    return isinstance(dataset[name].variable._data.array.array, _Packed)


@pytest.mark.parametrize("packs", [30, 7])
@pytest.mark.parametrize(
    "where",
    [
        {},
        {"draw": slice(1, 3)},
        {"draw": slice(4, 9), "pack": slice(5, 16), "time": slice(1, 3)},
        {"draw": 3, "pack": slice(2, 9, 3)},
        {"pack": [4, 29, 5], "time": -1},
        {"draw": slice(2, 2)},
    ],
)
def test_any_part_is_what_hdf5_reads(tmp_path, where, packs):
    whole = fade()
    in_blocks(tmp_path / "fade.nc", whole, packs=packs)
    with open_netcdf(tmp_path / "fade.nc") as opened:
        assert unpacked(opened)
        np.testing.assert_array_equal(opened["soh"].isel(where), whole["soh"].isel(where))


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_a_file_that_was_written_whole_opens_as_by_xarray(tmp_path, dtype):
    write_netcdf(tmp_path / "fade.nc", fade(dtype))
    with open_netcdf(tmp_path / "fade.nc") as opened, xr.open_dataset(tmp_path / "fade.nc") as plain:
        assert unpacked(opened)
        np.testing.assert_equal(opened["soh"].encoding, plain["soh"].encoding)
        xr.testing.assert_identical(opened.load(), plain.load())


def test_threads_read_the_same(tmp_path):
    whole = fade()
    in_blocks(tmp_path / "fade.nc", whole)
    with open_netcdf(tmp_path / "fade.nc") as opened, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda draw: opened["soh"].isel(draw=slice(draw, draw + 1)).values, [*range(5)] * 20))
    np.testing.assert_array_equal(np.concatenate(found[-5:]), whole["soh"])
    np.testing.assert_array_equal(found[:5], found[-5:])


@pytest.mark.parametrize(
    "encoding",
    [
        {},
        {"zlib": True, "shuffle": False},
        {"zlib": True, "shuffle": True, "fletcher32": True},
        {"zlib": True, "shuffle": True, "scale_factor": 0.5},
        {"zlib": True, "shuffle": True, "dtype": "int16", "scale_factor": 1e-4, "_FillValue": -1},
        {"zlib": True, "shuffle": True, "_FillValue": -9.0},
        {"zlib": True, "shuffle": True, "dtype": ">f8"},
    ],
)
def test_what_is_packed_otherwise_is_left_to_hdf5(tmp_path, encoding):
    fade().to_netcdf(tmp_path / "fade.nc", engine="h5netcdf", encoding={"soh": encoding})
    with open_netcdf(tmp_path / "fade.nc") as opened, xr.open_dataset(tmp_path / "fade.nc") as plain:
        assert not unpacked(opened)
        xr.testing.assert_identical(opened.load(), plain.load())


def test_chunks_that_are_not_there_or_not_packed_are_left_to_hdf5(tmp_path):
    whole = fade()
    in_blocks(tmp_path / "fade.nc", whole)
    # A chunk that only had its bytes shuffled: the second filter was passed over.
    raw = np.stack([whole["soh"].values[0], whole["soh"].values[1]])
    with h5py.File(tmp_path / "fade.nc", "a") as file:
        shuffled = raw.view(np.uint8).reshape(-1, 8).T.tobytes()
        file["soh"].id.write_direct_chunk((0, 0, 0), shuffled, filter_mask=0b10)
    with open_netcdf(tmp_path / "fade.nc") as opened:
        assert unpacked(opened)
        np.testing.assert_array_equal(opened["soh"], whole["soh"])
    header = whole.drop_vars(["soh", "outcome"]).assign_coords(draw=range(9))
    write_blocks(tmp_path / "part.nc", header, [({"draw": slice(0, 5)}, whole[["soh"]])])
    with open_netcdf(tmp_path / "part.nc") as opened:
        assert not unpacked(opened)
        assert np.isnan(opened["soh"].values[5:]).all()
