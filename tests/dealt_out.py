"""What tests of runs that are dealt out to jobs look at."""

import time

from fadecast.cluster import states
from fadecast.sendings import events, sendings

_APART = ("jobs", ".lock", "log.jsonl")


def content_of(folder):
    """Return all files of a run but its logs and what belongs to the engine."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in _APART]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def all_ended(folder):
    """Return whether no job of a run is left."""
    return all(state.now == "ended" for sending in sendings(folder) for state in states(folder, sending))


def logged(folder, job, event):
    """Return how often a job of the last sending, or the one that prepares, logged an event."""
    return sum(each["event"] == event for each in events(folder, sendings(folder)[-1], job))


def wait_until(condition, seconds=600.0):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
