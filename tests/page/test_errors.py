"""What visitors are told when something fails."""

import re

import pytest
import torch

from utils.page.errors import explained, foreseen
from utils.planning.errors import UserError


def said(error: BaseException) -> str:
    """The sentence, without the id at its end."""
    return re.sub(r" \(request [0-9a-f]{8}\)$", "", explained(error))


def a_real_failure_to_allocate() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize(
    "make",
    [MemoryError, lambda: torch.OutOfMemoryError("CUDA out of memory."), a_real_failure_to_allocate],
    ids=["Python", "GPU", "CPU"],
)
def test_too_little_memory_is_called_so(make, caplog):
    assert said(make()) == "There was not enough memory; use a smaller picture or a smaller chopping size."
    assert "failed: out of memory" in caplog.text


def test_what_the_visitor_can_put_right_is_said_as_it_is():
    assert said(UserError("Use a larger picture")) == "Use a larger picture."


@pytest.mark.parametrize("error", [UserError("Use a\nlarger picture"), MemoryError(), RuntimeError("two\nlines")])
def test_every_failure_is_one_line_in_the_log_under_the_id_that_is_shown(error, caplog):
    caplog.set_level("INFO")
    try:
        raise error
    except type(error) as raised:
        sentence = explained(raised)
    (line,) = caplog.text.splitlines()
    assert f"request {sentence[-9:-1]} failed: " in line


def test_what_has_not_failed_yet_has_no_line_in_the_log_unless_the_program_is_at_fault(caplog):
    caplog.set_level("INFO")
    assert foreseen(UserError("seed must be a whole number")) == "“Random seed” must be a whole number." and not caplog.text
    told = explained(UserError("The model is damaged."))
    assert foreseen(UserError(told)) == told
    caplog.clear()
    assert "request" in foreseen(a_real_failure_to_divide()) and "ZeroDivisionError" in caplog.text


def test_the_line_in_the_log_says_where_the_fault_is(caplog):
    explained(a_real_failure_to_divide())
    assert "failed: ZeroDivisionError: division by zero (test_errors.py:" in caplog.text
    assert "a_real_failure_to_divide" in caplog.text


def a_real_failure_to_divide() -> BaseException:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    return caught.value


def test_what_was_explained_before_keeps_its_id(caplog):
    caplog.set_level("INFO")
    sentence = explained(UserError("Use a larger picture"))
    assert explained(UserError(sentence)) == sentence
    assert len(caplog.text.splitlines()) == 1


def test_the_rest_is_ours_and_its_words_stay_in_the_log(caplog):
    sentence = explained(RuntimeError("secret detail"))
    assert sentence.startswith("Something went wrong in the program") and "secret" not in sentence
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("pch_size must be a multiple of 16.", "“Chopping size” must be a multiple of 16."),
        ("seed must be from 0 to 9, not -1.", "“Random seed” must be from 0 to 9, not -1."),
        ("min_overlap must not be above max_overlap.", "“Min overlap” must not be above “Max overlap”."),
        ("The seed of pch_size.png is lost.", "The seed of pch_size.png is lost."),
        ("my_pch_size is no file.", "my_pch_size is no file."),
    ],
)
def test_settings_are_called_as_in_the_form(sentence, expected):
    assert said(UserError(sentence)) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("/srv/pages/upload.png does not exist.", "upload.png does not exist."),
        ("There is no folder /srv/models/one; name another.", "There is no folder one; name another."),
        ("C:\\models\\one.bin is damaged.", "one.bin is damaged."),
        ("There is no model folder weights/elsewhere.", "There is no model folder weights/elsewhere."),
        ("See https://example.org/a/b and/or ask.", "See https://example.org/a/b and/or ask."),
    ],
)
def test_where_files_lie_on_the_server_is_not_said(sentence, expected):
    assert said(UserError(sentence)) == expected
