"""What of PyBaMM's options and parameter sets the lowered cell covers; as a script, write `docs/reference/coverage.md`.

Rows are single options, a covering array of all pairs of options, and every parameter set. Each row that builds is held
against PyBaMM's own evaluation and against the lithium balance at random states (`cell_check.py`).
"""

import itertools
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax

from cell_check import EQUILIBRIA, OUTPUTS, disagreement, imbalance, random_states
from fadecast.cell import chemistry as options
from fadecast.cell.chemistry import Chemistry, PybammOptionError, UnphysicalError
from fadecast.cell.discretised import MissingParameterError, discretise, pybamm_model
from fadecast.cell.lowering import LoweringError
from fadecast.cell.model import lowered_cell, needed_outputs

AGREEMENT = 1e-10
"""Largest difference to PyBaMM over the largest value in any lane, and imbalance of lithium, where a row works."""

TABLE = Path(__file__).parents[1] / "docs" / "reference" / "coverage.md"
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "Bonkile2024": {"particle_phases": ("2", "1")},
    "Chen2020_composite": {"particle_phases": ("2", "1")},
    "MSMR_Example": {
        "open_circuit_potential": "MSMR",
        "particle": "MSMR",
        "intercalation_kinetics": "MSMR",
        "number_of_msmr_reactions": ("6", "4"),
    },
}
"""What a parameter set needs to be set beside its name."""
_HALF = "a half-cell, which the full-cell models refuse: it has no negative electrode"
NOT_CELLS: Mapping[str, str] = {
    "Chayambuka2022": "a sodium-ion cell: its inventory is not lithium",
    "ECM_Example": "an equivalent circuit",
    "Ecker2015_graphite_halfcell": _HALF,
    "OKane2022_graphite_SiOx_halfcell": _HALF,
    "Sulzer2019": "a lead-acid cell",
    "Xu2019": _HALF,
}
"""Parameter sets of PyBaMM that `Chemistry` does not offer."""
PLAIN: Mapping[str, Any] = {
    "sei": "none",
    "lithium_plating": "none",
    "particle_mechanics": "none",
    "loss_of_active_material": "none",
    "thermal": "isothermal",
    "contact_resistance": "false",
}
"""No ageing; the ageing that the defaults of `Chemistry` switch on is called full."""
CRACKS: Mapping[str, Any] = {
    "sei_on_cracks": "true",
    "surface_form": "algebraic",
    "sei_film_resistance": "average",
}
_SWITCH = ("false", "true")
VALUES: Mapping[str, tuple[Any, ...]] = {
    "sei": get_args(options.GrowthLaw),
    "sei_on_cracks": _SWITCH,
    "sei_porosity_change": _SWITCH,
    "sei_film_resistance": ("none", "distributed", "average"),
    "lithium_plating": get_args(options.Plating),
    "lithium_plating_porosity_change": _SWITCH,
    "particle_mechanics": (
        *get_args(options.Mechanics),
        ("swelling and cracking", "swelling only"),
        ("none", "swelling only"),
    ),
    "stress_induced_diffusion": _SWITCH,
    "loss_of_active_material": (*get_args(options.MaterialLoss), ("reaction-driven", "current-driven")),
    "thermal": ("isothermal", "lumped"),
    "contact_resistance": _SWITCH,
    "particle": get_args(options.Particle),
    "intercalation_kinetics": get_args(options.Kinetics),
    "surface_form": ("false", "differential", "algebraic"),
    "x_average_side_reactions": _SWITCH,
    "open_circuit_potential": get_args(options.OpenCircuit),
    "diffusivity": ("single", "current sigmoid"),
    "exchange_current_density": ("single", "current sigmoid"),
    "particle_phases": ("1", ("2", "1")),
}
# Values that stand for a whole other family of models or are refused in every row have no pairs of their own.
_NO_PAIRS = {
    "differential",
    "MSMR",
    "current sigmoid",
    "one-state hysteresis",
    "quadratic profile",
    "quartic profile",
} | {"one-state differential capacity hysteresis"}
# Rates that PyBaMM's sets hold at zero, so that the mechanism would be compared at nothing.
_ACTIVE = (
    "Negative electrode reaction-driven LAM factor [m3.mol-1]",
    "Positive electrode reaction-driven LAM factor [m3.mol-1]",
)


class Row(NamedTuple):
    """One chemistry to check."""

    group: str
    name: str
    given: Mapping[str, Any]


class Result(NamedTuple):
    """What a row came to."""

    status: str
    detail: str


