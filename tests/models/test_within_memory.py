"""Tiles where memory runs out: which are computed, how often, where, and what they look like together. With a stand-in for the networks."""

import pytest
import torch

from utils.metrics.seams import Tiling, seam_score
from utils.models.remedies import Remedies
from utils.models.within_memory import WithinMemory, smaller_side
from utils.pictures.resampling import bicubic
from utils.planning.geometry import Box, fixed_tiles
from utils.planning.model_spec import ModelSpec

CPU = torch.device("cpu")


def spec(multiple=8):
    return ModelSpec("stand-in", 4, 4, 3, multiple, (1, 1000), False)


class Enlarging:
    """Magnifies tiles of `picture` [3,h,w] and adds noise by where they lie; `limit(n, side)` is what fits. calls: (n, side); kept: what fitted."""

    def __init__(self, picture, limit, noise=0.0):
        self.picture, self.limit, self.noise, self.calls, self.kept = picture, limit, noise, [], []

    def __call__(self, tiles):
        side = tiles[0][0].size[0]
        self.calls.append((len(tiles), side))
        if not self.limit(len(tiles), side):
            raise MemoryError
        self.kept += [box for box, _ in tiles]
        patches = torch.stack([self.picture[:, box.top : box.bottom, box.left : box.right] for box, _ in tiles])
        noise = [torch.randn(3, 4 * side, 4 * side, generator=torch.Generator().manual_seed(1000 * box.top + box.left)) for box, _ in tiles]
        return bicubic(patches, (4 * side, 4 * side)) + self.noise * torch.stack(noise)


def computed(compute, boxes, batch=1, multiple=8):
    """({box: [3,H,W]}, remedies) of the tiles."""
    remedies = Remedies(batch, boxes[0].size[0])
    batches = WithinMemory(compute, remedies, spec(multiple), CPU).batches([(box, 0) for box in boxes])
    return {box: made for tiles, results in batches for (box, _), made in zip(tiles, results, strict=True)}, remedies


@pytest.fixture
def smooth():
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(x / 9 + y / 14), x / 160, y / 160])


@pytest.mark.parametrize("limit", [80, 79, 48, 47])
@pytest.mark.parametrize("multiple", [2, 8, 16])
def test_parts_cover_their_tile_and_look_like_it(smooth, limit, multiple):
    box = Box(16, 32, 144, 160)
    (whole,) = computed(Enlarging(smooth, lambda n, side: True), [box])[0].values()
    compute = Enlarging(smooth, lambda n, side: side <= limit)
    made, remedies = computed(compute, [box], multiple=multiple)
    assert (made[box] - whole).abs().max() < 0.02 and (made[box] - whole).abs().mean() < 2e-4
    assert remedies.largest <= limit and remedies.tiles_in_parts == 1
    for part in compute.kept:
        assert part.size[0] == part.size[1] == remedies.largest and part.size[0] % multiple == 0
        assert box.top <= part.top and box.left <= part.left and part.bottom <= box.bottom and part.right <= box.right
    covered = torch.zeros(160, 160)
    for part in compute.kept:
        covered[part.top : part.bottom, part.left : part.right] += 1
    inside = covered[box.top : box.bottom, box.left : box.right]
    assert inside.min() >= 1 and inside.max() > 1 and covered.sum() == inside.sum()


def test_no_part_shows_its_border(smooth):
    """Though parts disagree by their noise, steps at their borders are like all others; without blending they would be many times as large."""
    box = Box(0, 0, 128, 128)
    compute = Enlarging(smooth, lambda n, side: side <= 80, noise=0.02)
    made, _ = computed(compute, [box])
    score = seam_score(made[box][None], Tiling((512, 512), tuple(part.scaled(4) for part in compute.kept), 4))
    assert score is not None and 0.9 < score < 1.1


def test_finished_tiles_and_finished_parts_are_not_computed_again(smooth):
    boxes = fixed_tiles((160, 160), 128, 0.5)
    compute = Enlarging(smooth, lambda n, side: side <= (128, 128, 80)[len(compute.kept)] if len(compute.kept) < 3 else side <= 48)
    made, remedies = computed(compute, boxes, batch=2)
    assert list(made) == boxes and compute.kept[:2] == boxes[:2]
    assert compute.calls[:5] == [(2, 128), (2, 128), (1, 128), (1, 80), (1, 80)]
    assert compute.calls[5:] == [(1, 48)] * (3 * 4 + 16), "three parts of the third tile in parts of their own, and all of the fourth"
    assert (remedies.tile_batch, remedies.largest, remedies.tiles_in_parts) == (1, 48, 2)


def test_the_same_lack_of_memory_gives_the_same_pixels_whatever_the_tile_batch(smooth):
    boxes = fixed_tiles((160, 160), 128, 0.5)
    first, second = (computed(Enlarging(smooth, lambda n, side: side <= 80, noise=0.1), boxes, batch)[0] for batch in (1, 4))
    assert all(torch.equal(first[box], second[box]) for box in boxes)


def test_where_the_smallest_parts_are_too_much_it_ends(smooth):
    compute = Enlarging(smooth, lambda n, side: False)
    with pytest.raises(MemoryError):
        computed(compute, [Box(0, 0, 128, 128)])
    assert compute.calls == [(1, 128), (1, 80), (1, 48), (1, 32)]


@pytest.mark.parametrize(
    ("side", "multiple", "expected"),
    [(128, 8, 80), (64, 16, 32), (48, 8, 32), (32, 8, None), (72, 16, 32), (200, 64, 64), (64, 64, None), (33, 1, 32)],
)
def test_parts_are_smaller_and_what_the_model_can_do(side, multiple, expected):
    assert smaller_side(side, multiple) == expected
