"""InvSR super-resolution: one noise predictor and a few diffusion steps over the tiles of a poor picture.

As a class: `InvSamplerSR`. As a program: `python sampler_invsr.py --help`.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.planning.adaptive import needs_statistics
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.errors import UserError
from utils.planning.geometry import Box
from utils.planning.memory import is_huge
from utils.planning.plan import Plan, Run, check_model_can, check_output_size, make_plan
from utils.planning.settings import Settings
from utils.planning.target_size import target_size

if TYPE_CHECKING:
    import numpy as np
    import torch
    from omegaconf import DictConfig
    from PIL.Image import Image

    from utils.jobs.forecast import Forecast
    from utils.jobs.job import Job, Upscaled, Watcher
    from utils.jobs.report import Row
    from utils.models.denoising import Draws
    from utils.models.remedies import Remedies
    from utils.pictures.blending import Canvas
    from utils.pictures.picture import Picture
    from utils.pictures.rows import Rows
    from utils.planning.statistics import ImageStats

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
        """configs: nested settings or the path of a settings file.

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
        from utils.pictures.picture import to_array

        settings = self._with_overrides(overrides)
        picture, plan, timings = self._upscale(self._read(image, settings), settings, on_progress)
        return Result(to_array(picture), plan, timings, picture.notes)

    def plan(self, image: Source, stats: ImageStats | None = None, **overrides: Any) -> Plan:
        """What `upscale` would do, decided without running a network.

        stats: the picture's, from `measure`. Without them a picture is decoded and measured only if a decision depends on it: for all others
        its size is enough, so that a plan is as quick as reading a header.
        """
        from utils.pictures.reading import picture_size

        settings = self._with_overrides(overrides)
        if isinstance(image, str | Path) and (stats or not needs_statistics(settings)):
            return make_plan(picture_size(image), settings, self.spec, stats)
        return self._plan_of(self._read(image, settings), settings, stats)

    def _plan_of(self, picture: Picture, settings: Settings, stats: ImageStats | None = None) -> Plan:
        if stats is None and needs_statistics(settings):
            stats = self._measure(picture)
        return make_plan(picture.size, settings, self.spec, stats)

    def measure(self, image: Source) -> ImageStats:
        """How complex, noisy and blurred a picture is: what adaptive settings decide by. UserError if it cannot be used."""
        return self._measure(self._read(image, self.settings))

    def inference(
        self,
        in_path: str | Path,
        out_path: str | Path,
        bs: int = 1,
        on_progress: OnProgress | None = None,
        *,
        watcher: Watcher | None = None,
        **options: Any,
    ) -> list[Row]:
        """Upscale a picture, or every picture in a folder, into the folder `out_path` as `<stem>.png`.

        bs: pictures computed at the same time; results do not depend on it. on_progress: as for `upscale`, of every picture, in the threads that
        compute. watcher: hears of every file and can stop the job. options: those of `utils.jobs.options.JobOptions`, such as recursive=True.
        What is done in `out_path` and unchanged is not done again. In a folder, a file that cannot be used fails alone and its row says why; a
        single one raises UserError, as do unusable paths.
        """
        from utils.jobs.job import Watcher

        if bs < 1:
            raise UserError(f"bs must be at least 1, not {bs}.")
        job = self._job(in_path, out_path, options)
        return job.run(bs, (watcher or Watcher()).telling_too(on_progress))

    def forecast(self, in_path: str | Path, out_path: str | Path, **options: Any) -> Forecast:
        """What `inference` with the same arguments would do with every file, and about how long it would take. Nothing is written."""
        from utils.jobs.forecast import forecast
        from utils.pictures.encoding import check_transparency

        job = self._job(in_path, out_path, options)

        def plan(path: Path) -> Plan:
            picture = self.read(path, job.options.tolerant)  # whole, for only so is it known whether it can be used
            check_transparency(picture, job.options.kind)
            return self._plan_of(picture, self.settings)

        return forecast(job, plan)

    def sample_image(self, lq: torch.Tensor, eps: Draws | None = None) -> torch.Tensor:
        """[B,3,h,w] in [0,1], any size -> [B,3,H,W] in [0,1], of the plan's output size: all from padding to the last resizing, before rounding.

        eps: None draws from the seed, "mean" takes the means of both posteriors, {"predictor": ..., "vae": ...} are standard normal
        draws over the latents of the whole padded picture [B,C,H,W], of which every tile takes its window. Whatever is decided by what is in
        a picture is decided for each of them by itself.
        """
        import torch

        from utils.models.draws import check_draws, draws_of
        from utils.models.remedies import Remedies

        _check_pictures(lq)
        if len(lq) > 1 and needs_statistics(self.settings):
            singles = [slice(k, k + 1) for k in range(len(lq))]
            return torch.cat([self.sample_image(lq[one], draws_of(eps, one) if isinstance(eps, Mapping) else eps) for one in singles])
        plan = make_plan((lq.shape[-2], lq.shape[-1]), self.settings, self.spec, _stats_where_needed(lq, self.settings))
        check_draws(eps, len(lq), plan.lq_size, self.spec)
        with torch.no_grad():
            canvases = self._compute(lq, plan, self.settings, eps, Remedies(plan.tile_batch, plan.patch))
            return torch.cat([sr for _, sr in self._finished(canvases, lq, plan)], 2)

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
        run = Run(tuple(settings.timesteps), settings.seed)
        return self._sample_tiles(lq, [(whole, k) for k in range(len(lq))], run, settings.cfg_scale, settings, eps)

    # ---- one picture, from decision to pixels ----

    def _upscale(
        self, picture: Picture, settings: Settings, on_progress: OnProgress | None, stats: ImageStats | None = None
    ) -> tuple[Picture, Plan, dict[str, float]]:
        from utils.models.device import memory_errors_explained
        from utils.models.remedies import Remedies, amended

        timings: dict[str, float] = {}
        lq = _visible_colours(picture)
        with _timed(timings, "planning"), memory_errors_explained():
            plan = make_plan(picture.size, settings, self.spec, stats or _stats_where_needed(lq, settings))
            remedies = Remedies(plan.tile_batch, plan.patch)
        with _timed(timings, "networks"), memory_errors_explained():
            canvases = self._compute(lq, plan, settings, None, remedies, on_progress)
        picture, plan = replace(picture, notes=(*picture.notes, *remedies.sentences(plan))), amended(plan, remedies)
        with _timed(timings, "stages"), memory_errors_explained():
            return self._finished_picture(canvases, lq, picture, plan), plan, timings

    def _measure(self, picture: Picture) -> ImageStats:
        from utils.models.device import memory_errors_explained

        with memory_errors_explained():
            return _measured(_visible_colours(picture))

    def _compute(
        self,
        lq: torch.Tensor,
        plan: Plan,
        settings: Settings,
        eps: Draws | None,
        remedies: Remedies,
        on_progress: OnProgress | None = None,
    ) -> tuple[Rows, ...]:
        """Pad, and for each of the plan's runs: the networks over batches of tiles, blend, crop. [B,3,h,w] -> as many [B,3,4h,4w]."""
        from utils.pictures.blending import Canvas
        from utils.pictures.padding import pad, picture_box
        from utils.pictures.rows import new_rows

        lq = lq.float().to(self.device)
        self._model.conditioner(settings.prompt, settings.negative_prompt, plan.cfg_scale)  # kept: no tile is to blame if there is no memory for that
        padded, below, box = pad(lq, plan), lq[0], picture_box(plan)
        canvases: list[Rows] = []
        for run in plan.runs:
            watch = _counting_on(on_progress, len(canvases), len(plan.runs))
            rows = new_rows((len(lq), 3, *box.size), self.device, on_disk=plan.is_on_disk)
            canvas = Canvas(rows, plan.lq_size[1] * plan.scale, box)
            self._compute_run(canvas, padded, below, run, plan, settings, eps, watch, remedies)
            canvases.append(rows)
            below = canvas.shown  # in a further run's preview, where that is not yet
        return tuple(canvases)

    def _compute_run(
        self,
        canvas: Canvas,
        padded: torch.Tensor,
        below: torch.Tensor,
        run: Run,
        plan: Plan,
        settings: Settings,
        eps: Draws | None,
        on_progress: OnProgress | None,
        remedies: Remedies,
    ) -> None:
        """One run over the tiles of padded pictures [B,3,h,w], onto a canvas."""
        import torch

        from utils.models.within_memory import Tile, WithinMemory

        def compute(batch: Sequence[Tile]) -> torch.Tensor:
            patches = torch.stack([padded[k, :, box.top : box.bottom, box.left : box.right] for box, k in batch])
            return self._sample_tiles(patches, batch, run, plan.cfg_scale, settings, eps, remedies)

        tiles, done = list(product(plan.tiles, range(len(padded)))), 0  # tiles come from top to bottom
        for batch, results in WithinMemory(compute, remedies, self.spec, self.device).batches(tiles):
            for (box, k), rgb in zip(batch, results, strict=True):
                canvas.add(k, box.scaled(plan.scale), rgb, plan.attention_blending)
            done += len(batch)
            canvas.finish(plan.scale * (tiles[done][0].top if done < len(tiles) else plan.lq_size[0]))
            if on_progress:
                on_progress(done, len(tiles), canvas.preview(below))

    def _sample_tiles(
        self,
        patches: torch.Tensor,
        batch: Sequence[tuple[Box, int]],
        run: Run,
        guidance: float,
        settings: Settings,
        eps: Draws | None,
        remedies: Remedies | None = None,
    ) -> torch.Tensor:
        """One batch of tiles, each a box of a picture, through the networks: [n,3,p,p] -> [n,3,4p,4p] in [0,1].

        Tiles that are black though their input is not, or have values that are not numbers, are computed again in float32; UserError for those that
        are so even there.
        """
        import torch

        from utils.models.denoising import sample
        from utils.models.draws import draws_of, seeded_draws, window_draws
        from utils.models.remedies import in_float32
        from utils.models.self_ensemble import averaged
        from utils.pictures.soundness import unsound

        if eps is None:
            draws = seeded_draws(run.seed, [box for box, _ in batch], self.spec)
        else:
            draws = eps if eps == "mean" else window_draws(eps, batch, self.spec)
        broken = torch.zeros(len(patches), dtype=torch.bool)

        def compute(lq: torch.Tensor, draws: Draws) -> torch.Tensor:
            rgb = sample(self._model.denoiser, lq, run.timesteps, guidance, conditioning, draws)
            again = unsound(rgb, lq)
            if again.any() and self.dtype != torch.float32:
                precise, precisely = in_float32(self._model.denoiser, conditioning)
                rgb[again] = sample(precise, lq[again], run.timesteps, guidance, precisely, draws_of(draws, again.cpu()))
                broken.logical_or_(again.cpu())
            if unsound(rgb, lq).any():
                raise UserError("The model gave black for what is not, or values that are not numbers, also in float32; check its files.")
            return rgb.clamp(0, 1)

        with torch.no_grad():
            conditioning = self._model.conditioner(settings.prompt, settings.negative_prompt, guidance)
            rgb = averaged(compute, patches.float().to(self.device), draws, settings.self_ensemble)
        if remedies:
            remedies.float32_tiles += int(broken.sum())
        return rgb

    def _finished(self, canvases: tuple[Rows, ...], lq: torch.Tensor, plan: Plan) -> Iterator[tuple[int, torch.Tensor]]:
        """The stages after the networks, on the first run's result, against the UNPADDED input: stretches of rows at the size asked for."""
        from utils.pictures.resized_rows import resized
        from utils.pictures.stages import finished

        canvas, *candidates = canvases
        stretches = finished(canvas, candidates, lq.float().to(self.device), plan)
        return stretches if plan.output_size == plan.canvas_size else resized(stretches, plan.canvas_size[0], plan.output_size)

    def _finished_picture(self, canvases: tuple[Rows, ...], lq: torch.Tensor, picture: Picture, plan: Plan) -> Picture:
        """The result in the kind of pixels of the picture that was given."""
        import numpy as np

        from utils.models.stopping import ask_whether_to_stop
        from utils.pictures.colour_profiles import from_srgb
        from utils.pictures.gamut import beyond_srgb, put_back
        from utils.pictures.soundness import checked
        from utils.pictures.transparency import alpha_at_size

        rgb = np.empty((*plan.output_size, 3), picture.rgb.dtype)
        colourless = picture.colourless
        for top, sr in checked(self._finished(canvases, lq, plan), lq, plan.output_size):
            ask_whether_to_stop()
            values = sr[0].permute(1, 2, 0).cpu().numpy()
            rgb[top : top + len(values)] = from_srgb(values, picture.icc, rgb.dtype, colourless)
        if (lost := beyond_srgb(picture)) is not None:
            put_back(lost, rgb)
        alpha = None if picture.alpha is None else alpha_at_size(picture.alpha, plan.canvas_size, plan.output_size)
        return picture.resized(rgb, alpha)

    # ---- files and settings ----

    def _job(self, in_path: str | Path, out_path: str | Path, options: Mapping[str, Any]) -> Job:
        from utils.jobs.inputs import find_inputs
        from utils.jobs.job import Job
        from utils.jobs.options import JobOptions

        chosen, out_folder = JobOptions(**options), Path(out_path)
        return Job(find_inputs(Path(in_path), out_folder, chosen.recursive), out_folder, self, chosen)

    def read(self, path: Path, tolerant: bool) -> Picture:
        """A job's first step: decode the file; `tolerant` takes what is left of a damaged one. UserError if it cannot be used."""
        return self._read(path, self.settings, tolerant)

    def is_huge(self, picture: Picture) -> bool:
        """Whether a job should have no other result like that of this picture in memory at the same time."""
        return is_huge(math.prod(self.output_size(picture)))

    def output_size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) of the result."""
        return target_size(picture.size, self.settings.basesr)

    def upscaled(self, picture: Picture, on_tile: OnProgress, stats: ImageStats | None = None) -> Upscaled:
        """A job's second step: the result, with the texts that say how it was made.

        stats: of a larger picture, as a part of which this one is treated.
        """
        from utils.jobs.job import Upscaled

        result, plan, _ = self._upscale(picture, self.settings, on_tile, stats)
        return Upscaled(result, plan, {"settings": json.dumps(self._reproducible()), "plan": json.dumps(plan.to_dict())})

    def identity(self) -> Mapping[str, Any]:
        """What decides a result beside the picture: the settings, and a hash of the model."""
        from utils.jobs.fingerprints import model_hash

        return {**self._reproducible(), "model": model_hash(self._model)}

    def _reproducible(self) -> dict[str, Any]:
        return {**self.settings.reproducible(), "dtype": str(self.dtype).removeprefix("torch.")}

    def _read(self, image: Source, settings: Settings, tolerant: bool = False) -> Picture:
        """Decode a picture; a file whose result would be too large is refused by its header."""
        from PIL.Image import Image

        from utils.pictures.picture import from_array
        from utils.pictures.reading import from_pil, load

        if isinstance(image, str | Path):
            most = int(settings.max_output_megapixels * 1e6)
            return load(image, most, self.spec.scale, tolerant=tolerant, check=lambda size: check_output_size(size, settings, self.spec))
        if isinstance(image, Image):
            check_output_size((image.height, image.width), settings, self.spec)
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


def _visible_colours(picture: Picture) -> torch.Tensor:
    """[1,3,h,w] in [0,1]: what the networks see of a picture, colours hidden under transparency replaced by those beside them, in sRGB."""
    from utils.pictures.colour_profiles import to_srgb
    from utils.pictures.tensors import to_tensor
    from utils.pictures.transparency import extend_colours

    lq = to_tensor(to_srgb(picture.rgb, picture.icc))
    return lq if picture.alpha is None else extend_colours(lq, to_tensor(picture.alpha))


def _stats_where_needed(lq: torch.Tensor, settings: Settings) -> ImageStats | None:
    """The statistics of [1,3,h,w] in [0,1], if a decision depends on them."""
    return _measured(lq) if needs_statistics(settings) else None


def _measured(lq: torch.Tensor) -> ImageStats:
    from utils.pictures.analysis import measure

    return measure(lq[0].float().permute(1, 2, 0).cpu().numpy())


def _counting_on(on_progress: OnProgress | None, runs_before: int, runs: int) -> OnProgress | None:
    """on_progress for one of several runs over the same tiles, so that it counts the tiles of all of them."""
    if on_progress is None or runs == 1:
        return on_progress
    return lambda done, total, preview: on_progress(runs_before * total + done, runs * total, preview)


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[step] = time.perf_counter() - start


if __name__ == "__main__":
    from utils.jobs.command_line import main

    raise SystemExit(main(InvSamplerSR, DEFAULT_CONFIG))
