"""The tables of `fadecast score`: what was forecast of each cell, and how it came true."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from fadecast.scored_cells import Case, beyond_fitted, may_know
from fadecast.scoring import levels_of, root_of_time, score


class Foretold(NamedTuple):
    """A forecast of one cell at its check-ups."""

    days: Float[np.ndarray, " check_ups"]
    """Median; NaN where check-ups are by cycles and were not reached."""
    cycles: Float[np.ndarray, " check_ups"]
    """Equivalent full cycles, median; NaN where check-ups are by days and were not reached."""
    retention: Float[np.ndarray, "check_ups draws readings"]
    """Of the draws that followed the protocol to its end [1]."""
    followed: bool
    """Whether these are enough."""


def forecast_table(cases: Sequence[Case], foretold: Mapping[str, Foretold]) -> pd.DataFrame:
    """Return a row for each cell and check-up; without quantiles where too few draws followed the protocol."""
    parts = []
    for case in cases:
        found = foretold[case.name]
        unknown = np.full(len(found.days), np.nan)
        low, middle, high = levels_of(found.retention) if found.followed else (unknown,) * 3
        parts.append(
            pd.DataFrame(
                {
                    "cell": case.name,
                    "set": case.group,
                    "days": found.days,
                    "equivalent_full_cycles": found.cycles,
                    "retention_p05": low,
                    "retention_p50": middle,
                    "retention_p95": high,
                    "retention_measured": unknown if case.measured is None else case.measured,
                    "draws": found.retention.shape[1],
                    "extrapolates": "; ".join(beyond_fitted(case)),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def score_table(cases: Sequence[Case], foretold: Mapping[str, Foretold]) -> pd.DataFrame:
    """Return a row for each cell that was measured and could be forecast."""
    rows = []
    for case in cases:
        mine = foretold[case.name]
        if case.measured is None or not mine.followed:
            continue
        found = score(mine.retention, case.measured)
        rows.append(
            {
                "cell": case.name,
                "set": case.group,
                "days": mine.days[-1],
                "measured_loss_pp": 100.0 * found.fade,
                "error_pp": 100.0 * found.error,
                "interval_width_pp": 100.0 * found.width,
                "inside_90": int(found.inside),
                "check_ups_inside_90": found.inside_share,
                "crps_pp": 100.0 * found.crps,
                "root_of_time_error_pp": 100.0 * _root_of_time_error(case, cases, foretold),
            }
        )
    return pd.DataFrame(rows)


def _root_of_time_error(case: Case, cases: Sequence[Case], foretold: Mapping[str, Foretold]) -> float:
    """Return by how much a root of time of other cells is off at the end [1]; NaN where there are none."""
    others = [
        (foretold[other.name].days, other.measured)
        for other in cases
        if other.measured is not None and may_know(case, other) and np.isfinite(foretold[other.name].days).all()
    ]
    if not others or case.group == "cells" or case.measured is None:
        return float("nan")
    days, fade = (list(each) for each in zip(*others, strict=True))
    return float(root_of_time(days, fade, float(foretold[case.name].days[-1])) - case.measured[-1])


def score_lines(forecast: pd.DataFrame, scores: pd.DataFrame, failed: Sequence[str]) -> list[str]:
    """Return how forecasts came true, the summary last; `failed` says why some cells have none."""
    lines = [f"not forecast: {why}" for why in failed]
    if scores.empty:
        cells = forecast["cell"].nunique() - len(failed)
        return [*lines, f"cells: {cells} median_abs_error_pp: not_measured coverage_90: not_measured"]
    for name, rows in scores.groupby("set", sort=False):
        error, loss = rows["error_pp"].abs(), rows["measured_loss_pp"]
        lines.append(
            f"{name}: {len(rows)} cells, error {error.median():.2f} pp (median), {(error / loss).median():.0%} of the "
            f"loss, interval {rows['interval_width_pp'].median():.1f} pp, crps {rows['crps_pp'].mean():.2f} pp, "
            f"root of time {rows['root_of_time_error_pp'].abs().median():.2f} pp"
        )
    return [
        *lines,
        f"cells: {len(scores)} median_abs_error_pp: {scores['error_pp'].abs().median():.3f} "
        f"coverage_90: {scores['inside_90'].mean():.3f}",
    ]
