"""Cash flow, levelised price and carbon of a site, by cases worked out on paper."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from fadecast.demand_response import DemandResponse
from fadecast.duty import Duty, Grid
from fadecast.economics import (
    COMPONENTS,
    Economics,
    Plant,
    Yearly,
    carbon,
    cash_flow,
    economics_table,
    levelised_price,
    yearly,
)
from fadecast.pipeline import plant_of
from fadecast.study import Study

FREE = Economics(
    years=2,
    discount_rate=0.0,
    pack_usd_per_kwh=0.0,
    solar_usd_per_kw=0.0,
    operation_share=0.0,
    replacement_usd=0.0,
    module_credit_usd_per_kwh=0.0,
    solar_credit_usd_per_kwh=0.0,
)
PLANT = Plant(packs=10, pack_kwh=50.0, solar_kw=100.0)


def done(draws=2, years=2, **changed):
    """A site that serves 1 MWh a year, 600 kWh of it by the battery."""
    values = {
        "load": 1200.0,
        "served": 1000.0,
        "sun": 1500.0,
        "discharged": 600.0,
        "capability": 1.0,
        "replaced": 0.0,
        "imported": 0.0,
        **changed,
    }
    return Yearly(**{name: np.broadcast_to(np.asarray(value), (draws, years)) for name, value in values.items()})


def fade(draws=2):
    return xr.Dataset({"retention": (("draw", "pack"), np.ones((draws, 1)))})


def price(economics, of, warranty=0.0, claims=None):
    flow = cash_flow(economics, PLANT, of, warranty, np.zeros((len(of.served), 1)) if claims is None else claims)
    table = levelised_price(economics, flow, of, fade(len(of.served)), 1)
    return table.set_index("component")["usd_per_kwh"]


@pytest.mark.parametrize(
    ("changes", "component", "usd"),
    [
        ({"pack_usd_per_kwh": 200.0}, "packs", 100_000.0),
        ({"solar_usd_per_kw": 1000.0}, "sun", 100_000.0),
        ({"module_credit_usd_per_kwh": 10.0}, "module credit", -5_000.0),
        ({"solar_credit_usd_per_kwh": 0.03}, "solar credit", -90.0),
    ],
)
def test_each_part_is_divided_by_what_is_served(changes, component, usd):
    found = price(replace(FREE, **changes), done())
    assert found[component] == pytest.approx(usd / 2000.0)
    assert found["price"] == pytest.approx(usd / 2000.0)
    others = [name for name in COMPONENTS if name != component]
    np.testing.assert_array_equal(found[others], 0.0)


def test_money_later_is_worth_less_and_so_is_energy():
    economics = replace(FREE, discount_rate=0.25, pack_usd_per_kwh=1.0)
    # 500 USD at the start over 1000 kWh at the ends of two years: 800 + 640.
    assert price(economics, done())["price"] == pytest.approx(500.0 / 1440.0)


def test_operation_rises_with_what_is_lost():
    economics = replace(FREE, pack_usd_per_kwh=200.0, operation_share=0.025, operation_rise=2.0)
    found = price(economics, done(capability=[1.0, 0.9]))
    assert found["operation"] == pytest.approx(2500.0 * (1.0 + 1.2) / 2000.0)


def test_packs_are_replaced_at_their_price_and_labour():
    economics = replace(FREE, pack_usd_per_kwh=200.0, replacement_usd=2000.0)
    assert price(economics, done(replaced=[0.0, 3.0]))["replacement"] == pytest.approx(3 * 12_000.0 / 2000.0)


def test_a_warranty_costs_its_premium_and_brings_its_claims():
    claims = np.array([[0.0, 500.0], [0.0, 1500.0]])
    found = price(FREE, done(), warranty=2000.0, claims=claims)
    assert found["warranty"] == pytest.approx(1.0)
    assert found["claims"] == pytest.approx(-0.5)


def test_the_price_leaves_nothing_of_the_expected_present_value():
    rng = np.random.default_rng(1)
    of = done(draws=50, served=rng.uniform(500.0, 1500.0, (50, 2)), capability=rng.uniform(0.5, 1.0, (50, 2)))
    economics = Economics(years=2)
    flow = cash_flow(economics, PLANT, of, 700.0, rng.uniform(0.0, 100.0, (50, 2)))
    table = levelised_price(economics, flow, of, fade(50), 1).set_index("component")
    present = 1.08 ** -np.arange(3)
    income = table.loc["price", "usd_per_kwh"] * of.served @ present[1:]
    assert (income - (flow @ present).sum(axis=0)).mean() == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < table.loc["price", "interval"] < table.loc["price", "usd_per_kwh"]
    np.testing.assert_allclose(table.loc[list(COMPONENTS), "usd_per_kwh"].sum(), table.loc["price", "usd_per_kwh"])


def test_carbon_counts_what_fade_takes_and_what_is_replaced():
    economics = Economics(years=2, emission_kg_per_kwh=80.0, emission_saved=0.3)
    found = carbon(economics, PLANT, done(discharged=[600.0, 400.0], replaced=[0.0, 2.0])).set_index("packs")
    assert found.loc["re-used", "kg_per_mwh"] == pytest.approx(0.7 * 80.0 * 600.0 / 1.0)
    assert found.loc["new", "kg_per_mwh"] == pytest.approx(80.0 * 500.0 / 1.2)


def site(draws=3, years=(0.0, 0.5, 1.0, 2.0), sites=1):
    """A duty of 1 MW with 2 MW of sun half of the time, and a forecast that serves less each year."""
    sun = np.tile([2000.0, 0.0], (2, 4380))
    duty = xr.Dataset(
        {
            "load_power": (("draw", "hour"), np.full((2, 8760), 1000.0)),
            "solar_power": (("draw", "hour"), sun),
            "battery_power": (("draw", "hour"), 1000.0 - sun),
            "grid_power": (("draw", "hour"), np.tile([-300.0, 100.0], (2, 4380))),
        },
        coords={"hour": np.arange(8760.0)},
    )
    time = np.array(years)
    values = {
        "site_unserved": 1000.0 * time**2,
        "site_spilled": 500.0 * time,
        "site_curtailed": 0.0 * time,
        "site_capability": 1.0 - 0.1 * time,
        "site_replacements": np.floor(time),
    }
    shape = (draws, sites, len(time))
    arrays = {name: (("draw", "site", "time"), np.broadcast_to(value, shape)) for name, value in values.items()}
    forecast = xr.Dataset(arrays, coords={"time": ("time", time)})
    return duty, forecast.assign(duty_draw=("draw", np.arange(draws) % 2))


def test_years_of_a_site_are_read_from_its_duty_and_its_forecast():
    found = yearly(*site(), years=2)
    np.testing.assert_allclose(found.served, np.tile([8.76e6 - 1000.0, 8.76e6 - 3000.0], (3, 1)))
    np.testing.assert_allclose(found.load, np.full((3, 2), 8.76e6))
    np.testing.assert_allclose(found.sun, 8.76e6 - 500.0)
    np.testing.assert_allclose(found.discharged, np.tile([4.38e6, 4.38e6 - 2000.0], (3, 1)))
    np.testing.assert_allclose(found.capability, np.tile([0.95, 0.85], (3, 1)))
    np.testing.assert_array_equal(found.replaced, 1.0)
    np.testing.assert_allclose(found.imported, np.full((3, 2), 4.38e5))


def test_what_cannot_be_read_is_refused():
    duty, forecast = site()
    with pytest.raises(ValueError, match="ends after 2 years, the term after 3"):
        yearly(duty, forecast, 3)
    with pytest.raises(ValueError, match="site_unserved is not there or of several"):
        yearly(duty, forecast.drop_vars("site_unserved"), 2)
    with pytest.raises(ValueError, match=r"fleet\.sites to 1"):
        yearly(*site(sites=2), 2)


def test_the_table_of_a_study_has_price_parts_and_carbon():
    duty, forecast = site(draws=2)
    forecast = forecast.assign(pack_weight=2.0)
    price = xr.Dataset(
        {
            "premium": ((), 0.5),
            "base_energy": (("draw", "pack"), np.full((2, 5), 40.0)),
            "claim_amount": (("draw", "policy_year"), np.full((2, 2), 10.0)),
        }
    )
    rows = economics_table(FREE, PLANT, duty, forecast, price, 1).set_index("quantity")
    served = 2 * 8.76e6 - 4000.0
    # Half a dollar for each of 400 kWh, of which 20 come back.
    assert rows.loc["levelised_warranty", "value"] == pytest.approx(200.0 / served)
    assert rows.loc["levelised_claims", "value"] == pytest.approx(-20.0 / served)
    assert rows.loc["levelised_price", "value"] == pytest.approx(180.0 / served)
    assert rows.loc["levelised_price", "units"] == "USD.kW-1.h-1"
    assert rows.loc["carbon_new", "value"] > 0.0
    assert np.isnan(rows.loc["carbon_re_used", "low"])


# Ten packs enrol 5 kW each; 60 kW of converters carry 10 kW of own load; 45 events of 3 h ask for 150 kWh each.
GRID = Plant(packs=10, pack_kwh=50.0, solar_kw=100.0, converter_kw=60.0, battery_kwh=300.0, export_kw=80.0)
PAID = DemandResponse(
    kw_per_pack=5.0,
    capacity_usd_per_kw=200.0,
    energy_usd_per_kwh=2.0,
    events_per_year=45.0,
    event_hours=3.0,
    forgone_usd_per_kwh=0.5,
)


def events(plant=GRID, terms=PAID, **changed):
    """Return what demand response costs at a site of 10 kW, by year."""
    of = done(draws=1, **{"served": 87_600.0, **changed})
    flow = cash_flow(replace(FREE, demand_response=terms), plant, of, 0.0, np.zeros((1, 1)))
    return flow[COMPONENTS.index("demand response"), 0]


def test_events_are_paid_for_power_and_energy_less_what_they_take_from_computing():
    # 50 kW at 200 USD, and 45 times 150 kWh at 2.00 less 0.50 USD.
    np.testing.assert_allclose(events(), [0.0, -20_125.0, -20_125.0])
    np.testing.assert_allclose(
        events(terms=replace(PAID, capacity_usd_per_kw=0.0, energy_usd_per_kwh=0.0)), [0.0, 3375.0, 3375.0]
    )


def test_each_limit_binds_where_it_is_the_tightest():
    whole = events()[1]
    # 30 kW of 50: converters that carry 10 kW already, or a grid that takes 30 kW.
    assert events(GRID._replace(converter_kw=40.0))[1] == pytest.approx(0.6 * whole)
    assert events(GRID._replace(export_kw=30.0))[1] == pytest.approx(0.6 * whole)
    # 20 kW to the grid, and 10 kW taken from it in the mean that are not taken any more; converters then carry no load.
    assert events(GRID._replace(export_kw=20.0), imported=87_600.0)[1] == pytest.approx(0.6 * whole)
    assert events(GRID._replace(converter_kw=30.0), imported=87_600.0)[1] == pytest.approx(0.6 * whole)
    assert events(GRID._replace(battery_kwh=90.0))[1] == pytest.approx(0.6 * whole)
    assert events(GRID._replace(converter_kw=5.0))[1] == 0.0


def test_energy_falls_with_capability_where_it_limits_and_power_does_not():
    small = GRID._replace(battery_kwh=100.0)
    whole, half = events(small, capability=[1.0, 0.5])[1:]
    assert half == pytest.approx(0.5 * whole)
    whole, half = events(capability=[1.0, 0.5])[1:]
    assert half == whole


def test_longer_events_bring_less_for_power_where_energy_limits():
    plant, energy_free = GRID._replace(battery_kwh=120.0), replace(PAID, events_per_year=0.0)
    # 120 kWh are 40 kW for three hours, 20 kW for six.
    assert events(plant, energy_free)[1] == pytest.approx(-200.0 * 40.0)
    assert events(plant, replace(energy_free, event_hours=6.0))[1] == pytest.approx(-200.0 * 20.0)


def test_who_enrols_nothing_has_the_cash_flow_of_before_to_the_last_digit():
    economics, of = Economics(years=2), done(capability=[0.97, 0.9], replaced=[0.0, 1.0], imported=400.0)
    none = cash_flow(economics, GRID, of, 700.0, np.ones((2, 2)))
    off_grid = cash_flow(replace(economics, demand_response=PAID), PLANT, of, 700.0, np.ones((2, 2)))
    some = cash_flow(replace(economics, demand_response=PAID), GRID, of, 700.0, np.ones((2, 2)))
    np.testing.assert_array_equal(none[-1], 0.0)
    np.testing.assert_array_equal(off_grid, none)
    np.testing.assert_array_equal(some[:-1], none[:-1])
    assert (some[-1, :, 1:] < 0.0).all()


def test_income_lowers_the_price_by_what_each_kwh_brings():
    of = done(served=87_600.0)
    flow = cash_flow(replace(FREE, demand_response=PAID), GRID, of, 0.0, np.zeros((2, 1)))
    table = levelised_price(FREE, flow, of, fade(), 1).set_index("component")["usd_per_kwh"]
    assert table["price"] == pytest.approx(-20_125.0 / 87_600.0)


def test_the_plant_of_a_study_is_that_of_its_packs():
    study = Study(name="a", packs=10, draws=2, years=10.0, duty=Duty(grid=Grid(export_kw_per_pack=3.0)))
    found = plant_of(study)
    # 78 kWh of nameplate, 65 % of it counted on, from 95 to 10 % of charge, through pack and converter.
    battery = 10 * 78.0 * 0.65 * 0.85 * 0.98 * 0.97
    assert found == pytest.approx(Plant(10, 78.0, 300.0, converter_kw=149.0, battery_kwh=battery, export_kw=30.0))
