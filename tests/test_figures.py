import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import hand_made_study
from fadecast.decades.years import Decades, represented
from fadecast.figures import CAPTIONS, make_figures
from fadecast.figures.load import Series, load_statistics, spectrum
from fadecast.figures.losses import loss_exceedance
from fadecast.figures.retention import bin_edges, end_of_term, fade_fan, within_reach
from fadecast.figures.site import coldest_week, warmest_week
from fadecast.figures.statistics import (
    capacity_left,
    draw_medians,
    evenly_ranked,
    loss_probability,
    outcome_counts,
    quantiles,
    sample_note,
    share_below,
    yearly,
)
from fadecast.figures.style import WIDTH
from fadecast.figures.survival import survival
from fadecast.figures.terms import contract_of, resolution_note
from fadecast.figures.units import readable
from fadecast.outcome import Outcome

NAN = np.nan


@pytest.fixture(scope="module")
def duty():
    return hand_made_study.duty()


def drawn(folder, duty, fade, priced, trace=None, measured=None, typical=None):
    population = hand_made_study.population(fade.sizes["draw"], fade.sizes["pack"])
    return make_figures(duty, population, fade, priced, trace, folder, measured, typical)


def png_size(path):
    return struct.unpack(">II", path.read_bytes()[16:24])


def test_quantiles_are_over_packs_and_draws_together():
    values = np.array([[[1.0], [2.0]], [[3.0], [NAN]], [[4.0], [5.0]]])
    assert quantiles(values, (0.0, 0.25, 0.5, 1.0)).tolist() == [[1.0], [2.0], [3.0], [5.0]]


def test_quantiles_of_nothing_known_are_nan():
    assert np.isnan(quantiles(np.full((2, 3, 1), NAN), (0.5,))).all()


@pytest.mark.parametrize(
    ("packs", "median"), [([3.0], 3.0), ([4.0, 1.0], 2.5), ([9.0, 1.0, 2.0], 2.0), ([NAN, 5.0, 7.0], 6.0), ([NAN], NAN)]
)
def test_median_of_a_draw_is_of_its_known_packs(packs, median):
    np.testing.assert_array_equal(draw_medians(np.array(packs)[None, :, None]), [[median]])


def test_medians_do_not_mix_draws():
    values = np.array([[[1.0, 0.9], [1.0, 0.7]], [[1.0, 0.5], [1.0, 0.3]]])
    np.testing.assert_allclose(draw_medians(values), [[1.0, 0.8], [1.0, 0.4]])


