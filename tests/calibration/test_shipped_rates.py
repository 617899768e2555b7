import numpy as np
import pytest

from fadecast.calibration.joint_model import COMMON
from fadecast.calibration.makes import MAKES
from fadecast.calibration.shipped_rates import (
    Condition,
    _check_draws,
    _check_names,
    beside,
    folds,
    posterior,
    predict,
    shares,
    weights,
)

DRAWS = 4000
LAW = "solvent"
FILM, NEGATIVE, POSITIVE = (unknown.parameter for unknown in MAKES["lgm50"].laws[LAW].cycled)


def drawn(condition, without=None, law=LAW, seed=0, draws=DRAWS):
    return predict(law, condition, without, draws, np.random.default_rng(seed))


def test_laws_are_there_with_their_weights():
    assert set(weights()) == {LAW, "electron"} == set(map(str, folds()["law"].values))
    assert sum(weights().values()) == pytest.approx(1.0)
    for law in weights():
        found = drawn(Condition(25.0, 0.5, rests=True), law=law)
        assert set(found.multiples) == {unknown.parameter for unknown in MAKES["lgm50"].laws[law].cycled}
        assert set(found.common) == set(COMMON)
    assert sum(shares(48).values()) == 48
    assert set(shares(200)) == {law for law, weight in weights().items() if weight > 0.01}
    assert shares(48, (LAW,)) == {LAW: 48}
    assert shares(48, ("electron",)) == {"electron": 48}


def test_draws_are_shared_by_weight(monkeypatch):
    monkeypatch.setattr("fadecast.calibration.shipped_rates.weights", lambda make: {"one": 0.0, "two": 0.7, "six": 0.3})
    assert shares(48) == {"two": 34, "six": 14}
    assert shares(48, ("one", "six")) == {"six": 48}
    assert shares(48, ("one",)) == {"one": 48}


def test_of_iron_phosphate_storage_and_a_second_life_are_known():
    make = MAKES["lfp"]
    assert set(weights("lfp")) <= set(make.laws)
    assert sum(weights("lfp").values()) == pytest.approx(1.0)
    film, stress, before = make.laws[LAW].fitted
    where = Condition(45.0, 0.5, rests=True)
    knowing, blind = (
        np.log(predict(LAW, where, without, 400, np.random.default_rng(0), "lfp").multiples[film.parameter])
        for without in (None, "45 degC, 50%")
    )
    assert blind.std() > 1.5 * knowing.std()
    worn = predict(LAW, Condition(25.0, 0.5, rests=False, worn=True), None, 400, np.random.default_rng(0), "lfp")
    logs = np.log(worn.multiples[before.parameter])
    assert before.reach[0] <= logs.min() < logs.max() <= before.reach[1]
    # All first lives were at one temperature: another is like none of them, and its cells are alike.
    spread = np.log(worn.multiples[stress.parameter]).std()
    assert spread > 0.9 * worn.common["condition_sd"].mean()


@pytest.mark.parametrize("make", MAKES)
def test_what_ships_is_what_a_calibration_makes(make):
    found = posterior(make)
    _check_names(found)
    _check_draws(found)
    assert set(folds(make)["law"].values) == set(found["law"].values)


def test_a_second_life_has_neither_check_ups_nor_overhang_beside_the_law():
    where, days = Condition(25.0, 0.5, rests=False, worn=True), np.array([0.0, 30.0, 60.0])
    rng = np.random.default_rng(0)
    found = predict(LAW, where, None, DRAWS, rng, "lfp")
    extra = beside(found, where, days, 3.0 * days, 1, rng, "lfp")
    assert (extra[0] == 0.0).all()
    np.testing.assert_allclose(np.median(extra[1:], axis=1), 0.0, atol=5e-4)
    # Of Student's distribution with five degrees of freedom, 1.67 times its variance.
    spread = np.sqrt((found.common["noise_second"] ** 2).mean() * 5.0 / 3.0)
    np.testing.assert_allclose(extra[1:].std(axis=1), spread, rtol=0.1)


