"""The same run by PyBaMM itself: what tests and benchmarks hold the lowered cell against. Never used in a forecast."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pybamm

from fadecast.cell.control import Held
from fadecast.cell.discretised import discretise, state_variables
from fadecast.cell.model import AMBIENT, Chemistry, arrhenius_lam, parameter_values, pybamm_model, short_name
from fadecast.cell.protocol import Instruction, Record

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
    rows = _begin_at(model, chemistry, y)
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


def reference_protocol(
    chemistry: Chemistry, y: np.ndarray, protocol: Sequence[Instruction], ambient: float, tolerance: float = 1e-8
) -> Record:
    """Follow a protocol of one cell as a PyBaMM experiment, with IDAKLU.

    Parameters
    ----------
    y
        State vector of the lowered cell to start from, shape `(states,)`.
    protocol
        Instructions of one number each, none of them a share of an earlier one.
    ambient
        Ambient temperature [K].
    tolerance
        Relative and absolute tolerance of the solver.

    Returns
    -------
    Record of the shape `(instructions, 1)`; PyBaMM gives no energy, and whether a limit was met is not told.
    """
    model, points = pybamm_model(chemistry)
    values = _values(chemistry)
    values.update({AMBIENT: ambient})
    simulation = pybamm.Simulation(
        model,
        parameter_values=values,
        var_pts=points,
        solver=pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance),
        experiment=pybamm.Experiment([tuple(_step(instruction) for instruction in protocol)]),
    )
    simulation.build_for_experiment()
    for built in set(simulation.steps_to_built_models.values()):
        _begin_at(built, chemistry, y)
    done = simulation.solve().cycles[0].steps
    ends = {name: np.array([each[name].entries[[0, -1]] for each in done]) for name in _RECORDED}
    charge, voltage, current = (ends[name] for name in _RECORDED)
    unknown = np.full((len(done), 1), np.nan)
    duration = np.array([[each.t[-1] - each.t[0]] for each in done])
    columns = duration, np.diff(charge), unknown, voltage[:, 1:], current[:, 1:], unknown
    return Record(*(jnp.asarray(column) for column in columns))


_RECORDED = "Discharge capacity [A.h]", "Voltage [V]", "Current [A]"


def _begin_at(model: pybamm.BaseModel, chemistry: Chemistry, y: np.ndarray) -> dict[str, slice]:
    """Let a built model start at a state of the lowered cell; return the rows of the blocks they share, by name."""
    start = np.asarray(model.concatenated_initial_conditions.evaluate())
    # Where the current is solved for, it is one more state; all others are copied by name.
    places = {short_name(name): place for name, (_, place) in state_variables(model).items()}
    lowered_rows = {
        short_name(name): place for name, (_, place) in state_variables(discretise(chemistry).model).items()
    }
    rows = {name: place for name, place in places.items() if name in lowered_rows}
    for name, place in rows.items():
        start[place, 0] = y[lowered_rows[name]]
    model.concatenated_initial_conditions = pybamm.Vector(start)
    return rows


def _step(instruction: Instruction) -> pybamm.step.BaseStep:
    make = {Held.CURRENT: pybamm.step.current, Held.POWER: pybamm.step.power, Held.VOLTAGE: pybamm.step.voltage}
    limits = {"V": instruction.voltage, "A": instruction.current}
    ends = [f"{limit!r} {unit}" for unit, limit in limits.items() if limit is not None]
    return make[instruction.held](instruction.value, duration=instruction.duration, termination=ends or None)


def _values(chemistry: Chemistry) -> pybamm.ParameterValues:
    values = parameter_values(chemistry.parameter_set)
    values.update(dict(chemistry.parameters))
    arrhenius_lam(values, pybamm.ParameterValues(dict(values)))
    return values


def _power_simulation(chemistry: Chemistry, tolerance: float) -> pybamm.Simulation:
    model, points = pybamm_model(chemistry, operating_mode="power")
    values = _values(chemistry)
    values.update(dict.fromkeys((POWER, AMBIENT), "[input]"), check_already_exists=False)
    solver = pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance)
    simulation = pybamm.Simulation(model, parameter_values=values, var_pts=points, solver=solver)
    simulation.build()
    return simulation
