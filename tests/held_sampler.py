"""The real sampler, which a test can hold in the midst of a run."""

import threading

import pytest

from sampler_invsr import InvSamplerSR


class HeldSampler(InvSamplerSR):
    """After a tile batch it waits until the gate is open; the first `passing` batches do not wait."""

    gate = threading.Event()
    passing = 0

    def upscaled(self, picture, on_tile, stats=None):
        def watch(done, total, preview):
            on_tile(done, total, preview)
            HeldSampler.passing -= 1
            assert HeldSampler.passing >= 0 or HeldSampler.gate.wait(240)

        return super().upscaled(picture, watch, stats)


@pytest.fixture(autouse=True)
def let_tiles_pass():
    """For tests that import it: the gate is open at the beginning and the end of each."""
    HeldSampler.gate.set()
    HeldSampler.passing = 0
    yield
    HeldSampler.gate.set()
