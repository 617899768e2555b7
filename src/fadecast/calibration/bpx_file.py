"""A diagnosed cell as a BPX file (Battery Parameter eXchange, version 1.1), for PyBaMM and other programs.

What slow curves tell comes from the posterior: capacities, stoichiometry window, open-circuit potentials. Geometry,
transport and kinetics are those of a PyBaMM parameter set, whose area is scaled to the cell. The file describes the
cell as it is now; its losses since another curve are noted under `User-defined`, not under `Degradation`, where a
program might take them off once more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpx
import numpy as np
import pybamm

from fadecast.calibration.half_cell import LARGEST_SHARE, POINTS, HalfCell, Potential, falling
from fadecast.cell.balance import FARADAY
from fadecast.cell.bpx_set import read_bpx
from fadecast.cell.expression import evaluate
from fadecast.cell.model import parameter_values

_TABLE = 251
"""Points of a table."""
_WARMER = 10.0  # [K]
_SALT = np.linspace(50.0, 3000.0, 60)  # [mol.m-3]
_SIDES = {"Negative": "ne", "Positive": "pe"}


def bpx_object(
    parameter_set: str,
    potentials: Mapping[str, Potential],
    state: Mapping[str, float],
    voltage_limits: tuple[float, float],
    nominal_capacity: float,
    title: str,
    losses: Mapping[str, float],
) -> dict[str, Any]:
    """Return the content of a BPX file of a diagnosed cell.

    Parameters
    ----------
    parameter_set
        PyBaMM set that gives geometry, transport and kinetics.
    potentials
        Open-circuit potentials, under `Negative` and `Positive`.
    state
        Means of the posterior, by the names of `fadecast.variables`.
    voltage_limits
        Of the empty and the full cell [V].
    nominal_capacity
        Of the cell [A.h].
    title
        Of the file.
    losses
        Since another curve, to note [1].

    Raises
    ------
    ValueError
        When an electrode would have to be more than solid, or the set lacks what is needed.
    """
    try:
        return _content(parameter_set, potentials, state, voltage_limits, nominal_capacity, title, losses)
    except (KeyError, TypeError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"the PyBaMM set {parameter_set} lacks what a BPX file needs ({reason})") from None


def _content(
    parameter_set: str,
    potentials: Mapping[str, Potential],
    state: Mapping[str, float],
    voltage_limits: tuple[float, float],
    nominal_capacity: float,
    title: str,
    losses: Mapping[str, float],
) -> dict[str, Any]:
    values = parameter_values(parameter_set)
    reference = float(values["Reference temperature [K]"])
    scale = nominal_capacity / float(values["Nominal cell capacity [A.h]"])
    area = float(values["Electrode height [m]"] * values["Electrode width [m]"]) * scale
    pairs = float(values["Number of electrodes connected in parallel to make a cell"])
    electrodes = {
        f"{side} electrode": _electrode(values, side, potentials[side], state, area * pairs, reference)
        for side in _SIDES
    }
    cell = {
        "Electrode area [m2]": area,
        "External surface area [m2]": float(values["Cell cooling surface area [m2]"]) * scale,
        "Volume [m3]": float(values["Cell volume [m3]"]) * scale,
        "Number of electrode pairs connected in parallel to make a cell": round(pairs),
        "Lower voltage cut-off [V]": voltage_limits[0],
        "Upper voltage cut-off [V]": voltage_limits[1],
        "Nominal cell capacity [A.h]": nominal_capacity,
        "Reference temperature [K]": reference,
        **_lumped(values),
    }
    return {
        "Header": {
            "BPX": "1.1.0",
            "Title": title,
            "Description": "Electrodes as diagnosed from a slow curve by fadecast, means of the posterior; geometry, "
            f"transport and kinetics of the PyBaMM parameter set {parameter_set}",
            "Model": "DFN",
        },
        "Parameterisation": {
            "Cell": cell,
            "Electrolyte": _electrolyte(values, reference),
            **electrodes,
            "Separator": _porous(values, "Separator"),
            "User-defined": {f"{name} (in this file already)": value for name, value in losses.items()},
        },
        "State": {
            "Initial conditions": {
                "Initial state-of-charge": 1.0,
                "Initial temperature [K]": reference,
                "Initial electrolyte concentration [mol.m-3]": float(
                    values["Initial concentration in electrolyte [mol.m-3]"]
                ),
            },
            "Thermal environment": {
                "Ambient temperature [K]": reference,
                "Heat transfer coefficient [W.m-2.K-1]": float(values["Total heat transfer coefficient [W.m-2.K-1]"]),
            },
        },
    }


def bpx_half_cell(path: Path, side: str, phase: str = "") -> HalfCell:
    """Return the potential that a BPX file gives a material.

    Parameters
    ----------
    path
        JSON file.
    side
        `negative` or `positive`.
    phase
        `Primary` or `Secondary` for the first or second material of a blended electrode.

    Raises
    ------
    ValueError
        When it is no BPX file, or has no such material.
    """
    place = np.linspace(0.0, 1.0, POINTS)
    found = getattr(read_bpx(path).parameterisation, f"{side}_electrode")
    materials = list(found.particle.values()) if hasattr(found, "particle") else [found]
    number = {"": 0, "Primary": 0, "Secondary": 1}[phase]
    if number >= len(materials) or bool(phase) != (len(materials) > 1):
        raise ValueError(f"{path}: its {side} electrode has {len(materials)} materials; phase is {phase!r}")
    ocp = getattr(materials[number], "ocp", None)
    if isinstance(ocp, bpx.Function):
        return HalfCell(place, falling(evaluate(str(ocp), place)))
    if not isinstance(ocp, bpx.InterpolatedTable) or not ocp.x:
        raise ValueError(f"{path}: its {side} OCP is {ocp!r:.60}; must be a formula or a table")
    order = np.argsort(ocp.x)
    return HalfCell(place, falling(np.interp(place, np.asarray(ocp.x)[order], np.asarray(ocp.y)[order])))


def _electrode(
    values: pybamm.ParameterValues,
    side: str,
    potential: Potential,
    state: Mapping[str, float],
    area: float,
    reference: float,
) -> dict[str, Any]:
    key = f"{side} electrode"
    most = float(values[f"Maximum concentration in {key.lower()} [mol.m-3]"])
    thickness, radius = float(values[f"{key} thickness [m]"]), float(values[f"{side} particle radius [m]"])
    name = _SIDES[side]
    fraction = state[f"electrode_capacity_{name}"] * 3600.0 / (FARADAY * most * thickness * area)
    porosity = float(values[f"{key} porosity"])
    if fraction + porosity > 1.0:
        raise ValueError(
            f"the {side.lower()} electrode would be {fraction:.2f} active material and {porosity:.2f} pores in the "
            "geometry of the parameter set; choose a set of a cell like this one"
        )
    window = sorted(state[f"stoichiometry_{name}_{end}"] for end in ("empty", "full"))
    place = np.linspace(0.0, 1.0, _TABLE)
    diffusivity, diffusivity_energy = _thermal(values, f"{side} particle diffusivity [m2.s-1]", (place,), reference)
    at_half = (np.array([1000.0]), np.array([0.5 * most]), np.array([most]))
    exchange, exchange_energy = _thermal(values, f"{key} exchange-current density [A.m-2]", at_half, reference)
    share = state.get("second_share_ne", 0.0) if side == "Negative" else 0.0
    solid = float(values[f"{key} active material volume fraction"])
    tortuosity = float(values.get(f"{key} Bruggeman coefficient (electrode)", 1.5))
    return {
        **_porous(values, key),
        "Conductivity [S.m-1]": float(values[f"{key} conductivity [S.m-1]"]) * solid**tortuosity,
        "Minimum stoichiometry": window[0],
        "Maximum stoichiometry": window[1],
        "Maximum concentration [mol.m-3]": most,
        "Particle radius [m]": radius,
        "Surface area per unit volume [m-1]": 3.0 * fraction / radius,
        "Diffusivity [m2.s-1]": _pairs(place, diffusivity),
        "Diffusivity activation energy [J.mol-1]": diffusivity_energy,
        "OCP [V]": _pairs(np.linspace(0.0, 1.0, POINTS), _row(potential, share)),
        "Entropic change coefficient [V.K-1]": _entropic(values, key, place),
        "Reaction rate constant [mol.m-2.s-1]": float(exchange[0]) / (0.5 * FARADAY),
        "Reaction rate constant activation energy [J.mol-1]": exchange_energy,
    }


def _entropic(values: pybamm.ParameterValues, key: str, place: np.ndarray) -> Any:
    given = values.get(f"{key} OCP entropic change [V.K-1]", 0.0)
    if not callable(given):
        return float(given)
    return _pairs(place, np.broadcast_to(np.ravel(values.evaluate(given(pybamm.Vector(place)))), place.shape))


def _row(potential: Potential, share: float) -> np.ndarray:
    """Return the potential of an electrode at even stoichiometries; two materials as one."""
    table = np.asarray(potential.table)
    shares = np.linspace(0.0, LARGEST_SHARE, len(table)) if potential.composite else np.zeros(1)
    return np.asarray([np.interp(share, shares, column) for column in table.T])


def _electrolyte(values: pybamm.ParameterValues, reference: float) -> dict[str, Any]:
    found: dict[str, Any] = {"Cation transference number": float(values["Cation transference number"])}
    for quantity, units in (("Diffusivity", "m2.s-1"), ("Conductivity", "S.m-1")):
        value, energy = _thermal(values, f"Electrolyte {quantity.lower()} [{units}]", (_SALT,), reference)
        found |= {f"{quantity} [{units}]": _pairs(_SALT, value), f"{quantity} activation energy [J.mol-1]": energy}
    return found


def _porous(values: pybamm.ParameterValues, key: str) -> dict[str, float]:
    porosity = float(values[f"{key} porosity"])
    exponent = float(values.get(f"{key} Bruggeman coefficient (electrolyte)", 1.5))
    return {
        "Thickness [m]": float(values[f"{key} thickness [m]"]),
        "Porosity": porosity,
        "Transport efficiency": porosity**exponent,
    }


def _lumped(values: pybamm.ParameterValues) -> dict[str, float]:
    """Average density and heat capacity over the layers."""
    outer, inner = "current collector", "electrode"
    layers = (f"Negative {outer}", f"Negative {inner}", "Separator", f"Positive {inner}", f"Positive {outer}")
    thick, dense, warm = (
        np.array([float(values[f"{layer} {name}"]) for layer in layers])
        for name in ("thickness [m]", "density [kg.m-3]", "specific heat capacity [J.kg-1.K-1]")
    )
    return {
        "Density [kg.m-3]": float((thick * dense).sum() / thick.sum()),
        "Specific heat capacity [J.K-1.kg-1]": float((thick * dense * warm).sum() / (thick * dense).sum()),
    }


def _thermal(
    values: pybamm.ParameterValues, name: str, arguments: tuple[np.ndarray, ...], reference: float
) -> tuple[np.ndarray, float]:
    """Return a quantity at the reference temperature, and its activation energy [J.mol-1]."""
    given = values[name]
    size = len(arguments[0])
    if not callable(given):
        return np.full(size, float(given)), 0.0
    vectors = [pybamm.Vector(each) for each in arguments]

    def at(temperature: float) -> np.ndarray:
        found = values.evaluate(given(*vectors, pybamm.Scalar(temperature)))
        return np.broadcast_to(np.asarray(found, dtype=float).ravel(), (size,))

    here, warmer = at(reference), at(reference + _WARMER)
    inverse = 1.0 / reference - 1.0 / (reference + _WARMER)
    energy = np.log(warmer / here) * pybamm.constants.R.value / inverse
    return here, float(np.median(energy))


def _pairs(x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    return {"x": [float(f"{value:.9g}") for value in x], "y": [float(f"{value:.9g}") for value in y]}
