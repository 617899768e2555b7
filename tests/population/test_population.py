import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import xarray as xr
from pydantic import TypeAdapter, ValidationError

from fadecast.population import ClassShare, Population, RatePrior, make_population, retired_classes
from fadecast.population.evidence import candidate_soh, degradation_modes
from fadecast.population.modes import MODE_NAMES
from fadecast.population.population import CONTACT_RESISTANCE, CRACK_LENGTH, DEAD_LITHIUM, STATE_UNITS

SEI = RatePrior(name="SEI kinetic rate constant [m.s-1]", value=1e-12, units="m.s-1", log_sd=0.5)
CRACKING = RatePrior(name="Negative electrode cracking rate", value=3.9e-20, units="1", log_sd=1.0, pack_log_sd=0.2)
SETTINGS = Population(rate_posterior=None, rates=(SEI, CRACKING))


def capacity_of(lli, lam_ne, lam_pe):
    return 1.0 - 0.9 * lli - 0.1 * lam_ne**2 - 0.05 * lam_pe


@pytest.fixture(scope="module")
def dataset():
    return make_population(SETTINGS, 60, 80, 11, capacity_of)


def value(dataset, parameter):
    return dataset["parameter_value"].sel(parameter=parameter).values


def test_the_losses_of_a_pack_give_exactly_its_soh(dataset):
    soh = capacity_of(*(value(dataset, name) for name in MODE_NAMES))
    np.testing.assert_allclose(soh, dataset["initial_soh"].values, rtol=1e-12)


def test_states_are_within_their_bounds(dataset):
    for name in (*MODE_NAMES, DEAD_LITHIUM):
        assert value(dataset, name).min() > 0.0
        assert value(dataset, name).max() < 1.0
    low, high = SETTINGS.soh_range
    assert low <= dataset["initial_soh"].min() < dataset["initial_soh"].max() <= high
    assert value(dataset, CRACK_LENGTH).min() > 0.0
    resistance = value(dataset, CONTACT_RESISTANCE)
    assert resistance.min() == 0.0
    assert 0.1 * SETTINGS.reference_resistance < resistance.max() < SETTINGS.reference_resistance


def test_a_pack_does_not_depend_on_how_many_draws_and_packs_there_are(dataset):
    few = make_population(SETTINGS, 2, 4, 11, capacity_of)
    for name in ("parameter_value", "initial_soh", "retired_class"):
        np.testing.assert_array_equal(few[name], dataset[name].isel(draw=slice(2), pack=slice(4)))


def test_another_rate_leaves_all_others_as_they_were(dataset):
    fewer = make_population(Population(rate_posterior=None, rates=(SEI,)), 3, 3, 11, capacity_of)
    same = dataset["parameter_value"].sel(parameter=fewer["parameter"]).isel(draw=slice(3), pack=slice(3))
    np.testing.assert_array_equal(fewer["parameter_value"], same)


def test_another_seed_gives_other_packs(dataset):
    other = make_population(SETTINGS, 2, 4, 12, capacity_of)
    assert not np.isclose(other["initial_soh"], dataset["initial_soh"].isel(draw=slice(2), pack=slice(4))).any()


def test_rates_are_of_the_draw_unless_packs_are_said_to_differ(dataset):
    assert (np.ptp(value(dataset, SEI.name), axis=1) == 0.0).all()
    assert (np.ptp(value(dataset, CRACKING.name), axis=1) > 0.0).all()


def test_weaker_packs_have_more_resistance_where_it_was_measured_so():
    one = Population(classes=(ClassShare(name="lfp_20ah"),), rate_posterior=None)
    packs = make_population(one, 10, 200, 1, capacity_of)
    assert retired_classes()["lfp_20ah"].rank_correlation < -0.8
    assert np.corrcoef(packs["initial_soh"].values.ravel(), value(packs, CONTACT_RESISTANCE).ravel())[0, 1] < -0.8


