"""Logins, from the command line and from files."""

import pytest

from utils.page.logins import read_logins
from utils.planning.errors import UserError


def test_a_login_is_a_user_and_a_password_that_may_hold_colons():
    assert read_logins("anna:s:e cret ") == [("anna", "s:e cret ")]


def test_a_file_has_one_to_a_line(tmp_path):
    path = tmp_path / "logins"
    path.write_text("# who may\nanna:one\n\nböla:zwei\n", "utf-8")
    assert read_logins(f"@{path}") == [("anna", "one"), ("böla", "zwei")]


@pytest.mark.parametrize("word", ["", "anna", "anna:", ":secret", "  :secret", "secret"])
def test_half_a_login_is_refused_without_repeating_it(word):
    with pytest.raises(UserError, match="must be user:password") as raised:
        read_logins(word)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"anna:one\nsecret", "Line 2 of"), (b"\n# nobody\n", "holds none"), (b"\xff\xfe\x00", "no list of user:password"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / "logins").write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        read_logins(f"@{tmp_path / 'logins'}")
    assert "secret" not in str(raised.value)
