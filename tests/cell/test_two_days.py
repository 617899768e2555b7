"""Two days of load: every slow state within 1e-3 of IDAKLU at 1e-8, the voltage within 1 mV rms.

The cases of `benchmarks/two_days.py`, through its functions.
"""

from functools import cache

import numpy as np
import pytest

from fadecast.cell.profile import Stepping
from fadecast.cell.reference import PowerRuns
from fadecast.measured.catalogue import data_root
from two_day_loads import DAYS, HELIOS, LOADS
from two_days import CONDITIONS, FINER, MODELS, STEPPING, Ends, demand, errors, solved, stepped

# Near full charging power this cell has hardly any salt left in its negative electrode: IDAKLU finds no solution any
# more.
WITHOUT_SALT = "SPMe", (2.0, 0.0)


@cache
def load_of(load: str, model: str, hours: float) -> tuple[float, np.ndarray]:
    """Load step and power of all nine conditions."""
    shape = LOADS[load]().first(hours)
    return shape.load_step, demand(model, shape)


@cache
def ours(load: str, model: str, hours: float, stepping: Stepping, steps: int) -> Ends:
    """End of all nine conditions after some load steps."""
    load_step, power = load_of(load, model, hours)
    return stepped(model, stepping, load_step, power[:steps])


@cache
def idaklu(model: str, compiled: bool) -> PowerRuns:
    return PowerRuns(MODELS[model], compiled=compiled)


def check(load: str, model: str, lane: int, hours: float) -> None:
    load_step, power = load_of(load, model, hours)
    truth = solved(idaklu(model, hours > 2), model, lane, load_step, power)
    steps = len(truth.voltage)
    whole = (model, CONDITIONS[lane]) != WITHOUT_SALT or hours < 2
    assert steps == len(power) if whole else steps * load_step > 2 * 3600.0
    mine = ours(load, model, hours, STEPPING if whole else FINER, steps)
    found = errors(model, lane, mine.of(lane), truth)
    assert found.pop("voltage") < 1e-3
    assert max(found.values()) < 1e-3, found


def test_an_hour_of_regulation_agrees_with_idaklu():
    check("regulation", "SPM", CONDITIONS.index((1.0, 25.0)), 1.0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lane", range(len(CONDITIONS)))
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("load", LOADS)
def test_two_days_agree_with_idaklu(load, model, lane):
    if load == "AI measured" and not (data_root() / HELIOS).is_file():
        pytest.skip(f"{HELIOS} is not in {data_root()}")
    check(load, model, lane, 24.0 * DAYS)