def rows() -> list[Row]:
    """Return all rows, in the order of the table."""
    return [*_single_rows(), *_set_rows(), *_composite_rows(), *_msmr_rows(), *_pair_rows()]


def _single_rows() -> Iterator[Row]:
    for model in ("SPM", "SPMe"):
        for field, values in VALUES.items():
            for value in values:
                yield Row("single option", f"{model}, {field}: {shown(value)}", {"model": model, field: value})
        yield Row("single option", f"{model}, SEI on cracks with surface states", {"model": model, **CRACKS})
        distributed = {**CRACKS, "sei_film_resistance": "distributed"}
        yield Row(
            "single option", f"{model}, the same with distributed film resistance", {"model": model, **distributed}
        )


def _set_rows() -> Iterator[Row]:
    for name in get_args(options.ParameterSet):
        for model in ("SPM", "SPMe"):
            base = {"model": model, "parameter_set": name, **FAMILIES.get(name, {})}
            yield Row("parameter set", f"{name}, {model}, no ageing", {**base, **PLAIN})
            yield Row("parameter set", f"{name}, {model}, full ageing", base)


def _composite_rows() -> Iterator[Row]:
    fields = (
        "sei",
        "lithium_plating",
        "loss_of_active_material",
        "particle_mechanics",
        "sei_film_resistance",
        "thermal",
    )
    base = {"model": "SPM", "parameter_set": "Bonkile2024", **FAMILIES["Bonkile2024"]}
    for field in fields:
        for value in VALUES[field]:
            yield Row("composite", f"Bonkile2024, {field}: {shown(value)}", {**base, field: value})
    for field in ("open_circuit_potential", "diffusivity", "exchange_current_density"):
        for value in VALUES[field][1:]:
            if value != "MSMR":
                yield Row(
                    "composite",
                    f"Bonkile2024, silicon {field}: {value}",
                    {**base, field: (("single", value), "single")},
                )
    yield Row("composite", "Bonkile2024, sei_on_cracks", {**base, **CRACKS})


def _msmr_rows() -> Iterator[Row]:
    base = {"model": "SPM", "parameter_set": "MSMR_Example", **FAMILIES["MSMR_Example"]}
    for field in ("sei", "lithium_plating", "loss_of_active_material", "particle_mechanics"):
        for value in VALUES[field]:
            yield Row("MSMR", f"MSMR_Example, {field}: {shown(value)}", {**base, **PLAIN, field: value})


def _pair_rows() -> Iterator[Row]:
    for number, given in enumerate(pair_cover()):
        differing = ", ".join(f"{field}: {shown(value)}" for field, value in given.items())
        yield Row("pairs", f"{number + 1}. {differing}", given)


@cache
def pair_cover() -> tuple[Mapping[str, Any], ...]:
    """Return chemistries that hold every pair of option values that may stand together.

    Greedy: of some random completions of a pair that is not covered yet, the one that covers most.
    """
    factors = {"model": ("SPM", "SPMe")} | {
        field: tuple(value for value in values if value not in _NO_PAIRS and value != ("2", "1"))
        for field, values in VALUES.items()
    }
    factors = {field: values for field, values in factors.items() if len(values) > 1}
    drawing, cover = random.Random(0), []
    waiting = {
        ((first, a), (second, b)): None
        for first, second in itertools.combinations(factors, 2)
        for a, b in itertools.product(factors[first], factors[second])
    }
    while waiting:
        pair = next(iter(waiting))
        best, gain = None, 0
        for _ in range(60):
            given = {field: drawing.choice(values) for field, values in factors.items()} | dict(pair)
            covered = sum(each in waiting for each in itertools.combinations(given.items(), 2))
            if covered > gain and _accepted(given):
                best, gain = given, covered
        if best is None:  # the pair itself is refused
            del waiting[pair]
            continue
        cover.append(best)
        for each in itertools.combinations(best.items(), 2):
            waiting.pop(each, None)
    return tuple(cover)


def _accepted(given: Mapping[str, Any]) -> bool:
    """Whether a chemistry is not refused; what PyBaMM refuses only when it builds the model is left out here."""
    losses, mechanics = (
        value if isinstance(value, tuple) else (value, value)
        for value in (given["loss_of_active_material"], given["particle_mechanics"])
    )
    if any("stress" in loss and swelling == "none" for loss, swelling in zip(losses, mechanics, strict=True)):
        return False
    if given["model"] == "SPM" and given["x_average_side_reactions"] == "false":
        return False
    if given["surface_form"] == "false" and given["intercalation_kinetics"] != "symmetric Butler-Volmer":
        return False
    if given["sei"] == "none" and given["lithium_plating"] == "partially reversible":
        return False
    try:
        Chemistry(**given)
    except ValueError:
        return False
    return True


