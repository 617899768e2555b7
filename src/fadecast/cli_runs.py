"""What the commands that work on the run of a study share."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fadecast.cli_display import Display
from fadecast.document import read_document

if TYPE_CHECKING:
    import xarray as xr

    from fadecast.runs import RunFolder
    from fadecast.study import Study

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


def checked(config: Path, out: Path | None, overrides: Sequence[str] | None, stage: str) -> "tuple[Study, RunFolder]":
    """Return a study that can be taken as far as a stage, and the folder of its run."""
    # A file that cannot be read is refused before the imports that take seconds.
    document = read_document(config, overrides or [])
    from fadecast.study import check_study

    study = check_study(document)
    from fadecast.pipeline import refusals
    from fadecast.runs import RunFolder

    if problems := refusals(study, stage):
        raise document.refuse(problems)
    return study, RunFolder(out or Path("results") / study.name)


def bring(config: Path, out: Path | None, overrides: Sequence[str] | None, stage: str) -> "RunFolder":
    """Bring a stage of a study up to date and return its folder."""
    study, folder = checked(config, out, overrides, stage)
    from fadecast.pipeline import run_stages

    with Display() as display, stop_at_once(folder.path, display):
        run_stages(study, folder, stage, display)
    return folder


@contextlib.contextmanager
def stop_at_once(folder: Path, display: "Display") -> Iterator[None]:
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


def print_run(folder: "RunFolder", began: float) -> None:
    """Print what a run that was begun at some time of `perf_counter` found."""
    from fadecast.summary import economics_line, fade_lines

    print("\n".join(fade_lines(folder.open_dataset("fade.nc"))))
    if "economics.csv" in folder.stages().get("economics", {}).get("files", {}):
        print(economics_line(folder.read_rows("economics.csv")))
    print(f"seconds: {time.perf_counter() - began:.1f}  report: {folder.path / 'report.html'}")
    print_price(folder.read_dataset("price.nc"))


def print_price(dataset: "xr.Dataset") -> None:
    """Print a price."""
    from fadecast.summary import price_lines

    print("\n".join(price_lines(dataset)))
