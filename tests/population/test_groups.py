"""Packs of groups: how they differ, how they are built, and which groups are simulated."""

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.stats import kstest

from fadecast.population import Groups, Population, RatePrior, make_population
from fadecast.population.keys import Inside, pack_normals, pack_uniforms

from .test_population import SEI, SETTINGS, capacity_of

DRAWS, PACKS, N = 3, 8, 12
CRACKING = RatePrior(name="Negative electrode cracking rate", value=3.9e-20, units="1", log_sd=1.0, pack_log_sd=0.2)


def made(packs=PACKS, draws=DRAWS, **groups):
    settings = Population(rate_posterior=None, rates=(SEI, CRACKING), groups=Groups(**{"n_series": N, **groups}))
    return make_population(settings, draws, packs, 11, capacity_of)


def test_numbers_of_groups_are_of_their_variance_and_of_one_pack_at_no_share():
    normal = pack_normals(5, "soh", 40, 100, 1, Inside(10, 0.25))[..., 0].reshape(40, 100, 10)
    assert kstest(normal[:, :, 0].ravel(), "norm").pvalue > 1e-3
    np.testing.assert_allclose(normal.var(axis=2, ddof=1).mean(), 0.25, rtol=0.05)
    np.testing.assert_allclose(normal.var(), 1.0, rtol=0.05)
    alike = pack_normals(5, "soh", 2, 3, 2, Inside(4, 0.0)).reshape(2, 3, 4, 2)
    np.testing.assert_allclose(alike, pack_normals(5, "soh", 2, 3, 2)[:, :, None].repeat(4, 2), rtol=1e-12)


def test_numbers_of_a_group_do_not_depend_on_how_many_draws_packs_and_groups_there_are():
    few = pack_uniforms(7, "soh", 2, 3, 2, Inside(2, 0.3)).reshape(2, 3, 2, 2)
    many = pack_uniforms(7, "soh", 4, 5, 2, Inside(6, 0.3)).reshape(4, 5, 6, 2)
    np.testing.assert_array_equal(many[:2, :3, :2], few)
    assert len(np.unique(many)) == many.size


def test_packs_of_one_group_are_as_without_groups():
    plain = make_population(SETTINGS, 2, 4, 11, capacity_of)
    assert "group" not in plain.dims
    assert Groups().inside is None


def test_each_group_starts_at_its_soh_and_the_pack_at_that_of_its_weakest():
    dataset = made()
    losses = dataset["group_parameter_value"].isel(parameter=slice(3)).transpose("parameter", ...).values
    np.testing.assert_allclose(capacity_of(*losses), dataset["group_initial_soh"].values, rtol=1e-12)
    soh = dataset["group_initial_soh"].values
    assert (np.diff(soh, axis=2) >= 0.0).all()
    np.testing.assert_array_equal(dataset["initial_soh"], soh[..., 0])
    np.testing.assert_allclose(dataset["group_weight"], 1.0 / N)
    mean = dataset["group_parameter_value"].mean("group")
    np.testing.assert_allclose(dataset["parameter_value"], mean.transpose(*dataset["parameter_value"].dims), rtol=1e-12)
    leaks = dataset["group_self_discharge"].values
    assert len(np.unique(leaks)) == leaks.size
    assert 0.1 < np.median(leaks) * 3044 < 10.0
    # A rate that is common to the packs of a draw is common to their groups.
    rate = dataset["group_parameter_value"].sel(parameter=SEI.name).values
    assert (np.ptp(rate, axis=(1, 2)) == 0.0).all()
    assert (np.ptp(dataset["group_parameter_value"].sel(parameter=CRACKING.name).values, axis=2) > 0.0).all()


def test_a_pack_does_not_depend_on_how_many_there_are():
    few, many = made(2, 2), made()
    for name in ("group_parameter_value", "group_initial_soh", "group_self_discharge", "initial_soh", "retired_class"):
        np.testing.assert_array_equal(few[name], many[name].isel(draw=slice(2), pack=slice(2)))


@pytest.mark.parametrize("k", [1, 3, 11])
def test_the_weakest_and_a_mean_of_the_rest_stand_for_all(k):
    whole, part = made(), made(weakest=k)
    np.testing.assert_array_equal(part["group_weight"], [1 / N] * k + [(N - k) / N])
    np.testing.assert_allclose(float(part["group_weight"].sum()), 1.0, rtol=1e-12)
    for name in ("group_parameter_value", "group_initial_soh", "group_self_discharge"):
        np.testing.assert_array_equal(part[name].isel(group=slice(k)), whole[name].isel(group=slice(k)))
        np.testing.assert_allclose(
            part[name].isel(group=k), whole[name].isel(group=slice(k, None)).mean("group"), rtol=1e-12
        )
    np.testing.assert_allclose(part["parameter_value"], whole["parameter_value"], rtol=1e-12)
    np.testing.assert_array_equal(part["initial_soh"], whole["initial_soh"])


def test_sorting_makes_packs_alike_inside_and_loses_no_group():
    packs = {sorting: made(12, 2, sorting=sorting) for sorting in ("random", "capacity", "resistance")}
    all_soh = np.sort(packs["random"]["group_initial_soh"].values.reshape(2, -1), axis=1)
    inside = {}
    for sorting, dataset in packs.items():
        np.testing.assert_array_equal(np.sort(dataset["group_initial_soh"].values.reshape(2, -1), axis=1), all_soh)
        np.testing.assert_array_equal(dataset["retired_class"], packs["random"]["retired_class"])
        resistance = dataset["group_parameter_value"].sel(parameter="Contact resistance [Ohm]").values
        inside[sorting] = dataset["group_initial_soh"].values.std(axis=2).mean(), resistance.std(axis=2).mean()
    assert inside["capacity"][0] < 0.75 * inside["random"][0]
    assert inside["resistance"][1] < 0.75 * inside["random"][1]
    assert packs["capacity"]["initial_soh"].mean() > packs["random"]["initial_soh"].mean()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_series": 0}, "greater than or equal to 1"),
        ({"n_series": 4, "weakest": 4}, "must be fewer"),
        ({"weakest": 1, "n_series": 1.0}, "valid integer"),
        ({"within_share": 1.1}, "less than or equal to 1"),
        ({"sorting": "age"}, "'random', 'capacity' or 'resistance'"),
        ({"bulk": 1}, "bulk"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Groups).validate_json(json.dumps(wrong), strict=True)
