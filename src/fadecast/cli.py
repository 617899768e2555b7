"""The commands. No science here, and nothing heavy is imported before a command runs."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fadecast.cli_cluster import cluster
from fadecast.cli_data import data
from fadecast.cli_display import Fitting, RateSampling
from fadecast.cli_runs import Config, Out, Overrides, bring, print_price, print_run
from fadecast.document import Document, read_document
from fadecast.errors import InputError, RunError

if TYPE_CHECKING:
    from fadecast.runs import RunFolder

app = typer.Typer(
    help="Physics-based fade forecasts for second-life battery packs, and the warranty prices that follow from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: fadecast run configs/demo.yaml. "
    "Exit codes: 0 done, 1 a run failed or was stopped, 2 the input is wrong.",
)

app.add_typer(data, name="data", no_args_is_help=True)
app.add_typer(cluster)

FadeFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--fade",
        metavar="FILE",
        help="Price this fade dataset (netCDF) instead; given more than once, the packs of all as one fleet.",
        show_default=False,
    ),
]
Weights = Annotated[
    list[float] | None,
    typer.Option(
        "--weight",
        metavar="NUMBER",
        help="One for each --fade: these forecasts, as of several ageing laws, are of the same packs, and each draw "
        "follows one of them.",
        show_default=False,
    ),
]


@app.command(epilog="Example: fadecast run configs/demo.yaml --out results/trial --set packs=32 --set draws=4")
def run(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Run a whole study: duty, population, forecast, price, report. What is done already is skipped."""
    began = time.perf_counter()
    print_run(bring(config, out, overrides, "report"), began)


