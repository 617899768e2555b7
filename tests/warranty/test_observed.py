import numpy as np
import pytest

from fadecast.outcome import Outcome
from fadecast.warranty import observed
from fadecast.warranty.observed import blocks, check_fade, clusters, interpolate

from .hand_made import fade_of, linear_fade

FADE = linear_fade([[0.8, 0.6]])


@pytest.mark.parametrize(
    ("fade", "message"),
    [
        (FADE.drop_vars("soh"), "no variable 'soh'"),
        (FADE.isel(pack=0), "has dims"),
        (FADE.expand_dims(group=2), "has dims"),
        (FADE.isel(draw=slice(0, 0)), "is empty"),
        (FADE.drop_vars("time"), "no coordinate 'time'"),
        (FADE.assign_coords(time=("time", FADE.time.values, {})), "expected numbers in units 'year'"),
        (FADE.assign_coords(time=("time", FADE.time.values, {"units": "h"})), "units 'h'"),
        (FADE.assign_coords(time=("time", FADE.time.values + 1.0, {"units": "year"})), "starts at 1 year"),
        (FADE.isel(time=[0, 2, 1, 10]), "not rising at index 2"),
        (FADE.isel(time=slice(0, 6)), "ends after 5 years, the contract after 10"),
        (FADE.assign(retention=FADE.retention.assign_attrs(units="%")), "is in '%'"),
        (FADE.assign(pack_weight=0.0), "pack_weight is 0"),
        (FADE.assign(pack_weight=("pack", [1.0, 2.0])), "pack_weight is"),
        (FADE.assign(duty_draw=("pack", [0, 1])), "duty_draw has dims"),
        (FADE.assign(outcome=(("pack", "time"), np.zeros((2, 11)))), "'outcome' has dims"),
    ],
)
def test_a_dataset_that_cannot_be_priced_is_refused(fade, message):
    with pytest.raises(ValueError, match=message):
        check_fade(fade, 10.0)


@pytest.mark.parametrize("factor", [100.0, -1.0, np.inf])
def test_values_out_of_range_are_refused(factor):
    with pytest.raises(ValueError, match="give fractions"):
        list(blocks(check_fade(FADE.assign(soh=FADE.soh * factor), 10.0)))


def test_order_of_dims_and_other_content_do_not_matter():
    other = FADE.transpose("time", "draw", "pack").assign(capacity=5.0).assign_coords(site=("pack", ["a", "b"]))
    assert check_fade(other, 10.0).equals(check_fade(FADE, 10.0))


def test_blocks_cover_the_draws_in_order(monkeypatch):
    fade = linear_fade(np.linspace(0.5, 0.9, 7)[:, None])
    monkeypatch.setattr(observed, "_BLOCK", 3 * fade.retention[0].size)
    parts = list(blocks(check_fade(fade, 10.0)))
    assert [part.draws.start for part in parts] == [0, 3, 6]
    np.testing.assert_array_equal(np.concatenate([part.retention for part in parts]), fade.retention)


@pytest.mark.parametrize("end", [Outcome.CAPACITY_EXHAUSTED, Outcome.PORES_CLOSED])
def test_a_pack_at_the_end_of_its_life_measures_nothing_a_failed_run_is_unknown(end):
    ends = np.full((1, 2, 3), np.nan)
    ends[:, :, :2] = [1.0, 0.8]
    fade = fade_of(ends, [0.0, 5.0, 10.0])
    fade["outcome"] = (("draw", "pack"), [[end, Outcome.NOT_FINITE]])
    (block,) = blocks(check_fade(fade, 10.0))
    np.testing.assert_array_equal(block.retention[0], [[1.0, 0.8, 0.0], [1.0, 0.8, np.nan]])
    assert np.isnan(fade.retention).sum() == 2, "the caller's dataset was changed"


@pytest.mark.parametrize(("year", "expected"), [(0.0, 1.0), (1.0, 0.9), (2.0, 0.8), (4.0, 0.7), (6.0, 0.6)])
def test_interpolation_is_straight(year, expected):
    values = np.array([[[1.0, 0.8, 0.6, np.nan]]])
    assert interpolate(values, np.array([0.0, 2.0, 6.0, 9.0]), year) == pytest.approx(expected)


def test_interpolation_into_the_unknown_is_unknown():
    assert np.isnan(interpolate(np.array([[[1.0, np.nan]]]), np.array([0.0, 2.0]), 1.0))


def test_draws_are_independent_unless_they_name_a_year_that_they_share():
    fade = linear_fade([[0.8], [0.7], [0.6]])
    np.testing.assert_array_equal(clusters(fade), [0, 1, 2])
    np.testing.assert_array_equal(clusters(fade.assign(duty_draw=("draw", [4, 2, 4]))), [1, 0, 1])
