"""The PyBaMM model of one cell, discretised and lowered: the border between PyBaMM and JAX."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
import pybamm
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float

from fadecast.cell.lowering import Inputs, lower
from fadecast.settings import settings

Side = Literal["ne", "pe"]

CURRENT = "Current function [A]"
AMBIENT = "Ambient temperature [K]"
CONTACT_RESISTANCE = "Contact resistance [Ohm]"

LAM_RATE = {
    "ne": "Negative electrode LAM constant proportional term [s-1]",
    "pe": "Positive electrode LAM constant proportional term [s-1]",
}
LAM_ENERGY = {
    "ne": "Negative electrode LAM activation energy [J.mol-1]",
    "pe": "Positive electrode LAM activation energy [J.mol-1]",
}
"""Parameters that fadecast adds: PyBaMM takes the LAM rate as a function of temperature, its sets give a constant."""

# The separator and electrode meshes only carry x-averages in a single-particle model; PyBaMM needs three points.
_X_POINTS = 3


@settings
class Chemistry:
    """Which PyBaMM model and parameter set describe the cell, and how finely it is meshed."""

    model: Literal["SPM"] = "SPM"
    """PyBaMM model class."""
    parameter_set: Literal["OKane2022"] = "OKane2022"
    """PyBaMM parameter set; OKane2022 is the LG M50 with all ageing mechanisms (doi:10.1039/D2CP00417H)."""
    sei: Literal[
        "solvent-diffusion limited",
        "reaction limited",
        "electron-migration limited",
        "interstitial-diffusion limited",
    ] = "solvent-diffusion limited"
    """PyBaMM law of SEI growth."""
    particle_points: Annotated[int, Ge(5), Le(60)] = 10
    """Uniform radial points per particle; 10 differ from 80 by about 2 % in crack growth and LAM, 2e-5 in SEI."""
    nameplate_voltage: Annotated[float, Gt(0), Le(5)] = 3.63
    """Nameplate energy over nameplate capacity [V]; LG INR21700-M50 data sheet."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Values that replace those of the parameter set, by PyBaMM name, in PyBaMM's units."""

    @property
    def options(self) -> dict[str, str | tuple[str, str]]:
        """PyBaMM options.

        SEI on cracks is left out: in an SPM without surface form its lithium is taken from nowhere. Porosity
        change is left out: it has no transport effect in an SPM, and the 1 um film of a retired cell would close
        the pores of this parameter set.
        """
        return {
            "SEI": self.sei,
            "SEI porosity change": "false",
            "lithium plating": "partially reversible",
            "lithium plating porosity change": "false",
            "particle mechanics": ("swelling and cracking", "swelling only"),
            "loss of active material": "stress-driven",
            "thermal": "lumped",
            "contact resistance": "true",
        }


STATES: Mapping[str, str] = {
    "discharge_capacity": "Discharge capacity [A.h]",
    "charge_throughput": "Throughput capacity [A.h]",
    "crack_length": "X-averaged negative particle crack length [m]",
    "lam_lithium_ne": "Loss of lithium due to loss of active material in negative electrode [mol]",
    "lam_lithium_pe": "Loss of lithium due to loss of active material in positive electrode [mol]",
    "active_fraction_ne": "X-averaged negative electrode active material volume fraction",
    "active_fraction_pe": "X-averaged positive electrode active material volume fraction",
    "concentration_ne": "X-averaged negative particle concentration [mol.m-3]",
    "concentration_pe": "X-averaged positive particle concentration [mol.m-3]",
    "temperature": "Volume-averaged cell temperature [K]",
    "sei": "X-averaged negative SEI concentration [mol.m-3]",
    "plated": "X-averaged negative lithium plating concentration [mol.m-3]",
    "dead": "X-averaged negative dead lithium concentration [mol.m-3]",
}
"""Short name of each block of the state vector → the PyBaMM variable it is."""


@dataclass(frozen=True)
class Electrode:
    """What lithium bookkeeping needs of one electrode."""

    volume: float
    """Electrode volume (all parallel sheets) [m3]."""
    active_fraction: float
    """First-life active material volume fraction [1]."""
    maximum_concentration: float
    """[mol.m-3]"""
    shell_weights: np.ndarray
    """Weights of the particle average over radial points, shape `(points,)`, summing to 1."""

    @property
    def capacity(self) -> float:
        """First-life lithium sites [mol]."""
        return self.volume * self.active_fraction * self.maximum_concentration


