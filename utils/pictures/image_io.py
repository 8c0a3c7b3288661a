"""Reading pictures from files, arrays and PIL images, and writing results as lossless PNG.

Reading decides by content, never by name, and judges the size from the header, before anything is decoded. What a picture is besides its colours
(transparency, bit depth, colour profile, EXIF, being grey) is kept; what cannot be kept is said in `Picture.notes`.
"""

import contextlib
import io
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin

from utils.pictures import png_chunks
from utils.planning.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
OUR_KEY = "invsr"

_PIL_IMAGES = threading.Lock()
_ORIENTATION = 0x0112
# A TIFF's tags mix its layout with its EXIF; these describe the picture: title, maker, model, date, artist, copyright, EXIF and GPS blocks.
_TIFF_DESCRIPTION = {0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}
_LARGEST_PROFILE = PngImagePlugin.MAX_TEXT_CHUNK  # Pillow refuses to open a PNG with a larger one
_PNG_EFFORT = 3  # zlib level: a third of the time of the usual 6 for files 6 % larger
_UNSUITABLE = "the file is damaged, incomplete or of a kind that is not supported; export it again, for example as PNG"

_WIDE_LAYOUT = "its 16-bit layout is not supported; save it as an ordinary 16-bit PNG"


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    rgb: [h, w, 3] uint8, uint16 or float32 in [0, 1]. alpha: [h, w] of the same dtype, not premultiplied, or None. icc: colour profile of `rgb`
    (sRGB where None). exif: EXIF bytes from the byte order mark on, orientation reset. grey: the source was grey, so the result is written grey.
    notes: sentences on what was left out.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    grey: bool = False
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.rgb.shape[0], self.rgb.shape[1]


# Decoding


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(h, w) of the upright picture, from the header alone. UserError as for `load`."""
    with _opened(path) as (image, _):
        return _upright_size(image)


def load(path: str | os.PathLike[str], max_output_pixels: int, scale: int) -> Picture:
    """The first frame of the file. UserError for a file that is missing, empty, unreadable, damaged, no picture, or too large.

    Too large means that (h*scale) * (w*scale) is more than max_output_pixels, or that h*w is more than Pillow's own guard, MAX_IMAGE_PIXELS.
    """
    with _opened(path) as (image, notes):
        _check_size(Path(path).name, image.size, max_output_pixels, scale)
        return _decoded(image, notes)


def from_pil(image: Image.Image) -> Picture:
    """The current frame of a PIL image of any mode, with its profile, EXIF and orientation. UserError if it cannot be decoded."""
    with _plain_errors("The picture"), _PIL_IMAGES:  # one that is still to be read must not be read by two threads
        return _decoded(image, [])


def from_array(array: np.ndarray) -> Picture:
    """[h, w] or [h, w, 1|3|4] of uint8, uint16, or float in [0, 1]; the fourth channel is alpha. UserError for anything else."""
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise UserError(f"An array of shape {array.shape} is not a picture; give height x width, or height x width x 1, 3 or 4 channels.")
    if array.dtype.kind == "f":
        with _plain_errors("The array"):
            array = _checked_floats(array)
    elif array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise UserError(f"An array of {array.dtype} is not a picture; give uint8, uint16, or floating-point values from 0 to 1.")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    rgb = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else np.ascontiguousarray(array[..., :3])
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    return Picture(rgb, alpha, grey=array.shape[2] == 1)


def to_array(picture: Picture) -> np.ndarray:
    """[h, w, 3], or [h, w, 4] with alpha, in the picture's own depth."""
    return picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])


class _Unreadable(Exception):
    """Why a picture cannot be read and what to do, for the second half of a sentence."""


@contextlib.contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    """Turns whatever a decoder raises into one sentence, for decoders raise every kind of exception and speak of their own objects."""
    try:
        yield
    except UserError:
        raise
    except _Unreadable as reason:
        raise UserError(f"{name} cannot be read: {reason}.") from reason
    except MemoryError as error:
        raise UserError(f"{name} cannot be read: there is not enough memory for it; use a smaller picture.") from error
    except OSError as error:
        reason = f"{error.strerror}; check the disk and the permissions of the file" if error.strerror else _UNSUITABLE
        raise UserError(f"{name} cannot be read: {reason}.") from error
    except Exception as error:
        raise UserError(f"{name} cannot be read: {_UNSUITABLE}.") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[ImageFile.ImageFile, list[str]]]:
    """The file with its header read, and the notes so far; errors in the body are turned into sentences too."""
    path = Path(path)
    with _plain_errors(path.name):
        if path.is_dir():
            raise UserError(f"{path} is a folder; give a picture file.")
        if not path.exists():
            raise UserError(f"{path} does not exist; check the name.")
        if not path.is_file():
            raise UserError(f"{path} is not an ordinary file; give a picture file.")
        with path.open("rb") as stream:
            yield _header(stream)


