import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from utils.evaluation.lr_sets import describe, make_lr, make_lr_set
from utils.pictures.degradations import Degradation
from utils.planning.errors import UserError

NOISY = Degradation(blur_sigma=(1.6, 1.6), noise_sd=4 / 255, jpeg_quality=80)


@pytest.fixture
def source(photo, tmp_path):
    folder = tmp_path / "hr"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(photo).save(folder / "a.png")
    Image.fromarray(photo[:, ::-1]).save(folder / "sub" / "b.png")
    return folder


def pixels(path):
    return np.asarray(Image.open(path))


def test_the_default_is_the_protocol_of_the_literature(photo):
    """Cropped to multiples of 4, antialiased bicubic, rounded to 8 bits: here once more in torch alone."""
    expected = F.interpolate(
        torch.from_numpy(photo[:116, :128] / 255).permute(2, 0, 1)[None].float(), size=(29, 32), mode="bicubic", align_corners=False, antialias=True
    )
    lq = make_lr(photo[:119, :131], Degradation(), seed=0)
    assert lq.dtype == np.uint8
    np.testing.assert_array_equal(lq, (expected.clamp(0, 1) * 255).round()[0].permute(1, 2, 0).numpy().astype(np.uint8))


@pytest.mark.parametrize("kernel", ["bilinear", "lanczos", "area"])
def test_kernels_differ_as_pillows_do(photo, kernel):
    lq = make_lr(photo, Degradation(kernel=kernel), seed=0)
    filters = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS, "area": Image.Resampling.BOX}
    pillow = np.asarray(Image.fromarray(photo).resize((33, 30), filters[kernel]))
    assert np.abs(lq.astype(int) - pillow).max() <= 1
    assert not np.array_equal(lq, make_lr(photo, Degradation(), seed=0))


def test_the_tree_is_mirrored_and_every_file_says_how_it_was_made(source, photo, tmp_path):
    written, skipped = make_lr_set(source, tmp_path / "lr", NOISY, seed=3)
    assert written == [tmp_path / "lr" / "a.png", tmp_path / "lr" / "sub" / "b.png"] and not skipped
    np.testing.assert_array_equal(pixels(written[0]), make_lr(photo, NOISY, seed=3))
    how = json.loads(Image.open(written[0]).text["invsr:degradation"])
    assert how["seed"] == 3 and how["jpeg_quality"] == 80 and how["factor"] == 4


def test_what_is_random_depends_on_the_seed_and_the_picture_only(source, tmp_path):
    make_lr_set(source, tmp_path / "lr", NOISY, seed=3)
    shutil.copy(source / "sub" / "b.png", source / "0.png")  # sorted before the others, called otherwise
    (source / "a.png").unlink()
    make_lr_set(source, tmp_path / "again", NOISY, seed=3)
    make_lr_set(source, tmp_path / "seed", NOISY, seed=4)
    b = pixels(tmp_path / "lr" / "sub" / "b.png")
    np.testing.assert_array_equal(pixels(tmp_path / "again" / "0.png"), b)
    np.testing.assert_array_equal(pixels(tmp_path / "again" / "sub" / "b.png"), b)
    assert not np.array_equal(pixels(tmp_path / "seed" / "sub" / "b.png"), b)
    assert not np.array_equal(pixels(tmp_path / "lr" / "a.png"), b)


def test_bad_files_are_reported_and_the_rest_is_made(source, tmp_path):
    (source / "empty.jpg").touch()
    (source / "sub" / "text.png").write_text("no picture")
    Image.new("RGB", (3, 50)).save(source / "thin.png")
    done = []
    written, skipped = make_lr_set(source, tmp_path / "lr", Degradation(), 0, done.append)
    assert [path.name for path in written] == ["a.png", "b.png"]
    assert [item.picture for item in skipped] == ["empty.jpg", "sub/text.png", "thin.png"] and "smaller than 4 x 4" in skipped[2].reason
    assert len(done) == 5
    assert sorted(path.name for path in (tmp_path / "lr").rglob("*")) == ["a.png", "b.png", "sub"]