def test_a_condition_far_from_all_others_is_less_sure():
    near, far = (np.log(drawn(Condition(celsius, 0.5, rests=True)).multiples[FILM]).std() for celsius in (25.0, 85.0))
    assert far > 1.3 * near
    # Cells were cycled at 28 degC, and at no temperature near 60.
    known, new = (
        np.log(drawn(Condition(celsius, 0.75, rests=False)).multiples[POSITIVE]).std() for celsius in (28.2, 60.0)
    )
    assert new > 1.2 * known


@pytest.mark.parametrize("celsius", [0.0, 25.0, 45.0])
def test_at_a_fitted_condition_the_field_is_the_fitted_one(celsius):
    """Given all conditions, the film at one of them is told by its measurements; without it, by its neighbours only."""
    condition = Condition(celsius, 0.50, rests=True)
    knowing, blind = (np.log(drawn(condition, without).multiples[FILM]) for without in (None, f"{celsius:g} degC, 50%"))
    assert blind.std() > 1.4 * knowing.std()


def test_a_condition_that_departs_from_its_neighbours_draws_the_field_its_way():
    """Half charged at 45 degC cells lost 3 points more than others foretell."""
    condition = Condition(45.0, 0.50, rests=True)
    knowing, blind = (np.median(drawn(condition, without).multiples[FILM]) for without in (None, "45 degC, 50%"))
    assert knowing > 1.5 * blind


def test_every_condition_can_be_left_out():
    assert folds().sizes["fold"] == 39
    for fold in ("0 degC, 0%", "45 degC, 100%", "cycled 2"):
        assert np.isfinite(list(drawn(Condition(25.0, 0.5, rests=True), fold).multiples.values())).all()


def test_the_same_generator_gives_the_same_draws():
    one, other, third = (drawn(Condition(25.0, 0.5, rests=False), seed=seed).multiples for seed in (3, 3, 4))
    for name in (FILM, NEGATIVE, POSITIVE):
        np.testing.assert_array_equal(one[name], other[name])
    assert one[FILM][0] != pytest.approx(third[FILM][0])


def test_what_check_ups_find_beside_ageing():
    days = np.array([0.0, 100.0, 200.0, 400.0])
    parts = {
        (charge, check_ups): beside(
            drawn(where := Condition(25.0, charge, rests=True)),
            where,
            days,
            np.zeros(4),
            check_ups,
            np.random.default_rng(0),
        )
        for charge in (0.1, 0.9)
        for check_ups in (0, 1)
    }
    for found in parts.values():
        assert found.shape == (4, DRAWS)
        np.testing.assert_array_equal(found[0], 0.0)
    # Lithium leaves a full cell for the overhang and comes back to an empty one; check-ups cost capacity.
    assert np.median(parts[0.9, 0][-1]) < -0.005 < 0.0 < np.median(parts[0.1, 0][-1])
    cost = np.median(parts[0.9, 0] - parts[0.9, 1], axis=1)
    assert cost[3] == pytest.approx(np.sqrt(3.0) * cost[1], rel=1e-6)
    assert 0.003 < cost[1] < 0.02
    # Wider the longer.
    assert parts[0.9, 1][3].std() > parts[0.9, 1][1].std()


def test_cycles_through_low_charge_cost_as_check_ups_do_until_no_silicon_is_left():
    days, cycles = np.array([0.0, 50.0, 100.0, 1e3]), np.array([0.0, 100.0, 200.0, 1e6])
    high, low = (Condition(25.0, 0.5, rests=False, low_passes=passes) for passes in (0.0, 1.0))
    given = drawn(high)
    above, below = (beside(given, where, days, cycles, 0, np.random.default_rng(0)) for where in (high, low))
    cost = above - below
    assert (cost[1:] > 0.0).all()
    assert (np.diff(cost, axis=0) >= -1e-12).all()
    assert cost.max() <= 0.13
    # As many cycles as a check-up has cost what it does, and no cell of the fit tells how many these are.
    low_end, high_end = np.quantile(cost[1], (0.05, 0.95))
    assert high_end > 3.0 * low_end
