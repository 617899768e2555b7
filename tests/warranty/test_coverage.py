"""Whole prices hold the truth in as many worlds as their intervals say: closed forms, other draws each time.

Of 200 worlds chance alone takes a coverage of 0.90 beyond 0.86 to 0.94 once in sixteen times; of 600, once in a
thousand.
"""

from dataclasses import replace

import numpy as np
import pytest

from fadecast.warranty import Capital, Contract, Failures, ReplacementRemedy, price

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, linear_fade

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEEDS, DRAWS = 600, 100
LEAST, MOST = 0.5, 0.9


@pytest.fixture(autouse=True)
def few_replicates(monkeypatch):
    """Widths to 4 % instead of 2 %, which does not show in a coverage."""
    monkeypatch.setattr("fadecast.warranty.intervals.REPLICATES", 400)


def coverage(name, truth, fades, contract, premium):
    """Return the share of worlds whose interval holds the truth."""
    hits = 0
    for seed in range(SEEDS):
        found = price(fades(np.random.default_rng(seed)), contract, premium, PACK_KWH, seed)
        hits += abs(found[name].item() - truth) <= found[f"{name}_interval"].item()
    return hits / SEEDS


def uniform(rng):
    """Packs that draws agree on for the most part: what they keep is uniform in all."""
    return linear_fade(LEAST + (MOST - LEAST) * ((rng.random((DRAWS, 1)) + 0.1 * rng.random((DRAWS, 3))) % 1.0))


def test_the_expected_loss_of_uniform_packs():
    truth = 100.0 * (0.7 - LEAST) ** 2 / (2.0 * (MOST - LEAST))
    assert coverage("expected_loss", truth, uniform, ONE_INSPECTION, PURE) == pytest.approx(0.90, abs=0.04)


def test_the_premium_by_the_standard_deviation():
    # All packs of a draw keep the same: the loss of a draw is 100 (0.7 - m) of those below.
    share, width = (0.7 - LEAST) / (MOST - LEAST), 100.0 * (0.7 - LEAST)
    mean, square = share * width / 2.0, share * width**2 / 3.0
    capital = Capital(cost_of_capital=0.05, capital_level=0.995, standard_deviation_factor=3.0)
    premium = replace(PURE, capital=capital, levels=(0.995,))
    truth = mean + 0.05 * 10.0 * 3.0 * np.sqrt(square - mean**2)

    def alike(rng):
        return linear_fade(LEAST + (MOST - LEAST) * rng.random((DRAWS, 1)))

    assert coverage("premium", truth, alike, ONE_INSPECTION, premium) == pytest.approx(0.90, abs=0.04)


def test_the_expected_cost_of_sudden_failures():
    contract = Contract(
        remedy=ReplacementRemedy(kind="replacement", price=((0.0, 150.0),)),
        failures=Failures(per_year=0.02, log_sd=0.0),
    )
    truth = 150.0 * 10.0 * -np.expm1(-0.02)

    def sound(rng):
        return linear_fade(np.full((DRAWS, 10), 0.9))

    assert coverage("expected_loss", truth, sound, contract, PURE) == pytest.approx(0.90, abs=0.04)
