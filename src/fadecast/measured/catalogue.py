"""Which measured data fadecast reads: citation, licence, checksum, public origin, place on this machine."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

DATA_VARIABLE = "FADECAST_DATA"


class MissingDataError(FileNotFoundError):
    """A measured file is not on this machine; the message says how to get it."""


class MeasuredDataError(ValueError):
    """A measured file is not what its reader was written for."""


@dataclass(frozen=True)
class Source:
    """A set of measured files; `sha256` is that of the files' contents, concatenated in the order listed."""

    name: str
    folder: str
    files: tuple[str, ...]
    sha256: str
    citation: str
    licence: str
    origin: str

    def record(self) -> dict[str, str]:
        """Return what a result computed from these files must say about them."""
        return {"name": self.name, "citation": self.citation, "licence": self.licence, "origin": self.origin}


_LGM50T_CELLS = {"A": 10, "B": 10, "C": 25, "D": 25, "E": 40, "F": 40}

_SOURCES = (
    Source(
        name="pulsebat_retired_ev",
        folder="ageing/pulsebat_retired_ev",
        files=("LFP_35Ah_W_5000.xlsx", "LMO_10Ah_W_5000.xlsx", "NMC_21Ah_W_5000.xlsx"),
        sha256="8bb9c955d703a18355b05864c47c337e903dd12055a04f11fa6f1b949635f963",
        citation="Tao et al., Nature Communications (2024), doi:10.1038/s41467-024-54454-0",
        licence="MIT",
        origin="GitHub terencetaothucb/Pulse-Voltage-Response-Generation, commit 92aeb9b8, ProcessedData_adjustable",
    ),
    Source(
        name="pulsebat2_retired_lfp",
        folder="ageing/pulsebat2_retired_lfp",
        files=("v2_LFP_20Ah_W_5000.xlsx", "v2_LFP_68Ah_W_5000.xlsx"),
        sha256="6051b320dfc609215d2d2c524ef7a4537a76fcac10ede3e10215e404a0e61e74",
        citation="Tao et al., data of 'Constant-flux diffusion scaling maps pulse-excitation informativeness "
        "for battery capacity diagnosis' (2026)",
        licence="MIT",
        origin="GitHub terencetaothucb/pulse-excitation-informativeness-for-battery-capacity-diagnosis, "
        "commit ea2dde5f",
    ),
    Source(
        name="kirkaldy2024_lgm50t_expt2_2",
        folder="ageing/kirkaldy2024_lgm50t_expt2_2",
        files=tuple(
            f"Expt 2,2 - {file}.csv"
            for cell, temperature in _LGM50T_CELLS.items()
            for file in (
                f"cell {cell} ({temperature}degC) - Extracted Data",
                f"DM data from OCV-fitting for cell {cell}",
                f"Capacity and offset data from OCV-fitting for cell {cell}",
                f"fitting parameters from OCV-fitting for cell {cell}",
            )
        ),
        sha256="fb539ab5cc483891de7e08714b61bb4aab0562e5b9fa6561e7b59411baac539c",
        citation="Kirkaldy, Samieian, Offer, Marinescu, Patel, J. Power Sources 603 (2024) 234185, "
        "doi:10.1016/j.jpowsour.2024.234185",
        licence="CC-BY-4.0",
        origin="Zenodo doi:10.5281/zenodo.10637534, 'Expt 2,2 - C-based Degradation 2'",
    ),
    Source(
        name="kuzhiyil2024_lgm50_calendar",
        folder="ageing/kuzhiyil2024_lgm50_calendar",
        files=("calendar_capacity_tidy.csv", "calendar_RPTx_tidy.csv"),
        sha256="81022a66cbf3a833248906490eb443287aacd8d83b2a789f94aea1ee8189d11f",
        citation="Kuzhiyil, Damoulas, Brosa Planella, Widanage, 'Lithium-ion battery degradation modelling "
        "using universal differential equations' (2024)",
        licence="MIT",
        origin="GitHub JishnuKuzhiyil/Calendar-Ageing-Modelling-using--UDE---Julia-Code, commit 3f52aa05, "
        "its .mat tables written as tidy CSV",
    ),
    Source(
        name="lgm50_fresh_ocv_pulse_rate",
        folder="ageing/lgm50_fresh_ocv_pulse_rate",
        files=("LGM50_5Ah_Pulse.mat",),
        sha256="8067781fcf662ede90af3ab6cf45badaf91ec35b1066d517b2897ca581f26a27",
        citation="Kuzhiyil, Damoulas, Widanage, Applied Energy 371 (2024) 123692",
        licence="BSD-3-Clause",
        origin="GitHub pybop-team/PyBOP, commit e8165e04, examples/data/LG_M50_ECM/data",
    ),
)

CATALOGUE: Mapping[str, Source] = {source.name: source for source in _SOURCES}


def data_root() -> Path:
    """Return `$FADECAST_DATA`, else `shared/data` beside the working checkout."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[3].parent / "shared" / "data"


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
            raise MeasuredDataError(f"{place}: no column {column!r}; it has {list(frame.columns)}")
        values = pd.to_numeric(frame[column], errors="coerce").dropna()
        if values.empty:
            raise MeasuredDataError(f"{place}: column {column!r} has no numbers; expected {low} to {high}")
        if values.min() < low or values.max() > high:
            raise MeasuredDataError(
                f"{place}: column {column!r} runs from {values.min():g} to {values.max():g}, expected {low} "
                f"to {high}; check its unit"
            )
