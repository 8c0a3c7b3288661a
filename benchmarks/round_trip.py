"""What each file format keeps of a picture, with the measured error, as the table of docs/formats.md: python benchmarks/round_trip.py

Every input is written by a library other than ours, read, written as a result of the same size (or as PNG where the format is read only), and what is
in that file is found by Pillow, tifffile or imagecodecs, not by our reader. Errors are the largest of all pixels, in units of 1/255.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageOps

PROJECT = Path(__file__).resolve().parents[1]
FORMATS = {"PNG": "png", "TIFF": "tif", "WebP": "webp", "JPEG": "jpg", "AVIF": "png", "HEIC": "png", "BMP": "png", "GIF": "png"}
P3 = imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.3290, 1], primaries=[0.68, 0.32, 1, 0.265, 0.69, 1, 0.15, 0.06, 1], gamma=2.2)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rating>5</rating></x:xmpmeta>'
H, W = 64, 96


@dataclass
class Sample:
    """A file: its kind, pixels [h, w, 1|3|4] and what else is in it."""

    kind: str
    pixels: np.ndarray
    options: dict[str, Any]


def main() -> None:
    sys.path.insert(0, str(PROJECT))
    columns: dict[str, Callable[[str, Path], str]] = {
        "8-bit colour": colour, "alpha": alpha, "16 bits": sixteen_bits, "grey": grey, "ICC (Display P3)": profile, "orientation": orientation,
        "EXIF": exif, "XMP": xmp, "DPI": dpi,
    }  # fmt: skip
    print(f"| format | result | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 2)}")
    with tempfile.TemporaryDirectory() as folder:
        for kind, suffix in FORMATS.items():
            cells = [measure(kind, Path(folder)) for measure in columns.values()]
            print(f"| {kind} | {suffix} | {' | '.join(cells)} |")


def colour(kind: str, folder: Path) -> str:
    sample = Sample(kind, photo(), {})
    return error(kept(sample, folder), decoded_by_library(sample))


def alpha(kind: str, folder: Path) -> str:
    if kind in ("JPEG", "BMP"):
        return "the format has none" if kind == "JPEG" else "not read"
    sample = Sample(kind, np.dstack([photo(), np.where(photo()[..., :1] > 128, 255, 0) if kind == "GIF" else ramp()]).astype(np.uint8), {})
    return error(kept(sample, folder)[..., 3:], decoded_by_library(sample)[..., 3:])


def sixteen_bits(kind: str, folder: Path) -> str:
    if kind in ("WebP", "JPEG", "BMP", "GIF"):
        return "the format has none"
    bits = 16 if kind in ("PNG", "TIFF") else 10
    deep = (
        np.random.default_rng(0).integers(0, 65536, (H, W, 3)) if bits == 16 else np.linspace(0, 65535, H * W).reshape(H, W, 1).repeat(3, 2)
    ).astype(np.uint16)
    sample = Sample(kind, deep, {})
    found = kept(sample, folder)
    assert found.dtype == np.uint16, kind
    return error(found / 257, deep / 257, digits=3) + ("" if bits == 16 else f" ({bits} bits)")


def grey(kind: str, folder: Path) -> str:
    sample = Sample(kind, photo()[..., 1:2], {})
    found = kept(sample, folder)
    stays = "" if found.shape[2] == 1 else ", as equal colours"
    return error(np.broadcast_to(found, (H, W, found.shape[2]))[..., :1], decoded_by_library(sample)[..., :1]) + stays


def profile(kind: str, folder: Path) -> str:
    """Also through sRGB and back, as pictures are processed."""
    from utils.pictures.colour_profiles import from_srgb, to_srgb
    from utils.pictures.reading import load

    if kind in ("BMP", "GIF"):
        return "not read"
    pixels = from_srgb(photo().astype(np.float32) / 255, P3, np.dtype(np.uint8))
    path = written(Sample(kind, pixels, {"icc_profile": P3}), folder)
    picture = load(path, 10**9, 1)
    assert picture.icc == P3
    processed = from_srgb(to_srgb(picture.rgb, picture.icc), picture.icc, picture.rgb.dtype)
    result = saved(picture.resized(processed, None), kind, folder)
    with Image.open(result) as image:
        assert image.info["icc_profile"] == P3
    return error(pixels_by_library(result), decoded_by_library(Sample(kind, pixels, {})))


def orientation(kind: str, folder: Path) -> str:
    if kind in ("BMP", "GIF", "HEIC"):
        return "in the pixels" if kind == "HEIC" else "the format has none"
    worst = 0.0
    for value in range(2, 9):
        tags = Image.Exif()
        tags[0x0112] = value
        sample = Sample(kind, photo(), {"exif": tags.tobytes()})  # bytes, for Pillow takes tags out of objects
        with Image.open(written(sample, folder)) as image:
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        result = saved(read(sample, folder), kind, folder)
        with Image.open(result) as image:
            assert image.getexif().get(0x0112, 1) == 1
        worst = max(worst, float(np.abs(pixels_by_library(result).astype(int) - upright).max()))
    return f"upright, {worst:.0f}"


def exif(kind: str, folder: Path) -> str:
    if kind in ("BMP", "GIF"):
        return "the format has none"
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    tags.get_ifd(0x8769).update({0x829A: 0.5, 0x927C: b"maker note"})
    tags.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    tags[0x8769], tags[0x8825] = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
    tags.load(tags.tobytes())
    with Image.open(saved(read(Sample(kind, photo(), {"exif": tags.tobytes()}), folder), kind, folder)) as image:
        found = image.getexif()
        block, gps = found.get_ifd(0x8769), found.get_ifd(0x8825)
    return "kept" if (found[0x010F], block[0x927C], gps[1], tuple(gps[2])) == ("Maker", b"maker note", "N", (1.0, 2.0, 3.0)) else "LOST"


def xmp(kind: str, folder: Path) -> str:
    if kind in ("BMP", "GIF"):
        return "not read"
    options = {"tiffinfo": {700: XMP}} if kind == "TIFF" else {"pnginfo": _png_text(XMP)} if kind == "PNG" else {"xmp": XMP}
    with Image.open(saved(read(Sample(kind, photo(), options), folder), kind, folder)) as image:
        image.load()
        return "kept" if image.info.get("xmp") == XMP else "LOST"


def dpi(kind: str, folder: Path) -> str:
    if kind in ("AVIF", "HEIC", "GIF", "WebP"):
        tags = Image.Exif()
        tags[0x011A], tags[0x011B], tags[0x0128] = 300.0, 150.0, 2
        options: dict[str, Any] = {"exif": tags.tobytes()}
    else:
        options = {"dpi": (300, 150)}
    if kind == "GIF":
        return "the format has none"
    picture = read(Sample(kind, photo(), options), folder)
    with Image.open(saved(picture, kind, folder)) as image:
        tags = image.getexif()
        found = image.info.get("dpi") or (tags[0x011A], tags[0x011B])
    return f"{float(found[0]):.1f} x {float(found[1]):.1f} of 300 x 150"


# ---- files ----


def photo() -> np.ndarray:
    """[H, W, 3] uint8: gradients, an edge and a little noise."""
    rows, columns = np.mgrid[0:H, 0:W]
    base = np.dstack([255 * rows / H, 255 * columns / W, np.where(columns > W // 2, 200, 60)])
    return np.clip(base + np.random.default_rng(0).normal(0, 4, base.shape), 0, 255).astype(np.uint8)


def ramp() -> np.ndarray:
    return np.linspace(0, 255, W).astype(np.uint8)[None, :, None].repeat(H, 0)


def written(sample: Sample, folder: Path) -> Path:
    path = folder / f"input.{sample.kind.lower()}"
    pixels = sample.pixels
    if pixels.dtype == np.uint16:
        path.write_bytes(_deep(sample.kind, pixels))
        return path
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    quality = {"JPEG": {"quality": 95, "subsampling": 0}, "WebP": {"lossless": True}, "AVIF": {"quality": 95}, "HEIC": {"quality": 95}}
    options = {**quality.get(sample.kind, {}), **sample.options}
    if sample.kind == "HEIC":
        image.info.update({name: value for name, value in options.items() if name in ("xmp", "icc_profile")})
        pillow_heif.from_pillow(image).save(path, quality=95, exif=options.get("exif"), format="HEIF")
    else:
        image.save(path, sample.kind.upper(), **options)
    return path


def _deep(kind: str, pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    if kind == "PNG":
        return bytes(imagecodecs.png_encode(pixels))
    if kind == "AVIF":
        level = imagecodecs.AVIF.QUALITY.LOSSLESS
        return bytes(imagecodecs.avif_encode(np.rint(pixels / 65535 * 1023).astype(np.uint16), level=level, bitspersample=10))
    if kind == "TIFF":
        tifffile.imwrite(stream, pixels, photometric="rgb", metadata=None)
    else:
        pillow_heif.from_bytes("RGB;16", (W, H), pixels.tobytes()).save(stream, quality=-1)
    return stream.getvalue()


def read(sample: Sample, folder: Path) -> Any:
    from utils.pictures.reading import load

    return load(written(sample, folder), 10**9, 1)


def saved(picture: Any, kind: str, folder: Path) -> Path:
    from utils.pictures.writing import save

    path = folder / f"result.{FORMATS[kind]}"
    save(picture, path, {"settings": "{}"}, overwrite=True)
    return path


def kept(sample: Sample, folder: Path) -> np.ndarray:
    """The pixels that come out for those of the sample, as a library finds them in the result."""
    return pixels_by_library(saved(read(sample, folder), sample.kind, folder))


def pixels_by_library(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    elif path.suffix == ".tif":
        pixels = np.asarray(tifffile.imread(path))
    else:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def decoded_by_library(sample: Sample) -> np.ndarray:
    """The pixels as a library decodes the input, so that the loss of a lossy input is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(sample, Path(folder))
        opener = pillow_heif.HeifImageFile if sample.kind == "HEIC" else Image.open
        with opener(path) as image:
            has_alpha = sample.pixels.shape[2] == 4
            return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))


def error(found: np.ndarray, expected: np.ndarray, digits: int = 0) -> str:
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return f"{np.abs(found.astype(float) - expected.astype(float)).max():.{digits}f}"


def _png_text(packet: bytes) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    return info


if __name__ == "__main__":
    main()
