"""A folder as visitors have them."""

from pathlib import Path

import numpy as np
from PIL import Image


def make_mixed_folder(folder: Path, name: str) -> Path:
    """The new folder, with two pictures of one name (one in `sub`), 56x40, a damaged one (`broken.png`) and a text (`notes.txt`)."""
    (folder / "sub").mkdir(parents=True)
    draws = np.random.default_rng(1)
    for path in (folder / name, folder / "sub" / name):
        Image.fromarray(draws.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(path)
    (folder / "broken.png").write_bytes((folder / name).read_bytes()[:400])
    (folder / "notes.txt").write_text("hello")
    return folder
