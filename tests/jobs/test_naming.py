"""What results are called."""

import os
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.jobs.naming import LONGEST_NAME, folded, name_outputs

stems = st.sampled_from(["a", "A", "b", "a.png", "a.png.2", "ä", "a\u0308", "a b", "x" * 248, "é" * 124])
names = st.lists(
    st.builds(
        "{}{}.{}".format, st.sampled_from(["", "", "s/", "S/", "a.png/"]), stems, st.sampled_from(["png", "PNG", "jpg", "JPG", "webp", "2.png"])
    ).map(PurePosixPath),
    unique=True,
)


@given(names)
def test_every_picture_has_an_output_of_its_own_on_any_file_system(files):
    outputs = name_outputs(files)
    places = {folded(output) for output in outputs.values()}
    assert len(places) == len(files) and set(outputs) == set(files)
    for name, output in outputs.items():
        assert output.parent == name.parent and output.suffix == ".png" and len(os.fsencode(output.name)) <= LONGEST_NAME
        assert not places & {folded(parent) for parent in output.parents}, "a result where a folder must be"


@given(names)
def test_names_do_not_depend_on_order(files):
    assert name_outputs(files) == name_outputs(files[::-1])


@pytest.mark.parametrize(
    ("files", "outputs"),
    [
        (["a.jpg", "b.tif"], ["a.png", "b.png"]),
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png.png"]),
        (["a.PNG", "a.png"], ["a.PNG.png", "a.png.2.png"]),
        (["s/a.jpg", "t/a.png", "a.png"], ["s/a.png", "t/a.png", "a.png"]),
        (["a.jpg", "a.png", "a.png.webp"], ["a.jpg.png", "a.png.2.png", "a.png.png"]),
        ([f"{'x' * 250}.jpg"], [f"{'x' * 250}.png"]),
        ([f"{'x' * 251}.jp2", "no suffix"], [f"{'x' * 251}.png", "no suffix.png"]),
    ],
)
def test_plain_names_where_nothing_collides(files, outputs):
    named = name_outputs(map(PurePosixPath, files), ".png")
    assert [str(named[PurePosixPath(file)]) for file in files] == outputs


def test_results_of_another_format():
    assert name_outputs([PurePosixPath("s/a.png")], ".webp") == {PurePosixPath("s/a.png"): PurePosixPath("s/a.webp")}
