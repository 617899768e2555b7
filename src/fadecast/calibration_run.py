"""What `fadecast calibrate` leaves in its folder: posterior, table, figures and page."""

import json
import re
import shutil
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fadecast.calibrating import Calibrated, Calibration, calibrate
from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.states import MODES, PHASES, state_table
from fadecast.document import Document
from fadecast.figures.captions import STATE_CAPTIONS
from fadecast.figures.states import draw_states
from fadecast.figures.units import readable
from fadecast.files import write_text, write_whole
from fadecast.pages import embedded, render
from fadecast.runs import RunFolder, origin, refuse_study_folder
from fadecast.wording import percent, significant, span, words

_ELECTRODES = (
    "electrode_capacity_ne",
    "electrode_capacity_pe",
    "second_share_ne",
    "stoichiometry_ne_empty",
    "stoichiometry_ne_full",
    "stoichiometry_pe_empty",
    "stoichiometry_pe_full",
    "capacity_at_rest",
    "lithium_inventory",
    "polarisation",
    "discrepancy",
    "noise",
)
_MOST_COLUMNS = 6
_INTERVAL = (0.05, 0.95)


def run_calibration(
    calibration: Calibration, document: Document, run: RunFolder, observe: Callable[[int, str], None]
) -> Calibrated:
    """Fit the curves of a calibration and write what was found.

    Raises
    ------
    InputError
        When a file is not there or not what it should be; then nothing is written.
    RunError
        When another process works in the folder.
    """
    refuse_study_folder(run)
    found = calibrate(calibration, document, observe)
    made_by = {**origin(), "seed": str(calibration.seed)}
    with run.locked():
        run.log("calibrate", "start", curves=len(calibration.curves))
        try:
            _write(calibration, found, made_by, run)
        except Exception:
            run.log("calibrate", "failed", error=traceback.format_exc())
            raise
        run.log("calibrate", "done", seconds=round(found.seconds, 3))
    return found


