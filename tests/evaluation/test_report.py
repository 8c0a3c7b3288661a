import csv
import io
import json
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from utils.evaluation.comparison import Comparison, Detail, Measured
from utils.evaluation.measures import MEASURES
from utils.evaluation.picture_sets import Skipped
from utils.evaluation.plots import number, ticks_over
from utils.evaluation.report import Facts, as_csv, as_html, as_json, as_table, check_targets, write_report
from utils.planning.errors import UserError
from utils.planning.geometry import Box

FACTS = Facts(
    ("It was measured so.",),
    {"good": {"seed": 7}},
    {"lpips_alex": "not installed", "lpips_vgg": "not installed", "feature_distance": "no weights given"},
)


def measured(name, **gains):
    """A picture on which plain has 20 dB and others as much more as said."""
    values = {"plain": 20.0} | {label: 20.0 + gained for label, gained in gains.items()}
    flat = np.full((16, 16, 3), 99, np.uint8)
    detail = Detail(Box(0, 0, 16, 16), flat, flat[:4, :4], {label: flat for label in values})
    rows = {
        label: {"psnr_y": value, "ssim_y": value / 100, "seam": None, "color_error": 50 - value, "seconds": 0.1} for label, value in values.items()
    }
    return Measured(name, (64, 80), rows, detail, Image.new("RGB", (20, 16)))


@pytest.fixture
def comparison():
    pictures = [measured(f"set/{k}.png", good=k - 1.0, best=0.5 * k) for k in range(5)]
    return Comparison(("plain", "good", "best"), tuple(pictures), (Skipped("set/bad.png", "It is empty."),))


