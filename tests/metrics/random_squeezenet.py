"""A file of SqueezeNet 1.1 weights with random numbers of the right shapes."""

from pathlib import Path

import numpy as np

WIDTHS = {"fire2": (64, 16, 64), "fire3": (128, 16, 64), "fire4": (128, 32, 128), "fire5": (256, 32, 128)}
WIDTHS |= {"fire6": (256, 48, 192), "fire7": (384, 48, 192), "fire8": (384, 64, 256), "fire9": (512, 64, 256)}


def save_random_squeezenet(path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"conv1": (3, 3, 3, 64)}
    for name, (before, squeezed, after) in WIDTHS.items():
        shapes |= {f"{name}/squeeze1x1": (1, 1, before, squeezed), f"{name}/expand1x1": (1, 1, squeezed, after)}
        shapes |= {f"{name}/expand3x3": (3, 3, squeezed, after)}
    arrays = {f"{name}/uniform": rng.normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    arrays |= {f"{name}/{name}_b": rng.normal(0, 0.1, shape[3]).astype(np.float32) for name, shape in shapes.items()}
    np.savez(path, **arrays)
