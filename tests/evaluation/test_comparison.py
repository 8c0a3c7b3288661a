import math
import shutil

import numpy as np
import pytest
from PIL import Image

from utils.evaluation.comparison import CROP, Reading, Upscaling, run
from utils.evaluation.lr_sets import make_lr_set
from utils.evaluation.measures import MEASURES, Measuring
from utils.evaluation.methods import Method, Upscaled, make_methods
from utils.evaluation.summary import folders, gain, gains, ranked, spread
from utils.pictures.degradations import Degradation
from utils.planning.errors import UserError

BICUBIC = Degradation()


@pytest.fixture
def hr(photo, tmp_path):
    folder = tmp_path / "hr"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(photo).save(folder / "a.png")
    Image.fromarray(photo[:119, 130::-1]).save(folder / "sub" / "b.png")
    return folder


def resamplers():
    return make_methods(["bicubic", "lanczos"], 4, lambda settings: None)


def compare(hr, lr=None, methods=None, how=BICUBIC):
    return run(Upscaling(hr, lr, methods or resamplers(), how, seed=0), Measuring())


def test_every_picture_is_measured_with_every_method(hr):
    comparison = compare(hr)
    assert comparison.labels == ("bicubic", "lanczos") and not comparison.skipped
    assert [picture.name for picture in comparison.pictures] == ["a.png", "sub/b.png"]
    assert [picture.size for picture in comparison.pictures] == [(120, 132), (116, 128)]
    values = comparison.pictures[0].values["bicubic"]
    assert 10 < values["psnr_y"] < 40 and 0 < values["ssim_y"] < 1 and values["lr_consistency"] > 20 and values["seconds"] > 0
    assert values["seam"] is None and set(values) <= set(MEASURES)


def test_results_are_the_same_with_the_low_resolution_pictures_from_files(hr, tmp_path):
    how = Degradation(noise_sd=6 / 255)
    make_lr_set(hr, tmp_path / "lr", how, seed=0)
    made, taken = compare(hr, how=how), compare(hr, tmp_path / "lr")
    for one, other in zip(made.pictures, taken.pictures, strict=True):
        for label in made.labels:
            assert one.values[label] | {"seconds": 0} == other.values[label] | {"seconds": 0}


def test_a_perfect_method_is_perfect(hr, photo):
    perfect = Method("perfect", lambda lq: Upscaled(photo), {})
    (hr / "sub" / "b.png").unlink()
    values = compare(hr, methods=[perfect]).pictures[0].values["perfect"]
    assert values["psnr_y"] == values["psnr_rgb"] == math.inf and values["ssim_y"] == 1 and values["color_error"] == 0


def test_what_cannot_be_measured_is_reported_and_in_no_figure(hr, photo, tmp_path):
    make_lr_set(hr, tmp_path / "lr", Degradation(), 0)
    for name in ("empty.png", "odd.png", "alone.png", "small.png"):
        Image.fromarray(photo[:20] if name == "small.png" else photo).save(hr / name)
    (hr / "empty.png").write_bytes(b"")
    Image.fromarray(photo[:31, :33]).save(tmp_path / "lr" / "odd.png")
    comparison = compare(hr, tmp_path / "lr")
    assert [picture.name for picture in comparison.pictures] == ["a.png", "sub/b.png"]
    reasons = {skipped.picture: skipped.reason for skipped in comparison.skipped}
    assert list(reasons) == ["alone.png", "empty.png", "odd.png", "small.png"]
    assert "No picture" in reasons["alone.png"] and "empty" in reasons["empty.png"] and "32 pixels" in reasons["small.png"]
    assert "33 x 31" in reasons["odd.png"] and "33 x 30" in reasons["odd.png"]
    assert not any(str(tmp_path) in reason for reason in reasons.values())


def test_a_picture_that_one_method_fails_on_counts_for_none(hr):
    def fail_on_wide(lq):
        if lq.shape[1] == 33:
            raise UserError("too wide")
        return bicubic.upscale(lq)

    bicubic = resamplers()[0]
    comparison = compare(hr, methods=[bicubic, Method("picky", fail_on_wide, {})])
    assert [picture.name for picture in comparison.pictures] == ["sub/b.png"]
    assert [skipped.picture for skipped in comparison.skipped] == ["a.png"]


def test_a_result_of_the_wrong_size_or_without_numbers_is_a_fault(hr):
    broken = Method("broken", lambda lq: Upscaled(np.full((lq.shape[0] * 4, lq.shape[1] * 4, 3), np.nan, np.float32)), {})
    small = Method("small", lambda lq: Upscaled(np.repeat(lq, 2, axis=0)), {})
    for method, words in ((broken, "not a number"), (small, "pixels")):
        with pytest.raises(UserError, match=words):
            compare(hr, methods=[method])