def test_every_parameter_has_its_units_and_kind(dataset, tmp_path):
    dataset.to_netcdf(tmp_path / "population.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "population.nc", engine="h5netcdf") as stored:
        units = dict(zip(stored["parameter"].values, stored["parameter_units"].values, strict=True))
        kinds = dict(zip(stored["parameter"].values, stored["parameter_kind"].values, strict=True))
        np.testing.assert_array_equal(stored["parameter_value"], dataset["parameter_value"])
        assert stored.attrs == dataset.attrs
    assert units == {**STATE_UNITS, SEI.name: "m.s-1", CRACKING.name: "1"}
    assert kinds == {**dict.fromkeys(STATE_UNITS, "state"), SEI.name: "rate", CRACKING.name: "rate"}


def test_the_dataset_says_what_is_assumed_and_stretched(dataset):
    assert DEAD_LITHIUM in dataset.attrs["state_priors"]
    assert CRACK_LENGTH in dataset.attrs["state_priors"]
    assert "LFP, LMO" in dataset.attrs["cross_chemistry"]
    assert "NMC811" in dataset.attrs["cross_chemistry"]
    assert "down to SOH 0.89" in dataset.attrs["extrapolation"]
    assert dataset.attrs["extrapolated_share"] == 1.0
    assert degradation_modes().citation in dataset.attrs["citations"]


def test_four_chemistries_make_one_fleet_that_says_what_each_is():
    names = ("lmo_10ah", "lfp_20ah", "nmc_2ah", "nca_car")
    mixed = replace(SETTINGS, classes=tuple(ClassShare(name=name) for name in names))
    packs = make_population(mixed, 4, 500, 1, capacity_of)
    shares = [(packs["retired_class"] == name).mean() for name in names]
    np.testing.assert_allclose(shares, 0.25, atol=0.05)
    assert "LFP, LMO, NCA, NMC" in packs.attrs["cross_chemistry"]
    assert "nmc_2ah are states of cells aged in a laboratory" in packs.attrs["soh_source"]
    assert "nca_car are packs of cars in service" in packs.attrs["soh_source"]
    assert "the resistance of nmc_2ah" in packs.attrs["soh_source"]
    assert "BLAST-Lite" in packs.attrs["citations"]


def test_packs_of_cars_lie_high_in_the_band_by_any_survivorship():
    cars = Population(classes=(ClassShare(name="nca_car"),), rate_posterior=None)
    means = [
        float(make_population(replace(cars, survivorship=kind), 20, 200, 1, capacity_of)["initial_soh"].mean())
        for kind in ("none", "assumed", "strong")
    ]
    assert 0.76 < min(means) < max(means) < 0.78
    assert len(set(means)) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soh_range": (0.8, 0.6)}, r"soh_range is 0.8 to 0.6; expected 0 < lower < upper"),
        ({"soh_range": (0.6, 0.95)}, r"upper <= 0.85"),
        ({"classes": ()}, "classes is empty"),
        ({"classes": (ClassShare(name="nmc_21ah"),)}, r"classes names \['nmc_21ah'\].*lfp_20ah"),
        ({"classes": (ClassShare(name="lfp_20ah"), ClassShare(name="lfp_20ah"))}, "more than once"),
        ({"rates": (SEI, SEI)}, "more than once"),
        ({"rates": (RatePrior(name=CRACK_LENGTH, value=1.0, units="m", log_sd=0.1),)}, "more than once"),
    ],
)
def test_settings_that_contradict_themselves_or_the_data_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Population(**changes)


def test_settings_are_read_from_plain_data():
    plain = {
        "classes": [{"name": "lfp_20ah", "weight": 2.0}],
        "soh_range": [0.65, 0.8],
        "rates": [vars(SEI)],
        "rate_posterior": None,
    }
    read = TypeAdapter(Population).validate_python(plain)
    assert read == replace(
        SETTINGS, classes=(ClassShare(name="lfp_20ah", weight=2.0),), soh_range=(0.65, 0.8), rates=(SEI,)
    )
    with pytest.raises(ValidationError, match="weight"):
        TypeAdapter(Population).validate_python({"classes": [{"name": "lfp_20ah", "weight": 0.0}]})


def test_defaults_are_what_was_measured():
    table = json.loads(files("fadecast").joinpath("data/lgm50_degradation_modes.json").read_text())
    assert Population().reference_resistance == pytest.approx(table["fresh_resistance"]["median"], rel=5e-3)
    assert Population().soh_range[1] <= candidate_soh()
    measured = {name for name, entry in retired_classes().items() if entry.aged_in == "service"}
    assert {share.name for share in Population().classes} == measured
    assert degradation_modes().soh_min == pytest.approx(0.8916, abs=1e-4)


def test_fleets_of_own_seeds_share_draws_and_nothing_else():
    one, other = (make_population(replace(SETTINGS, own_seed=seed), 6, 80, 11, capacity_of) for seed in (None, 5))
    assert make_population(replace(SETTINGS, own_seed=11), 6, 80, 11, capacity_of).identical(one)
    # Rates without a spread between packs are of the draw.
    np.testing.assert_array_equal(value(one, SEI.name), value(other, SEI.name))
    soh = [packs["initial_soh"].values.ravel() for packs in (one, other)]
    assert abs(np.corrcoef(*soh)[0, 1]) < 0.15
    assert abs(np.corrcoef(*(value(packs, CONTACT_RESISTANCE).ravel() for packs in (one, other)))[0, 1]) < 0.15
