"""The same run by PyBaMM itself: what tests and benchmarks hold the lowered cell against. Never used in a forecast."""

from typing import NamedTuple

import numpy as np
import pybamm

from fadecast.cell.model import (
    AMBIENT,
    STATES,
    Chemistry,
    arrhenius_lam,
    build_cell,
    parameter_values,
    pybamm_model,
)

POWER = "Power function [W]"


class Reference(NamedTuple):
    """End of each load step."""

    states: dict[str, np.ndarray]
    """Blocks of the state vector by the short names of `STATES`, in PyBaMM's scaled units, each `(steps, n)`."""
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
        State vector of the lowered cell to start from, shape `(states,)`.
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
    where = {variable.name: slices[0] for variable, slices in model.y_slices.items()}
    rows = {short: where[name] for short, name in STATES.items() if name in where}
    start = np.asarray(model.concatenated_initial_conditions.evaluate())
    lowered_rows = build_cell(chemistry).rows
    for short, place in rows.items():
        start[place, 0] = y[lowered_rows[short]]
    model.concatenated_initial_conditions = pybamm.Vector(start)
    states: dict[str, list[np.ndarray]] = {short: [] for short in rows}
    voltage, solution = [], None
    for watts, kelvin in zip(power, ambient, strict=True):
        inputs = {POWER: float(watts), AMBIENT: float(kelvin)}
        solution = solver.step(solution, model, load_step, inputs=inputs, save=False)
        end = np.asarray(solution.y)[:, -1]
        for short, place in rows.items():
            states[short].append(end[place])
        voltage.append(float(solution["Voltage [V]"].entries[-1]))
    return Reference({short: np.stack(values) for short, values in states.items()}, np.array(voltage))


def _power_simulation(chemistry: Chemistry, tolerance: float) -> pybamm.Simulation:
    _, points = pybamm_model(chemistry)
    model = pybamm.lithium_ion.SPM({**chemistry.options, "operating mode": "power"})
    values = parameter_values(chemistry.parameter_set)
    values.update(dict(chemistry.parameters))
    arrhenius_lam(values, pybamm.ParameterValues(dict(values)))
    values.update(dict.fromkeys((POWER, AMBIENT), "[input]"), check_already_exists=False)
    solver = pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance)
    simulation = pybamm.Simulation(model, parameter_values=values, var_pts=points, solver=solver)
    simulation.build()
    return simulation
