"""Settings kept as a file and brought back."""

import json

import numpy as np
import pytest

from utils.page.settings_file import restored, written
from utils.pictures.picture import Picture
from utils.pictures.writing import save
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.errors import UserError

OWN = {
    "seed": 7,
    "timesteps": [200, 100],
    "consistency": "auto",
    "pch_size": 64,
    "negative_prompt": None,
    "smart_chopping": True,
    "sf": 2.5,
    "longest_side": 900,
}


def test_what_is_written_is_read_as_the_same_settings(tmp_path):
    settings = make_settings(OWN)
    path = tmp_path / "settings.yaml"
    path.write_text(written(settings), encoding="utf-8")
    assert restored(path, make_settings()) == (settings, [])
    assert make_settings(path) == settings  # as --config takes it


def test_a_file_says_nothing_of_the_model_or_the_machine():
    text = written(make_settings({"pretrained_model_name_or_path": "/srv/secret", "device": "cpu", "ckpt_path": "/srv/secret"}))
    assert "/srv" not in text and "device" not in text


@pytest.mark.parametrize("name", ["result.png", "result.webp", "result.tif", "result.jpg"])
def test_a_result_brings_back_its_settings(name, tmp_path):
    settings = make_settings(OWN)
    metadata = {"settings": json.dumps({**settings.reproducible(), "dtype": "bfloat16"}), "plan": "{}"}
    save(Picture(np.zeros((8, 8, 3), np.uint8)), tmp_path / name, metadata)
    assert restored(tmp_path / name, make_settings())[0] == settings


def test_what_is_decided_where_the_page_is_started_stays(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("pretrained_model_name_or_path: /etc\nextra_bs: 1000\nmax_output_megapixels: 1000\ndevice: mps\ncolor_fix: ycbcr\n")
    page = make_settings({"extra_bs": 2})
    settings, notes = restored(path, page)
    assert settings == with_overrides(page, {"color_fix": "ycbcr"})
    assert notes == [
        "Tiles at a time stays as it is on this page; the file has another.",
        "The model stays as it is on this page; the file has another.",
    ]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no settings"),
        (b"\xff\xfe\x00binary", "holds no settings"),
        (b"just words", "holds no settings"),
        (b"- a\n- list", "holds no settings"),
        (b"seed: [", "holds no settings"),
        (b"!!python/object/apply:os.system [echo]", "holds no settings"),
        (BOMB.encode(), "holds no settings"),
        (b"[" * 30_000, "holds no settings"),
        (b"seed: 1\n" + b"#" * 70_000, "holds no settings"),
        (b"prompt: ${oc.env:HOME}", "must not be"),
        (b"sed: 3", "did you mean seed"),
        (b"seed: many", "seed must be a whole number"),
        (b"fidelity: 3", "fidelity must be from 0"),
        (b"seed: 9007199254740993", "too large for this page"),
    ],
)
def test_hostile_or_wrong_content_is_refused_in_a_sentence(content, words, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        restored(path, make_settings())
    assert str(tmp_path) not in str(raised.value)


def test_a_picture_without_settings_is_refused(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    with pytest.raises(UserError, match=r"photo\.png holds no settings"):
        restored(tmp_path / "photo.png", make_settings())
