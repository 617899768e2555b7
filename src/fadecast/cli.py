"""The commands. No science here, and nothing heavy is imported before a command runs."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fadecast.cli_data import data
from fadecast.document import Document, read_document
from fadecast.errors import InputError, RunError

if TYPE_CHECKING:
    import xarray as xr
    from rich.progress import TaskID

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

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="Study file (YAML).", show_default=False)]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Run folder; results/<study name> by default.", show_default=False),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the study, as in --set packs=32; repeatable."),
]
FadeFile = Annotated[
    Path | None,
    typer.Option("--fade", metavar="FILE", help="Price this fade dataset (netCDF) instead.", show_default=False),
]


@app.command(epilog="Example: fadecast run configs/demo.yaml --out results/trial --set packs=32 --set draws=4")
def run(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Run a whole study: duty, population, forecast, price, report. What is done already is skipped."""
    began = time.perf_counter()
    _print_run(_bring(config, out, overrides, "report"), began)


@app.command(epilog="Example: fadecast duty configs/demo.yaml --set site.climate=las_vegas")
def duty(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Draw years of weather and load, and dispatch the battery through them: duty.nc."""
    began = time.perf_counter()
    folder = _bring(config, out, overrides, "duty")
    from fadecast.summary import duty_lines

    print(f"{folder.path / 'duty.nc'}")
    print("\n".join(duty_lines(folder.open_dataset("duty.nc"))), f"seconds: {time.perf_counter() - began:.1f}")


@app.command(epilog="Example: fadecast population configs/demo.yaml --set population.soh_range='[0.65, 0.75]'")
def population(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Sample the packs at the start of second life and the ageing rates of each draw: population.nc."""
    folder = _bring(config, out, overrides, "population")
    from fadecast.summary import population_line

    print(f"{folder.path / 'population.nc'}")
    print(population_line(folder.read_dataset("population.nc")))


@app.command(epilog="Example: fadecast forecast configs/demo.yaml --set decades.mode=direct --set years=1")
def forecast(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Forecast the fade of every pack of every draw: fade.nc. Duty and population are made if they are missing."""
    folder = _bring(config, out, overrides, "forecast")
    from fadecast.summary import fade_lines

    print(f"{folder.path / 'fade.nc'}")
    print("\n".join(fade_lines(folder.open_dataset("fade.nc"))))


@app.command(epilog="Example: fadecast price configs/warranty_linear.yaml --fade results/demo/fade.nc")
def price(config: Config, out: Out = None, overrides: Overrides = None, fade: FadeFile = None) -> None:
    """Price the warranty: price.nc and price.csv. With --fade, CONFIG needs only name, seed and warranty."""
    if fade is None:
        folder = _bring(config, out, overrides, "price")
        print(f"{folder.path / 'price.nc'}")
        _print_price(folder.read_dataset("price.nc"))
        return
    document = read_document(config, overrides or [])
    from fadecast.pipeline import price_file
    from fadecast.runs import RunFolder
    from fadecast.study import check_pricing

    priced = price_file(check_pricing(document), fade, RunFolder(out) if out else None)
    _print_price(priced)


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
    with _Fitting(len(calibration.curves)) as fitting:
        found = run_calibration(calibration, document, folder, fitting)
    print(f"{folder.path / 'posterior.nc'}  report: {folder.path / 'report.html'}")
    print("\n".join(calibration_lines(found)))


def _calibrate_rates(document: Document, out: Path | None) -> None:
    from fadecast.rate_calibrating import check_rate_calibration

    calibration = check_rate_calibration(document)
    from fadecast.rate_calibration_run import rate_lines, run_rate_calibration

    folder = _own_folder(out, calibration.name)
    found = run_rate_calibration(calibration, document, folder, _say)
    print(f"{folder.path / 'rates.csv'}  {folder.path / 'laws.csv'}")
    print("\n".join(rate_lines(found)))


@app.command(epilog="Example: fadecast score configs/score_lgm50.yaml")
def score(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Forecast cells under laboratory protocols, and hold them against what was measured: forecast.csv, scores.csv."""
    document = read_document(config, overrides or [])
    from fadecast.score_run import check_scoring, run_scoring, scoring_lines

    scoring = check_scoring(document)
    folder = _own_folder(out, scoring.name)
    scored = run_scoring(scoring, document, folder, _say)
    print(f"{folder.path / 'forecast.csv'}  {folder.path / 'scores.csv'}  seconds: {scored.seconds:.1f}")
    print("\n".join(scoring_lines(scored)))


@app.command(epilog="Example: fadecast report configs/demo.yaml --out results/trial")
def report(config: Config, out: Out = None, overrides: Overrides = None) -> None:
    """Draw the figures and write report.html. Missing stages are made first."""
    folder = _bring(config, out, overrides, "report")
    print(f"{folder.path / 'report.html'}")


@app.command(epilog="Example: fadecast resume results/demo")
def resume(folder: Folder) -> None:
    """Go on with a run that was stopped; the result is the same as that of a run in one go."""
    from fadecast.runs import RunFolder

    began = time.perf_counter()
    _print_run(_bring(RunFolder(folder).study_file, folder, None, "report"), began)


@app.command(epilog="Example: fadecast status results/demo")
def status(folder: Folder) -> None:
    """Say which stages of a run are done."""
    from fadecast.pipeline import STAGES, stage_keys
    from fadecast.runs import RunFolder
    from fadecast.study import load_study

    run_folder = RunFolder(folder)
    study = load_study(run_folder.study_file)
    keys = stage_keys(study)
    print(f"{study.name}: {study.packs} packs, {study.draws} draws, {study.years:g} years")
    for name in STAGES:
        print(f"{name:<12}{run_folder.state(name, keys[name])}")
    shards = run_folder.shards(keys["forecast"]).count()
    if shards:
        print(f"{shards} tiles of the forecast are kept; go on with: fadecast resume {folder}")
    print("a process works in this folder" if run_folder.is_locked() else "no process works in this folder")


@app.command(epilog="Example: fadecast schema > study.schema.json")
def schema(
    calibration: Annotated[bool, typer.Option("--calibration", help="Of calibrations of states.")] = False,
    rates: Annotated[bool, typer.Option("--rates", help="Of calibrations of rates.")] = False,
    score: Annotated[bool, typer.Option("--score", help="Of scores.")] = False,
) -> None:
    """Print the JSON schema of study files: every key with its meaning, unit, default and bounds."""
    import json

    from pydantic import BaseModel

    from fadecast.calibrating import Calibration
    from fadecast.rate_calibrating import RateCalibration
    from fadecast.score_run import Scoring
    from fadecast.study import Study

    asked = ((Calibration, calibration), (RateCalibration, rates), (Scoring, score))
    kinds: list[type[BaseModel]] = [kind for kind, wanted in asked if wanted]
    if len(kinds) > 1:
        raise typer.BadParameter("give one of --calibration, --rates and --score")
    keys = (kinds[0] if kinds else Study).model_json_schema()
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


def _bring(config: Path, out: Path | None, overrides: Sequence[str] | None, stage: str) -> "RunFolder":
    """Bring a stage of a study up to date and return its folder."""
    # A file that cannot be read is refused before the imports that take seconds.
    document = read_document(config, overrides or [])
    from fadecast.study import check_study

    study = check_study(document)
    from fadecast.pipeline import refusals, run_stages
    from fadecast.runs import RunFolder

    if problems := refusals(study, stage):
        raise document.refuse(problems)
    folder = RunFolder(out or Path("results") / study.name)
    with _Display() as display, _stop_at_once(folder.path, display):
        run_stages(study, folder, stage, display)
    return folder


@contextlib.contextmanager
def _stop_at_once(folder: Path, display: "_Display") -> Iterator[None]:
    """Leave at once on Ctrl-C: threads would first finish their tiles, and no file is ever half written."""

    def leave(*_: object) -> NoReturn:
        display.close()
        print(f"stopped; go on with: fadecast resume {folder}", file=sys.stderr, flush=True)
        os._exit(1)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, leave) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _print_run(folder: "RunFolder", began: float) -> None:
    from fadecast.summary import economics_line, fade_lines

    print("\n".join(fade_lines(folder.open_dataset("fade.nc"))))
    if "economics.csv" in folder.stages().get("economics", {}).get("files", {}):
        print(economics_line(folder.read_rows("economics.csv")))
    print(f"seconds: {time.perf_counter() - began:.1f}  report: {folder.path / 'report.html'}")
    _print_price(folder.read_dataset("price.nc"))


def _print_price(dataset: "xr.Dataset") -> None:
    from fadecast.summary import price_lines

    print("\n".join(price_lines(dataset)))


class _Display:
    """What a person sees while stages run, on stderr: a progress bar on a terminal, else plain lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f} of {task.total:,.0f} pack-years, {task.fields[speed]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
        self._task: TaskID | None = None
        self._shards, self._packs, self._total = 0, 0, 0.0
        self._advanced, self._began = 0.0, time.perf_counter()

    def __enter__(self) -> "_Display":
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        if self._progress:
            self._progress.stop()

    def __call__(self, stage: str, event: str, details: Mapping[str, Any]) -> None:
        """Show one event."""
        if event == "shard":
            self._shard(details)
        elif event == "plan":
            self._total, self._began = details["pack_years"], time.perf_counter()
        elif event == "advanced":
            self._advance(details["pack_years"])
        elif event == "start":
            self._say(f"{stage} ...")
        else:
            self._say(f"{stage} {event}, {details['seconds']:.1f} s")
            if self._progress is not None and self._task is not None:
                self._progress.update(self._task, visible=False)

    def _shard(self, shard: Mapping[str, Any]) -> None:
        self._shards += 1
        self._packs += shard["packs"]
        if self._progress is None:
            speed = "from the last run" if shard["loaded"] else self._speed(shard["seconds"])
            self._say(f"forecast shard {self._shards} of {shard['shards']}, {self._packs:,} packs of draws, {speed}")

    def _advance(self, pack_years: float) -> None:
        self._advanced += pack_years
        if self._progress is not None:
            if self._task is None:
                self._task = self._progress.add_task("forecast", total=self._total, speed="")
            speed = self._speed(time.perf_counter() - self._began)
            self._progress.update(self._task, completed=self._advanced, speed=speed)

    def _speed(self, seconds: float) -> str:
        return f"{self._advanced / max(seconds, 1e-9):,.0f} pack-years/s"

    def _say(self, line: str) -> None:
        if self._progress is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._progress.console.print(line, markup=False)


class _Fitting:
    """What a person sees while curves are fitted, on stderr."""

    def __init__(self, curves: int) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("curves", total=curves)

    def __enter__(self) -> "_Fitting":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, what: str) -> None:
        """Show how many curves are done."""
        self._progress.update(self._task, completed=done, description=f"curves {what}")
