"""Plans ahead: hand values, optimality against the rule, and a year of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fadecast.duty import Container, Dispatch, Duty, Generator, Grid, LookAhead, Site, Workload, make_duty
from fadecast.duty.dispatch import Demand, Plant, Store, dispatch, unplanned
from fadecast.duty.look_ahead import Expected, Planner
from fadecast.summary import duty_lines

HOURS = 12
# One pack that holds 10 kWh and loses nothing, behind 4 kW; its air needs no care.
STORE = Dispatch(
    pack_kwh=10.0,
    usable_fraction=1.0,
    converter_kw_per_pack=4.0,
    converter_efficiency=1.0,
    pack_efficiency=1.0,
    soc_min=0.0,
    soc_max=1.0,
)
OPEN = Container(heat_below=-60.0, cool_above=90.0, loss_w_per_k=1e9)
POWERS = arrays(np.float64, HOURS, elements=st.floats(0, 8))


def planner(store=STORE, generator=None, grid=None, **ahead) -> Planner:
    generator, grid = generator or Generator(), grid or Grid()
    look_ahead = LookAhead(**{"horizon_hours": HOURS, "replan_hours": 12, "reserve": 0.0} | ahead)
    return Planner(Plant.of(store, generator, grid, OPEN, 1), generator, grid, look_ahead)


def expected(load, curtailable=0.0, solar=0.0) -> Expected:
    return Expected(*(np.broadcast_to(np.asarray(part, float), HOURS) for part in (load, curtailable, solar)))


def test_it_buys_when_power_is_cheap_and_sells_when_it_is_dear():
    """Nothing to serve: the store is filled at 0.05 and emptied at 0.30 USD/kWh, as fast as its converters allow."""
    prices = np.full(24, 0.10)
    prices[2:5], prices[8:11] = 0.05, 0.30
    grid = Grid(
        import_kw_per_pack=99.0,
        export_kw_per_pack=99.0,
        buy_usd_per_kwh=tuple(prices),
        sell_usd_per_kwh=tuple(prices - 0.02),
    )
    found = planner(grid=grid).plan(expected(0.0), 0.0, hour_of_day=0)
    np.testing.assert_allclose(found["bought"][2:5].sum(), 10.0)
    np.testing.assert_allclose(found["sold"][8:11].sum(), 10.0)
    np.testing.assert_allclose(found["bought"].sum(), 10.0)
    assert max(found["bought"].max(), found["sold"].max()) <= 4.0 + 1e-9


def test_it_starts_the_generator_before_the_store_is_empty():
    """A peak of 7 kW at the end: 4 kW of converters and 2 kW of generator; by the rule 10 kWh were gone before."""
    load = np.where(np.arange(HOURS) >= 10, 7.0, 2.0)
    found = planner(generator=Generator(kw_per_pack=2.0)).plan(expected(load), 10.0, 0)
    np.testing.assert_allclose(found["unserved"][10:], 1.0)
    np.testing.assert_allclose(found["unserved"][:10], 0.0, atol=1e-9)
    np.testing.assert_allclose(found["generator"].sum(), load.sum() - 10.0 - 2.0)


def test_it_puts_off_what_can_wait_only_where_that_is_cheaper():
    """2 kW of 3 can wait, at 1 USD/kWh; a generator gives 1 kW, at 0.4."""
    found = planner(generator=Generator(kw_per_pack=1.0)).plan(expected(3.0, 2.0), 0.0, 0)
    np.testing.assert_allclose(found["generator"], 1.0)
    np.testing.assert_allclose(found["curtailed"], 2.0)
    dear = planner(generator=Generator(kw_per_pack=5.0, usd_per_kwh=1.5)).plan(expected(3.0, 2.0), 0.0, 0)
    np.testing.assert_allclose(dear["curtailed"], 2.0)
    np.testing.assert_allclose(dear["generator"], 1.0)


def test_a_reserve_is_left_and_a_store_below_it_may_stay_there():
    careful = planner(reserve=0.4)
    found = careful.plan(expected(2.0), 10.0, 0)
    np.testing.assert_allclose(found["discharge"].sum(), 6.0)
    np.testing.assert_allclose(careful.plan(expected(2.0), 3.0, 0)["discharge"], 0.0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    load=POWERS,
    solar=POWERS,
    waits=st.floats(0, 1),
    rated=st.floats(0, 4),
    trade=st.floats(0, 4),
    efficiency=st.floats(0.6, 1),
    soc=st.floats(0, 1),
)
def test_no_plan_costs_more_than_the_rule(load, solar, waits, rated, trade, efficiency, soc):
    """The rule's course is one that the plan could have chosen."""
    store = Dispatch(**vars(STORE) | {"pack_efficiency": efficiency})
    generator = Generator(kw_per_pack=rated, minimum=0.0)
    plan_of = planner(store, generator, Grid(import_kw_per_pack=trade, export_kw_per_pack=trade))
    plant, energy = plan_of.plant, 10.0 * soc
    column = [part[:, None] for part in ((1 - waits) * load, waits * load, solar, np.full(HOURS, 20.0))]
    demand = Demand(*column)
    begin = Store(np.array([energy]), np.array([20.0]), np.zeros(1))
    _, rule = dispatch(plant, demand, unplanned(demand), begin, 1.0)
    by_rule = {name: np.asarray(part)[:, 0] for name, part in rule._asdict().items()}
    by_rule |= {"charge": -np.minimum(by_rule["battery"], 0), "discharge": np.maximum(by_rule["battery"], 0)}
    by_rule |= {"bought": np.maximum(by_rule["grid"], 0), "sold": -np.minimum(by_rule["grid"], 0)}
    found = plan_of.plan(Expected(load, waits * load, solar), energy, 0)
    price = dict(zip(found, np.split(plan_of.cost(0)[:-HOURS], len(found)), strict=True))
    planned, ruled = (sum(float(price[flow] @ course[flow]) for flow in found) for course in (found, by_rule))
    assert planned <= ruled + 1e-6


