"""Uploads as a tree of files."""

from pathlib import Path, PurePosixPath

import pytest

from utils.page import upload_tree
from utils.page.upload_tree import Upload, UploadTree, received, safe_name
from utils.planning.errors import UserError


def uploaded(root: Path, name: str, content: bytes = b"picture") -> Path:
    """Where the server puts an upload."""
    place = root / f"{abs(hash(content)):064x}"
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)
    return place / name


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("holiday/sub/a.png", "holiday/sub/a.png"),
        ("../../etc/passwd.png", "etc/passwd.png"),
        ("/etc/a.png", "etc/a.png"),
        ("..\\..\\a.png", "a.png"),
        ("C:\\pictures\\a.png", "C_/pictures/a.png"),
        ("./a/.../b.png", "a/b.png"),
        ("a/\0b\n?.png", "a/_b__.png"),
        ("con.png", "_con.png"),
        ("NUL/a.png", "_NUL/a.png"),
        ("folder. /a .png ", "folder/a .png"),
        ("", "file"),
        ("../..", "file"),
        ("Ü 日本.png", "Ü 日本.png"),
        ("\ud800.png", "_.png"),
    ],
)
def test_what_a_browser_calls_a_file_becomes_a_plain_path_below_the_folder(told, name):
    assert safe_name(told) == PurePosixPath(name)


def test_names_are_short_enough_for_the_names_of_results_and_keep_their_suffix():
    name = safe_name("a/" * 100 + "日" * 300 + ".jpeg")
    assert max(len(part.encode()) for part in name.parts) <= 120
    assert name.suffix == ".jpeg"
    assert len(name.parts) == 13


def test_a_tree_keeps_folders_and_every_file_of_equal_names(tmp_path):
    tree = UploadTree(tmp_path / "in")
    first, second, other = (uploaded(tmp_path, "a.png", content) for content in (b"1", b"2", b"3"))
    tree.add([Upload("holiday/a.png", first), Upload("holiday/sub/a.png", second)])
    tree.add([Upload("holiday/A.PNG", other), Upload("holiday/a.png", first), Upload("holiday/sub", other)])
    assert {str(name): (tree.folder / name).read_bytes() for name in tree.names} == {
        "holiday/a.png": b"1",
        "holiday/sub/a.png": b"2",
        "holiday/A (2).PNG": b"3",
        "holiday/sub (2)": b"3",
    }
    assert tree.bytes == 4


def test_for_programs_every_upload_has_a_name_of_its_own_in_their_order(tmp_path):
    tree = UploadTree(tmp_path / "in")
    second, first = (uploaded(tmp_path, name) for name in ("b.png", "a.png"))
    names = tree.add_each([Upload("b.png", second), Upload("a.png", first), Upload("b.png", second)])
    assert names == [PurePosixPath(name) for name in ("b.png", "a.png", "b (2).png")]
    assert all((tree.folder / name).is_file() for name in names)


def test_a_folder_called_as_a_file_before_it_gets_a_number(tmp_path):
    tree = UploadTree(tmp_path / "in")
    path = uploaded(tmp_path, "x")
    tree.add([Upload("x", path)])
    tree.add([Upload("x/a.png", path)])
    assert tree.names == [PurePosixPath("x"), PurePosixPath("x (2)/a.png")]


def test_of_one_folder_names_are_relative_to_it_as_on_the_command_line(tmp_path):
    tree, path = UploadTree(tmp_path / "in"), uploaded(tmp_path, "a.png")
    assert tree.root == tmp_path / "in"
    tree.add([Upload("holiday/a.png", path), Upload("holiday/sub/a.png", path)])
    assert tree.root == tmp_path / "in" / "holiday"
    tree.add([Upload("b.png", path)])
    assert tree.root == tmp_path / "in"


def test_too_many_or_too_large_uploads_are_refused_in_a_sentence_and_none_is_taken(tmp_path, monkeypatch):
    tree, path = UploadTree(tmp_path / "in"), uploaded(tmp_path, "a.png")
    with pytest.raises(UserError, match="These would be 1001 files, and this page takes 1000 at a time"):
        tree.add([Upload(f"{k}.png", path) for k in range(1001)])
    monkeypatch.setattr(upload_tree, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="choose fewer files"):
        tree.add([Upload("a.png", path), Upload("b.png", path)])
    assert tree.names == [] and not tree.folder.exists()


def test_only_what_the_server_took_as_an_upload_is_received(tmp_path):
    root = tmp_path / "files"
    mine = uploaded(root, "a.png")
    assert received([{"name": "x/a.png", "path": str(mine)}], root) == [Upload("x/a.png", mine)]
    session = root / "session-1" / "2"
    session.mkdir(parents=True)
    (session / "theirs.png").touch()
    outside = uploaded(tmp_path / "elsewhere", "a.png")
    (mine.parent / "link.png").symlink_to(outside)
    paths = ["/etc/passwd", outside, session / "theirs.png", mine.parent, mine.parent / "none.png", mine.parent / "link.png", "a\0", "", "x" * 5000]
    for path in (*paths, f"{mine.parent}/../../elsewhere/{outside.parent.name}/a.png", "https://example.org/a.png"):
        with pytest.raises(UserError, match="did not arrive"):
            received([{"name": "a.png", "path": str(path)}], root)
    with pytest.raises(UserError, match="did not arrive"):
        received(["a.png"], root)
