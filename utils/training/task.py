"""What a run trains, and for what: the part of training that differs between recipes. The loop around it is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from utils.planning.errors import UserError
from utils.training.dataset import Batch, TrainingBatches
from utils.training.recipe import Recipe


@dataclass(frozen=True)
class Validation:
    """How good networks are. figures: by name, for the log. score: the one to choose by, higher is better. pictures: [H,W,3] in [0,1], by name."""

    figures: Mapping[str, float]
    score: float
    pictures: Mapping[str, np.ndarray]


class Task(nn.Module, ABC):
    """Networks, a loss, a validation and an export.

    networks: trained, averaged, validated and exported. rivals: trained beside them for the loss alone; often none.
    Only these two are submodules; what is frozen is kept out of their sight, so that no optimiser or process group handles it.
    """

    networks: nn.ModuleDict
    rivals: nn.ModuleDict

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.networks, self.rivals = nn.ModuleDict(), nn.ModuleDict()

    @abstractmethod
    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        """The terms of the loss by name, weighted; their sum carries the gradients of networks and rivals."""

    @abstractmethod
    def batches(self, photos: Sequence[np.ndarray]) -> TrainingBatches:
        """The batches to train with, of photos uint8 [H,W,3]."""

    @abstractmethod
    def hold_out(self, photos: Sequence[np.ndarray]) -> None:
        """Takes the photos uint8 [H,W,3] that `validate` measures on."""

    @abstractmethod
    def validate(self, networks: nn.ModuleDict) -> Validation:
        """Measures a copy of `networks`."""

    @abstractmethod
    def export(self, networks: nn.ModuleDict, folder: Path) -> None:
        """Writes a copy of `networks` as the sampler loads them."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What must be equal for this task to go on with a checkpoint, or be taken from it: plain values by name."""

    def learners(self) -> list[dict[str, Any]]:
        """The optimiser's parameter groups, each with its highest learning rate as `peak`."""
        return [{"params": list(self.networks.parameters()), "peak": self.recipe.learning_rate}]


def refuse_other_networks(facts: Mapping[str, Any], started: Mapping[str, Any]) -> None:
    """A UserError if a run that was started with the facts `started` cannot go on with these."""
    for key in facts:
        if facts[key] != started.get(key):
            raise UserError(f"The run was started with another {key}; resume it with the recipe it was started with, or start a new one.")