def _write(calibration: Calibration, found: Calibrated, origin: dict[str, str], run: RunFolder) -> None:
    for old in ("figures", "bpx"):
        shutil.rmtree(run.path / old, ignore_errors=True)
    (run.path / "pulses.csv").unlink(missing_ok=True)
    settings = yaml.safe_dump(calibration.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    write_text(run.path / "calibration.yaml", settings)
    write_whole(run.path / "posterior.nc", partial(_write_posterior, found, origin))
    write_text(run.path / "states.csv", state_table(found.groups).to_csv(lineterminator="\n", float_format="%.8g"))
    if found.pulses:
        pulses = pd.concat(found.pulses, names=["test", "pulse"]).to_csv(lineterminator="\n", float_format="%.8g")
        write_text(run.path / "pulses.csv", pulses)
    _write_bpx(calibration, found, run)
    figures = run.path / "figures"
    figures.mkdir()
    with run.scratch("figures") as scratch:
        drawn = draw_states(found.groups, scratch)
        for path in drawn:
            write_whole(figures / path.name, partial(shutil.copyfile, path))
    curves = [str(name) for name in found.groups["posterior"].indexes["curve"]]
    page = render(
        "calibration.html.jinja",
        name=calibration.name,
        losses=_losses(found),
        curves=curves[:_MOST_COLUMNS],
        electrodes=_electrodes(found),
        pulses=[_pulse_row(name, table) for name, table in found.pulses.items()],
        notes=found.notes,
        figures=embedded([figures / path.name for path in drawn], STATE_CAPTIONS),
        settings=settings,
        origin={words(key): value for key, value in origin.items()},
    )
    write_text(run.path / "report.html", page)


def _write_posterior(found: Calibrated, origin: dict[str, str], path: Path) -> None:
    groups = {name: group.assign_attrs(origin) for name, group in found.groups.items()}
    arviz().InferenceData(**groups).to_netcdf(str(path), engine="h5netcdf")


def _write_bpx(calibration: Calibration, found: Calibrated, run: RunFolder) -> None:
    """Write each cell as a BPX file, numbered, since a curve may have any name."""
    if calibration.bpx_parameter_set is None:
        return
    folder = run.path / "bpx"
    folder.mkdir(exist_ok=True)
    for number, (curve, content) in enumerate(found.cells.items()):
        name = f"{number:03d}_{re.sub(r'[^A-Za-z0-9_-]+', '_', curve)}.json"
        write_text(folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _losses(found: Calibrated) -> list[dict[str, str]]:
    posterior, compared = found.groups["posterior"], found.groups["constant_data"]["compared_with"]
    rows = []
    for curve in posterior.indexes["curve"]:
        reference = str(compared.sel(curve=curve).values)
        for name in (*MODES, *PHASES):
            if name in posterior and reference != curve:
                values = posterior[name].sel(curve=curve).to_numpy()
                rows.append(
                    {
                        "curve": str(curve),
                        "compared_with": reference,
                        "name": posterior[name].attrs["long_name"].removesuffix(" since the curve of comparison"),
                        "mean": percent(values.mean()),
                        "interval": span(*np.quantile(values, _INTERVAL)),
                    }
                )
    return rows


def _electrodes(found: Calibrated) -> list[dict[str, Any]]:
    posterior = found.groups["posterior"].isel(curve=slice(_MOST_COLUMNS))
    rows = []
    for name in _ELECTRODES:
        if name in posterior:
            mean, spread = (getattr(posterior[name], how)(("chain", "draw")).to_numpy() for how in ("mean", "std"))
            label, units = posterior[name].attrs["long_name"], readable(posterior[name].attrs["units"])
            entries = [f"{significant(m, 4)} ± {significant(s, 2)}" for m, s in zip(mean, spread, strict=True)]
            rows.append({"name": name, "label": label[:1].upper() + label[1:], "entries": entries, "units": units})
    return rows


def _pulse_row(name: str, table: pd.DataFrame) -> list[str]:
    """Return name, pulses, resistance, how many tell a diffusion time, it, diffusivity and error, as medians."""
    middle = table.median(numeric_only=True)
    told = int(table["diffusion_time"].notna().sum())
    diffusivity = significant(middle["diffusivity"], 3) if "diffusivity" in middle and told else "-"
    times = [significant(middle["diffusion_time"], 3), diffusivity, significant(1e3 * middle["rmse"], 2)]
    return [name, str(len(table)), significant(middle["resistance"], 4), str(told), *(times if told else ["-"] * 3)]


def _pulse_line(name: str, table: pd.DataFrame) -> str:
    told = table["diffusion_time"].notna()
    line = f"{name}: {len(table)} pulses, resistance {table['resistance'].median():.4g} ohm (median)"
    if told.any():
        line += f"; {told.sum()} tell a diffusion time, {table['diffusion_time'].median():.4g} s (median)"
    if "diffusivity" in table and told.any():
        line += f", diffusivity {table['diffusivity'].median():.3g} m2/s (median)"
    return line


def calibration_lines(found: Calibrated) -> list[str]:
    """Return what a calibration found, the summary last: losses are of the last curve that is compared with another."""
    constant = found.groups["constant_data"]
    lines = [f"{curve}: {note}" for curve, notes in found.notes.items() for note in notes]
    lines += [_pulse_line(name, table) for name, table in found.pulses.items()]
    rmse = float(np.sqrt((constant["curve_rmse"] ** 2).mean()))
    count = constant.sizes["curve"]
    summary = f"curves: {count} rmse_mV: {1e3 * rmse:.2f} seconds_per_curve: {found.seconds / count:.2f}"
    compared = constant["curve"].where(constant["curve"] != constant["compared_with"], drop=True).to_numpy()
    if len(compared):
        losses = found.groups["posterior"].sel(curve=compared[-1])
        for name, values in ((name, losses[name].to_numpy()) for name in MODES):
            summary += f" {name.removesuffix('_since')}: {values.mean():.4f} +- {values.std():.4f}"
    return [*lines, summary]
