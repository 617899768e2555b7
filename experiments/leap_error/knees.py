"""Does the leap see a knee? Cells whose anode is lost to stress that its loss raises, against every day.

Run as `python experiments/leap_error/knees.py`, after `study.py` or before it. The default site by the hour, three aged
cells that lose negative material 60, 100 and 150 times as fast as fitted.
"""

from dataclasses import replace

import jax
import numpy as np
import pandas as pd
from comparison import NAMEPLATE, Result
from study import OUT, SEED, lanes_of, run

from fadecast.cell.aged import SlowState
from fadecast.cell.health import check_up
from fadecast.decades.leap import march
from fadecast.decades.years import day_batch
from fadecast.duty import Duty, Site, make_duty
from fadecast.ensemble import Ensemble
from fadecast.figures import style

RATE = "Negative electrode LAM constant proportional term [s-1]"
FACTORS = np.array([60.0, 100.0, 150.0])
DAYS = np.linspace(0.0, 1095.0, 74).round()
MORE = (16, 24, 48)
LONG = np.array([0.0, 365.0, 730.0, 1095.0])


def main() -> None:
    """Run leap, every day, and steps of a year."""
    ensemble = lanes_of(make_duty(Site(), Duty(timestep_minutes=60), 1, 64, SEED))
    population = ensemble.population.copy(deep=True)
    value = population["parameter_value"]
    value.loc[{"parameter": RATE}] = value.sel(parameter=RATE) * FACTORS
    ensemble = replace(ensemble, population=population)
    found, truth = (run(ensemble, years=DAYS, mode=mode) for mode in ("leap", "direct"))
    for count in MORE:
        print(f"{count} typical days: end of service {run(ensemble, years=DAYS, typical_days=count)[0].last_good}")
    OUT.mkdir(parents=True, exist_ok=True)
    names = [f"{factor:g}" for factor in FACTORS]
    by_mode = {"leap": soh(found), "direct": soh(truth)}
    columns = {f"{mode} {name}": values[:, n] for mode, values in by_mode.items() for n, name in enumerate(names)}
    pd.DataFrame({"day": DAYS} | columns).to_csv(OUT / "knees.csv", index=False, float_format="%.5g")
    lengths = ", ".join(f"{length:.0f}" for length in np.diff(found[0].macro_steps))
    print(
        f"macro steps [day]: {lengths}; {found[0].cell_days / 3:.0f} against {truth[0].cell_days / 3:.0f} days a cell"
    )
    print(f"end of service [day]: leap {found[0].last_good}, direct {truth[0].last_good}")
    far = long_steps(ensemble)
    print(f"SOH by steps of a year:\n{far}")
    draw(by_mode, far, found[0].macro_steps)


def soh(result: Result) -> np.ndarray:
    """Return SOH, `(times, lanes)`, NaN after the end of service."""
    history, health = result
    return np.where(DAYS[:, None] <= history.last_good, np.asarray(health.capacity) / NAMEPLATE, np.nan)


def long_steps(ensemble: Ensemble) -> np.ndarray:
    """Return SOH by steps of a year, NaN from where no material is left."""
    slow, inputs, _ = ensemble.start(np.arange(len(FACTORS)))
    count = len(ensemble.prepared.typical(0).day)
    days = day_batch([ensemble.prepared.typical(0)] * len(FACTORS), ensemble.operation.cell, count)
    rows = march(ensemble.operation, slow, inputs, days, ensemble.spin_up, LONG)
    measure = jax.jit(check_up, static_argnums=0)
    capacity = [
        measure(ensemble.operation.cell, SlowState(*row), inputs).capacity[0] for row in zip(*rows, strict=True)
    ]
    sound = np.asarray(rows.active_fraction_ne)[:, 0] > 0.0
    return np.where(np.logical_and.accumulate(sound), np.stack(capacity) / NAMEPLATE, np.nan)


def draw(by_mode: dict[str, np.ndarray], far: np.ndarray, ends: np.ndarray) -> None:
    """Draw SOH by each way of stepping, and the lengths of the macro steps."""
    with style.printed():
        figure = style.page(4.0)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for lane, (factor, color) in enumerate(zip(FACTORS, style.SERIES, strict=False)):
            above.plot(DAYS, 100 * by_mode["leap"][:, lane], color=color, label=f"rate × {factor:g}")
            above.plot(DAYS[::3], 100 * by_mode["direct"][::3, lane], ".", color=color)
            above.plot(LONG, 100 * far[:, lane], "x:", color=color)
        above.plot([], [], "-", color=style.GREY, label="leap")
        above.plot([], [], ".", color=style.GREY, label="every day")
        above.plot([], [], "x:", color=style.GREY, label="steps of a year")
        above.set_ylabel("SOH [%]")
        below.step(ends, np.append(np.diff(ends), np.nan), where="post", color=style.BLACK)
        below.set_yscale("log")
        below.set_ylabel("Macro step [day]")
        below.set_xlabel("Time in service [day]")
        style.legend_above(figure, above, columns=6)
        figure.savefig(OUT / "knees.png")


if __name__ == "__main__":
    main()
