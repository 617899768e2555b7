"""Which chemistries can be forecast over years: those whose ageing a slow state carries and time steps can follow.

More can be evaluated (`docs/reference/coverage.md`). A state that a slow state does not carry would start fresh at
every lift, so what is not listed here is refused rather than forecast wrongly.
"""

from collections.abc import Iterator, Mapping

from fadecast.cell.chemistry import Chemistry, PerPhase

_POTENTIALS = "a cell made from a slow state, its window and its check-ups solve no surface potentials"

ADMITTED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "lithium_plating": (
        ("partially reversible",),
        "a slow state carries dead lithium, and no plated lithium from day to day",
    ),
    "thermal": (("lumped",), "packs differ in temperature"),
    "contact_resistance": (("true",), "packs differ in resistance"),
    "particle_phases": (("1",), "a slow state carries one active material for each electrode"),
    "open_circuit_potential": (("single",), "no slow state carries hysteresis"),
    "particle": (("Fickian diffusion",), "time steps follow concentrations along the radius"),
    "diffusivity": (("single",), "time steps take one diffusivity for both directions"),
    "exchange_current_density": (("single",), "time steps take one rate for both directions"),
    "intercalation_kinetics": (("symmetric Butler-Volmer",), _POTENTIALS),
    "surface_form": (("false",), _POTENTIALS),
    "x_average_side_reactions": (("true",), "a slow state carries averages"),
}
"""Field of `Chemistry` → values that can be forecast, and why no others."""

_CRACKING = "swelling and cracking"
_UNMESHED_SETS = ("Bonkile2024", "Chen2020_composite", "MSMR_Example")


def forecast_problems(chemistry: Chemistry) -> Iterator[str]:
    """Say what keeps a chemistry from being forecast: key, value, what is allowed and why."""
    for key, (allowed, why) in ADMITTED.items():
        value = getattr(chemistry, key)
        if value is not None and not set(_flat(value)) <= set(allowed):
            yield f"{key}: got {_shown(value)}; must be {allowed[0]} in a forecast: {why}"
    for key in ("sei_porosity_change", "lithium_plating_porosity_change"):
        if getattr(chemistry, key) == "true" and chemistry.model == "SPM":
            yield f"{key}: got true; must be false in a forecast by an SPM, which has no pores; set model to SPMe"
    if chemistry.sei in ("none", "constant"):
        yield f"sei: got {chemistry.sei}; must be a law of growth in a forecast: a slow state carries SEI"
    if "none" in _flat(chemistry.loss_of_active_material):
        value = _shown(chemistry.loss_of_active_material)
        yield f"loss_of_active_material: got {value}; must be a law for both electrodes in a forecast"
    mechanics = chemistry.particle_mechanics
    negative, positive = (mechanics, mechanics) if isinstance(mechanics, str) else mechanics
    if negative != _CRACKING or positive == _CRACKING:
        yield (
            f"particle_mechanics: got {_shown(mechanics)}; must be [{_CRACKING}, swelling only] or [{_CRACKING}, none] "
            "in a forecast: a slow state carries cracks of the negative electrode"
        )
    if chemistry.source in _UNMESHED_SETS:
        yield (
            f"parameter_set: got {chemistry.parameter_set}; must be one of single particles of Fickian diffusion in a "
            "forecast"
        )


def _flat(value: PerPhase[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(part for each in value for part in _flat(each))


def _shown(value: PerPhase[str]) -> str:
    return value if isinstance(value, str) else f"[{', '.join(_shown(each) for each in value)}]"
