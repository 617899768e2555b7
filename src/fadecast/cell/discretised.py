"""The PyBaMM model of a chemistry with its parameter values put in and its equations discretised."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pybamm

from fadecast.cell.chemistry import Chemistry, PybammOptionError, refusal_text
from fadecast.cell.corrected import charge_particles_for_cracks, sum_plating_of_all_phases
from fadecast.cell.parameters import AMBIENT, CURRENT, arrhenius_lam, parameter_values

# The separator and electrode meshes of an SPM only carry x-averages; PyBaMM needs three points.
_X_POINTS = 3


class MissingParameterError(KeyError):
    """A parameter that the model needs, and neither the PyBaMM set nor the supplement has."""


@dataclass(frozen=True, eq=False)
class Discretised:
    """A discretised model: what is lowered, and what PyBaMM can evaluate itself to check it."""

    model: pybamm.BaseModel
    """With `concatenated_rhs` and `concatenated_algebraic`."""
    outputs: Mapping[str, pybamm.Symbol]
    """Discretised output variables by PyBaMM name."""
    constants: pybamm.ParameterValues
    """Parameter values before any became an input."""
    inputs: Mapping[str, float]
    """Default value of every parameter that varies from lane to lane."""


def discretise(chemistry: Chemistry, varied: Sequence[str] = (), outputs: Sequence[str] = ()) -> Discretised:
    """Put the parameter values into the PyBaMM model and discretise it.

    Parameters
    ----------
    chemistry
        Model, options, parameter set and mesh.
    varied
        Names of PyBaMM parameters that become inputs, besides current and ambient temperature.
    outputs
        Names of PyBaMM variables to discretise with the model.

    Raises
    ------
    KeyError
        When a parameter of `chemistry.parameters` or `varied` is not a number of the parameter set, or PyBaMM's
        model has no variable of a name in `outputs`; `MissingParameterError` when the set lacks a parameter.
    ValueError
        When PyBaMM refuses the options, or needs the value of a varied parameter to make the mesh.
    """
    constants = _constants(chemistry, varied)
    values = constants.copy()
    values.update(dict.fromkeys((CURRENT, AMBIENT, *varied), "[input]"))
    arrhenius_lam(values, constants, tuple(varied))
    model, points = pybamm_model(chemistry)
    unknown = [name for name in outputs if name not in model.variables]
    if unknown:
        close = difflib.get_close_matches(unknown[0], list(model.variables), n=2)
        raise KeyError(f"the PyBaMM model has no variable {unknown[0]!r}; near it: {', '.join(close) or 'none'}")
    geometry = model.default_geometry
    try:
        values.process_model(model)
        values.process_geometry(geometry)
        _refuse_inputs(geometry, varied)
        discretisation = pybamm.Discretisation(
            pybamm.Mesh(geometry, submesh_types(model, chemistry), points), model.default_spatial_methods
        )
        discretisation.process_model(model)
        symbols = {n: discretisation.process_symbol(values.process_symbol(model.variables[n])) for n in outputs}
    except KeyError as error:
        raise _missing(chemistry, error) from None
    except (pybamm.OptionError, NotImplementedError, ZeroDivisionError) as error:
        raise PybammOptionError(refusal_text(error)) from None
    return Discretised(model, symbols, constants, {name: float(constants[name]) for name in varied})


def pybamm_model(chemistry: Chemistry, operating_mode: str = "current") -> tuple[pybamm.BaseModel, dict[str, int]]:
    """Return the undiscretised PyBaMM model and its mesh sizes: what the lowered cell and its reference share.

    With SEI on cracks, or plating on two phases, it is PyBaMM's model with a corrected balance (`corrected.py`).

    Raises
    ------
    PybammOptionError
        When PyBaMM refuses the options for this model.
    """
    kind = {"SPM": pybamm.lithium_ion.SPM, "SPMe": pybamm.lithium_ion.SPMe}[chemistry.model]
    try:
        model = kind({**chemistry.options, "operating mode": operating_mode}, build=False)
        if chemistry.sei_on_cracks == "true":
            charge_particles_for_cracks(model)
        sum_plating_of_all_phases(model)
        model.build_model()
    except (pybamm.OptionError, pybamm.ModelError, NotImplementedError) as error:
        raise PybammOptionError(refusal_text(error)) from None
    x_points = _X_POINTS if chemistry.model == "SPM" else chemistry.electrolyte_points
    radial = ("r_n", "r_p", "r_n_prim", "r_p_prim", "r_n_sec", "r_p_sec")
    return model, dict.fromkeys(("x_n", "x_s", "x_p"), x_points) | dict.fromkeys(radial, chemistry.particle_points)


def submesh_types(model: pybamm.BaseModel, chemistry: Chemistry) -> dict[str, pybamm.MeshGenerator]:
    """Return PyBaMM's kind of mesh in each domain, that of particles stretched as the chemistry says."""
    types = dict(model.default_submesh_types)
    if chemistry.particle_stretch:
        stretch = {"side": "right", "stretch": chemistry.particle_stretch}
        finer_outside = pybamm.MeshGenerator(pybamm.Exponential1DSubMesh, stretch)
        types |= {domain: finer_outside for domain in types if domain.endswith(" particle")}
    return types


def _constants(chemistry: Chemistry, varied: Sequence[str]) -> pybamm.ParameterValues:
    values = parameter_values(chemistry.source)
    for name in (*chemistry.parameters, *varied):
        if not isinstance(values.get(name), int | float):
            raise KeyError(f"{name!r} is not a scalar parameter of {chemistry.source}")
    values.update(dict(chemistry.parameters))
    return values


def _refuse_inputs(geometry: pybamm.Geometry, varied: Sequence[str]) -> None:
    """Refuse parameters that the mesh is made of: all lanes share one mesh."""
    limits = [limit for places in geometry.values() for sizes in places.values() for limit in sizes.values()]
    symbols = [symbol for limit in limits if isinstance(limit, pybamm.Symbol) for symbol in limit.pre_order()]
    shaping = sorted({s.name for s in symbols if isinstance(s, pybamm.InputParameter)} & set(varied))
    if shaping:
        raise ValueError(
            f"{', '.join(map(repr, shaping))} cannot vary from lane to lane: PyBaMM makes the mesh from it, and all "
            "lanes share one mesh; set it in the chemistry's parameters instead"
        )


def _missing(chemistry: Chemistry, error: KeyError) -> MissingParameterError:
    found = re.match(r"Parameter '(.+?)' not found", str(error.args[0]))
    name = found[1] if found else str(error.args[0])
    return MissingParameterError(
        f"{chemistry.source} lacks {name!r}, and so does the supplement: choose another set or other options"
    )


def state_variables(model: pybamm.BaseModel) -> dict[str, tuple[pybamm.Variable, slice]]:
    """Return the variable and the rows of every block of the state vector, by PyBaMM name, in order of rows."""
    found = {variable: slices[0] for variable, slices in model.y_slices.items()}
    parts = {child for v in found if isinstance(v, pybamm.ConcatenationVariable) for child in v.children}
    blocks = {variable.name: (variable, rows) for variable, rows in found.items() if variable not in parts}
    return dict(sorted(blocks.items(), key=lambda block: block[1][1].start))


def initial_state(found: Discretised) -> np.ndarray:
    """Return PyBaMM's initial conditions, algebraic guesses after the differential states, shape `(states,)`."""
    ambient = float(found.constants[AMBIENT])
    inputs = {CURRENT: 0.0, AMBIENT: ambient, **found.inputs}
    return np.asarray(found.model.concatenated_initial_conditions.evaluate(inputs=inputs), dtype=float).ravel()
