"""How far PyBaMM's single-particle models (SPM, SPMe) are from its DFN on one current: their model discrepancy.

All three models carry every ageing mechanism, SEI on cracks included, and see the same current from the same
stoichiometries. Nothing here is lowered or used in a forecast: PyBaMM solves all of it.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pybamm
from annotated_types import Ge, Gt
from jaxtyping import Float

from fadecast.cell.chemistry import Option
from fadecast.cell.model import Chemistry
from fadecast.settings import settings

Model = Literal["DFN", "SPMe", "SPM"]

KELVIN = 273.15
RAMP = 1.0
"""Time in which the current moves from one minute's level to the next [s]."""
REST = 3600.0
"""Rest after a discharge [s]."""
TOLERANCE: Mapping[Model, float] = {"DFN": 1e-8, "SPMe": 1e-9, "SPM": 1e-9}
"""Relative and absolute tolerance of the solver. At 1e-7 SPM strips more plated lithium than there is."""
_SAMPLING = 5.0

SERIES: Mapping[str, str] = {
    "voltage": "Voltage [V]",
    "current": "Current [A]",
    "heating": "Total heating [W]",
    "temperature": "Volume-averaged cell temperature [K]",
    "sei": "Loss of lithium to negative SEI [mol]",
    "sei_on_cracks": "Loss of lithium to negative SEI on cracks [mol]",
    "plated_and_dead": "Loss of lithium to negative lithium plating [mol]",
    "plated_concentration": "X-averaged negative lithium plating concentration [mol.m-3]",
    "dead_concentration": "X-averaged negative dead lithium concentration [mol.m-3]",
    "crack_length": "X-averaged negative particle crack length [m]",
    "lam_ne": "Loss of active material in negative electrode [%]",
    "lam_pe": "Loss of active material in positive electrode [%]",
    "lam_lithium_ne": "Loss of lithium due to loss of active material in negative electrode [mol]",
    "lam_lithium_pe": "Loss of lithium due to loss of active material in positive electrode [mol]",
    "lithium": "Total lithium in particles [mol]",
    "electrolyte_lithium": "Total lithium in electrolyte [mol]",
}
"""Short name of each stored series → the PyBaMM variable it is."""


@settings
class Setup:
    """How the models are solved; the defaults give the reported numbers, others check them."""

    x: Annotated[int, Ge(3)] = 20
    """Points across each electrode and the separator."""
    r: Annotated[int, Ge(5)] = 20
    """Radial points of each particle."""
    tolerance_factor: Annotated[float, Gt(0)] = 1.0
    """Tolerance over that of `TOLERANCE` [1]."""
    thermal: Literal["lumped", "isothermal"] = "lumped"
    """Whether heat warms the cell."""


@dataclass(frozen=True, eq=False)
class Run:
    """What one model did on one load."""

    time: Float[np.ndarray, "time"]
    """[s]"""
    series: Mapping[str, Float[np.ndarray, "time"]]
    """By the short names of `SERIES`, in PyBaMM's units."""
    end: str
    """`complete`, or the PyBaMM event that stopped the run before its load was over."""

    def save(self, path: Path) -> None:
        """Write the run to an `.npz` file."""
        np.savez(path, allow_pickle=False, time=self.time, end=np.array(self.end), **self.series)

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Read what `save` wrote."""
        with np.load(path) as content:
            return cls(content["time"], {name: content[name] for name in SERIES}, str(content["end"]))


def options(model: Model, thermal: str = "lumped") -> dict[str, str | tuple[Option, Option]]:
    """Return the options of `Chemistry`, with SEI on cracks and both changes of porosity.

    Without the algebraic surface form, SPM and SPMe draw the lithium of SEI on cracks from nowhere; with it they
    take the film resistance as an average only. DFN needs neither.
    """
    surface = {"SEI film resistance": "distributed"}
    if model != "DFN":
        surface = {"SEI film resistance": "average", "surface form": "algebraic"}
    ageing = {"SEI on cracks": "true", "SEI porosity change": "true", "lithium plating porosity change": "true"}
    return Chemistry().options | ageing | surface | {"thermal": thermal}


def swing(power: Float[np.ndarray, "step"], steps: int, window: int = 60) -> Float[np.ndarray, "{steps}"]:
    """Return a load less its centred moving mean, without net charge, over its largest value [1].

    It is what a battery carries that smooths the load to the moving mean of `window` steps; positive is discharge.
    `power` holds `steps + window` values.
    """
    mean = np.convolve(power, np.ones(window + 1) / (window + 1), "valid")
    rest = (power[window // 2 :][: mean.size] - mean)[:steps]
    rest = rest - rest.mean()
    return np.asarray(rest / np.abs(rest).max())


def simulate(
    model: Model, current: float | Float[np.ndarray, "minute"], soc: float, temperature: float, setup: Setup
) -> Run:
    """Run one PyBaMM model on a current, positive for discharge.

    Parameters
    ----------
    model
        PyBaMM model class.
    current
        One value per minute [A]: a load that ends early when a voltage limit is met. Or one value: discharge to
        the lower voltage limit, then `REST`.
    soc
        State of charge at the start [1], as stoichiometries common to all models.
    temperature
        Ambient and initial temperature [degC].
    setup
        Mesh, tolerance, heat.
    """
    values = pybamm.ParameterValues(Chemistry().parameter_set)
    kelvin = temperature + KELVIN
    values.update({"Ambient temperature [K]": kelvin, "Initial temperature [K]": kelvin})
    values.set_initial_state(soc)
    points = dict.fromkeys(("x_n", "x_s", "x_p"), setup.x) | dict.fromkeys(("r_n", "r_p"), setup.r)
    tolerance = setup.tolerance_factor * TOLERANCE[model]
    simulation = pybamm.Simulation(
        getattr(pybamm.lithium_ion, model)(options(model, setup.thermal)),
        parameter_values=values,
        experiment=pybamm.Experiment([_steps(current, values)]),
        solver=pybamm.IDAKLUSolver(rtol=tolerance, atol=tolerance),
        var_pts=points,
    )
    with warnings.catch_warnings():
        # PyBaMM warns when a voltage limit ends a load; the result says so in `Run.end`.
        warnings.simplefilter("ignore")
        solution = simulation.solve()
    series = {name: np.asarray(solution[variable].entries, dtype=float) for name, variable in SERIES.items()}
    # A discharge is whole once it rests.
    whole = series["current"][-1] == 0.0 if isinstance(current, float) else solution.t[-1] > 60.0 * len(current) - RAMP
    return Run(np.asarray(solution.t), series, "complete" if whole else solution.termination.removeprefix("event: "))


def _steps(
    current: float | Float[np.ndarray, "minute"], values: pybamm.ParameterValues
) -> tuple[pybamm.step.BaseStep, ...]:
    if isinstance(current, float):
        # Half as long again as the nominal capacity lasts: the cut-off comes first.
        longest = 1.5 * 3600.0 * values["Nominal cell capacity [A.h]"] / current
        cut_off = f"{values['Lower voltage cut-off [V]']} V"
        discharge = pybamm.step.current(current, duration=longest, termination=cut_off, period=_SAMPLING)
        return discharge, pybamm.step.rest(duration=REST, period=_SAMPLING)
    edges = np.arange(1, len(current)) * 60.0
    time = np.concatenate([[0.0], np.ravel(np.column_stack([edges, edges + RAMP])), [60.0 * len(current)]])
    profile = np.column_stack([time, np.repeat(current, 2)])
    return (pybamm.step.current(profile, duration=time[-1], period=_SAMPLING),)
