"""The command line as a person or a script uses it: exit codes, what is printed, what is written."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampler_invsr import DEFAULT_CONFIG, InvSamplerSR
from tests.conftest import PIPELINE_TINY, PROJECT
from utils import VERSION
from utils.jobs import command_line
from utils.jobs.report import Row
from utils.pictures.picture import Picture
from utils.pictures.provenance import SETTINGS
from utils.pictures.writing import save

MODEL = [
    f"sd_pipe.params.pretrained_model_name_or_path={PIPELINE_TINY}",
    "pch_size=64",
    "dtype=float32",
    "device=cpu",
    "color_fix=none",
    "consistency=0",
]


def main(arguments):
    return command_line.main(InvSamplerSR, DEFAULT_CONFIG, arguments)


def picture(path, size=(20, 30), seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return path


def test_one_picture(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), *MODEL]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "a.png")
    assert Image.open(tmp_path / "out" / "a.png").size == (120, 80)


def test_a_folder_that_is_called_like_a_picture_is_said_to_be_one_where_it_is_new(tmp_path, capsys):
    source, out = picture(tmp_path / "a.png"), tmp_path / "out.jpg"
    assert main(["-i", str(source), "-o", str(out), *MODEL]) == 0 and (out / "a.png").exists()
    assert "out.jpg is the name of a folder" in capsys.readouterr().err
    assert main(["-i", str(source), "-o", str(out), *MODEL]) == 0
    assert "is the name of a folder" not in capsys.readouterr().err


def test_what_is_left_alone_is_told_from_what_is_made_also_through_a_pipe(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    words = ["-i", str(source), "-o", str(tmp_path / "out"), *MODEL]
    for settings, said in (([], ""), ([], "note: a.png: Already done, unchanged.\n"), (["seed=7"], "")):
        assert main([*words, *settings]) == 0
        output = capsys.readouterr()
        assert (output.out.strip(), output.err) == (str(tmp_path / "out" / "a.png"), said)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_person_is_told_that_the_model_is_being_loaded(tmp_path, capsys, monkeypatch, is_terminal):
    source = picture(tmp_path / "a.png")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), *MODEL]) == 0
    assert ("Loading the model" in capsys.readouterr().err) == is_terminal


def test_what_is_to_be_known_of_a_result_is_said(tmp_path, capsys):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert main(["-i", str(tmp_path / "moving.gif"), "-o", str(tmp_path / "out"), *MODEL]) == 0
    assert "note: moving.gif: The file has several frames; the first was used." in capsys.readouterr().err


def test_settings_reach_the_result_as_in_python(tmp_path, sampler):
    source = picture(tmp_path / "a.png", (70, 66))
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), *MODEL, "timesteps=[200,100]", "seed=7", "cfg_scale=2"]) == 0
    expected = sampler.upscale(source, timesteps=[200, 100], seed=7, cfg_scale=2).picture
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)


@pytest.mark.parametrize(("word", "size"), [("sf=2", (60, 40)), ("sf=8", (240, 160)), ("longest_side=100", (100, 67))])
def test_the_size_asked_for(tmp_path, word, size):
    source = picture(tmp_path / "a.png")
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), *MODEL, word]) == 0
    assert Image.open(tmp_path / "out" / "a.png").size == size


def test_a_size_beyond_the_limit_writes_nothing(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), *MODEL, "longest_side=20000", "max_output_megapixels=64"]) == 2
    assert "The result would be 20000 x 13333 pixels (266.7 megapixels, about 3.4 GB of memory), above the limit of 64" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_a_bad_file(tmp_path, capsys):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    assert main(["-i", str(tmp_path), "-o", str(tmp_path / "out"), "--bs", "2", *MODEL]) == 3
    error = capsys.readouterr().err
    assert "failed: " in error and "b.png" in error and "1 of 2 pictures" in error
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "manifest.jsonl", "report.csv", "report.json"]


def test_a_tree_of_folders_in_another_format_and_again(tmp_path, capsys):
    for name in ("a.png", "sub/a.png", "sub/a.bmp"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(tmp_path / "in" / name, (16, 18))
    words = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--recursive", "--format", "webp", "--no-metadata", *MODEL]
    assert main(["--dry-run", *words]) == 0
    told = capsys.readouterr().out
    assert "3 of 3 files to upscale: 3 tiles" in told and "known when a first picture is done" in told and "replacing" not in told
    assert not (tmp_path / "out").exists()
    for written in ("3 of 3 pictures written,", "0 of 3 pictures written, 3 done before and unchanged,"):
        assert main(words) == 0
        output = capsys.readouterr()
        expected = [str(tmp_path / "out" / name) for name in ("a.webp", "sub/a.bmp.webp", "sub/a.png.webp")]
        assert output.out.splitlines() == expected and written in output.err
    assert Image.open(tmp_path / "out" / "sub" / "a.bmp.webp").format == "WEBP"
    assert main(["--dry-run", *words[:-1], "color_fix=wavelet"]) == 0
    told = capsys.readouterr().out
    assert "3 of 3 files to upscale" in told and told.count(", replacing the file that is there\n") == 3


def test_parts_of_a_folder(tmp_path, capsys):
    for name in "abc":
        picture(tmp_path / f"{name}.png", (16, 18))
    for part, names in (("1/2", "ac"), ("2/2", "b")):
        assert main(["-i", str(tmp_path), "-o", str(tmp_path / "out"), "--shard", part, *MODEL]) == 0
        assert capsys.readouterr().out.split() == [str(tmp_path / "out" / f"{name}.png") for name in names]


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    for name in "abc":
        picture(tmp_path / f"{name}.png", (16, 18))
    words = ["-i", str(tmp_path), "-o", str(tmp_path / "out"), *MODEL]
    show = command_line._Progress.on_row

    def interrupt(progress, row):
        show(progress, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command_line._Progress, "on_row", interrupt)
        assert main(words) == 130
    assert "The same command again goes on" in capsys.readouterr().err and (tmp_path / "out" / "a.png").exists()
    assert not list((tmp_path / "out").glob(".*"))
    assert main(words) == 0 and len(capsys.readouterr().out.split()) == 3


@pytest.fixture
def hears_ctrl_c():
    """Programs in the background of a shell begin deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_is_summed_up_and_said_once(tmp_path, capsys, monkeypatch):
    for k in range(6):
        picture(tmp_path / f"{k}.png", (60, 70))
    monkeypatch.setattr(command_line._Progress, "on_row", lambda progress, row: signal.raise_signal(signal.SIGINT))
    assert main(["-i", str(tmp_path), "-o", str(tmp_path / "out"), *MODEL]) == 130
    summary, last = capsys.readouterr().err.splitlines()
    written = len(list((tmp_path / "out").glob("*.png")))
    assert summary.startswith(f"{written} of 6 pictures written, {6 - written} not reached, ") and "Results and report: " in summary
    assert last.startswith("Stopped; finished pictures are kept.")


