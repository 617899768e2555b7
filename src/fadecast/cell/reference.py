"""The same run by PyBaMM itself: what tests and benchmarks hold the lowered cell against. Never used in a forecast."""

from typing import NamedTuple

import numpy as np
import pybamm

from fadecast.cell.discretised import discretise, state_variables
from fadecast.cell.model import AMBIENT, Chemistry, arrhenius_lam, parameter_values, pybamm_model, short_name

POWER = "Power function [W]"


class Reference(NamedTuple):
    """End of each load step."""

    states: dict[str, np.ndarray]
    """Blocks of the state vector by their names in `CellModel.rows`, in PyBaMM's scaled units, each `(steps, n)`."""
    voltage: np.ndarray
    """Terminal voltage under load [V], shape `(steps,)`."""


def reference_run(
    chemistry: Chemistry,
    y: np.ndarray,
    power: np.ndarray,
    ambient: np.ndarray,
    load_step: float,
    tolerance: float = 1e-8,
) -> Reference:
    """Follow a power profile with IDAKLU, without limits.

    Parameters
    ----------
    y
        State vector of the lowered cell to start from, shape `(states,)`; algebraic states are first guesses, which
        PyBaMM's solver makes consistent with the power.
    power
        Terminal power of each load step, discharge positive [W].
    ambient
        Ambient temperature of each load step [K].
    load_step
        [s]
    tolerance
        Relative and absolute tolerance of the solver.
    """
    simulation = _power_simulation(chemistry, tolerance)
    model, solver = simulation.built_model, simulation.solver
    # Voltage limits are the caller's business.
    model.events = []
    start = np.asarray(model.concatenated_initial_conditions.evaluate())
    # At given power the current is one more state; all others are copied by name.
    places = {short_name(name): place for name, (_, place) in state_variables(model).items()}
    lowered_rows = {
        short_name(name): place for name, (_, place) in state_variables(discretise(chemistry).model).items()
    }
    rows = {name: place for name, place in places.items() if name in lowered_rows}
    for name, place in rows.items():
        start[place, 0] = y[lowered_rows[name]]
    model.concatenated_initial_conditions = pybamm.Vector(start)
    states: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    voltage, solution = [], None
    for watts, kelvin in zip(power, ambient, strict=True):
        inputs = {POWER: float(watts), AMBIENT: float(kelvin)}
        solution = solver.step(solution, model, load_step, inputs=inputs, save=False)
        end = np.asarray(solution.y)[:, -1]
        for name, place in rows.items():
            states[name].append(end[place])
        voltage.append(float(solution["Voltage [V]"].entries[-1]))
    return Reference({name: np.stack(values) for name, values in states.items()}, np.array(voltage))


def _power_simulation(chemistry: Chemistry, tolerance: float) -> pybamm.Simulation:
    model, points = pybamm_model(chemistry, operating_mode="power")
    values = parameter_values(chemistry.parameter_set)
    values.update(dict(chemistry.parameters))
    arrhenius_lam(values, pybamm.ParameterValues(dict(values)))
    values.update(dict.fromkeys((POWER, AMBIENT), "[input]"), check_already_exists=False)
    solver = pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance)
    simulation = pybamm.Simulation(model, parameter_values=values, var_pts=points, solver=solver)
    simulation.build()
    return simulation
