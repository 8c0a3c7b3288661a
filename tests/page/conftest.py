from contextlib import contextmanager

import pytest

from sampler_invsr import InvSamplerSR
from utils.page.shared_sampler import LoadingState, SharedSampler


class CountedTurns(SharedSampler):
    """Counts turns."""

    turns = 0

    @contextmanager
    def turn(self, stop, *watch):
        with super().turn(stop, *watch):
            self.turns += 1
            yield


@pytest.fixture
def shared(sampler: InvSamplerSR) -> CountedTurns:
    """With its sampler in place, as after loading."""
    shared = CountedTurns(lambda *_: sampler, sampler.settings)
    shared._sampler, shared.state = sampler, LoadingState("ready", "")
    shared._finished.set()
    return shared
