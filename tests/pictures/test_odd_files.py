"""A corpus of unusual and broken files: each becomes the promised picture or a sentence, cheaply, quietly, and true when it is upscaled."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import PROJECT
from tests.pictures.odd_files import ODD_FILES, ending
from utils.pictures.picture import Picture
from utils.pictures.reading import load, picture_size
from utils.planning.errors import UserError

MOST_SIDE = 100
"""Of the files that are upscaled here; longer ones would take minutes."""
UPSCALED = [name for name, (_, promise) in ODD_FILES.items() if promise is None or max(promise.size) <= MOST_SIDE]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    paths = {name: folder / f"{name}{ending(name)}" for name in ODD_FILES}
    for name, path in paths.items():
        path.write_bytes(ODD_FILES[name][0]())
    return paths


@pytest.fixture(scope="module")
def costs(paths):
    """What reading each of them costs a process that reads them all, which prints nothing else."""
    command = [sys.executable, "-m", "tests.pictures.bounded_reading", *map(str, paths.values())]
    reading = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, errors="replace", timeout=300)
    assert reading.returncode == 0 and reading.stderr == "", reading.stderr[-3000:]
    return dict(zip(paths, map(json.loads, reading.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", ODD_FILES)
def test_an_odd_file_costs_little_to_read(costs, name):
    assert costs[name]["seconds"] < 10 and costs[name]["megabytes"] < 500, costs[name]


@pytest.mark.parametrize("name", ODD_FILES)
def test_an_odd_file_is_the_promised_picture_or_a_sentence(costs, paths, name):
    promise, outcome = ODD_FILES[name][1], costs[name]["outcome"]
    if promise is None:
        assert paths[name].name in outcome and outcome.endswith(".") and "Error" not in outcome and "\n" not in outcome
        return
    assert outcome == f"{promise.size[0]} x {promise.size[1]}"
    picture = load(paths[name], 10**7, 4)
    assert picture_size(paths[name]) == promise.size
    check_kept(picture, promise)
    assert promise.word in " ".join(picture.notes)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if k % 9 else []) for k, name in enumerate(UPSCALED)])
def test_an_odd_file_becomes_a_true_result_or_a_sentence(paths, embedded_sampler, tmp_path, name):
    sampler, promise = embedded_sampler.with_settings(pch_size=32), ODD_FILES[name][1]
    if promise is None:
        with pytest.raises(UserError, match=re.escape(paths[name].name)):
            sampler.inference(paths[name], tmp_path / "out")
        assert not list((tmp_path / "out").glob("*"))
        return
    (row,) = sampler.inference(paths[name], tmp_path / "out")
    assert row.status == "done" and promise.word in row.message
    result = load(row.output, 10**7, 1)
    assert result.size == (4 * promise.size[0], 4 * promise.size[1])
    check_kept(result, promise)


def check_kept(picture: Picture, promise):
    """Depth, transparency and the mean of the visible colours."""
    full = np.iinfo(picture.rgb.dtype).max if picture.rgb.dtype.kind == "u" else 1
    assert (picture.alpha is not None, picture.rgb.dtype != np.uint8) == (promise.alpha, promise.deep)
    visible = picture.rgb / full if picture.alpha is None else picture.rgb / full * (picture.alpha[..., None] / full)
    assert np.abs(255 * visible.mean((0, 1)) - promise.colour).max() < 8
