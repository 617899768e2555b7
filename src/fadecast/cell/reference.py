"""The same run by PyBaMM itself: what tests and benchmarks hold the lowered cell against. Never used in a forecast."""

from collections.abc import Sequence
from typing import NamedTuple

import casadi
import jax.numpy as jnp
import numpy as np
import pybamm

from fadecast.cell.control import Held
from fadecast.cell.discretised import discretise, state_variables, submesh_types
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
    return PowerRuns(chemistry, tolerance).follow(y, power, ambient, load_step)


class PowerRuns:
    """Runs of one chemistry under power profiles by IDAKLU, without limits: built once, followed again and again."""

    def __init__(self, chemistry: Chemistry, tolerance: float = 1e-8, *, compiled: bool = False) -> None:
        """Build PyBaMM's model; `compiled` turns it into machine code first, which pays after thousands of steps."""
        self._chemistry = chemistry
        self._model = _power_model(chemistry)
        self._solver = pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance, options={"compile": compiled})
        self._voltage = _voltage_of(self._model)

    def follow(
        self,
        y: np.ndarray,
        power: np.ndarray,
        ambient: np.ndarray,
        load_step: float,
        *,
        as_far_as_it_goes: bool = False,
    ) -> Reference:
        """Follow a power profile as `reference_run` does, if wanted as far as there is a solution."""
        rows = _begin_at(self._model, self._chemistry, y)
        ends, voltage, solution = [], [], None
        both = np.array([0.0, load_step])
        for watts, kelvin in zip(power, ambient, strict=True):
            inputs = {POWER: float(watts), AMBIENT: float(kelvin)}
            try:
                solution = self._solver.step(solution, self._model, load_step, inputs=inputs, save=False, t_interp=both)
            except pybamm.SolverError:
                if not as_far_as_it_goes:
                    raise
                break
            ends.append(np.asarray(solution.y)[:, -1])
            voltage.append(float(self._voltage(ends[-1], watts, kelvin)))
        states = np.stack(ends)
        return Reference({name: states[:, place] for name, place in rows.items()}, np.array(voltage))


def reference_protocol(
    chemistry: Chemistry, y: np.ndarray, protocol: Sequence[Instruction], ambient: float, tolerance: float = 1e-8
) -> tuple[np.ndarray, Record]:
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
    State vector of the lowered cell at the end, shape `(states,)`, and the record of the shape `(instructions, 1)`;
    PyBaMM gives no energy, and whether a limit was met is not told.
    """
    model, points = pybamm_model(chemistry)
    values = _values(chemistry)
    values.update({AMBIENT: ambient})
    simulation = pybamm.Simulation(
        model,
        parameter_values=values,
        var_pts=points,
        submesh_types=submesh_types(model, chemistry),
        solver=pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance),
        experiment=pybamm.Experiment([tuple(_step(instruction) for instruction in protocol)]),
    )
    simulation.build_for_experiment()
    for built in set(simulation.steps_to_built_models.values()):
        _begin_at(built, chemistry, y)
    done = simulation.solve().cycles[0].steps
    end, last = y.copy(), done[-1]
    for mine, theirs in _shared_rows(last.all_models[-1], chemistry).values():
        end[mine] = np.asarray(last.y)[theirs, -1]
    ends = {name: np.array([each[name].entries[[0, -1]] for each in done]) for name in _RECORDED}
    charge, voltage, current = (ends[name] for name in _RECORDED)
    unknown = np.full((len(done), 1), np.nan)
    duration = np.array([[each.t[-1] - each.t[0]] for each in done])
    columns = duration, np.diff(charge), unknown, voltage[:, 1:], current[:, 1:], unknown
    return end, Record(*(jnp.asarray(column) for column in columns))


_RECORDED = "Discharge capacity [A.h]", "Voltage [V]", "Current [A]"


def _begin_at(model: pybamm.BaseModel, chemistry: Chemistry, y: np.ndarray) -> dict[str, slice]:
    """Let a built model start at a state of the lowered cell; return the rows of the blocks they share, by name."""
    start = np.asarray(model.concatenated_initial_conditions.evaluate())
    rows = _shared_rows(model, chemistry)
    for mine, theirs in rows.values():
        start[theirs, 0] = y[mine]
    model.concatenated_initial_conditions = pybamm.Vector(start)
    return {name: theirs for name, (_, theirs) in rows.items()}


def _shared_rows(model: pybamm.BaseModel, chemistry: Chemistry) -> dict[str, tuple[slice, slice]]:
    """Return where the lowered cell and a built model have the blocks they share, by name.

    Where the current is solved for, it is one more state of the model.
    """
    lowered, built = (
        {short_name(name): place for name, (_, place) in state_variables(each).items()}
        for each in (discretise(chemistry).model, model)
    )
    return {name: (lowered[name], place) for name, place in built.items() if name in lowered}


def _step(instruction: Instruction) -> pybamm.step.BaseStep:
    make = {Held.CURRENT: pybamm.step.current, Held.POWER: pybamm.step.power, Held.VOLTAGE: pybamm.step.voltage}
    limits = {"V": instruction.voltage, "A": instruction.current}
    ends = [f"{limit!r} {unit}" for unit, limit in limits.items() if limit is not None]
    return make[instruction.held](instruction.value, duration=instruction.duration, termination=ends or None)


def _values(chemistry: Chemistry) -> pybamm.ParameterValues:
    values = parameter_values(chemistry.source)
    values.update(dict(chemistry.parameters))
    arrhenius_lam(values, pybamm.ParameterValues(dict(values)))
    return values


def _power_model(chemistry: Chemistry) -> pybamm.BaseModel:
    """Return the discretised model whose input is its power."""
    model, points = pybamm_model(chemistry, operating_mode="power")
    values = _values(chemistry)
    values.update(dict.fromkeys((POWER, AMBIENT), "[input]"), check_already_exists=False)
    submeshes = submesh_types(model, chemistry)
    simulation = pybamm.Simulation(model, parameter_values=values, var_pts=points, submesh_types=submeshes)
    simulation.build()
    # Voltage limits are the caller's business.
    simulation.built_model.events = []
    return simulation.built_model


def _voltage_of(model: pybamm.BaseModel) -> casadi.Function:
    """Return PyBaMM's voltage as a function of state, power and ambient temperature.

    Read from a solution, it would be compiled again for each of thousands of steps.
    """
    time, state = casadi.MX.sym("t"), casadi.MX.sym("y", model.len_rhs_and_alg)
    inputs = {name: casadi.MX.sym(name) for name in (POWER, AMBIENT)}
    voltage = model.get_processed_variable("Voltage [V]").to_casadi(time, state, inputs=inputs)
    return casadi.Function("voltage", [state, *inputs.values()], [voltage])
