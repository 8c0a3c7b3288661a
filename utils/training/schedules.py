"""How quantities change over a run: the learning rate, and how fast the averaged weights follow."""

import math
from collections.abc import Callable

import torch

from utils.training.recipe import Recipe

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def rate_factor(recipe: Recipe, step: int, progress: float) -> float:
    """The learning rate's share of its peak: linear warm-up, constant, and half a cosine down to zero over the cool-down."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    left = min(1.0, (1 - progress) / recipe.cooldown_share) if recipe.cooldown_share else 1.0
    return warm * 0.5 * (1 - math.cos(math.pi * left))


def moving_average(decay: float) -> Callable[[Tensors, Tensors, torch.Tensor | int], None]:
    """An exponential moving average for AveragedModel that forgets the untrained weights fast: decay (1 + n) / (10 + n), at most `decay`."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, updates: torch.Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
