"""A result says what it was made by, and nothing else is taken for a result."""

import json
import struct
import tomllib
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PROJECT
from tests.pictures.picture_files import noise, raw_png
from utils.pictures import png_chunks
from utils.pictures.picture import Picture
from utils.pictures.provenance import made_by_us, read_settings, read_texts
from utils.pictures.writing import save

SETTINGS = {"seed": 7, "cfg_scale": 1.0, "timesteps": [200, 100], "prompt": "größer 図", "smart_chopping": True, "negative_prompt": None}
KINDS = ("png", "webp", "tif", "jpg")


def result(tmp_path, kind, settings, **texts):
    path = tmp_path / f"result.{kind}"
    path.unlink(missing_ok=True)
    save(Picture(noise(4, 4, 3)), path, {"settings": settings, **texts})
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_come_back_from_every_format(tmp_path, kind):
    path = result(tmp_path, kind, json.dumps(SETTINGS), plan="two\nlines")
    assert read_settings(path) == SETTINGS and made_by_us(path)
    assert read_texts(path) == {"settings": json.dumps(SETTINGS), "plan": "two\nlines"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings",
    ["", "{", "[1]", "null", '"text"', "{" * 100_000, "[" * 100_000, '{"a": ' * 5000, '{"seed": NaN}', '{"seed": 1' + "0" * 5000 + "}",
     '{"a": {"b": 1}}', '{"a": [[1]]}', '{"a": "' + "x" * 300_000 + '"}'],
)  # fmt: skip
def test_settings_that_somebody_made_up_are_none(tmp_path, kind, settings):
    assert read_settings(result(tmp_path, kind, settings)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_version_of_the_program_is_in_every_format(tmp_path, kind):
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert f"made by InvSamplerSR {version}".encode() in result(tmp_path, kind, "{}").read_bytes()


def test_what_a_result_says_of_itself_holds_all_that_reproduces_it_and_nothing_of_time_place_or_machine(embedded_sampler, tmp_path):
    Image.fromarray(noise(20, 20, 3)).save(tmp_path / "in.png")
    texts = []
    for name in ("a", "b"):
        (row,) = embedded_sampler.with_settings(pch_size=32, seed=7).inference(tmp_path / "in.png", tmp_path / name)
        texts.append(read_texts(row.output))
        assert str(tmp_path).encode() not in row.output.read_bytes()
    assert (tmp_path / "a" / "in.png").read_bytes() == (tmp_path / "b" / "in.png").read_bytes()
    settings, plan = json.loads(texts[0]["settings"]), json.loads(texts[0]["plan"])
    assert set(texts[0]) == {"settings", "plan"} and settings["seed"] == 7 and settings["dtype"] == "float32"
    assert plan["output_size"] == [80, 80] and plan["model"] == embedded_sampler.spec.name
    assert not {"device", "pretrained_model_name_or_path"} & set(settings) and "/" not in plan["model"]


def test_other_files_have_no_settings(tmp_path):
    assert read_settings(tmp_path / "missing.png") is None and read_settings(tmp_path) is None
    for kind in KINDS:
        path = tmp_path / f"other.{kind}"
        Image.fromarray(noise(4, 4, 3)).save(path)
        assert read_texts(path) is None and read_settings(path) is None and not made_by_us(path)
        path.write_bytes(path.read_bytes()[:60])
        assert read_texts(path) is None
    exif = Image.Exif()
    for comment in (b"ASCII\0\0\0a walk", b"ASCII\0\0\0{}", b"ASCII\0\0\0" + b"[" * 50_000, b"UNICODE\0a", b'ASCII\0\0\0{"invsr": 3}'):
        exif[0x8769] = {0x9286: comment}
        Image.fromarray(noise(4, 4, 3)).save(tmp_path / "commented.jpg", exif=exif)
        assert read_texts(tmp_path / "commented.jpg") is None


def test_texts_that_are_compressed_or_damaged_are_not_believed(tmp_path):
    bomb = b"invsr\0\1\0\0\0" + zlib.compress(bytes(2**27))
    texts = [png_chunks.chunk(b"iTXt", bomb), png_chunks.chunk(b"zTXt", b"invsr\0\0" + zlib.compress(bytes(2**20)))]
    assert read_texts(raw_png(tmp_path / "bomb.png", (1, 1), 8, 0, [b"\1"], *texts)) is None
    good = png_chunks.text_chunk("invsr", "made")
    assert read_texts(raw_png(tmp_path / "good.png", (1, 1), 8, 0, [b"\1"], good)) == {}
    assert read_texts(raw_png(tmp_path / "bad.png", (1, 1), 8, 0, [b"\1"], good[:-1] + b"!")) is None
    huge = struct.pack(">I", 2**31 - 1) + b"iTXt" + b"invsr\0\0\0\0\0made"
    assert read_texts(raw_png(tmp_path / "huge.png", (1, 1), 8, 0, [b"\1"], huge)) is None
    assert read_texts(raw_png(tmp_path / "many.png", (1, 1), 8, 0, [b"\1"], *[png_chunks.chunk(b"tEXt", b"a\0b")] * 20_000, good)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_without_metadata_says_nothing(tmp_path, kind):
    path = tmp_path / f"silent.{kind}"
    save(Picture(noise(4, 4, 3)), path, {"settings": "{}"}, keep_metadata=False)
    assert read_texts(path) is None and b"invsr" not in path.read_bytes().lower()


def test_what_a_jpeg_has_no_room_for_is_left_out_and_said(tmp_path):
    path, picture = tmp_path / "result.jpg", Picture(noise(4, 4, 3))
    notes = save(picture, path, {"settings": json.dumps(SETTINGS), "plan": "x" * 70_000})
    assert notes == ("The text 'plan' is too long for a JPEG file and was left out.",)
    assert read_settings(path) == SETTINGS
    assert np.asarray(Image.open(path)).shape == (4, 4, 3)
