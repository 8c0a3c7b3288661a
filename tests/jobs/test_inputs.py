"""Which files a job is about."""

import os
from pathlib import Path, PurePosixPath

import pytest

from tests.jobs.enlarging import picture
from utils.jobs.inputs import find_inputs
from utils.planning.errors import UserError


def names(inputs):
    return [str(name) for name in inputs.names]


def test_pictures_are_found_by_suffix_or_content_in_order_and_system_files_are_not(tmp_path):
    source = tmp_path / "in"
    for name in ("c.PNG", "a.jpeg", "b.TIFF", "notes.txt", ".hidden.png", "._a.jpeg", "Thumbs.db", "desktop.ini"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).touch()
    picture(source / "photo.png").rename(source / "photo.backup")
    (source / "cars.txt").write_text("BMW, Opel")
    (source / "folder.png").mkdir()
    inputs = find_inputs(source, tmp_path / "out")
    assert names(inputs) == ["a.jpeg", "b.TIFF", "c.PNG", "photo.backup"] and not inputs.refused


def test_subfolders_are_looked_into_when_asked_and_the_results_in_them_are_left_out(tmp_path):
    for name in ("a.png", "sub/b.png", "sub/deeper still/ä b.png", "__MACOSX/c.png", ".git/d.png", "out/a.png", "out/sub/b.png"):
        picture(tmp_path / name)
    assert names(find_inputs(tmp_path, tmp_path / "out")) == ["a.png"]
    assert names(find_inputs(tmp_path, tmp_path / "sub" / ".." / "out", recursive=True)) == ["a.png", "sub/b.png", "sub/deeper still/ä b.png"]


def test_links_are_refused_with_a_sentence_and_never_followed(tmp_path):
    secret = picture(tmp_path / "elsewhere" / "secret.png")
    source = tmp_path / "in"
    picture(source / "a.png")
    (source / "link.png").symlink_to(secret)
    (source / "folder").symlink_to(secret.parent)
    (source / "round").symlink_to(source)
    inputs = find_inputs(source, tmp_path / "out", recursive=True)
    assert names(inputs) == ["a.png", "folder", "link.png", "round"]
    assert set(map(str, inputs.refused)) == {"folder", "link.png", "round"} and all("link" in reason for reason in inputs.refused.values())
    assert names(find_inputs(source, tmp_path / "out")) == ["a.png", "link.png"]


def test_what_is_no_ordinary_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b")  # opening it would wait for ever
    inputs = find_inputs(tmp_path, tmp_path / "out")
    assert "not an ordinary file" in inputs.refused[PurePosixPath("a.png")] and names(inputs) == ["a.png"]


def test_what_is_no_ordinary_file_is_no_picture_of_its_own_either(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/null")):
        with pytest.raises(UserError, match="not an ordinary file; name a picture"):
            find_inputs(path, tmp_path / "out")


def test_one_picture_is_a_job_of_its_own(tmp_path):
    inputs = find_inputs(picture(tmp_path / "a.png"), tmp_path)
    assert inputs.alone and names(inputs) == ["a.png"] and inputs.root == tmp_path


@pytest.mark.parametrize(
    ("source", "target", "recursive", "words"),
    [
        ("in", "in/.", False, "another folder"),
        ("in/sub", "in", True, "lies in the folder for the results"),
        ("in/sub", "out", False, "holds no pictures"),
        ("in/above", "out", False, "--recursive looks into"),
        ("in", "in/a.png", False, "is a file"),
        ("missing", "out", False, "does not exist"),
    ],
)
def test_folders_that_cannot_be_used_are_one_sentence(tmp_path, source, target, recursive, words):
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "sub").mkdir()
    picture(tmp_path / "in" / "above" / "below" / "a.png")
    with pytest.raises(UserError, match=words):
        find_inputs(tmp_path / source, tmp_path / target, recursive)
