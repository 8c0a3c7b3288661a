import threading

import numpy as np
import pytest

from utils.models.stopping import stoppable


class Left(Exception):
    pass


@pytest.fixture
def picture():
    return np.random.default_rng(1).random((64, 64, 3), dtype=np.float32)


def test_a_run_is_left_in_the_midst_of_its_only_tile(sampler, picture):
    asked, tiles = 0, []

    def ask():
        nonlocal asked
        asked += 1
        if asked == 20:
            raise Left

    with pytest.raises(Left), stoppable(ask):
        sampler.upscale(picture, on_progress=lambda done, total, preview: tiles.append(done))
    assert asked == 20 and not tiles
    assert sampler.plan(picture).tile_count == 1
    whole = sampler.upscale(picture).picture
    with stoppable(lambda: None):
        np.testing.assert_array_equal(sampler.upscale(picture).picture, whole)
    assert asked == 20  # nobody asks after its end


def test_the_stages_are_left_too(sampler, picture):
    tiles = []

    def ask():
        if tiles:
            raise Left

    with pytest.raises(Left), stoppable(ask):
        sampler.upscale(picture, on_progress=lambda done, total, preview: tiles.append(done), color_fix="wavelet")


def test_each_thread_is_asked_about_its_own_run(sampler, picture):
    results, begun, go = [], threading.Event(), threading.Event()

    def other():
        results.append(sampler.upscale(picture).picture)

    def ask():
        begun.set()
        go.wait(30)
        raise Left

    def stopped():
        with pytest.raises(Left), stoppable(ask):
            sampler.upscale(picture)

    threads = [threading.Thread(target=stopped), threading.Thread(target=other)]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    threads[1].join(60)
    assert len(results) == 1  # while the first one is still in its first layer
    go.set()
    threads[0].join(30)
