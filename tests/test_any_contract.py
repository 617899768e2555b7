"""Contracts of any kind on forecasts of any kind: a price that makes sense, or one message; never anything else."""

from pathlib import Path

import numpy as np
import xarray as xr
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fadecast.document import Document
from fadecast.errors import InputError
from fadecast.files import write_netcdf
from fadecast.pipeline import price_file
from fadecast.study import check_pricing

odd = st.sampled_from([0, 1, -1, 1e9, 10, None, "1", True, []])
numbers = st.integers(0, 19).flatmap(lambda n: st.floats(0.01, 100.0) if n else odd)
shares = st.floats(0.0, 0.95)
small = st.floats(0.0, 0.2)


@st.composite
def curves(draw):
    """Points that mostly fall with time."""
    years = sorted(draw(st.lists(st.floats(0.0, 12.0), min_size=1, max_size=4, unique=True)))
    levels = sorted(draw(st.lists(st.floats(0.01, 1.0), min_size=len(years), max_size=len(years))), reverse=True)
    return [[year, level] for year, level in zip(years, levels, strict=True)]


def some(fields):
    """Some keys of a section, each with a value that may or may not be allowed."""
    return st.fixed_dictionaries({}, optional=fields)


tests = some({"bias_sd": small, "noise_sd": small, "retest": st.booleans(), "handling_usd": numbers})
failures = some(
    {
        "per_year": shares,
        "log_sd": shares,
        "batches": st.integers(1, 5),
        "defect_probability": shares,
        "defect_share": shares,
        "defect_years": st.floats(0.1, 20.0),
    }
)
remedies = st.one_of(
    some({"kind": st.just("cash"), "usd_per_kwh": numbers}),
    st.fixed_dictionaries(
        {"kind": st.just("repair")},
        optional={
            "restores": shares,
            "usd_per_kwh_restored": numbers,
            "labour_usd": numbers,
            "most": st.integers(0, 3),
            "cash": some({"usd_per_kwh": numbers}),
        },
    ),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["replacement"] * 9 + ["hope"])},
        optional={
            "price": st.lists(
                st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 300.0)).map(list), min_size=1, max_size=3
            ).map(sorted),
            "labour_usd": numbers,
            "salvage_usd_per_kwh": numbers,
            "renewed": st.booleans(),
        },
    ),
)
contracts = some(
    {
        "term_years": st.sampled_from([10.0] * 9 + [5.0, 3.7, 12.0, 0.0]),
        "guarantee": curves(),
        "interpolation": st.sampled_from(["straight", "stepped"]),
        "measure": st.sampled_from(["retention", "soh"]),
        "inspection_interval_years": st.sampled_from([1.0, 1.0, 0.5, 3.0, 20.0]),
        "power_guarantee": curves(),
        "site_guarantee": curves(),
        "availability_guarantee": curves(),
        "unserved": st.fixed_dictionaries(
            {"usd_per_kwh": st.floats(0.0, 2.0)}, optional={"allowed_kwh_per_kwh": st.floats(0.0, 3.0)}
        ),
        "max_full_cycles": st.floats(1.0, 3000.0),
        "cycle_guarantee": curves(),
        "waiting_period_years": st.floats(0.0, 4.0),
        "deductible": shares,
        "owner_share": shares,
        "limit_usd_per_kwh": numbers,
        "aggregate_deductible_usd_per_kwh": st.floats(0.0, 20.0),
        "aggregate_limit_usd_per_kwh": numbers,
        "termination": some({"per_year": st.floats(0.0, 0.3), "refund_share": st.floats(0.0, 1.0)}),
        "conditions": some(
            {
                "max_temperature": st.floats(20.0, 60.0),
                "max_c_rate": st.floats(0.05, 3.0),
                "max_state_of_charge": st.floats(0.5, 1.0),
                "min_state_of_charge": st.floats(0.0, 0.5),
                "max_cycles_per_year": st.floats(1.0, 400.0),
            }
        ),
        "test": tests,
        "failures": failures,
        "remedy": remedies,
    }
)
layers = st.fixed_dictionaries(
    {"kind": st.sampled_from(["excess_of_loss", "stop_loss"])},
    optional={"share": small, "attachment_usd_per_kwh": st.floats(0.0, 30.0), "limit_usd_per_kwh": numbers},
)
premiums = some(
    {
        "principle": st.sampled_from(["wang", "cost_of_capital", "expected_value", "tail_value_at_risk", "dual_power"]),
        "discount_rate": small,
        "yield_curve": st.lists(
            st.tuples(st.floats(0.0, 10.0), st.floats(-0.05, 0.2)).map(list), min_size=1, max_size=3
        ).map(sorted),
        "reinsurance": st.lists(layers, max_size=3),
        "expense_ratio": shares,
        "max_failed_share": st.sampled_from([0.02, 0.9, 0.9, 0.9]),
    }
)


