from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.jobs.folder import FileResult, find_inputs, find_pictures, name_outputs, run_files
from utils.planning.errors import UserError

names = st.lists(
    st.builds("{}.{}".format, st.sampled_from(["a", "A", "b", "a.png", "ä", "a b"]), st.sampled_from(["png", "jpg", "JPG", "webp"])), unique=True
)


@given(names)
def test_every_picture_has_an_output_of_its_own_on_any_file_system(files):
    outputs = name_outputs([Path("in") / name for name in sorted(files)], Path("out"))
    assert len({str(path).casefold() for path in outputs.values()}) == len(files)
    assert all(path.parent == Path("out") and path.suffix == ".png" for path in outputs.values())


def test_plain_names_where_nothing_collides():
    outputs = name_outputs([Path("x/a.jpg"), Path("x/b.tif")], Path("out"))
    assert [str(path) for path in outputs.values()] == ["out/a.png", "out/b.png"]


def test_pictures_are_found_by_suffix_in_any_case_and_in_order(tmp_path):
    for name in ("c.PNG", "a.jpeg", "b.TIFF", "notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_pictures(tmp_path)] == ["a.jpeg", "b.TIFF", "c.PNG"]


def test_results_do_not_go_among_the_pictures(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match="another folder"):
        find_inputs(tmp_path, tmp_path / ".")


@pytest.mark.parametrize("at_once", [1, 3])
def test_rows_are_in_order_and_a_failure_stays_alone(at_once):
    def work(path: Path, stop: Event) -> FileResult:
        if path.name == "2":
            raise UserError("two is bad.")
        return FileResult(path, path / "done")

    rows = run_files([Path(str(k)) for k in range(5)], work, at_once)
    assert [row.input.name for row in rows] == list("01234")
    assert [row.message for row in rows if row.output is None] == ["two is bad."]


def test_another_error_stops_the_others(tmp_path):
    started = []

    def work(path: Path, stop: Event) -> FileResult:
        started.append(path.name)
        if path.name == "0":
            raise RuntimeError("broken")
        assert stop.wait(timeout=10), "the stop was not heard"
        return FileResult(path, path)

    with pytest.raises(RuntimeError, match="broken"):
        run_files([Path(str(k)) for k in range(50)], work, at_once=2)
    assert len(started) < 50
