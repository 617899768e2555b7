"""The fade dataset: what the lanes of an ensemble did, as labelled quantities of packs."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from fadecast import variables
from fadecast.cell.aged import Diagnosis, SlowState, aged_state, fresh_state
from fadecast.cell.balance import FARADAY
from fadecast.cell.health import Health, check_up, degradation, fresh_mid_stoichiometry
from fadecast.cell.model import CellModel, build_cell
from fadecast.cell.profile import Profile
from fadecast.decades.leap import History
from fadecast.decades.service import KELVIN
from fadecast.ensemble import (
    DAYS_PER_YEAR,
    Cell,
    Decades,
    Ensemble,
    Execution,
    make_operation,
    run_tiles,
    varied_parameters,
)
from fadecast.outcome import Outcome

_COULOMBS_PER_AH = 3600.0
_CHECKED_LANES = 16


class ShardStore(Protocol):
    """Keeps finished tiles, so that an interrupted forecast goes on where it stopped."""

    def load(self, key: str) -> xr.Dataset | None:
        """Return a shard that was saved whole, else None."""

    def save(self, key: str, dataset: xr.Dataset) -> None:
        """Keep a shard."""


def capacity_of(cell: CellModel) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Make a function from LLI, LAM_NE and LAM_PE to the C/10 capacity over first-life nameplate capacity.

    The function takes and gives 1-D NumPy arrays; LLI that is not trapped in lost material is taken to be SEI. It is
    not finite where no electrode window exists.
    """
    middle = fresh_mid_stoichiometry(cell)
    padded = 64

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
        # One shape compiles once; root finders ask for fewer and fewer lanes.
        losses = np.pad(losses, ((0, 0), (0, -count % padded)), mode="edge")
        parts = [measure(jnp.asarray(part)) for part in np.split(losses, losses.shape[1] // padded, axis=1)]
        return np.concatenate(parts)[:count] / cell.nominal_capacity

    return share


def forecast_times(decades: Decades, years: float) -> np.ndarray:
    """Return the times of a forecast [day], from 0 to the last year."""
    end = years * DAYS_PER_YEAR
    return np.append(np.arange(0.0, end - 1e-6, decades.output_interval_days), end)


def make_fade(
    settings: Cell,
    decades: Decades,
    execution: Execution,
    duty: xr.Dataset,
    population: xr.Dataset,
    years: float,
    pack_energy_kwh: float,
    shards: ShardStore,
    progress: Callable[[Mapping[str, float]], None],
) -> xr.Dataset:
    """Forecast the fade of every pack of every draw.

    Parameters
    ----------
    settings, decades, execution
        The cell, how years are made of days, how the work is divided.
    duty, population
        Datasets of these stages.
    years
        Length of the forecast [year].
    pack_energy_kwh
        First-life nameplate energy of a pack [kW.h].
    shards
        Keeps finished tiles.
    progress
        Told of each tile: `tile`, `tiles`, `cell_days`, `seconds`, `loaded`.

    Returns
    -------
    Fade variables of `fadecast.variables` on `draw`, `pack`, `time` [year]. A pack that failed is NaN after its last
    sound time and its `outcome` says why.
    """
    cell = build_cell(settings.chemistry, varied_parameters(population))
    operation = make_operation(cell, settings, decades, duty)
    ensemble = Ensemble(operation, decades, duty, population, forecast_times(decades, years))
    tiles = ensemble.tiles(execution.tile)
    keys = [f"tile-{number:05d}" for number in range(len(tiles))]
    done = {key: shard for key in keys if (shard := shards.load(key)) is not None}
    missing = [number for number, key in enumerate(keys) if key not in done]
    for key, shard in done.items():
        progress(_event(keys.index(key), len(tiles), shard, 0.0, loaded=True))
    began = time.perf_counter()
    for position, history, health in run_tiles(ensemble, [tiles[number] for number in missing], execution.workers):
        number = missing[position]
        shard = _shard(ensemble, history, health, pack_energy_kwh)
        shards.save(keys[number], shard)
        done[keys[number]] = shard
        progress(_event(number, len(tiles), shard, time.perf_counter() - began, loaded=False))
    fade = _assemble(ensemble, [done[key] for key in keys])
    if decades.mode == "leap" and decades.check_days:
        fade.attrs |= leap_error(ensemble, fade)
    return fade


def leap_error(ensemble: Ensemble, fade: xr.Dataset) -> dict[str, float]:
    """Measure the error of the leap against day-by-day simulation of a few lanes, spread over draws and packs.

    Returns
    -------
    `soh_error_pp`, the largest difference of SOH in percentage points, after `soh_error_days`, over `soh_error_lanes`.
    """
    days = min(float(ensemble.decades.check_days), float(np.floor(ensemble.times[-1])))
    truth = replace(ensemble, decades=replace(ensemble.decades, mode="direct"), times=np.array([0.0, days]))
    lanes = np.linspace(0, ensemble.lanes - 1, _CHECKED_LANES).round().astype(int)
    history, health = truth.simulate(lanes)
    soh = fade["soh"].interp(time=days / DAYS_PER_YEAR).values.reshape(-1)[lanes]
    difference = np.asarray(health.capacity)[-1] / ensemble.operation.cell.nominal_capacity - soh
    sound = (history.outcome == Outcome.COMPLETED) & np.isfinite(soh)
    error = 100.0 * float(np.abs(difference[sound]).max(initial=0.0))
    return {"soh_error_pp": error, "soh_error_days": days, "soh_error_lanes": int(sound.sum())}


def _event(tile: int, tiles: int, shard: xr.Dataset, seconds: float, *, loaded: bool) -> Mapping[str, float]:
    days = float(shard.attrs["cell_days"])
    return {"tile": tile, "tiles": tiles, "cell_days": days, "seconds": seconds, "loaded": loaded}


def _shard(ensemble: Ensemble, history: History, health: Health, pack_energy_kwh: float) -> xr.Dataset:
    """Label what one tile did; dims `time`, `lane`. Failed lanes are NaN after their last sound time."""
    values = _quantities(ensemble, history, health, pack_energy_kwh)
    sound = ensemble.times[:, None] <= history.last_good
    dataset = xr.Dataset({name: (("time", "lane"), np.where(sound, value, np.nan)) for name, value in values.items()})
    dataset["outcome"] = ("lane", history.outcome.astype(np.int8))
    return dataset.assign_attrs(cell_days=history.cell_days)


def _quantities(ensemble: Ensemble, history: History, health: Health, pack_energy_kwh: float) -> dict[str, np.ndarray]:
    """Fade variables of one tile, each `(times, lanes)`."""
    cell = ensemble.operation.cell
    slow, service = history.service.slow, history.service
    fresh = SlowState(*(value.item() for value in fresh_state(cell, 1)))
    to_ah = FARADAY / _COULOMBS_PER_AH
    volume_ah = cell.negative.volume * to_ah
    scale = pack_energy_kwh / cell.nameplate_energy  # [kW.h of the pack per W.h of its cell]
    capacity = np.asarray(health.capacity)
    degree_days = service.degree_days[:, 0]
    mean = np.diff(degree_days, axis=0) / np.diff(ensemble.times)[:, None] - KELVIN
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
        "temperature_max": history.temperature_max - KELVIN,
    }


def _assemble(ensemble: Ensemble, shards: list[xr.Dataset]) -> xr.Dataset:
    """Put the tiles together by draw and pack."""
    lanes = xr.concat(shards, "lane").isel(lane=slice(ensemble.lanes))
    draws = ensemble.lanes // ensemble.packs
    fade = xr.Dataset()
    for name, array in lanes.items():
        values = array.transpose("lane", ...).values
        fade[str(name)] = (("draw", "pack", *array.dims[:-1]), values.reshape(draws, ensemble.packs, *values.shape[1:]))
    fade = fade.assign_coords(
        draw=np.arange(draws), pack=np.arange(ensemble.packs), time=ensemble.times / DAYS_PER_YEAR
    )
    outcomes = {o.name.lower(): int((fade["outcome"] == o).sum()) for o in Outcome}
    fade.attrs = {
        "title": "fade forecast of second-life battery packs",
        "mode": ensemble.decades.mode,
        "cell_days": float(sum(shard.attrs["cell_days"] for shard in shards)),
        "outcomes": json.dumps(outcomes),
    }
    if ensemble.decades.mode == "leap":
        fade.attrs["typical_day_error"] = json.dumps([days.error for days in ensemble.typical])
    return variables.describe(fade)


def typical_day_trace(
    settings: Cell, decades: Decades, duty: xr.Dataset, population: xr.Dataset, draw: int, pack: int
) -> xr.Dataset:
    """Terminal values of one pack's cell over the typical day of the largest weight, at the start of service.

    Returns
    -------
    `trace_*` variables of `fadecast.variables` on `hour`.
    """
    cell = build_cell(settings.chemistry, varied_parameters(population))
    operation = make_operation(cell, settings, decades, duty)
    ensemble = Ensemble(operation, decades, duty, population, np.zeros(1))
    slow, inputs, _ = ensemble.start(np.array([draw * ensemble.packs + pack]))
    days = ensemble.typical[draw]
    chosen = int(days.weight.argmax())
    power = jnp.asarray(days.power[chosen][:, None] * cell.nameplate_energy)
    ambient = jnp.asarray(days.ambient[chosen][:, None] + KELVIN)

    @jax.jit
    def follow() -> tuple[jax.Array, ...]:
        soc = jnp.full((1, 1), days.state_of_charge[chosen])
        y, window = operation.begin_day(slow, inputs, soc, ambient[:1])
        return tuple(operation.run(y, inputs, window, Profile(power, ambient), days.spin_up).trace)

    voltage, current, temperature, soc = (np.asarray(values)[:, 0] for values in follow())
    demand = np.asarray(power)[days.spin_up :, 0]
    columns = {
        "trace_demand": demand,
        "trace_power": voltage * current,
        "trace_voltage": voltage,
        "trace_current": current,
        "trace_state_of_charge": soc,
        "trace_temperature": temperature - KELVIN,
    }
    hours = duty["hour"].values[:: ensemble.coarseness][: len(demand)]
    trace = xr.Dataset({name: ("hour", values) for name, values in columns.items()}, coords={"hour": hours})
    trace.attrs = {
        "draw": draw,
        "pack": pack,
        "day_of_year": int(days.day[chosen]),
        "weight": float(days.weight[chosen]),
    }
    return variables.describe(trace)
