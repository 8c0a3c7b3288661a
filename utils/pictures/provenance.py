"""How a result says what it was made by: texts embedded in the file, in PNG as text chunks, in other formats as one EXIF comment.

They hold neither time nor path nor facts of the machine, so that equal settings give equal bytes.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from PIL import Image, JpegImagePlugin, WebPImagePlugin

from utils import VERSION
from utils.pictures import formats, png_chunks
from utils.pictures.metadata import EXIF_BLOCK, USER_COMMENT

OUR_KEY = "invsr"
SETTINGS = "settings"
"""The text that holds the settings, as JSON."""
_MADE_BY = f"made by InvSamplerSR {VERSION}"
_ASCII = b"ASCII\0\0\0"  # how an EXIF comment begins
_LONGEST_SETTINGS = 2**18
_MOST_BYTES = 2**33


def png_texts(texts: Mapping[str, str]) -> list[bytes]:
    """The chunks for a PNG: the keys become "invsr:<key>". ValueError for a key that PNG does not allow."""
    keys = sorted(texts)
    return [png_chunks.text_chunk(OUR_KEY, _MADE_BY), *(png_chunks.text_chunk(f"{OUR_KEY}:{key}", texts[key]) for key in keys)]


def exif_comment(texts: Mapping[str, str]) -> bytes:
    """The value of the EXIF tag UserComment: JSON in ASCII."""
    return _ASCII + json.dumps({OUR_KEY: _MADE_BY, **texts}, sort_keys=True).encode("ascii")


def read_texts(path: str | os.PathLike[str]) -> dict[str, str] | None:
    """The texts that a result was written with; None for any other file, whatever is wrong with it."""
    try:
        with Path(path).open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > _MOST_BYTES:
                return None
            kind = formats.recognised(stream.read(formats.START_LENGTH))
            found = _from_png(stream) if kind == "PNG" else _from_comment(stream, kind)
    except Exception:  # a hostile file may raise anything
        return None
    if found is None or OUR_KEY not in found:
        return None
    return {key: text for key, text in found.items() if key != OUR_KEY}


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The settings that a result was made with, by their names; None for any other file.

    They are numbers, texts, truth values, None or lists of those, as somebody wrote them: to be checked like settings from anywhere.
    """
    text = (read_texts(path) or {}).get(SETTINGS, "")
    if len(text) > _LONGEST_SETTINGS:
        return None
    try:
        settings = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    is_plain = isinstance(settings, dict) and all(
        isinstance(value, _PLAIN) or (isinstance(value, list) and all(isinstance(item, _PLAIN) for item in value)) for value in settings.values()
    )
    return settings if is_plain else None


def made_by_us(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a result, as far as its texts say."""
    return Path(path).is_file() and read_texts(path) is not None


_PLAIN = (str, int, float, bool, type(None))


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _from_png(stream: IO[bytes]) -> dict[str, str]:
    found = {}
    for keyword, text in png_chunks.plain_texts(stream):
        if keyword == OUR_KEY or keyword.startswith(f"{OUR_KEY}:"):
            found[keyword.removeprefix(f"{OUR_KEY}:")] = text
    return found


def _from_comment(stream: IO[bytes], kind: str | None) -> dict[str, str] | None:
    exif = Image.Exif()
    stream.seek(0)
    if kind == "TIFF":
        exif.load_from_fp(stream)
    elif kind == "JPEG":
        exif.load(JpegImagePlugin.JpegImageFile(stream).info["exif"])
    elif kind == "WEBP":
        exif.load(WebPImagePlugin.WebPImageFile(stream).info["exif"])
    else:
        return None
    comment = exif.get_ifd(EXIF_BLOCK)[USER_COMMENT]
    if not isinstance(comment, bytes) or not comment.startswith(_ASCII):
        return None
    found = json.loads(comment[len(_ASCII) :])
    return found if isinstance(found, dict) and all(isinstance(text, str) for text in found.values()) else None
