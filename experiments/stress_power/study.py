"""The power of stress that cells of iron phosphate lose material with, and second lives foretold by it.

Run as `python experiments/stress_power/study.py`: it tabulates second lives by the engine, then samples them under
powers that are given and under one that is not, from all first lives and without each. It needs measured data:
`fadecast data show uconn_lfp_first_second_life` says where they are from.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from lives import lives_of, tabulate
from rich.console import Console
from second_lives import LAW, Cells, Model, foretold, known, log_density, model_of, size

from fadecast.calibration.diagnostics import arviz
from fadecast.calibration.forgetting import Moved, forget, merged
from fadecast.calibration.shipped_rates import Condition, predict
from fadecast.figures import style
from fadecast.files import write_netcdf, write_whole
from fadecast.measured import uconn_lfp
from fadecast.rate_calibrating import measured_series
from fadecast.scored_cells import SECOND_LIFE_CELSIUS
from fadecast.scoring import crps, levels_of

OUT = Path(__file__).parents[2] / "results" / "reported" / "stress_power"
POWERS = (None, 0.5, 1.0, 2.0)
"""None: unknown, within a factor of e of 2 beforehand."""
FORETOLD = (None, 2.0)
"""Under which first lives are left out as well."""
GROUPS, DRAWS, MOVES, AGAIN = 4, 64, 6, 8
CONSOLE = Console()


def main() -> None:
    """Sample and foretell; write tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=Path, default=Path("results/stress_power/lives.nc"), help="kept table")
    kept = parser.parse_args().lives
    cells, names = measured()
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        ends = np.array([cells.start_soh.min(), cells.start_soh.max()])
        write_netcdf(kept, tabulate(LAW, ends, lambda days: CONSOLE.log(f"table: {days:.1f} days on")))
    lives, film = lives_of(xr.load_dataset(kept)), film_growth()
    rows, scores, foretellings = [], [], {}
    for power in POWERS:
        model = model_of(lives, cells, film, power)
        found = sampled(model)
        row = summary(model, found)
        rows.append({"power": label(power), **row})
        CONSOLE.log(f"power {label(power)}: {', '.join(f'{name} {value:.4g}' for name, value in row.items())}")
        if power in FORETOLD:
            forecast = without_each(model, found)
            foretellings[label(power)] = forecast
            scores += [{"power": label(power), **row} for row in scored(model, forecast, names)]
    OUT.mkdir(parents=True, exist_ok=True)
    for name, table in (("powers", pd.DataFrame(rows)), ("scores", pd.DataFrame(scores))):
        text = table.to_csv(index=False, float_format="%.4g", lineterminator="\n")
        write_whole(OUT / f"{name}.csv", lambda path, text=text: path.write_text(text))
    with style.printed():
        figure = draw(cells, names, foretellings)
        write_whole(OUT / "second_lives.png", partial(figure.savefig, format="png"))
    print_scores(pd.DataFrame(scores))


def measured() -> tuple[Cells, list[str]]:
    """Return the cells that the calibration fits, as it reads them, and their names."""
    series = measured_series("lfp").cycled
    cell, time = np.nonzero(np.isfinite(series.losses[:, 0]))
    names = [f"{group} {cell}" for (group, cell), _ in uconn_lfp.uconn_second_life().groupby(["group", "cell"])]
    readings = cell, series.days[cell, time], series.losses[cell, 0, time]
    return Cells(np.asarray(series.group), np.asarray(series.start_soh), *readings), names


def film_growth() -> tuple[float, float]:
    """Return mean and spread of the logarithm of film growth in a second life, by the posterior that ships."""
    where = Condition(SECOND_LIFE_CELSIUS, 0.5, rests=False, worn=True)
    drawn = predict(LAW.name, where, None, 400, np.random.default_rng(0), "lfp")
    logs = np.log(drawn.multiples[LAW.film[0].parameter])
    return float(logs.mean()), float(logs.std())


def sampled(model: Model) -> Moved:
    """Return draws given all cells, moved from draws of the prior: part by part, cells are no longer left out."""
    count = size(model)
    begun = np.random.default_rng(0).normal(size=(GROUPS, DRAWS, count))
    run = forget(partial(log_density, model), MOVES)
    return run(begun, jnp.eye(count), np.zeros(len(model.cells.group)), jax.random.key(0))


