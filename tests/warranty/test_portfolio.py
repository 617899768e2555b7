"""Packs of several forecasts under one contract."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fadecast.outcome import Outcome
from fadecast.warranty import price
from fadecast.warranty.portfolio import joined, mixed

from .hand_made import ONE_INSPECTION, PACK_KWH, PURE, fade_of, linear_fade


def random_fade(packs, seed, draws=6, times=5):
    rng = np.random.default_rng(seed)
    retention = np.minimum.accumulate(rng.uniform(0.5, 1.0, (draws, packs, times)), axis=2)
    retention[..., 0] = 1.0
    return fade_of(retention, np.linspace(0.0, 10.0, times), soh_at_start=0.8)


def stored(fade, path):
    fade.to_netcdf(path, engine="h5netcdf")
    return xr.open_dataset(path, engine="h5netcdf")


def test_the_price_is_that_of_all_packs_in_one_dataset():
    parts = [random_fade(packs, seed) for seed, packs in enumerate((3, 7, 2))]
    together = price(joined(parts), ONE_INSPECTION, PURE, PACK_KWH, 1)
    by_hand = price(xr.concat(parts, "pack"), ONE_INSPECTION, PURE, PACK_KWH, 1)
    xr.testing.assert_identical(together, by_hand)


def test_half_of_a_fleet_that_claims_costs_half():
    # 0.10 missing to 0.70, 100 USD/kWh, in one half of the packs.
    weak, sound = linear_fade(np.full((2, 5), 0.60)), linear_fade(np.full((2, 5), 0.90))
    assert price(joined([weak, sound]), ONE_INSPECTION, PURE, PACK_KWH, 1)["premium"].item() == pytest.approx(5.0)


def test_what_fleets_have_in_common_does_not_diversify():
    # In every second draw all packs of both claim, or those of one fleet do in turn.
    bad, good = np.full((4, 3), 0.60), np.full((4, 3), 0.90)
    odd = np.arange(4)[:, None] % 2 == 1
    one, other = linear_fade(np.where(odd, bad, good)), linear_fade(np.where(odd, good, bad))
    shared = price(joined([one, one]), ONE_INSPECTION, PURE, PACK_KWH, 1)
    apart = price(joined([one, other]), ONE_INSPECTION, PURE, PACK_KWH, 1)
    assert shared["premium"].item() == pytest.approx(apart["premium"].item())
    assert shared["loss"].sum("pack").std().item() > 0.0
    assert apart["loss"].sum("pack").std().item() == pytest.approx(0.0, abs=1e-9)


def test_of_two_models_each_comes_true_as_often_as_its_weight():
    # 0.10 missing to 0.70, 100 USD/kWh, if the first is true.
    weak, sound = linear_fade(np.full((8, 5), 0.60)), linear_fade(np.full((8, 5), 0.90))
    either = price(mixed([weak, sound], [1.0, 3.0], 1), ONE_INSPECTION, PURE, PACK_KWH, 1)
    assert either["premium"].item() == pytest.approx(2.5)
    # Nobody knows which: all packs claim or none does, and no number of packs evens that out.
    assert either["systematic_standard_deviation"].item() == pytest.approx(10.0 * np.sqrt(0.25 * 0.75 * 8 / 7))
    assert either["individual_standard_deviation"].item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("number", [0, 1])
def test_a_model_of_all_weight_is_that_model_alone(number):
    fades = [random_fade(4, seed) for seed in range(2)]
    weights = [0.0, 0.0]
    weights[number] = 0.3
    alone = price(fades[number], ONE_INSPECTION, PURE, PACK_KWH, 1)
    xr.testing.assert_identical(price(mixed(fades, weights, 1), ONE_INSPECTION, PURE, PACK_KWH, 1), alone)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.5], [0.0, 0.0], [1.0, np.nan], [1.0, np.inf]])
def test_weights_of_no_mixture_are_refused(weights):
    with pytest.raises(ValueError, match="for 2 forecasts: each needs one, of at least 0"):
        mixed([random_fade(2, 0), random_fade(2, 1)], weights, 1)


def test_models_are_of_the_same_packs():
    with pytest.raises(ValueError, match="forecast 2 has 2 packs, the first has 3"):
        mixed([random_fade(3, 0), random_fade(2, 1)], [0.5, 0.5], 1)
    plain = {"seed": 1, "population": {"own_seed": 1, "rate_posterior": "lgm50"}}
    first, rates, others = (
        random_fade(2, 0).assign_attrs(study=json.dumps(plain | {"population": plain["population"] | more}))
        for more in ({}, {"rate_posterior": None}, {"own_seed": 2})
    )
    mixed([first, rates, random_fade(2, 1)], [0.5, 0.5, 0.1], 1)
    with pytest.raises(ValueError, match=r"forecast 2 was made with another population\.own_seed than the first"):
        mixed([first, others], [0.5, 0.5], 1)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), mix=st.booleans())
def test_any_part_is_that_of_the_whole(tmp_path_factory, data, mix):
    folder = tmp_path_factory.mktemp("fades")
    parts = [random_fade(packs, packs) for packs in ((3, 3) if mix else (2, 3))]
    files = [stored(part, folder / f"{number}.nc") for number, part in enumerate(parts)]
    if mix:
        lazy = mixed(files, [0.4, 0.6], 1)
        draws = [parts[which].isel(draw=draw) for draw, which in enumerate(lazy["forecast"].to_numpy())]
        whole = xr.concat(draws, "draw")
    else:
        lazy, whole = joined(files), xr.concat(parts, "pack")
    where = {}
    for dim, size in whole["soh"].sizes.items():
        # xarray itself stumbles over empty slices that run backwards.
        slices = st.slices(size).filter(lambda part, size=size: part.indices(size)[2] > 0)
        index = st.integers(-size, size - 1) | slices | st.lists(st.integers(0, size - 1), min_size=1)
        where[dim] = data.draw(st.none() | index)
    where = {dim: index for dim, index in where.items() if index is not None}
    np.testing.assert_array_equal(lazy["soh"].isel(where), whole["soh"].isel(where))


@pytest.mark.parametrize("packs", [8, 4])
def test_values_are_read_when_they_are_needed(tmp_path, packs):
    files = [stored(random_fade(4, seed), tmp_path / f"{seed}.nc") for seed in range(2)]
    lazy = joined(files) if packs == 8 else mixed(files, [0.5, 0.5], 1)
    assert not lazy["retention"].variable._in_memory
    assert lazy["retention"].isel(draw=slice(0, 2)).shape == (2, packs, 5)
    assert not lazy["retention"].variable._in_memory


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (random_fade(2, 1, draws=5), "forecast 2 has 5 of draw, the first has 6"),
        (random_fade(2, 1, times=4), "forecast 2 has 4 of time, the first has 5"),
        (random_fade(2, 1).assign(pack_weight=3.0), "forecast 2 has another pack_weight"),
        (random_fade(2, 1).assign(duty_draw=("draw", np.zeros(6))), "forecast 2 has another duty_draw"),
        (random_fade(2, 1).assign_coords(time=("time", np.arange(5.0), {"units": "year"})), "has another time"),
        (random_fade(2, 1).assign_coords(time=("time", np.linspace(0, 10, 5), {"units": "d"})), "has time in 'd'"),
    ],
)
def test_forecasts_that_do_not_go_together_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        joined([random_fade(3, 0), other])


def test_packs_of_a_forecast_without_outcomes_did_not_end():
    ended = random_fade(2, 0)
    ended["retention"][:, 0, 2:] = np.nan
    ended["soh"][:, 0, 2:] = np.nan
    ended["outcome"] = (("draw", "pack"), np.array([[Outcome.CAPACITY_EXHAUSTED, 0]] * 6))
    both = joined([ended, random_fade(3, 1)])
    np.testing.assert_array_equal(both["outcome"], [[Outcome.CAPACITY_EXHAUSTED, 0, 0, 0, 0]] * 6)
    assert price(both, ONE_INSPECTION, PURE, PACK_KWH, 1)["premium"].item() > 0.0


@pytest.mark.parametrize(
    ("study", "key"),
    [
        ({"seed": 2}, "seed"),
        ({"seed": 1, "site": {"climate": "elko"}}, "site"),
        ({"seed": 1, "duty": {"workload": {"training_share": 1.0}}}, r"duty\.workload"),
    ],
)
def test_forecasts_of_other_weather_or_workload_are_refused(study, key):
    plain = {
        "seed": 1,
        "site": {"climate": "reno"},
        "duty": {"workload": {"training_share": 0.5}, "timestep_minutes": 15},
    }
    first = random_fade(3, 0).assign_attrs(study=json.dumps(plain))
    with pytest.raises(ValueError, match=f"forecast 2 was made with another {key} than the first"):
        joined([first, random_fade(2, 1).assign_attrs(study=json.dumps(plain | study))])
    other = plain | {"cell": {"chemistry": 1}, "duty": {**plain["duty"], "timestep_minutes": 1}}
    joined([first, random_fade(2, 1).assign_attrs(study=json.dumps(other)), random_fade(2, 1)])
