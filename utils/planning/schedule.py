"""Which nominal timesteps a number of steps means, and which lists are schedules at all."""

from collections.abc import Sequence
from itertools import pairwise

from utils.planning.errors import UserError

HIGHEST_TIMESTEP = 1000
PUBLISHED = {1: (200,), 2: (200, 100), 3: (200, 100, 50), 4: (200, 150, 100, 50), 5: (250, 200, 150, 100, 50)}
"""InvSR's own lists by number of steps (arXiv 2412.09013)."""


def timesteps_for(steps: int) -> tuple[int, ...]:
    """Nominal timesteps for 1..250 steps: the published lists up to 5, then evenly spaced from 250 down, cut to whole numbers."""
    if steps in PUBLISHED:
        return PUBLISHED[steps]
    if not 1 <= steps <= 250:
        raise UserError(f"The number of steps must be from 1 to 250, not {steps}.")
    return tuple(int(250 - k * 250 / steps) for k in range(steps))


def within(timesteps: Sequence[int], low: int, high: int) -> bool:
    """Whether all of `timesteps` lie within [low, high]."""
    return all(low <= t <= high for t in timesteps)


def check_timesteps(timesteps: Sequence[int], low: int = 1, high: int = HIGHEST_TIMESTEP) -> None:
    """UserError unless `timesteps` are one or more whole numbers within [low, high], strictly falling."""
    if not timesteps:
        raise UserError("timesteps must hold at least one number, for example [200].")
    for t in timesteps:
        if not low <= t <= high:
            raise UserError(f"timesteps must be from {low} to {high} for this model, and {t} is not.")
    if any(later >= earlier for earlier, later in pairwise(timesteps)):
        raise UserError(f"timesteps must fall from each to the next without repeats, and {list(timesteps)} do not.")
