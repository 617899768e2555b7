import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import hand_made_study
from fadecast.figures import CAPTIONS
from fadecast.report import failed_packs, price_rows, render_report

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = "<script>alert('x')</script>&\"<img src=https://evil.example/x.png>"
STUDY = {"name": "reno_10", "seed": 3, "site": {"climate": "reno"}, "population": {"soh_range": (0.6, 0.8)}}


class Page(HTMLParser):
    """Collects text, pictures and resources, and refuses tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.sources, self.parts = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [(tag, name, value) for name, value in attrs if name in {"src", "href", "srcset", "data"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.parts))


@pytest.fixture(scope="module")
def duty():
    return hand_made_study.duty()


@pytest.fixture(scope="module")
def population():
    return hand_made_study.population(4, 6)


@pytest.fixture
def figures(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in reversed(CAPTIONS)]
    for path in paths:
        path.write_bytes(b"\x89PNG" + path.stem.encode())
    return paths


def rendered(duty, population, figures=(), fade=None, study=STUDY, summary=None):
    fade = hand_made_study.fade(4, 6, failed=[(1, 2)], exhausted=[(3, 4)]) if fade is None else fade
    priced = hand_made_study.priced(fade)
    return render_report(study, duty, population, fade, priced, figures, summary or {"cell_days": 12.0})


def test_the_report_needs_nothing_beside_it(duty, population, figures):
    html = rendered(duty, population, figures)
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert all(value.startswith("data:image/png;base64,") for _, _, value in page.sources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|url\(|@import", html)


def test_every_figure_is_embedded_in_order_with_its_caption(duty, population, figures):
    page = Page(rendered(duty, population, figures))
    stems = [base64.b64decode(value.partition(",")[2])[4:].decode() for _, _, value in page.sources]
    assert stems == list(CAPTIONS)
    for caption in CAPTIONS.values():
        assert caption.seen in page.text
        assert caption.unsaid in page.text


def test_a_picture_without_caption_comes_last(duty, population, figures, tmp_path):
    extra = tmp_path / "own_picture.png"
    extra.write_bytes(b"\x89PNG")
    page = Page(rendered(duty, population, [extra, *figures]))
    assert len(page.sources) == len(CAPTIONS) + 1
    assert f"Figure {len(CAPTIONS) + 1}. Own picture" in page.text


def test_hostile_text_is_shown_and_not_obeyed(duty, population, tmp_path):
    study = {**STUDY, "name": HOSTILE, "site": {"climate": HOSTILE}}
    fade = hand_made_study.fade(4, 6).assign_attrs(mode=HOSTILE, git_commit=HOSTILE)
    page = Page(
        rendered(duty, population.assign_attrs(soh_source=HOSTILE), study=study, fade=fade, summary={HOSTILE: HOSTILE})
    )
    assert "script" not in page.tags
    assert not page.sources
    assert page.text.count("alert('x')") >= 6


def test_what_is_not_resolved_is_spelled(duty, population):
    priced = hand_made_study.priced(hand_made_study.fade(4, 6))
    rows = {row.name: row for row in price_rows(priced)}
    assert rows["value_at_risk_99.5"].value == "not_resolved"
    assert rows["value_at_risk_99.5"].interval == "needs 4,000 draws"
    assert rows["premium"].value == f"{priced['premium'].item():.2f}"
    assert rows["premium"].units == "USD/kWh"
    assert "not_resolved" in Page(rendered(duty, population)).text


def test_the_interval_of_a_single_draw_is_not_resolved():
    rows = {row.name: row for row in price_rows(hand_made_study.priced(hand_made_study.fade(1, 3)))}
    assert rows["premium"].interval == "not_resolved"
    assert np.isfinite(float(rows["premium"].value))


def test_an_interval_of_no_width_is_no_certainty():
    rows = {row.name: row for row in price_rows(hand_made_study.priced(hand_made_study.fade(3, 3, spread=False)))}
    assert (rows["premium"].value, rows["premium"].interval) == ("0.00", "no draw differs")


def test_a_share_is_printed_in_percent():
    priced = hand_made_study.priced(hand_made_study.fade(4, 6, failed=[(1, 2)], exhausted=[(3, 4)]))
    rows = {row.name: row for row in price_rows(priced)}
    assert (rows["failed_share"].value, rows["exhausted_share"].value) == ("4.2 %", "4.2 %")


def test_failed_packs_are_listed_with_their_last_time_and_remedy(duty, population):
    fade = hand_made_study.fade(4, 6, failed=[(1, 2)], exhausted=[(3, 4)])
    listed = [(p.draw, p.pack, p.outcome, p.last_year) for p in failed_packs(fade)]
    assert listed == [("1", "2", "Not finite", "5.00"), ("3", "4", "Capacity exhausted", "5.00")]
    text = Page(rendered(duty, population, fade=fade)).text
    assert "a state became NaN or infinite" in text
    assert "1 of 24 runs failed" in text


def test_a_long_list_of_failed_packs_is_cut_and_says_so(duty, population):
    failed = [(draw, pack) for draw in range(4) for pack in range(20)]
    fade = hand_made_study.fade(6, 40, failed=failed)
    assert "The first 50 of 80" in Page(rendered(duty, population, fade=fade)).text


def test_headlines_are_those_of_the_forecast(duty, population):
    fade = hand_made_study.fade(4, 6)
    end = fade["retention"].to_numpy()[:, :, -1]
    text = Page(rendered(duty, population, fade=fade)).text
    assert f"{100.0 * np.median(end):.1f} %" in text
    assert f"{100.0 * np.mean(end < 0.7):.1f} %" in text
    medians = np.median(end, axis=1)
    assert f"{100.0 * medians.min():.1f} % to {100.0 * medians.max():.1f} %" in text


def test_assumptions_limits_and_origin_are_said(duty, population):
    fade = hand_made_study.fade(4, 6).assign_attrs(pybamm_version="1.2.3", seed=7, study="{}")
    text = Page(rendered(duty, population, fade=fade, summary={"cell_days": 1234.5})).text
    for sentence in (
        population.attrs["cross_chemistry"],
        population.attrs["extrapolation"],
        "capacity fade only: sudden failures",
        "throughput 0.15 %",
        "Mode leap",
        "single-particle model",
        "no film growth on particle cracks",
        "PyBaMM version 1.2.3 fade",
        "Cell days 1,234.5",
        "SEI growth rate [m2.s-1] rate m²/s",
        "soh_range: - 0.6 - 0.8",
    ):
        assert sentence in text, sentence


def test_a_forecast_that_all_failed_is_reported(duty, population):
    priced = hand_made_study.priced(hand_made_study.fade(2, 1))
    fade = hand_made_study.fade(2, 1, failed=[(0, 0), (1, 0)])
    text = Page(render_report(STUDY, duty, population, fade, priced, [], {})).text
    assert "not known" in text
    assert "2 of 2 runs failed" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"the duty of the site: sun first, .* where the site has them; \d\.\d % of the site's load is not served"),
        ({"dispatch": {"policy": "look_ahead"}}, r"where the site has them, by plans ahead; \d\.\d %"),
        ({"service": "regulation"}, "a year of drawn frequency regulation"),
        ({"service": "cycling"}, "a year of cycles between the limits of charge"),
        ({"service": "rest"}, "a year of rest"),
    ],
)
def test_the_report_says_what_was_asked_of_the_packs(duty, population, settings, words):
    text = Page(rendered(duty, population, study={**STUDY, "duty": settings})).text
    assert re.search(words, text)
    assert ("duty of the site" in text) == ("service" not in settings)
