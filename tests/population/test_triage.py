"""What passes a test that errs: sampled cells are those that the counted shares say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from fadecast.population.evidence import RetiredCandidates, retired_classes
from fadecast.population.triage import Triage, error_rates, pass_triage

BAND = (0.65, 0.75)


def made_class(rank_correlation, low=0.5, high=0.85) -> RetiredCandidates:
    levels = np.linspace(0.0, 1.0, 21)
    soh = low + (high - low) * levels
    return RetiredCandidates("made up", "LFP", "none", 200, levels, soh, 0.5 + levels, rank_correlation)


def cells(triage, retired, count=40_000, band=BAND, seed=0):
    rng = np.random.default_rng(seed)
    found = pass_triage(triage, retired, band, rng.random(count), rng.normal(size=count))
    return np.interp(found.soh_rank, retired.levels, retired.soh), found.resistance


def test_a_test_without_error_passes_the_band_and_nothing_else():
    for triage in (Triage(), Triage(test="capacity", soh_sd=0.0)):
        soh, _ = cells(triage, made_class(-0.5))
        assert soh.min() >= BAND[0]
        assert soh.max() <= BAND[1]
        rates = error_rates(triage, [made_class(-0.5)], [1.0], BAND)
        np.testing.assert_allclose(rates[:3], (0.1 / 0.35, 0.0, 0.0), atol=1e-4)


def test_error_rates_of_a_capacity_test_in_closed_form():
    """SOH is uniform and the error normal: integrals of the normal distribution over a band far from both ends."""
    sd = 0.02
    rates = error_rates(Triage(test="capacity", soh_sd=sd), [made_class(0.0)], [1.0], BAND)
    width = (BAND[1] - BAND[0]) / sd
    # Both the passing and those inside are as many as the band is wide; what is lost at its edges is gained beyond.
    lost = 2.0 * (norm.pdf(0.0) - norm.pdf(width) - width * norm.sf(width)) / width
    np.testing.assert_allclose(rates.accepted, 0.1 / 0.35, rtol=1e-3)
    np.testing.assert_allclose([rates.wrongly_accepted, rates.wrongly_rejected], lost, rtol=1e-3)


@pytest.mark.parametrize("triage", [Triage(test="capacity", soh_sd=0.03), Triage(test="pulse")])
@pytest.mark.parametrize("correlation", [-0.89, -0.5])
def test_sampled_cells_err_as_often_as_is_counted(triage, correlation):
    retired = made_class(correlation)
    soh, _ = cells(triage, retired)
    rates = error_rates(triage, [retired], [1.0], BAND)
    outside = np.mean((soh < BAND[0]) | (soh > BAND[1]))
    np.testing.assert_allclose(outside, rates.wrongly_accepted, atol=0.01)
    np.testing.assert_allclose(soh.mean(), rates.soh_accepted, atol=1e-3)


def test_sampled_cells_are_those_that_a_plain_simulation_accepts():
    retired = made_class(-0.8)
    rng = np.random.default_rng(3)
    rho = 2.0 * np.sin(np.pi * retired.rank_correlation / 6.0)
    score = rng.normal(size=400_000)
    resistance = rho * score + np.sqrt(1.0 - rho**2) * rng.normal(size=score.size)
    soh = np.interp(norm.cdf(score), retired.levels, retired.soh)
    told = np.interp(norm.cdf(rho * resistance), retired.levels, retired.soh)
    for triage, seen in (
        (Triage(test="pulse"), told),
        (Triage(test="capacity", soh_sd=0.03), soh + 0.03 * rng.normal(size=soh.size)),
    ):
        passed = (seen >= BAND[0]) & (seen <= BAND[1])
        rates = error_rates(triage, [retired], [1.0], BAND)
        ours, scores = cells(triage, retired)
        np.testing.assert_allclose(rates.accepted, passed.mean(), rtol=0.01)
        np.testing.assert_allclose(
            np.quantile(ours, (0.05, 0.5, 0.95)), np.quantile(soh[passed], (0.05, 0.5, 0.95)), atol=3e-3
        )
        np.testing.assert_allclose(scores.mean(), resistance[passed].mean(), atol=0.02)
        theirs = spearmanr(soh[passed], resistance[passed]).statistic
        np.testing.assert_allclose(spearmanr(ours, scores).statistic, theirs, atol=0.03)


@settings(max_examples=40, deadline=None)
@given(sd=st.floats(1e-4, 0.2), more=st.floats(1e-4, 0.1), correlation=st.floats(-0.95, 0.95))
def test_a_worse_test_errs_more(sd, more, correlation):
    retired = made_class(correlation)
    better, worse = (
        error_rates(Triage(test="capacity", soh_sd=min(0.2, each)), [retired], [1.0], BAND) for each in (sd, sd + more)
    )
    assert worse.wrongly_accepted >= better.wrongly_accepted - 1e-3
    assert worse.wrongly_rejected >= better.wrongly_rejected - 1e-3


def test_a_pulse_that_tells_nothing_passes_none_of_a_class():
    classes = retired_classes()
    with pytest.raises(ValueError, match=r"'lfp_35ah'.*pulse test for SOH 0.6 to 0.8.*rank correlation of 0.06"):
        error_rates(Triage(test="pulse"), [classes["lfp_35ah"]], [1.0], (0.6, 0.8))
    with pytest.raises(ValueError, match="next to no cell passes"):
        cells(Triage(test="pulse"), classes["lfp_35ah"], band=(0.6, 0.8))


def test_shares_of_classes_are_of_accepted_packs():
    """Half the packs are of a class of which a tenth passes: its candidates are most of all."""
    few, many = made_class(0.0, low=0.5, high=0.85), made_class(0.0, low=0.66, high=0.74)
    rates = error_rates(Triage(), [few, many], [1.0, 1.0], BAND)
    np.testing.assert_allclose(rates.accepted, 2.0 / (0.35 / 0.1 + 1.0), rtol=1e-3)