def test_loss_counts_packs_that_recover_and_leaves_out_the_unseen():
    retention = np.array(
        [
            [[1.0, 0.79, 0.85], [1.0, 0.80, 0.80]],  # lost and came back; never below
            [[1.0, NAN, NAN], [1.0, 0.9, 0.5]],  # unseen from then on; lost at the end
        ]
    )
    together, by_draw = loss_probability(retention)
    np.testing.assert_allclose(together, [0.0, 1 / 3, 2 / 3])
    np.testing.assert_allclose(by_draw, [[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])


def test_loss_of_packs_never_seen_is_nan():
    together, by_draw = loss_probability(np.full((1, 2, 2), NAN))
    assert np.isnan(together).all()
    assert np.isnan(by_draw).all()


def test_share_below_a_limit():
    together, by_draw = share_below(np.array([[[0.6], [0.7]], [[NAN], [0.69]]]), 0.7)
    assert together.tolist() == [2 / 3]
    assert by_draw.tolist() == [[0.5], [1.0]]


def test_probability_at_three_years_is_that_of_the_price():
    fade = hand_made_study.fade(6, 20, failed=[(0, 0)], exhausted=[(1, 3), (2, 5)])
    together, _ = loss_probability(capacity_left(fade), left=0.80)
    at_three = together[fade["time"].to_numpy() == 3.0].item()
    assert at_three == pytest.approx(hand_made_study.priced(fade)["tail_event_probability"].item(), abs=1e-15)
    assert 0.0 < at_three < 1.0


def test_a_pack_at_the_end_of_life_holds_nothing_and_a_failed_one_is_unknown():
    values = capacity_left(hand_made_study.fade(2, 3, failed=[(0, 1)], exhausted=[(1, 2)]))
    assert values[1, 2, -1] == 0.0
    assert np.isnan(values[0, 1, -1])
    assert np.isfinite(values[:, :, 0]).all()


def test_yearly_rate_of_a_cumulative_quantity():
    assert yearly(np.array([[[0.0, 1.0, 4.0]]]), np.array([0.0, 0.5, 2.0])).tolist() == [[[2.0, 2.0]]]


def test_evenly_ranked_holds_the_extremes():
    values = np.array([3.0, 9.0, 1.0, 7.0, 5.0])
    assert values[evenly_ranked(values, 3)].tolist() == [1.0, 5.0, 9.0]
    assert values[evenly_ranked(values, 10)].tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_outcomes_are_counted_and_said():
    fade = hand_made_study.fade(2, 4, failed=[(0, 0), (1, 1)], exhausted=[(1, 2)])
    counts = outcome_counts(fade)
    assert (counts[Outcome.COMPLETED], counts[Outcome.NOT_FINITE], counts[Outcome.CAPACITY_EXHAUSTED]) == (5, 2, 1)
    note = sample_note(fade)
    assert "2 draws of 4 packs" in note
    assert "2 of 8 runs failed" in note
    assert "1 pack reached the end of life and counts as empty capacity" in note
    assert "1 pack reached the end of life and counts no longer" in sample_note(fade, of_capacity=False)
    assert outcome_counts(fade.drop_vars("outcome"))[Outcome.NOT_FINITE] == 3


@pytest.mark.parametrize("values", [[0.8], [0.8, 0.8], [0.0, 0.95], [0.70, 0.71], [0.0]])
def test_bins_are_equal_and_hold_every_value(values):
    edges = bin_edges(np.array(values))
    counts, _ = np.histogram(values, edges)
    assert counts.sum() == len(values)
    assert np.ptp(np.diff(edges)) < 1e-12
    assert edges.size <= 53


@pytest.mark.parametrize(
    ("level", "values", "expected"),
    [(0.7, [0.8, 0.9], True), (0.7, [0.98, 1.0], False), (0.7, [0.9, 0.9], False), (0.7, [0.2, NAN], False)],
)
def test_a_guarantee_far_from_all_values_is_out_of_reach(level, values, expected):
    assert within_reach(level, np.array(values)) is expected


def test_a_guarantee_out_of_reach_is_named_in_words():
    fade = hand_made_study.fade(2, 3, spread=False)
    priced = hand_made_study.priced(fade, guarantee=((10.0, 0.01),))
    for figure in (fade_fan(fade, priced, None), end_of_term(fade, priced)):
        assert not any("guaranteed" in label for label in labelled(figure))
        assert "1 %" in figure.get_supxlabel()


def test_weeks_are_the_coldest_and_the_warmest():
    temperature = np.zeros(8760)
    temperature[168 * 3 : 168 * 4], temperature[168 * 30 : 168 * 31] = -5.0, 5.0
    year = xr.Dataset({"ambient_temperature": ("hour", temperature)}, coords={"hour": np.arange(8760.0)})
    assert coldest_week(year) == slice(168 * 3, 168 * 4)
    assert warmest_week(year) == slice(168 * 30, 168 * 31)


@pytest.mark.parametrize(
    ("cf", "text"),
    [
        ("USD.kW-1.h-1", "USD/kWh"),
        ("kW.h", "kWh"),
        ("A.h", "Ah"),
        ("degC", "°C"),
        ("1", ""),
        ("h-1", "1/h"),
        ("m2.s-1", "m²/s"),
        ("mol.m-3", "mol/m³"),
        ("USD.year", "USD·year"),
        ("ohm", "Ω"),
        ("per cent of it", "per cent of it"),
    ],
)
def test_units_are_readable(cf, text):
    assert readable(cf) == text


def test_the_terms_survive_the_price_dataset():
    curve = ((1.0, 0.95), (10.0, 0.60))
    contract = contract_of(hand_made_study.priced(hand_made_study.fade(2, 2), guarantee=curve, measure="soh"))
    assert (contract.guarantee, contract.measure, contract.term_years) == (curve, "soh", 10.0)
    assert contract_of(xr.Dataset()) is None


def test_the_note_names_what_is_not_resolved():
    priced = hand_made_study.priced(hand_made_study.fade(2, 2))
    assert "Draws share" not in resolution_note(priced)
    assert "Draws share 1 year of weather" in resolution_note(priced.assign_attrs(years_of_duty=1))
    note = resolution_note(priced)
    assert "2 draws" in note
    assert "99.5 % (needs 4,000 draws)" in note


def test_every_figure_is_written_for_a_page(tmp_path, duty):
    fade = hand_made_study.with_site(hand_made_study.fade(4, 6, failed=[(1, 2)], exhausted=[(3, 4)]))
    measured = pd.DataFrame({"time": [0.0, 1.0], "retention": [1.0, 0.97], "label": ["cell", "cell"]})
    typical = represented(Decades(typical_days=4), duty, 0)
    paths = drawn(
        tmp_path / "new", duty, fade, hand_made_study.priced(fade), hand_made_study.trace(), measured, typical
    )
    assert [path.name for path in paths] == [f"{name}.png" for name in CAPTIONS]
    for path in paths:
        width, height = png_size(path)
        assert width == round(200 * WIDTH)
        assert 600 < height < 1200
        assert path.stat().st_size > 20_000


def labelled(figure):
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


def test_the_fan_shows_median_guarantee_and_measured_points():
    fade = hand_made_study.fade(3, 4)
    priced = hand_made_study.priced(fade, guarantee=((2.0, 0.9), (10.0, 0.6)), inspection_interval_years=5.0)
    measured = pd.DataFrame({"time": [2.0, 3.0], "retention": [0.9, 0.8], "label": ["cell", "cell"]})
    lines = labelled(fade_fan(fade, priced, measured))
    retention = fade["retention"].to_numpy()
    np.testing.assert_allclose(lines["median of all packs and draws"].get_ydata(), np.median(retention, axis=(0, 1)))
    assert lines["guaranteed curve"].get_xydata().tolist() == [[0.0, 0.9], [2.0, 0.9], [10.0, 0.6]]
    np.testing.assert_allclose(lines["inspection of the guarantee"].get_xydata(), [[5.0, 0.7875], [10.0, 0.6]])
    assert lines["measured: cell"].get_xydata().tolist() == [[2.0, 0.9], [3.0, 0.8]]
    drawn_medians = [line.get_ydata() for line in lines.values() if len(line.get_xdata()) == fade.sizes["time"]]
    assert len(drawn_medians) == 1 + 3


def test_the_exceedance_curve_steps_down_behind_each_draw():
    priced = hand_made_study.priced(hand_made_study.fade(4, 30), guarantee=((10.0, 0.9),))
    x, y = labelled(loss_exceedance(priced))["portfolio loss"].get_data()
    loss = np.sort((priced["loss"].sum("pack") / priced["base_energy"].sum("pack")).to_numpy())
    assert (np.diff(loss) > 0.0).all()
    np.testing.assert_allclose(x, [0.0, *loss, loss[-1]])
    np.testing.assert_allclose(y, [1.0, 1.0, 0.75, 0.5, 0.25, 0.0])


def test_survival_steps_down_at_inspections_and_has_its_band():
    fade = hand_made_study.fade(4, 30)
    priced = hand_made_study.priced(fade, guarantee=((10.0, 0.8),), inspection_interval_years=2.5)
    figure = survival(priced)
    kept, half = (priced[name].to_numpy() for name in ("survival", "survival_interval"))
    assert 0.1 < kept[-1] < 0.9
    lines = labelled(figure)
    assert lines["not yet fallen short"].get_drawstyle() == "steps-post"
    assert lines["not yet fallen short"].get_xdata().tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    np.testing.assert_allclose(lines["not yet fallen short"].get_ydata(), [1.0, *kept])
    (band,) = figure.axes[0].collections[:1]
    assert band.get_label() == "90 % Monte-Carlo interval"
    at = band.get_paths()[0].vertices
    for low, high, year in zip(kept - half, kept + half, (2.5, 5.0, 7.5), strict=False):
        edges = at[at[:, 0] == year, 1]
        assert {low.clip(0.0), high.clip(max=1.0)} <= set(edges)
    ends = [text.get_text() for text in figure.legends[0].get_texts() if "end of the term" in text.get_text()]
    assert ends[0].startswith(f"at the end of the term: {100.0 * kept[-1]:.1f} % (")


def test_survival_of_one_draw_has_no_band():
    priced = hand_made_study.priced(hand_made_study.fade(1, 30))
    figure = survival(priced)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "not yet fallen short",
        f"at the end of the term: {100.0 * priced['survival'][-1].item():.1f} %",
    ]


