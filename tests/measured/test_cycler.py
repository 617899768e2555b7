"""Tables of cyclers: units, signs, and what is said of tables that are not as they should be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fadecast.measured.catalogue import MeasuredDataError
from fadecast.measured.cycler import Columns, Table, Units, read_cycling
from fadecast.measured.slow_curve import slow_curve

NOMINAL = 5.0
TABLE = Table(columns=Columns(time="t", current="I", voltage="V", charge="Q", temperature="T"))


def table(rows=1200, direction="discharge"):
    """A tenth of nominal capacity an hour, after a rest, with noise of a cycler."""
    rng = np.random.default_rng(0)
    rest = 20
    time = 30.0 * np.arange(rows + rest)
    flowing = np.arange(rows + rest) >= rest
    current = np.where(flowing, -0.5 if direction == "discharge" else 0.5, 0.0)
    charge = np.concatenate([[0.0], np.cumsum(0.5 * (np.abs(current[1:]) + np.abs(current[:-1])))]) * 30.0 / 3600.0
    left = charge / NOMINAL
    voltage = 4.2 - left if direction == "discharge" else 3.2 + left
    voltage = voltage + 1e-4 * rng.normal(size=len(time))
    return pd.DataFrame({"t": time, "I": current, "V": voltage, "Q": charge, "T": 25.0 + 0.1 * flowing})


def read(frame, tmp_path, layout=TABLE) -> tuple[pd.DataFrame, tuple[str, ...]]:
    path = tmp_path / "cell.csv"
    frame.to_csv(path, index=False)
    found = read_cycling(path, layout)
    return found.rows, found.notes


def refused(frame, tmp_path, layout=TABLE) -> str:
    with pytest.raises(MeasuredDataError) as error:
        read(frame, tmp_path, layout)
    message = str(error.value)
    assert message.startswith(str(tmp_path / "cell.csv"))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("direction", ["charge", "discharge"])
def test_a_sound_table_is_read_as_it_is(tmp_path, direction):
    frame = table(direction=direction)
    rows, notes = read(frame, tmp_path)
    assert notes == ()
    np.testing.assert_allclose(rows["voltage"], frame["V"])
    np.testing.assert_allclose(rows["current"], -frame["I"])
    sign = 1.0 if direction == "charge" else -1.0
    np.testing.assert_allclose(rows["charge"], sign * frame["Q"], atol=1e-9)
    found = slow_curve(rows, direction, NOMINAL, Path("cell.csv"))
    assert found.current == pytest.approx(0.5)
    assert abs(found.charge[-1] - found.charge[0]) == pytest.approx(1199 * 0.5 * 30.0 / 3600.0)
    assert "lines 22 to 1221" in found.notes[0]
    assert "C/10" in found.notes[0]


def test_units_are_converted_at_the_border(tmp_path):
    frame = table()
    other = frame.assign(t=frame["t"] / 3600.0, I=1e3 * frame["I"], V=1e3 * frame["V"], Q=1e3 * frame["Q"])
    other["T"] += 273.15
    units = Units(time="h", current="mA", voltage="mV", charge="mA.h", temperature="K")
    rows, notes = read(other, tmp_path, Table(columns=TABLE.columns, units=units))
    expected, _ = read(frame, tmp_path)
    pd.testing.assert_frame_equal(rows[expected.columns[:6]], expected[expected.columns[:6]], check_exact=False)
    assert notes == ()


def test_parquet_is_read_like_csv(tmp_path):
    frame = table()
    frame.to_parquet(tmp_path / "cell.parquet")
    expected, _ = read(frame, tmp_path)
    found = read_cycling(tmp_path / "cell.parquet", TABLE).rows
    np.testing.assert_allclose(found["charge"], expected["charge"])


def test_charge_is_integrated_where_no_column_says_it(tmp_path):
    rows, _ = read(table(), tmp_path, Table(columns=Columns(time="t", current="I", voltage="V")))
    np.testing.assert_allclose(rows["charge"], -table()["Q"], atol=1e-9)


def test_battery_data_format_needs_no_map(tmp_path):
    pytest.importorskip("bdf")
    frame = table()[["t", "V", "I"]].set_axis(["Test Time / s", "Voltage / V", "Current / A"], axis=1)
    path = tmp_path / "cell.bdf.csv"
    frame.to_csv(path, index=False)
    rows = read_cycling(path, Table(format="bdf")).rows
    np.testing.assert_allclose(rows["charge"], -table()["Q"], atol=1e-9)


@pytest.mark.parametrize(
    ("time", "current", "voltage", "ending"),
    [
        ("Test_Time(s)", "Current(A)", "Voltage(V)", "csv"),  # Arbin, older
        ("Test Time (s)", "Current (A)", "Voltage (V)", "csv"),  # Arbin, newer
        ("Time [s]", "Current [A]", "Voltage [V]", "parquet"),  # PyProBE
    ],
)
def test_exports_of_arbin_and_pyprobe_need_three_names(tmp_path, time, current, voltage, ending):
    """With the columns beside that they have, among them text and capacities by direction."""
    frame = table(direction="charge").rename(columns={"t": time, "I": current, "V": voltage})
    frame = frame.assign(Date_Time="2026-01-01 00:00:00", Step_Index=1, Discharge_Capacity=0.0).drop(columns=["Q", "T"])
    path = tmp_path / f"cell.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    found = read_cycling(path, Table(columns=Columns(time=time, current=current, voltage=voltage)))
    np.testing.assert_allclose(found.rows["charge"], table()["Q"], atol=1e-9)
    np.testing.assert_allclose(found.rows["current"], -frame[current])
    assert found.notes == ()


def test_missing_columns_are_named_with_those_there_are(tmp_path):
    message = refused(table().drop(columns=["V"]), tmp_path)
    assert "no column for voltage 'V'" in message
    assert "['t', 'I', 'Q', 'T']" in message


def test_a_few_rows_without_numbers_are_left_out_and_said(tmp_path):
    frame = table()
    frame.loc[[100, 200], "V"] = np.nan
    rows, notes = read(frame, tmp_path)
    assert len(rows) == len(frame) - 2
    assert notes == ("left out 2 rows: no number in voltage at lines 102, 202",)


def test_many_rows_without_numbers_are_refused(tmp_path):
    frame = table()
    frame.loc[100:200, "I"] = np.nan
    assert "no number in current at lines 102, 103, 104, 105, 106 and 96 more: 8.3% of all rows" in refused(
        frame, tmp_path
    )


def test_text_among_numbers_is_no_number(tmp_path):
    frame = table().astype({"V": object})
    frame.loc[50, "V"] = "OVERRANGE"
    _, notes = read(frame, tmp_path)
    assert notes == ("left out 1 rows: no number in voltage at line 52",)


def test_time_that_stands_still_is_left_out_and_said(tmp_path):
    frame = table()
    doubled = pd.concat([frame.iloc[:301], frame.iloc[300:]])
    rows, notes = read(doubled, tmp_path)
    assert len(rows) == len(frame)
    assert notes == ("left out 1 rows: the same time twice at line 303",)


def test_time_that_stands_still_often_is_refused(tmp_path):
    frame = table()
    assert "the same time twice" in refused(pd.concat([frame, frame]).sort_values("t"), tmp_path)


def test_time_that_runs_backwards_is_refused_with_its_line(tmp_path):
    frame = table()
    frame.loc[400, "t"] = 0.0
    assert "time runs backwards at line 402" in refused(frame, tmp_path)


def test_gaps_under_current_are_said(tmp_path):
    frame = table().drop(index=range(500, 560))
    _, notes = read(frame, tmp_path)
    assert notes == ("1 gaps under current, the longest 30.5 min after line 501",)


def test_millivolts_are_not_taken_for_volts(tmp_path):
    message = refused(table().assign(V=lambda f: 1e3 * f["V"]), tmp_path)
    assert "must be 0 to 5.5 V; these look like millivolts: set units.voltage to mV" in message


def test_one_wild_voltage_is_refused_with_its_line(tmp_path):
    frame = table()
    frame.loc[70, "V"] = 42.0
    assert "voltage 42 V at line 72" in refused(frame, tmp_path)


def test_kelvin_is_told_from_celsius_and_said(tmp_path):
    rows, notes = read(table().assign(T=298.15), tmp_path)
    np.testing.assert_allclose(rows["temperature"], 25.0)
    assert notes == ("temperature is about 298: taken as kelvin",)


@pytest.mark.parametrize(("column", "factor"), [("Q", 1e3), ("I", 1e3), ("t", 1.0 / 3600.0)])
def test_units_that_contradict_each_other_are_refused(tmp_path, column, factor):
    message = refused(table().assign(**{column: lambda f: factor * f[column]}), tmp_path)
    assert "times the integral of the current; must agree within 2%" in message
    if column == "Q":
        assert "set units.charge to mA.h" in message


def test_reversed_current_is_told_by_the_voltage(tmp_path):
    rows, _ = read(table().assign(I=lambda f: -f["I"]), tmp_path)
    with pytest.raises(
        MeasuredDataError, match=r"lines 22 to 1221: voltage goes from 4.200 .* the current is reversed"
    ):
        slow_curve(rows, "charge", NOMINAL, Path("cell.csv"))
    with pytest.raises(MeasuredDataError, match=r"longest discharge at constant current has 0 rows.*is the sign right"):
        slow_curve(rows, "discharge", NOMINAL, Path("cell.csv"))


def test_half_a_cycle_is_a_partial_curve(tmp_path):
    rows, _ = read(table(rows=500), tmp_path)
    found = slow_curve(rows, "discharge", NOMINAL, Path("cell.csv"))
    assert found.notes[-1] == "a partial curve: 42% of nominal capacity"


def test_a_fast_curve_is_none_to_read_electrodes_from(tmp_path):
    rows, _ = read(table(), tmp_path)
    with pytest.raises(MeasuredDataError, match=r"0\.5 of nominal capacity per hour; must be 0\.2 at most"):
        slow_curve(rows, "discharge", 1.0, Path("cell.csv"))


def test_a_wandering_voltage_is_no_single_curve(tmp_path):
    frame = table()
    frame["V"] += 0.05 * np.sin(np.arange(len(frame)) / 30.0)
    rows, _ = read(frame, tmp_path)
    with pytest.raises(MeasuredDataError, match="against the discharge"):
        slow_curve(rows, "discharge", NOMINAL, Path("cell.csv"))


def test_rows_are_chosen_before_they_are_checked(tmp_path):
    """Time begins anew in each step of the table, and lines are those of the file."""
    frame = pd.concat([table(300).assign(step=1), table(1200).assign(step=2)])
    path = tmp_path / "cell.csv"
    frame.to_csv(path, index=False)
    found = read_cycling(path, TABLE, {"step": 2}).rows
    assert len(found) == 1220
    assert found["line"].iloc[0] == 322
    short = slow_curve(read_cycling(path, TABLE, {"step": 1}).rows, "discharge", NOMINAL, path)
    assert len(short.voltage) == 300
    with pytest.raises(MeasuredDataError, match="no row in which 'step' is 3"):
        read_cycling(path, TABLE, {"step": 3})
    with pytest.raises(MeasuredDataError, match="no column 'cycle'"):
        read_cycling(path, TABLE, {"cycle": 3})
    with pytest.raises(MeasuredDataError, match="time runs backwards"):
        read_cycling(path, TABLE)


UNSTATED = Table(columns=Columns(time="t", current="I", voltage="V"))


def test_an_offset_at_rest_is_no_current(tmp_path):
    """A tenth of a milliampere before and after the discharge, in many more rows than its own."""
    frame = table().drop(columns="Q")
    long = pd.DataFrame({"t": 1e6 + 30.0 * np.arange(5000), "I": -1e-4, "V": 3.2, "T": 25.0})
    frame.loc[frame["I"] == 0.0, "I"] = -1e-4
    rows, _ = read(pd.concat([frame, long]), tmp_path, UNSTATED)
    assert "lines 22 to 1221" in slow_curve(rows, "discharge", NOMINAL, Path("cell.csv")).notes[0]


def test_a_hold_after_a_charge_is_left_out_however_often_it_is_logged(tmp_path):
    frame = table(direction="charge").drop(columns="Q")
    after = np.arange(1.0, 6000.0)
    hold = pd.DataFrame({"t": frame["t"].iloc[-1] + after, "I": 0.5 * np.exp(-after / 600.0), "V": 4.2, "T": 25.0})
    rows, _ = read(pd.concat([frame, hold]), tmp_path, UNSTATED)
    found = slow_curve(rows, "charge", NOMINAL, Path("cell.csv"))
    assert len(found.voltage) < 1300
    assert "C/10" in found.notes[0]


def test_a_voltage_that_does_not_change_tells_nothing(tmp_path):
    rows, _ = read(table().assign(V=3.7), tmp_path)
    with pytest.raises(MeasuredDataError, match="voltage spans 0 V"):
        slow_curve(rows, "discharge", NOMINAL, Path("cell.csv"))


def test_a_curve_without_time_is_taken_whole(tmp_path):
    frame = table()
    curve = pd.DataFrame({"soc": 1.0 - frame["Q"] / NOMINAL, "U": 1e3 * frame["V"]})
    layout = Table(columns=Columns(time=None, current=None, charge="soc", voltage="U"), units=Units(voltage="mV"))
    rows, notes = read(curve, tmp_path, layout)
    assert notes == ("no current or time: rate, gaps and direction were not checked",)
    found = slow_curve(rows, "discharge", 1.0, Path("cell.csv"))
    assert found.notes == ("1220 rows over 0.9996 A.h",)
    mirrored, _ = read(curve.assign(soc=-curve["soc"]), tmp_path, layout)
    with pytest.raises(MeasuredDataError, match="all lines by rising charge"):
        slow_curve(mirrored, "discharge", 1.0, Path("cell.csv"))
    half = Table(columns=Columns(time=None, voltage="U"))
    assert "must name time and current, or charge alone" in refused(curve, tmp_path, half)


@pytest.mark.parametrize(
    "content", [b"", b"t,I,V,Q,T\n", b"\x00\xff\xfe", b"t;I;V\n1;2;3\n", b"t,I,V,Q,T\n1,2,3,4,5\n"]
)
def test_files_that_are_no_tables_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "cell.csv"
    path.write_bytes(content)
    with pytest.raises(MeasuredDataError) as error:
        read_cycling(path, TABLE)
    assert "\n" not in str(error.value)


def test_no_file_is_said(tmp_path):
    with pytest.raises(MeasuredDataError, match="no such file"):
        read_cycling(tmp_path / "none.csv", TABLE)
    with pytest.raises(MeasuredDataError, match="is a folder"):
        read_cycling(tmp_path, TABLE)


cells = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.integers(), st.text(max_size=5), st.none(), st.booleans()
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(["t", "I", "V", "Q", "T"]), where=st.integers(0, 89), value=cells, many=st.booleans())
def test_whatever_stands_in_a_table_it_is_read_or_refused_in_one_line(tmp_path, column, where, value, many):
    frame = table(rows=70).astype(object)
    frame.loc[where : (where + 20 if many else where), column] = value
    path = tmp_path / "cell.csv"
    frame.to_csv(path, index=False)
    found = outcome(path)
    if isinstance(found, str):
        assert str(path) in found
        assert "\n" not in found
    else:
        assert np.isfinite(found[["time", "current", "voltage", "charge"]].to_numpy()).all()
        assert (np.diff(found["time"]) > 0.0).all()


def outcome(path) -> pd.DataFrame | str:
    try:
        return read_cycling(path, TABLE).rows
    except MeasuredDataError as error:
        return str(error)
