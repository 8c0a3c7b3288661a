"""Tiles, seconds, PSNR and seam scores of fixed and smart chopping: python benchmarks/chopping.py --pictures DIR [--out FILE] [key=value ...]

DIR holds good pictures; they are reduced four times and enlarged again. So are mosaics of pieces of them: flat (blurred until nothing is left) on the
left, on the right, at the top or at the bottom half, flat all over, and detailed all over. Writes the tables of docs/chopping.md, each below its
heading there. Methods take turns; seconds are of processor time, which other programs on the machine disturb little, and ratios are medians over the
rounds. --tables takes some of mosaics, pictures and plans.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from sampler_invsr import InvSamplerSR
    from utils.planning.plan import Plan

PROJECT = Path(__file__).resolve().parents[1]
METHODS = {
    "fixed 50 %": {"overlap": 0.5},
    "fixed 25 %": {"overlap": 0.25},
    "smart": {"smart_chopping": True},
    "smart, attention": {"smart_chopping": True, "attention_blending": True},
}
SCALE = 4
PIECE = 400
"""Side of the pieces of a mosaic, in pixels of the original: no multiple of any tile's spacing, so that tiles do not end where pieces do."""
FLAT_SIGMA = 96.0
SAME_SCORE = 0.005
"""Seam scores that differ by less are the same to the digits shown."""
PLANNING_RUNS = 5
UPSCALED_SIDE, PLANNED_SIDES = 512, (768, 1024, 1536)
"""Of the mosaics, in pixels of the input: in smaller ones tiles are too few to tell, larger ones take hours."""


@dataclass(frozen=True)
class Case:
    """hr, lq: uint8 [h,w,3]."""

    name: str
    hr: np.ndarray
    lq: np.ndarray


@dataclass(frozen=True)
class Row:
    """What one method did with one picture.

    seam: the score of the result at the borders of its tiles. seam_of_whole, seam_of_original: those of the result that is computed as one tile and
    of the original at the same borders. All None where no border lies in the picture.
    """

    plan: "Plan"
    seconds: list[float]
    psnr: float
    seam: float | None
    seam_of_whole: float | None
    seam_of_original: float | None

    @property
    def excess(self) -> float | None:
        """What the borders add to the score, whatever the picture shows there."""
        return None if self.seam is None or self.seam_of_whole is None else self.seam - self.seam_of_whole


def originals(folder: Path) -> dict[str, np.ndarray]:
    from utils.evaluation.picture_sets import colours, cropped, find_tree, read

    pictures = {name.stem: cropped(colours(read(folder / name)), SCALE) for name in find_tree(folder)}
    return {name: np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))) for name, pixels in pictures.items()}  # grey ones too