def test_the_detail_is_where_the_first_method_is_furthest_away(photo, tmp_path):
    smooth = np.full((256, 320, 3), 120, np.uint8)
    smooth[144:176, 200:232] = np.indices((32, 32)).sum(0)[..., None] % 2 * 200
    (tmp_path / "hr").mkdir()
    Image.fromarray(smooth).save(tmp_path / "hr" / "a.png")
    detail = compare(tmp_path / "hr").pictures[0].detail
    assert detail.box.size == (CROP, CROP) and detail.hr.shape == detail.results["lanczos"].shape == (CROP, CROP, 3)
    assert detail.lq is not None and detail.lq.shape == (CROP // 4, CROP // 4, 3)
    assert detail.box.top <= 144 and detail.box.bottom >= 176 and detail.box.left <= 200 and detail.box.right >= 232
    np.testing.assert_array_equal(detail.hr, smooth[detail.box.top : detail.box.bottom, detail.box.left : detail.box.right])


def test_results_in_folders_are_scored_like_methods(hr, tmp_path):
    make_lr_set(hr, tmp_path / "lr", Degradation(), 0)
    for method in resamplers():
        for name in ("a.png", "sub/b.png"):
            target = tmp_path / "sr" / method.label / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(method.upscale(np.asarray(Image.open(tmp_path / "lr" / name))).rgb).save(target)
    folders = [tmp_path / "sr" / label for label in ("bicubic", "lanczos")]
    scored = run(Reading(hr, tmp_path / "lr", folders, 4), Measuring())
    compared = compare(hr)
    assert scored.labels == ("bicubic", "lanczos")
    for one, other in zip(scored.pictures, compared.pictures, strict=True):
        for label in scored.labels:
            assert {**one.values[label], "seconds": None} == {**other.values[label], "seconds": None}


def test_the_seams_of_a_saved_result_are_scored(embedded_sampler, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "hr").mkdir()
    Image.fromarray(rng.integers(0, 256, (64, 640, 3), dtype=np.uint8)).save(tmp_path / "hr" / "wide.png")
    make_lr_set(tmp_path / "hr", tmp_path / "lr", Degradation(), 0)
    embedded_sampler.inference(tmp_path / "lr", tmp_path / "sr")
    values = run(Reading(tmp_path / "hr", None, [tmp_path / "sr"], 4), Measuring()).pictures[0].values["sr"]
    assert values["seam"] is not None and 0.5 < values["seam"] < 2 and values["seam_original"] == pytest.approx(1, abs=0.3)


def test_scoring_faults(hr, photo, tmp_path):
    shutil.copytree(hr, tmp_path / "sr")
    (tmp_path / "sr" / "a.png").unlink()
    Image.fromarray(photo[:100]).save(tmp_path / "sr" / "sub" / "b.png")
    with pytest.raises(UserError, match="None of the 2 pictures"):
        run(Reading(hr, None, [tmp_path / "sr"], 4), Measuring())
    with pytest.raises(UserError, match="named twice"):
        Reading(hr, None, [tmp_path / "sr", tmp_path / "hr" / ".." / "sr"], 4)


def test_folders_of_one_name_are_told_apart(hr, tmp_path):
    for part in ("one", "two"):
        shutil.copytree(hr, tmp_path / part / "sr")
    assert Reading(hr, None, [tmp_path / "one" / "sr", tmp_path / "two" / "sr"], 4).labels == ("one/sr", "two/sr")


def test_spreads_by_hand():
    found = spread([1.0, 2.0, None, 6.0])
    assert found is not None
    assert (found.count, found.mean, found.least, found.most) == (3, 3, 1, 6) and found.deviation == pytest.approx(math.sqrt(7))
    assert spread([None]) is None
    assert spread([4.0]).deviation is None and spread([1.0, math.inf]).mean == math.inf and spread([1.0, math.inf]).deviation is None


def test_gains_ranks_and_folders(hr):
    comparison = compare(hr)
    gained = gain(comparison, "lanczos", "psnr_y")
    assert gained is not None and gained.spread.count == 2
    differences = gains(comparison, "lanczos", "psnr_y")
    assert gained.spread.mean == pytest.approx(np.mean(differences)) and gained.better == sum(value > 0 for value in differences)
    assert [value for _, value in ranked(comparison)] == sorted(differences, reverse=True)
    assert gain(comparison, "lanczos", "seam") is None
    assert [(folder, len(part.pictures)) for folder, part in folders(comparison).items()] == [("", 1), ("sub", 1)]


def test_lower_is_better_where_it_is(hr):
    shifted = Method("shifted", lambda lq: Upscaled(np.minimum(resamplers()[0].upscale(lq).rgb, 225) + np.uint8(30)), {})
    comparison = compare(hr, methods=[resamplers()[0], shifted])
    found = gain(comparison, "shifted", "color_error")
    assert found is not None and found.spread.mean > 1 and found.better == 0
