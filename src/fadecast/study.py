"""The study: what a run is made of. Strict, frozen, and checked as a whole.

A study file is checked as a whole before anything is written, and all that is wrong is said in one message: file,
key, value and what is allowed.
"""

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from fadecast.calibration.shipped_rates import SHIPPED, posterior
from fadecast.cell.model import AMBIENT, CONTACT_RESISTANCE, CURRENT, parameter_values
from fadecast.decades.admitted import forecast_problems
from fadecast.decades.years import DAYS_PER_YEAR, Decades
from fadecast.document import Document, read_document, shown
from fadecast.duty import Dispatch, Duty, Site
from fadecast.duty.trace import read_trace
from fadecast.duty.weather_file import climate_of
from fadecast.economics import Economics
from fadecast.ensemble import Execution
from fadecast.formats import BPX_SUFFIX, CLIMATE_SUFFIXES, POSTERIOR_SUFFIX
from fadecast.operated import Cell
from fadecast.pack.sharing import Fleet
from fadecast.population import Population
from fadecast.population.posterior_rates import fitted_chemistries, holds, law_of, posterior_parameters
from fadecast.population.retirement import sample_retired
from fadecast.population.split import diagnosed
from fadecast.population.triage import error_rates
from fadecast.validation import suggestion
from fadecast.validation import validated as validated
from fadecast.warranty import Warranty


class Pricing(BaseModel):
    """What pricing an existing forecast needs: the part of a study that names it and says what is promised."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Names the study and its folder: letters, digits, `_` and `-`."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Seed of every random number of the study."""
    warranty: Warranty = Warranty()
    """What is promised and how it is priced."""

    @property
    def pack_energy_kwh(self) -> float:
        """First-life nameplate energy of a pack [kWh]."""
        return Dispatch().pack_kwh


class Study(Pricing):
    """A whole study: site, duty, cell, packs, years and price."""

    packs: Annotated[int, Ge(1), Le(10_000_000)]
    """Packs of the site in each draw."""
    draws: Annotated[int, Ge(1), Le(100_000)]
    """Draws of what is not known and common to all packs: weather, workload, rates."""
    years: Annotated[float, Gt(0.0), Le(50.0)]
    """Length of the forecast [year]."""
    site: Site = Site()
    """Where the battery stands."""
    duty: Duty = Duty()
    """What the battery is asked to do."""
    cell: Cell = Cell()
    """The cell model and how it is operated."""
    fleet: Fleet = Fleet()
    """How the packs of a site serve it together."""
    population: Population = Population()
    """The packs at the start of second life."""
    decades: Decades = Decades()
    """How years are made of days."""
    economics: Economics | None = None
    """What a kWh of the site costs, with fade and warranty inside; needs one site whose packs feel each other. Null:
    not worked out."""
    execution: Execution = Execution()
    """How the work is divided; no part of a study's identity."""

    @property
    def simulated_packs(self) -> int:
        """Packs of a draw that are forecast: all of them, or those that stand for the others."""
        chosen = self.population.representatives
        return self.packs if chosen is None else chosen * self.fleet.sites

    @property
    def pack_energy_kwh(self) -> float:
        """First-life nameplate energy of a pack [kWh]."""
        return self.duty.dispatch.pack_kwh

    @model_validator(mode="after")
    def _sections_agree(self) -> "Study":
        unfit = [f"cell.chemistry.{problem}" for problem in forecast_problems(self.cell.chemistry)]
        # A result opens where the file of the cell is not.
        named = _parameter_problems(self) if self.cell.chemistry.bpx is None else ()
        problems = [*_time_problems(self), *named, *unfit]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file: `check_study` of `fadecast.document.read_document`."""
    return check_study(read_document(path, overrides))


def check_study(document: Document) -> Study:
    """Return the study that a file describes.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    study = validated(Study, document)
    checks = (_cell_problems, _climate_problems, _trace_problems, _band_problems, _posterior_problems)
    problems = [problem for check in checks for problem in check(study)]
    if problems:
        raise document.refuse(problems)
    return study


