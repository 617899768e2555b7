"""Dispatch by plans: grid, generator and curtailment of the hours ahead at least cost, by linear programming.

A plan is made of hourly means. What it did not foresee is met as the rule meets it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.optimize import linprog

from fadecast.duty.dispatch import Demand, Dispatched, Plan, Plant, dispatch, repeated_year
from fadecast.duty.sources import Generator, Grid, LookAhead

Hours = Float[np.ndarray, "hour"]

_FLOWS = ("charge", "discharge", "bought", "sold", "generator", "curtailed", "unserved", "spilled")
"""Unknown powers of every hour [kW]; the stored energy at its end [kWh] follows."""


class Expected(NamedTuple):
    """What a plan counts on, by hour [kW]."""

    load: Hours
    """Curtailable load included."""
    curtailable: Hours
    solar: Hours


@dataclass(frozen=True)
class Planner:
    """Finds the cheapest hours ahead."""

    plant: Plant
    generator: Generator
    grid: Grid
    look_ahead: LookAhead

    @cached_property
    def _equations(self) -> sparse.csr_matrix:
        """Balance of the bus, then of the store; columns are hours of each of `_FLOWS`, then of the stored energy."""
        count = self.look_ahead.horizon_hours
        one, none = sparse.identity(count), sparse.csr_matrix((count, count))
        signs = {"charge": -1, "discharge": 1, "bought": 1, "sold": -1, "spilled": -1}
        bus = [signs.get(flow, 1) * one for flow in _FLOWS]
        into = {"charge": -self.plant.one_way, "discharge": 1 / self.plant.one_way}
        stored = [into[flow] * one if flow in into else none for flow in _FLOWS]
        return sparse.bmat([[*bus, none], [*stored, one - sparse.eye(count, k=-1)]], format="csr")

    def cost(self, hour_of_day: int) -> Float[np.ndarray, "unknown"]:
        """Return the cost of one unit of each unknown in a plan that starts at an hour of the day [USD]."""
        count, ahead = self.look_ahead.horizon_hours, self.look_ahead
        of_day = (hour_of_day + np.arange(count)) % 24
        prices: dict[str, float | Hours] = {
            "charge": ahead.throughput_usd_per_kwh,
            "discharge": ahead.throughput_usd_per_kwh,
            "bought": np.array(self.grid.buy_usd_per_kwh)[of_day],
            "sold": -np.array(self.grid.sell_usd_per_kwh)[of_day],
            "generator": self.generator.usd_per_kwh,
            "curtailed": ahead.curtailed_usd_per_kwh,
            "unserved": ahead.unserved_usd_per_kwh,
            "spilled": 0.0,
        }
        return np.concatenate([*(np.broadcast_to(prices[flow], count) for flow in _FLOWS), np.zeros(count)])

    def plan(self, expected: Expected, energy: float, hour_of_day: int) -> dict[str, Hours]:
        """Return the cheapest powers of the hours ahead [kW] from a stored energy [kWh]."""
        plant, count = self.plant, self.look_ahead.horizon_hours
        highest: dict[str, float | Hours] = {
            "charge": float(plant.converter),
            "discharge": float(plant.converter),
            "bought": plant.imports,
            "sold": plant.exports,
            "generator": plant.generator,
            "curtailed": expected.curtailable,
            "unserved": expected.load,
            "spilled": np.inf,
        }
        high = np.concatenate([*(np.broadcast_to(highest[flow], count) for flow in _FLOWS), np.full(count, plant.high)])
        begin = np.zeros(count)
        begin[0] = np.clip(energy, plant.low, plant.high)
        # A store that is below its reserve may stay there.
        reserve = np.clip(self.look_ahead.reserve * plant.capacity, plant.low, begin[0])
        low = np.concatenate([np.zeros(len(_FLOWS) * count), np.full(count, reserve)])
        known = np.concatenate([expected.load - expected.solar, begin])
        found = linprog(
            self.cost(hour_of_day),
            A_eq=self._equations,
            b_eq=known,
            bounds=np.stack([low, np.maximum(high, low)], axis=1),
            method="highs",
        )
        if found.x is None:
            raise RuntimeError(f"no plan at hour {hour_of_day} of the day: {found.message}")
        return dict(zip(_FLOWS, np.split(found.x[:-count], len(_FLOWS)), strict=True))


def planned_year(planner: Planner, demand: Demand, step_hours: float) -> Dispatched:
    """Follow plans through a year of one draw, from the charge that the rule ends it with; arrays are (step, 1)."""
    per_hour, replan = round(1 / step_hours), planner.look_ahead.replan_hours
    store, by_rule = repeated_year(planner.plant, demand, step_hours)
    expected = _hourly(demand, by_rule, per_hour)
    done = []
    for hour in range(0, len(expected.load), replan):
        plan = _plan(planner, expected, float(store.energy[0]), hour)
        steps = slice(hour * per_hour, (hour + replan) * per_hour)
        set_points = Plan(*(np.repeat(each[:replan, None], per_hour, axis=0) for each in plan))
        store, part = dispatch(planner.plant, Demand(*(x[steps] for x in demand)), set_points, store, step_hours)
        done.append(jax.tree.map(np.asarray, part))
    return Dispatched(*(np.concatenate(parts) for parts in zip(*done, strict=True)))


def _hourly(demand: Demand, by_rule: Dispatched, per_hour: int) -> Expected:
    """Return hourly means of a year; air conditioning is that of the rule."""
    parts = (demand.firm + demand.curtailable + by_rule.conditioning, demand.curtailable, demand.solar)
    return Expected(*(np.asarray(part).reshape(-1, per_hour).mean(axis=1) for part in parts))


def _plan(planner: Planner, expected: Expected, energy: float, hour: int) -> Plan:
    """Plan the hours ahead, seen or taken to be as the last 24; the year repeats."""
    ahead = np.arange(planner.look_ahead.horizon_hours)
    seen = hour + ahead if planner.look_ahead.foresight else hour - 24 + ahead % 24
    window = Expected(*(part.take(seen, mode="wrap") for part in expected))
    found = planner.plan(window, energy, hour % 24)
    # Sun is sold as it comes: a set point would take it from the store where it does not.
    sold = np.minimum(found["sold"], found["discharge"])
    return Plan(found["bought"] - sold, found["generator"], found["curtailed"])
