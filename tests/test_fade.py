"""The fade dataset: same bits however the work is divided, failures masked, effects in the expected direction."""

import jax
import numpy as np
import pytest

from fadecast import ensemble
from fadecast.cell.model import build_cell
from fadecast.decades.years import Decades
from fadecast.duty import Duty, Site, make_duty
from fadecast.ensemble import Execution, make_ensemble
from fadecast.fade import capacity_of
from fadecast.forecast import Forecast, make_fade
from fadecast.operated import Cell
from fadecast.outcome import Outcome
from fadecast.population import Population, in_service, make_population
from fadecast.warranty import Contract, Premium, price

DRAWS, PACKS, PACK_KWH = 2, 16, 78.0
DECADES = Decades(typical_days=2, output_interval_days=182.5, check_days=0)
SEI, LLI = "SEI solvent diffusivity [m2.s-1]", "Loss of lithium inventory"


class Memory(dict):
    """Finished tiles, kept in memory."""

    load = dict.get
    save = dict.__setitem__


@pytest.fixture(scope="module")
def duty():
    return make_duty(Site(), Duty(timestep_minutes=60), DRAWS, PACKS, 1)


@pytest.fixture(scope="module")
def population(duty):
    chemistry = Cell().chemistry
    share = capacity_of(build_cell(chemistry))
    return make_population(Population(), DRAWS, PACKS, 1, share, service=in_service(chemistry, duty))


def forecast(duty, population, workers=1, shards=None, decades=DECADES):
    shards = Memory() if shards is None else shards
    execution = Execution(tile=16, workers=workers)
    packs = make_ensemble(Cell(), decades, duty, population, 1.0, execution)
    return make_fade(Forecast(packs, shards, PACK_KWH), lambda event, details: None)


@pytest.fixture(scope="module")
def fade(duty, population):
    return forecast(duty, population)


def changed(population, name, factor, pack=slice(None)):
    result = population.copy(deep=True)
    result["parameter_value"].loc[{"parameter": name, "pack": pack}] *= factor
    return result


def test_capacity_drifts_off_the_model_as_the_population_says(duty, population):
    of_packs = np.where(np.arange(PACKS) % 2, -0.02, 0.5)
    model, drifted = (
        forecast(duty, population.assign(retention_drift=(("draw", "pack"), np.tile(drift, (DRAWS, 1)))))
        for drift in (0.0 * of_packs, of_packs)
    )
    np.testing.assert_array_equal(drifted["lli"], model["lli"])
    better, (worse, model) = (
        drifted.isel(pack=slice(0, None, 2)),
        (f.isel(pack=slice(1, None, 2)) for f in (drifted, model)),
    )
    years = model["time"].values
    np.testing.assert_allclose(worse["retention"], model["retention"] - 0.02 * years, atol=1e-12)
    # Gained back to the start at most.
    assert (better["retention"].isel(time=slice(1, None)) == 1.0).all()
    start = model["soh"].isel(time=0)
    np.testing.assert_allclose(worse["soh"], start * worse["retention"], rtol=1e-12)


def test_the_bits_do_not_depend_on_workers_or_on_what_was_finished_before(duty, population, fade):
    shards = Memory()
    for again in (
        forecast(duty, population, 2, shards),
        forecast(duty, population, 1, Memory(list(shards.items())[:1])),
    ):
        assert again.identical(fade)


def test_check_ups_do_not_know_how_many_are_taken_together(duty, population, fade, monkeypatch):
    # Two times at once, of three: the second group is filled up.
    monkeypatch.setattr(ensemble, "grouped_lanes", lambda: 32)
    again = forecast(duty, population)
    for name in ("capacity", "resistance"):
        assert again[name].shape == (DRAWS, PACKS, 3)
        np.testing.assert_allclose(again[name], fade[name], rtol=1e-12)