@pytest.fixture(scope="module")
def years():
    """A year at Reno by the rule, by plans that expect yesterday again, and by plans that see ahead."""
    settings = {
        "timestep_minutes": 60,
        "generator": Generator(kw_per_pack=1.0),
        "workload": Workload(curtailable_share=0.3),
    }
    policies = {
        "rule": {},
        "yesterday": {"dispatch": Dispatch(policy="look_ahead")},
        "foresight": {
            "dispatch": Dispatch(policy="look_ahead"),
            "look_ahead": LookAhead(foresight=True, reserve=0.0),
        },
    }
    return {name: make_duty(Site(), Duty(**settings | policy), 1, 64, 1) for name, policy in policies.items()}


def test_a_year_costs_less_the_more_is_known_ahead(years):
    ahead, fuel = LookAhead(), Generator().usd_per_kwh
    cost = {
        name: float(
            ahead.unserved_usd_per_kwh * year.unserved_power.sum()
            + ahead.curtailed_usd_per_kwh * year.curtailed_power.sum()
            + fuel * year.generator_power.sum()
        )
        for name, year in years.items()
    }
    assert cost["foresight"] < 0.6 * cost["rule"]
    assert cost["foresight"] < cost["yesterday"] < cost["rule"]


def test_a_planned_year_balances_and_leaves_less_unserved(years):
    for year in years.values():
        assert float(duty_lines(year)[-1].split()[1]) < 1e-12
    unserved = {name: float(year.unserved_power.sum()) for name, year in years.items()}
    assert unserved["foresight"] < unserved["yesterday"] < 0.5 * unserved["rule"]


def test_plans_are_nearly_the_same_at_any_step_within_an_hour():
    """Set points are those of hourly means, which a finer step does not change."""
    hourly, quarterly = (
        make_duty(
            Site(),
            Duty(
                timestep_minutes=minutes,
                grid=Grid(import_kw_per_pack=1.0),
                dispatch=Dispatch(policy="look_ahead"),
                look_ahead=LookAhead(foresight=True),
            ),
            1,
            64,
            1,
        )
        for minutes in (60, 15)
    )
    mean = quarterly.grid_power.values.reshape(1, 8760, 4).mean(axis=2)
    assert float(np.abs(mean - hourly.grid_power.values).mean()) < 0.1 * float(hourly.grid_power.mean())


def test_prices_that_pay_for_passing_energy_through_are_refused():
    with pytest.raises(ValueError, match="at most buy_usd_per_kwh"):
        Grid(sell_usd_per_kwh=(0.2,) * 24)


@pytest.mark.parametrize("wrong", [{"replan_hours": 5}, {"replan_hours": 24, "horizon_hours": 12}])
def test_plans_that_do_not_follow_one_another_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        LookAhead(**wrong)
