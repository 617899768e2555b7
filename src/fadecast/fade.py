"""What the lanes of an ensemble did, as labelled quantities of packs."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.cell.aged import Diagnosis, SlowState, aged_state, fresh_state
from fadecast.cell.balance import FARADAY
from fadecast.cell.health import Health, check_up, degradation, fresh_mid_stoichiometry
from fadecast.cell.model import CellModel, build_cell
from fadecast.cell.profile import Profile, Stepping
from fadecast.decades.macro import History
from fadecast.decades.service import KELVIN
from fadecast.decades.years import DAYS_PER_YEAR, Decades
from fadecast.devices import on_host
from fadecast.ensemble import Ensemble
from fadecast.operated import Cell, make_operation, varied_parameters
from fadecast.outcome import Outcome
from fadecast.pack.sharing import Fleet

_COULOMBS_PER_AH = 3600.0
_CHECKED_LANES = 16
_MANY, _FEW = 4096, 64
"""Lanes whose capacity is found at once: a device of many cores is filled by thousands."""


def capacity_of(cell: CellModel) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Make a function from LLI, LAM_NE and LAM_PE to the C/10 capacity over first-life nameplate capacity.

    The function takes and gives 1-D NumPy arrays; LLI that is not trapped in lost material is taken to be SEI. It is
    not finite where no electrode window exists.
    """
    middle = fresh_mid_stoichiometry(cell)

    @jax.jit
    def measure(losses: jax.Array) -> jax.Array:
        lli, lam_ne, lam_pe = losses[:, None]
        inputs = {name: jnp.full_like(lli, value) for name, value in cell.inputs.items()}
        crack = jnp.broadcast_to(fresh_state(cell, 1).crack_length, lli.shape)
        slow = aged_state(cell, Diagnosis(lli, lam_ne, lam_pe, jnp.zeros_like(lli), crack), middle)
        return check_up(cell, slow, inputs).capacity[0]

    def share(lli: np.ndarray, lam_ne: np.ndarray, lam_pe: np.ndarray) -> np.ndarray:
        losses = np.stack([lli, lam_ne, lam_pe])
        count = losses.shape[1]
        # A shape compiles once; root finders ask for fewer and fewer lanes.
        losses = np.pad(losses, ((0, 0), (0, -count % _FEW)), mode="edge")
        many = count - count % _MANY
        starts = [*range(0, many, _MANY), *range(many, losses.shape[1], _FEW)]
        parts = [measure(jnp.asarray(part)) for part in np.split(losses, starts[1:], axis=1)]
        return np.concatenate(parts)[:count] / cell.nominal_capacity

    return share


def leap_error(ensemble: Ensemble) -> dict[str, float]:
    """Measure the error of the leap against day-by-day simulation of a few lanes, spread over draws and packs.

    Both follow the duty as it was first dispatched. Day by day it is followed in its own steps, with time steps at
    their default: longer load steps, and time steps that are faster, are part of the error.

    Returns
    -------
    `soh_error_pp`, the largest difference of SOH in percentage points, and `resistance_error_percent`, that of the
    resistance, after `soh_error_days`, over `soh_error_lanes`.
    """
    days = min(float(ensemble.decades.check_days), float(np.floor(ensemble.times[-1])))
    lanes = np.linspace(0, ensemble.lanes - 1, _CHECKED_LANES).round().astype(int)
    leapt = replace(ensemble, fleet=Fleet(), times=np.array([0.0, days]))
    truth = replace(
        leapt,
        decades=replace(ensemble.decades, mode="direct", load_step_minutes=None),
        operation=replace(
            ensemble.operation,
            load_step=ensemble.operation.load_step / ensemble.prepared.coarseness,
            stepping=Stepping(),
        ),
    )
    filled = np.resize(lanes, ensemble.tile)
    found = leapt.simulate(filled)
    with on_host():
        expected = truth.simulate(lanes)
    (capacity, resistance), (true_capacity, true_resistance) = (
        (np.asarray(values)[-1, :_CHECKED_LANES] for values in health) for _, health in (found, expected)
    )
    apart = (true_capacity - capacity) / ensemble.operation.cell.nominal_capacity, resistance / true_resistance - 1.0
    completed = [history.outcome[:_CHECKED_LANES] == Outcome.COMPLETED for history, _ in (found, expected)]
    sound = completed[0] & completed[1] & np.isfinite(apart).all(axis=0)
    soh_error, resistance_error = (100.0 * float(np.abs(part[sound]).max(initial=0.0)) for part in apart)
    return {
        "soh_error_pp": soh_error,
        "resistance_error_percent": resistance_error,
        "soh_error_days": days,
        "soh_error_lanes": int(sound.sum()),
    }


def label_shard(
    ensemble: Ensemble, lanes: np.ndarray, history: History, health: Health, pack_energy_kwh: float
) -> xr.Dataset:
    """Label what one tile did; dims `time`, `lane`. Failed lanes are NaN after their last sound time."""
    values = _quantities(ensemble, lanes, history, health, pack_energy_kwh)
    sound = ensemble.times[:, None] <= history.last_good
    dataset = xr.Dataset({name: (("time", "lane"), np.where(sound, value, np.nan)) for name, value in values.items()})
    dataset["outcome"] = ("lane", history.outcome.astype(np.int8))
    for name, value in history.site.items():
        dataset[f"site_{name}"] = (("time", "site"), value.astype(float))
    return dataset.assign_attrs(cell_days=history.cell_days)


