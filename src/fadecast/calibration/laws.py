"""The ageing laws that are held against each other, each a PyBaMM model with the parameters that are not known of it.

Every law has an Arrhenius correction of film growth and of the loss of material, which act as multipliers: of a cell
that is held at one temperature, a rate constant and its temperature dependence are one number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fadecast.cell.chemistry import GrowthLaw, MaterialLoss
from fadecast.cell.model import Chemistry
from fadecast.cell.parameters import LAM_RATE

SEI_DIFFUSIVITY = "SEI solvent diffusivity [m2.s-1]"
REACTION_LAM = "Negative electrode reaction-driven LAM factor [m3.mol-1]"
START_LAM = "Negative active material lost before [1]"
"""No PyBaMM parameter: what a cell had lost at the start of its second life."""


LawName = Literal["solvent", "electron", "coupled"]


@dataclass(frozen=True)
class Unknown:
    """A PyBaMM parameter, or `START_LAM`, that is fitted, on a logarithmic scale."""

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
    stress: tuple[Unknown, ...] = ()
    """Of loss of material by stress, negative electrode first; none where no cell was cycled that could tell."""
    start: tuple[Unknown, ...] = ()
    """Of cycled cells at their start, `START_LAM`; none where they were new."""
    coarse: int | None = None
    """Values of film growth that cycled cells are run at, where they lose little by it; none: those of stored cells."""

    @property
    def stored(self) -> tuple[Unknown, ...]:
        """What is fitted of cells in storage."""
        return self.film + self.material

    @property
    def cycled(self) -> tuple[Unknown, ...]:
        """What is fitted of cells that cycle: parameters of PyBaMM."""
        return self.stored + self.stress

    @property
    def fitted(self) -> tuple[Unknown, ...]:
        """All that is fitted."""
        return self.cycled + self.start

    @property
    def run_at(self) -> tuple[Unknown, ...]:
        """What cycled cells are run at."""
        if self.coarse is None:
            return self.fitted
        return tuple(replace(each, points=self.coarse) for each in self.film) + self.fitted[len(self.film) :]


STRESS = tuple(Unknown(name, 4e-6, 1.5, (-3.0, 1.8), 5) for name in LAM_RATE.values())
_SOLVENT = Unknown(SEI_DIFFUSIVITY, 5e-21, 1.5, (-4.0, 2.5), 7)
_ELECTRON = Unknown("SEI electron conductivity [S.m-1]", 2e-13, 1.5, (-4.0, 3.0), 7)
_REACTION = Unknown(REACTION_LAM, 2e-5, 1.0, (-3.0, 1.0), 7)
_COARSE = 5


def _law(
    name: str,
    chemistry: Chemistry,
    sei: GrowthLaw,
    film: Unknown,
    material: tuple[Unknown, ...],
    stress: tuple[Unknown, ...],
    start: tuple[Unknown, ...],
) -> AgeingLaw:
    loss: MaterialLoss = "stress and reaction-driven" if material else "stress-driven"
    whole = replace(chemistry, sei=sei, loss_of_active_material=(loss, "stress-driven"))
    return AgeingLaw(name, whole, (film,), material, stress, start, coarse=_COARSE if start else None)


def laws_of(
    chemistry: Chemistry,
    material: bool,
    stress: tuple[Unknown, ...] = (),
    start: tuple[Unknown, ...] = (),
    slowest: float = _SOLVENT.reach[0],
) -> Mapping[str, AgeingLaw]:
    """Return the laws of a cell.

    Solvent that diffuses through the film; electrons that migrate through it, driven by the potential of the electrode
    and so faster at high charge; and the first, with negative material lost in proportion to film growth as well.

    Parameters
    ----------
    chemistry
        Of the cell; a law sets its film growth and loss of material.
    material
        Whether loss of material was measured in storage: without it the third law is the first.
    stress
        See `AgeingLaw.stress`.
    start
        See `AgeingLaw.start`; little of what cells then lose is film.
    slowest
        Logarithm of the least multiple of solvent diffusivity that the engine is run at.
    """
    # As fine over a wider reach.
    points = _SOLVENT.points + round(_SOLVENT.reach[0] - slowest)
    solvent = replace(_SOLVENT, reach=(slowest, _SOLVENT.reach[1]), points=points)
    laws = [
        _law("solvent", chemistry, "solvent-diffusion limited", solvent, (), stress, start),
        _law("electron", chemistry, "electron-migration limited", _ELECTRON, (), stress, start),
    ]
    if material:
        laws.append(_law("coupled", chemistry, "solvent-diffusion limited", solvent, (_REACTION,), stress, start))
    return {law.name: law for law in laws}