def test_two_files_of_one_stem_both_get_a_picture(source, photo, tmp_path):
    Image.fromarray(photo).save(source / "a.jpg")
    written, _ = make_lr_set(source, tmp_path / "lr", Degradation(), 0)
    assert [path.name for path in written] == ["a.jpg.png", "a.png.png", "b.png"]


def test_grey_stays_grey_with_the_whole_noise_and_depth_is_reduced_to_8_bits(source, tmp_path):
    Image.new("L", (256, 256), 128).save(source / "grey.png")
    Image.fromarray(np.full((64, 64), 40000, np.uint16)).save(source / "deep.png")
    written, _ = make_lr_set(source, tmp_path / "lr", Degradation(noise_sd=8 / 255), 0)
    images = {path.name: Image.open(path) for path in written}
    assert images["grey.png"].mode == "L" and np.asarray(images["grey.png"]).std() == pytest.approx(8, rel=0.05)
    assert images["deep.png"].mode == "L" and np.asarray(images["deep.png"]).mean() == pytest.approx(40000 / 257, abs=1)


@pytest.mark.parametrize("target", ["hr", "hr/sub", "hr/lr", "."])
def test_source_and_target_must_be_apart(source, target):
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    with pytest.raises(UserError, match="name another"):
        make_lr_set(source, source.parent / target, Degradation(), 0)
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


def test_a_link_in_the_target_does_not_lead_into_the_source(source, tmp_path):
    make_lr_set(source, tmp_path / "first", Degradation(factor=2), 0)  # a source that this command may replace
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr" / "sub").symlink_to(tmp_path / "first" / "sub")
    before = (tmp_path / "first" / "sub" / "b.png").read_bytes()
    written, skipped = make_lr_set(tmp_path / "first", tmp_path / "lr", Degradation(factor=2), 0)
    assert [path.name for path in written] == ["a.png"] and skipped[0].picture == "sub/b.png"
    assert (tmp_path / "first" / "sub" / "b.png").read_bytes() == before


def test_only_what_was_made_here_is_replaced(source, photo, tmp_path):
    make_lr_set(source, tmp_path / "lr", Degradation(), 0)
    Image.fromarray(photo).save(tmp_path / "lr" / "a.png")  # somebody's own
    own = (tmp_path / "lr" / "a.png").read_bytes()
    written, skipped = make_lr_set(source, tmp_path / "lr", NOISY, 0)
    assert [path.name for path in written] == ["b.png"] and skipped[0].picture == "a.png"
    assert (tmp_path / "lr" / "a.png").read_bytes() == own
    assert json.loads(Image.open(written[0]).text["invsr:degradation"])["jpeg_quality"] == 80


def test_results_of_the_sampler_are_not_replaced(source, tmp_path, photo):
    from utils.pictures.picture import Picture
    from utils.pictures.writing import save

    (tmp_path / "lr").mkdir()
    save(Picture(photo), tmp_path / "lr" / "a.png", {"plan": "{}"})
    _, skipped = make_lr_set(source, tmp_path / "lr", Degradation(), 0)
    assert [item.picture for item in skipped] == ["a.png"]


def test_the_sentence_names_what_is_done():
    assert describe(Degradation(), 0) == "Low-resolution pictures: the originals reduced 4 times (bicubic, antialiased) and rounded to 8 bits."
    sentence = describe(NOISY, 7)
    assert all(words in sentence for words in ("sigma 1.6", "sd 4 of 255", "seed 7", "quality 80"))
    assert "sharpened (by 1 of an unsharp mask of 1 pixel)" in describe(Degradation(sharpening=1.0), 0)
    assert "(aliased)" in describe(Degradation(kernel="aliased"), 0)
    assert sentence.index("blurred") < sentence.index("reduced") < sentence.index("noise") < sentence.index("JPEG")
