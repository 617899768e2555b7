"""The lowered cell: what the rest of fadecast asks of an electrochemical cell, as functions of `(states, lanes)`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pybamm
from jaxtyping import Array, Float

from fadecast.cell.chemistry import Chemistry
from fadecast.cell.discretised import (
    Discretised,
    discretise,
    initial_state,
    pybamm_model,
    state_variables,
)
from fadecast.cell.lowering import Inputs, lower
from fadecast.cell.parameters import AMBIENT, CONTACT_RESISTANCE, CURRENT, arrhenius_lam, parameter_values
from fadecast.cell.pieces import State
from fadecast.cell.units import Evaluate, Units

__all__ = [
    "AMBIENT",
    "CONTACT_RESISTANCE",
    "CURRENT",
    "STATES",
    "CellModel",
    "Chemistry",
    "Electrode",
    "Side",
    "arrhenius_lam",
    "build_cell",
    "parameter_values",
    "pybamm_model",
]

Side = Literal["ne", "pe"]

VOLTAGE = "Voltage [V]"
ROUGHNESS = "X-averaged negative electrode roughness ratio"
POROSITY = "Porosity"

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
    "sei_cracks": "X-averaged negative SEI on cracks concentration [mol.m-3]",
    "crack_length_pe": "X-averaged positive particle crack length [m]",
    "electrolyte": "Porosity times concentration [mol.m-3]",
    "porosity_ne": "X-averaged negative electrode porosity",
    "porosity_pe": "X-averaged positive electrode porosity",
    "hysteresis_ne": "X-averaged negative electrode hysteresis state",
    "hysteresis_pe": "X-averaged positive electrode hysteresis state",
    "surface_potential_ne": "X-averaged negative electrode surface potential difference [V]",
    "surface_potential_pe": "X-averaged positive electrode surface potential difference [V]",
}
"""Short name of each block of the state vector → the PyBaMM variable it is. A block of one phase of a composite
electrode ends in `_primary` or `_secondary`; blocks that are not listed keep PyBaMM's name."""


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
    """Weights of the particle average over the rows of its concentration, shape `(rows,)`, summing to 1; empty where
    the state of the particle is not a concentration."""

    @property
    def capacity(self) -> float:
        """First-life lithium sites [mol]."""
        return self.volume * self.active_fraction * self.maximum_concentration


@dataclass(frozen=True, eq=False)
class CellModel:
    """A lowered cell: functions of `(states, lanes)` arrays, and the constants around them. Compared by identity."""

    evaluate: Evaluate
    """Right-hand side of the differential states (`rhs`, and by `equations`), residual of the algebraic states
    (`algebraic`, maybe of no rows), terminal voltage (`voltage` [V]), mean solid diffusivities (`diffusivity_ne` …
    [m2.s-1]) where particles are resolved, `ROUGHNESS` where SEI grows on cracks, `POROSITY` where there is salt,
    and each output by PyBaMM name; unused ones cost nothing once compiled."""
    equations: Mapping[str, slice]
    """Rows of each equation of the right-hand side, by its name in `evaluate`; they follow one another."""
    rows: Mapping[str, slice]
    """Rows of the state vector by the short names of `STATES`, else by PyBaMM name."""
    differential: int
    """Number of differential states; they come first, the algebraic ones after."""
    initial_state: np.ndarray
    """PyBaMM's fresh initial state at default inputs, guesses where algebraic, shape `(states,)`."""
    scale: np.ndarray
    """Physical value of one unit of each row of the state vector, shape `(states,)`."""
    reference: np.ndarray
    """Physical value at zero of each row of the state vector, shape `(states,)`."""
    phases: Mapping[str, Electrode]
    """Active materials by the suffix of their states: `ne`, `pe`, or `ne_primary`, `ne_secondary` where two share an
    electrode."""
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
    pores_close: bool
    """Whether films take the pore space of an electrolyte."""
    inputs: Mapping[str, float]
    """PyBaMM input parameters besides current and ambient temperature, with the parameter set's values."""
    initial: Evaluate | None
    """PyBaMM's fresh initial state (`initial`) where a varied parameter is part of it, else None."""

    def fresh(self, lanes: int, inputs: Inputs | None = None) -> Float[Array, "states lanes"]:
        """PyBaMM's fresh initial state at these inputs, those not given being the parameter set's."""
        y = jnp.tile(jnp.asarray(self.initial_state)[:, None], (1, lanes))
        if self.initial is None or inputs is None:
            return y
        given = {name: jnp.full_like(y[:1], value) for name, value in self.inputs.items()} | dict(inputs)
        return self.initial(y, given)["initial"]

    def rhs(self, y: State, inputs: Inputs) -> Float[Array, "states lanes"]:
        """Time derivative of the state [1/s]."""
        return self.evaluate(y, inputs)["rhs"]

    def rates(self, y: State, inputs: Inputs) -> list[Float[Array, "n lanes"]]:
        """Time derivative of the state [1/s] by `equations`; of those that are not used none is computed."""
        values = self.evaluate(y, inputs)
        return [values[name] for name in self.equations]

    def voltage(self, y: State, inputs: Inputs) -> Float[Array, "1 lanes"]:
        """Terminal voltage [V]."""
        return self.evaluate(y, inputs)["voltage"]

    def physical(self, y: State, name: str) -> Float[Array, "n lanes"]:
        """Values of one block of the state in PyBaMM's units."""
        rows = self.rows[name]
        return jnp.asarray(self.reference[rows, None], y.dtype) + jnp.asarray(self.scale[rows, None], y.dtype) * y[rows]

    def scaled(self, values: Float[Array, "n lanes"], name: str) -> Float[Array, "n lanes"]:
        """Rows of the state vector that stand for physical values of one block: the inverse of `physical`."""
        rows = self.rows[name]
        reference, scale = (jnp.asarray(part[rows, None], values.dtype) for part in (self.reference, self.scale))
        return (values - reference) / scale

    def mean_concentration(self, y: Float[Array, "states lanes"], side: str) -> Float[Array, "1 lanes"]:
        """Particle-average lithium concentration of one of the `phases` [mol.m-3]."""
        electrode = self.phases[side]
        rows = self.rows[f"concentration_{side}"]
        weights = electrode.shell_weights[None] * self.scale[None, rows]
        # A product: XLA's sum over an axis costs many times as much.
        scaled = jnp.matmul(jnp.asarray(weights, y.dtype), y[rows], precision="highest")
        return float(electrode.shell_weights @ self.reference[rows]) + scaled

    def electrode_volume(self, side: Side) -> float:
        """Return the volume of one electrode [m3]."""
        return next(phase.volume for name, phase in self.phases.items() if name.startswith(side))

    @property
    def negative(self) -> Electrode:
        """Negative electrode, of one active material."""
        return self.phases["ne"]

    @property
    def positive(self) -> Electrode:
        """Positive electrode, of one active material."""
        return self.phases["pe"]

    @property
    def electrodes(self) -> tuple[tuple[Side, Electrode], tuple[Side, Electrode]]:
        """Both electrodes, of one active material each, by the suffix of their states."""
        return ("ne", self.negative), ("pe", self.positive)

    @cached_property
    def fresh_lithium(self) -> float:
        """First-life lithium inventory of all particles [mol]."""
        # A constant also where it is first asked for inside a program that is being traced.
        with jax.ensure_compile_time_eval():
            y = jnp.asarray(self.initial_state)[:, None]
            each = [
                phase.volume * phase.active_fraction * self.mean_concentration(y, side)
                for side, phase in self.phases.items()
            ]
            return float(sum(each[1:], start=each[0])[0, 0])