def mosaics(pictures: dict[str, np.ndarray], side: int) -> Iterator[tuple[str, np.ndarray]]:
    """Of side x side pixels."""
    rng = np.random.default_rng(0)
    usable = [picture for picture in pictures.values() if min(picture.shape[:2]) >= PIECE]
    detailed = np.empty((side, side, 3), np.uint8)
    for top in range(0, side, PIECE):
        for left in range(0, side, PIECE):
            picture = usable[rng.integers(len(usable))]
            y, x = (rng.integers(length - PIECE + 1) for length in picture.shape[:2])
            area = detailed[top : top + PIECE, left : left + PIECE]
            area[:] = picture[y : y + area.shape[0], x : x + area.shape[1]]
    flat = cv2.GaussianBlur(detailed, (0, 0), FLAT_SIGMA)
    near, far = slice(side // 2), slice(side // 2, None)
    for name, half in (("left", np.s_[:, near]), ("right", np.s_[:, far]), ("top", np.s_[near]), ("bottom", np.s_[far])):
        mixed = detailed.copy()
        mixed[half] = flat[half]
        yield f"flat {name} half", mixed
    yield from (("flat", flat), ("detailed", detailed))


def make_case(name: str, hr: np.ndarray) -> Case:
    from utils.evaluation.lr_sets import make_lr
    from utils.pictures.degradations import Degradation

    return Case(name, hr, make_lr(hr, Degradation(), seed=0))


def measured(sampler: "InvSamplerSR", case: Case, rounds: int) -> dict[str, Row]:
    from utils.metrics.fidelity import psnr_rgb
    from utils.metrics.seams import seam_score, tiling_of
    from utils.pictures.tensors import to_tensor

    hr, rows = to_tensor(case.hr), {}
    whole = to_tensor(sampler.upscale(case.lq, pch_size=_side_of_one_tile(sampler, case)).picture)
    for number in range(rounds):
        for method, settings in METHODS.items():
            start = time.process_time()
            result = sampler.upscale(case.lq, **settings)
            seconds = time.process_time() - start
            if number == 0:
                sr, tiling = to_tensor(result.picture), tiling_of(result.plan)
                assert tiling is not None  # results are of the model's own scale
                seams = (seam_score(rgb, tiling) for rgb in (sr, whole, hr))
                rows[method] = Row(result.plan, [seconds], psnr_rgb(sr, hr), *seams)
            else:
                rows[method].seconds.append(seconds)
        print(f"{case.name}: round {number + 1} of {rounds}", file=sys.stderr)
    return rows


def _side_of_one_tile(sampler: "InvSamplerSR", case: Case) -> int:
    """Of a tile that holds the whole picture."""
    multiple = sampler.spec.lq_multiple
    return -(-max(case.lq.shape[:2]) // multiple) * multiple


def table(cases: dict[str, dict[str, Row]]) -> Iterator[str]:
    """Every method on every picture."""
    yield "| picture | chopping | tiles | fewer | seconds | of fixed 50 % | PSNR, dB | difference | seam score | untiled there | original there |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, rows in cases.items():
        first = next(iter(rows.values()))
        for method, row in rows.items():
            ratio = statistics.median(mine / its for mine, its in zip(row.seconds, first.seconds, strict=True))
            fewer = f"{1 - len(row.plan.tiles) / len(first.plan.tiles):.0%}"
            scores = " | ".join(_score(score) for score in (row.seam, row.seam_of_whole, row.seam_of_original))
            values = f"{statistics.median(row.seconds):.1f} | {ratio:.2f} | {row.psnr:.3f} | {row.psnr - first.psnr:+.3f} | {scores}"
            yield f"| {name} | {method} | {len(row.plan.tiles)} | {fewer} | {values} |"


def summary(cases: dict[str, dict[str, Row]]) -> Iterator[str]:
    """Every method over all pictures."""
    yield "| chopping | tiles | pictures with more than fixed 50 % | mean PSNR, dB | largest loss, dB |"
    yield "|---|---|---|---|---|"
    firsts = [next(iter(rows.values())) for rows in cases.values()]
    for method in METHODS:
        mine = [rows[method] for rows in cases.values()]
        more = sum(len(row.plan.tiles) > len(first.plan.tiles) for row, first in zip(mine, firsts, strict=True))
        loss = max(first.psnr - row.psnr for row, first in zip(mine, firsts, strict=True))
        tiles = sum(len(row.plan.tiles) for row in mine)
        yield f"| {method} | {tiles} | {more} | {statistics.mean(row.psnr for row in mine):.3f} | {loss:+.3f} |"


def seams(cases: dict[str, dict[str, Row]]) -> Iterator[str]:
    """What the borders add to the seam score, by how much more than those of fixed 50 % at most, and on how many pictures it is no more."""
    yield "| chopping | pictures with borders | mean that borders add | most | no more than with fixed 50 % | largest difference |"
    yield "|---|---|---|---|---|---|"
    for method in METHODS:
        known = [(next(iter(rows.values())).excess, rows[method].excess) for rows in cases.values()]
        pairs = [(first, mine) for first, mine in known if first is not None and mine is not None]
        if not pairs:
            continue
        added, more = [mine for _, mine in pairs], [mine - first for first, mine in pairs]
        no_more = sum(value <= SAME_SCORE for value in more)
        yield f"| {method} | {len(pairs)} | {statistics.mean(added):+.3f} | {max(added):+.3f} | {no_more} | {max(more):+.3f} |"


def planning(sampler: "InvSamplerSR", pictures: dict[str, np.ndarray]) -> Iterator[str]:
    """Plans alone, for the originals as inputs."""
    from utils.pictures.analysis import measure
    from utils.planning.geometry import count_fixed_tiles
    from utils.planning.smart_chopping import smart_tiles

    yield "| input | size | fixed 50 % | fixed 25 % | smart | fewer than fixed 50 % | analysis, ms/MP | planning, ms/MP |"
    yield "|---|---|---|---|---|---|---|---|"
    overlaps = sampler.settings.min_overlap, sampler.settings.max_overlap
    for name, picture in pictures.items():
        stats, analysis = _timed(measure, picture)
        plan = sampler.plan(picture)
        tiles, seconds = _timed(smart_tiles, plan.lq_size, plan.origin, plan.patch, stats.complexity_map, *overlaps)
        counts = [count_fixed_tiles(plan.lq_size, plan.patch, overlap) for overlap in (0.5, 0.25)]
        (h, w), megapixels = picture.shape[:2], picture.shape[0] * picture.shape[1] / 1e6
        times = f"{1000 * analysis / megapixels:.0f} | {1000 * seconds / megapixels:.1f}"
        yield f"| {name} | {w} x {h} | {counts[0]} | {counts[1]} | {len(tiles)} | {1 - len(tiles) / counts[0]:.0%} | {times} |"


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What work returns and the median of its seconds."""
    result, seconds = None, []
    for _ in range(PLANNING_RUNS):
        start = time.process_time()
        result = work(*arguments)
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds)


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def mosaics_section(sampler: "InvSamplerSR", pictures: dict[str, np.ndarray], rounds: int) -> Iterator[str]:
    rows = {name: measured(sampler, make_case(name, hr), rounds) for name, hr in mosaics(pictures, SCALE * UPSCALED_SIDE)}
    yield from ("### Mosaics upscaled", "", *table(rows), "", *seams(rows), "")


def pictures_section(sampler: "InvSamplerSR", pictures: dict[str, np.ndarray], rounds: int) -> Iterator[str]:
    rows = {name: measured(sampler, make_case(name, hr), rounds) for name, hr in pictures.items()}
    yield from ("### Pictures upscaled", "", *summary(rows), "", *seams(rows), "")


def plans_section(sampler: "InvSamplerSR", pictures: dict[str, np.ndarray], rounds: int) -> Iterator[str]:
    large = {f"{name}, {side}": picture for side in (UPSCALED_SIDE, *PLANNED_SIDES) for name, picture in mosaics(pictures, side)}
    yield from ("### Plans alone", "", *planning(sampler, {**pictures, **large}), "")


def main() -> None:
    from sampler_invsr import InvSamplerSR
    from utils.planning.checked_settings import parse_assignments

    sections = {"mosaics": mosaics_section, "pictures": pictures_section, "plans": plans_section}
    parser = argparse.ArgumentParser(description="Compare fixed and smart chopping.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of good pictures")
    parser.add_argument("--tables", nargs="+", choices=sections, default=list(sections), help="which to make (default: all)")
    parser.add_argument("--rounds", type=int, default=1, help="how often everything is upscaled with every method (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the tables go; without it they are printed")
    parser.add_argument("--plan-picture", type=Path, help="where to save a drawing of the smart plan of the mosaic that is flat on its left")
    parser.add_argument("settings", nargs="*", help="key=value ...")
    options = parser.parse_args()
    sampler = InvSamplerSR(parse_assignments(options.settings))
    pictures = originals(options.pictures)
    lines = [line for name in options.tables for line in sections[name](sampler, pictures, options.rounds)]
    text = "\n".join(lines)
    if options.out:
        options.out.write_text(text)
    else:
        print(text, end="")
    if options.plan_picture:
        draw(sampler, pictures, options.plan_picture)


def draw(sampler: "InvSamplerSR", pictures: dict[str, np.ndarray], target: Path) -> None:
    """The plan of the first mosaic."""
    from utils.pictures.plan_picture import draw_plan

    lq = make_case(*next(mosaics(pictures, SCALE * UPSCALED_SIDE))).lq
    plan = sampler.with_settings(smart_chopping=True).plan(lq)
    cv2.imwrite(str(target), draw_plan(plan, sampler.measure(lq).complexity_map, longest=640)[..., ::-1])


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    main()
