"""PyBaMM's models with two balances put right: SEI on cracks and plating on a second phase take lithium from particles.

Without surface states PyBaMM's inverse kinetics give intercalation what the total current leaves after SEI and plating.
SEI on cracks is left out, though its film grows: an SPM then takes the lithium from nowhere, an SPMe from the salt.
PyBaMM's surface forms and its DFN sum all four reactions, and so does the submodel here.

Of a composite electrode PyBaMM sums the plating of its first phase only: it gives the submodel that sums its options in
the place of a name. What plates on the second phase then comes from nowhere.

Every ageing equation stays PyBaMM's.
"""

import pybamm


class CurrentForInverseKinetics(pybamm.kinetics.CurrentForInverseKinetics):  # type: ignore[misc]  # PyBaMM has no types
    """Intercalation current: the total, less SEI, less plating, less SEI on the area of the cracks."""

    def get_coupled_variables(self, variables: dict[str, pybamm.Symbol]) -> dict[str, pybamm.Symbol]:
        """Return PyBaMM's variables with the current of SEI on cracks taken from the particles."""
        domain, name = self.domain_Domain
        # Per area of the cracks, of which there are (roughness - 1) on each area of the particles.
        on_cracks = variables[f"{name} electrode SEI on cracks interfacial current density [A.m-2]"]
        area = variables[f"{name} electrode roughness ratio"] - 1
        total = f"X-averaged {domain} electrode total interfacial current density [A.m-2]"
        left = super().get_coupled_variables({**variables, total: variables[total] - on_cracks * area})
        return {**left, total: variables[total]}


def charge_particles_for_cracks(model: pybamm.lithium_ion.SPM) -> None:
    """Put the submodel above into an SPM or SPMe that is not built yet; a surface form needs none and is left alone."""
    for domain in ("negative", "positive"):
        if f"{domain} interface current" in model.submodels:
            submodel = CurrentForInverseKinetics(model.param, domain, "lithium-ion main", model.options)
            model.submodels[f"{domain} interface current"] = submodel


def sum_plating_of_all_phases(model: pybamm.lithium_ion.SPM) -> None:
    """Give the submodels that sum plating over phases their options, in a model that is not built yet."""
    for domain in ("negative", "positive"):
        name = f"{domain} total lithium plating"
        if name in model.submodels:
            summed = pybamm.lithium_plating.TotalLithiumPlating(model.param, domain, options=model.options)
            model.submodels[name] = summed
