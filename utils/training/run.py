"""One training run from its folder of pictures to its checkpoints, log and exported weights."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import AutocastKwargs, DistributedDataParallelKwargs, parse_flag_from_env

from utils.jobs.output_folder import check_folder
from utils.planning.errors import UserError
from utils.training.agreement import any_process
from utils.training.checkpoint import load_checkpoint, refuse_to_overwrite, save_checkpoint
from utils.training.dataset import MARGIN, load_photos, split
from utils.training.embedded_task import EmbeddedTask
from utils.training.export import refuse_foreign_model
from utils.training.logbook import Logbook, check_logger
from utils.training.mixed_precision import choose_precision
from utils.training.predictor_task import NoisePredictorTask
from utils.training.recipe import EmbeddedRecipe, NoisePredictorRecipe, Recipe
from utils.training.stop_requests import stop_requests
from utils.training.task import Task
from utils.training.trainer import Trainer

LOG_EVERY = 50
STOPPED = 130
"""Exit code of a run that was interrupted and saved, as shells count Ctrl-C."""


def train(recipe: Recipe, data: Path, run: Path, resume: bool = False, export: Path | None = None) -> int:
    """Trains until the recipe's budget is spent, until patience has run out, or until SIGINT or SIGTERM; returns the exit code.

    `run` receives checkpoint.pt and the log, `export` the best averaged weights whenever a checkpoint is written, from the first validation on.
    """
    check_logger(recipe.logger)
    check_folder(run, "with --out")
    if export is not None:
        check_folder(export, "with --export")
    if not resume:
        refuse_to_overwrite(run)
    state = load_checkpoint(run) if resume else None
    photos = load_photos(data, recipe.crop + 2 * MARGIN)
    training, held_out = split(list(photos), recipe.validation_photos)
    accelerator = start_accelerator(recipe)
    if state:
        refuse_another_run(recipe, accelerator.num_processes, held_out, state)
    if export is not None and recipe.task == "embedded":
        refuse_foreign_model(export)
    trainer = start_trainer(recipe, accelerator, [photos[name] for name in training], state)
    trainer.hold_out({name: photos[name] for name in held_out})
    run.mkdir(parents=True, exist_ok=True)
    accelerator.print(f"{len(training)} training and {len(held_out)} validation pictures, step {trainer.step} of {recipe.steps}", flush=True)
    with Logbook(accelerator, recipe, run, trainer.step) as log, stop_requests() as stopping:
        code = _train(trainer, run, export, log, stopping)
    # What wraps the task for several processes has to be gone before their group is: destroyed the other way round, the two wait for each other.
    trainer.model = None
    accelerator.free_memory()
    accelerator.end_training()
    return code


MAY_CHANGE = {
    *("steps", "minutes", "patience", "min_delta", "learning_rate", "warmup_steps", "cooldown_share", "init", "feature_weights"),
    *("precision", "workers", "validate_every", "checkpoint_minutes", "checkpoint_steps", "logger"),
}
"""What of a recipe a resumed run may have otherwise: how long and how fast it learns, and with what; not from what, nor how that is scored."""


def refuse_another_run(recipe: Recipe, processes: int, held_out: Sequence[str], state: dict[str, Any]) -> None:
    """A UserError if a run would be resumed as one that draws other batches, or whose scores are not those of before."""
    if state["processes"] != processes:
        raise UserError(f"The run was started with {state['processes']} process(es), which decide its batches; resume it with as many.")
    if state.get("held_out", held_out) != list(held_out):
        raise UserError("Other pictures than before would be kept out of training; resume the run with the pictures it was started with.")
    defaults = asdict(type(recipe)())  # what a run did whose recipe did not have the key yet
    for key, value in asdict(recipe).items():
        before = state["recipe"].get(key, defaults[key])
        if key not in MAY_CHANGE and value != before:
            raise UserError(f"{key} was {before} when the run was started and is {value} now; resume it with its recipe, or start a new run (init).")


def export_run(recipe: Recipe, run: Path, export: Path) -> int:
    """Exports the best averaged weights of a run's checkpoint, without training; returns the exit code."""
    check_folder(export, "with --export")
    if recipe.task == "embedded":
        refuse_foreign_model(export)
    trainer = start_trainer(recipe, start_accelerator(recipe), [], load_checkpoint(run))
    if trainer.accelerator.is_main_process:
        trainer.task.export(trainer.networks_to_export(), export)
    trainer.accelerator.print(f"exported step {trainer.best.step or trainer.step} to {export}", flush=True)
    return 0


