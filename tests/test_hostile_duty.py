"""Weather and loads from anywhere: a year can be drawn from what is accepted, the rest is one short message."""

import gzip
import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from duty.test_weather_file import as_epw, as_sam, as_tmy3
from fadecast.document import Document
from fadecast.duty.climate import MONTH_DAYS, Climate
from fadecast.duty.sun import clear_sky
from fadecast.duty.trace import Trace, read_trace, trace_power
from fadecast.duty.weather import draw_weather
from fadecast.duty.weather_file import climate_of
from fadecast.errors import InputError
from fadecast.study import check_study
from hostile import cases, disordered, disturbed, mangled, refused_or_sound

STUDY = {"name": "a", "packs": 4, "draws": 2, "years": 10}
FORMATS = {"a.epw": as_epw, "a.csv": as_tmy3, "b.csv": as_sam}


@cache
def year():
    """Return hours of one drawn year of Reno, to the digits of a file."""
    climate = Climate.load("reno")
    drawn = draw_weather(np.random.default_rng(4), climate, clear_sky(climate.place, 60))
    hour = np.arange(8760)
    return pd.DataFrame(
        {
            "ghi": drawn.irradiance.round(1),
            "temp": drawn.temperature.round(1),
            "wind": np.random.default_rng(5).uniform(0.0, 9.0, 8760).round(1),
            "month": np.repeat(np.arange(12) + 1, 24 * MONTH_DAYS),
            "day": np.repeat(np.concatenate([np.arange(count) + 1 for count in MONTH_DAYS]), 24),
            "hour": hour % 24,
        }
    )


@cache
def weather(name):
    """Return the text of a weather file."""
    return FORMATS[name](year())


@st.composite
def any_weather(draw, name):
    """Return weather files near a sound one: other bytes, other fields, rows missing, another place, cut short."""
    text = weather(name)
    zipped = draw(st.booleans())
    match draw(st.sampled_from(["bytes", "bytes", "field", "field", "column", "rows", "swap"])):
        case "bytes":
            content = draw(mangled(text.encode()))
        case "field":
            lines = text.split("\n")
            at = draw(st.one_of(st.integers(0, min(9, len(lines) - 1)), st.integers(0, len(lines) - 1)))
            fields = lines[at].split(",")
            where = draw(st.integers(0, len(fields) - 1))
            fields[where] = draw(
                st.sampled_from(["", "nan", "inf", "-1", "1e300", "9" * 30, "x", "91", "181", "2021-01-01", '"', "0"])
            )
            lines[at] = ",".join(fields)
            content = "\n".join(lines).encode()
        case "column":
            column = draw(st.sampled_from(["ghi", "temp", "wind", "month", "day", "hour"]))
            constants = [0, 1, -1, 99] if column in ("month", "day", "hour") else [0.0, 1.0, -1.0, 1e9, np.nan]
            content = FORMATS[name](year().assign(**{column: draw(st.sampled_from(constants))})).encode()
        case "rows":
            lines = text.split("\n")
            first, last = sorted(draw(st.tuples(*[st.integers(0, len(lines))] * 2)))
            content = "\n".join([*lines[:first], *lines[last:]]).encode()
        case _:
            content = weather(draw(st.sampled_from(list(FORMATS)))).encode()
    content = gzip.compress(content, 1) if zipped else content
    return (draw(mangled(content)) if zipped and draw(st.booleans()) else content), zipped


def assert_can_be_drawn(climate):
    drawn = draw_weather(np.random.default_rng(1), climate, clear_sky(climate.place, 60))
    assert np.isfinite(drawn.irradiance).all()
    assert (drawn.irradiance >= 0.0).all()
    assert np.isfinite(drawn.temperature).all()
    assert np.isfinite(drawn.wind_speed).all()


def accepted(content, key, place):
    """Check a study that names a file, and return whether it is accepted."""
    study = place.parent / "study.yaml"
    with refused_or_sound(InputError, f"{study}: {key}: {place}"):
        check_study(Document(study, {**STUDY, **content}))
        return True
    return False


@pytest.mark.parametrize("name", FORMATS)
@cases(15)
@given(data=st.data())
def test_any_weather_file_is_read_or_refused(tmp_path_factory, name, data):
    content, zipped = data.draw(any_weather(name))
    path = tmp_path_factory.getbasetemp() / (f"{name}.gz" if zipped else name)
    path.write_bytes(content)
    if accepted({"site": {"climate": str(path)}}, "site.climate", path):
        assert_can_be_drawn(climate_of(str(path)))


@cache
def shipped_climate(folder):
    path = folder / "shipped.json"
    Climate.load("elko").write(path)
    return path.read_bytes()


@cases(40)
@given(data=st.data())
def test_any_fitted_climate_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "climate.json"
    whole = shipped_climate(tmp_path_factory.getbasetemp())
    changed = disturbed(json.loads(whole)).map(lambda content: json.dumps(content).encode())
    path.write_bytes(data.draw(changed | mangled(whole)))
    if accepted({"site": {"climate": str(path)}}, "site.climate", path):
        assert_can_be_drawn(climate_of(str(path)))


def load():
    """Return two days of power, every hour."""
    time = pd.date_range("2026-03-02", periods=48, freq="h")
    return pd.DataFrame({"time": time, "power": 100.0 + 50.0 * np.sin(np.arange(48.0)), "racks": 3})


@st.composite
def any_load(draw, kind):
    """Return files near one of a load."""
    frame = load()
    if draw(st.booleans()):
        frame["time"] = 3600.0 * np.arange(48)
    changed = draw(st.booleans())
    if changed:
        frame = draw(disordered(frame))
    whole = stored(frame, kind)
    return whole if changed and draw(st.booleans()) else draw(mangled(whole))


def stored(frame, kind):
    """Return the bytes of a load; what a kind of file has no form for goes elsewhere."""
    try:
        match kind:
            case "parquet":
                return frame.to_parquet()
            case "nc":
                assume(frame.columns.is_unique)
                named = frame.set_index("time") if "time" in frame else frame
                # In memory, as bytes.
                return bytes(xr.Dataset.from_dataframe(named).to_netcdf(engine="h5netcdf"))
    except (TypeError, ValueError, OverflowError, NotImplementedError, AttributeError):
        return reject()
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            return reject()
        raise
    text = frame.to_csv(index=False).encode("utf-8", "surrogatepass")
    return gzip.compress(text) if kind.endswith("gz") else text


@cases(60)
@given(data=st.data())
def test_any_load_is_read_or_refused(tmp_path_factory, data):
    # Few of netCDF, at which another process looks first.
    kind = data.draw(st.sampled_from(["csv", "csv", "csv.gz", "csv.gz", "parquet", "parquet", "nc"]))
    # A name of its own each time: a file that changes within a tick of the clock is not read again.
    path = tmp_path_factory.mktemp("load") / f"load.{kind}"
    path.write_bytes(data.draw(any_load(kind)))
    trace = {
        "file": str(path),
        "rated": data.draw(st.sampled_from([200.0, 200.0, 1.0, 1e-300, 1e300])),
        "power": data.draw(st.sampled_from(["power", "power", "power", "racks", "time", "none"])),
        "utc_offset": data.draw(st.sampled_from([None, 3.0])),
    }
    if accepted({"duty": {"workload": {"trace": trace}}}, "duty.workload.trace", path):
        power = trace_power(np.random.default_rng(1), read_trace(Trace(**trace)), 60)
        assert np.isfinite(power).all()
        assert (power >= 0.0).all()
        assert (power <= 2.0 + 1e-9).all()