INTERRUPTED_WHILE_IMPORTING = """
import signal, sys
from sampler_invsr import DEFAULT_CONFIG, InvSamplerSR
from utils.jobs.command_line import main
class Interrupting:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGINT)
class Finder:
    def find_spec(self, name, *arguments):
        if name == "transformers.modeling_utils":
            type("Interrupted", (), {"field": Interrupting()})
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
raise SystemExit(main(InvSamplerSR, DEFAULT_CONFIG, sys.argv[1:]))
"""


def test_ctrl_c_while_the_libraries_are_loaded_is_no_fault_of_theirs(tmp_path):
    words = ["-i", str(picture(tmp_path / "a.png")), "-o", str(tmp_path / "out"), *MODEL]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING, *words], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr.startswith("Stopped; ") and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "-i and"),
        (["-i", "a.png"], "-i and"),
        (["-i", "missing.png", "-o", "out"], "missing.png does not exist"),
        (["-i", "a.png", "-o", "out", "sed=7"], "did you mean seed"),
        (["-i", "a.png", "-o", "out", "timesteps=[0]"], "0 is not"),
        (["-i", "a.png", "-o", "out", "timesteps=[200,200]"], "must fall"),
        (["-i", "a.png", "-o", "out", "pch_size=70"], "multiple of 16"),
        (["-i", "a.png", "-o", "out", "--config", "none.yaml"], "none.yaml does not exist"),
        (["-i", "a.png", "-o", "out", "--config", "a.png"], "a.png is neither text in UTF-8 nor a result with its settings"),
        (["-i", "a.png", "-o", "out", "--config", "utf16.yaml"], "utf16.yaml is neither text in UTF-8"),
        (["-i", "a.png", "-o", "out", "--config", "foreign.png"], "must not be '???' or contain '${'"),
        (["-i", "a.png", "-o", "out", "--bs", "0"], "bs must be at least 1"),
        (["-i", "a.png", "-o", "out", "dtype=float16"], "float16"),
        (["-i", "a.png", "-o", "out", "max_output_megapixels=0.001"], "above the limit|megapixels"),
        (["-i", "empty.png", "-o", "out"], "empty.png"),
        (["-i", "text.png", "-o", "out"], "text.png"),
        (["-i", "cut.png", "-o", "out"], "cut.png"),
        (["-i", "bare", "-o", "out"], "holds no pictures"),
        (["-i", "a.png", "-o", "text.png"], "is a file"),
        (["-i", "x" * 300, "-o", "out"], "cannot be looked at"),
        (["-i", ".", "-o", "out", "pch_size=70"], "multiple of 16"),
        (["-i", "a.png", "-o", "."], "would take its place"),
        (["-i", "a\0b", "-o", "out"], "NUL"),
        (["-i", "a.png", "-o", "out", "--shard", "3/2"], "no part 3 of 2"),
        (["-i", "a.png", "-o", "out", "--shard", "half"], "--shard 2/3"),
        (["-i", "a.png", "-o", "out", "--shard", "2/2"], "A single picture has no parts"),
        (["-i", "a.png", "-o", "out", "a very long prompt " * 30], "is not a setting"),
        (["-i", "a.png", "text.png", "-o", "out"], "'text.png' is not a setting; -i takes one picture or a folder"),
        (["-i", "a.png", "-o", "out", "--format", "gif"], "no output format gif"),
        (["-i", "a.png", "-o", "out", "bs=2"], "bs is not a setting but an option: write --bs 2"),
        (["-i", "a.png", "-o", "out", "no_metadata=true"], "write --no-metadata"),
        (["-i", "a.png", "-o", "text.png/out"], "text.png is a file; name another folder for the results"),
        (["-i", ".", "-o", "new/.."], "must not go into the folder of the pictures"),
        (["-i", "empty.png", "-o", "out", "--dry-run"], "empty.png"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "utf16.yaml").write_text("seed: 7", encoding="utf-16")
    save(Picture(np.zeros((2, 2, 3), np.uint8)), tmp_path / "foreign.png", {SETTINGS: '{"prompt": "${oc.env:HOME}"}'})
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    (tmp_path / "bare").mkdir()
    before = sorted(tmp_path.rglob("*"))
    given = [word.split("=")[0] for word in arguments]
    assert main([*arguments, *(word for word in MODEL if word.split("=")[0] not in given)]) == 2
    output = capsys.readouterr()
    lines = output.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and any(part in lines[0] for part in words.split("|")), output.err
    assert output.out == "" and sorted(tmp_path.rglob("*")) == before


