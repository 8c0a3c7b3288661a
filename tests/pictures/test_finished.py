"""Pictures too large to be held at once: the stages over stretches of rows, read from memory or from a file, give what they give of the whole."""

import errno
import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixed_settings import fixed_settings
from utils.pictures.bands import stretches
from utils.pictures.rows import RowsInMemory, RowsOnDisk, new_rows
from utils.pictures.stages import StageContext, finished, run_stages
from utils.planning.errors import UserError
from utils.planning.model_spec import ModelSpec
from utils.planning.plan import make_plan
from utils.planning.settings import COLOR_FIXES, FUSION_CANDIDATES, FUSION_METHODS, HYBRID_MODES

SPEC = ModelSpec(name="test", scale=4, latent_factor=8, latent_channels=4, lq_multiple=16, timesteps=(1, 1000), has_text=True)
CPU = torch.device("cpu")


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def result_of(lq, seed):
    """What networks could have made of an input, in wrong colours."""
    size = 4 * lq.shape[-2], 4 * lq.shape[-1]
    up = torch.nn.functional.interpolate(lq, size=size, mode="bicubic") * 0.8 + torch.tensor([0.06, 0.1, 0.14]).view(3, 1, 1)
    return (up + 0.3 * (noise(*up.shape, seed=seed) - 0.5)).clamp(0, 1)


def on_disk(picture):
    rows = RowsOnDisk(tuple(picture.shape), CPU)
    for top in range(0, picture.shape[-2], 5):
        rows.write(top, picture[..., top : top + 5, :])
    return rows


def banded(canvas, candidate, lq, plan, rows):
    """In stretches of so many rows of the input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.pictures.bands.STRETCH", canvas.shape[0] * rows * 4 * canvas.shape[-1])
        bands = list(finished(on_disk(canvas), [RowsInMemory(candidate)], lq, plan))
    assert [top for top, _ in bands] == [sum(band.shape[-2] for _, band in bands[:k]) for k in range(len(bands))]
    assert len(bands) >= min(lq.shape[-2] // rows, 2)
    return torch.cat([band for _, band in bands], 2)


def chosen(**changes):
    return {"color_fix": "none", "fusion": "none", "consistency": 0.0, "restraint": 0.0, "fidelity": 0.0, "enhancement": 0.0} | changes


STRENGTHS = st.sampled_from([0.0, 0.4, 1.0])
CHOICES = st.builds(
    chosen,
    color_fix=st.sampled_from(COLOR_FIXES),
    hybrid_mode=st.sampled_from(HYBRID_MODES),
    fusion=st.sampled_from(["none", *FUSION_METHODS]),
    fusion_candidates=st.sampled_from(FUSION_CANDIDATES),
    consistency=STRENGTHS,
    restraint=STRENGTHS,
    consistency_tolerance=st.sampled_from([None, 5.0, 30.0]),
    fidelity=STRENGTHS,
    enhancement=STRENGTHS,
)


def check(changes, h, rows, batch=1):
    lq = torch.nn.functional.interpolate(noise(batch, 3, 7, 5), size=(h, 12), mode="bicubic").clamp(0, 1)
    canvas, candidate = result_of(lq, 1), result_of(lq, 2)
    plan = replace(make_plan((h, 12), fixed_settings(), SPEC), **changes)
    whole = run_stages(canvas, StageContext(lq, plan, (candidate,)))
    torch.testing.assert_close(banded(canvas, candidate, lq, plan, rows), whole, atol=2e-6, rtol=0)


@given(changes=CHOICES, h=st.integers(1, 70), rows=st.integers(1, 9), batch=st.integers(1, 2))
@settings(max_examples=40)
def test_stretches_of_a_few_rows_do_not_show(changes, h, rows, batch):
    check(changes, h, rows, batch)


SINGLE = [
    *({"color_fix": name, "hybrid_mode": mode} for name in COLOR_FIXES for mode in (HYBRID_MODES if name == "hybrid" else ["adaptive"])),
    *({"fusion": method, "fusion_candidates": kind, "color_fix": "wavelet"} for method in FUSION_METHODS for kind in FUSION_CANDIDATES),
    *({name: 1.0} for name in ("consistency", "restraint", "fidelity", "enhancement")),
    {"consistency": 1.0, "consistency_tolerance": 20.0},
]


@pytest.mark.parametrize("changes", SINGLE, ids=["-".join(map(str, changes.values())) for changes in SINGLE])
def test_every_stage_by_itself_sees_enough_around_a_stretch(changes):
    """In a picture that is higher than what any of them looks at."""
    check(chosen(**changes), 70, 4)


def test_stretches_cover_a_result_once():
    for h in (1, 7, 1000):
        found = list(stretches((1, 3, 4 * h, 30_000), h, 10))
        assert [row for stretch in found for row in range(stretch.top, stretch.bottom)] == list(range(h))
        assert all((one.first, one.last) == (max(one.top - 3, 0), min(one.bottom + 3, h)) for one in found)
    assert len(found) == 15, "of the size that they should be"


def test_what_fits_is_one_stretch():
    (only,) = stretches((1, 3, 2048, 4096), 512, 40)
    assert (only.first, only.top, only.bottom, only.last) == (0, 0, 512, 512)


# ---- files for what does not fit ----


def test_rows_on_disk_are_those_in_memory():
    picture = noise(2, 3, 23, 17)
    memory, disk = new_rows((2, 3, 23, 17), CPU, on_disk=False), new_rows((2, 3, 23, 17), CPU, on_disk=True)
    for top, bottom in ((20, 23), (0, 9), (9, 20)):
        for rows in (memory, disk):
            rows.write(top, picture[..., top:bottom, :].transpose(2, 3).contiguous().transpose(2, 3))
    assert isinstance(disk, RowsOnDisk)
    for rows in (memory, disk):
        assert torch.equal(rows.read(0, 23), picture) and torch.equal(rows.read(8, 11), picture[..., 8:11, :])


@pytest.mark.skipif(os.name != "posix", reason="other systems delete the file when it is closed")
def test_a_file_for_rows_has_no_name_that_could_stay_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = new_rows((1, 3, 8, 8), CPU, on_disk=True)
    rows.write(0, noise(1, 3, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_no_folder_for_temporary_files_is_said_in_a_sentence(monkeypatch):
    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._get_default_tempdir", none)
    with pytest.raises(UserError, match=r"cannot be written \(No usable temporary directory.*TMPDIR"):
        new_rows((1, 3, 8, 8), CPU, on_disk=True)


def test_no_room_is_said_in_a_sentence_before_the_first_row(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(UserError, match=r"temporary file of [\d.]+ GB cannot be written in .*TMPDIR"):
        new_rows((1, 3, 1 << 22, 1 << 24), CPU, on_disk=True)
