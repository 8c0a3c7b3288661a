"""Low-resolution pictures for tests, made from good ones: one, or a whole tree of folders."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import numpy as np

from utils.evaluation.picture_sets import Skipped, check_apart, colours, cropped, find_tree, read
from utils.jobs.naming import name_outputs
from utils.jobs.output_folder import check_folder, make_folder
from utils.pictures.degradations import Degradation, degrade
from utils.pictures.picture import Picture
from utils.pictures.provenance import read_texts
from utils.pictures.tensors import full_scale
from utils.pictures.writing import check_target, save
from utils.planning.errors import UserError

MARK = "degradation"
"""The text in a PNG that says that it was made here, and how."""


def make_lr(hr: np.ndarray, how: Degradation, seed: int) -> np.ndarray:
    """[H,W,C] of any depth, cropped to multiples of the factor -> [H/factor,W/factor,C] uint8.

    What is random follows from the seed and the pixels, so it does not depend on names, on order or on what else is in a folder.
    UserError for a picture smaller than the factor.
    """
    hr = np.ascontiguousarray(cropped(hr, how.factor))
    if not hr.size:
        raise UserError(f"The picture is smaller than {how.factor} x {how.factor} pixels; use a larger one.")
    content = hashlib.sha256(repr(hr.shape).encode() + hr.tobytes()).digest()
    rng = np.random.default_rng([seed, *content])
    lq = degrade(hr.astype(np.float32) / np.float32(full_scale(hr.dtype)), how, rng)
    return np.rint(lq * 255).astype(np.uint8)


def describe(how: Degradation, seed: int) -> str:
    """How low-resolution pictures are made, in a sentence."""
    words = [f"reduced {how.factor} times ({how.kernel}{'' if how.kernel in ('area', 'aliased') else ', antialiased'})"]
    if max(how.blur_sigma) > 0:
        words.insert(0, f"blurred (Gaussian, sigma {how.blur_sigma[0]:g} pixels of the original)")
    if how.sharpening > 0:
        words.append(f"sharpened (by {how.sharpening:g} of an unsharp mask of {how.sharpening_sigma:g} pixel)")
    if how.noise_sd > 0:
        words.append(f"given noise (sd {255 * how.noise_sd:g} of 255, seed {seed})")
    if how.jpeg_quality is not None:
        words.append(f"compressed (JPEG, quality {how.jpeg_quality}, 4:2:0)")
    return f"Low-resolution pictures: the originals {', '.join(words)} and rounded to 8 bits."


def make_lr_set(
    source: Path, target: Path, how: Degradation, seed: int, on_done: Callable[[PurePosixPath], None] = lambda name: None
) -> tuple[list[Path], list[Skipped]]:
    """The pictures under `source`, degraded, as PNG in the same subfolders of `target`; grey stays grey, profiles are kept, transparency is not.

    Returns the files written and what was left out. on_done gets each name that has been dealt with. UserError if the folders cannot be used: nothing
    is written into the source, and no file is replaced that was not made here.
    """
    names = find_tree(source)
    check_apart(target, source)
    if source.resolve().is_relative_to(target.resolve()):
        raise UserError(f"The folder {source} lies in the folder for the results; name another one for these.")
    check_folder(target, "for the results")
    targets = {name: target / output for name, output in name_outputs(names).items()}
    written, skipped = [], []
    for name in names:
        path = targets[name]
        try:
            make_folder(path.parent)
            check_apart(path.parent, source)  # a link in the target may lead back
            _check_replaceable(path)
            _write_lr(read(source / name), path, how, seed)
            written.append(path)
        except UserError as error:
            skipped.append(Skipped(str(name), str(error)))
        on_done(name)
    return written, skipped


def _write_lr(picture: Picture, path: Path, how: Degradation, seed: int) -> None:
    lq = make_lr(colours(picture), how, seed)
    rgb = np.repeat(lq, 3, axis=2) if lq.shape[2] == 1 else lq
    save(Picture(rgb, icc=picture.icc, grey=picture.grey), path, {MARK: json.dumps({"seed": seed, **asdict(how)})})


def _check_replaceable(path: Path) -> None:
    """UserError if there is a file that was not made here; pictures of the sampler carry the program's mark too, but not this one's."""
    check_target(path)
    if os.path.lexists(path) and MARK not in (read_texts(path) or {}):
        raise UserError(f"{path.name} was not made by this command and is not replaced; name another folder.")