def check(given: Mapping[str, Any]) -> Result:
    """Build a chemistry, hold it against PyBaMM and its lithium balance, and say what came of it."""
    try:
        chemistry = Chemistry(**given, parameters=_rates(given))
        equilibria = (name for name in EQUILIBRIA if name in pybamm_model(chemistry)[0].variables)
        found = discretise(chemistry, (), (*OUTPUTS, *equilibria, *needed_outputs(chemistry)))
        cell = lowered_cell(chemistry, found, OUTPUTS)
    except UnphysicalError as error:
        return Result("refused as unphysical", str(error))
    except PybammOptionError as error:
        return Result("PyBaMM refuses", str(error).partition("options: ")[2])
    except MissingParameterError as error:
        return Result("set lacks the parameter", str(error.args[0]).partition(" lacks ")[2].partition(", and so")[0])
    except LoweringError as error:
        return Result("not supported", str(error))
    y, inputs = random_states(cell, found)
    difference, lithium = disagreement(cell, found, y, inputs), imbalance(cell, found, y, inputs)
    if difference > AGREEMENT:
        return Result("DISAGREES", f"with PyBaMM by {difference:.0e}")
    if lithium > AGREEMENT:
        return Result("VIOLATES", f"the lithium balance by {lithium:.0e}")
    return Result("works", f"{cell.differential} + {len(cell.scale) - cell.differential} states")


def _rates(given: Mapping[str, Any]) -> dict[str, float]:
    losses = str(given.get("loss_of_active_material", ""))
    single = given.get("particle_phases", "1") == "1"
    return dict.fromkeys(_ACTIVE, 1e-4) if "reaction" in losses and single else {}


def shown(value: Any) -> str:
    """Write an option value as a study file has it."""
    return value if isinstance(value, str) else f"[{', '.join(map(shown, value))}]"


_HEADER = f"""\
Written by `python benchmarks/cell_coverage.py`. A row *works* where right-hand side, algebraic residual, voltage and
output variables agree with PyBaMM's own evaluation within {AGREEMENT:.0e} at random states, and lithium is conserved
within {AGREEMENT:.0e} of what ageing moves and a thousandth of all that moves. What a row does not name is the
default of `Chemistry`. In a set of several electrode pairs (Ai2020), PyBaMM's `Total lithium lost to side reactions
[mol]` counts one pair only; the balance here counts all.""".splitlines()


def table(results: Mapping[str, Result]) -> str:
    """Write the table of all rows, whose results are given by name, as Markdown."""
    groups: dict[str, list[str]] = {}
    for row in rows():
        groups.setdefault(row.group, []).append(row.name)
    lines = [
        "# Coverage of PyBaMM's options and parameter sets",
        "",
        *_HEADER,
        "",
        *_summary(groups, results),
    ]
    for group, names in groups.items():
        lines += ["", f"## {group[0].upper()}{group[1:]}", "", "| chemistry | status | detail |", "|---|---|---|"]
        lines += [f"| {name} | {results[name].status} | {results[name].detail} |" for name in names]
    lines += ["", "## Parameter sets that are not offered", "", "| set | is |", "|---|---|"]
    lines += [f"| {name} | {what} |" for name, what in NOT_CELLS.items()]
    return "\n".join(lines) + "\n"


def _summary(groups: Mapping[str, list[str]], results: Mapping[str, Result]) -> list[str]:
    counts = {group: Counter(results[name].status for name in names) for group, names in groups.items()}
    total = sum(counts.values(), Counter())
    body = [
        f"| {status} | {' | '.join(str(counts[group][status]) for group in groups)} | {number} |"
        for status, number in total.most_common()
    ]
    return [f"| status | {' | '.join(groups)} | all |", "|---" * (len(groups) + 2) + "|", *body]


def written() -> dict[str, Result]:
    """Return the rows of the committed table by name."""
    cells = [
        line[2:-2].split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    return {name: Result(*rest) for name, *rest in cells if len(rest) == 2 and name != "chemistry"}


def main() -> None:
    """Check all rows and write the table."""
    jax.config.update("jax_enable_x64", True)
    results, start = {}, time.perf_counter()
    for row in rows():
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results[row.name] = check(row.given)
        print(
            f"{time.perf_counter() - begun:6.2f} s  {row.name}: {results[row.name].status}", file=sys.stderr, flush=True
        )
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table(results), encoding="utf-8")
    print(f"{len(results)} rows in {time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
