import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from fadecast.warranty import CashRemedy, Contract, RepairRemedy, ReplacementRemedy, Unserved, Warranty
from fadecast.warranty.contract import guaranteed_level, inspection_times

CONFIG = Path(__file__).parents[2] / "configs" / "warranty_linear.yaml"


@pytest.mark.parametrize(
    ("term", "interval", "expected"),
    [
        (3.0, 1.0, [1, 2, 3]),
        (10.0, 10.0, [10]),
        (10.0, 4.0, [4, 8, 10]),
        (5.0, 10.0, [5]),
        (0.3, 0.1, [0.1, 0.2, 0.3]),
    ],
)
def test_inspections_are_regular_and_close_the_term(term, interval, expected):
    times = inspection_times(Contract(term_years=term, inspection_interval_years=interval))
    np.testing.assert_allclose(times, expected, rtol=1e-12)


def test_guarantee_is_straight_between_points_and_constant_outside():
    contract = Contract(guarantee=((2.0, 0.9), (6.0, 0.7)))
    np.testing.assert_allclose(
        guaranteed_level(contract, np.array([0.0, 2.0, 3.0, 4.0, 6.0, 9.0])), [0.9, 0.9, 0.85, 0.8, 0.7, 0.7]
    )


def test_steps_of_a_guarantee_hold_up_to_and_with_their_years():
    contract = Contract(guarantee=((2.0, 0.9), (6.0, 0.7)), interpolation="stepped")
    np.testing.assert_allclose(
        guaranteed_level(contract, np.array([0.0, 2.0, 2.1, 6.0, 9.0])), [0.9, 0.9, 0.7, 0.7, 0.7]
    )
    assert guaranteed_level(contract, np.array(3.0), "power_guarantee") == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"waiting_period_years": 10.0}, "waiting_period_years is 10 and the term 10"),
        ({"power_guarantee": ((5.0, 0.7), (4.0, 0.6))}, "power_guarantee point"),
        (
            {"site_guarantee": ((5.0, 0.7),), "remedy": ReplacementRemedy(kind="replacement")},
            "remedy.kind must be cash",
        ),
        (
            {"unserved": Unserved(usd_per_kwh=0.1), "remedy": RepairRemedy(kind="repair")},
            "unserved is of the site, which is paid in cash",
        ),
        ({"availability_guarantee": ((5.0, 0.7), (6.0, 0.8))}, "availability_guarantee point"),
        (
            {"power_guarantee": ((5.0, 0.7),), "remedy": RepairRemedy(kind="repair")},
            "remedy.kind must be cash or replacement",
        ),
    ],
)
def test_terms_that_promise_nothing_or_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Contract(**changes)


def test_a_remedy_is_told_by_its_kind_and_is_cash_without():
    read = TypeAdapter(Contract).validate_python
    assert read({"remedy": {"usd_per_kwh": 50.0}}).remedy == CashRemedy(usd_per_kwh=50.0)
    replacement = read({"remedy": {"kind": "replacement", "price": [(0.0, 200.0), (10.0, 80.0)]}}).remedy
    assert replacement == ReplacementRemedy(kind="replacement", price=((0.0, 200.0), (10.0, 80.0)))
    with pytest.raises(ValidationError, match="years must rise"):
        read({"remedy": {"kind": "replacement", "price": [(2.0, 200.0), (1.0, 80.0)]}})


@pytest.mark.parametrize("guarantee", [((5.0, 0.7), (5.0, 0.6)), ((5.0, 0.7), (4.0, 0.6)), ((0.0, 0.7), (5.0, 0.8))])
def test_a_curve_that_turns_back_or_rises_is_refused(guarantee):
    with pytest.raises(ValueError, match="years must rise and levels must not"):
        Contract(guarantee=guarantee)


def test_shipped_contract_is_the_one_described():
    study = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert set(study) == {"name", "seed", "warranty"}
    warranty = TypeAdapter(Warranty).validate_python(study["warranty"])
    contract, premium = warranty.contract, warranty.premium
    assert (contract.term_years, contract.guarantee, contract.measure) == (10.0, ((10.0, 0.70),), "retention")
    assert contract.remedy == CashRemedy(usd_per_kwh=100.0)
    assert (contract.deductible, contract.limit_usd_per_kwh) == (0.0, None)
    assert (premium.expense_ratio, premium.fixed_expenses_usd_per_kwh) == (0.0, 0.0)
    assert (premium.discount_rate, premium.capital.cost_of_capital) == (0.0, 0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"contract": {"term_year": 10.0}},
        {"contract": {"deductible": 1.0}},
        {"contract": {"guarantee": []}},
        {"contract": {"remedy": {"kind": "swap", "usd_per_kwh": 100.0}}},
        {"premium": {"expense_ratio": 1.0}},
        {"premium": {"levels": [0.9, 1.0]}},
    ],
)
def test_wrong_settings_are_refused(change):
    with pytest.raises(ValidationError):
        TypeAdapter(Warranty).validate_python(change)


def test_settings_survive_a_round_trip():
    warranty = Warranty(contract=Contract(guarantee=((0.0, 1.0), (10.0, 0.7)), limit_usd_per_kwh=40.0))
    assert TypeAdapter(Warranty).validate_python(dataclasses.asdict(warranty)) == warranty