def start_accelerator(recipe: Recipe) -> Accelerator:
    """The devices and processes that `accelerate launch` or the environment give, or the one there is, in the recipe's precision."""
    # Said outright where there is nothing else: otherwise processes that a launcher starts on a CPU would not see each other.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    device = PartialState(cpu=cpu).device
    assert device is not None
    narrow = choose_precision(recipe.precision, device) == torch.bfloat16
    # Autocast is left to the networks: around the whole loss it would round latents and pictures too. A batch may leave some weights unused.
    handlers = [AutocastKwargs(enabled=False), DistributedDataParallelKwargs(find_unused_parameters=True)]
    return Accelerator(cpu=cpu, mixed_precision="bf16" if narrow else "no", kwargs_handlers=handlers)


def start_trainer(recipe: Recipe, accelerator: Accelerator, photos: Sequence[np.ndarray], state: dict[str, Any] | None) -> Trainer:
    """The recipe's task and its trainer, new or as `state` has it."""
    if state and state["recipe"].get("task") != recipe.task:
        raise UserError("The run was started with another task, or by an earlier version; resume it with that, or start a new one.")
    torch.manual_seed(recipe.seed)
    return Trainer(make_task(recipe, accelerator, photos, state["facts"] if state else None), accelerator, photos, state)


def make_task(recipe: Recipe, accelerator: Accelerator, photos: Sequence[np.ndarray], started: dict[str, Any] | None) -> Task:
    if isinstance(recipe, NoisePredictorRecipe):
        return NoisePredictorTask(recipe, accelerator, started)
    assert isinstance(recipe, EmbeddedRecipe)
    return EmbeddedTask(recipe, accelerator, photos, started)


def _train(trainer: Trainer, run: Path, export: Path | None, log: Logbook, stopping: list[int]) -> int:
    recipe = trainer.recipe
    saved, validated = trainer.seconds, False
    for terms in trainer.losses():
        validated = trainer.step % recipe.validate_every == 0
        if trainer.step % LOG_EVERY == 0:
            _report(trainer, terms, log)
        if validated:
            _validate(trainer, log)
        if any_process(trainer.accelerator, bool(stopping)):
            _save(trainer, run, export)
            trainer.accelerator.print(f"stopped at step {trainer.step}; continue with --resume", flush=True)
            return STOPPED
        due = recipe.checkpoint_steps is not None and trainer.step % recipe.checkpoint_steps == 0
        if due or trainer.seconds - saved > 60 * recipe.checkpoint_minutes:
            _save(trainer, run, export)
            saved = trainer.seconds
    if not validated:
        _validate(trainer, log)
    _save(trainer, run, export)
    return 0


def _save(trainer: Trainer, run: Path, export: Path | None) -> None:
    if not trainer.accelerator.is_main_process:
        return
    save_checkpoint(run, trainer.state())
    if export is not None and trainer.best.weights:
        trainer.task.export(trainer.networks_to_export(), export)


def _report(trainer: Trainer, terms: dict[str, torch.Tensor], log: Logbook) -> None:
    losses = {name: value.item() for name, value in terms.items()}
    rate = trainer.optimiser.param_groups[0]["lr"]
    left = trainer.seconds * (1 / trainer.progress() - 1) / 60
    figures = {"loss": sum(losses.values()), **losses, "learning_rate": rate}
    log.figures({f"train/{name}": value for name, value in figures.items()}, trainer.step)
    shown = " ".join(f"{name} {value:.4g}" for name, value in losses.items())
    pace = trainer.seconds / trainer.step
    trainer.accelerator.print(f"step {trainer.step} {shown} rate {rate:.2e} {pace:.3f} s/step {left:.0f} min left", flush=True)


def _validate(trainer: Trainer, log: Logbook) -> None:
    measured = trainer.validate()
    log.figures({f"validation/{name}": value for name, value in (*measured.figures.items(), ("score", measured.score))}, trainer.step)
    log.pictures({f"validation/{name}": picture for name, picture in measured.pictures.items()}, trainer.step)
    shown = " ".join(f"{name} {value:+.3f}" for name, value in measured.figures.items())
    best = f"best {trainer.best.score:+.3f} at step {trainer.best.step}"
    trainer.accelerator.print(f"step {trainer.step} validation: {shown}; score {measured.score:+.3f}, {best}", flush=True)
