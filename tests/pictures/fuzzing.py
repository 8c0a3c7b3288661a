"""Damages good files at random and reads them: python -m tests.pictures.fuzzing COUNT [SEED]

Whatever the damage, the reader answers with a picture or with a sentence, in bounded time and memory. A file that breaks the rule is kept, and
named in the exit message. Runs in a process of its own, because a decoder that crashes takes its process with it.
"""

import io
import logging
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pictures.icc_profiles import ADOBE_RGB, DISPLAY_P3, LINEAR_GREY
from tests.pictures.picture_files import ENCODED, LAB, encoded, noise, smooth, tiff16
from utils.pictures.encoding import encode
from utils.pictures.formats import OUTPUT_FORMATS
from utils.pictures.picture import Picture
from utils.pictures.provenance import read_settings
from utils.pictures.reading import load, picture_size
from utils.planning.errors import UserError

MOST_SECONDS, MOST_BYTES = 10, 500 * 2**20
MOST_PIXELS = 4_000_000
_INTERESTING = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_ODD = Path(__file__).resolve().parents[3] / "shared" / "data" / "odd"


def originals() -> list[bytes]:
    """Small good files of every kind, with all that a file may hold besides pixels."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x011A], exif[0x0128] = "Maker", 6, 72.0, 2
    exif[0x8769] = {0x829A: 0.5, 0x927C: b"maker note"}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    exif.load(exif.tobytes())
    files = [encoded(smooth(24, 32), kind) for kind in ENCODED]
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        stream, icc = io.BytesIO(), DISPLAY_P3 if kind == "PNG" else ADOBE_RGB if kind == "TIFF" else LAB
        Image.fromarray(smooth(24, 32)).save(stream, kind, exif=exif, icc_profile=icc)
        files.append(stream.getvalue())
    frames = [Image.fromarray(noise(12, 16, 4, seed=k)) for k in range(3)]
    for kind, options in (
        ("GIF", {"save_all": True, "append_images": frames}),
        ("PNG", {"save_all": True, "append_images": frames}),
        ("WEBP", {"save_all": True, "append_images": frames, "lossless": True}),
        ("TIFF", {"save_all": True, "append_images": frames, "compression": "tiff_lzw"}),
        ("AVIF", {"save_all": True, "append_images": frames}),
    ):
        stream = io.BytesIO()
        frames[0].save(stream, kind, **options)
        files.append(stream.getvalue())
    for mode, kind, options in (
        ("CMYK", "JPEG", {"progressive": True}),
        ("CMYK", "TIFF", {"compression": "jpeg"}),
        ("P", "PNG", {"transparency": 3}),
        ("1", "TIFF", {"compression": "group4"}),
        ("LA", "PNG", {}),
        ("L", "BMP", {}),
        ("P", "TIFF", {"compression": "packbits"}),
        ("I;16", "PNG", {}),
        ("F", "TIFF", {}),
    ):
        stream = io.BytesIO()
        image = Image.fromarray(smooth(24, 32))
        image = image.convert("L").convert(mode) if mode in ("I;16", "F") else image.convert(mode)
        (image.point(lambda v: v / 255) if mode == "F" else image).save(stream, kind, **options)
        files.append(stream.getvalue())
    files += [tiff16(noise(12, 16, 4, dtype=np.uint16), extra=(2,)), tiff16(noise(12, 16, 2, dtype=np.uint16), photometric=1, extra=(1,))]
    files.append(tiff16(noise(12, 16, 3, dtype=np.uint16), planes=True, orientation=5, maker=b"Maker\0"))
    picture = Picture(smooth(24, 32), noise(24, 32), icc=DISPLAY_P3, exif=exif.tobytes()[6:], xmp=b'<x tiff:Orientation="6"/>', dpi=(300.0, 72.0))
    grey = Picture(smooth(24, 32)[..., :1].repeat(3, 2).astype(np.uint16) * 257, icc=LINEAR_GREY, grey=True)
    for kind in OUTPUT_FORMATS:
        for result in (picture, grey):
            shown = result if kind.has_alpha else Picture(result.rgb, icc=result.icc, exif=result.exif, grey=result.grey)
            stream = io.BytesIO()
            encode(stream, shown, kind, {"settings": '{"seed": 1}'}, True)
            files.append(stream.getvalue())
    files += [path.read_bytes() for path in sorted(_ODD.glob("*.*")) if 0 < path.stat().st_size < 20_000 and path.suffix != ".csv"]
    return files


def damaged(data: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    """The bytes with one to six things done to them."""
    file = bytearray(data)
    for _ in range(random.integers(1, 7)):
        # Most of what a reader decides by is at the beginning.
        reach = min(len(file), 512) if random.random() < 0.5 else len(file)
        place, kind = int(random.integers(0, max(reach, 1))), random.integers(0, 8)
        if kind <= 2 and file:
            file[place] ^= 1 << int(random.integers(0, 8))
        elif kind == 3 and file:
            file[place] = int(random.integers(0, 256))
        elif kind == 4:
            number = int(random.choice(_INTERESTING))
            packed = (
                struct.pack(random.choice(["<I", ">I"]), number)
                if random.random() < 0.5
                else struct.pack(random.choice(["<H", ">H"]), number % 65536)
            )
            file[place : place + len(packed)] = packed
        elif kind == 5:
            del file[place : place + int(random.integers(1, 64))]
        elif kind == 6:
            other = others[int(random.integers(0, len(others)))]
            start = int(random.integers(0, len(other)))
            file[place:place] = other[start : start + int(random.integers(1, 64))]
        elif random.random() < 0.3:
            del file[place:]
    return bytes(file)


def read_all_ways(path: Path, turn: int) -> bool:
    """Whether it is a picture; raises whatever should not be raised."""
    texts = {"settings": "{}"}
    read_settings(path)
    for read in (lambda: picture_size(path), lambda: load(path, MOST_PIXELS, 1, tolerant=True)):
        try:
            read()
        except UserError as error:
            _check_sentence(str(error))
    try:
        picture = load(path, MOST_PIXELS, 1)
    except UserError as error:
        _check_sentence(str(error))
        return False
    try:
        encode(io.BytesIO(), picture, OUTPUT_FORMATS[turn % len(OUTPUT_FORMATS)], texts, True)
    except UserError as error:
        assert "transparency" in str(error) or "at most" in str(error), error
    return True


def _check_sentence(sentence: str) -> None:
    assert sentence.endswith(".") and "\n" not in sentence and " at 0x" not in sentence and "Error" not in sentence, sentence


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    warnings.simplefilter("ignore")
    logging.disable()
    random, files = np.random.default_rng(seed), originals()
    folder = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    path = folder / "damaged"
    pictures, slowest = 0, 0.0
    for file in files:
        path.write_bytes(file)
        read_all_ways(path, 0)
    before = _peak_memory()
    for k in range(count):
        path.write_bytes(damaged(files[k % len(files)], files, random))
        start = time.perf_counter()
        try:
            pictures += read_all_ways(path, k)
        except BaseException:
            traceback.print_exc()
            sys.exit(f"file {k} breaks the rule: {path}")
        seconds = time.perf_counter() - start
        slowest = max(slowest, seconds)
        if seconds > MOST_SECONDS or _peak_memory() - before > MOST_BYTES:
            sys.exit(f"file {k} takes {seconds:.1f} s or too much memory: {path}")
    path.unlink()
    folder.rmdir()
    grown = (_peak_memory() - before) / 2**20
    print(f"{count} files of {len(files)} kinds: {pictures} pictures, {count - pictures} sentences; slowest {slowest:.2f} s, {grown:.0f} MiB more")


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