def _quantities(
    ensemble: Ensemble, lanes: np.ndarray, history: History, health: Health, pack_energy_kwh: float
) -> dict[str, np.ndarray]:
    """Fade variables of one tile, each `(times, lanes)`."""
    cell = ensemble.operation.cell
    slow, service = history.service.slow, history.service
    fresh = SlowState(*(value.item() for value in fresh_state(cell, 1)))
    to_ah = FARADAY / _COULOMBS_PER_AH
    volume_ah = cell.negative.volume * to_ah
    scale = pack_energy_kwh / cell.nameplate_energy  # [kW.h of the pack per W.h of its cell]
    degree_days = service.degree_days[:, 0]
    passed = np.diff(degree_days, axis=0)
    capacity = _drifted(ensemble, lanes, np.asarray(health.capacity), passed > 0.0)
    # A pack that was replaced has no temperature any more.
    mean = np.where(passed > 0.0, passed / np.diff(ensemble.times)[:, None] - KELVIN, np.nan)
    fields = {
        **degradation(cell, slow)._asdict(),
        "lithium_sei": cell.lithium_per_sei * volume_ah * (slow.sei - fresh.sei + slow.sei_cracks - fresh.sei_cracks),
        "lithium_dead": volume_ah * (slow.dead - fresh.dead),
        "lithium_lam_ne": to_ah * slow.lam_lithium_ne,
        "lithium_lam_pe": to_ah * slow.lam_lithium_pe,
        "crack_length": slow.crack_length,
        "charge_throughput": service.throughput,
        # Cubic interpolation of a cumulative energy that stays at zero may undershoot it in the last digit.
        "energy_unserved": np.maximum(service.unserved * scale, 0.0),
        "energy_spilled": np.maximum(service.spilled * scale, 0.0),
    }
    return {
        "capacity": capacity,
        "soh": capacity / cell.nominal_capacity,
        "retention": capacity / capacity[:1],
        "resistance": np.asarray(health.resistance),
        **{name: np.asarray(value)[:, 0] for name, value in fields.items()},
        "temperature_mean": np.concatenate([np.full_like(mean[:1], np.nan), mean]),
        "temperature_max": history.extremes.temperature - KELVIN,
        "c_rate_max": history.extremes.current / cell.nominal_capacity,
        "state_of_charge_max": history.extremes.fullest,
        "state_of_charge_min": history.extremes.emptiest,
    }


def _drifted(ensemble: Ensemble, lanes: np.ndarray, capacity: np.ndarray, aged: np.ndarray) -> np.ndarray:
    """Add to the model's capacity `(times, lanes)` what it is found to be off by, while a pack is in service `aged`.

    What a pack gains by it, it gains at most back to its start: no measured cell gained capacity over years.
    """
    years = np.where(aged, np.diff(ensemble.times)[:, None] / DAYS_PER_YEAR, 0.0).cumsum(axis=0)
    drift = ensemble.population["retention_drift"].values.reshape(-1)[lanes]
    beside = capacity[:1] * drift * np.concatenate([np.zeros_like(years[:1]), years])
    return np.clip(capacity + beside, 0.0, np.maximum(capacity, capacity[:1]))


def typical_day_trace(
    settings: Cell, decades: Decades, duty: xr.Dataset, population: xr.Dataset, draw: int, pack: int
) -> xr.Dataset:
    """Terminal values of one pack's cell over the typical day of the largest weight, at the start of service.

    Of a pack of groups, values are means over them.

    Returns
    -------
    `trace_*` variables of `fadecast.variables` on `hour`.
    """
    cell = build_cell(settings.chemistry, varied_parameters(population))
    operation = make_operation(cell, settings, decades, duty, population)
    ensemble = Ensemble(operation, decades, duty, population, np.zeros(1))
    slow, inputs, _ = ensemble.start(np.array([draw * ensemble.packs + pack]))
    days = ensemble.prepared.typical(int(ensemble.duty_draw(draw)))
    chosen = int(days.weight.argmax())
    power, ambient = (
        jnp.asarray(np.repeat(values[:, None], ensemble.groups, axis=1))
        for values in (days.power[chosen] * cell.nameplate_energy, days.ambient[chosen] + KELVIN)
    )

    @jax.jit
    def follow() -> tuple[jax.Array, ...]:
        soc = jnp.full((1, ensemble.groups), days.state_of_charge[chosen])
        y, window = operation.begin_day(slow, inputs, soc, ambient[:1])
        return tuple(operation.run(y, inputs, window, Profile(power, ambient), days.spin_up).trace)

    series = operation.series
    voltage, current, temperature, soc = (
        np.asarray(values if series is None else series.mean(values))[:, 0] for values in follow()
    )
    demand = np.asarray(power)[days.spin_up :, 0]
    columns = {
        "trace_demand": demand,
        "trace_power": voltage * current,
        "trace_voltage": voltage,
        "trace_current": current,
        "trace_state_of_charge": soc,
        "trace_temperature": temperature - KELVIN,
    }
    hours = duty["hour"].values[:: ensemble.prepared.coarseness][: len(demand)]
    trace = xr.Dataset({name: ("hour", values) for name, values in columns.items()}, coords={"hour": hours})
    trace.attrs = {
        "draw": draw,
        "pack": pack,
        "day_of_year": int(days.day[chosen]),
        "weight": float(days.weight[chosen]),
    }
    return variables.describe(trace)
