"""The page's HTML."""

import pytest

from utils.page import markup
from utils.page.shared_sampler import LoadingState
from utils.planning.checked_settings import make_settings


@pytest.mark.parametrize("piece", [markup.error, markup.notice, markup.success, markup.empty, lambda words: markup.progress(words, 0.5)])
def test_words_of_a_visitor_are_shown_and_never_obeyed(piece):
    html = piece("<img src=x onerror=alert(1)> {{value}} ${value} \"' `C:\\users`")
    assert "<img src" not in html
    assert not set("{}$`\\") & set(html)
    assert "&lt;img src=x" in html


def test_a_request_id_is_set_apart():
    assert "<small>request 0123abcd</small></p>" in markup.error("Use another. (request 0123abcd)")


def test_the_mark_covers_its_share_of_the_picture_and_starts_in_the_middle():
    html = markup.place("data:,", "A picture", (0.25, 1.0), "look", "1")
    assert "top:37.5000%;left:0.0000%;height:25.0000%;width:100.0000%" in html
    assert 'data-button="look"' in html and "Enter looks" in html
    assert "Enter" not in markup.place("data:,", "A picture", (0.25, 1.0), "", "1")


def test_a_bar_says_how_full_it_is():
    assert 'aria-valuenow="25"' in markup.progress("Tile 1 of 4", 0.25)
    assert "width:25.0%" in markup.progress("Tile 1 of 4", 0.25)


def test_the_terms_stand_where_a_model_of_others_is_named():
    loading = LoadingState("loading", "Loading the model…")
    others = markup.model_line(loading, make_settings("configs/sample-sd-turbo.yaml"))
    assert "Stability AI" in others
    assert "non-commercial" in others
    assert 'href="https://' in others
    assert "License" not in markup.model_line(loading, make_settings())
