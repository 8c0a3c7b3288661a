"""A result of 16384 x 16384 within 4 GB beyond the loaded program; and in little, with what may be in memory at once divided as the picture is."""

import json
import subprocess
import sys

import pytest

from tests.conftest import PROJECT


def megabytes(kind, side, divided, *settings):
    script = PROJECT / "benchmarks" / "huge_pictures.py"
    command = [sys.executable, str(script), "--row", kind, "--side", str(side), "--divided", str(divided), *settings]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["megabytes"]


def test_a_large_picture_takes_little_more_than_its_result():
    """4096 x 4096, which a canvas and the stages held twelve times over. Tiles and what is read ahead do not shrink with the picture."""
    assert megabytes("8 bits", 1024, 16) < 400


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["8 bits", "16 bits, alpha"])
def test_16k(kind):
    assert megabytes(kind, 4096, 1) < 4000
