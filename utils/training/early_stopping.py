"""The best weights that validation has seen, and how long nothing better came."""

from typing import Any

import torch
from torch import nn


class BestWeights:
    """Keeps the weights with the highest score, and counts validations that were not better than the last good one by `min_delta`."""

    def __init__(self, patience: int | None, min_delta: float) -> None:
        """patience: how many such validations in a row exhaust it; null never."""
        self._patience, self._min_delta = patience, min_delta
        self.score: float | None = None
        self.step = 0
        self.weights: dict[str, torch.Tensor] = {}
        self.waited = 0
        self._to_beat: float | None = None

    @property
    def exhausted(self) -> bool:
        return self._patience is not None and self.waited >= self._patience

    def offer(self, score: float, step: int, networks: nn.Module) -> None:
        """Takes the result of a validation; copies the weights if they are the best so far."""
        if self.score is None or score > self.score:
            self.score, self.step = score, step
            self.weights = {name: value.detach().clone() for name, value in networks.state_dict().items()}
        if self._to_beat is None or score >= self._to_beat + self._min_delta:
            self._to_beat, self.waited = score, 0
        else:
            self.waited += 1

    def state(self) -> dict[str, Any]:
        return {"score": self.score, "step": self.step, "weights": self.weights, "waited": self.waited, "to_beat": self._to_beat}

    def load(self, state: dict[str, Any]) -> None:
        self.score, self.step, self.weights = state["score"], state["step"], state["weights"]
        self.waited, self._to_beat = state["waited"], state["to_beat"]
