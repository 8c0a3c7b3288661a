"""Several results of one picture beside each other, with their names, as one picture to keep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from utils.planning.geometry import span_around

WIDTH = 512
"""Pixels of a column."""
_GAP = 24
_PAPER, _INK, _FAINT = "white", "#18181b", "#52525b"
_TITLE, _SMALL = 24, 16  # heights of letters
_LEADING = 1.35


@dataclass(frozen=True)
class Column:
    """One result: its name, words on it, and pictures of it, one below the other, reduced where they are wider than WIDTH."""

    title: str
    words: str
    pictures: Sequence[Image.Image]


def contact_sheet(columns: Sequence[Column]) -> Image.Image:
    """RGB, the columns side by side; pictures in the same place of each column begin at the same height."""
    texts = [[*_lines(column.title, _TITLE, _INK), *_lines(column.words, _SMALL, _FAINT)] for column in columns]
    text_height = max(sum(line.height for line in lines) for lines in texts) + _GAP // 2
    pictures = [[fitted(picture) for picture in column.pictures] for column in columns]
    rows = [max(picture.height for picture in row) for row in zip(*pictures, strict=True)]
    sheet = Image.new("RGB", (len(columns) * (WIDTH + _GAP) + _GAP, text_height + sum(rows) + _GAP * (len(rows) + 1)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, lines in enumerate(texts):
        left, top = _GAP + k * (WIDTH + _GAP), _GAP
        for line in lines:
            draw.text((left, top), line.words, font=ImageFont.load_default(line.size), fill=line.colour)
            top += line.height
        below = _GAP + text_height
        for picture, height in zip(pictures[k], rows, strict=True):
            sheet.paste(picture, (left, below))
            below += height + _GAP
    return sheet


def at_place(picture: Image.Image, spot: tuple[float, float]) -> Image.Image:
    """As much of the picture as a column holds in full size, around `spot` (down and right, in [0,1])."""
    (top, bottom), (left, right) = (span_around(part, length, WIDTH) for part, length in zip(spot, (picture.height, picture.width), strict=True))
    return picture.crop((left, top, right, bottom))


@dataclass(frozen=True)
class _Line:
    words: str
    size: int
    colour: str

    @property
    def height(self) -> int:
        return round(_LEADING * self.size)


def _lines(words: str, size: int, colour: str) -> Iterator[_Line]:
    """The words in lines that are no wider than a column."""
    font, line = ImageFont.load_default(size), ""
    for word in words.split():
        longer = f"{line} {word}" if line else word
        if line and font.getlength(longer) > WIDTH:
            yield _Line(line, size, colour)
            longer = word
        line = longer
    yield _Line(line, size, colour)


def fitted(picture: Image.Image) -> Image.Image:
    """The picture as a column shows it, reduced where it is wider than WIDTH."""
    if picture.width <= WIDTH:
        return picture
    return picture.resize((WIDTH, max(round(picture.height * WIDTH / picture.width), 1)), Image.Resampling.LANCZOS)