@st.composite
def forecasts(draw):
    """Packs of a few draws by the year, some of them failed, at times without what some terms need."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    draws, packs = draw(st.sampled_from([(2, 3), (4, 2), (25, 2), (2, 2), (1, 1)]))
    years = np.arange(11.0)
    shape = (draws, packs, years.size)
    fall = np.cumsum(rng.exponential(draw(st.floats(0.0, 0.08)), size=shape), axis=2)
    retention = np.clip(1.0 - fall + fall[:, :, :1], 0.0, 1.0)
    values = {
        "retention": (retention, "1"),
        "soh": (0.7 * retention, "1"),
        "resistance": (0.03 * (1.0 + fall), "ohm"),
        "temperature_max": (30.0 + 20.0 * fall, "degC"),
        "c_rate_max": (0.1 + fall, "h-1"),
        "state_of_charge_max": (np.minimum(0.7 + fall, 1.1), "1"),
        "state_of_charge_min": (np.maximum(0.3 - fall, -0.1), "1"),
        "charge_throughput": (800.0 * years * np.ones(shape), "A.h"),
        "energy_unserved": (40.0 * years * np.ones(shape), "kW.h"),
        "capacity": (3.5 * retention, "A.h"),
    }
    for name in draw(st.sets(st.sampled_from(["resistance", "temperature_max", "c_rate_max", "capacity"]), max_size=1)):
        del values[name]
    if draw(st.booleans()):
        for array, _ in values.values():
            array[0, 0, 6:] = np.nan
    arrays = {name: (("draw", "pack", "time"), array, {"units": units}) for name, (array, units) in values.items()}
    dataset = xr.Dataset(arrays, coords={"time": ("time", years, {"units": "year"})})
    return dataset.assign(pack_weight=draw(st.sampled_from([1.0, 7.0])))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contract=contracts, premium=premiums, fade=forecasts())
def test_any_contract_is_priced_or_refused(tmp_path, contract, premium, fade):
    content = {"name": "any", "warranty": {"contract": contract, "premium": premium}}
    # As a file would hold it.
    content = yaml.safe_load(yaml.safe_dump(content))
    file = tmp_path / "fade.nc"
    file.unlink(missing_ok=True)
    write_netcdf(file, fade)
    try:
        priced = price_file(check_pricing(Document(Path("any.yaml"), content)), [file], None)
    except InputError:
        return
    assert float(priced["expected_loss"]) >= 0.0
    assert float(priced["premium"]) >= float(priced["expected_loss"]) or np.isnan(priced["premium"])
    ceded = priced["ceded_loss"].sum() + priced["retained_loss"]
    np.testing.assert_allclose(ceded, priced["expected_loss"], rtol=1e-6, atol=1e-9)
    assert (priced["claim_amount"] >= 0.0).all()
    limit = contract.get("aggregate_limit_usd_per_kwh")
    if isinstance(limit, float):
        energy = priced["base_energy"].sum("pack") * float(fade["pack_weight"])
        assert (priced["claim_amount"].sum("policy_year") <= limit * energy * (1.0 + 1e-9) + 1e-6).all()
