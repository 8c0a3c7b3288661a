"""What is in a picture comes into the file, and only into a file that is ours."""

import errno
import io

import numpy as np
import pytest
from PIL import Image

from tests.pictures.picture_files import ENOUGH, SRGB, header_of, noise, round_trip
from utils.jobs.output_folder import is_disk_full
from utils.pictures.picture import Picture, to_array
from utils.pictures.provenance import made_by_us
from utils.pictures.reading import load
from utils.pictures.writing import check_target, save
from utils.planning.errors import UserError


def test_8_bit_pictures_are_written_in_the_fewest_channels(tmp_path):
    pixels = noise(6, 5, 4)
    for channels, colour_type in [(1, 0), (2, 4), (3, 2), (4, 6)]:
        rgb = pixels[..., :1].repeat(3, axis=2) if channels < 3 else pixels[..., :3]
        alpha = pixels[..., 3] if channels in (2, 4) else None
        again = round_trip(tmp_path, Picture(rgb, alpha, grey=channels < 3))
        assert header_of(tmp_path / "result.png") == (8, colour_type)
        np.testing.assert_array_equal(to_array(again), to_array(Picture(rgb, alpha)))


def test_a_grey_picture_is_written_as_the_mean_of_its_channels(tmp_path):
    again = round_trip(tmp_path, Picture(np.array([[[1, 2, 6], [255, 255, 255]]], np.uint8), grey=True))
    assert again.rgb[..., 0].tolist() == [[3, 255]]


def test_a_float_picture_is_written_with_16_bits(tmp_path):
    rgb = np.array([[[0, 0.5, 1], [0.25, 1 / 65535, 1.001]]], np.float32)
    again = round_trip(tmp_path, Picture(rgb, np.array([[0.5, 1]], np.float32)))
    assert again.rgb.tolist() == [[[0, 32768, 65535], [16384, 1, 65535]]] and again.alpha is not None and again.alpha.tolist() == [[32768, 65535]]