class Page(HTMLParser):
    """What a browser would fetch, run and show, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_the_page_needs_no_other_file_and_no_script(comparison):
    html = as_html(comparison, FACTS)
    page = Page(html)
    assert not page.open
    assert page.addresses and all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "url(" not in html and "@import" not in html and "http" not in html
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(svg)


def test_the_page_shows_figures_examples_facts_and_what_was_left_out(comparison):
    text = Page(as_html(comparison, FACTS)).text
    for words in ("closer to", "good", "set/bad.png", "It is empty.", "not installed", "It was measured so.", "scikit-image", "seed"):
        assert words in text
    assert "1 picture could not be measured" in text and "5 pictures" in text
    for words in ("Best set/4.png +2.00 dB", "Median set/2.png +1.00 dB", "Worst set/0.png +0.00 dB"):
        assert words in text
    assert "Feature distance" not in text.split("How it was measured")[0]


def test_names_are_escaped(comparison):
    from dataclasses import replace

    evil = replace(comparison, pictures=(measured('<script>alert("1")</script>&.png', good=1, best=2),))
    page = Page(as_html(evil, FACTS))
    assert "script" not in page.tags and '<script>alert("1")</script>&.png' in page.text


@pytest.mark.parametrize("count", [1, 2, 70])
@pytest.mark.parametrize("labels", [("plain",), ("plain", "good")])
def test_pages_of_few_and_of_many_pictures(count, labels):
    pictures = [measured(f"{k}.png", **({"good": 0.1 * k} if "good" in labels else {})) for k in range(count)]
    page = Page(as_html(Comparison(labels, tuple(pictures), ()), FACTS))
    assert not page.open and page.tags.count("article") == min(count, 3)
    assert ("Worst" in page.text) == (count > 1) and ("Median" in page.text) == (count > 2)
    assert ("Gain in PSNR-Y" in page.text) == (len(labels) > 1)
    assert "could not be measured" not in page.text


def test_infinite_values_are_shown_and_kept():
    comparison = Comparison(("plain", "good"), (measured("a.png", good=math.inf), measured("b.png", good=1.0)), ())
    assert "∞" in Page(as_html(comparison, FACTS)).text
    assert json.loads(as_json(comparison, FACTS))["pictures"][0]["values"]["good"]["psnr_y"] == "inf"
    assert "inf" in as_csv(comparison)
    everything = Comparison(("plain", "good"), (measured("a.png", good=math.inf),), ())
    page = Page(as_html(everything, FACTS))
    assert not page.open and "article" not in page.tags


def test_the_csv_holds_every_value(comparison):
    rows = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert len(rows) == 15 and rows[0]["picture"] == "set/0.png" and rows[0]["width"] == "80" and rows[0]["height"] == "64"
    assert set(MEASURES) <= set(rows[0]) and rows[0]["seam"] == "" and rows[0]["lpips_alex"] == ""
    assert [float(row["psnr_y"]) for row in rows if row["method"] == "good"] == [19, 20, 21, 22, 23]


def test_no_name_in_the_csv_is_a_formula_for_a_spreadsheet():
    comparison = Comparison(("plain", "good"), (measured("=1+1.png", good=1),), ())
    assert next(csv.DictReader(io.StringIO(as_csv(comparison))))["picture"] == "'=1+1.png"


def test_the_json_holds_means_gains_and_what_was_left_out(comparison):
    document = json.loads(as_json(comparison, FACTS))
    assert document["means"]["good"]["psnr_y"] == {"count": 5, "mean": 21.0, "deviation": pytest.approx(math.sqrt(2.5)), "least": 19.0, "most": 23.0}
    assert document["gains"]["over"] == "plain" and document["gains"]["of"]["good"]["psnr_y"]["better"] == 3
    assert document["gains"]["of"]["good"]["color_error"]["better"] == 3  # lower is better
    assert document["skipped"] == [{"picture": "set/bad.png", "reason": "It is empty."}]
    assert document["measures"]["lpips_alex"]["absent"] == "not installed" and document["methods"]["good"] == {"seed": 7}


def test_the_printed_table(comparison):
    lines = as_table(comparison, FACTS).splitlines()
    assert lines[0].split() == ["plain", "good", "best"]
    assert lines[1].split() == ["PSNR-Y,", "dB", "20.00", "±", "0.00", "21.00", "±", "1.58", "(+1.00)", "21.00", "±", "0.79", "(+1.00)"]
    assert any(line.startswith("LPIPS (Alex)") and line.count("not installed") == 3 for line in lines)


def test_a_report_replaces_a_report_and_nothing_else(comparison, tmp_path):
    names = [path.name for path in write_report(comparison, FACTS, tmp_path / "new" / "out")]
    assert names == ["results.csv", "results.json", "report.html"]
    write_report(comparison, FACTS, tmp_path / "new" / "out")
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("somebody's own")
        with pytest.raises(UserError, match="not made by this program"):
            write_report(comparison, FACTS, folder)
        assert [path.read_text() for path in folder.iterdir()] == ["somebody's own"]


def test_a_name_that_is_no_unicode_costs_nothing(tmp_path):
    pictures = (measured("caf\udce9.png", good=1.0),)
    write_report(Comparison(("plain", "good"), pictures, ()), FACTS, tmp_path / "report")
    assert all(
        "caf\\udce9.png" in (tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("results.csv", "results.json", "report.html")
    )


def test_a_link_where_a_file_of_the_report_goes_is_left_alone(tmp_path):
    (tmp_path / "report.html").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError):
        check_targets(tmp_path)


@given(least=st.floats(-1e6, 1e6), room=st.floats(0, 1e6))
def test_ticks_are_few_and_hold_the_values(least, room):
    ticks = ticks_over(least, least + room)
    assert 2 <= len(ticks) <= 8 and len({number(tick, ticks) for tick in ticks}) == len(ticks)
    slack = 1e-6 * (ticks[1] - ticks[0])
    assert ticks[0] <= least + slack and ticks[-1] >= least + room - slack


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [(0, 2.4, [0, 0.5, 1, 1.5, 2, 2.5]), (-0.7, 2.6, [-1, 0, 1, 2, 3]), (5, 5, [5, 6]), (0, 0, [0, 0.2]), (0.5231, 0.5231 + 1e-16, [0.4, 0.6])],
)
def test_ticks_are_round(least, most, ticks):
    assert ticks_over(least, most) == pytest.approx(ticks)
