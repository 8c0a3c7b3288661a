"""One training run: batches in, checkpoints, logs and an exported model out."""

import copy
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from utils.models.denoising import Denoiser
from utils.models.device import cpu_has_bfloat16
from utils.planning.errors import UserError
from utils.training.checkpoint import load_checkpoint, refuse_to_overwrite, save_checkpoint
from utils.training.dataset import MARGIN, TrainingBatches, load_photos, split, validation_pairs
from utils.training.embedded_model import build_denoiser, measure_channel_std
from utils.training.export import export_model
from utils.training.objective import charbonnier, estimate, in_precision
from utils.training.recipe import Recipe
from utils.training.validation import psnr_gains, upscale

VALIDATED_LISTS = ([200], [200, 100, 50])
LOG_EVERY = 50
STOPPED = 130
"""Exit code of a run that was interrupted and saved, as shells count Ctrl-C."""


def train(recipe: Recipe, data: Path, run: Path, resume: bool = False, export: Path | None = None) -> int:
    """Trains until the recipe's budget is spent, or until SIGINT or SIGTERM; returns the exit code.

    `run` receives checkpoint.pt and TensorBoard events, `export` the averaged weights whenever a checkpoint is written.
    """
    if not resume:
        refuse_to_overwrite(run)
    state = load_checkpoint(run) if resume else None
    photos = load_photos(data, recipe.crop + 2 * MARGIN)
    training, held_out = split(list(photos), recipe.validation_photos)
    pairs = validation_pairs([photos[name] for name in held_out], recipe)
    trainer = Trainer(recipe, [photos[name] for name in training], state)
    run.mkdir(parents=True, exist_ok=True)

    def save() -> float:
        save_checkpoint(run, trainer.state())
        if export is not None:
            export_model(trainer.averaged_denoiser(), recipe, export)
        return time.monotonic()

    with SummaryWriter(str(run), purge_step=trainer.step if resume else None) as log, stop_requests() as stopping:
        print(f"{len(training)} training and {len(held_out)} validation pictures, step {trainer.step} of {recipe.steps}", flush=True)
        saved = time.monotonic()
        for loss in trainer.losses():
            if trainer.step % LOG_EVERY == 0:
                report(trainer, loss, log)
            if trainer.step % recipe.validate_every == 0:
                validate(trainer, pairs, log)
            if stopping:
                save()
                print(f"stopped at step {trainer.step}; continue with --resume", flush=True)
                return STOPPED
            if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                saved = save()
        save()
        validate(trainer, pairs, log)
    return 0


def export_run(recipe: Recipe, run: Path, export: Path) -> int:
    """Exports the averaged weights of a run's checkpoint, without training; returns the exit code."""
    trainer = Trainer(recipe, [], load_checkpoint(run))
    export_model(trainer.averaged_denoiser(), recipe, export)
    print(f"exported step {trainer.step} to {export}", flush=True)
    return 0