@lru_cache(maxsize=16)
def build_cell(chemistry: Chemistry, varied: tuple[str, ...] = (), outputs: tuple[str, ...] = ()) -> CellModel:
    """Discretise the PyBaMM model and lower it; the same cell is made once, so that its programs are traced once.

    Parameters
    ----------
    chemistry
        Model, parameter set and mesh.
    varied
        Names of PyBaMM parameters that may differ from lane to lane.
    outputs
        Names of PyBaMM variables that `evaluate` gives as well.

    Raises
    ------
    KeyError
        When a parameter of `chemistry.parameters` or `varied` is not in the parameter set, or is not a number, when
        PyBaMM has no variable of a name in `outputs`, or the set lacks a parameter that the model needs.
    ValueError
        When PyBaMM refuses the options, or needs the value of a varied parameter to make the mesh.
    LoweringError
        When the discretised model holds a symbol without a JAX form.
    """
    return lowered_cell(chemistry, discretise(chemistry, varied, (*outputs, *needed_outputs(chemistry))), outputs)


def needed_outputs(chemistry: Chemistry) -> tuple[str, ...]:
    """Return the PyBaMM variables that a lowered cell is made from."""
    cracks = (ROUGHNESS,) if chemistry.sei_on_cracks == "true" else ()
    pores = (POROSITY,) if chemistry.model == "SPMe" else ()
    return VOLTAGE, *cracks, *pores, *_averages(chemistry).values(), *_diffusivities(chemistry).values()


def diffusivity_of(concentration: str) -> str:
    """Return the name of the output that is the mean diffusivity of a block of concentrations."""
    return concentration.replace("concentration", "diffusivity")