def test_a_guarantee_on_state_of_health_is_drawn_on_state_of_health():
    fade = hand_made_study.fade(2, 3)
    priced = hand_made_study.priced(fade, measure="soh")
    fan, end = fade_fan(fade, priced, None), end_of_term(fade, priced)
    assert "guaranteed curve" not in labelled(fan)
    assert "The guarantee is on the state of health" in fan.get_supxlabel()
    assert end.axes[-1].get_xlabel().startswith("State of health after 10 years")
    np.testing.assert_allclose(
        np.sort(labelled(end)["median of a draw"].get_xdata()),
        np.sort(fade["soh"].isel(time=-1).median("pack").to_numpy()),
    )


@pytest.mark.parametrize(
    "fade",
    [
        hand_made_study.fade(1, 1),
        hand_made_study.fade(3, 2, spread=False),
        hand_made_study.fade(2, 2, failed=[(0, 0), (0, 1), (1, 0), (1, 1)]),
        hand_made_study.fade(2, 2, exhausted=[(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
    ids=["one pack", "all equal", "all failed", "all at the end of life"],
)
def test_poor_forecasts_are_drawn(tmp_path, duty, fade):
    priced = hand_made_study.priced(hand_made_study.fade(fade.sizes["draw"], fade.sizes["pack"]))
    assert len(drawn(tmp_path, duty, fade, priced)) == len(CAPTIONS) - 3


def test_importing_does_not_load_matplotlib():
    code = "import sys, fadecast.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_spectrum_of_a_daily_swing_is_at_one_a_day_and_holds_its_variance():
    hour = np.arange(8736.0)
    swing = 1.0 + 0.3 * np.sin(2.0 * np.pi * hour / 24.0)[None]
    frequency, density = spectrum(Series(5.0 * swing, 1.0))
    assert frequency[density.argmax()] == pytest.approx(1.0 / 24.0)
    assert density.sum() * (frequency[1] - frequency[0]) == pytest.approx(0.5 * 0.3**2, rel=0.01)


def test_load_statistics_show_what_was_drawn_beside_what_was_measured(duty):
    trace = Series(np.random.default_rng(0).uniform(1.0, 3.0, (1, 1000)), 1.0)
    duration, rates, _, ramps = load_statistics(duty, {"measured": trace}).axes
    drawn_line, measured_line = duration.get_lines()
    assert [line.get_label() for line in (drawn_line, measured_line)] == ["drawn", "measured"]
    ends = trace.relative.max(), trace.relative.min()
    np.testing.assert_allclose(measured_line.get_ydata()[[0, -1]], ends)
    assert (np.diff(drawn_line.get_ydata()) <= 0.0).all()
    shares = sum(bar.get_height() for bar in rates.patches)
    idle = float((duty["pack_power"] == 0.0).mean())
    assert 0.1 < idle < 0.5
    assert shares == pytest.approx(1.0 - idle, abs=1e-9)
    change, share = ramps.get_lines()[1].get_data()
    steps = np.abs(np.diff(trace.relative[0]))
    assert change.max() == pytest.approx(steps.max())
    assert share[np.searchsorted(-change, -np.median(steps))] == pytest.approx(0.5, abs=0.05)