def check_pricing(document: Document) -> Pricing:
    """Return what a file says of the price: it holds `name`, `seed` and `warranty` only, or a whole study.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    if document.content.keys() <= Pricing.model_fields.keys():
        return validated(Pricing, document)
    return check_study(document)


def study_of(content: str) -> Study:
    """Return the study that was stored as JSON.

    Raises
    ------
    pydantic.ValidationError
        When it is not a study of this version.
    """
    return Study.model_validate_json(content)


def plain_study(study: Pricing) -> dict[str, Any]:
    """Return all that identifies a study as plain data: everything but how the work is divided."""
    return study.model_dump(mode="json", exclude={"execution"})


def to_yaml(study: Study) -> str:
    """Write a study with all its defaults; `load_study` gives it back."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _time_problems(study: Study) -> Iterable[str]:
    """Say where lengths of time, or what is done over them, contradict each other."""
    term, step, decades = study.warranty.contract.term_years, study.duty.timestep_minutes, study.decades
    name = "duty.timestep_minutes"
    if term > study.years:
        yield (
            f"warranty.contract.term_years: got {term:g}; must be at most years ({study.years:g}): forecast "
            "longer or shorten the term"
        )
    if decades.load_step_minutes is not None:
        if decades.load_step_minutes % step:
            yield (
                f"decades.load_step_minutes: got {decades.load_step_minutes}; must be whole steps of {name} "
                f"({step} min), or null"
            )
        name, step = "decades.load_step_minutes", decades.load_step_minutes
    if (60.0 * decades.spin_up_hours) % step:
        yield f"decades.spin_up_hours: got {decades.spin_up_hours:g}; must be whole steps of {name} ({step} min)"
    if study.packs % study.fleet.sites:
        yield f"fleet.sites: got {study.fleet.sites}; must divide packs ({study.packs}): every site has as many"
    if study.duty.service == "driving" and study.fleet.sharing != "fixed":
        yield (
            f"fleet.sharing: got {study.fleet.sharing}; must be fixed where duty.service is driving: no car drives "
            "for another"
        )
    chosen, of_site = study.population.representatives, study.packs // study.fleet.sites
    if chosen is not None and chosen > of_site:
        yield f"population.representatives: got {chosen}; must be at most {of_site}, the packs of a site, or null"
    yield from _economics_problems(study)
    if decades.mode == "direct":
        if study.fleet.sharing != "fixed":
            yield (
                f"fleet.sharing: got {study.fleet.sharing}; must be fixed where decades.mode is direct: day by day "
                "packs follow the duty as it was first dispatched"
            )
        lengths = {
            "decades.output_interval_days": decades.output_interval_days,
            "years": study.years * DAYS_PER_YEAR,
        }
        for key, days in lengths.items():
            if abs(days - round(days)) > 1e-6:
                yield f"{key}: got {days:g} days; must be whole days where decades.mode is direct"


def _economics_problems(study: Study) -> Iterable[str]:
    """Say what keeps a kWh of the site from being priced."""
    if study.economics is None:
        return
    if study.warranty.premium.defect_sampling is not None:
        sampled = study.warranty.premium.defect_sampling
        yield f"warranty.premium.defect_sampling: got {sampled:g}; must be null with economics, which count draws once"
    if study.economics.years > study.years:
        yield f"economics.years: got {study.economics.years}; must be at most years ({study.years:g})"
    if study.fleet.sharing == "fixed" or study.fleet.sites > 1:
        yield (
            f"economics: needs one site whose packs feel each other; got fleet.sharing {study.fleet.sharing} and "
            f"fleet.sites {study.fleet.sites}; must be equal, health or remaining_warranty, and 1, or economics null"
        )
    grid, enrolled = study.duty.grid, study.economics.demand_response.kw_per_pack
    reached = study.duty.service == "site" and grid.import_kw_per_pack + grid.export_kw_per_pack > 0.0
    if enrolled > 0.0 and not reached:
        yield (
            f"economics.demand_response.kw_per_pack: got {enrolled:g} where no grid reaches the site; set "
            "duty.grid.export_kw_per_pack or import_kw_per_pack above 0 with duty.service site, or kw_per_pack to 0"
        )