@dataclass(frozen=True, eq=False)
class CellModel:
    """A lowered cell: functions of `(states, lanes)` arrays, and the constants around them. Compared by identity."""

    evaluate: Callable[[Float[Array, "states lanes"], Inputs], dict[str, Float[Array, "n lanes"]]]
    """Right-hand side (`rhs`) and terminal voltage (`voltage` [V]); unused outputs cost nothing once compiled."""
    rows: Mapping[str, slice]
    """Rows of the state vector by the short names of `STATES`."""
    initial_state: np.ndarray
    """PyBaMM's fresh initial state, shape `(states,)`."""
    scale: np.ndarray
    """Physical value of one unit of each row of the state vector, shape `(states,)`."""
    reference: np.ndarray
    """Physical value at zero of each row of the state vector, shape `(states,)`."""
    negative: Electrode
    positive: Electrode
    lithium_per_sei: float
    """Moles of lithium in a mole of SEI [1]."""
    nominal_capacity: float
    """First-life nameplate capacity [A.h]."""
    nameplate_energy: float
    """First-life nameplate energy [W.h]."""
    voltage_limits: tuple[float, float]
    """Lower and upper cut-off [V]."""
    reference_temperature: float
    """[K]"""
    inputs: Mapping[str, float]
    """PyBaMM input parameters besides current and ambient temperature, with the parameter set's values."""

    def rhs(self, y: Float[Array, "states lanes"], inputs: Inputs) -> Float[Array, "states lanes"]:
        """Time derivative of the state [1/s]."""
        return self.evaluate(y, inputs)["rhs"]

    def voltage(self, y: Float[Array, "states lanes"], inputs: Inputs) -> Float[Array, "1 lanes"]:
        """Terminal voltage [V]."""
        return self.evaluate(y, inputs)["voltage"]

    def physical(self, y: Float[Array, "states lanes"], name: str) -> Float[Array, "n lanes"]:
        """Values of one block of the state in PyBaMM's units."""
        rows = self.rows[name]
        return self.reference[rows, None] + self.scale[rows, None] * y[rows]

    def scaled(self, values: Float[Array, "n lanes"], name: str) -> Float[Array, "n lanes"]:
        """Rows of the state vector that stand for physical values of one block: the inverse of `physical`."""
        rows = self.rows[name]
        return (values - self.reference[rows, None]) / self.scale[rows, None]

    def mean_concentration(self, y: Float[Array, "states lanes"], side: Side) -> Float[Array, "1 lanes"]:
        """Particle-average lithium concentration of one electrode [mol.m-3]."""
        electrode = self.negative if side == "ne" else self.positive
        values = self.physical(y, f"concentration_{side}")
        return jnp.sum(electrode.shell_weights[:, None] * values, axis=0, keepdims=True)

    @property
    def electrodes(self) -> tuple[tuple[Side, Electrode], tuple[Side, Electrode]]:
        """Both electrodes by the suffix of their states."""
        return ("ne", self.negative), ("pe", self.positive)

    @cached_property
    def fresh_lithium(self) -> float:
        """First-life lithium inventory of both particles [mol]."""
        y = jnp.asarray(self.initial_state)[:, None]
        negative, positive = (
            electrode.volume * electrode.active_fraction * self.mean_concentration(y, side)
            for side, electrode in self.electrodes
        )
        return float((negative + positive)[0, 0])


def build_cell(chemistry: Chemistry, varied: tuple[str, ...] = ()) -> CellModel:
    """Discretise the PyBaMM model and lower it.

    Parameters
    ----------
    chemistry
        Model, parameter set and mesh.
    varied
        Names of PyBaMM parameters that may differ from lane to lane.

    Raises
    ------
    KeyError
        When a parameter of `chemistry.parameters` or `varied` is not in the parameter set, or is not a number.
    LoweringError
        When the discretised model holds a symbol without a JAX form.
    """
    values = parameter_values(chemistry.parameter_set)
    for name in (*chemistry.parameters, *varied):
        if not isinstance(values.get(name), int | float):
            raise KeyError(f"{name!r} is not a scalar parameter of the PyBaMM set {chemistry.parameter_set}")
    values.update(dict(chemistry.parameters))
    defaults = {name: float(values[name]) for name in varied}
    constants = pybamm.ParameterValues(dict(values))
    values.update(dict.fromkeys((CURRENT, AMBIENT, *varied), "[input]"))
    arrhenius_lam(values, constants, varied)

    model, outputs = _discretise(chemistry, values)
    rows, scale, reference = _rows(model)
    states = model.concatenated_rhs.size
    missing = states - sum(r.stop - r.start for r in rows.values())
    if missing:
        raise KeyError(f"the PyBaMM model has {missing} states that fadecast.cell.model.STATES does not name")
    inputs = {CURRENT: 0.0, AMBIENT: float(constants["Ambient temperature [K]"]), **defaults}
    nominal = float(constants["Nominal cell capacity [A.h]"])
    initial = model.concatenated_initial_conditions.evaluate(inputs=inputs)
    return CellModel(
        evaluate=lower({"rhs": model.concatenated_rhs, "voltage": outputs["voltage"]}),
        rows=rows,
        initial_state=np.asarray(initial, dtype=float).ravel(),
        scale=scale,
        reference=reference,
        negative=_electrode(constants, "Negative", outputs["average_ne"], rows["concentration_ne"], states),
        positive=_electrode(constants, "Positive", outputs["average_pe"], rows["concentration_pe"], states),
        lithium_per_sei=float(constants["Ratio of lithium moles to SEI moles"]),
        nominal_capacity=nominal,
        nameplate_energy=nominal * chemistry.nameplate_voltage,
        voltage_limits=(
            float(constants["Lower voltage cut-off [V]"]),
            float(constants["Upper voltage cut-off [V]"]),
        ),
        reference_temperature=float(constants["Reference temperature [K]"]),
        inputs=defaults,
    )