def _header(stream: IO[bytes]) -> tuple[ImageFile.ImageFile, list[str]]:
    """What Image.open(formats=FORMATS) does, without its limit, whose warning cannot be silenced safely among threads: `_check_size` has ours."""
    start = stream.read(16)
    if not start:
        raise _Unreadable("the file is empty; copy or download it again")
    Image.init()  # registers Pillow's readers, once
    for kind in FORMATS:
        reader, recognises = Image.OPEN[kind]
        if recognises is not None and recognises(start) is True:
            stream.seek(0)
            try:
                return reader(stream, ""), []
            except (SyntaxError, ValueError):
                if kind != "PNG":
                    raise
            # Pillow gives up on a PNG for metadata alone (bad checksum, oversized text or profile); without them it may well be sound.
            stream.seek(0)
            pixels = io.BytesIO(png_chunks.pixel_chunks_only(stream.read()))
            return reader(pixels, ""), ["The metadata of the file is damaged and was dropped."]
    raise _Unreadable(f"it is not a picture of a supported kind; use {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def _check_size(name: str, size: tuple[int, int], max_output_pixels: int, scale: int) -> None:
    w, h = size
    if h * w * scale * scale > max_output_pixels:
        limit = f"{max_output_pixels / 1e6:g} megapixels allowed; use a smaller picture or raise max_output_megapixels"
        raise UserError(f"{name} is too large: {w} x {h} pixels would become {w * scale} x {h * scale}, more than the {limit}.")
    if Image.MAX_IMAGE_PIXELS is not None and h * w > Image.MAX_IMAGE_PIXELS:
        raise UserError(f"{name} is too large: {w} x {h} pixels are more than {Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels; use a smaller picture.")


def _orientation(exif: Image.Exif) -> int:
    """1 to 8 as in the EXIF standard; 1 (upright) for values that mean nothing."""
    value = exif.get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _upright_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    w, h = image.size
    if image.format == "TIFF":  # Pillow turns TIFFs, and only these, itself
        return h, w
    with contextlib.suppress(Exception):  # damaged EXIF says nothing about the orientation
        if image.format == "PNG" and "exif" not in image.info and image.fp:
            # Else Pillow decodes everything in search of EXIF behind the pixels.
            image.info["exif"] = png_chunks.find_chunk(image.fp, b"eXIf")
        if _orientation(image.getexif()) >= 5:
            return w, h
    return h, w


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels turned as EXIF `orientation` asks."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _decoded(image: Image.Image, notes: list[str]) -> Picture:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.tell() == 0:
        notes.append(f"The file has {frames} frames; the first was used.")
    raw_mode = _raw_mode(image)
    if 16 in getattr(image, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE, ()) and raw_mode and ";16" not in raw_mode:
        raise _Unreadable("it is a 16-bit TIFF with a separate plane for each colour; save it with interleaved colours or as PNG")
    data = _file_bytes(image) if ";16" in raw_mode and image.mode in ("RGB", "RGBA") else b""
    image.load()
    exif, orientation = _exif_and_orientation(image, notes)
    icc = image.info.get("icc_profile")
    if data:
        rgb, alpha, grey = _sixteen_bit_colour(image, raw_mode, data)
    elif image.mode == "CMYK":
        if ";16" in raw_mode:
            notes.append("16-bit CMYK was read with 8 bits.")
        rgb, alpha, grey, icc = _from_cmyk(image, icc, notes), None, False, None
    else:
        rgb, alpha, grey = _pixels(image, raw_mode)
        icc = None if image.mode == "LAB" else icc
    return Picture(
        rgb=_upright(rgb, orientation),
        alpha=None if alpha is None else _upright(alpha, orientation),
        icc=_checked_profile(icc, grey, notes),
        exif=exif,
        grey=grey,
        notes=tuple(notes),
    )


def _raw_mode(image: Image.Image) -> str:
    """How the file stores its pixels, such as "RGB;16B" or "L;4"; empty for an image that is decoded already or is not from a file."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _file_bytes(image: Image.Image) -> bytes:
    stream = image.fp if isinstance(image, ImageFile.ImageFile) else None
    if stream is None:
        return b""
    position = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(position)
    return data


def _pixels(image: Image.Image, raw_mode: str) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """(rgb, alpha, grey) of a decoded image of any mode but CMYK."""
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        grey = _grey_values(image, raw_mode)
        key = image.info.get("transparency")  # one grey value, given as the file stores it, that is transparent
        alpha = None
        if isinstance(key, int):
            key *= {"L;2": 85, "L;4": 17}.get(raw_mode, 1)
            alpha = np.where(grey == key, 0, np.iinfo(grey.dtype).max).astype(grey.dtype)
        return np.repeat(grey[..., None], 3, axis=2), alpha, True
    if image.mode in ("LA", "La"):
        pixels = np.asarray(image.convert("LA"))
        return np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1], True
    pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    return pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None, False


def _grey_values(image: Image.Image, raw_mode: str) -> np.ndarray:
    """[h, w] uint8, uint16 or float32 of an image of one channel."""
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    values = np.asarray(image)
    if image.mode == "F":
        return _checked_floats(values)
    if values.min() < 0 or values.max() > 65535:
        raise _Unreadable(f"its values, {values.min()} to {values.max()}, are not 16-bit; scale them to 0 to 65535")
    if raw_mode == "I;12":
        return np.rint(values * (65535 / 4095)).astype(np.uint16)
    values = values.astype(np.uint16)
    is_inverted = getattr(image, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0  # Pillow inverts 8-bit TIFFs only
    return 65535 - values if is_inverted else values


def _checked_floats(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise _Unreadable("it holds values that are not numbers; replace them")
    if values.min() < 0 or values.max() > 1:
        raise _Unreadable(f"it holds floating-point values from {values.min():g} to {values.max():g}; scale them to 0 to 1")
    return values.astype(np.float32)


def _sixteen_bit_colour(image: Image.Image, raw_mode: str, data: bytes) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """(rgb, alpha, grey) with all 16 bits of a PNG or TIFF of which Pillow keeps only the upper eight.

    OpenCV reads them, but wrongly for some layouts (TIFF planes; byte order of grey with alpha), so its upper eight bits must agree with Pillow's.
    """
    is_png = data.startswith(png_chunks.SIGNATURE)
    if is_png and raw_mode == "LA;16B":
        as_bytes = Image.open(io.BytesIO(png_chunks.relabelled(png_chunks.pixel_chunks_only(data), 8, 6)), formats=["PNG"])
        pixels = np.asarray(as_bytes).view(">u2").astype(np.uint16)
        return np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1], True
    # OpenCV is shown only the pixels of a PNG, for it reports damaged metadata on stderr.
    encoded = np.frombuffer(png_chunks.pixel_chunks_only(data) if is_png else data, np.uint8)
    wide = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    channels = 4 if image.has_transparency_data else 3
    narrow = np.asarray(image.convert("RGBA" if channels == 4 else "RGB"))
    if wide.dtype != np.uint16 or wide.ndim != 3 or wide.shape[2] < channels or wide.shape[:2] != narrow.shape[:2]:
        raise _Unreadable(_WIDE_LAYOUT)
    rgb, alpha = wide[..., 2::-1], wide[..., 3] if channels == 4 else None
    is_premultiplied = raw_mode.startswith("RGBa")
    compared = slice(3, 4) if is_premultiplied else slice(0, 3)  # Pillow has divided by alpha already
    if not np.array_equal(wide[..., [2, 1, 0, 3][compared]] // 256, narrow[..., compared]):
        raise _Unreadable(_WIDE_LAYOUT)
    if alpha is not None and is_premultiplied:
        rgb = np.rint(np.minimum(rgb * (65535 / np.maximum(alpha, 1)[..., None]), 65535)).astype(np.uint16)
    return rgb, alpha, False


def _from_cmyk(image: Image.Image, icc: bytes | None, notes: list[str]) -> np.ndarray:
    """sRGB [h, w, 3] through the picture's own profile; without one, by the plain formula."""
    if icc:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(image, io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB")
            notes.append("The CMYK colours were converted to sRGB by the profile in the file.")
            return np.asarray(converted)
    notes.append("The CMYK colours were converted to RGB without a usable profile; they may differ from print.")
    return np.asarray(image.convert("RGB"))


def _checked_profile(icc: bytes | None, grey: bool, notes: list[str]) -> bytes | None:
    """The profile if it can be kept beside these pixels in a PNG; a note where not."""
    if not icc:
        return None
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except OSError:
        notes.append("The colour profile of the file is damaged and was dropped.")
        return None
    colour_space = icc[16:20]  # a field of the profile's header
    if colour_space != (b"GRAY" if grey else b"RGB ") or len(icc) > _LARGEST_PROFILE:
        notes.append("The colour profile of the file does not suit the picture and was dropped.")
        return None
    return icc


def _exif_and_orientation(image: Image.Image, notes: list[str]) -> tuple[bytes | None, int]:
    """EXIF of an image that is to be turned upright, and the orientation it has before."""
    try:
        exif = image.getexif()
        orientation = _orientation(exif)
        kept = {tag for tag in exif if image.format != "TIFF" or tag in _TIFF_DESCRIPTION}
        if not kept:
            if image.info.get("exif"):
                raise ValueError("nothing readable")
            return None, orientation
        exif.bigtiff = False  # EXIF has the layout of a plain TIFF
        upright = Image.Exif()
        upright.load(exif.tobytes())
        for tag in set(upright) - kept:
            del upright[tag]
        if _ORIENTATION in upright:
            upright[_ORIENTATION] = 1
        return upright.tobytes().removeprefix(b"Exif\0\0"), orientation
    except Exception:  # Pillow's parser raises many kinds, and a picture is not lost for its EXIF
        notes.append("The EXIF data of the file is damaged and was dropped.")
        return None, 1


# Encoding


def check_target(path: str | os.PathLike[str]) -> None:
    """UserError if there is a file at `path` that `save` would have to spare: one that this program did not make."""
    if os.path.lexists(path) and not made_by_us(path):
        raise UserError(f"{path} was not made by this program and is not replaced; choose another name or folder.")


def save(picture: Picture, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Writes a lossless PNG: 8 bits for uint8 pictures, 16 for others; grey stays grey; `metadata` becomes iTXt texts named "invsr:<key>".

    The file appears whole or not at all, and equal arguments give equal bytes. UserError if the folder does not exist, if writing fails, or if the
    path holds a file that was not made by this function.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UserError(f"{target.name} cannot be written: results are PNG files; give a name that ends in .png.")
    check_target(target)
    if not target.parent.is_dir():
        raise UserError(f"{target} cannot be written: {target.parent} is not a folder; make it first or choose another.")
    data = _png(picture, metadata)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}; check the folder's permissions and free space.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def made_by_us(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a PNG that `save` wrote."""
    try:
        with Path(path).open("rb") as stream, PngImagePlugin.PngImageFile(stream) as image:
            return OUR_KEY in image.info
    except Exception:  # whatever is wrong with it, it is not ours to replace
        return False


def _png(picture: Picture, metadata: Mapping[str, str]) -> bytes:
    chunks = [png_chunks.profile_chunk(picture.icc)] if picture.icc else []
    if picture.exif:
        chunks.append(png_chunks.exif_chunk(picture.exif))
    chunks.append(png_chunks.text_chunk(OUR_KEY, "made by InvSamplerSR"))
    chunks.extend(png_chunks.text_chunk(f"{OUR_KEY}:{key}", metadata[key]) for key in sorted(metadata))
    return png_chunks.insert_after_header(_encoded(_stored_pixels(picture)), chunks)


def _stored_pixels(picture: Picture) -> np.ndarray:
    """[h, w, channels] uint8 or uint16 as the file will hold them: grey or RGB, then alpha."""
    rgb, alpha = picture.rgb, picture.alpha
    if rgb.dtype.kind == "f" and not (np.isfinite(rgb).all() and (alpha is None or np.isfinite(alpha).all())):
        raise UserError("The result holds values that are not numbers and was not written; try dtype=float32.")
    channels = rgb.mean(axis=2, keepdims=True, dtype=np.float32) if picture.grey else rgb  # three equal values have exactly that mean
    if rgb.dtype.kind == "f":
        channels = np.clip(channels, 0, 1) * 65535
        alpha = None if alpha is None else np.rint(np.clip(alpha, 0, 1) * 65535)
    depth = np.uint8 if rgb.dtype == np.uint8 else np.uint16
    channels = np.rint(channels).astype(depth) if channels.dtype.kind == "f" else channels
    return channels if alpha is None else np.dstack([channels, alpha.astype(depth)])


def _encoded(pixels: np.ndarray) -> bytes:
    """A bare PNG of [h, w, 1|2|3|4] uint8 or uint16."""
    if pixels.dtype == np.uint8:
        stream = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG", compress_level=_PNG_EFFORT)
        return stream.getvalue()
    if pixels.shape[2] == 2:
        return png_chunks.relabelled(_encoded(np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8)), 16, 4)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    done, data = cv2.imencode(".png", pixels[..., order], [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS])
    if not done:
        raise OSError("the PNG encoder failed")
    return data.tobytes()
