"""Leaving the networks at once: a large tile takes seconds on a CPU, and whoever stops a run does not want to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_asked: ContextVar[Callable[[], None]] = ContextVar("_asked", default=lambda: None)


@contextmanager
def stoppable(ask: Callable[[], None]) -> Iterator[None]:
    """What this thread computes here calls `ask` before every layer of a network and every stretch of rows; it raises to end the computation."""
    token = _asked.set(ask)
    try:
        yield
    finally:
        _asked.reset(token)


def ask_whether_to_stop() -> None:
    """Raises what the `ask` of the surrounding `stoppable` raises; does nothing outside of one."""
    _asked.get()()


def make_stoppable(network: nn.Module) -> None:
    """From now on, each of its layers asks before it computes. Threads may share the network: each is asked about its own run."""
    for layer in network.modules():
        if not any(layer.children()):
            layer.register_forward_pre_hook(_before_layer)


def _before_layer(layer: nn.Module, arguments: Any) -> None:
    ask_whether_to_stop()
