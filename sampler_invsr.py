"""InvSR super-resolution: one noise predictor and a few diffusion steps over the tiles of a poor picture.

As a class: `InvSamplerSR`. As a program: `python sampler_invsr.py --help`.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import product
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from utils.planning.arguments import OneLineParser
from utils.planning.errors import UserError
from utils.planning.geometry import Box
from utils.planning.plan import Plan, check_model_can, check_output_size, make_plan
from utils.planning.settings import Settings, make_settings, parse_assignments, with_overrides

if TYPE_CHECKING:
    import numpy as np
    import torch
    from omegaconf import DictConfig
    from PIL.Image import Image

    from utils.jobs.folder import FileResult
    from utils.models.denoising import Draws
    from utils.pictures.image_io import Picture

    Source = str | Path | Image | np.ndarray
    OnProgress = Callable[[int, int, np.ndarray], None]

PROJECT = Path(__file__).resolve().parent
DEFAULT_CONFIG = PROJECT / "configs" / "sample-tiny.yaml"


@dataclass(frozen=True)
class Result:
    """An upscaled picture.

    picture: HWC array of the input's depth, 4 channels where the input has alpha. timings: seconds by step. warnings: sentences.
    """

    picture: np.ndarray
    plan: Plan
    timings: Mapping[str, float]
    warnings: tuple[str, ...]


class InvSamplerSR:
    """A loaded model and its settings. Calls change neither, so threads may share one sampler."""

    def __init__(
        self,
        configs: DictConfig | Mapping[str, Any] | str | Path = DEFAULT_CONFIG,
        announce: Callable[[str], None] = print,
        on_download: Callable[[int, int], None] | None = None,
    ) -> None:
        """configs: nested settings or the path of a YAML file.

        announce gets what a download will do, in words, before it starts; on_download(done, total) its bytes and may raise to cancel.
        UserError if a setting or a model file cannot be used.
        """
        from utils.models.model_loading import load_model

        self.settings = make_settings(configs)
        self._model = load_model(self.settings, announce, on_download)
        self.spec, self.device, self.dtype = self._model.spec, self._model.device, self._model.dtype
        check_model_can(self.settings, self.spec)

    def with_settings(self, **overrides: Any) -> InvSamplerSR:
        """A sampler over the same loaded model under changed settings, by their last names; this one stays as it is."""
        other = copy.copy(self)
        other.settings = self._with_overrides(overrides)
        check_model_can(other.settings, self.spec)
        return other

    def upscale(self, image: Source, on_progress: OnProgress | None = None, **overrides: Any) -> Result:
        """Upscale a path, a PIL image or an HWC array (uint8, uint16, or float in [0,1]).

        on_progress(done, total, preview) is called after every tile batch, preview being HWC uint8; raising in it cancels.
        overrides: settings by their last names, for this call only. UserError if the picture or a setting cannot be used.
        """
        from utils.pictures.image_io import to_array

        settings = self._with_overrides(overrides)
        picture, plan, timings = self._upscale(self._read(image, settings), settings, on_progress)
        return Result(to_array(picture), plan, timings, picture.notes)

    def plan(self, image: Source, **overrides: Any) -> Plan:
        """What `upscale` would do, decided without running a network."""
        from utils.pictures.image_io import picture_size

        settings = self._with_overrides(overrides)
        size = picture_size(image) if isinstance(image, str | Path) else self._read(image, settings).size
        return make_plan(size, settings, self.spec)

    def inference(self, in_path: str | Path, out_path: str | Path, bs: int = 1, on_progress: OnProgress | None = None) -> list[FileResult]:
        """Upscale a picture, or every picture in a folder, into the folder `out_path` as `<stem>.png`.

        bs: pictures worked on at the same time; results do not depend on it. In a folder, a file that cannot be used fails alone and
        its row says why; a single one raises UserError, as do unusable paths.
        """
        from utils.jobs.folder import find_inputs, name_outputs, run_files

        if bs < 1:
            raise UserError(f"bs must be at least 1, not {bs}.")
        inputs = find_inputs(Path(in_path), Path(out_path))
        outputs = name_outputs(inputs, Path(out_path))

        def work(path: Path, stop: Event) -> FileResult:
            def watch(done: int, total: int, preview: np.ndarray) -> None:
                if stop.is_set():
                    raise InterruptedError
                if on_progress:
                    on_progress(done, total, preview)

            return self._upscale_file(path, outputs[path], watch)

        if Path(in_path).is_dir():
            return run_files(inputs, work, bs)
        return [work(path, Event()) for path in inputs]

    def sample_image(self, lq: torch.Tensor, eps: Draws | None = None) -> torch.Tensor:
        """[B,3,h,w] in [0,1], any size -> [B,3,4h,4w] in [0,1]: padding, tiles, blending, crop and stages, before rounding.

        eps: None draws from the seed, "mean" takes the means of both posteriors, {"predictor": ..., "vae": ...} are standard normal
        draws over the latents of the whole padded picture [B,C,H,W], of which every tile takes its window.
        """
        import torch

        from utils.models.draws import check_draws

        _check_pictures(lq)
        plan = make_plan((lq.shape[-2], lq.shape[-1]), self.settings, self.spec)
        check_draws(eps, len(lq), plan.lq_size, self.spec)
        with torch.no_grad():
            return self._finish(self._compute(lq, plan, self.settings, eps), lq, plan)

    def sample_patches(
        self, lq: torch.Tensor, timesteps: list[int] | None = None, cfg_scale: float | None = None, eps: Draws | None = None
    ) -> torch.Tensor:
        """[B,3,h,w] in [0,1], sides multiples of `spec.lq_multiple` -> [B,3,4h,4w] in [0,1]: the networks alone, without tiles or stages.

        eps as in `sample_image`, the draws having the shape of the patches' latents. Timesteps and guidance default to the settings.
        """
        from utils.models.draws import check_draws

        _check_pictures(lq)
        given = {name: value for name, value in (("timesteps", timesteps), ("cfg_scale", cfg_scale)) if value is not None}
        settings = self._with_overrides(given)
        check_model_can(settings, self.spec)
        if any(side % self.spec.lq_multiple for side in lq.shape[-2:]):
            raise UserError(f"The sides of a patch must be multiples of {self.spec.lq_multiple} for the model {self.spec.name}.")
        whole = Box(0, 0, lq.shape[-2], lq.shape[-1])
        check_draws(eps, len(lq), whole.size, self.spec)
        return self._sample_tiles(lq, [(whole, k) for k in range(len(lq))], settings, eps)

    # ---- one picture, from decision to pixels ----

    def _upscale(self, picture: Picture, settings: Settings, on_progress: OnProgress | None) -> tuple[Picture, Plan, dict[str, float]]:
        from utils.models.device import memory_errors_explained
        from utils.pictures.resampling import bicubic_antialiased
        from utils.pictures.tensors import to_grey, to_pixels, to_tensor
        from utils.pictures.transparency import extend_colours

        timings: dict[str, float] = {}
        plan = make_plan(picture.size, settings, self.spec)
        lq, alpha = to_tensor(picture.rgb), picture.alpha
        if alpha is not None:
            lq = extend_colours(lq, to_tensor(alpha))
        with _timed(timings, "networks"), memory_errors_explained():
            canvas = self._compute(lq, plan, settings, None, on_progress)
        with _timed(timings, "stages"), memory_errors_explained():
            sr = self._finish(canvas, lq, plan)
            if picture.grey:
                sr = to_grey(sr)
            if alpha is not None:
                alpha = to_pixels(bicubic_antialiased(to_tensor(alpha), plan.output_size).clamp(0, 1), alpha.dtype)
            return replace(picture, rgb=to_pixels(sr, picture.rgb.dtype), alpha=alpha), plan, timings

    def _compute(self, lq: torch.Tensor, plan: Plan, settings: Settings, eps: Draws | None, on_progress: OnProgress | None = None) -> torch.Tensor:
        """Pad, run the networks over batches of tiles, blend, crop: [B,3,h,w] -> [B,3,4h,4w]."""
        import torch

        from utils.pictures.blending import Canvas
        from utils.pictures.padding import crop, pad, picture_box

        lq = lq.float().to(self.device)
        padded = pad(lq, plan)
        canvas = Canvas(len(lq), (plan.lq_size[0] * plan.scale, plan.lq_size[1] * plan.scale), self.device)
        jobs = list(product(plan.tiles, range(len(lq))))
        for first in range(0, len(jobs), plan.tile_batch):
            batch = jobs[first : first + plan.tile_batch]
            patches = torch.stack([padded[k, :, box.top : box.bottom, box.left : box.right] for box, k in batch])
            for (box, k), rgb in zip(batch, self._sample_tiles(patches, batch, settings, eps), strict=True):
                canvas.add(k, box.scaled(plan.scale), rgb)
            if on_progress:
                on_progress(first + len(batch), len(jobs), canvas.preview(lq[0], picture_box(plan)))
        return crop(canvas.blended(), plan)

    def _sample_tiles(self, patches: torch.Tensor, batch: list[tuple[Box, int]], settings: Settings, eps: Draws | None) -> torch.Tensor:
        """One batch of tiles, each a box of a picture, through the networks: [n,3,p,p] -> [n,3,4p,4p] in [0,1]."""
        import torch

        from utils.models.denoising import sample
        from utils.models.draws import seeded_draws, window_draws

        if eps is None:
            draws = seeded_draws(settings.seed, [box for box, _ in batch], self.spec)
        else:
            draws = eps if eps == "mean" else window_draws(eps, batch, self.spec)
        with torch.no_grad():
            conditioning = self._model.conditioner(settings.prompt, settings.negative_prompt, settings.cfg_scale)
            lq = patches.float().to(self.device)
            rgb = sample(self._model.denoiser, lq, settings.timesteps, settings.cfg_scale, conditioning, draws).clamp(0, 1)
        if not torch.isfinite(rgb).all():
            way_out = "check its files" if self.dtype == torch.float32 else "set dtype to float32"
            raise UserError(f"The model produced values that are not numbers; {way_out}.")
        return rgb

    def _finish(self, canvas: torch.Tensor, lq: torch.Tensor, plan: Plan) -> torch.Tensor:
        """The stages after the networks, against the UNPADDED input."""
        from utils.pictures.stages import StageContext, run_stages

        return run_stages(canvas, StageContext(lq.float().to(canvas.device), plan))

    # ---- files and settings ----

    def _upscale_file(self, path: Path, target: Path, on_progress: OnProgress) -> FileResult:
        from utils.jobs.folder import FileResult, make_folder
        from utils.pictures.image_io import check_target, save

        if target.exists() and target.samefile(path):
            raise UserError(f"The result of {path} would take its place; name another folder for the results.")
        check_target(target)
        picture, plan, _ = self._upscale(self._read(path, self.settings), self.settings, on_progress)
        make_folder(target.parent)
        settings = {**self.settings.reproducible(), "dtype": str(self.dtype).removeprefix("torch.")}
        save(picture, target, {"settings": json.dumps(settings), "plan": json.dumps(plan.to_dict())})
        return FileResult(path, target, " ".join(picture.notes))

    def _read(self, image: Source, settings: Settings) -> Picture:
        """Decode a picture; a file whose result would be too large is refused by its header."""
        from PIL.Image import Image

        from utils.pictures.image_io import from_array, from_pil, load

        if isinstance(image, str | Path):
            return load(image, int(settings.max_output_megapixels * 1e6), self.spec.scale)
        if isinstance(image, Image):
            check_output_size((image.height, image.width), settings.max_output_megapixels, self.spec.scale)
            return from_pil(image)
        return from_array(image)

    def _with_overrides(self, overrides: Mapping[str, Any]) -> Settings:
        changed, mine = with_overrides(self.settings, overrides), self.settings
        if (changed.sd_pipe, changed.model_start, changed.device, changed.dtype) != (mine.sd_pipe, mine.model_start, mine.device, mine.dtype):
            raise UserError("The model, device and dtype are decided when a sampler is made; make another InvSamplerSR for other ones.")
        return changed


def _check_pictures(lq: torch.Tensor) -> None:
    if lq.ndim != 4 or lq.shape[0] < 1 or lq.shape[1] != 3 or not lq.is_floating_point():
        raise ValueError(f"lq must be a float tensor [B,3,h,w] in [0,1], not {lq.dtype} {list(lq.shape)}")


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[step] = time.perf_counter() - start


# ---- the command line ----


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_intermixed_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold what a terminal cannot show
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is wrong with a picture, the reader says in its own words
    try:
        return _self_check(options) if options.self_check else _upscale_paths(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; finished pictures are kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        description="Upscale a picture, or every picture in a folder, four times.",
        epilog="Exit codes: 0 all written, or a sane self-check; 1 a self-check that is not sane; 2 wrong usage, settings or single input, nothing"
        " written; 3 some files of a folder failed; 130 stopped.",
    )
    parser.add_argument("-i", "--input", metavar="IN", help="a picture or a folder of pictures")
    parser.add_argument("-o", "--output", metavar="OUT", help="the folder for the results, made if missing; each is OUT/<stem>.png")
    parser.add_argument("--config", default=str(DEFAULT_CONFIG), help="settings file (default: the embedded model)")
    parser.add_argument("--bs", type=int, default=1, help="pictures worked on at the same time (default: 1)")
    parser.add_argument(
        "--self-check",
        action="store_true",
        help="only upscale a small shipped picture and report whether this machine does it right",
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings by name, for example timesteps=200,100 color_fix=ycbcr")
    return parser


def _upscale_paths(options: argparse.Namespace) -> int:
    from utils.jobs.folder import find_inputs

    if not options.input or not options.output:
        raise UserError("Name a picture or a folder with -i and a folder for the results with -o; --help tells more.")
    settings = make_settings(options.config, parse_assignments(options.settings))
    find_inputs(Path(options.input), Path(options.output))  # wrong paths are known before a model is loaded
    sampler = InvSamplerSR(settings.to_dict(), _say, _download_bar())
    rows = _with_progress_bar(lambda on_progress: sampler.inference(options.input, options.output, options.bs, on_progress))
    for row in rows:
        if row.output:
            print(row.output)
        if row.message:
            _say(f"{'note' if row.output else 'failed'}: {row.input.name}: {row.message}")
    failed = sum(row.output is None for row in rows)
    if len(rows) > 1 or failed:
        _say(f"{len(rows) - failed} of {len(rows)} pictures written to {options.output}.")
    return 3 if failed else 0


def _with_progress_bar(work: Callable[[OnProgress], Any]) -> Any:
    """work(on_progress) under a bar over all tiles of all pictures, on a terminal only."""
    from threading import get_ident

    from tqdm import tqdm

    counted: dict[int, int] = {}  # tiles done of the picture that each thread is at
    with tqdm(unit="tile", total=0, disable=None) as bar:

        def on_progress(done: int, total: int, preview: np.ndarray) -> None:
            before = counted.get(get_ident(), 0)
            if done <= before or before == 0:  # the next picture, also where the last one failed midway
                before = 0
                bar.total += total
            bar.update(done - before)
            counted[get_ident()] = done if done < total else 0

        return work(on_progress)


def _download_bar() -> Callable[[int, int], None]:
    """on_download(done, total) that shows a bar of bytes for each download, on a terminal only."""
    from tqdm import tqdm

    bars: list[Any] = []

    def on_download(done: int, total: int) -> None:
        if not bars or bars[-1].total != total:
            bars.append(tqdm(total=total, unit="B", unit_scale=True, desc="downloading", disable=None))
        bars[-1].update(done - bars[-1].n)

    return on_download


def _self_check(options: argparse.Namespace) -> int:
    from utils.jobs.self_check import self_check

    sampler = InvSamplerSR(make_settings(options.config, parse_assignments(options.settings)).to_dict(), _say, _download_bar())
    report, sane = self_check(sampler)
    print(report)
    return 0 if sane else 1


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