def test_a_setting_that_is_written_like_an_option_is_understood(capsys):
    with pytest.raises(SystemExit):
        main(["-i", "a.png", "-o", "out", "--color-fix", "wavelet"])
    assert "color_fix is a setting: write color_fix=VALUE" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"InvSamplerSR {VERSION}\n"


def test_settings_that_change_nothing_are_named_with_the_reason(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    idle = ["enhancement_strength=0.9", "cfg_scale=3", "basesr.sf=2", "hybrid_mode=best"]
    effective = ["adaptive_guidance=true", "longest_side=120", "prompt=a cat", "seed=7"]
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), *MODEL, *idle, *effective]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: enhancement_strength has no effect with edge_enhancement=false.",
        "note: cfg_scale has no effect with adaptive_guidance=true.",
        "note: basesr.sf has no effect with longest_side=120.",
        "note: hybrid_mode has no effect with color_fix=none.",
    ]
    assert main(["-i", str(source), "-o", str(tmp_path / "out"), "prompt=a cat", "adaptive_enhancement=true", "enhancement_strength=0.9"]) == 0
    assert capsys.readouterr().err == "note: prompt has no effect with this model, which has no text conditioning.\n"


def test_a_report_that_cannot_be_written_is_said_and_counts(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture(source / "a.png")
    (out / "report.csv").mkdir(parents=True)
    assert main(["-i", str(source), "-o", str(out), *MODEL]) == 3
    said = capsys.readouterr().err
    assert "1 of 1 pictures written" in said and "There is no report: " in said and "report.csv" in said
    assert "Results and report" not in said and "ended early" not in said


@pytest.mark.parametrize("arguments", [["--bogus"], ["-i"], ["--bs", "many"]])
def test_wrong_options_are_one_line_and_exit_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1


def test_settings_may_stand_anywhere(tmp_path):
    source = picture(tmp_path / "a.png")
    assert main(["seed=7", "-i", str(source), *MODEL[:2], "-o", str(tmp_path / "out"), *MODEL[2:]]) == 0


@pytest.mark.parametrize("file_format", ["png", "jpg", "webp", "tiff"])
def test_a_result_is_the_settings_file_of_another(tmp_path, file_format):
    source, chosen = picture(tmp_path / "a.png"), ["--format", file_format]
    assert main(["-i", str(source), "-o", str(tmp_path / "one"), *MODEL, *chosen, "timesteps=[200,100]", "seed=7"]) == 0
    result = tmp_path / "one" / f"a.{file_format}"
    assert main(["-i", str(source), "-o", str(tmp_path / "two"), *chosen, "--config", str(result), MODEL[0], "device=cpu"]) == 0
    assert (tmp_path / "two" / result.name).read_bytes() == result.read_bytes()


def test_the_bar_goes_once_from_the_first_picture_to_the_last_whatever_becomes_of_them(monkeypatch, tmp_path):
    """The second fails midway, the third is done already; a picture is written while the next one is computed."""
    bar = Bar(4)
    monkeypatch.setattr("tqdm.tqdm", lambda **options: bar)
    progress, seen = command_line._Progress(tmp_path, 4), []
    first, second, third, last = (tmp_path / "sub" / f"{name}.png" for name in "abcd")
    for call in (
        *((progress.on_tile, first, done, 4, None) for done in (2, 4)),
        (progress.on_tile, second, 1, 4, None),
        (progress.on_row, Row(first, tmp_path / "out" / "a.png", "done", 1.0, "")),
        (progress.on_row, Row(second, None, "failed", 1.0, "b.png cannot be read.")),
        (progress.on_row, Row(third, tmp_path / "out" / "c.png", "skipped", 0.0, "")),
        (progress.on_tile, last, 1, 1, None),
        (progress.on_row, Row(last, tmp_path / "out" / "d.png", "done", 1.0, "The colours are new.")),
    ):
        call[0](*call[1:])
        seen.append((bar.n, bar.said))
    assert seen == [
        (0.5, "picture 1 of 4, tile 2 of 4 "),
        (1, "picture 1 of 4, tile 4 of 4 "),
        *[(1.25, "picture 2 of 4, tile 1 of 4 ")] * 2,
        (2, "picture 2 of 4, tile 1 of 4 "),
        (3, "picture 2 of 4, tile 1 of 4 "),
        *[(4, "picture 4 of 4, tile 1 of 1 ")] * 2,
    ]
    sub = Path("sub")
    assert bar.lines == [
        str(tmp_path / "out" / "a.png"),
        f"failed: {sub / 'b.png'}: cannot be read.",
        str(tmp_path / "out" / "c.png"),
        f"note: {sub / 'c.png'}: Already done, unchanged.",
        str(tmp_path / "out" / "d.png"),
        f"note: {sub / 'd.png'}: The colours are new.",
    ]


def test_the_bar_of_downloads_follows_the_bytes(monkeypatch):
    bars = []
    monkeypatch.setattr("tqdm.tqdm", lambda **options: bars.append(Bar(options["total"])) or bars[-1])
    on_download = command_line._download_bar()
    for done, total in [(10, 100), (60, 100), (100, 100), (5, 7), (7, 7)]:
        on_download(done, total)
    assert [(bar.n, bar.total) for bar in bars] == [(100, 100), (7, 7)]


class Bar:
    """As much of tqdm as is used."""

    def __init__(self, total):
        self.n, self.total, self.said, self.lines = 0, total, "", []

    def set_description_str(self, words, refresh):
        self.said = words

    def write(self, line, file):
        self.lines.append(line)

    def update(self, count):
        self.n += count


def test_help_is_quick_and_imports_nothing_heavy():
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-X", "importtime", "sampler_invsr.py", "--help"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and "--self-check" in done.stdout
    assert not {"torch", "diffusers", "transformers", "gradio", "cv2", "numpy"} & {
        line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()
    }
    assert time.perf_counter() - start < 10  # a second is asked for; the rest is for a machine that does much else


def test_self_check_tells_a_sane_result_from_a_broken_one(capsys):
    assert main(["--self-check", "dtype=float32"]) == 0
    report = capsys.readouterr().out
    assert "The result is sane" in report and all(
        word in report for word in ("device", "precision", "versions", "seconds", "peak memory", "consistency")
    )
    assert main(["--self-check", *MODEL]) == 1  # random weights
    assert "NOT sane" in capsys.readouterr().out
