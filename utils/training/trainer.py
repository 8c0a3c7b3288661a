"""The training loop: the same for every task."""

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from utils.planning.errors import UserError
from utils.training.agreement import as_main
from utils.training.early_stopping import BestWeights
from utils.training.schedules import moving_average, rate_factor
from utils.training.stop_requests import ignore_stop_requests
from utils.training.task import Task, Validation, refuse_other_networks


class Trainer:
    """A task's networks, their average, the optimiser, the step they are at, and the best weights so far."""

    def __init__(self, task: Task, accelerator: Accelerator, photos: Sequence[np.ndarray], state: dict[str, Any] | None) -> None:
        self.task, self.recipe, self.accelerator, self.photos = task, task.recipe, accelerator, photos
        self.step, self.seconds = 0, 0.0
        self.held_out: list[str] = []
        self.budget = 1.0  # the share of the recipe's budget that this run gets; less once patience has run out
        self.best = BestWeights(self.recipe.patience, self.recipe.min_delta)
        task.to(device=accelerator.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - an overload that the stubs lack
        self.average = AveragedModel(task.networks, multi_avg_fn=moving_average(self.recipe.ema_decay))
        optimiser = torch.optim.AdamW(task.learners(), lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay, fused=True)
        self.model, self.optimiser = accelerator.prepare(task, optimiser)
        if state:
            self._load(state)

    def hold_out(self, photos: Mapping[str, np.ndarray]) -> None:
        """Validate with these photos uint8 [H,W,3], by their names."""
        self.held_out = list(photos)
        self.task.hold_out(list(photos.values()))

    def state(self) -> dict[str, Any]:
        """All that resuming needs. No random state: each batch is a function of the seed and its index."""
        return {
            "networks": self.task.networks.state_dict(),
            "rivals": self.task.rivals.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best.state(),
            "step": self.step,
            "seconds": self.seconds,
            "budget": self.budget,
            "held_out": self.held_out,
            "processes": self.accelerator.num_processes,
            "facts": self.task.facts(),
            "recipe": asdict(self.recipe),
        }

    def _load(self, state: dict[str, Any]) -> None:
        refuse_other_networks(self.task.facts(), state["facts"])
        self.task.networks.load_state_dict(state["networks"])
        self.task.rivals.load_state_dict(state["rivals"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        for group, learner in zip(self.optimiser.param_groups, self.task.learners(), strict=True):
            group["peak"] = learner["peak"]
        self.best.load(state["best"])
        self.step, self.seconds, self.budget = state["step"], state["seconds"], state["budget"]

    def losses(self) -> Iterator[dict[str, torch.Tensor]]:
        """Trains step by step up to the end of the budget, giving the terms of the loss of each step."""
        started = time.monotonic() - self.seconds
        for batch in self._loader() if self.progress() < 1 else ():
            self._set_rates()
            terms = self.model(batch.to(self.accelerator.device), self.step)
            self.accelerator.backward(torch.stack(list(terms.values())).sum())
            for group in self.optimiser.param_groups:
                self.accelerator.clip_grad_norm_(group["params"], self.recipe.clip_norm)
            self.optimiser.step()
            self.optimiser.zero_grad()
            self.average.update_parameters(self.task.networks)
            self.step += 1
            self.seconds = as_main(self.accelerator, time.monotonic() - started)
            yield {name: value.detach() for name, value in terms.items()}
            if self.progress() >= 1:
                return

    def _loader(self) -> DataLoader:
        """The batches from this step on; of several processes each takes every n-th."""
        processes, recipe = self.accelerator.num_processes, self.recipe
        return DataLoader(
            self.task.batches(self.photos),
            batch_size=None,
            sampler=range(self.step * processes + self.accelerator.process_index, recipe.steps * processes, processes),
            num_workers=recipe.workers,
            worker_init_fn=_settle_worker,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def _set_rates(self) -> None:
        factor = rate_factor(self.recipe, self.step, self.progress())
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["peak"]

    def spent(self) -> float:
        """The spent share of the recipe's budget, in steps or in minutes, whichever is further."""
        minutes = self.recipe.minutes
        return max(self.step / self.recipe.steps, self.seconds / (60 * minutes) if minutes else 0.0)

    def progress(self) -> float:
        """The spent share of this run's own budget; at 1 the run is over."""
        return self.spent() / self.budget

    def validate(self) -> Validation:
        """Measures the averaged weights on the main process, and on all keeps them if they are the best; pictures come on the main one only."""
        average = self._copy()
        measured = self.task.validate(average) if self.accelerator.is_main_process else None
        told = as_main(self.accelerator, replace(measured, pictures={}) if measured else None)
        if not math.isfinite(told.score):
            raise UserError(
                f"The run has diverged: at step {self.step} its score is not a number. Start another one with a lower learning_rate, from the weights"
                " that were exported before (init), if there are any."
            )
        self.best.offer(told.score, self.step, average)
        if self.best.exhausted:
            self._shorten()
        return measured or told

    def _shorten(self) -> None:
        """Cuts the budget because patience has run out.

        A plateau at the full learning rate is not the end, because much of the gain comes with the cool-down. So there the budget is cut
        such that the cool-down, with its share of the shorter run, begins at once; only patience that runs out again in it ends the run.
        """
        cooling = self.progress() >= 1 - self.recipe.cooldown_share
        self.budget = self.spent() if cooling else self.spent() / (1 - self.recipe.cooldown_share)
        self.best.waited = 0
        then = "the run ends" if cooling else "the learning rate falls from here"
        self.accelerator.print(f"step {self.step} no better score for {self.recipe.patience} validations: {then}", flush=True)

    def networks_to_export(self) -> nn.ModuleDict:
        """A copy of the networks with the best weights, or with the averaged ones before the first validation."""
        networks = self._copy()
        if self.best.weights:
            networks.load_state_dict(self.best.weights)
        return networks

    def _copy(self) -> nn.ModuleDict:
        return cast(nn.ModuleDict, copy.deepcopy(self.average.module).eval())


def _settle_worker(worker: int) -> None:
    """In a process that prepares batches: it is stopped by the trainer only, and computes on one thread, as PyTorch's part of it does."""
    ignore_stop_requests(worker)
    cv2.setNumThreads(0)
