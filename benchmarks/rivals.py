"""The same cells under the same load by PyBaMM's own solvers: what the lowered cell is timed against."""

from concurrent.futures import ProcessPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pybamm

from fadecast.cell.model import AMBIENT, STATES, Chemistry, arrhenius_lam, build_cell, parameter_values, pybamm_model

POWER = "Power scale [W]"
_EDGE = 1e-3  # [s] of a load jump; PyBaMM's input is a function of time, not a list of steps


class Solved(NamedTuple):
    """End states by short name, each `(n, cells)` in PyBaMM's scaled units, and the time taken."""

    states: dict[str, np.ndarray]
    seconds: float


class Load(NamedTuple):
    """Cells that share a load's shape and the state at the start; scale of the power and temperature differ."""

    shape: np.ndarray
    """Power of each load step over its scale [1]."""
    load_step: float
    """[s]"""
    watts: np.ndarray
    """Scale of each cell's power [W], shape `(cells,)`."""
    kelvin: np.ndarray
    """Ambient temperature of each cell [K], shape `(cells,)`."""


class Idaklu:
    """PyBaMM's model in power mode, started from a state of the lowered cell, solved by compiled IDAKLU."""

    def __init__(self, chemistry: Chemistry, start: np.ndarray, load: Load) -> None:
        self.load = load
        cell = build_cell(chemistry)
        model, points = pybamm_model(chemistry, operating_mode="power")
        values = parameter_values(chemistry.parameter_set)
        values.update(dict(chemistry.parameters))
        arrhenius_lam(values, pybamm.ParameterValues(dict(values)))
        values.update({"Power function [W]": self._power(), AMBIENT: "[input]"}, check_already_exists=False)
        simulation = pybamm.Simulation(model, parameter_values=values, var_pts=points)
        simulation.build()
        self.model = simulation.built_model
        self.model.events = []
        where = {variable.name: slices[0] for variable, slices in self.model.y_slices.items()}
        self.rows = {short: where[name] for short, name in STATES.items() if short in cell.rows}
        state = np.asarray(self.model.concatenated_initial_conditions.evaluate(inputs=self._inputs(0, 0.0)))
        for short, place in self.rows.items():
            state[place, 0] = start[cell.rows[short]]
        heat, warm = np.zeros_like(state), self.rows["temperature"]
        state[warm, 0], heat[warm, 0] = 0.0, 1.0 / cell.scale[cell.rows["temperature"]]
        self.model.concatenated_initial_conditions = pybamm.Vector(state) + pybamm.Vector(heat) * pybamm.InputParameter(
            AMBIENT
        )

    def _power(self) -> pybamm.Symbol:
        return pybamm.InputParameter(POWER)

    def _inputs(self, cell: int, watts: float) -> dict[str, float]:
        return {POWER: watts, AMBIENT: float(self.load.kelvin[cell])}

    def _ends(self, finals: list[np.ndarray]) -> dict[str, np.ndarray]:
        final = np.stack(finals, axis=1)
        return {short: final[place] for short, place in self.rows.items()}


def jax_solver(chemistry: Chemistry, start: np.ndarray, load: Load) -> str:
    """Ask PyBaMM's JaxSolver for the first load step of the first cell; return what it says.

    It has no form of a measured table, which OKane2022's graphite potential is.
    """
    rival = Idaklu(chemistry, start, load)
    rival.model.convert_to_format = "jax"
    try:
        solver = pybamm.JaxSolver(method="BDF", rtol=1e-4, atol=1e-4)
        solver.solve(rival.model, np.array([0.0, load.load_step]), inputs=rival._inputs(0, float(load.watts[0])))
    except (TypeError, pybamm.SolverError) as error:
        return f"cannot run: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return "runs: add it to the diagram"


class Threads(Idaklu):
    """One solve over the whole load for all cells, on IDAKLU's own threads; jumps of the load take a millisecond."""

    def _power(self) -> pybamm.Symbol:
        step, shape = self.load.load_step, self.load.shape
        edges = step * np.arange(1, len(shape))
        self.stops = np.concatenate([[0.0], np.sort(np.concatenate([edges, edges + _EDGE])), [step * len(shape)]])
        pattern = pybamm.Interpolant(self.stops, np.repeat(shape, 2), pybamm.t, interpolator="linear")
        return pybamm.InputParameter(POWER) * pattern

    def solve(self, tolerance: float, threads: int) -> Solved:
        """Compile on a short run, then run on the clock."""
        solver = pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance, options={"compile": True, "num_threads": threads})
        inputs = [self._inputs(k, float(watts)) for k, watts in enumerate(self.load.watts)]
        solver.solve(self.model, self.stops[:4], inputs=inputs, t_interp=self.stops[[0, 3]])
        begin = perf_counter()
        solutions = solver.solve(self.model, self.stops, inputs=inputs, t_interp=self.stops[[0, -1]])
        seconds = perf_counter() - begin
        return Solved(self._ends([np.asarray(solution.y)[:, -1] for solution in solutions]), seconds)


class Steps(Idaklu):
    """One `step` of the solver for each load step of each cell; a process for each core."""

    def solve(self, tolerance: float) -> Solved:
        """Compile on a short run, then run on the clock."""
        solver = pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance, options={"compile": True})
        self._follow(solver, 0, 2)
        begin = perf_counter()
        finals = [self._follow(solver, cell, len(self.load.shape)) for cell in range(len(self.load.watts))]
        return Solved(self._ends(finals), perf_counter() - begin)

    def _follow(self, solver: pybamm.IDAKLUSolver, cell: int, steps: int) -> np.ndarray:
        solution: Any = None
        for amount in self.load.shape[:steps]:
            inputs = self._inputs(cell, float(amount * self.load.watts[cell]))
            solution = solver.step(solution, self.model, self.load.load_step, inputs=inputs, save=False)
        return np.asarray(solution.y)[:, -1]


def in_processes(
    pool: ProcessPoolExecutor, chemistry: Chemistry, start: np.ndarray, load: Load, tolerance: float, processes: int
) -> Solved:
    """Solve by `Steps` with the cells dealt out to processes; the time is that of the slowest."""
    places = [np.arange(first, len(load.watts), processes) for first in range(processes)]
    shares = [load._replace(watts=load.watts[place], kelvin=load.kelvin[place]) for place in places]
    parts = list(pool.map(_solve_share, [(chemistry, start, share, tolerance) for share in shares]))
    states = {}
    for short in parts[0].states:
        states[short] = np.empty((len(parts[0].states[short]), len(load.watts)))
        for place, part in zip(places, parts, strict=True):
            states[short][:, place] = part.states[short]
    return Solved(states, max(part.seconds for part in parts))


def _solve_share(work: tuple[Chemistry, np.ndarray, Load, float]) -> Solved:
    chemistry, start, load, tolerance = work
    return Steps(chemistry, start, load).solve(tolerance)
