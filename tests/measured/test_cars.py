import json
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from fadecast.measured import cars

from .needs import needs

LAW = cars.FadeLaw(0.05, 0.45, 0.01)
LAST = len(cars.IN_SERVICE)


def fleet(count, seed, *, years=6.0):
    """Return cars of one age, of which none has left, and how far their packs are off the law."""
    deviation = np.random.default_rng(seed).normal(0.0, 0.04, count)
    return pd.DataFrame({"years": np.full(count, years), "distance": 5e4, "energy": 70.0}), pd.Series(deviation)


def test_the_law_of_made_up_cars_is_recovered():
    rng = np.random.default_rng(1)
    years = rng.uniform(0.3, 4.0, 2000)
    told = pd.DataFrame(
        {"years": years, "distance": rng.uniform(0.0, 1e5, 2000), "loss": LAW.at(years) + rng.normal(0.0, 0.01, 2000)}
    )
    law = cars.fade_law(told)
    assert law == pytest.approx(LAW, rel=0.03)
    slope, error = cars.mileage_effect(told)
    assert abs(slope) < 3.0 * error < 1e-3


def test_what_mileage_adds_is_found():
    # Older cars have been driven further, as real ones have.
    rng = np.random.default_rng(2)
    years = rng.uniform(0.3, 4.0, 2000)
    distance = 2e4 * years * rng.lognormal(0.0, 0.5, 2000)
    loss = LAW.at(years) + 0.002 * distance / 1e4 + rng.normal(0.0, 0.01, 2000)
    slope, error = cars.mileage_effect(pd.DataFrame({"years": years, "distance": distance, "loss": loss}))
    assert error < 4e-4
    assert slope == pytest.approx(0.002, abs=3.0 * error)


def test_packs_are_compared_with_those_of_their_age_and_mileage():
    distance = np.tile(np.linspace(0.0, 1e5, 50), 2)
    years = np.repeat([2.0, 4.0], 50)
    expected = 80.0 - 2.0 * years - distance / 2e4
    off = 0.03 * np.tile([1.0, -1.0], 50)
    found = cars.deviations(pd.DataFrame({"years": years, "distance": distance, "energy": expected * (1.0 + off)}))
    np.testing.assert_allclose(found, off, atol=3e-3)


def test_without_survivorship_cars_retire_as_the_table_says():
    offered, deviation = fleet(40, 3)
    soh, weight = cars.soh_at_retirement(LAW, offered, deviation, 0.0)
    by_year = weight.reshape(-1, LAST).sum(axis=0)
    np.testing.assert_allclose(by_year, [*-np.diff(cars.IN_SERVICE), cars.IN_SERVICE[-1]])
    np.testing.assert_allclose(weight.reshape(-1, LAST).sum(axis=1), 1.0 / 40)
    # Off packs of six years, in points of new ones.
    off = deviation * (1.0 - LAW.at(6.0))
    np.testing.assert_allclose(soh.reshape(-1, LAST)[:, 12], 1.0 - LAW.at(12.5) + off)


def test_packs_of_cars_that_have_left_are_made_up_for():
    born, deviation = fleet(100_000, 4)
    off = deviation.to_numpy() * (1.0 - LAW.at(6.0))
    there = np.random.default_rng(5).uniform(size=len(born)) < cars.IN_SERVICE[6] ** (2.0 ** (-2.0 * off / cars.POINTS))
    seen, of_seen = born[there].reset_index(drop=True), deviation[there].reset_index(drop=True)
    _, weight = cars.soh_at_retirement(LAW, seen, of_seen, 2.0)
    per_car = weight.reshape(-1, LAST).sum(axis=1)
    weak = deviation < -0.05
    # Those still there look better than those that were born; weighted they do not.
    assert of_seen.lt(-0.05).mean() < 0.95 * weak.mean()
    assert per_car[of_seen < -0.05].sum() == pytest.approx(weak.mean(), rel=0.02)


def test_packs_that_fade_most_retire_first():
    offered, deviation = fleet(2_000, 6)
    years = np.tile(np.arange(LAST), len(offered))
    weak = np.repeat(deviation.to_numpy() < 0.0, LAST)

    def younger(doublings):
        _, weight = cars.soh_at_retirement(LAW, offered, deviation, doublings)
        mean = [np.average(years[of], weights=weight[of]) for of in (weak, ~weak)]
        return mean[1] - mean[0]

    assert younger(0.0) == pytest.approx(0.0, abs=1e-9)
    assert 0.5 < younger(1.0) < younger(2.0)


@needs(cars.SOURCE)
def test_committed_statistics_match_a_refit():
    pytest.importorskip("openpyxl", reason="pip install 'fadecast[measured]'")
    told, offered = cars.survey(), cars.offers()
    assert (len(told), len(offered)) == (916, 5196)
    committed = json.loads(files("fadecast").joinpath("data/cars_in_service.json").read_text())
    refit = cars.summary(told, offered)
    assert committed["sources"] == refit["sources"]
    assert committed["law"] == pytest.approx(refit["law"], rel=1e-5)
    for name, entry in refit["candidates"].items():
        for key, value in entry.items():
            np.testing.assert_allclose(committed["candidates"][name][key], value, rtol=1e-5, err_msg=key)


@needs(cars.SOURCE)
def test_miles_are_not_taken_for_kilometres():
    # Whole years and miles: 12,000 miles a year are what such cars run.
    offered = cars.offers()
    assert 15_000 < (offered["distance"] / offered["years"]).median() < 25_000