def without_each(model: Model, found: Moved) -> np.ndarray:
    """Foretell the readings of each first life by the others, `(readings, draws)`."""
    cells = model.cells
    run = forget(lambda kept, z: log_density(model, 1.0 - kept, z), MOVES)
    rows = {}
    for number in range(cells.group.max() + 1):
        kept, of = (cells.group != number).astype(float), cells.group[cells.cell] == number
        moved = run(found.z, jnp.eye(size(model)), kept, jax.random.key(1 + number))
        z = merged(moved.z, moved.log_evidence)
        CONSOLE.log(f"without first life {number}: R-hat {r_hat(model, moved):.3f}")
        rows |= dict(zip(np.flatnonzero(of), foretold(model, of, z, AGAIN, number), strict=True))
    return np.stack([rows[n] for n in range(len(cells.days))])


def summary(model: Model, found: Moved) -> dict[str, float]:
    """Return what was found of all cells; `log_evidence` is of measurements under the power, mean over groups."""
    z = jnp.asarray(merged(found.z, found.log_evidence))
    values = jax.vmap(partial(known, model))(z)
    common = {
        "power": 2.0 * np.exp(np.asarray(values.exponent)),
        "spare": 0.4 * np.exp(np.asarray(values.start)),
        "noise_pp": 100.0 * np.asarray(values.noise),
    }
    rows = {"log_evidence": found.log_evidence.mean(), "between_groups": found.log_evidence.std(ddof=1)}
    rows |= {"r_hat": r_hat(model, found), "stages": len(found.shares)}
    for name, draws in common.items():
        rows |= {f"{name}_p{100 * level:02.0f}": np.quantile(draws, level) for level in (0.05, 0.5, 0.95)}
    return rows


def r_hat(model: Model, found: Moved) -> float:
    """Return the largest R-hat between groups of draws of what was not given."""
    given = {"exponent"} if model.power is not None else set()
    told = [n for n, name in enumerate(model.priors) if name not in given]
    told += range(len(model.priors), found.z.shape[-1])
    return max(float(arviz().rhat(found.z[..., n])) for n in told)


def scored(model: Model, forecast: np.ndarray, names: list[str]) -> list[dict[str, object]]:
    """Return errors [percentage points of the capacity at the start] at the last check-up, and what lies inside."""
    cells, rows = model.cells, []
    of_draws = forecast.reshape(len(forecast), -1, AGAIN)
    low, middle, high = levels_of(of_draws)
    inside = (low <= cells.lost) & (cells.lost <= high)
    for number, name in enumerate(names):
        of = np.flatnonzero(cells.cell == number)
        end = of[-1]
        rows.append(
            {
                "cell": name,
                "days": cells.days[end],
                "error_pp": 100.0 * (cells.lost[end] - middle[end]),
                "interval_width_pp": 100.0 * (high[end] - low[end]),
                "inside_90": int(inside[end]),
                "check_ups_inside_90": inside[of].mean(),
                "crps_pp": 100.0 * crps(of_draws[end], cells.lost[end]),
            }
        )
    return rows


def print_scores(scores: pd.DataFrame) -> None:
    """Print medians over cells under each power."""
    for power, rows in scores.groupby("power", sort=False):
        print(
            f"power {power}: {len(rows)} cells, error {rows['error_pp'].abs().median():.2f} pp (median), "
            f"interval {rows['interval_width_pp'].median():.1f} pp, inside {rows['inside_90'].sum()} of {len(rows)}, "
            f"crps {rows['crps_pp'].mean():.2f} pp"
        )


def label(power: float | None) -> str:
    """Name a power."""
    return "unknown" if power is None else f"{power:g}"


def draw(cells: Cells, names: list[str], forecasts: dict[str, np.ndarray]):
    """Draw what was foretold of each cell, and what was measured."""
    figure = style.page(9.0)
    axes = figure.subplots(7, 3, sharex=True, sharey=True)
    for number, (name, panel) in enumerate(zip(names, axes.ravel(), strict=True)):
        of = cells.cell == number
        for color, (power, forecast) in zip(("C0", "C1"), forecasts.items(), strict=True):
            levels = 1.0 - levels_of(forecast[of].reshape(of.sum(), -1, AGAIN))
            panel.fill_between(cells.days[of], levels[0], levels[2], color=color, alpha=0.25, linewidth=0.0)
            panel.plot(cells.days[of], levels[1], color=color, label=f"power {power}")
        panel.plot(cells.days[of], 1.0 - cells.lost[of], "k.", markersize=3, label="measured")
        panel.set_title(name, fontsize="small")
        style.in_percent(panel, y=True)
    for panel in axes[-1]:
        panel.set_xlabel("time [day]")
    axes[3, 0].set_ylabel("capacity over that at the start [%]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


if __name__ == "__main__":
    main()
