"""The measuring command line as a person or a script uses it: exit codes, what is printed, what is written."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import evaluate
from tests.conftest import PROJECT
from utils.metrics.fidelity import psnr_y
from utils.pictures.degradations import KERNELS
from utils.pictures.resampling import bicubic, bicubic_antialiased
from utils.pictures.tensors import to_tensor


@pytest.fixture
def hr(photo, tmp_path):
    folder = tmp_path / "hr"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(photo).save(folder / "a.png")
    Image.fromarray(photo[:, ::-1]).save(folder / "sub" / "b.png")
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_compare_writes_a_report_and_prints_the_table(hr, tmp_path, capsys):
    before, out = contents(hr), tmp_path / "out"
    assert evaluate.main(["compare", "--hr", str(hr), "--methods", "bicubic", "lanczos", "tiny:dtype=float32", "--out", str(out)]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[0].split() == ["bicubic", "lanczos", "tiny", "dtype=float32"]
    assert output.out.splitlines()[-3:] == [str(out / name) for name in ("results.csv", "results.json", "report.html")]
    assert "2 of 2 pictures measured." in output.err and contents(hr) == before
    document = json.loads((out / "results.json").read_text())
    assert document["methods"]["tiny dtype=float32"]["color_fix"] == "none"
    assert [picture["name"] for picture in document["pictures"]] == ["a.png", "sub/b.png"]
    everything = "".join((out / name).read_text() for name in ("results.csv", "results.json", "report.html"))
    assert str(tmp_path) not in everything and str(PROJECT) not in everything and str(PROJECT) not in output.out
    assert evaluate.main(["compare", "--hr", str(hr), "--methods", "lanczos", "--out", str(out)]) == 0


def test_the_figures_are_those_of_the_protocol(photo, hr, tmp_path):
    """Once more by hand: crop to multiples of 4, antialiased bicubic to 8 bits, plain bicubic back, PSNR on Y without 4 pixels."""
    shutil.rmtree(hr / "sub")
    Image.fromarray(photo[:119, :130]).save(hr / "a.png")
    evaluate.main(["compare", "--hr", str(hr), "--methods", "bicubic", "--out", str(tmp_path / "out")])
    original = to_tensor(photo[:116, :128])
    lq = (bicubic_antialiased(original, (29, 32)).clamp(0, 1) * 255).round() / 255
    value = json.loads((tmp_path / "out" / "results.json").read_text())["pictures"][0]["values"]["bicubic"]["psnr_y"]
    assert value == pytest.approx(psnr_y(bicubic(lq, (116, 128)), original, border=4), abs=1e-4)


def test_degrade_then_compare_and_score(hr, tmp_path, capsys):
    assert evaluate.main(["degrade", str(hr), str(tmp_path / "lr"), "--blur", "1.6", "--noise", "4", "--jpeg", "80", "--seed", "5"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "lr" / "a.png"), str(tmp_path / "lr" / "sub" / "b.png")]
    how = json.loads(Image.open(tmp_path / "lr" / "a.png").text["invsr:degradation"])
    assert how["blur_sigma"] == [1.6, 1.6] and how["noise_sd"] == pytest.approx(4 / 255) and how["jpeg_quality"] == 80 and how["seed"] == 5
    assert evaluate.main(["compare", "--hr", str(hr), "--lr", str(tmp_path / "lr"), "--methods", "bicubic", "--out", str(tmp_path / "out")]) == 0
    with_files = capsys.readouterr().out.splitlines()[1]
    options = ["--blur", "1.6", "--noise", "4", "--jpeg", "80", "--seed", "5"]
    assert evaluate.main(["compare", "--hr", str(hr), *options, "--methods", "bicubic", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[1] == with_files
    assert "sd 4 of 255, seed 5" in (tmp_path / "out" / "report.html").read_text()
    assert evaluate.main(["score", "--hr", str(hr), "--sr", str(hr)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["PSNR-Y,", "dB", "∞"]


def test_another_factor_cuts_another_border(hr, tmp_path, capsys):
    assert evaluate.main(["compare", "--hr", str(hr), "--factor", "2", "--methods", "bicubic", "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "2 pixels at each side are left out" in page and "reduced 2 times" in page


def test_bad_files_are_named_and_the_exit_code_is_3(hr, tmp_path, capsys):
    (hr / "bad.png").write_bytes(b"")
    assert evaluate.main(["degrade", str(hr), str(tmp_path / "lr")]) == 3
    assert "skipped: bad.png: " in capsys.readouterr().err
    assert evaluate.main(["compare", "--hr", str(hr), "--methods", "bicubic", "--out", str(tmp_path / "out")]) == 3
    assert "skipped: bad.png: " in capsys.readouterr().err and "bad.png" in (tmp_path / "out" / "report.html").read_text()
    assert evaluate.main(["score", "--hr", str(hr), "--sr", str(tmp_path / "hr")]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "--hr", "none", "--methods", "bicubic", "--out", "out"], "none is not a folder"),
        (["compare", "--hr", "bare", "--methods", "bicubic", "--out", "out"], "holds no pictures"),
        (["compare", "--hr", "hr", "--methods", "nearest", "--out", "out"], "There is no method nearest"),
        (["compare", "--hr", "hr", "--methods", "tiny:sed=7", "--out", "out"], "did you mean seed"),
        (["compare", "--hr", "hr", "--methods", "bicubic", "--out", "hr/out"], "must not go into the folder"),
        (["compare", "--hr", "hr", "--methods", "bicubic", "--out", "file"], "is a file"),
        (["compare", "--hr", "hr", "--methods", "bicubic", "--out", "taken"], "not made by this program"),
        (["compare", "--hr", "hr", "--lr", "hr", "--noise", "3", "--methods", "bicubic", "--out", "out"], "leave out --noise"),
        (["compare", "--hr", "hr", "--lr", "hr", "--methods", "bicubic", "--out", "out"], "None of the 2 pictures"),
        (["compare", "--hr", "hr", "--methods", "bicubic", "--out", "out", "--border", "60"], "inside a border of 60"),
        (["compare", "--hr", "hr", "--methods", "bicubic", "--out", "out", "--feature-weights", "file"], "SqueezeNet"),
        (["score", "--hr", "hr", "--sr", "bare"], "holds no pictures"),
        (["score", "--hr", "hr", "--sr", "hr", "--out", "hr"], "must not go into the folder"),
        (["degrade", "hr", "hr/lr"], "must not go into the folder"),
        (["degrade", "hr", "."], "name another one"),
        (["degrade", "none", "lr"], "none is not a folder"),
        (["degrade", "hr", "file"], "is a file"),
        (["degrade", "hr", "file/x"], "is a file; name another folder"),
        (["score", "--hr", "hr", "--sr", "hr", "--out", "file/x"], "is a file; name another folder"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(hr, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare").mkdir()
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "results.csv").write_text("somebody's own")
    before = contents(tmp_path)
    assert evaluate.main(arguments) == 2
    output = capsys.readouterr()
    lines = output.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0], output.err
    assert output.out == "" and contents(tmp_path) == before and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["measure"],
        ["compare", "--hr", "hr", "--out", "out"],
        ["degrade", "hr", "lr", "--noise", "-1"],
        ["degrade", "hr", "lr", "--noise", "nan"],
        ["degrade", "hr", "lr", "--jpeg", "99"],
        ["degrade", "hr", "lr", "--factor", "2.5"],
        ["degrade", "hr", "lr", "--kernel", "magic"],
    ],
)
def test_unknown_words_are_wrong_use(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(arguments)
    assert caught.value.code == 2


def test_an_interruption_leaves_no_report(hr, tmp_path, monkeypatch, capsys):
    from utils.evaluation import comparison

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "_measured", interrupt)
    assert evaluate.main(["compare", "--hr", str(hr), "--methods", "bicubic", "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists() and capsys.readouterr().err.strip().endswith("Stopped.")


@pytest.mark.parametrize("command", [[], ["compare"], ["score"], ["degrade"]])
def test_help_is_quick_and_imports_nothing_heavy(command):
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-X", "importtime", "evaluate.py", *command, "--help"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and "Exit codes" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not {"torch", "diffusers", "transformers", "gradio", "cv2", "numpy", "skimage", "jinja2", "PIL"} & imported
    assert time.perf_counter() - start < 10  # a second is asked for; the rest is for a machine that does much else


def test_the_kernels_offered_are_those_there_are():
    assert set(evaluate.KERNELS) == set(KERNELS)


def test_the_page_opens_in_a_browser_without_a_request(hr, tmp_path, page):
    evaluate.main(["compare", "--hr", str(hr), "--methods", "bicubic", "lanczos", "--out", str(tmp_path / "out")])
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto((tmp_path / "out" / "report.html").as_uri())
        brightness = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").split(",")[0]
        assert (int(brightness) > 128) == (scheme == "light")
        assert all(page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)"))
        for width in (1300, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert all(url.startswith(("file:", "data:")) for url in requests) and not complaints
    assert np.count_nonzero([url.startswith("file:") for url in requests]) == 2
