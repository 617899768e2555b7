"""Rates of packs from the joint posterior: what a draw takes of it, and what it hangs on."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from fadecast.calibration.makes import MAKES
from fadecast.calibration.rates import ACTIVATION_ENERGY, GAS_CONSTANT
from fadecast.calibration.shipped_rates import Condition, posterior, predict
from fadecast.cell.model import Chemistry
from fadecast.cell.parameters import LAM_ENERGY, LAM_RATE
from fadecast.population import Population, in_service, make_population
from fadecast.population.evidence import single_fits
from fadecast.population.keys import Inside
from fadecast.population.posterior_rates import law_of, posterior_parameters, sample_posterior_rates

from .test_population import capacity_of

SEED, DRAWS = 5, 4000
SOLVENT = MAKES["lgm50"].laws["solvent"]
FILM = SOLVENT.film[0].parameter


def held(*places):
    """Duty of draws that stand at one (temperature, charge) each, or at several for the same time."""
    air, charge = (np.array([[place[n] for place in each] for each in places]) for n in range(2))
    return xr.Dataset(
        {"pack_ambient_temperature": (("draw", "hour"), air), "state_of_charge": (("draw", "hour"), charge)}
    )


def sampled(*places, draws=DRAWS, packs=1, between=0.0, inside=None, source="lgm50"):
    service = in_service(Chemistry(), held(*places))
    return sample_posterior_rates(source, service, SEED, draws, packs, between, inside)


def film(*places):
    return np.log(sampled(*places).rates[FILM][:, 0])


def test_a_draw_is_one_sample_of_the_posterior_whatever_is_drawn_with_it():
    many, few = sampled([(25.0, 0.5)], packs=3), sampled([(25.0, 0.5)], draws=7, packs=2)
    for name, values in few.rates.items():
        np.testing.assert_array_equal(many.rates[name][:7, :2], values)
    np.testing.assert_array_equal(many.drift[:7, :2], few.drift)
    assert tuple(many.rates) == posterior_parameters(SOLVENT)
    shipped = posterior().sel(law="solvent")
    energies = shipped["common"].sel(quantity="energy_ne").values
    assert np.isin(many.rates[LAM_ENERGY["ne"]], energies).all()
    # What goes together in the posterior goes together in packs.
    both = {
        name: posterior()["common"].sel(law="solvent", quantity=name).values for name in ("film_energy", "check_up")
    }
    drawn = many.rates[ACTIVATION_ENERGY][:, 0] - 38000.0
    np.testing.assert_allclose(np.quantile(drawn, (0.1, 0.9)), np.quantile(both["film_energy"], (0.1, 0.9)), rtol=0.1)


@pytest.mark.parametrize("place", [(25.0, 0.55), (45.0, 0.85), (10.0, 0.35)])
def test_packs_held_at_one_place_age_as_a_cycled_cell_forecast_there(place):
    """The same posterior by another way: `predict`, which scores are made by; its Arrhenius law is in the multiple."""
    chosen = Condition(place[0], place[1], rests=False)
    expected = np.log(predict("solvent", chosen, None, DRAWS, np.random.default_rng(0)).multiples[FILM])
    found = sampled([place])
    above = (found.rates[ACTIVATION_ENERGY] - 38000.0) / GAS_CONSTANT * (1.0 / 298.15 - 1.0 / (place[0] + 273.15))
    logs = np.log(found.rates[FILM] / SOLVENT.film[0].centre) + above
    np.testing.assert_allclose(np.median(logs), np.median(expected), atol=0.06)
    np.testing.assert_allclose(logs.std(), expected.std(), rtol=0.08)


def test_film_growth_is_the_mean_over_the_year_weighted_as_it_grows():
    apart = (10.0, 0.25), (45.0, 0.85)
    cold, hot = (film([place]) for place in apart)
    both = film(apart)
    assert (both <= np.maximum(cold, hot) + 1e-9).all()
    assert (both >= np.minimum(cold, hot) - 1e-9).all()
    # Most growth is in the heat, so its field counts for more; draw by draw, not on average.
    assert np.abs(both - hot).mean() < 0.6 * np.abs(both - cold).mean()
    energy = sampled([apart[0]]).rates[ACTIVATION_ENERGY][:, 0]
    cold_weight, hot_weight = (np.exp(energy / GAS_CONSTANT * (1.0 / 298.15 - 1.0 / (t + 273.15))) for t, _ in apart)
    mean = np.log((cold_weight * np.exp(cold) + hot_weight * np.exp(hot)) / (cold_weight + hot_weight))
    np.testing.assert_allclose(both, mean, rtol=1e-9)


def test_draws_of_the_duty_are_taken_in_turn():
    one, other, both = film([(10.0, 0.25)]), film([(45.0, 0.85)]), film([(10.0, 0.25)], [(45.0, 0.85)])
    np.testing.assert_array_equal(both[::2], one[::2])
    np.testing.assert_array_equal(both[1::2], other[1::2])


def test_packs_of_a_draw_differ_in_loss_of_material_alone():
    found = sampled([(25.0, 0.5)], draws=200, packs=50)
    for name, values in found.rates.items():
        alike = np.ptp(np.log(np.abs(values)), axis=1).max()
        assert (alike > 0.1) == (name in LAM_RATE.values())
    spread = np.log(found.rates[LAM_RATE["ne"]]).std(axis=1)
    cell_sd = posterior().sel(law="solvent")["common"].sel(quantity="cell_sd").values
    np.testing.assert_allclose(spread.mean(), cell_sd.mean(), rtol=0.1)
    inside = Inside(4, 1.0)
    groups = sampled([(25.0, 0.5)], draws=20, packs=5, inside=inside).rates[LAM_RATE["ne"]]
    assert groups.shape == (20, 20)
    assert (np.ptp(groups.reshape(20, 5, 4), axis=2) > 0.0).all()


@pytest.mark.parametrize(("between", "alike"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_drift_is_of_the_draw_and_of_the_pack_by_its_share(between, alike):
    drift = sampled([(25.0, 0.5)], draws=2000, packs=2, between=between).drift
    sd = posterior().sel(law="solvent")["common"].sel(quantity="growth_sd").values
    np.testing.assert_allclose(drift.std(), np.sqrt((sd**2).mean()), rtol=0.08)
    assert np.corrcoef(drift.T)[0, 1] == pytest.approx(alike, abs=0.06)


def test_packs_are_drawn_with_what_the_posterior_sets():
    service = in_service(Chemistry(), held([(25.0, 0.5)]))
    dataset = make_population(Population(), 3, 4, SEED, capacity_of, service=service)
    names = [str(name) for name in dataset["parameter"].values[dataset["parameter_kind"].values == "rate"]]
    assert names == [*posterior_parameters(SOLVENT), "SEI resistivity [Ohm.m]"]
    units = dict(zip(dataset["parameter"].values, dataset["parameter_units"].values, strict=True))
    assert units[FILM] == "m2.s-1"
    assert units[LAM_ENERGY["pe"]] == "J.mol-1"
    assert set(names) == {rate.name for rate in single_fits()}
    expected = sampled([(25.0, 0.5)], draws=3, packs=4)
    np.testing.assert_array_equal(dataset["parameter_value"].sel(parameter=FILM), expected.rates[FILM])
    np.testing.assert_array_equal(dataset["retention_drift"], expected.drift)
    assert "Kuzhiyil" in dataset.attrs["rate_citations"]
    with pytest.raises(ValueError, match="pass `service`"):
        make_population(Population(), 3, 4, SEED, capacity_of)


def test_packs_under_electron_migration_draw_its_conductivity():
    law = MAKES["lgm50"].laws["electron"]
    service = in_service(Chemistry(sei="electron-migration limited"), held([(25.0, 0.5)]))
    found = sample_posterior_rates("lgm50", service, SEED, DRAWS, 1, 0.0)
    assert tuple(found.rates) == posterior_parameters(law)
    expected = predict("electron", Condition(25.0, 0.5, rests=False), None, DRAWS, np.random.default_rng(0)).multiples
    name = law.film[0].parameter
    logs = np.log(found.rates[name] / law.film[0].centre)
    np.testing.assert_allclose(np.median(logs), np.median(np.log(expected[name])), atol=0.1)
    # It explains storage worse, and drifts more.
    assert found.drift.std() > 1.5 * sampled([(25.0, 0.5)]).drift.std()


def test_a_law_that_was_not_fitted_is_refused():
    assert law_of(Chemistry(loss_of_active_material=("stress-driven", "stress-driven"))) is SOLVENT
    assert law_of(Chemistry(model="SPMe")) is SOLVENT
    other = Chemistry(sei="reaction limited")
    assert law_of(other) is None
    with pytest.raises(ValueError, match="solvent-diffusion limited"):
        in_service(other, held([(25.0, 0.5)]))
    both = "stress and reaction-driven", "stress-driven"
    service = in_service(Chemistry(loss_of_active_material=both), held([(25.0, 0.5)]))
    with pytest.raises(ValueError, match="no draws of the law coupled"):
        sample_posterior_rates("lgm50", service, SEED, 2, 2, 0.0)
    # Of the same name, but of another make.
    with pytest.raises(ValueError, match="posterior lfp holds no draws of the law solvent of this chemistry"):
        sample_posterior_rates("lfp", in_service(Chemistry(), held([(25.0, 0.5)])), SEED, 2, 2, 0.0)


def test_iron_phosphate_ages_by_its_own_posterior():
    law = MAKES["lfp"].laws["solvent"]
    assert law_of(law.chemistry) is law
    # With plating, which the law is without, it is another cell.
    assert law_of(replace(law.chemistry, parameters={})) is None
    found = sample_posterior_rates("lfp", in_service(law.chemistry, held([(25.0, 0.5)])), SEED, 200, 20, 0.0)
    assert set(found.rates) == {*(unknown.parameter for unknown in law.cycled), ACTIVATION_ENERGY, *LAM_ENERGY.values()}
    stress = np.log(found.rates[law.stress[0].parameter])
    # Packs differ as first lives do.
    spread = posterior("lfp").sel(law="solvent")["common"].sel(quantity="condition_sd").values.mean()
    np.testing.assert_allclose(stress.std(axis=1, ddof=1).mean(), spread, rtol=0.15)


def test_a_posterior_of_ones_own_is_read_from_its_file(tmp_path):
    mine = tmp_path / "mine.nc"
    posterior().isel(draw=[3]).to_netcdf(mine, engine="h5netcdf")
    np.testing.assert_allclose(
        sampled([(25.0, 0.5)], source=str(mine)).rates[ACTIVATION_ENERGY],
        38000.0 + float(posterior()["common"].isel(law=0, draw=3).sel(quantity="film_energy")),
    )
    broken = tmp_path / "broken.nc"
    posterior().drop_vars("field").to_netcdf(broken, engine="h5netcdf")
    for path, message in ((broken, "holds no draws of rates .*field"), (tmp_path / "none.nc", "no file")):
        with pytest.raises(ValueError, match=message):
            posterior(str(path))