def _parameter_problems(study: Study) -> Iterable[str]:
    """Say which PyBaMM parameters cannot be set, or are set twice."""
    chemistry = study.cell.chemistry
    known = parameter_values(chemistry.source)
    scalars = [name for name in known if isinstance(known.get(name), int | float)]
    setter = {CURRENT: "the duty", AMBIENT: "the duty", CONTACT_RESISTANCE: "the population"}
    fixed = [(name, f"cell.chemistry.parameters.{name}") for name in chemistry.parameters]
    varied = [(rate.name, f"population.rates.{n}.name") for n, rate in enumerate(study.population.rates)]
    drawn: list[tuple[str, str]] = []
    if study.population.rate_posterior is not None:
        law = law_of(chemistry)
        if law is not None:
            drawn = [(name, "population.rate_posterior") for name in posterior_parameters(law)]
        elif not any(forecast_problems(chemistry)):
            yield (
                f"population.rate_posterior: got {shown(study.population.rate_posterior)}; packs draw rates fitted to "
                f"{fitted_chemistries()}; must be null for other laws and sets in cell.chemistry: give rates of its own"
            )
    for name, key in [*drawn, *fixed, *varied]:
        if name not in scalars:
            choice = suggestion(name, scalars) or "; must be one of its names"
            yield f"{key}: {name!r} is not a number of {chemistry.source}{choice}"
        elif name in setter:
            yield f"{key}: {name!r} is set by {setter[name]} already; must be set in one place only"
        setter.setdefault(name, key)


def _cell_problems(study: Study) -> Iterable[str]:
    """Say whether a BPX file describes the cell. Apart from the model, as climates are."""
    name = study.cell.chemistry.bpx
    if name is None:
        return
    if not name.endswith(BPX_SUFFIX):
        yield f"cell.chemistry.bpx: got {shown(name)}, which does not end in {BPX_SUFFIX}"
        return
    try:
        parameter_values(name)
    except ValueError as error:
        yield f"cell.chemistry.bpx: {error}"
        return
    yield from _parameter_problems(study)


def _climate_problems(study: Study) -> Iterable[str]:
    """Say whether weather can be drawn. Apart from the model: a result opens where the climate file is not."""
    climate = study.site.climate
    shipped = [entry.name for entry in (resources.files("fadecast") / "data").iterdir()]
    names = sorted(name[len("weather_") : -len(".json")] for name in shipped if name.startswith("weather_"))
    files = f"a file that ends in {', '.join(CLIMATE_SUFFIXES)}"
    if not climate.endswith(CLIMATE_SUFFIXES):
        if climate not in names:
            yield f"site.climate: got {shown(climate)}; must be {', '.join(names)} or the path of {files}"
        return
    try:
        climate_of(climate)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"site.climate: {climate} holds no climate ({error}); must be {', '.join(names)} or {files}"


def _trace_problems(study: Study) -> Iterable[str]:
    """Say whether a measured load can be read. Apart from the model, as climates are."""
    trace = study.duty.workload.trace
    if trace is None:
        return
    try:
        read_trace(trace)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"duty.workload.trace: {trace.file}: {error}"


def _band_problems(study: Study) -> Iterable[str]:
    """Say whether the measured cells hold packs to sample."""
    population = study.population
    classes = population.candidates
    weights = [share.weight for share in population.classes]
    try:
        sample_retired(study.seed, classes, weights, population.soh_range, 1, 1)
    except ValueError as error:
        yield f"population.soh_range: got {shown(list(population.soh_range))}; {error}"
        return
    try:
        error_rates(population.triage, classes, weights, population.soh_range)
    except ValueError as error:
        yield f"population.triage: {error}"


def _posterior_problems(study: Study) -> Iterable[str]:
    """Say whether diagnosed cells and fitted rates can be read. Apart from the model, as climates are."""
    split, rates = study.population.split.posterior, study.population.rate_posterior
    if split is not None:
        try:
            diagnosed(_named_posterior(split))
        except (OSError, ValueError) as error:
            yield f"population.split.posterior: {error}"
    if rates is not None:
        try:
            found = posterior(rates if rates in SHIPPED else _named_posterior(rates))
        except (OSError, ValueError) as error:
            yield f"population.rate_posterior: {error}; must be {', '.join(SHIPPED)}, the path of such a file, or null"
            return
        law = law_of(study.cell.chemistry)
        if law is not None and not holds(found, law):
            yield (
                f"population.rate_posterior: {rates} holds no draws of the law {law.name} of the "
                f"{law.chemistry.parameter_set} of cell.chemistry; must be one that does, or null"
            )


def _named_posterior(name: str) -> str:
    # By another suffix it was not looked for beside the study file, but wherever the program runs.
    if not name.endswith(POSTERIOR_SUFFIX):
        raise ValueError(f"got {shown(name)}, which does not end in {POSTERIOR_SUFFIX}")
    return name
