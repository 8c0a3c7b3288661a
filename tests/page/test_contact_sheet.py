"""Results beside each other as one picture."""

import numpy as np
from PIL import Image

from utils.page.contact_sheet import WIDTH, Column, at_place, contact_sheet


def plain(size: tuple[int, int], colour: str) -> Image.Image:
    return Image.new("RGB", size, colour)


def where(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_pictures_begin_at_the_same_height_however_long_the_words_are():
    long = Column("One", "many words " * 60, [plain((300, 200), "red")])
    sheet = contact_sheet([long, Column("Two", "", [plain((300, 200), "lime")])])
    left, right = where(sheet, (255, 0, 0)), where(sheet, (0, 255, 0))
    assert (left[1], left[3]) == (right[1], right[3])
    assert left[2] - left[0] == right[2] - right[0] == 300 and right[0] > left[0] + WIDTH
    text = np.asarray(sheet)[: left[1], : left[0] + WIDTH].min(axis=2) < 128
    assert text.any() and not (np.asarray(sheet)[: left[1], left[0] + WIDTH + 1 : right[0]] < 200).any()  # no line leaves its column


def test_a_wide_picture_is_reduced_to_the_column_and_a_second_one_stands_below():
    sheet = contact_sheet([Column("One", "", [plain((2 * WIDTH, 100), "red"), plain((WIDTH, WIDTH), "blue")])])
    first, second = where(sheet, (255, 0, 0)), where(sheet, (0, 0, 255))
    assert (first[2] - first[0], first[3] - first[1]) == (WIDTH, 50)
    assert second[0] == first[0] and second[1] > first[3] and second[3] <= sheet.height


def test_the_place_is_cut_out_in_full_size_and_stays_inside():
    columns = np.arange(1200, dtype=np.float32)
    picture = Image.fromarray(np.tile(columns, (100, 1)))
    for right, start in ((0.5, 344), (0.0, 0), (1.0, 688)):
        part = np.asarray(at_place(picture, (0.5, right)))
        assert part.shape == (100, WIDTH) and part[0, 0] == start
