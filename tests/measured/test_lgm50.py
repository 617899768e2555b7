import json
from importlib.resources import files

import numpy as np
import pandas as pd
import pybamm
import pytest

from fadecast.measured import lgm50
from fadecast.measured.catalogue import MeasuredDataError, fetch

from .needs import needs

CYCLED, STORED, FRESH = (
    "kirkaldy2024_lgm50t_expt2_2",
    "kuzhiyil2024_lgm50_calendar",
    "lgm50_fresh_ocv_pulse_rate",
)


def cycling(slopes, film):
    """Return cells whose modes are proportional to capacity lost and whose resistance is to lithium lost."""
    loss = np.linspace(0.0, 0.12, 13)
    frames = []
    for cell, (slope, per_lithium) in enumerate(zip(slopes, film, strict=True)):
        lithium = 5.0 * (1.0 - loss)
        resistance = 0.026 + per_lithium * (5.0 - lithium)
        resistance[1::2] = np.nan
        frames.append(
            pd.DataFrame(
                {
                    "cell": str(cell),
                    "check_up": np.arange(13),
                    "soh": 1.0 - loss,
                    **{mode: slope[i] * loss for i, mode in enumerate(lgm50.MODES)},
                    "lithium_cyclable": lithium,
                    "resistance": resistance,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


SLOPES = np.array([[0.9, 0.8, 0.5], [1.0, 1.1, 0.7], [0.85, 0.6, 0.5], [0.95, 0.7, 0.65]])
FILM = np.array([0.002, 0.003, 0.0025, 0.004])


def test_slopes_and_their_spread_are_recovered():
    fit = lgm50.degradation_modes(cycling(SLOPES, FILM))
    np.testing.assert_allclose(list(fit["cells"].values()), SLOPES)
    np.testing.assert_allclose(fit["slope_mean"], SLOPES.mean(axis=0))
    np.testing.assert_allclose(fit["slope_log_sd"], np.log(SLOPES).std(axis=0, ddof=1))
    np.testing.assert_allclose(fit["slope_log_correlation"], np.corrcoef(np.log(SLOPES).T))
    np.testing.assert_allclose(fit["residual_rms"], 0.0, atol=1e-12)
    assert fit["soh_min"] == pytest.approx(0.88)


def test_film_resistance_is_recovered_from_every_second_check_up():
    fit = lgm50.film_resistance(cycling(SLOPES, FILM))
    np.testing.assert_allclose(list(fit["cells"].values()), FILM)
    assert fit["mean"] == pytest.approx(FILM.mean())
    assert fit["log_sd"] == pytest.approx(np.log(FILM).std(ddof=1))


def fitted_cell():
    """Return two check-ups, fresh and with 10 % of the positive electrode lost; the fresh one holds its lithium."""
    capacity = pd.DataFrame({"PE Capacity": [5600.0, 5040.0], "NE(tot) Capacity": 2 * [5600.0 * 0.84 / 0.89]})
    ends = pd.DataFrame({"PE_lo": [0.12, 0.12], "PE_hi": [0.96, 0.96], "NE_lo": [0.01, 0.01], "NE_hi": [0.9, 0.9]})
    return capacity, ends


def test_the_authors_own_window_adds_no_lithium():
    capacity, ends = fitted_cell()
    own = lgm50.StoichiometryWindow(x_0=0.01, x_100=0.9, y_0=0.88, y_100=0.04)
    cyclable, total = lgm50._inventories(capacity, ends, own)
    np.testing.assert_allclose(total, cyclable)
    np.testing.assert_allclose(cyclable[0], 0.04 * 5.6 + 0.9 * 5.6 * 0.84 / 0.89)


def test_lithium_below_the_authors_zero_is_lost_with_the_material_that_holds_it():
    capacity, ends = fitted_cell()
    cyclable, total = lgm50._inventories(capacity, ends, lgm50.OKANE2022)
    below = total - cyclable
    # By hand: Q_p = Q_p' / b, and the fresh electrode holds y_0 Q_p at the empty cell.
    Q_p = 5.6 * (0.88 - 0.04) / (lgm50.OKANE2022.y_0 - lgm50.OKANE2022.y_100)
    assert below[0] - below[1] == pytest.approx(0.1 * (lgm50.OKANE2022.y_0 * Q_p - 0.88 * 5.6))
    Q_n = 5.6 * 0.84 / (lgm50.OKANE2022.x_100 - lgm50.OKANE2022.x_0)
    assert total[0] == pytest.approx(lgm50.OKANE2022.y_100 * Q_p + lgm50.OKANE2022.x_100 * Q_n)


@pytest.fixture(scope="module")
def okane2022():
    parameters = pybamm.ParameterValues("OKane2022")
    symbols = pybamm.LithiumIonParameters()
    fresh = {
        "Q_n": parameters.evaluate(symbols.n.Q_init),
        "Q_p": parameters.evaluate(symbols.p.Q_init),
        "Q_Li": parameters.evaluate(symbols.Q_Li_particles_init),
    }
    return pybamm.lithium_ion.ElectrodeSOHSolver(parameters, symbols), fresh


def test_the_default_window_is_that_of_okane2022(okane2022):
    solver, fresh = okane2022
    solution = solver.solve(fresh)
    for end in ("x_0", "x_100", "y_0", "y_100"):
        assert getattr(lgm50.OKANE2022, end) == pytest.approx(float(solution[end]), abs=1e-5)


@needs(CYCLED)
def test_total_inventory_gives_the_measured_capacity_and_the_published_one_does_not(okane2022):
    solver, fresh = okane2022
    last = lgm50.lgm50_cycling().query("check_up == 12")

    def soh(lli, lam_ne, lam_pe):
        losses = {"Q_n": 1.0 - lam_ne, "Q_p": 1.0 - lam_pe, "Q_Li": 1.0 - lli}
        aged = solver.solve({name: fresh[name] * kept for name, kept in losses.items()})
        return float(aged["Q"]) / float(solver.solve(fresh)["Q"])

    total, published = (
        np.array([soh(*row) for row in last[[column, "lam_ne", "lam_pe"]].to_numpy()]) - last["soh"].to_numpy()
        for column in ("lli", "lli_published")
    )
    assert np.abs(total).max() < 0.003
    assert published.max() < -0.02


@needs(CYCLED)
def test_published_modes_are_those_of_the_published_capacities():
    """LAM and SOH of all cells and check-ups; that LLI is that of the stoichiometries, the reader sees to."""
    paths = fetch(CYCLED)
    modes = {"LAM PE": "PE Capacity", "LAM NE_tot": "NE(tot) Capacity", "SoH": "Cell Capacity"}
    for cell in "ABCDEF":
        said, found = (
            pd.read_csv(paths[f"Expt 2,2 - {what} data from OCV-fitting for cell {cell}.csv"], index_col=0)
            for what in ("DM", "Capacity and offset")
        )
        for mode, capacity in modes.items():
            kept = found[capacity] / found[capacity].iloc[0]
            np.testing.assert_allclose(said[mode], kept if mode == "SoH" else 1.0 - kept, atol=1e-12)


@needs(CYCLED)
@needs(FRESH)
def test_committed_fit_matches_a_refit():
    committed = json.loads(files("fadecast").joinpath("data/lgm50_degradation_modes.json").read_text())
    refit = lgm50.summary(lgm50.lgm50_cycling(), lgm50.lgm50_resistance())
    assert committed["sources"] == refit["sources"]
    for block in ("modes_per_capacity_lost", "film_resistance_per_lithium", "fresh_resistance"):
        assert set(committed[block]) == set(refit[block])
        for key, value in refit[block].items():
            if isinstance(value, dict):
                np.testing.assert_allclose(list(committed[block][key].values()), list(value.values()), rtol=1e-5)
            elif not isinstance(value, str) and key != "modes":
                np.testing.assert_allclose(committed[block][key], value, rtol=1e-5, atol=1e-9, err_msg=key)


@needs(CYCLED)
def test_cycling_is_six_cells_of_thirteen_check_ups():
    frame = lgm50.lgm50_cycling()
    assert frame.groupby("cell")["check_up"].agg(["size", "max"]).to_numpy().tolist() == [[13, 12]] * 6
    assert frame.groupby("cell")["temperature"].first().tolist() == [10.0, 10.0, 25.0, 25.0, 40.0, 40.0]
    fresh = frame.query("check_up == 0")
    assert fresh[["lli", "lam_ne", "lam_pe", "days", "charge_throughput"]].abs().to_numpy().max() == 0.0
    assert frame["capacity"].between(4.2, 4.9).all()


@needs(STORED)
def test_stored_cells_fade_faster_when_hot():
    frame = lgm50.lgm50_calendar()
    assert frame.groupby(["temperature", "soc"]).ngroups == 36
    assert frame["soc"].between(0.0, 1.0).all()
    end = frame[frame["soc"] == 0.85].sort_values("days").groupby("temperature")["capacity"].agg(["first", "last"])
    assert (end["first"] - end["last"]).is_monotonic_increasing
    lam = lgm50.lgm50_calendar_lam()
    assert lam["lam_ne"].between(-0.01, 0.12).all()


def test_capacity_in_the_wrong_unit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "calendar_capacity_tidy.csv"
    path.write_text("temp_C,soc_pct,Capacity_Mean,Capacity_Std,Days\n25,50,4884.1,13.5,0\n")
    monkeypatch.setattr(lgm50, "fetch", lambda name: {path.name: path})
    with pytest.raises(MeasuredDataError, match=r"calendar_capacity_tidy.csv: column 'Capacity_Mean'.*unit"):
        lgm50.lgm50_calendar()


@needs(FRESH)
def test_resistance_of_fresh_cells_grows_with_time_and_cold():
    at_25 = lgm50.lgm50_resistance()
    assert len(at_25) == 6
    assert (at_25 > lgm50.lgm50_resistance(seconds=5.0)).all()
    assert lgm50.lgm50_resistance(temperature=0).median() > lgm50.lgm50_resistance(temperature=10).median()
    assert lgm50.lgm50_resistance(temperature=10).median() > at_25.median()


@needs(FRESH)
def test_a_pulse_that_was_cut_short_is_refused():
    with pytest.raises(MeasuredDataError, match=r"at 10 degC ends after 0.7 s"):
        lgm50.lgm50_resistance(temperature=10, tenths_of_charge=1)
