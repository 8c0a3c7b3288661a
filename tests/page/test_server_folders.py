"""Folders that the operator allowed."""

import pytest

from utils.page.server_folders import ServerFolders
from utils.planning.errors import UserError


@pytest.fixture
def allowed(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "round").symlink_to(root / "round")
    return root


def test_a_folder_is_named_absolutely_or_below_the_root(allowed):
    folders = ServerFolders([allowed])
    assert folders.existing(f" {allowed}/sub ") == folders.existing("sub") == (allowed / "sub").resolve()
    assert folders.existing(".") == folders.existing(str(allowed)) == allowed.resolve()
    assert folders.for_results("sub/../new/deep") == allowed.resolve() / "new" / "deep"


@pytest.mark.parametrize(
    "words", ["/", "/etc", "..", "../secret", "sub/../../secret", "out", "out/x", "round", "~", "a\0b", "", "  ", "x" * 5000, "none"]
)
def test_nothing_else_can_be_named_and_all_refusals_sound_alike(allowed, words):
    with pytest.raises(UserError) as refusal:
        ServerFolders([allowed]).existing(words)
    assert str(refusal.value) == "There is no such folder that this page may use; ask whoever runs it which ones are."


@pytest.mark.parametrize("words", ["/tmp", "../secret/new", "out/new", "out", ""])
def test_results_cannot_be_put_anywhere_else_either(allowed, words):
    with pytest.raises(UserError, match="no such folder that this page may use"):
        ServerFolders([allowed]).for_results(words)


def test_of_several_roots_the_one_that_has_the_folder_is_meant(tmp_path):
    for name in ("a", "b/inner"):
        (tmp_path / name).mkdir(parents=True)
    folders = ServerFolders([tmp_path / "a", tmp_path / "b"])
    assert folders.existing("inner") == folders.for_results("inner") == (tmp_path / "b" / "inner").resolve()
    assert folders.existing(str(tmp_path / "b")) == (tmp_path / "b").resolve()


def test_without_roots_nothing_can_be_named(tmp_path):
    assert not ServerFolders()
    with pytest.raises(UserError):
        ServerFolders().existing(str(tmp_path))


def test_a_root_that_is_no_folder_is_refused_at_the_start(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        ServerFolders([tmp_path / "none"])
