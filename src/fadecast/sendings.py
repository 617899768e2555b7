"""What was sent to an engine: which jobs, and which shards of the forecast each of them is to make.

A sending is noted in the run folder before its jobs are handed over, so that a process that dies in between leaves
nothing unknown. What is done is told by the shards that are there, never by the state of a job.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fadecast.files import write_text

FOLDER = "jobs"


@dataclass(frozen=True)
class Sending:
    """Jobs that are sent together.

    Attributes
    ----------
    number
        Counts the sendings of a run folder from 1.
    name
        What the engine knows the jobs by.
    engine
        Which engine they were sent to.
    forecast
        Checksum of all that the forecast depends on; a job makes no shards of another one.
    prepares
        Whether a first job makes duty and population.
    jobs
        Keys of the shards of each job.
    workers
        Shards that a job makes at the same time.
    time
        When it was noted, ISO 8601.
    ids
        What the engine calls the jobs, the one that prepares first; empty until it has said so.
    refused
        What the engine said where it did not take the jobs.
    """

    number: int
    name: str
    engine: str
    forecast: str
    prepares: bool
    jobs: tuple[tuple[str, ...], ...]
    workers: int
    time: str
    ids: tuple[str, ...] = ()
    refused: str = ""

    @classmethod
    def of(
        cls,
        folder: Path,
        name: str,
        engine: str,
        forecast: str,
        jobs: Sequence[Sequence[str]],
        workers: int,
        *,
        prepares: bool,
    ) -> "Sending":
        """Note what is about to be sent from a run folder."""
        number = max((sending.number for sending in sendings(folder)), default=0) + 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = cls(
            number, f"{name}-{number}", engine, forecast, prepares, tuple(tuple(job) for job in jobs), workers, now
        )
        made.folder(folder).mkdir(parents=True, exist_ok=True)
        made.write(folder)
        return made

    @classmethod
    def read(cls, folder: Path, number: int) -> "Sending":
        """Return a sending of a run folder.

        Raises
        ------
        OSError, ValueError, TypeError
            When it is not there, or not as it was written.
        """
        content = json.loads((folder / FOLDER / f"{number:04d}.json").read_text(encoding="utf-8"))
        jobs = tuple(tuple(job) for job in content.pop("jobs"))
        return cls(**{**content, "jobs": jobs, "ids": tuple(content["ids"])})

    def write(self, folder: Path) -> None:
        """Keep it in a run folder."""
        write_text(folder / FOLDER / f"{self.number:04d}.json", json.dumps(asdict(self), indent=1) + "\n")

    def known_as(self, folder: Path, ids: Sequence[str]) -> "Sending":
        """Keep what the engine calls the jobs."""
        known = replace(self, ids=tuple(ids))
        known.write(folder)
        return known

    def refused_for(self, folder: Path, reason: str) -> None:
        """Keep why the engine did not take the jobs."""
        replace(self, refused=reason).write(folder)

    def folder(self, run: Path) -> Path:
        """Return where the engine keeps what belongs to the jobs."""
        return run / FOLDER / f"{self.number:04d}"

    def log_name(self, job: int | None) -> str:
        """Return the log of a job, or of the one that prepares, relative to the run folder."""
        name = "prepare" if job is None else f"job-{job:04d}"
        return f"{FOLDER}/{self.number:04d}/{name}.jsonl"


def sendings(folder: Path) -> list[Sending]:
    """Return the sendings of a run folder, the earliest first; one that cannot be read is left out."""
    found = []
    for path in sorted((folder / FOLDER).glob("[0-9]*.json")):
        try:
            found.append(Sending.read(folder, int(path.stem)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


def divided(keys: Sequence[str], jobs: int) -> list[list[str]]:
    """Deal shards out to jobs, in turn; as many jobs at most as there are shards."""
    return [list(keys[first::jobs]) for first in range(min(jobs, len(keys)))]


def events(folder: Path, sending: Sending, job: int | None) -> Iterator[Mapping[str, Any]]:
    """Read the log of a job; lines that were cut short are left out."""
    try:
        lines = (folder / sending.log_name(job)).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
