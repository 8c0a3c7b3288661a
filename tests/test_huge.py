"""Results too large to be held in memory several times over: the same pixels, and little memory."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sampler_invsr import InvSamplerSR
from tests.conftest import PROJECT
from tests.pictures.icc_profiles import DISPLAY_P3
from utils.pictures.picture import Picture
from utils.pictures.resampling import bicubic
from utils.planning.settings import Settings


@pytest.fixture
def quick(sampler, monkeypatch):
    """A sampler whose networks are a stand-in: wrong colours, and another detail for every tile and seed."""

    def enlarged(self, patches, batch, run, *_):
        made = bicubic(patches, (4 * patches.shape[-2], 4 * patches.shape[-1])) * 0.85
        detail = [torch.rand(3, *made.shape[-2:], generator=torch.Generator().manual_seed(run.seed + 1000 * box.top + box.left)) for box, _ in batch]
        return (made + 0.2 * torch.stack(detail)).clamp(0, 1)

    monkeypatch.setattr(InvSamplerSR, "_sample_tiles", enlarged)
    return sampler


@pytest.fixture
def everything_is_large(monkeypatch):
    """Call it, and from then on pictures of any size wait on the disk and are finished in stretches of a few rows."""

    def make_large():
        monkeypatch.setattr("utils.planning.plan.MOST_IN_MEMORY", 0)
        monkeypatch.setattr("utils.pictures.bands.STRETCH", 12 * 4 * 150)

    return make_large


def with_alpha(picture):
    return np.dstack([picture, np.roll(picture[..., 0], 20, 0)])


SHAPES = {
    "8 bits": lambda photo: photo,
    "alpha": with_alpha,
    "16 bits": lambda photo: photo.astype(np.uint16) * 257 + 3,
    "16 bits with alpha": lambda photo: with_alpha(photo).astype(np.uint16) * 257,
    "floats": lambda photo: photo.astype(np.float32) / 255,
    "grey": lambda photo: Image.fromarray(photo[..., 0]),
    "smaller than a tile": lambda photo: photo[:30, :20],
    "one row": lambda photo: photo[:1],
}
CHOICES = {
    "as shipped, restrained": {"color_fix": Settings().color_fix, "consistency": Settings().consistency, "restraint": 1.0},
    "attention": {"attention_blending": True, "color_fix": "histogram"},
    "regions": {"smart_chopping": True, "attention_blending": True, "color_fix": "hybrid"},
    "two seeds": {"attention_fusion": True, "fusion_candidates": "seeds", "color_fix": "adain", "consistency": 0.5},
    "all stages": {
        "attention_fusion": True,
        "fusion_candidates": "color_fixes",
        "restraint": 0.5,
        "fidelity": 0.3,
        "edge_enhancement": True,
        "color_fix": "ycbcr",
    },
}


def check(quick, everything_is_large, picture, **settings):
    before = quick.upscale(picture, **settings)
    assert not before.plan.is_on_disk
    everything_is_large()
    after = quick.upscale(picture, **settings)
    assert after.plan.is_on_disk and after.picture.dtype == before.picture.dtype
    least = 1 / 255 if before.picture.dtype == np.float32 else np.iinfo(before.picture.dtype).max // 255
    assert np.abs(after.picture.astype(float) - before.picture.astype(float)).max() <= least
    assert (after.picture == before.picture).mean() > 0.999, "hardly a rounding differs"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_picture_is_the_same_on_disk(quick, everything_is_large, photo, shape):
    check(quick, everything_is_large, SHAPES[shape](photo), color_fix="wavelet", edge_enhancement=True)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_way_to_put_it_together_is_the_same_on_disk(quick, everything_is_large, photo, choice):
    check(quick, everything_is_large, photo, **CHOICES[choice])


def test_a_colour_profile_is_applied_in_stretches_too(quick, everything_is_large, photo):
    picture = Picture(photo, icc=DISPLAY_P3)
    whole = quick.upscaled(picture, lambda *_: None).picture.rgb
    everything_is_large()
    assert np.array_equal(quick.upscaled(picture, lambda *_: None).picture.rgb, whole)


def test_a_batch_of_tensors_is_the_same_on_disk(quick, everything_is_large):
    lq = torch.rand(2, 3, 90, 40, generator=torch.Generator().manual_seed(0))
    fixed = quick.with_settings(color_fix="hybrid", edge_enhancement=True)
    whole = fixed.sample_image(lq)
    everything_is_large()
    torch.testing.assert_close(fixed.sample_image(lq), whole, atol=2e-6, rtol=0)


def test_the_preview_is_the_same_on_disk(quick, everything_is_large, photo):
    previews = [[], []]
    for seen in previews:
        quick.upscale(
            photo, on_progress=lambda done, total, preview, seen=seen: seen.append(preview), attention_fusion=True, fusion_candidates="seeds"
        )
        everything_is_large()
    assert len(previews[0]) > 4 and all(np.array_equal(*pair) for pair in zip(*previews, strict=True))


def test_the_plan_says_what_waits_on_the_disk(sampler):
    assert "temporary file" not in str(sampler.plan(np.zeros((100, 100, 3), np.uint8)))
    plan = sampler.plan(np.zeros((2500, 2500, 3), np.uint8), max_output_megapixels=110)
    assert "What the networks make, 1.2 GB, is kept in a temporary file" in plan.reasons[-1]


def test_what_the_shipped_limit_allows_is_not_huge_whatever_the_size_of_the_result_is_asked_as(sampler):
    pictures = [Picture(np.broadcast_to(np.uint8(0), (side, side, 3))) for side in (2000, 2100)]
    assert [sampler.is_huge(picture) for picture in pictures] == [False, True]
    assert [sampler.with_settings(sf=2).is_huge(picture) for picture in pictures] == [False, False]
    assert sampler.with_settings(longest_side=9000).is_huge(pictures[0])


# ---- memory ----


def megabytes(kind, side, divided, *settings):
    script = PROJECT / "benchmarks" / "huge_pictures.py"
    command = [sys.executable, str(script), "--row", kind, "--side", str(side), "--divided", str(divided), *settings]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["megabytes"]


@pytest.mark.slow
def test_a_large_picture_takes_little_more_than_its_result():
    """4096 x 4096, with what may be in memory at once divided as the picture is. Tiles do not shrink with it."""
    assert megabytes("8 bits", 1024, 16) < 300


@pytest.mark.slow
def test_a_small_picture_enlarged_to_the_same_size_takes_no_more():
    assert megabytes("8 bits", 256, 16, "sf=16") < 300


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["8 bits", "16 bits, alpha"])
def test_16k(kind):
    """16384 x 16384 within 4 GB beyond the loaded program."""
    assert megabytes(kind, 4096, 1) < 4000


@pytest.mark.slow
def test_16k_of_a_small_picture():
    assert megabytes("8 bits", 1024, 1, "sf=16") < 4000
