"""The ageing laws that are held against each other, each a PyBaMM model with the parameters that are not known of it.

Every law has an Arrhenius correction of film growth and of the loss of material, which act as multipliers: of a cell
that is held at one temperature, a rate constant and its temperature dependence are one number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fadecast.cell.model import Chemistry
from fadecast.cell.parameters import LAM_RATE

SEI_DIFFUSIVITY = "SEI solvent diffusivity [m2.s-1]"
REACTION_LAM = "Negative electrode reaction-driven LAM factor [m3.mol-1]"


LawName = Literal["solvent", "electron", "coupled"]


@dataclass(frozen=True)
class Unknown:
    """A PyBaMM parameter that is fitted, on a logarithmic scale."""

    parameter: str
    centre: float
    """Value at 25 degC that is held likely beforehand, in PyBaMM's units."""
    log_sd: float
    """Standard deviation of the natural logarithm beforehand [1]."""
    reach: tuple[float, float]
    """Logarithms of the least and the largest multiple of `centre` that the engine is run at."""
    points: int
    """Values that the engine is run at."""


@dataclass(frozen=True, eq=False)
class AgeingLaw:
    """One way in which cells may age."""

    name: str
    chemistry: Chemistry
    film: tuple[Unknown, ...]
    """Of film growth; all of them follow its Arrhenius law."""
    material: tuple[Unknown, ...] = ()
    """Of loss of material that film growth brings: not a rate, so without a temperature dependence."""

    @property
    def stored(self) -> tuple[Unknown, ...]:
        """What is fitted of cells in storage."""
        return self.film + self.material

    @property
    def cycled(self) -> tuple[Unknown, ...]:
        """What is fitted of cells that cycle."""
        return self.stored + tuple(_STRESS.values())


_STRESS = {side: Unknown(name, 4e-6, 1.5, (-3.0, 1.8), 5) for side, name in LAM_RATE.items()}


def _law(name: str, sei: str, *film: Unknown, material: tuple[Unknown, ...] = ()) -> AgeingLaw:
    loss = "stress and reaction-driven" if material else "stress-driven"
    chemistry = Chemistry(sei=sei, loss_of_active_material=(loss, "stress-driven"))  # type: ignore[arg-type]
    return AgeingLaw(name, chemistry, film, material)


_SOLVENT = Unknown(SEI_DIFFUSIVITY, 5e-21, 1.5, (-4.0, 2.5), 7)

LAWS: Mapping[str, AgeingLaw] = {
    law.name: law
    for law in (
        _law("solvent", "solvent-diffusion limited", _SOLVENT),
        _law(
            "electron",
            "electron-migration limited",
            Unknown("SEI electron conductivity [S.m-1]", 2e-13, 1.5, (-4.0, 3.0), 7),
        ),
        _law(
            "coupled",
            "solvent-diffusion limited",
            _SOLVENT,
            material=(Unknown(REACTION_LAM, 2e-5, 1.0, (-3.0, 1.0), 4),),
        ),
    )
}
"""Solvent that diffuses through the film; electrons that migrate through it, driven by the potential of the electrode
and so faster at high charge; and the first, with negative material lost in proportion to film growth as well."""
