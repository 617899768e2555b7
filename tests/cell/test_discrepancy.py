import numpy as np
import pytest

from fadecast.cell import discrepancy, discrepancy_table
from fadecast.cell.discrepancy import Run, Setup, simulate, swing
from fadecast.cell.discrepancy_table import AGEING, BELOW_FLOOR, QUANTITIES, changes, compare
from fadecast.package_data import shipped

COARSE = Setup(x=5, r=10)
MECHANISMS = ("sei", "sei_on_cracks", "plated_and_dead", "lam_lithium_ne", "lam_lithium_pe")


@pytest.fixture(scope="module")
def pulses():
    """A minute of discharge and one of charge, at three currents."""
    shape = np.array([1.0, -1.0])
    return {
        rate: {model: simulate(model, 5.0 * rate * shape, 0.5, 25.0, COARSE) for model in ("DFN", "SPMe", "SPM")}
        for rate in (0.0, 0.02, 0.5)
    }


def differences(runs, model):
    return compare(runs["DFN"], runs[model]).set_index("quantity")


@pytest.mark.parametrize("model", ["SPM", "SPMe"])
def test_voltage_agrees_as_current_vanishes(pulses, model):
    slow, fast = (differences(pulses[rate], model)["difference"]["voltage_rms"] for rate in (0.02, 0.5))
    # At least in proportion to the current.
    assert slow < 1.2 * fast * 0.02 / 0.5


def test_electrolyte_brings_spme_nearer(pulses):
    near, far = (differences(pulses[0.5], model)["difference"]["voltage_rms"] for model in ("SPMe", "SPM"))
    assert near < far / 3


@pytest.mark.parametrize("model", ["SPM", "SPMe"])
def test_models_age_alike_at_rest(pulses, model):
    table = differences(pulses[0.0], model)
    assert table["difference"]["voltage_max"] < 0.01
    # Plating takes a little salt out of the electrolyte, which SPM does not follow.
    assert (table["relative"][["sei", "sei_on_cracks", "plated", "lli"]].abs() < 1e-3).all()
    # Without a current there is no stress.
    assert (table["note"][["crack_length", "lam_ne", "lam_pe"]] == BELOW_FLOOR).all()


@pytest.mark.parametrize("model", ["DFN", "SPMe", "SPM"])
def test_particles_lose_what_the_mechanisms_hold(pulses, model):
    series = pulses[0.5][model].series
    held = sum(series[name][-1] - series[name][0] for name in MECHANISMS)
    assert series["sei_on_cracks"][-1] > 0.1 * held
    assert series["lithium"][0] - series["lithium"][-1] == pytest.approx(held, rel=1e-6)
    assert series["electrolyte_lithium"][-1] == pytest.approx(series["electrolyte_lithium"][0], rel=1e-12)


def test_plated_and_dead_lithium_add_up(pulses):
    run = pulses[0.5]["DFN"]
    change = changes(run)
    total = run.series["plated_and_dead"]
    assert change["plated"] + change["dead"] == pytest.approx(total[-1] - total[0], rel=1e-9)


def test_swing_carries_no_charge_and_reaches_one():
    power = np.random.default_rng(1).random(150).cumsum()
    current = swing(power, 90)
    assert current.shape == (90,)
    assert np.abs(current).max() == 1.0
    assert current.sum() == pytest.approx(0.0, abs=1e-12)


def test_swing_of_a_straight_line_is_its_jump():
    power = np.where(np.arange(150) == 75, 2.0, 0.01 * np.arange(150))
    assert np.argmax(swing(power, 90)) == 75 - 30


def made_up(voltage, **series):
    time = np.array([0.0, 60.0, 120.0])
    values = {name: np.zeros(3) for name in discrepancy.SERIES}
    values |= {"current": np.array([1.0, -1.0, 0.0]), "lithium": np.array([1.0, 1.0, 1.0]), "crack_length": np.ones(3)}
    return Run(time, values | {"voltage": np.full(3, voltage)} | series, "complete")


def test_table_by_hand():
    dfn = made_up(3.7, sei=np.array([0.0, 1.0, 2.0]), heating=np.full(3, 6.0), lam_ne=np.array([0.0, 0.0, 1e-8]))
    other = made_up(3.71, sei=np.array([0.0, 1.0, 3.0]), heating=np.full(3, 3.0))
    table = compare(dfn, other).set_index("quantity")
    assert tuple(table.index) == tuple(QUANTITIES)
    assert table["difference"]["voltage_rms"] == pytest.approx(10.0)
    assert table["relative"]["sei"] == 0.5
    assert table["value_dfn"]["heat"] == pytest.approx(0.2)
    assert table["relative"]["heat"] == pytest.approx(-0.5)
    assert table["note"]["lam_ne"] == BELOW_FLOOR
    assert np.isnan(table["relative"]["lam_ne"])


def test_plated_lithium_below_zero_is_the_solvers_error():
    plated = np.array([0.0, -1.0, 2.0])
    dfn, other = made_up(3.7, plated_concentration=plated), made_up(3.7, plated_concentration=0.0 * plated)
    table = compare(dfn, other).set_index("quantity")
    assert table["note"]["plated"] == BELOW_FLOOR
    dfn = made_up(3.7, plated_concentration=np.abs(plated))
    assert compare(dfn, other).set_index("quantity")["relative"]["plated"] == -1.0


def test_runs_are_kept(tmp_path):
    run = made_up(3.7)
    run.save(tmp_path / "run.npz")
    again = Run.load(tmp_path / "run.npz")
    assert again.end == run.end
    assert all(np.array_equal(again.series[name], values) for name, values in run.series.items())


def test_shipped_table_is_whole():
    table = shipped("model_discrepancy")
    assert len(table["c_rate"]) == len(table["temperature_degC"]) == 3
    assert table["floor"] == discrepancy_table.FLOOR
    for load in ("swing", "discharge"):
        for model in ("SPM", "SPMe"):
            for quantity in QUANTITIES:
                values = np.array(table[f"{load}_{model}"][quantity], dtype=float)
                assert values.shape == (3, 3)
                assert quantity in AGEING or np.isfinite(values).all()
