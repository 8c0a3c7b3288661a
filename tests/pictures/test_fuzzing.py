import subprocess
import sys

import pytest

from tests.conftest import PROJECT


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files_give_pictures_or_sentences_in_bounded_time_and_memory(count):
    fuzzing = subprocess.run(
        [sys.executable, "-m", "tests.pictures.fuzzing", str(count)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60 + count / 4,
    )
    assert fuzzing.returncode == 0, fuzzing.stderr[-3000:]
    assert fuzzing.stdout.startswith(f"{count} files of") and fuzzing.stderr == ""
