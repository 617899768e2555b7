"""Every quantity fadecast stores: dims, units and meaning, declared once and enforced by the writer.

Time in the fade and price datasets is `time` [year] since the start of second-life service; in the duty
dataset it is `hour` [h] since local midnight of 1 January. `draw` counts what we do not know (rates,
weather, workload: common to all packs), `pack` counts how packs differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from fadecast.outcome import Outcome


@dataclass(frozen=True)
class Variable:
    """One stored quantity; `valid_range` bounds its finite values (None: unbounded)."""

    dims: tuple[str, ...]
    units: str
    long_name: str
    valid_range: tuple[float | None, float | None] = (None, None)


_DUTY = ("draw", "hour")
_STATE = ("draw", "pack")
_GROUP = ("draw", "pack", "group")
_FADE = ("draw", "pack", "time")
_SITE = ("draw", "site", "time")
_POSTERIOR = ("chain", "draw", "curve")
_CURVE = ("curve", "step")
_NONNEGATIVE = (0.0, None)
_FRACTION = (0.0, 1.0)

_RATE = "USD.kW-1.h-1"
_CESSION = ("cession", "attachment_level")


def _with_interval(name: str, dims: tuple[str, ...], units: str, long_name: str) -> dict[str, Variable]:
    """Declare a quantity and the half-width of its Monte-Carlo interval."""
    return {
        name: Variable(dims, units, long_name, _NONNEGATIVE),
        f"{name}_interval": Variable(dims, units, f"half-width of the interval of: {long_name}", _NONNEGATIVE),
    }


COORDINATES: Mapping[str, Variable] = {
    "draw": Variable(("draw",), "1", "draw of what is unknown and common to all packs"),
    "pack": Variable(("pack",), "1", "pack"),
    "group": Variable(("group",), "1", "simulated group of a pack, the weakest first"),
    "site": Variable(("site",), "1", "site whose packs feel each other", _NONNEGATIVE),
    "time": Variable(("time",), "year", "time since start of second-life service", _NONNEGATIVE),
    "hour": Variable(("hour",), "h", "time since local midnight of 1 January", _NONNEGATIVE),
    "parameter": Variable(("parameter",), "1", "name of a pack state or ageing-rate parameter"),
    "parameter_units": Variable(("parameter",), "1", "units of the parameter"),
    "parameter_kind": Variable(("parameter",), "1", "state (of a pack) or rate (of a draw)"),
    "level": Variable(("level",), "1", "probability level of a quantile", _FRACTION),
    "principle": Variable(("principle",), "1", "premium principle"),
    "fleet_size": Variable(("fleet_size",), "1", "packs of a fleet", (1.0, None)),
    "return_period": Variable(("return_period",), "year", "mean time between years at least so bad", (1.0, None)),
    "telemetry_year": Variable(("telemetry_year",), "1", "years of telemetry"),
    "change": Variable(("change",), "1", "what is otherwise"),
    "sensitivity": Variable(("sensitivity",), "1", "what the premium is differentiated by"),
    "cession": Variable(("cession",), "1", "kind of the layer that is tried"),
    "attachment_level": Variable(("attachment_level",), "1", "probability level of the loss it begins at", _FRACTION),
    "layer": Variable(("layer",), "1", "layer of reinsurance", _NONNEGATIVE),
    "layer_kind": Variable(("layer",), "1", "kind of a layer of reinsurance"),
    "inspection": Variable(("inspection",), "year", "inspection, since start of second-life service", _NONNEGATIVE),
    "policy_year": Variable(("policy_year",), "1", "year of the warranty term, from 1", (1.0, None)),
    "chain": Variable(("chain",), "1", "chain of the sampler"),
    "curve": Variable(("curve",), "1", "measured slow curve"),
    "step": Variable(("step",), "1", "step of a curve, in the order in which the cell is charged"),
}

VARIABLES: Mapping[str, Variable] = {
    # duty
    "it_power": Variable(_DUTY, "kW", "power of the computing racks", _NONNEGATIVE),
    "load_power": Variable(
        _DUTY, "kW", "site load: computing, its cooling, and air conditioning of the packs", _NONNEGATIVE
    ),
    "conditioning_power": Variable(_DUTY, "kW", "power of the air conditioning of the packs", _NONNEGATIVE),
    "solar_power": Variable(_DUTY, "kW", "photovoltaic power available at the bus", _NONNEGATIVE),
    "battery_power": Variable(_DUTY, "kW", "power asked of the battery, discharge positive"),
    "grid_power": Variable(_DUTY, "kW", "power taken from the grid, negative where given to it"),
    "generator_power": Variable(_DUTY, "kW", "power of the backup generator", _NONNEGATIVE),
    "curtailed_power": Variable(_DUTY, "kW", "load of computing that was put off", _NONNEGATIVE),
    "unserved_power": Variable(_DUTY, "kW", "load that dispatch could not serve", _NONNEGATIVE),
    "spilled_power": Variable(_DUTY, "kW", "power at the bus that dispatch could not use", _NONNEGATIVE),
    "pack_power": Variable(
        _DUTY, "h-1", "pack terminal power per first-life nameplate energy (W per W.h), discharge positive"
    ),
    "state_of_charge": Variable(_DUTY, "1", "state of charge of the dispatched battery at step start", _FRACTION),
    "ambient_temperature": Variable(_DUTY, "degC", "outdoor dry-bulb air temperature", (-60.0, 60.0)),
    "pack_ambient_temperature": Variable(_DUTY, "degC", "air temperature inside the container", (-60.0, 90.0)),
    # population
    "parameter_value": Variable(
        ("draw", "pack", "parameter"), "1", "pack state or ageing rate, in the units of its parameter"
    ),
    "initial_soh": Variable(_STATE, "1", "capacity over first-life nameplate at start of service", _FRACTION),
    "group_parameter_value": Variable(
        (*_GROUP, "parameter"), "1", "state or ageing rate of a group, in the units of its parameter"
    ),
    "group_initial_soh": Variable(
        _GROUP, "1", "capacity of a group over first-life nameplate at start of service", _FRACTION
    ),
    "group_self_discharge": Variable(
        _GROUP, "day-1", "charge that a group loses by itself over capacity", _NONNEGATIVE
    ),
    "group_weight": Variable(
        ("group",), "1", "share of the groups of a pack that a simulated one stands for", _FRACTION
    ),
    "balancing": Variable((), "day-1", "most that balancing takes from a group over nameplate capacity", _NONNEGATIVE),
    "pack_number": Variable(_STATE, "1", "number of the pack among all of the study", _NONNEGATIVE),
    "pack_weight": Variable((), "1", "packs that each pack stands for", (1.0, None)),
    "retention_drift": Variable(_STATE, "year-1", "change of retention beside the model"),
    "retired_class": Variable(_STATE, "1", "class of retired cells that a pack is sampled from"),
    # fade
    "capacity": Variable(_FADE, "A.h", "C/10 discharge capacity of the representative cell", _NONNEGATIVE),
    "soh": Variable(_FADE, "1", "capacity over first-life nameplate capacity", (0.0, 1.5)),
    "retention": Variable(_FADE, "1", "capacity over capacity at start of service", (0.0, 1.5)),
    "resistance": Variable(_FADE, "ohm", "10 s discharge-pulse resistance at half charge, 25 degC", _NONNEGATIVE),
    "lli": Variable(_FADE, "1", "loss of lithium inventory over first-life inventory", (-0.01, 1.0)),
    "lam_ne": Variable(_FADE, "1", "loss of active material, negative electrode", (-0.01, 1.0)),
    "lam_pe": Variable(_FADE, "1", "loss of active material, positive electrode", (-0.01, 1.0)),
    "lithium_sei": Variable(_FADE, "A.h", "lithium held in SEI, on cracks too, since first life", (-0.01, None)),
    "lithium_dead": Variable(_FADE, "A.h", "lithium held as dead plated lithium since first life", (-0.01, None)),
    "lithium_lam_ne": Variable(_FADE, "A.h", "lithium lost with negative active material in service"),
    "lithium_lam_pe": Variable(_FADE, "A.h", "lithium lost with positive active material in service"),
    "crack_length": Variable(_FADE, "m", "mean crack length of negative particles", _NONNEGATIVE),
    "charge_throughput": Variable(_FADE, "A.h", "absolute charge through the representative cell", _NONNEGATIVE),
    "temperature_mean": Variable(_FADE, "degC", "mean cell temperature since the last time", (-60.0, 150.0)),
    "temperature_max": Variable(
        _FADE, "degC", "highest cell temperature since start of service, of the days simulated", (-60.0, 150.0)
    ),
    "c_rate_max": Variable(
        _FADE,
        "h-1",
        "largest current over first-life nameplate capacity, of load steps of the days simulated",
        _NONNEGATIVE,
    ),
    "state_of_charge_max": Variable(
        _FADE, "1", "highest state of charge since start of service, of the days simulated", (-0.1, 1.1)
    ),
    "state_of_charge_min": Variable(
        _FADE, "1", "lowest state of charge since start of service, of the days simulated", (-0.1, 1.1)
    ),
    "energy_unserved": Variable(_FADE, "kW.h", "cumulative energy demanded of a pack, not delivered", _NONNEGATIVE),
    "energy_spilled": Variable(_FADE, "kW.h", "cumulative charging energy offered to a pack, not taken", _NONNEGATIVE),
    "outcome": Variable(_STATE, "1", "how the pack's run ended"),
    "duty_draw": Variable(("draw",), "1", "draw of weather and workload that the packs follow", _NONNEGATIVE),
    # fade: sites whose packs feel each other
    "site_of_pack": Variable(("pack",), "1", "site that a pack stands at", _NONNEGATIVE),
    "site_unserved": Variable(_SITE, "kW.h", "cumulative load that dispatch could not serve", _NONNEGATIVE),
    "site_spilled": Variable(_SITE, "kW.h", "cumulative energy that dispatch could not use", _NONNEGATIVE),
    "site_curtailed": Variable(_SITE, "kW.h", "cumulative load of computing that was put off", _NONNEGATIVE),
    "site_generator": Variable(_SITE, "kW.h", "cumulative energy of the backup generator", _NONNEGATIVE),
    "site_grid": Variable(_SITE, "kW.h", "cumulative energy taken from the grid, less that given to it"),
    "site_capability": Variable(_SITE, "1", "capacity of the packs that run over that of all at the start", (0.0, 2.0)),
    "site_replacements": Variable(_SITE, "1", "packs replaced since the start of service", _NONNEGATIVE),
    # a typical day of one pack's cell
    "trace_demand": Variable(("hour",), "W", "power demanded of the representative cell, discharge positive"),
    "trace_power": Variable(("hour",), "W", "power of the representative cell, discharge positive"),
    "trace_voltage": Variable(("hour",), "V", "terminal voltage of the representative cell"),
    "trace_current": Variable(("hour",), "A", "current of the representative cell, discharge positive"),
    "trace_state_of_charge": Variable(("hour",), "1", "state of charge of the aged cell", (-0.1, 1.1)),
    "trace_temperature": Variable(("hour",), "degC", "temperature of the representative cell", (-60.0, 150.0)),
    # price
    "draw_weight": Variable(("draw",), "1", "how much a draw counts: 1, but for importance sampling", _NONNEGATIVE),
    "loss": Variable(_STATE, "USD", "discounted warranty loss of a pack over the term", _NONNEGATIVE),
    "claim_amount": Variable(
        ("draw", "policy_year"), "USD", "undiscounted claims of all packs by policy year", _NONNEGATIVE
    ),
    "base_energy": Variable(_STATE, "kW.h", "energy at start of service that the guarantee refers to", _NONNEGATIVE),
    "expected_loss": Variable((), "USD.kW-1.h-1", "expected discounted loss per base energy"),
    "expenses": Variable((), "USD.kW-1.h-1", "expense loading per base energy"),
    "capital_load": Variable((), "USD.kW-1.h-1", "load for risk per base energy, by default cost of capital"),
    "premium": Variable((), "USD.kW-1.h-1", "premium per base energy"),
    "premium_interval": Variable((), "USD.kW-1.h-1", "half-width of the Monte-Carlo interval of the premium"),
    "value_at_risk": Variable(("level",), "USD.kW-1.h-1", "quantile over draws of the portfolio loss per base energy"),
    "tail_value_at_risk": Variable(
        ("level",), "USD.kW-1.h-1", "mean portfolio loss per base energy beyond the quantile"
    ),
    "tail_event_probability": Variable(
        (), "1", "probability that retention falls below 0.80 within 3 years", _FRACTION
    ),
    "expected_loss_interval": Variable((), "USD.kW-1.h-1", "half-width of the interval of the expected loss"),
    "expenses_interval": Variable((), "USD.kW-1.h-1", "half-width of the interval of the expenses"),
    "capital_load_interval": Variable((), "USD.kW-1.h-1", "half-width of the interval of the capital load"),
    "value_at_risk_interval": Variable(("level",), "USD.kW-1.h-1", "half-width of the interval of the quantile"),
    "tail_value_at_risk_interval": Variable(("level",), "USD.kW-1.h-1", "half-width of the interval of the tail mean"),
    "tail_event_probability_interval": Variable((), "1", "half-width of the interval of the tail-event probability"),
    "failed_share": Variable(
        (), "1", "share of packs left out because their forecast failed within the term", _FRACTION
    ),
    "exhausted_share": Variable((), "1", "share of packs at the end of life within the term", _FRACTION),
    "false_claim_share": Variable(
        (), "1", "share of packs paid for by an error of a test while they kept what was guaranteed", _FRACTION
    ),
    "voided_share": Variable((), "1", "share of packs whose cover ended by the terms of use or its cycles", _FRACTION),
    "ended_share": Variable((), "1", "share of draws whose contract the owner ends before its term", _FRACTION),
    "failures_per_pack": Variable((), "1", "sudden ends per pack over the term", _NONNEGATIVE),
    "weather_standard_deviation": Variable(
        (), _RATE, "standard deviation of the loss over years of weather and load that draws share", _NONNEGATIVE
    ),
    **_with_interval("principle_premium", ("principle",), _RATE, "premium by a principle"),
    **_with_interval("refund", (), _RATE, "premium that owners are given back who end the contract early"),
    **_with_interval("claims_per_pack", (), "1", "payments per pack over the term"),
    **_with_interval(
        "mean_claim", (), "USD", "discounted payments, those to the site included, over the number to packs"
    ),
    **_with_interval("ceded_loss", ("layer",), _RATE, "expected loss of a layer"),
    **_with_interval("ceded_standard_deviation", ("layer",), _RATE, "standard deviation of the loss of a layer"),
    **_with_interval("retained_loss", (), _RATE, "expected loss that reinsurance leaves"),
    **_with_interval("retained_standard_deviation", (), _RATE, "standard deviation of the loss that it leaves"),
    **_with_interval("systematic_standard_deviation", (), _RATE, "standard deviation of what all packs share"),
    **_with_interval("individual_standard_deviation", (), _RATE, "standard deviation of what one pack has alone"),
    **_with_interval("fleet_premium", ("fleet_size",), _RATE, "premium of a fleet of some size"),
    **_with_interval(
        "aggregate_exceedance", ("return_period",), _RATE, "claims of all packs in a year so bad, undiscounted"
    ),
    **_with_interval("occurrence_exceedance", ("return_period",), "USD", "largest claim of one pack in a year so bad"),
    **_with_interval("reserve", ("policy_year",), _RATE, "expected claims unpaid at the end of a year"),
    **_with_interval("reserve_high", ("policy_year",), _RATE, "0.95 quantile of claims unpaid at the end of a year"),
    **_with_interval("survival", ("inspection",), "1", "share of packs that have not yet fallen short, Kaplan-Meier"),
    **_with_interval("earned_share", ("policy_year",), "1", "share of expected discounted claims made until then"),
    **_with_interval(
        "telemetry_deviation", ("telemetry_year",), _RATE, "standard deviation of claims still unpaid, nothing measured"
    ),
    **_with_interval(
        "telemetry_deviation_left", ("telemetry_year",), _RATE, "the same, the fleet measured each year, in the mean"
    ),
    "telemetry_low": Variable(
        ("telemetry_year",), _RATE, "0.05 quantile of what is then expected to be unpaid", _NONNEGATIVE
    ),
    "telemetry_high": Variable(
        ("telemetry_year",), _RATE, "0.95 quantile of what is then expected to be unpaid", _NONNEGATIVE
    ),
    "telemetry_draws_left": Variable(
        ("telemetry_year",), "1", "effective number of draws that telemetry leaves, median", _NONNEGATIVE
    ),
    "premium_change": Variable(("change",), _RATE, "premium with a change less that without"),
    "premium_slope": Variable(("sensitivity",), _RATE, "change of the premium for each unit of a parameter"),
    "premium_slope_interval": Variable(
        ("sensitivity",), _RATE, "half-width of the interval of: change of the premium for each unit of a parameter"
    ),
    "attachment": Variable(_CESSION, _RATE, "attachment of a layer without limit that is tried", _NONNEGATIVE),
    "cession_price": Variable(_CESSION, _RATE, "what the reinsurer asks for the layer", _NONNEGATIVE),
    "cession_saving": Variable(_CESSION, _RATE, "what the layer makes the loss cheaper by, load for risk included"),
    "cession_saving_interval": Variable(
        _CESSION, _RATE, "half-width of the interval of: what the layer makes the loss cheaper by", _NONNEGATIVE
    ),
    "premium_change_interval": Variable(("change",), _RATE, "half-width of the interval of the change of the premium"),
    "expected_loss_change": Variable(("change",), _RATE, "expected loss with a change less that without"),
    "expected_loss_change_interval": Variable(
        ("change",), _RATE, "half-width of the interval of the change of the expected loss"
    ),
    # state of degraded cells
    "electrode_capacity_ne": Variable(
        _POSTERIOR, "A.h", "capacity of the negative half cell over its whole range", _NONNEGATIVE
    ),
    "electrode_capacity_pe": Variable(
        _POSTERIOR, "A.h", "capacity of the positive half cell over its whole range", _NONNEGATIVE
    ),
    "second_share_ne": Variable(
        _POSTERIOR, "1", "share of the second material in the negative electrode's capacity", _FRACTION
    ),
    "stoichiometry_ne_empty": Variable(_POSTERIOR, "1", "negative stoichiometry of the empty cell"),
    "stoichiometry_ne_full": Variable(_POSTERIOR, "1", "negative stoichiometry of the full cell"),
    "stoichiometry_pe_empty": Variable(_POSTERIOR, "1", "positive stoichiometry of the empty cell"),
    "stoichiometry_pe_full": Variable(_POSTERIOR, "1", "positive stoichiometry of the full cell"),
    "capacity_at_rest": Variable(_POSTERIOR, "A.h", "charge between the voltage limits at rest", _NONNEGATIVE),
    "lithium_inventory": Variable(
        _POSTERIOR, "A.h", "lithium in both electrodes, from the ends of their half-cell curves", _NONNEGATIVE
    ),
    "polarisation": Variable(_POSTERIOR, "V", "overpotential beyond that of the half-cell curves, positive on charge"),
    "discrepancy": Variable(_POSTERIOR, "V", "standard deviation of the smooth model discrepancy", _NONNEGATIVE),
    "noise": Variable(_POSTERIOR, "V", "standard deviation of the noise", _NONNEGATIVE),
    "lli_since": Variable(_POSTERIOR, "1", "loss of lithium inventory since the curve of comparison"),
    "lam_ne_since": Variable(_POSTERIOR, "1", "loss of negative active material since the curve of comparison"),
    "lam_pe_since": Variable(_POSTERIOR, "1", "loss of positive active material since the curve of comparison"),
    "lam_primary_since": Variable(_POSTERIOR, "1", "loss of the first negative material since the curve of comparison"),
    "lam_second_since": Variable(_POSTERIOR, "1", "loss of the second negative material since the curve of comparison"),
    "lp": Variable(_POSTERIOR, "1", "log posterior density, up to a constant"),
    "acceptance_rate": Variable(_POSTERIOR, "1", "probability with which a proposal was taken", _FRACTION),
    "second_mode": Variable(("curve",), "1", "log posterior of the best mode less that of the next", _NONNEGATIVE),
    "voltage_measured": Variable(_CURVE, "V", "measured voltage, mean over a step of charge"),
    "voltage_fitted": Variable(_CURVE, "V", "voltage of the most probable electrodes, mean over a step of charge"),
    "charge": Variable(_CURVE, "A.h", "charge from the low end of the curve to the middle of a step", _NONNEGATIVE),
    "compared_with": Variable(("curve",), "1", "curve that losses are counted from"),
    "curve_rmse": Variable(("curve",), "V", "root mean square of measured less fitted voltage", _NONNEGATIVE),
}


class VariableError(ValueError):
    """A dataset does not say what `VARIABLES` says about it."""


def describe(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with units, names and flag meanings attached, after checking it.

    Parameters
    ----------
    dataset
        Plain arrays under the names of `VARIABLES` and `COORDINATES`.

    Raises
    ------
    VariableError
        On an unknown name, wrong dims, or a finite value outside the valid range.
    """
    described = dataset.copy()
    for name in [*dataset.coords, *dataset.data_vars]:
        variable = (COORDINATES if name in dataset.coords else VARIABLES).get(str(name))
        if variable is None:
            raise VariableError(f"{name!r} is not declared in fadecast.variables; declare its dims and units there")
        _check(str(name), dataset[name], variable)
        described[name].attrs |= {"units": variable.units, "long_name": variable.long_name}
    if "outcome" in described:
        described["outcome"].attrs |= {
            "flag_values": np.array([o.value for o in Outcome], dtype=np.int8),
            "flag_meanings": " ".join(o.name.lower() for o in Outcome),
        }
    described.attrs |= {"Conventions": "CF-1.11"}
    return described


def _check(name: str, array: xr.DataArray, variable: Variable) -> None:
    if array.dims != variable.dims:
        raise VariableError(f"{name!r} has dims {array.dims}, declared are {variable.dims}")
    if array.dtype.kind not in "fiu" or not array.size:
        return
    values = array.values[np.isfinite(array.values)]
    low, high = variable.valid_range
    if values.size and ((low is not None and values.min() < low) or (high is not None and values.max() > high)):
        raise VariableError(
            f"{name!r} [{variable.units}] runs from {values.min():g} to {values.max():g}, "
            f"allowed is {'-inf' if low is None else low} to {'inf' if high is None else high}"
        )
