"""A quick stand-in for the sampler, with real files on both sides: every pixel becomes four by four."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from PIL import Image

from utils.jobs.inputs import find_inputs
from utils.jobs.job import Job, Upscaled, Watcher
from utils.jobs.options import JobOptions
from utils.pictures.reading import load


class Enlarger:
    """As much of a sampler as a job needs. `before` is called with every picture's size before it is computed. Above `most_pixels` one is huge."""

    def __init__(self, seed=1, before=lambda size: None, most_pixels=10**9):
        self.seed, self.before, self.most_pixels = seed, before, most_pixels
        self.read_names, self.computed = [], 0

    def read(self, path, tolerant):
        self.read_names.append(path.name)
        return load(path, 10**8, 4, tolerant=tolerant)

    def is_huge(self, picture):
        return picture.size[0] * picture.size[1] > self.most_pixels

    def output_size(self, picture):
        return picture.size[0] * 4, picture.size[1] * 4

    def upscaled(self, picture, on_tile):
        self.before(picture.size)
        on_tile(1, 2, None)
        rgb = picture.rgb.repeat(4, 0).repeat(4, 1)
        alpha = None if picture.alpha is None else picture.alpha.repeat(4, 0).repeat(4, 1)
        on_tile(2, 2, None)
        self.computed += 1
        return Upscaled(replace(picture, rgb=rgb, alpha=alpha), SimpleNamespace(tile_count=2), {"settings": f'{{"seed": {self.seed}}}'})

    def identity(self):
        return {"model": "four", "seed": self.seed}


def job(source, target, upscaler=None, **options):
    chosen = JobOptions(**options)
    return Job(find_inputs(source, target, chosen.recursive), target, upscaler or Enlarger(), chosen)


def run(source, target, upscaler=None, at_once=1, watcher=None, **options):
    return job(source, target, upscaler, **options).run(at_once, watcher or Watcher())


def picture(path, seed=0, size=(6, 5), **save_options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path, **save_options)
    return path


def tree(folder):
    """Every file in a folder and below, with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pictures(folder):
    """Likewise, without what is written about the job."""
    about = ("manifest.jsonl", "report.json", "report.csv")
    return {name: content for name, content in tree(folder).items() if name not in about}