def lowered_cell(chemistry: Chemistry, found: Discretised, outputs: tuple[str, ...] = ()) -> CellModel:
    """Lower a discretised model that holds the `outputs` and the `needed_outputs`."""
    model, constants = found.model, found.constants
    variables = state_variables(model)
    rows = {short_name(name): where for name, (_, where) in variables.items()}
    equations = _equations(model)
    symbols = {
        **dict(zip(equations, model.concatenated_rhs.children, strict=True)),
        "algebraic": model.concatenated_algebraic,
        "voltage": found.outputs[VOLTAGE],
        **{short: found.outputs[name] for short, name in _diffusivities(chemistry).items()},
        **{name: found.outputs[name] for name in (*outputs, ROUGHNESS, POROSITY) if name in found.outputs},
    }
    units = Units.of(variables, found)
    nominal = float(constants["Nominal cell capacity [A.h]"])
    return CellModel(
        evaluate=units.fixed(lower(symbols), equations),
        equations=equations,
        rows=rows,
        differential=model.concatenated_rhs.size,
        initial_state=initial_state(found),
        scale=units.scale,
        reference=units.reference,
        phases={
            side: _electrode(found, side, found.outputs[average], rows.get(f"concentration_{side}"))
            for side, average in _averages(chemistry).items()
        },
        lithium_per_sei=float(_phase_value(constants, "ne_primary", "Ratio of lithium moles to SEI moles")),
        nominal_capacity=nominal,
        nameplate_energy=nominal * chemistry.nameplate_voltage,
        voltage_limits=(
            float(constants["Lower voltage cut-off [V]"]),
            float(constants["Upper voltage cut-off [V]"]),
        ),
        reference_temperature=float(constants["Reference temperature [K]"]),
        pores_close=_pores_close(chemistry),
        inputs=found.inputs,
        initial=units.initial(found),
    )


def _equations(model: pybamm.BaseModel) -> dict[str, slice]:
    """Return the rows of each equation of the right-hand side."""
    ends = np.cumsum([0, *(child.size for child in model.concatenated_rhs.children)])
    return {f"rate {n}": slice(int(ends[n]), int(ends[n + 1])) for n in range(len(ends) - 1)}


def _pores_close(chemistry: Chemistry) -> bool:
    return chemistry.model == "SPMe" and "true" in (
        chemistry.sei_porosity_change,
        chemistry.lithium_plating_porosity_change,
    )


def short_name(name: str) -> str:
    """Return the short name of a block of the state vector, PyBaMM's where it has none."""
    for phase in ("primary", "secondary"):
        if f" {phase} " in name:
            short = short_name(name.replace(f" {phase} ", " "))
            return f"{short}_{phase}" if short in STATES else name
    return _SHORT.get(name, name)


_SHORT = {
    # Profiles of given shape in the particle carry its average.
    "Average negative particle concentration [mol.m-3]": "concentration_ne",
    "Average positive particle concentration [mol.m-3]": "concentration_pe",
    **{name: short for short, name in STATES.items()},
}


def _averages(chemistry: Chemistry) -> dict[str, str]:
    """Return PyBaMM's name of the average concentration of every active material, by the suffix of its states."""
    counts = chemistry.particle_phases
    both = (counts, counts) if isinstance(counts, str) else counts
    return {
        f"{side}{phase.replace(' ', '_')}": f"Average {electrode}{phase} particle concentration [mol.m-3]"
        for side, electrode, count in zip(("ne", "pe"), ("negative", "positive"), both, strict=True)
        for phase in ([""] if count == "1" else [" primary", " secondary"])
    }


def _diffusivities(chemistry: Chemistry) -> dict[str, str]:
    """Return PyBaMM's name of the mean diffusivity of every active material, by the name of the output."""
    kind = {"Fickian diffusion", "MSMR"}
    named = {
        f"diffusivity_{side}": average.replace("Average", "Volume-averaged").replace(
            "concentration [mol.m-3]", "effective diffusivity [m2.s-1]"
        )
        for side, average in _averages(chemistry).items()
    }
    both = (chemistry.particle,) * 2 if isinstance(chemistry.particle, str) else chemistry.particle
    resolved = {side for side, particle in zip(("ne", "pe"), both, strict=True) if particle in kind}
    return {short: name for short, name in named.items() if short.split("_")[1] in resolved}


def _electrode(found: Discretised, side: str, average: pybamm.Symbol, rows: slice | None) -> Electrode:
    model, constants = found.model, found.constants
    area = (
        constants["Electrode height [m]"]
        * constants["Electrode width [m]"]
        * constants["Number of electrodes connected in parallel to make a cell"]
    )
    name = "Negative" if side.startswith("ne") else "Positive"
    weights = np.ones(0)
    if rows is not None:
        # The average is linear in the concentrations, so its value on unit vectors is its weights, PyBaMM's own.
        states = model.concatenated_rhs.size + model.concatenated_algebraic.size
        inputs = {varied: jnp.full((1, states), value) for varied, value in found.inputs.items()}
        weights = np.asarray(lower({"average": average})(jnp.eye(states), inputs)["average"])[0, rows]
        weights = weights / weights.sum()
    return Electrode(
        volume=float(constants[f"{name} electrode thickness [m]"] * area),
        active_fraction=float(_phase_value(constants, side, f"{name} electrode active material volume fraction")),
        maximum_concentration=float(
            _phase_value(constants, side, f"Maximum concentration in {name.lower()} electrode [mol.m-3]")
        ),
        shell_weights=weights,
    )


def _phase_value(constants: pybamm.ParameterValues, side: str, name: str) -> float:
    """Return a parameter of one phase; PyBaMM puts the phase before the name where an electrode has two."""
    phase = side.partition("_")[2].capitalize()
    full = f"{phase}: {name}"
    return constants[full if full in constants else name]