def test_fewer_lanes_than_a_tile_has_can_be_checked_up(duty, population, fade):
    packs = ensemble.make_ensemble(Cell(), DECADES, duty, population, 1.0, Execution(tile=32))
    slow, inputs, _ = packs.start(np.arange(PACKS))
    health = packs._health(jax.tree.map(lambda value: np.stack([value] * 3), slow), inputs)
    assert health.capacity.shape == (3, PACKS)
    np.testing.assert_allclose(health.capacity, np.stack([fade["capacity"][0, :, 0]] * 3), rtol=1e-12)


def test_each_pack_starts_at_its_sampled_soh_and_fades(population, fade):
    assert fade["retention"].dims == ("draw", "pack", "time")
    np.testing.assert_allclose(fade["soh"].isel(time=0), population["initial_soh"], atol=0.01)
    assert (fade["retention"].diff("time") < 0).all()
    assert (fade["lli"].diff("time") > 0).all()
    assert fade["outcome"].attrs["flag_meanings"].split()[0] == "completed"


def test_absurd_parameters_end_packs_with_a_code_and_no_other_tile_sees_them(duty, population, fade):
    sick = population.copy(deep=True)
    absurd = {0: 1e30, 1: np.inf, 2: np.nan, 3: -1.0, 4: 1e-300}
    for pack, value in absurd.items():
        where = {"draw": 0, "pack": pack, "parameter": SEI}
        sick["parameter_value"].loc[where] = value * sick["parameter_value"].loc[where]
    sick["parameter_value"].loc[{"draw": 0, "pack": 5, "parameter": LLI}] = 0.995
    result = forecast(duty, sick)
    outcome, capacity = result["outcome"].values, result["capacity"].values
    ended = outcome[0] != Outcome.COMPLETED
    assert ended[:3].all()
    assert outcome[0, 5] == Outcome.AGED_START_INFEASIBLE
    assert np.isnan(capacity[0, 5]).all()
    assert not ended[6:].any()
    # Whatever became of it, a pack that is said to have come through has numbers, and one that has not is masked.
    assert np.isfinite(capacity[0][~ended]).all()
    assert np.isnan(capacity[0, ended, -1]).all()
    for name in ("capacity", "resistance", "charge_throughput", "outcome"):
        np.testing.assert_array_equal(result[name].values[1], fade[name].values[1])
    with pytest.raises(ValueError, match="max_failed_share"):
        price(result, Contract(term_years=1.0, guarantee=((1.0, 0.9),)), Premium(), PACK_KWH, 1)


def test_a_faster_rate_or_more_lithium_lost_moves_fade_and_price(duty, population, fade):
    contract = Contract(term_years=1.0, guarantee=((1.0, 0.999),), measure="retention")
    soh_contract = Contract(term_years=1.0, guarantee=((1.0, 0.80),), measure="soh")
    fast = forecast(duty, changed(population, SEI, 10.0))
    poor = forecast(duty, changed(population, LLI, 1.1))
    # Every pack loses more lithium; one whose capacity its active material limits need not lose capacity for it.
    assert (fast["lli"].isel(time=-1) > fade["lli"].isel(time=-1)).all()
    assert float(fast["retention"].isel(time=-1).median()) < float(fade["retention"].isel(time=-1).median()) - 0.005
    assert (poor["lli"] > fade["lli"]).all()
    assert float(poor["soh"].isel(time=0).median()) < float(fade["soh"].isel(time=0).median()) - 0.01
    loss = lambda data, terms: float(price(data, terms, Premium(), PACK_KWH, seed=1)["expected_loss"])  # noqa: E731
    assert loss(fast, contract) > loss(fade, contract) > 0
    assert loss(poor, soh_contract) > loss(fade, soh_contract) > 0


def test_the_error_of_the_leap_is_measured(duty, population):
    measured = forecast(duty, population, decades=Decades(typical_days=2, output_interval_days=182.5, check_days=30))
    assert 0 < measured.attrs["soh_error_pp"] < 0.2
    assert 0 < measured.attrs["resistance_error_percent"] < 1.0
    assert measured.attrs["soh_error_days"] == 30
