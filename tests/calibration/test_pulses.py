"""Resistance and diffusivity from pulses: a known truth, and PyBaMM's own."""

import numpy as np
import pandas as pd
import pybamm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.calibration.pulses import Pulse, find_pulses, fit_pulse, pulse_table, surface_lead

LENGTH, REST = 600.0, 3600.0


def one_pulse(resistance, diffusion_time, noise=0.0, seed=0, slope=2e-5) -> Pulse:
    time = np.concatenate([[0.0], np.geomspace(0.1, LENGTH, 80), LENGTH + np.geomspace(0.1, REST, 80)])
    lead = surface_lead(time, diffusion_time) - surface_lead(time - LENGTH, diffusion_time)
    voltage = 3.8 + resistance * -0.1 * ((time > 0.0) & (time <= LENGTH)) - slope * lead
    voltage = voltage + noise * np.random.default_rng(seed).normal(size=time.size)
    voltage[0] = 3.8
    return Pulse(time, voltage, 0.1, LENGTH, 0.0, -slope)


@settings(deadline=None, max_examples=30)
@given(resistance=st.floats(1e-3, 1.0), diffusion_time=st.floats(200.0, 3e4))
def test_a_known_truth_comes_back(resistance, diffusion_time):
    found = fit_pulse(one_pulse(resistance, diffusion_time))
    assert found.resistance == pytest.approx(resistance, rel=1e-4)
    assert found.diffusion_time == pytest.approx(diffusion_time, rel=1e-3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    fits = [fit_pulse(one_pulse(0.05, 3e3, noise=2e-4, seed=seed)) for seed in range(200)]
    distance = [(np.log(fit.diffusion_time) - np.log(3e3)) / fit.diffusion_time_log_sd for fit in fits]
    assert 0.85 < np.mean(np.abs(distance) < 1.645) < 0.95
    distance = [(fit.resistance - 0.05) / fit.resistance_sd for fit in fits]
    assert 0.85 < np.mean(np.abs(distance) < 1.645) < 0.95


def test_the_lead_begins_as_the_root_of_time_and_ends_as_a_constant():
    """Semi-infinite diffusion at first, 2 sqrt(t T / pi) / 3; T / 15 above the mean at last."""
    time_constant = 1e4
    early = np.array([1.0, 4.0])
    root = 2.0 * np.sqrt(early * time_constant / np.pi) / 3.0
    np.testing.assert_allclose(surface_lead(early, time_constant), root, rtol=0.02)
    both = np.array([0.02 - 1e-12, 0.02 + 1e-12]) * time_constant
    np.testing.assert_allclose(*surface_lead(both, time_constant), rtol=1e-8)
    late = np.array([5e4, 9e4])
    np.testing.assert_allclose(surface_lead(late, time_constant) - late, time_constant / 15.0, rtol=1e-2)
    assert (surface_lead(np.array([-5.0, 0.0]), time_constant) == 0.0).all()


def test_a_plateau_tells_resistance_alone():
    found = fit_pulse(one_pulse(0.05, 3e3, slope=1e-7))
    assert found.resistance == pytest.approx(0.05, rel=0.02)
    assert np.isnan(found.diffusion_time)


@pytest.fixture(scope="module")
def titration() -> pd.DataFrame:
    """Ten pulses of PyBaMM's SPM, and the potential of its positive electrode."""
    values = pybamm.ParameterValues("Chen2020")
    steps = [("Rest for 10 minutes", "Discharge at C/10 for 10 minutes", "Rest for 60 minutes")] * 6
    simulation = pybamm.Simulation(
        pybamm.lithium_ion.SPM(),
        parameter_values=values,
        experiment=pybamm.Experiment(steps, period="10 seconds"),
        var_pts={"x_n": 5, "x_s": 5, "x_p": 5, "r_n": 60, "r_p": 60},
    )
    solution = simulation.solve(initial_soc=0.7)
    names = ("open-circuit potential", "reaction overpotential")
    potential = sum(solution[f"X-averaged positive electrode {name} [V]"].entries for name in names)
    frame = pd.DataFrame(
        {
            "time": solution["Time [s]"].entries,
            "current": np.round(solution["Current [A]"].entries, 9),
            "voltage": potential,
            "charge": -solution["Discharge capacity [A.h]"].entries,
        }
    )
    return frame.drop_duplicates("time").reset_index(drop=True)


def test_pybamm_has_the_diffusivity_that_is_found(titration):
    values = pybamm.ParameterValues("Chen2020")
    radius = values["Positive particle radius [m]"]
    found = pulse_table(titration, radius)
    assert len(found) == 6
    expected = float(values["Positive particle diffusivity [m2.s-1]"])
    told = found["diffusivity"].dropna()
    assert len(told) == 5
    np.testing.assert_allclose(told, expected, rtol=0.15)
    assert abs(np.log(told / expected)).mean() < 0.08
    assert found["rmse"].max() < 1e-3


def test_currents_that_are_no_pulse_are_passed_over(titration):
    wandering = 1.0 + 0.5 * np.sin(np.arange(len(titration)))
    assert find_pulses(titration.assign(current=titration["current"] * wandering)) == []
    assert find_pulses(titration.iloc[:40]) == []


def test_what_earlier_pulses_left_is_counted():
    """Pulses of 900 s that rest for 450 s, of a diffusion time of two hours: each begins before the last is at rest."""
    diffusion_time, slope, length, period = 7200.0, -2e-5, 900.0, 1350.0
    parts = [
        n * period + np.r_[0.05, np.geomspace(0.1, length, 60), np.linspace(length + 5.0, period, 30)]
        for n in range(12)
    ]
    time = np.unique(np.concatenate([[0.0], *parts]))
    voltage, current = np.full(time.shape, 3.8), np.zeros(time.shape)
    for n in range(12):
        since = time - n * period
        voltage += slope * (surface_lead(since, diffusion_time) - surface_lead(since - length, diffusion_time))
        flows = (since > 0.0) & (since <= length)
        voltage -= 0.05 * 0.1 * flows
        current += 0.1 * flows
    found = pulse_table(pd.DataFrame({"time": time, "current": current, "voltage": voltage, "charge": 0.0}))
    told = found["diffusion_time"].dropna()
    assert len(told) >= 9
    np.testing.assert_allclose(told.iloc[3:], diffusion_time, rtol=0.1)
