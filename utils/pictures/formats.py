"""The file formats of pictures: which are read, recognised by their content, and which are written, with what each can hold."""

import os
from dataclasses import dataclass
from pathlib import Path

from utils.planning.errors import UserError

READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIC")
START_LENGTH = 256
"""Bytes of a file that `recognised` wants to see."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
# Brands of ISO base media files; mif1 and msf1 mean a still picture and a sequence in a coding that another brand names.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def recognised(start: bytes) -> str | None:
    """The one of READABLE that a file with these first bytes says it is, or None."""
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        box = start[: int.from_bytes(start[:4], "big")]
        brands = {box[8:12], *(box[k : k + 4] for k in range(16, len(box), 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIC" if brands & _HEIC_BRANDS else None
    return None


@dataclass(frozen=True)
class OutputFormat:
    """A format of results. All keep colours exactly but JPEG. longest_side: in pixels, of what the format or its library can hold."""

    name: str
    suffixes: tuple[str, ...]
    has_16_bits: bool
    has_alpha: bool
    has_grey: bool
    longest_side: int

    def check_size(self, size: tuple[int, int]) -> None:
        """UserError if a picture of this many pixels a side has no place in a file of this format."""
        if max(size) > self.longest_side:
            raise UserError(f"A {self.name} file holds at most {self.longest_side} pixels a side; choose PNG or TIFF for this result.")


OUTPUT_FORMATS = (
    OutputFormat("PNG", (".png",), has_16_bits=True, has_alpha=True, has_grey=True, longest_side=1_000_000),
    OutputFormat("WebP", (".webp",), has_16_bits=False, has_alpha=True, has_grey=False, longest_side=16383),
    OutputFormat("TIFF", (".tif", ".tiff"), has_16_bits=True, has_alpha=True, has_grey=True, longest_side=1_000_000),
    OutputFormat("JPEG", (".jpg", ".jpeg"), has_16_bits=False, has_alpha=False, has_grey=True, longest_side=65500),
)


def format_named(name: str) -> OutputFormat:
    """The one of OUTPUT_FORMATS that is called so."""
    return next(kind for kind in OUTPUT_FORMATS if kind.name == name)


def output_format(path: str | os.PathLike[str]) -> OutputFormat:
    """The format that the end of the name asks for; UserError for an end that is none of OUTPUT_FORMATS'."""
    suffix = Path(path).suffix.lower()
    for kind in OUTPUT_FORMATS:
        if suffix in kind.suffixes:
            return kind
    names = ", ".join(suffix for kind in OUTPUT_FORMATS for suffix in kind.suffixes)
    raise UserError(f"{Path(path).name} cannot be written: results are PNG, WebP, TIFF or JPEG files; give a name that ends in one of {names}.")
