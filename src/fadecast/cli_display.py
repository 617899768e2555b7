"""What a person sees while a command works, on stderr: progress on a terminal, else plain lines."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID


class Display:
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

    def __enter__(self) -> "Display":
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
        elif event == "check":
            self._say(f"forecast check of the leap, {details['seconds']:.1f} s")
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
            speed = "from the last run" if shard["loaded"] else self._speed(time.perf_counter() - self._began)
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


class Fitting:
    """What a person sees while curves are fitted, on stderr."""

    def __init__(self, curves: int) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("curves", total=curves)

    def __enter__(self) -> "Fitting":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, what: str) -> None:
        """Show how many curves are done."""
        self._progress.update(self._task, completed=done, description=f"curves {what}")


class RateSampling:
    """What a person sees while rates are sampled, on stderr: what is done, and on a terminal the folds passing by."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True, highlight=False)
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("rates", total=None)

    def __enter__(self) -> "RateSampling":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        """Show one event."""
        if event == "fold":
            shown = f"{details['law']}: condition {details['done']} of {details['folds']} left out"
            self._progress.update(self._task, description=shown)
        else:
            how = "kept from before" if details["loaded"] else f"done in {details['seconds']:.0f} s"
            self._progress.console.print(f"{details['law']}: {details['part']} {how}", markup=False, soft_wrap=True)
