"""Which measured data fadecast reads: citation, licence, checksum, public origin, place on this machine."""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fadecast.errors import InputError
from fadecast.locations import DATA_VARIABLE, data_root
from fadecast.package_data import shipped

_SHOWN = 30
"""Columns of a table that a message names."""


class MissingDataError(FileNotFoundError):
    """A measured file is not on this machine; the message says how to get it."""


class MeasuredDataError(ValueError):
    """A measured file is not what its reader was written for."""


@dataclass(frozen=True)
class Source:
    """A set of measured files; `sha256` is that of the files' contents, concatenated in the order listed."""

    name: str
    what: str
    folder: str
    files: tuple[str, ...]
    sha256: str
    citation: str
    licence: str
    origin: str

    def record(self) -> dict[str, str]:
        """Return what a result computed from these files must say about them."""
        return {"name": self.name, "citation": self.citation, "licence": self.licence, "origin": self.origin}


CATALOGUE: Mapping[str, Source] = {
    name: Source(name=name, **{**entry, "files": tuple(entry["files"])}) for name, entry in shipped("catalogue").items()
}
"""The measured sets by name, of `data/catalogue.json`."""


def known_source(name: str) -> Source:
    """Return a set of the catalogue.

    Raises
    ------
    InputError
        When there is no such set; says which there are.
    """
    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; must be one of {', '.join(CATALOGUE)}"
        raise InputError(f"no measured set {name!r}{hint}")
    return CATALOGUE[name]


def available(name: str) -> bool:
    """Return whether every file of a source is on this machine."""
    source = CATALOGUE[name]
    return all((data_root() / source.folder / file).is_file() for file in source.files)


def fetch(name: str) -> dict[str, Path]:
    """Return the files of a source by name, after checking that they are the ones the readers know.

    Raises
    ------
    MissingDataError
        When a file is not there; says where it was looked for and where the public original is.
    MeasuredDataError
        When the contents differ from those the committed results were fitted to.
    """
    source = CATALOGUE[name]
    folder = data_root() / source.folder
    paths = {file: folder / file for file in source.files}
    missing = [file for file, path in paths.items() if not path.is_file()]
    if missing:
        raise MissingDataError(
            f"measured data {name!r} ({source.citation}; licence {source.licence}): {len(missing)} of "
            f"{len(paths)} files are missing in {folder}, the first is {missing[0]!r}. Get them from "
            f"{source.origin}, put them under <root>/{source.folder}/ and set {DATA_VARIABLE}=<root>"
        )
    digest = hashlib.sha256()
    for path in paths.values():
        digest.update(path.read_bytes())
    if digest.hexdigest() != source.sha256:
        raise MeasuredDataError(
            f"measured data {name!r} in {folder}: sha256 of the {len(paths)} files together is "
            f"{digest.hexdigest()}, expected {source.sha256}; get the files again from {source.origin}"
        )
    return paths


def names_of(frame: pd.DataFrame) -> str:
    """Return the names of columns for a message, the first of them where they are many."""
    shown = [f"{name!s:.40}" for name in frame.columns[:_SHOWN]]
    return f"{shown}" + f" and {frame.shape[1] - _SHOWN} more" * (frame.shape[1] > _SHOWN)


def check_columns(frame: pd.DataFrame, place: str, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a table whose columns or units are not the expected ones.

    Parameters
    ----------
    frame
        A table as read.
    place
        File, and sheet if any, for the message.
    ranges
        Column -> the lowest and highest value it can have in its unit; missing values are passed over.

    Raises
    ------
    MeasuredDataError
        On a missing column, a column without numbers, or a value outside its range.
    """
    for column, (low, high) in ranges.items():
        if column not in frame:
            raise MeasuredDataError(f"{place}: no column {column!r}; it has {names_of(frame)}")
        values = pd.to_numeric(frame[column], errors="coerce").dropna()
        if values.empty:
            raise MeasuredDataError(f"{place}: column {column!r} has no numbers; expected {low} to {high}")
        if values.min() < low or values.max() > high:
            raise MeasuredDataError(
                f"{place}: column {column!r} runs from {values.min():g} to {values.max():g}, expected {low} "
                f"to {high}; check its unit"
            )
