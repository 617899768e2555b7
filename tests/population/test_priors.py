import numpy as np
import pytest
from scipy.special import logit

from fadecast.population.priors import (
    LogNormalPrior,
    RatePrior,
    SharePrior,
    sample_lognormal,
    sample_rate,
    sample_share,
)

RATE = RatePrior(name="SEI kinetic rate constant [m.s-1]", value=1e-12, units="m.s-1", log_sd=0.5)


def test_a_rate_is_common_to_all_packs_of_a_draw():
    rates = sample_rate(1, RATE, 40, 5)
    assert (rates == rates[:, :1]).all()
    assert len(np.unique(rates)) == 40


def test_the_rate_multiplier_is_lognormal_about_one():
    logs = np.log(sample_rate(1, RATE, 20_000, 1)[:, 0] / RATE.value)
    assert logs.mean() == pytest.approx(0.0, abs=0.015)
    assert logs.std() == pytest.approx(0.5, rel=0.02)


def test_pack_spread_adds_to_the_spread_of_draws():
    prior = LogNormalPrior(median=2e-8, log_sd=0.3, pack_log_sd=0.1)
    logs = np.log(sample_lognormal(1, "crack", prior, 1_000, 50) / prior.median)
    assert logs.std(axis=1).mean() == pytest.approx(0.1, rel=0.03)
    assert logs.mean(axis=1).std() == pytest.approx(np.hypot(0.3, 0.1 / np.sqrt(50)), rel=0.07)


def test_no_spread_gives_the_reference_value():
    certain = RatePrior(name="rate", value=-0.4, units="V", log_sd=0.0)
    np.testing.assert_array_equal(sample_rate(1, certain, 3, 2), -0.4)


def test_a_share_stays_between_zero_and_one_and_keeps_its_median():
    prior = SharePrior(median=0.05, logit_sd=1.0, pack_logit_sd=0.5)
    share = sample_share(1, "dead", prior, 4_000, 20)
    assert share.min() > 0.0
    assert share.max() < 1.0
    odds = logit(share) - logit(0.05)
    assert np.median(odds[:, 0]) == pytest.approx(0.0, abs=0.06)
    assert odds.std(axis=1, ddof=1).mean() == pytest.approx(0.5, rel=0.03)
    assert odds.mean(axis=1).std() == pytest.approx(1.0, rel=0.05)
