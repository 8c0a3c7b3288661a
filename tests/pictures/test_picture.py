"""Arrays become pictures, and pictures arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.pictures.picture_files import noise
from utils.pictures.picture import from_array, to_array
from utils.pictures.reading import from_pil
from utils.planning.errors import UserError


@given(
    h=st.integers(1, 5), w=st.integers(1, 5), channels=st.sampled_from([None, 1, 3, 4]), dtype=st.sampled_from(["u1", "<u2", ">u2", "f2", "f4", "f8"])
)
def test_arrays_come_back_in_their_depth(h, w, channels, dtype):
    shape = (h, w) if channels is None else (h, w, channels)
    array = (
        np.random.default_rng(0).random(shape).astype(dtype) if "f" in dtype else noise(*shape, dtype=np.dtype(dtype).newbyteorder("=")).astype(dtype)
    )
    picture = from_array(array)
    assert picture.rgb.shape == (h, w, 3) and picture.rgb.dtype == {"u1": np.uint8, "u2": np.uint16}.get(dtype[-2:], np.float32)
    assert picture.grey == (channels in (None, 1)) and (picture.alpha is not None) == (channels == 4)
    back = to_array(picture)
    np.testing.assert_array_equal(back[..., 0] if channels is None else back[..., :channels], array.astype(back.dtype))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.int32),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4, 3), complex),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.full((4, 4, 3), np.nan),
        np.full((4, 4, 3), np.inf),
        np.full((4, 4, 3), 1.01),
        np.full((4, 4, 3), -0.01),
        np.array("text"),
        np.array([[None]]),
    ],
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(UserError, match=r"^(An|The) array.*(give|replace|scale)"):
        from_array(array)


def test_what_is_no_array_either_is_called_by_its_type():
    with pytest.raises(UserError, match=r"^NoneType is not the type of a picture; give a path"):
        from_array(None)


def test_a_pil_image_is_turned_upright_and_left_as_it_was():
    image = Image.fromarray(noise(5, 7, 3))
    image.getexif()[0x0112] = 6
    np.testing.assert_array_equal(from_pil(image).rgb, np.rot90(noise(5, 7, 3), -1))
    assert image.getexif()[0x0112] == 6 and image.size == (7, 5)
