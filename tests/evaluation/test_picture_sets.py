from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from utils.evaluation.picture_sets import PictureSet, check_apart, cropped, find_tree
from utils.planning.errors import UserError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_whole_tree_is_found_and_what_is_hidden_or_no_picture_is_not(tmp_path):
    touch(tmp_path, "b.PNG", "a/c.jpeg", "a/d/e.webp", ".hidden.png", ".cache/f.png", "manifest.csv", "a/Thumbs.db")
    (tmp_path / "folder.png").mkdir()
    assert [str(name) for name in find_tree(tmp_path)] == ["a/c.jpeg", "a/d/e.webp", "b.PNG"]


@pytest.mark.parametrize("name", ["missing", "file.png", "bare"])
def test_a_folder_without_pictures_is_refused(tmp_path, name):
    touch(tmp_path, "file.png", "bare/text.txt")
    with pytest.raises(UserError, match=name):
        find_tree(tmp_path / name)


@pytest.mark.parametrize("target", ["hr", "hr/out", "hr/sub/out", "link", "other/../hr"])
def test_results_stay_out_of_the_pictures(tmp_path, target):
    touch(tmp_path, "hr/sub/a.png", "other/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "hr")
    with pytest.raises(UserError, match="name another folder"):
        check_apart(tmp_path / target, tmp_path / "other" / "c", None, tmp_path / "hr")
    check_apart(tmp_path / "hr-out", tmp_path / "hr")


@pytest.mark.parametrize(
    ("name", "answer"),
    [("a.png", "A.jpg"), ("sub/a.png", "sub/a.png"), ("b.png", "bx4.png"), ("c.jpg", "c.jpg.png"), ("c.png", "c.png.png")],
)
def test_pictures_answer_to_names(tmp_path, name, answer):
    pictures = PictureSet(touch(tmp_path, "A.jpg", "sub/a.png", "bx4.png", "bx2.png", "c.jpg.png", "c.png.png"))
    assert pictures.answering(PurePosixPath(name), 4) == tmp_path / answer


def test_no_answer_and_two_answers_are_faults(tmp_path):
    pictures = PictureSet(touch(tmp_path, "a.png", "a.jpg", "sub/b.png"))
    with pytest.raises(UserError, match=r"a\.jpg and a\.png"):
        pictures.answering(PurePosixPath("a.tif"), 4)
    with pytest.raises(UserError, match="No picture"):
        pictures.answering(PurePosixPath("b.png"), 4)


def test_cropping_drops_at_the_bottom_and_right():
    pixels = np.arange(11 * 14 * 3).reshape(11, 14, 3)
    np.testing.assert_array_equal(cropped(pixels, 4), pixels[:8, :12])


def test_names_and_pictures_come_in_one_order(tmp_path):
    for name in ("2.png", "10.png", "1.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert [str(name) for name in find_tree(tmp_path)] == sorted(["2.png", "10.png", "1.png"])
