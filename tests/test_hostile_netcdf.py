"""Datasets that no program wrote: forecasts to price, posteriors of rates and of cells. A sound result or one message.

HDF5 is a format of pointers, and a byte of a file says where the library looks next. One mutation of bytes in some
thousands keeps it for ever; none is left out here, since a process of its own looks at a file first.
"""

from functools import cache
from importlib import resources

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, reject
from hypothesis import strategies as st

import hand_made_study
from fadecast.calibration.makes import MAKES
from fadecast.document import Document
from fadecast.errors import InputError
from fadecast.files import write_netcdf
from fadecast.netcdf_file import open_foreign
from fadecast.pipeline import price_file
from fadecast.population.posterior_rates import CHARGES, TEMPERATURES, InService, sample_posterior_rates
from fadecast.population.split import Split, split_directions
from fadecast.runs import RunFolder
from fadecast.study import check_pricing, check_study
from hostile import cases, mangled, refused_or_sound

NEEDS = ("retention", "soh", "resistance", "outcome")
PRICING = {
    "name": "p",
    "warranty": {
        "contract": {"term_years": 10, "guarantee": [[1, 0.9], [10, 0.75]], "power_guarantee": [[10, 0.5]]},
        "premium": {"principle": "wang", "max_failed_share": 0.9},
    },
}
ODD_ATTRIBUTES = [
    ("units", "percent"),
    ("units", 3),
    ("units", [1, 2]),
    ("units", "days since yesterday"),
    ("units", "seconds since 1970-01-01"),
    ("units", ""),
    ("calendar", "none"),
    ("scale_factor", "x"),
    ("scale_factor", 0.0),
    ("add_offset", [1.0, 2.0]),
    ("_FillValue", 1.0),
    ("_FillValue", "x"),
    ("missing_value", [1.0, 2.0]),
    ("valid_range", "x"),
    ("coordinates", "nowhere at all"),
    ("coordinates", 3),
    ("dtype", "bool"),
    ("dtype", "timedelta64[ns]"),
    ("_Unsigned", "true"),
    ("_Encoding", "no such"),
    ("_Netcdf4Dimid", -5),
    ("CLASS", "DIMENSION_SCALE"),
    ("NAME", "This is a netCDF dimension but not a netCDF variable"),
    ("grid_mapping", "x"),
    ("study", "{"),
    ("contract", "<script>"),
]
KINDS = {
    "text": lambda values: values.astype(str),
    "whole": lambda values: np.nan_to_num(values).astype(np.int64),
    "unsigned": lambda values: np.nan_to_num(np.abs(values)).astype(np.uint8),
    "half": lambda values: values.astype(np.float16),
    "truth": lambda values: values > 0.5,
    "complex": lambda values: values.astype(complex),
    "nothing": lambda values: np.full(values.shape, np.nan),
    "endless": lambda values: np.where(np.arange(values.size).reshape(values.shape) % 5, values, np.inf),
    "negative": lambda values: -values,
    "huge": lambda values: values * 1e300,
    "percent": lambda values: values * 100.0,
    "backwards": lambda values: values[..., ::-1],
    "constant": lambda values: values * 0.0 + 1.0,
    "some missing": lambda values: np.where(np.arange(values.size).reshape(values.shape) % 3, values, np.nan),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("netcdf")


@st.composite
def reshaped(draw, dataset):
    """Change a dataset here and there: types, dims, names, what is missing."""
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([str(name) for name in dataset.variables]))
        array = dataset[name]
        try:
            match draw(st.sampled_from(["kind", "kind", "kind", "gone", "renamed", "dims", "part", "extra", "turned"])):
                case "kind":
                    changed = KINDS[draw(st.sampled_from(list(KINDS)))](array.values)
                    dataset = dataset.assign({name: (array.dims, changed, array.attrs)})
                case "gone":
                    dataset = dataset.drop_vars(name)
                case "renamed":
                    dataset = dataset.rename({name: draw(st.sampled_from(["x", "draw", "pack", "time", "soh", "a b"]))})
                case "dims" if array.dims:
                    dim = draw(st.sampled_from(array.dims))
                    dataset = dataset.assign({name: array.isel({dim: 0}, drop=True)})
                case "part" if array.dims:
                    dim = draw(st.sampled_from(array.dims))
                    chosen = draw(st.sampled_from([slice(0, 0), slice(0, 1), slice(1, None), [0, 0], slice(0, 2)]))
                    dataset = dataset.isel({dim: chosen})
                case "turned":
                    dataset = dataset.assign({name: array.transpose()})
                case _:
                    extra = draw(
                        st.sampled_from(
                            [
                                ("pack_weight", ((), -1.0)),
                                ("pack_weight", ((), 1e300)),
                                ("pack_weight", ((), "many")),
                                ("pack_weight", ("pack", np.ones(dataset.sizes.get("pack", 0)))),
                                ("duty_draw", ("draw", np.zeros(dataset.sizes.get("draw", 0)))),
                                ("duty_draw", ("draw", np.full(dataset.sizes.get("draw", 0), "a"))),
                                ("duty_draw", ((), 0)),
                                ("outcome", ((), 77)),
                                ("time", ("x", [1.0, 2.0])),
                            ]
                        )
                    )
                    dataset = dataset.assign(dict([extra]))
        except (TypeError, ValueError, LookupError, OverflowError, Warning):
            reject()
    return dataset


