import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PARITY
from utils.planning.geometry import Box, even_tiles, fixed_tiles, pad_axis, starts

patches = st.sampled_from([16, 32, 64, 128])
sizes_and_patch = st.sampled_from([1, 5, 16, 31, 64, 127]).flatmap(
    lambda patch: st.tuples(st.integers(1, 4 * patch), st.integers(1, 4 * patch), st.just(patch))
)


@pytest.mark.parametrize(("case", "expected"), json.loads((PARITY / "chopping.json").read_text())["starts"].items())
def test_starts_are_the_published_ones(case, expected):
    length, patch, stride = map(int, re.findall(r"\d+", case))
    assert starts(length, patch, stride) == expected


@given(length=st.integers(1, 400), patch=patches, multiple=st.sampled_from([1, 4, 16]))
def test_padding_ends_reaches_the_patch_and_keeps_the_picture(length, patch, multiple):
    padding = pad_axis(length, patch, multiple)
    assert len(padding.sources) >= patch and len(padding.sources) % multiple == 0
    assert list(padding.sources[padding.before : padding.before + length]) == list(range(length))
    if length >= patch:
        assert padding.before == 0 and len(padding.sources) < length + multiple
    steps = np.abs(np.diff(padding.sources))
    assert (steps == (0 if length == 1 else 1)).all(), "neighbours stay neighbours"


@given(length=st.integers(2, 200), patch=patches)
def test_padding_is_repeated_reflection(length, patch):
    """The rounds of the published sampler, done with torch's own reflection."""
    axis, before = torch.arange(length, dtype=torch.float32)[None], 0
    while axis.shape[1] < patch:
        n = axis.shape[1]
        near = min((patch - n) // 2, n - 1)
        axis = F.pad(axis, (near, min(patch - n - near, n - 1)), mode="reflect")
        before += near
    axis = F.pad(axis, (0, -axis.shape[1] % 16), mode="reflect")
    padding = pad_axis(length, patch, 16)
    assert padding.before == before and list(padding.sources) == axis[0].int().tolist()


@given(sizes_and_patch=sizes_and_patch, overlap=st.floats(0, 0.9))
def test_fixed_tiles_cover_everything_inside_without_repeats(sizes_and_patch, overlap):
    h, w, patch = sizes_and_patch
    h, w = max(h, patch), max(w, patch)
    tiles = fixed_tiles((h, w), patch, overlap)
    assert len(set(tiles)) == len(tiles) and tiles == sorted(tiles)
    covered = np.zeros((h, w), bool)
    for box in tiles:
        assert box.size == (patch, patch) and box.top >= 0 and box.left >= 0 and box.bottom <= h and box.right <= w
        covered[box.top : box.bottom, box.left : box.right] = True
    assert covered.all()


@given(sizes_and_patch=sizes_and_patch, overlap=st.floats(0, 0.9))
def test_even_tiles_are_as_many_as_fixed_ones_and_evenly_spread(sizes_and_patch, overlap):
    h, w, patch = sizes_and_patch
    h, w = max(h, patch), max(w, patch)
    fixed, even = fixed_tiles((h, w), patch, overlap), even_tiles((h, w), patch, overlap)
    assert len(even) == len(fixed) and even == sorted(set(even))
    for axis, length in enumerate((h, w)):
        starts_along = np.array(sorted({box[axis] for box in even}))
        assert starts_along[0] == 0 and starts_along[-1] == length - patch
        gaps = np.diff(starts_along)
        assert gaps.size == 0 or (np.ptp(gaps) <= 2 and gaps.max() <= max(int(patch * (1 - overlap)), 1))


def test_boxes_scale():
    assert Box(1, 2, 3, 5).scaled(4) == Box(4, 8, 12, 20) and Box(1, 2, 3, 5).size == (2, 3)
