import pytest

from utils.pictures.formats import READABLE, output_format, recognised
from utils.planning.errors import UserError


def ftyp(*brands):
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (len(body) + 4).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\x89PNG\n", None),
        (b"\xff\xd8\xff\xe1", "JPEG"),
        (b"RIFF1234WEBPVP8 ", "WEBP"),
        (b"RIFF1234WAVE", None),
        (b"MM\0+", "TIFF"),
        (b"GIF88a", None),
        (ftyp(b"avif", b"mif1"), "AVIF"),
        (ftyp(b"mif1", b"miaf", b"avif"), "AVIF"),
        (ftyp(b"mif1", b"heic"), "HEIC"),
        (ftyp(b"heix"), "HEIC"),
        (ftyp(b"isom", b"mp41"), None),
        (b"\0\0\0\x0cftyp", None),
        (b"<svg xmlns=", None),
        (b"<!DOCTYPE html>", None),
        (b"", None),
    ],
)
def test_the_first_bytes_decide(start, kind):
    assert recognised(start) == kind and (kind is None or kind in READABLE)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPEG", "JPEG"), ("a.b.tif", "TIFF"), ("a.webp", "WebP")])
def test_the_end_of_the_name_decides_the_format_of_a_result(name, kind):
    assert output_format(name).name == kind


@pytest.mark.parametrize("name", ["a", "a.gif", "a.png.txt", ".png"])
def test_other_ends_are_refused(name):
    with pytest.raises(UserError, match=r"PNG, WebP, TIFF or JPEG files; give a name that ends in one of \.png, .*\.$"):
        output_format(name)