@st.composite
def any_netcdf(draw, dataset, path):
    """Write a file near that of a dataset, and return it."""
    how = draw(st.sampled_from(["bytes", "bytes", "layout", "layout", "layout", "attributes"]))
    try:
        write_netcdf(path, draw(reshaped(dataset)) if how == "layout" else dataset)
    except (TypeError, ValueError, RuntimeError, LookupError, Warning):
        reject()
    if how == "bytes":
        path.write_bytes(draw(mangled(path.read_bytes(), most=8)))
    if how == "attributes":
        with h5py.File(path, "a") as file:
            for _ in range(draw(st.integers(1, 3))):
                name = draw(st.sampled_from([*file, "/"]))
                key, value = draw(st.sampled_from(ODD_ATTRIBUTES))
                file[name].attrs[key] = value
    return path


@cache
def forecast():
    return hand_made_study.fade(3, 4, failed=[(1, 2)])[list(NEEDS)]


@cases(25)
@given(data=st.data())
def test_any_forecast_is_priced_or_refused(folder, data):
    path = data.draw(any_netcdf(forecast(), folder / "fade.nc"))
    pricing = check_pricing(Document(folder / "p.yaml", PRICING))
    with refused_or_sound(InputError, path):
        try:
            priced = price_file(pricing, [path], None)
        except InputError:
            with pytest.raises(InputError):
                price_file(pricing, [path], RunFolder(folder / "out"))
            assert not (folder / "out").exists()
            raise
        assert float(priced["expected_loss"]) >= 0.0
        assert float(priced["premium"]) >= float(priced["expected_loss"]) or np.isnan(priced["premium"])


@cache
def rates():
    with resources.as_file(resources.files("fadecast") / "data" / "lgm50_posterior.nc") as path:
        return xr.load_dataset(path, engine="h5netcdf").isel(draw=slice(20))


STUDY = {"name": "a", "packs": 4, "draws": 2, "years": 10}


@cases(12)
@given(data=st.data())
def test_any_posterior_of_rates_is_read_or_refused(tmp_path_factory, data):
    # A name of its own each time: a file that changes within a tick of the clock is not read again.
    folder = tmp_path_factory.mktemp("rates")
    path = data.draw(any_netcdf(rates(), folder / "rates.nc"))
    with refused_or_sound(InputError, f"{folder / 's.yaml'}: population.rate_posterior: {path}"):
        check_study(Document(folder / "s.yaml", {**STUDY, "population": {"rate_posterior": str(path)}}))
        even = np.full((1, len(TEMPERATURES), len(CHARGES)), 1.0 / (len(TEMPERATURES) * len(CHARGES)))
        drawn = sample_posterior_rates(str(path), InService(MAKES["lgm50"].laws["solvent"], 38e3, even), 1, 3, 2, 0.5)
        for name, values in drawn.rates.items():
            assert np.isfinite(values).all(), name
        assert np.isfinite(drawn.drift).all()


@cache
def cells():
    """Return the draws of one fresh and two aged cells, with the curve that each is compared with."""
    lost, dims = np.array([0.0, 0.1, 0.2]), ("chain", "draw", "curve")
    shape = np.ones((2, 5, 1))
    losses = {name: (dims, lost * share * shape) for name, share in (("lli_since", 1.0), ("lam_ne_since", 0.5))}
    losses |= {"lam_pe_since": (dims, 0.2 * lost * shape), "capacity_at_rest": (dims, 5.0 * (1.0 - lost) * shape)}
    compared = {"compared_with": ("curve", ["a", "a", "a"])}
    return xr.Dataset({**losses, **compared}, {"curve": ["a", "b", "c"]})


@cases(12)
@given(data=st.data())
def test_any_posterior_of_cells_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cells")
    path = folder / "posterior.nc"
    how = data.draw(st.sampled_from(["bytes", "layout", "layout"]))
    dataset = cells() if how == "bytes" else data.draw(reshaped(cells()))
    groups = {"posterior": dataset.drop_vars("compared_with", errors="ignore")}
    groups["constant_data"] = dataset[["compared_with"]] if "compared_with" in dataset else dataset
    for name in data.draw(st.sampled_from([list(groups)] * 9 + [["posterior"], ["constant_data"]])):
        try:
            groups[name].to_netcdf(path, group=name, mode="a", engine="h5netcdf")
        except (TypeError, ValueError, RuntimeError, LookupError, Warning):
            reject()
    assume(path.exists())
    if how == "bytes":
        path.write_bytes(data.draw(mangled(path.read_bytes(), most=8)))
    with refused_or_sound(InputError, f"{folder / 's.yaml'}: population.split.posterior: {path}"):
        content = {**STUDY, "population": {"split": {"posterior": str(path)}}}
        check_study(Document(folder / "s.yaml", content))
        directions = split_directions(Split(posterior=str(path)), 1, 3, 4)
        assert np.isfinite(directions).all()
        assert (directions > 0.0).all()


@pytest.mark.parametrize(("variables", "unlimited"), [(500, []), (100, ["time"])])
def test_netcdf_that_takes_minutes_to_open_is_refused(tmp_path, variables, unlimited):
    path = tmp_path / "wide.nc"
    columns = {f"v{number}": ("time", np.ones(2)) for number in range(variables)}
    xr.Dataset(columns).to_netcdf(path, engine="h5netcdf", unlimited_dims=unlimited)
    with pytest.raises(ValueError, match=f"it has {variables + 1} variables"):
        open_foreign(path)
    kept = xr.Dataset(dict(list(columns.items())[:20]))
    kept.to_netcdf(path, engine="h5netcdf", unlimited_dims=unlimited)
    with open_foreign(path) as dataset:
        assert len(dataset) == 20
