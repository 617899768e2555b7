"""Measured power from files: what is read, kept and refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fadecast.duty import Duty, Site, Trace, Workload, make_duty
from fadecast.duty.trace import read_trace, trace_power
from fadecast.study import load_study


def table(hours=72, minutes=10, start="2026-03-02 00:00"):
    """Three days of power [kW] that says which hour of which day it is."""
    time = pd.date_range(start, periods=hours * 60 // minutes, freq=f"{minutes}min")
    hour = np.arange(time.size) * minutes / 60
    return pd.DataFrame({"time": time, "power": 100.0 + hour // 24 * 100.0 + hour // 1 % 24})


def write(folder, kind, frame):
    path = folder / f"load.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "nc":
        xr.Dataset.from_dataframe(frame.set_index("time")).to_netcdf(path, engine="h5netcdf")
    else:
        frame.to_csv(path, index=False)
    return Trace(file=str(path), rated=500.0)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "nc"])
def test_each_kind_of_file_reads_the_same(tmp_path, kind):
    found = read_trace(write(tmp_path, kind, table()))
    np.testing.assert_allclose(found.start, np.arange(432) / 6)
    np.testing.assert_allclose(found.power, table()["power"] / 500.0)
    assert found.period == 72.0


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_a_year_repeats_the_days_and_keeps_their_energy(tmp_path, minutes):
    found = read_trace(write(tmp_path, "csv", table()))
    year = trace_power(np.random.default_rng(1), found, minutes)
    assert year.size == 8760 * 60 // minutes
    hourly = np.round(year.reshape(365, 24, -1).mean(axis=2) * 500.0, 6)
    # The hour of the day stays in place, whatever day a draw begins with.
    np.testing.assert_allclose(hourly % 100.0, np.arange(24)[None] + np.zeros((365, 1)), atol=1e-6)
    days = hourly[:, 0] / 100.0
    np.testing.assert_array_equal(np.diff(days[:4]) % 3, 1.0)
    np.testing.assert_allclose(year[: 72 * 60 // minutes].mean() * 500.0, table()["power"].mean())


def test_draws_begin_with_different_days(tmp_path):
    found = read_trace(write(tmp_path, "csv", table()))
    first = {round(trace_power(np.random.default_rng(n), found, 60)[0] * 5.0) for n in range(20)}
    assert first == {1, 2, 3}


def test_a_trace_that_begins_at_noon_is_noon_at_noon(tmp_path):
    found = read_trace(write(tmp_path, "csv", table(hours=48, start="2026-03-02 12:00")))
    year = np.round(trace_power(np.random.default_rng(0), found, 60) * 500.0, 6)
    np.testing.assert_allclose(year.reshape(365, 24)[:, 12] % 100.0, 0.0, atol=1e-6)


def test_power_holds_until_the_next_time_and_seconds_count_from_midnight(tmp_path):
    frame = pd.DataFrame({"s": [0.0, 600.0, 4200.0, 7200.0], "watts": [50.0, 100.0, 0.0, 200.0]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = read_trace(Trace(file=str(tmp_path / "a.csv"), rated=200.0, power="watts", time="s"))
    # 600 s, 3600 s, 3000 s, and their median again.
    assert found.period == pytest.approx((7200.0 + 3000.0) / 3600.0)
    minutes = trace_power(np.random.default_rng(0), found, 1)[:171] * 200.0
    np.testing.assert_allclose(minutes[:170], np.repeat([50.0, 100.0, 0.0, 200.0], [10, 60, 50, 50]), atol=1e-6)
    assert minutes[170] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"time": ["2026-03-02", "2026-03-01"], "power": [1.0, 1.0]}, "'time' does not rise at row 1"),
        ({"time": ["2026-03-02", "soon"], "power": [1.0, 1.0]}, "'time' is 'soon' at row 1; must be a date"),
        ({"time": [0.0, 60.0], "power": [1.0, -2.0]}, "'power' is -2 at row 1; must be a number from 0 to 2"),
        ({"time": [0.0, 60.0], "power": ["1.0", "off"]}, "'power' is nan at row 1"),
        ({"time": [0.0, 60.0], "power": [1.0, 1200.0]}, "is 1200 at row 1"),
        ({"time": [0.0], "power": [1.0]}, "has 1 rows"),
        ({"time": [], "power": []}, "has 0 rows"),
        ({"time": [0.0, 60.0, np.inf], "power": [1.0, 1.0, 1.0]}, "'time' does not rise at row 2"),
        ({"when": [0.0, 60.0], "power": [1.0, 1.0]}, "has no column 'time'; has 'when', 'power'"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, change, words):
    pd.DataFrame(change).to_csv(tmp_path / "load.csv", index=False)
    with pytest.raises(ValueError, match=words):
        read_trace(Trace(file=str(tmp_path / "load.csv"), rated=500.0))


def test_the_site_computes_what_the_trace_says(tmp_path):
    trace = write(tmp_path, "csv", table())
    duty = make_duty(Site(), Duty(timestep_minutes=60, workload=Workload(trace=trace)), 2, 10, 0)
    rated = 10 * Workload().rated_kw_per_pack
    assert float(duty.it_power.max()) == pytest.approx((300.0 + 23.0) / 500.0 * rated)
    assert float(duty.it_power.min()) == pytest.approx(0.2 * rated)


def test_a_trace_is_looked_for_beside_the_study_and_checked_with_it(tmp_path, monkeypatch):
    write(tmp_path, "csv", table())
    study = tmp_path / "s.yaml"
    study.write_text(
        "{name: a, packs: 1, draws: 2, years: 10, duty: {workload: {trace: {file: load.csv, rated: 500.0}}}}"
    )
    monkeypatch.chdir("/")
    trace = load_study(study).duty.workload.trace
    assert trace is not None
    assert trace.file == str(tmp_path / "load.csv")
    with pytest.raises(Exception, match=r"duty.workload.trace: .*gone.csv: no file"):
        load_study(study, ["duty.workload.trace.file=gone.csv"])
    with pytest.raises(Exception, match=r"duty.workload.trace: .*load.txt is of no known kind"):
        load_study(study, ["duty.workload.trace.file=load.txt"])


def test_dates_that_carry_an_offset_are_put_on_the_clock_of_the_site(tmp_path):
    """Across the end of summer time, and with that of Reno: 20:00 universal time is noon there."""
    frame = table(start="2026-10-24 20:00").assign(time=lambda t: t["time"].dt.tz_localize("UTC"))
    berlin = frame.assign(time=frame["time"].dt.tz_convert("Europe/Berlin").astype(str))
    for name, one in {"utc": frame, "berlin": berlin}.items():
        one.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(ValueError, match="give utc_offset"):
            read_trace(Trace(file=str(tmp_path / f"{name}.csv"), rated=500.0))
        found = read_trace(Trace(file=str(tmp_path / f"{name}.csv"), rated=500.0, utc_offset=-8.0))
        np.testing.assert_allclose(found.start, 12.0 + np.arange(432) / 6)


def test_a_day_that_lacks_its_last_hour_is_a_day(tmp_path):
    found = read_trace(write(tmp_path, "csv", table(hours=47, minutes=60)))
    assert found.period == 48.0
    year = np.round(trace_power(np.random.default_rng(0), found, 60) * 500.0, 6).reshape(365, 24)
    np.testing.assert_allclose(year[:, :23] % 100.0, np.arange(23)[None] + np.zeros((365, 1)), atol=1e-6)


def test_an_index_of_dates_is_found(tmp_path):
    table().set_index("time").to_parquet(tmp_path / "a.parquet")
    assert read_trace(Trace(file=str(tmp_path / "a.parquet"), rated=500.0)).period == 72.0


def test_other_variables_of_a_dataset_do_not_matter(tmp_path):
    dataset = xr.Dataset.from_dataframe(table().set_index("time"))
    dataset["bounds"] = (("time", "side"), np.zeros((432, 2)))
    dataset["racks"] = (("time", "rack"), np.ones((432, 3)))
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    trace = Trace(file=str(tmp_path / "a.nc"), rated=500.0)
    np.testing.assert_allclose(read_trace(trace).power, table()["power"] / 500.0)
    with pytest.raises(ValueError, match=r"'racks' has dims \('time', 'rack'\)"):
        read_trace(Trace(file=trace.file, rated=500.0, power="racks"))
    with pytest.raises(ValueError, match="has no variable 'load'"):
        read_trace(Trace(file=trace.file, rated=500.0, power="load"))


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    trace = write(tmp_path, "csv.gz", table())
    whole = (tmp_path / "load.csv.gz").read_bytes()
    (tmp_path / "load.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        read_trace(trace)


def test_a_file_that_has_changed_is_read_again(tmp_path):
    trace = write(tmp_path, "csv", table())
    before = read_trace(trace).power[0]
    write(tmp_path, "csv", table().assign(power=lambda t: t["power"] + 50.0))
    assert read_trace(trace).power[0] == pytest.approx(before + 0.1)


def test_a_power_of_nothing_is_not_negative(tmp_path):
    frame = table().assign(power=lambda t: np.where(t.index % 7 == 0, 300.1, 0.0))
    year = trace_power(np.random.default_rng(0), read_trace(write(tmp_path, "csv", frame)), 1)
    assert year.min() == 0.0