def test_values_that_are_not_numbers_are_not_written(tmp_path):
    with pytest.raises(UserError, match="not numbers"):
        save(Picture(np.full((2, 2, 3), np.nan, np.float32)), tmp_path / "result.png", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_metadata_is_text_in_the_file_and_equal_inputs_give_equal_bytes(tmp_path, dtype):
    picture = Picture(noise(20, 30, 3, dtype=dtype), noise(20, 30, dtype=dtype), icc=SRGB)
    save(picture, tmp_path / "a.png", {"settings": '{"prompt": "größer 図"}', "plan": "two\nlines " + "x" * 2**21})
    save(picture, tmp_path / "b.png", {"plan": "two\nlines " + "x" * 2**21, "settings": '{"prompt": "größer 図"}'})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as result:
        assert result.info["invsr:settings"] == '{"prompt": "größer 図"}' and result.info["invsr:plan"].startswith("two\nlines")
        result.load()
    assert made_by_us(tmp_path / "a.png")
    with pytest.raises(ValueError, match="PNG text"):
        save(picture, tmp_path / "c.png", {"x" * 80: ""})
    assert not (tmp_path / "c.png").exists()


def test_only_our_own_files_are_replaced(tmp_path):
    target, picture = tmp_path / "result.png", Picture(noise(4, 4, 3))
    for content in (png_bytes(), b"", b"notes", png_bytes()[:40]):
        target.write_bytes(content)
        assert not made_by_us(target)
        with pytest.raises(UserError, match=r"result\.png was not made by this program"):
            save(picture, target, {})
        with pytest.raises(UserError, match="not replaced"):
            check_target(target)
        assert target.read_bytes() == content and list(tmp_path.iterdir()) == [target]
    target.unlink()
    check_target(target)
    save(picture, target, {})
    check_target(target)
    save(Picture(noise(4, 4, 3, seed=1)), target, {})
    np.testing.assert_array_equal(load(target, ENOUGH, 4).rgb, noise(4, 4, 3, seed=1))
    assert list(tmp_path.iterdir()) == [target]
    assert not made_by_us(tmp_path) and not made_by_us(tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere")
    for name in ("folder.png", "link.png"):
        with pytest.raises(UserError, match="not made by this program"):
            save(picture, tmp_path / name, {})


def png_bytes():
    stream = io.BytesIO()
    Image.fromarray(noise(4, 4, 3)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("where", ["before", "meanwhile"])
def test_a_file_that_appears_while_a_result_is_made_is_spared(tmp_path, monkeypatch, links, where):
    target = tmp_path / "result.png"

    def theirs(*_):
        target.write_text("theirs")

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"result\.png was not made by this program"):
        patch.setattr("utils.pictures.writing.encode" if where == "before" else "os.fsync", lambda *given: theirs() or [])
        if not links:
            patch.setattr("os.link", no_links)
        save(Picture(noise(4, 4, 3)), target, {})
    assert target.read_text() == "theirs" and list(tmp_path.iterdir()) == [target]


def test_a_file_system_without_links_is_as_good(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    for seed in (0, 1):
        save(Picture(noise(4, 4, 3, seed=seed)), tmp_path / "result.png", {})
    assert np.array_equal(load(tmp_path / "result.png", ENOUGH, 4).rgb, noise(4, 4, 3, seed=1)) and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step", [("os.link", "os.replace"), ("os.fsync",)], ids=["naming", "fsync"])
@pytest.mark.parametrize("before", [False, True])
def test_a_failing_write_leaves_nothing_and_spoils_nothing(tmp_path, monkeypatch, step, before):
    target = tmp_path / "result.png"
    if before:
        save(Picture(noise(4, 4, 3)), target, {})
    listing = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        for name in step:
            patch.setattr(name, full)
        with pytest.raises(UserError, match=r"result\.png cannot be written: No space left on device"):
            save(Picture(noise(4, 4, 3, seed=1)), target, {})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == listing

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        for name in step:
            patch.setattr(name, interrupted)
        save(Picture(noise(4, 4, 3, seed=1)), target, {})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == listing


def test_places_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path, words in [
        (tmp_path / "file" / "a.png", "is not a folder"),
        (tmp_path / "missing" / "a.png", "is not a folder"),
        (tmp_path / "a.gif", "PNG"),
        (tmp_path / ("a" * 300 + ".png"), "name"),
    ]:
        with pytest.raises(UserError, match=words):
            save(Picture(noise(2, 2, 3)), path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_get_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    save(Picture(noise(2, 2, 3)), tmp_path / "result.png", {})
    assert (tmp_path / "result.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "tiff", "jpg"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_format_holds_what_it_can_and_says_what_it_cannot(tmp_path, suffix, dtype, channels):
    pixels = noise(19, 23, channels, dtype=np.uint8 if dtype == np.uint8 else np.uint16)
    if dtype == np.float32:
        pixels = (pixels / 65535).astype(np.float32)
    rgb = pixels[..., :1].repeat(3, axis=2) if channels < 3 else pixels[..., :3]
    picture = Picture(rgb, pixels[..., -1] if channels in (2, 4) else None, grey=channels < 3)
    path = tmp_path / f"result.{suffix}"
    if suffix == "jpg" and channels in (2, 4):
        with pytest.raises(UserError, match="JPEG file holds no transparency; choose PNG, WebP or TIFF"):
            save(picture, path, {})
        assert list(tmp_path.iterdir()) == []
        return
    notes, again = save(picture, path, {}), load(path, ENOUGH, 1)
    has_16_bits = suffix not in ("webp", "jpg")
    assert again.rgb.dtype == (np.uint16 if has_16_bits and dtype != np.uint8 else np.uint8)
    assert notes == () if has_16_bits or dtype == np.uint8 else "8 bits" in notes[0]
    assert again.grey == (picture.grey and suffix != "webp")
    difference = to_array(again) / np.iinfo(again.rgb.dtype).max - to_array(picture) / (1 if dtype == np.float32 else np.iinfo(dtype).max)
    assert np.abs(difference).max() <= (0.51 / (65535 if has_16_bits else 255) if dtype != np.uint8 else 1e-9) or suffix == "jpg"
    assert np.abs(difference).mean() < 0.03


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_equal_pictures_give_equal_bytes_in_every_format(tmp_path, suffix):
    picture = Picture(noise(20, 30, 3), icc=SRGB, dpi=(300.0, 300.0))
    for name in ("a", "b"):
        save(picture, tmp_path / f"{name}.{suffix}", {"settings": "{}", "plan": "p"})
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_an_alpha_that_hides_nothing_does_not_forbid_jpeg(tmp_path):
    picture = Picture(noise(4, 4, 3), np.full((4, 4), 255, np.uint8))
    assert save(picture, tmp_path / "result.jpg", {}) == ()


def test_a_picture_too_long_for_a_format_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="A WebP file holds at most 16383 pixels a side; choose PNG or TIFF"):
        save(Picture(np.zeros((2, 16384, 3), np.uint8)), tmp_path / "result.webp", {})


def test_no_room_for_the_temporary_file_of_a_tiff_names_its_folder_and_not_that_of_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.pictures.tiff_encoding._MOST_IN_MEMORY", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"temporary file of a large TIFF cannot be written in .*gone.*TMPDIR") as refusal:
        save(Picture(noise(4, 4, 3)), tmp_path / "result.tif", {})
    assert not is_disk_full(refusal.value) and list(tmp_path.iterdir()) == []


def test_other_files_are_replaced_only_when_asked(tmp_path):
    target = tmp_path / "result.png"
    target.write_bytes(png_bytes())
    with pytest.raises(UserError, match="not made by this program"):
        save(Picture(noise(4, 4, 3)), target, {})
    check_target(target, overwrite=True)
    save(Picture(noise(4, 4, 3)), target, {}, overwrite=True)
    assert made_by_us(target)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="not made by this program"):
        save(Picture(noise(4, 4, 3)), tmp_path / "folder.png", {}, overwrite=True)


def test_colours_and_alpha_must_belong_together(tmp_path):
    with pytest.raises(ValueError, match="beside colours"):
        save(Picture(noise(4, 4, 3), noise(4, 5)), tmp_path / "result.png", {})
    assert list(tmp_path.iterdir()) == []