class Trainer:
    """The networks, their average, the optimiser and the step they are at."""

    def __init__(self, recipe: Recipe, photos: list[Any], state: dict[str, Any] | None) -> None:
        self.recipe = recipe
        self.photos = photos
        self.step, self.seconds = 0, 0.0
        self.channel_std = state["channel_std"] if state else measure_channel_std(photos, recipe.levels)
        torch.manual_seed(recipe.seed)
        self.denoiser = build_denoiser(recipe, self.channel_std)
        self.networks = nn.ModuleDict({"unet": self.denoiser.unet, "noise_predictor": self.denoiser.noise_predictor})
        self.networks.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - an overload that the stubs lack
        self.average = AveragedModel(self.networks, multi_avg_fn=moving_average(recipe.ema_decay))
        self.optimiser = torch.optim.AdamW(self.networks.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
        self.precision = choose_precision(recipe.precision)
        if state:
            refuse_other_networks(recipe, state["recipe"])
            self.networks.load_state_dict(state["networks"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]

    def state(self) -> dict[str, Any]:
        """All that resuming needs. No random state: each batch is a function of the seed and its step."""
        return {
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "channel_std": self.channel_std,
            "recipe": asdict(self.recipe),
        }

    def losses(self) -> Iterator[float]:
        """Trains step by step up to the end of the budget, giving the loss of each step."""
        recipe = self.recipe
        denoiser = in_precision(self.denoiser, self.precision)
        batches = DataLoader(
            TrainingBatches(self.photos, recipe),
            batch_size=None,
            sampler=range(self.step, recipe.steps),
            num_workers=recipe.workers,
            worker_init_fn=ignore_stop_requests,
        )
        started = time.monotonic() - self.seconds
        for batch in batches:
            rate = recipe.learning_rate * rate_factor(recipe, self.step, self.progress())
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = charbonnier(estimate(denoiser, batch), batch.target)
            loss.backward()
            nn.utils.clip_grad_norm_(self.networks.parameters(), recipe.clip_norm)
            self.optimiser.step()
            self.optimiser.zero_grad()
            self.average.update_parameters(self.networks)
            self.step += 1
            self.seconds = time.monotonic() - started
            yield loss.item()
            if self.progress() >= 1:
                return

    def progress(self) -> float:
        """The spent share of the budget, in steps or in minutes, whichever is further."""
        minutes = self.recipe.minutes
        return max(self.step / self.recipe.steps, self.seconds / (60 * minutes) if minutes else 0.0)

    def averaged_denoiser(self) -> Denoiser:
        """A copy of the model with the averaged weights, for inference."""
        networks = cast(nn.ModuleDict, copy.deepcopy(self.average.module).eval())
        return replace(self.denoiser, unet=networks["unet"], noise_predictor=networks["noise_predictor"])


def refuse_other_networks(recipe: Recipe, started: dict[str, Any]) -> None:
    """A UserError if a run that was started with the recipe `started` cannot go on with this one."""
    for key in ("levels", "unet", "noise_predictor"):
        if asdict(recipe)[key] != started[key]:
            raise UserError(f"The run was started with another {key}; resume it with the recipe it was started with, or start a new one.")


def rate_factor(recipe: Recipe, step: int, progress: float) -> float:
    """The learning rate's share of its peak: linear warm-up, constant, and half a cosine down to zero over the cool-down."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    left = min(1.0, (1 - progress) / recipe.cooldown_share) if recipe.cooldown_share else 1.0
    return warm * 0.5 * (1 - math.cos(math.pi * left))


Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def moving_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """An exponential moving average for AveragedModel that forgets the untrained weights fast: decay (1 + n) / (10 + n), at most `decay`."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, updates: torch.Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


def choose_precision(name: str) -> torch.dtype:
    """`auto` is bfloat16 where the processor computes in it, else float32."""
    if name == "auto":
        return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def report(trainer: Trainer, loss: float, log: SummaryWriter) -> None:
    rate = trainer.optimiser.param_groups[0]["lr"]
    left = trainer.seconds * (1 / trainer.progress() - 1) / 60
    log.add_scalar("train/loss", loss, trainer.step)
    log.add_scalar("train/learning_rate", rate, trainer.step)
    print(f"step {trainer.step} loss {loss:.4f} rate {rate:.2e} {trainer.seconds / trainer.step:.3f} s/step {left:.0f} min left", flush=True)


def validate(trainer: Trainer, pairs: list[tuple[Any, Any]], log: SummaryWriter) -> None:
    denoiser = trainer.averaged_denoiser()
    precise = in_precision(denoiser, trainer.precision)
    for timesteps in VALIDATED_LISTS:
        gains = psnr_gains(precise, pairs, timesteps)
        mean = sum(gains) / len(gains)
        log.add_scalar(f"validation/psnr_y_gain_{len(timesteps)}_steps", mean, trainer.step)
        print(f"step {trainer.step} validation, {len(timesteps)} step(s): {mean:+.3f} dB over bicubic, least {min(gains):+.3f}", flush=True)
    for index, (lq, _) in enumerate(pairs[:3]):
        log.add_image(f"validation/{index}", upscale(precise, lq, VALIDATED_LISTS[0])[0].clamp(0, 1), trainer.step)
    log.flush()


def ignore_stop_requests(worker: int) -> None:
    """For the processes that prepare batches: Ctrl-C goes to all of them, but only the trainer may act on it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """The signals SIGINT and SIGTERM received so far, instead of their usual effect, which returns afterwards."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