def parameter_values(parameter_set: str) -> pybamm.ParameterValues:
    """Return a PyBaMM parameter set with the parameters that fadecast adds, which change nothing by default."""
    values = pybamm.ParameterValues(parameter_set)
    values.update(dict.fromkeys(LAM_ENERGY.values(), 0.0), check_already_exists=False)
    return values


def arrhenius_lam(
    values: pybamm.ParameterValues, constants: pybamm.ParameterValues, varied: tuple[str, ...] = ()
) -> None:
    """Give both LAM rates an Arrhenius law about the reference temperature, in place."""
    reference = float(constants["Reference temperature [K]"])
    for side, name in LAM_RATE.items():
        rate, energy = (
            pybamm.InputParameter(each) if each in varied else float(constants[each])
            for each in (name, LAM_ENERGY[side])
        )
        values.update({name: partial(_arrhenius, rate, energy, reference)})


def _arrhenius(
    rate: pybamm.Symbol | float, energy: pybamm.Symbol | float, reference: float, temperature: pybamm.Symbol
) -> pybamm.Symbol:
    return rate * pybamm.exp(energy / pybamm.constants.R * (1 / reference - 1 / temperature))


def pybamm_model(chemistry: Chemistry) -> tuple[pybamm.BaseModel, dict[str, int]]:
    """Return the undiscretised PyBaMM model and its mesh sizes: what the lowered cell and its reference share."""
    model = pybamm.lithium_ion.SPM(chemistry.options)
    points = {"x_n": _X_POINTS, "x_s": _X_POINTS, "x_p": _X_POINTS}
    return model, points | {"r_n": chemistry.particle_points, "r_p": chemistry.particle_points}


def _discretise(
    chemistry: Chemistry, values: pybamm.ParameterValues
) -> tuple[pybamm.BaseModel, dict[str, pybamm.Symbol]]:
    """Discretise the model, the terminal voltage and the particle averages."""
    model, points = pybamm_model(chemistry)
    geometry = model.default_geometry
    values.process_model(model)
    values.process_geometry(geometry)
    mesh = pybamm.Mesh(geometry, model.default_submesh_types, points)
    discretisation = pybamm.Discretisation(mesh, model.default_spatial_methods)
    discretisation.process_model(model)
    names = {
        "voltage": "Voltage [V]",
        "average_ne": "Average negative particle concentration [mol.m-3]",
        "average_pe": "Average positive particle concentration [mol.m-3]",
    }
    outputs = {
        short: discretisation.process_symbol(values.process_symbol(model.variables[name]))
        for short, name in names.items()
    }
    return model, outputs


def _rows(model: pybamm.BaseModel) -> tuple[dict[str, slice], np.ndarray, np.ndarray]:
    """Find the rows of every state by short name, and the scale and reference of every row."""
    variables = {variable.name: (variable, slices[0]) for variable, slices in model.y_slices.items()}
    rows = {short: variables[name][1] for short, name in STATES.items() if name in variables}
    scale, reference = np.ones(model.concatenated_rhs.size), np.zeros(model.concatenated_rhs.size)
    for variable, where in variables.values():
        scale[where] = variable.scale.evaluate()
        reference[where] = variable.reference.evaluate()
    return rows, scale, reference


def _electrode(
    constants: pybamm.ParameterValues, side: str, average: pybamm.Symbol, rows: slice, states: int
) -> Electrode:
    area = (
        constants["Electrode height [m]"]
        * constants["Electrode width [m]"]
        * constants["Number of electrodes connected in parallel to make a cell"]
    )
    # The average is linear in the state, so its value on unit vectors is its weights, PyBaMM's own.
    weights = np.asarray(lower({"average": average})(jnp.eye(states), {})["average"])[0, rows]
    return Electrode(
        volume=float(constants[f"{side} electrode thickness [m]"] * area),
        active_fraction=float(constants[f"{side} electrode active material volume fraction"]),
        maximum_concentration=float(constants[f"Maximum concentration in {side.lower()} electrode [mol.m-3]"]),
        shell_weights=weights / weights.sum(),
    )
