"""Which PyBaMM model describes the cell: settings, the PyBaMM options they stand for, and what is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias, TypeVar

import pybamm
from annotated_types import Ge, Gt, Le

from fadecast.settings import settings

T = TypeVar("T")
PerElectrode: TypeAlias = T | tuple[T, T]
PerPhase: TypeAlias = T | tuple[T | tuple[T, T], T | tuple[T, T]]

Switch = Literal["false", "true"]
ParameterSet = Literal[
    "Ai2020",
    "Bonkile2024",
    "Chen2020",
    "Chen2020_composite",
    "Ecker2015",
    "MSMR_Example",
    "Marquis2019",
    "Mohtat2020",
    "NCA_Kim2011",
    "OKane2022",
    "ORegan2022",
    "Prada2013",
    "Ramadass2004",
]
GrowthLaw = Literal[
    "none",
    "constant",
    "reaction limited",
    "reaction limited (asymmetric)",
    "solvent-diffusion limited",
    "electron-migration limited",
    "interstitial-diffusion limited",
    "ec reaction limited",
    "ec reaction limited (asymmetric)",
    "VonKolzenberg2020",
    "tunnelling limited",
]
Plating = Literal["none", "reversible", "partially reversible", "irreversible"]
Mechanics = Literal["none", "swelling only", "swelling and cracking"]
MaterialLoss = Literal[
    "none",
    "stress-driven",
    "asymmetric stress-driven",
    "reaction-driven",
    "current-driven",
    "stress and reaction-driven",
    "asymmetric stress and reaction-driven",
]
OpenCircuit = Literal[
    "single", "current sigmoid", "MSMR", "one-state hysteresis", "one-state differential capacity hysteresis"
]
Particle = Literal["Fickian diffusion", "uniform profile", "quadratic profile", "quartic profile", "MSMR"]
Kinetics = Literal[
    "symmetric Butler-Volmer", "asymmetric Butler-Volmer", "linear", "Marcus", "Marcus-Hush-Chidsey", "MSMR"
]
Option = str | tuple["Option", "Option"]


class PybammOptionError(ValueError):
    """A combination of options that PyBaMM refuses."""


class UnphysicalError(ValueError):
    """A combination of options that PyBaMM accepts and that does not conserve lithium."""


@settings
class Chemistry:
    """Which PyBaMM model and parameter set describe the cell, and how finely it is meshed."""

    model: Literal["SPM", "SPMe"] = "SPM"
    """PyBaMM model class; SPMe has salt transport in the electrolyte."""
    parameter_set: ParameterSet = "OKane2022"
    """PyBaMM parameter set; OKane2022 is the LG M50 with all ageing mechanisms (doi:10.1039/D2CP00417H)."""
    bpx: str | None = None
    """BPX file of the cell, relative to the study file, in the place of `parameter_set`. BPX has no ageing parameters:
    those, and whatever else it lacks, are borrowed as for any set that lacks them. Set `nameplate_voltage` with it."""
    sei: GrowthLaw = "solvent-diffusion limited"
    """PyBaMM law of SEI growth on the negative electrode."""
    sei_on_cracks: Switch = "false"
    """Whether SEI also grows on the cracks of negative particles; needs cracking."""
    sei_porosity_change: Switch = "false"
    """Whether SEI takes pore space; needs SPMe."""
    sei_film_resistance: Literal["none", "distributed", "average"] | None = None
    """How the resistance of SEI enters the overpotential; unset: distributed where SEI grows, else none."""
    lithium_plating: Plating = "partially reversible"
    """PyBaMM law of lithium plating on the negative electrode."""
    lithium_plating_porosity_change: Switch = "false"
    """Whether plated lithium takes pore space; needs SPMe."""
    particle_mechanics: PerElectrode[Mechanics] = ("swelling and cracking", "swelling only")
    """Swelling and cracking of particles, for both electrodes or (negative, positive)."""
    stress_induced_diffusion: PerElectrode[Switch] | None = None
    """Whether stress enhances solid diffusion; unset: where particles swell."""
    loss_of_active_material: PerElectrode[MaterialLoss] = "stress-driven"
    """What active material is lost to, for both electrodes or (negative, positive)."""
    thermal: Literal["isothermal", "lumped"] = "lumped"
    """One temperature, at ambient (isothermal) or from a heat balance (lumped)."""
    contact_resistance: Switch = "true"
    """Whether a series resistance adds to the terminal voltage and heats the cell."""
    particle_phases: PerElectrode[Literal["1", "2"]] = "1"
    """Number of phases of active material; `["2", "1"]` is graphite with silicon."""
    open_circuit_potential: PerPhase[OpenCircuit] = "single"
    """Open-circuit potential, for all electrodes or (negative, positive), each of them maybe (primary, secondary)."""
    particle: PerElectrode[Particle] = "Fickian diffusion"
    """Transport in the particles."""
    diffusivity: PerPhase[Literal["single", "current sigmoid"]] = "single"
    """Whether solid diffusivity differs between charge and discharge."""
    exchange_current_density: PerPhase[Literal["single", "current sigmoid"]] = "single"
    """Whether exchange-current density differs between charge and discharge."""
    intercalation_kinetics: PerElectrode[Kinetics] = "symmetric Butler-Volmer"
    """Kinetics of intercalation; all but the default bring algebraic states."""
    number_of_msmr_reactions: tuple[str, str] | None = None
    """Reactions of the MSMR model in (negative, positive) electrode; `["6", "4"]` for MSMR_Example."""
    surface_form: Literal["false", "differential", "algebraic"] | None = None
    """Whether surface potentials are states; unset: false, algebraic for two phases or other than default kinetics."""
    x_average_side_reactions: Switch = "true"
    """Whether side reactions of an SPMe are uniform through the electrode, as they are in an SPM."""
    particle_points: Annotated[int, Ge(5), Le(200)] = 10
    """Radial points per particle; 10 uniform ones are 2 to 4 % off in crack growth and LAM, 3e-5 in SEI."""
    particle_stretch: Annotated[float, Ge(0), Le(5)] = 0.0
    """Logarithm of how much wider the innermost radial cell of a particle is than the outermost; 0 is uniform."""
    electrolyte_points: Annotated[int, Ge(3), Le(60)] = 20
    """Uniform points in each electrode and the separator of an SPMe; an SPM carries averages only."""
    nameplate_voltage: Annotated[float, Gt(0), Le(5)] = 3.63
    """Nameplate energy over nameplate capacity [V]; LG INR21700-M50 data sheet."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Values that replace those of the parameter set, by PyBaMM name, in PyBaMM's units."""

    def __hash__(self) -> int:
        """Hash what is described: the values of parameters are a mapping, which has no hash."""
        return hash(repr(self))

    def __post_init__(self) -> None:
        for kind in UNPHYSICAL:
            if kind.applies(self):
                raise UnphysicalError(kind.why)
        try:
            pybamm.BatteryModelOptions(dict(self.options))
        except (pybamm.OptionError, NotImplementedError, ValueError) as error:
            raise PybammOptionError(refusal_text(error)) from None

    @property
    def source(self) -> str:
        """What parameter values are read from: the name of a set, or the path of a BPX file."""
        return self.parameter_set if self.bpx is None else self.bpx

    @property
    def options(self) -> dict[str, Option]:
        """PyBaMM options: every field of an option's name, with spaces and hyphens for underscores."""
        given = {name: getattr(self, field) for field, name in OPTION_NAMES.items()}
        # To PyBaMM, naming any kinetics means that they cannot be inverted: the default is chosen by leaving it out.
        if self.intercalation_kinetics == "symmetric Butler-Volmer":
            del given["intercalation kinetics"]
        return {name: value for name, value in given.items() if value is not None}


