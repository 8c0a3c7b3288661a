"""Results as one file."""

import os
import zipfile

from utils.page.archive import pack


def test_a_name_that_is_no_unicode_costs_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    pack({"caf\udce9.png": tmp_path / "a.png"}, tmp_path / "1.zip")
    with zipfile.ZipFile(tmp_path / "1.zip") as packed:
        assert packed.namelist() == [r"caf\udce9.png"]


def test_an_archive_holds_the_tree_and_depends_on_nothing_else(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a" * 3_000_000)
    (tmp_path / "b.png").write_bytes(b"b")
    members = {"sub/Ü.png": tmp_path / "b.png", "a.png": tmp_path / "a.png"}
    pack(members, tmp_path / "1.zip")
    os.utime(tmp_path / "a.png", (0, 1e9))
    pack(dict(reversed(members.items())), tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["a.png", "sub/Ü.png"]
        assert {member.compress_type for member in packed.infolist()} == {zipfile.ZIP_STORED}
        assert packed.read("a.png") == b"a" * 3_000_000
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "1.zip", "2.zip"}