@app.command(epilog="Example: fadecast duty configs/demo.yaml --set site.climate=las_vegas")
def duty(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Draw years of weather and load, and dispatch the battery through them: duty.nc."""
    began = time.perf_counter()
    folder = bring(config, out, overrides, "duty")
    from fadecast.summary import duty_lines

    print(f"{folder.path / 'duty.nc'}")
    print("\n".join(duty_lines(folder.open_dataset("duty.nc"))), f"seconds: {time.perf_counter() - began:.1f}")


@app.command(epilog="Example: fadecast population configs/demo.yaml --set population.soh_range='[0.65, 0.75]'")
def population(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Sample the packs at the start of second life and the ageing rates of each draw: population.nc."""
    folder = bring(config, out, overrides, "population")
    from fadecast.summary import population_line

    print(f"{folder.path / 'population.nc'}")
    print(population_line(folder.read_dataset("population.nc")))


@app.command(epilog="Example: fadecast forecast configs/demo.yaml --set decades.mode=direct --set years=1")
def forecast(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Forecast the fade of every pack of every draw: fade.nc. Duty and population are made if they are missing."""
    folder = bring(config, out, overrides, "forecast")
    from fadecast.summary import fade_lines

    print(f"{folder.path / 'fade.nc'}")
    print("\n".join(fade_lines(folder.open_dataset("fade.nc"))))


@app.command(epilog="Example: fadecast price configs/warranty_linear.yaml --fade results/demo/fade.nc")
def price(
    config: Config, out: Out = None, overrides: Overrides = None, fade: FadeFiles = None, weight: Weights = None
) -> None:
    """Price the warranty: price.nc and price.csv. With --fade, CONFIG needs only name, seed and warranty."""
    if weight and len(weight) != len(fade or []):
        raise InputError(
            f"--weight: got {len(weight)}; must be one for each --fade, of which there are {len(fade or [])}"
        )
    if not fade:
        folder = bring(config, out, overrides, "price")
        print(f"{folder.path / 'price.nc'}")
        print_price(folder.read_dataset("price.nc"))
        return
    document = read_document(config, overrides or [])
    from fadecast.pipeline import price_file
    from fadecast.runs import RunFolder
    from fadecast.study import check_pricing

    priced = price_file(check_pricing(document), fade, RunFolder(out) if out else None, weight or ())
    print_price(priced)


@app.command(epilog="Example: fadecast calibrate configs/calibrate_ampworks.yaml --out results/ampworks")
def calibrate(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Find the state of degraded cells from slow curves, or the rates at which cells age from measured fade."""
    document = read_document(config, overrides or [])
    if "rates" in document.content:
        _calibrate_rates(document, out)
        return
    from fadecast.calibrating import check_calibration

    calibration = check_calibration(document)
    from fadecast.calibration_run import calibration_lines, run_calibration

    folder = _own_folder(out, calibration.name)
    with Fitting(len(calibration.curves)) as fitting:
        found = run_calibration(calibration, document, folder, fitting)
    print(f"{folder.path / 'posterior.nc'}  report: {folder.path / 'report.html'}")
    print("\n".join(calibration_lines(found)))


def _calibrate_rates(document: Document, out: Path | None) -> None:
    from fadecast.rate_calibrating import check_rate_calibration

    calibration = check_rate_calibration(document)
    from fadecast.rate_calibration_run import run_rate_calibration
    from fadecast.rate_summary import rate_lines

    folder = _own_folder(out, calibration.name)
    with RateSampling() as sampling:
        found = run_rate_calibration(calibration, document, folder, sampling)
    print(f"{folder.path / 'rates.csv'}  {folder.path / 'laws.csv'}  report: {folder.path / 'report.html'}")
    print("\n".join(rate_lines(found)))


@app.command(epilog="Example: fadecast score configs/score_lgm50.yaml")
def score(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Forecast cells under laboratory protocols, and hold them against what was measured: forecast.csv, scores.csv."""
    document = read_document(config, overrides or [])
    from fadecast.score_run import check_scoring, run_scoring
    from fadecast.score_tables import score_lines

    scoring = check_scoring(document)
    folder = _own_folder(out, scoring.name)
    scored = run_scoring(scoring, document, folder, _say)
    print(f"{folder.path / 'forecast.csv'}  {folder.path / 'scores.csv'}  seconds: {scored.seconds:.1f}")
    print("\n".join(score_lines(scored.forecast, scored.scores, scored.failed)))


@app.command(epilog="Example: fadecast report configs/demo.yaml --out results/trial")
def report(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Draw the figures and write report.html. Missing stages are made first."""
    folder = bring(config, out, overrides, "report")
    print(f"{folder.path / 'report.html'}")


@app.command(epilog="Example: fadecast schema > study.schema.json")
def schema(
    calibration: Annotated[bool, typer.Option("--calibration", help="Of calibrations of states.")] = False,
    rates: Annotated[bool, typer.Option("--rates", help="Of calibrations of rates.")] = False,
    score: Annotated[bool, typer.Option("--score", help="Of scores.")] = False,
    cluster_file: Annotated[bool, typer.Option("--cluster", help="Of cluster files.")] = False,
) -> None:
    """Print the JSON schema of study files: every key with its meaning, unit, default and bounds."""
    import json

    from pydantic import TypeAdapter

    from fadecast.calibrating import Calibration
    from fadecast.cluster import Cluster
    from fadecast.rate_calibrating import RateCalibration
    from fadecast.score_run import Scoring
    from fadecast.study import Study

    asked = ((Calibration, calibration), (RateCalibration, rates), (Scoring, score), (Cluster, cluster_file))
    kinds: list[Any] = [kind for kind, wanted in asked if wanted]
    if len(kinds) > 1:
        raise typer.BadParameter("give one of --calibration, --rates, --score and --cluster")
    keys = TypeAdapter(kinds[0] if kinds else Study).json_schema()
    print(json.dumps(keys, indent=2, ensure_ascii=False))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    try:
        app(args=arguments, prog_name="fadecast")
    except (InputError, RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)


def _own_folder(out: Path | None, name: str) -> "RunFolder":
    """Return the folder of a calibration or a score."""
    from fadecast.pipeline import use_compilation_cache
    from fadecast.runs import RunFolder

    use_compilation_cache()
    return RunFolder(out or Path("results") / name)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