OPTION_NAMES: Mapping[str, str] = {
    "sei": "SEI",
    "sei_on_cracks": "SEI on cracks",
    "sei_porosity_change": "SEI porosity change",
    "sei_film_resistance": "SEI film resistance",
    "lithium_plating": "lithium plating",
    "lithium_plating_porosity_change": "lithium plating porosity change",
    "particle_mechanics": "particle mechanics",
    "stress_induced_diffusion": "stress-induced diffusion",
    "loss_of_active_material": "loss of active material",
    "thermal": "thermal",
    "contact_resistance": "contact resistance",
    "particle_phases": "particle phases",
    "open_circuit_potential": "open-circuit potential",
    "particle": "particle",
    "diffusivity": "diffusivity",
    "exchange_current_density": "exchange-current density",
    "intercalation_kinetics": "intercalation kinetics",
    "number_of_msmr_reactions": "number of MSMR reactions",
    "surface_form": "surface form",
    "x_average_side_reactions": "x-average side reactions",
}
"""Field of `Chemistry` → PyBaMM option."""


def refusal_text(error: Exception) -> str:
    """Say that PyBaMM refuses, in its own words where it has some."""
    words = "it divides by zero" if isinstance(error, ZeroDivisionError) else " ".join(str(error).split())
    return f"PyBaMM refuses this combination of options: {words}"


VARYING_TRANSFERENCE = ("ORegan2022",)
"""Parameter sets whose cation transference number depends on concentration."""


def _each(value: str | tuple[str, str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class Unphysical:
    """A kind of chemistry that PyBaMM accepts and whose equations make or lose lithium."""

    name: str
    applies: Callable[[Chemistry], bool]
    why: str
    """What is given, what is wrong with it, what to do."""


UNPHYSICAL: tuple[Unphysical, ...] = (
    Unphysical(
        "double layer",
        lambda chemistry: chemistry.surface_form == "differential",
        "surface_form is differential: what charges the double layer is taken from or given to particles and salt "
        "without being lithium; set surface_form to algebraic, which is the same without the double layer",
    ),
    Unphysical(
        "polynomial particles",
        lambda chemistry: bool({"quadratic profile", "quartic profile"} & set(_each(chemistry.particle))),
        "particle is a quadratic or quartic profile: loss of active material and the inventory take PyBaMM's mesh "
        "average of the profile, which is not the average that its equation conserves; set particle to Fickian "
        "diffusion",
    ),
    Unphysical(
        "MSMR with heat",
        lambda chemistry: "MSMR" in _each(chemistry.particle) and chemistry.thermal != "isothermal",
        "particle is MSMR and thermal is lumped: the lithium in a particle depends on its potential and temperature, "
        "and PyBaMM leaves out what a change of temperature adds; set thermal to isothermal, at constant ambient "
        "temperature",
    ),
    Unphysical(
        "transference number that varies, with salt transport",
        lambda chemistry: chemistry.model == "SPMe" and chemistry.source in VARYING_TRANSFERENCE,
        "model is SPMe and the transference number of the set depends on concentration: salt then leaks through the "
        "ends of PyBaMM's mesh, in first order of its width; set model to SPM or choose another set",
    ),
)
"""What is refused because it does not conserve lithium; `tests/cell/test_coverage.py` shows how much each violates."""
