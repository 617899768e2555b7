"""Electrodes behind slow curves: known truths come back, and intervals are as wide as they should be."""

import jax
import numpy as np
import pytest

from fadecast.calibration.curve_posterior import Priors
from fadecast.calibration.open_circuit import Curve, State, inventory
from fadecast.calibration.state_fit import Sampling, disagreement, fit_states
from fadecast.calibration.states import posterior_groups, unknowns

from .cells import NOMINAL, graphite_nmc, made_up, silicon_graphite_nmc

FEW = Sampling(draws=200, warmup=100)
COUNT = 12


def fit(electrodes, curves, sampling=FEW, seed=0, priors=None):
    return fit_states(electrodes, curves, NOMINAL, priors or Priors(), sampling, seed)


@pytest.fixture(scope="module")
def clean():
    cells = made_up(graphite_nmc(), COUNT, seed=11, noise=1e-5)
    return cells, fit(graphite_nmc(), cells.curves)


@pytest.fixture(scope="module")
def noisy():
    cells = made_up(graphite_nmc(), COUNT, seed=12, noise=1e-3, discrepancy=3e-3)
    return cells, fit(graphite_nmc(), cells.curves)


def test_electrodes_come_back_from_clean_curves(clean):
    cells, found = clean
    for name in ("negative_capacity", "positive_capacity"):
        np.testing.assert_allclose(getattr(found.best, name), getattr(cells.truth, name), rtol=5e-3)
    np.testing.assert_allclose(inventory(found.best), inventory(cells.truth), rtol=2e-3)
    assert np.sqrt(np.mean(np.asarray(found.residual) ** 2)) < 3e-4


def test_posteriors_of_noisy_curves_hold_the_truth(noisy):
    cells, found = noisy
    for name in State._fields[:5]:
        values, truth = np.asarray(getattr(found.state, name)), np.asarray(getattr(cells.truth, name))
        distance = (values.mean(axis=(1, 2)) - truth) / values.std(axis=(1, 2))
        assert np.abs(distance).max() < 4.0, name
        assert 0.3 < np.sqrt(np.mean(distance**2)) < 2.0, name


def test_more_noise_and_discrepancy_leave_more_open(clean, noisy):
    spread = [np.median(np.std(found.state.negative_capacity, axis=(1, 2))) for _, found in (clean, noisy)]
    assert spread[1] > 2.0 * spread[0]


def test_chains_agree_and_have_moved(noisy):
    _, found = noisy
    assert np.median(disagreement(found)) < 1.02
    assert disagreement(found).max() < 1.1
    assert np.asarray(found.acceptance).mean() > 0.6


def test_a_curve_does_not_know_of_the_others(noisy):
    cells, found = noisy
    reversed_curves = Curve(*(value[::-1] for value in cells.curves))
    again = fit(graphite_nmc(), reversed_curves)
    np.testing.assert_allclose(again.best.negative_capacity[::-1], found.best.negative_capacity, rtol=1e-6)
    np.testing.assert_allclose(
        np.mean(again.state.negative_capacity, axis=(1, 2))[::-1],
        np.mean(found.state.negative_capacity, axis=(1, 2)),
        rtol=5e-3,
    )


def test_the_same_seed_gives_the_same_chains(noisy):
    cells, found = noisy
    again = fit(graphite_nmc(), cells.curves)
    jax.tree.map(np.testing.assert_array_equal, again, found)


def test_a_curve_of_a_third_of_the_charge_says_less_and_the_notes_say_so(noisy):
    cells = made_up(graphite_nmc(), COUNT, seed=5, noise=1e-3, discrepancy=3e-3, window=(0.3, 0.35))
    found = fit(graphite_nmc(), cells.curves)
    names = [f"c{n}" for n in range(COUNT)]
    groups = posterior_groups(found, cells.curves, graphite_nmc(), names, range(COUNT), (2.5, 4.2))
    said = unknowns(groups, found, Priors(), NOMINAL)
    spreads = [np.std(np.log(np.asarray(inventory(each.state))), axis=(1, 2)) for each in (found, noisy[1])]
    assert np.median(spreads[0]) > 3.0 * np.median(spreads[1])
    spread = np.std(np.log(np.asarray(found.state.negative_capacity)), axis=(1, 2))
    for notes, wide in zip(said, spread, strict=True):
        assert any("negative capacity is known coarsely" in line for line in notes) == (wide > 0.03)
    truth = np.asarray(cells.truth.positive_capacity)
    low, high = np.quantile(np.asarray(found.state.positive_capacity), (0.005, 0.995), axis=(1, 2))
    assert ((truth > low) & (truth < high)).mean() > 0.8


@pytest.mark.slow
def test_silicon_comes_back_beside_graphite():
    cells = made_up(silicon_graphite_nmc(), COUNT, seed=8, noise=5e-4, discrepancy=1e-3)
    found = fit(silicon_graphite_nmc(), cells.curves, Sampling(draws=300, warmup=150))
    values, truth = np.asarray(found.state.share), np.asarray(cells.truth.share)
    distance = (values.mean(axis=(1, 2)) - truth) / values.std(axis=(1, 2))
    assert np.abs(distance).max() < 4.0
    assert np.median(values.std(axis=(1, 2))) < 0.03


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("discrepancy", [5e-3, 0.0])
def test_ninety_per_cent_intervals_hold_ninety_per_cent(discrepancy):
    """Of 200 cells; binomial noise is 2 points."""
    cells = made_up(graphite_nmc(), 200, seed=2024, noise=1e-3, discrepancy=discrepancy)
    found = fit(graphite_nmc(), cells.curves)
    pairs = {name: (getattr(found.state, name), getattr(cells.truth, name)) for name in State._fields[:4]}
    pairs["inventory"] = inventory(found.state), inventory(cells.truth)
    held = {}
    for name, (values, truth) in pairs.items():
        low, high = np.quantile(np.asarray(values), (0.05, 0.95), axis=(1, 2))
        held[name] = float(np.mean((np.asarray(truth) >= low) & (np.asarray(truth) <= high)))
    print(f"discrepancy {1e3 * discrepancy:g} mV: {held}")
    assert all(0.85 <= share <= 0.95 for share in held.values()), held
