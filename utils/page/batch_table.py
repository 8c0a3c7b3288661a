"""The table of a batch as HTML: a row for each file."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from utils.jobs.naming import printable
from utils.page.batch_running import BatchFile
from utils.page.describing import wide_by_high
from utils.page.markup import text

MOST_ROWS = 200
"""More would take a browser too long several times a second."""
_SAID = {
    "waiting": "Waiting",
    "refused": "Cannot be done",
    "working": "Working",
    "done": "Done",
    "failed": "Failed",
    "skipped": "Done before",
    "left out": "Left out",
}
_FIRST = {"working": 0, "failed": 1, "refused": 1, "waiting": 2}  # what is shown of a long list


def table(files: Sequence[BatchFile], served: Path) -> str:
    """The files in their order. Results that lie in `served`, which the server gives out by their random path, are links."""
    shown = sorted(sorted(files, key=_rank)[:MOST_ROWS], key=lambda file: file.name)
    rows = "".join(_row(file, served) for file in shown)
    more = f'<p class="sr-more">{len(files) - len(shown)} more are not shown here; the report has all.</p>' if len(shown) < len(files) else ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("<span>Picture</span>", "File and message", "Status", "Pixels", "Seconds"))
    return f'<table class="sr-files"><caption>Files of the batch</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _rank(file: BatchFile) -> int:
    return _FIRST["failed"] if file.status == "waiting" and file.message else _FIRST.get(file.status, len(_FIRST))


def address(path: Path) -> str:
    """Where the server gives out a file of a visitor, seen from the page. Empty if its name is no Unicode, for which the server takes addresses."""
    plain = path.as_posix()
    return f"gradio_api/file={quote(plain)}" if printable(plain) == plain else ""


def _row(file: BatchFile, served: Path) -> str:
    name = text(str(file.name))
    shown = file.thumbnail and address(file.thumbnail)
    image = f'<img src="{text(shown)}" alt="Small copy of {name}" loading="lazy" decoding="sync">' if shown else ""
    if file.output and file.output.is_relative_to(served) and (taken := address(file.output)):
        result = text(file.output.name)
        name += f'<p class="result"><a href="{text(taken)}" download="{result}">Download {result}</a></p>'
    cells = (
        ("status", _status(file)),
        ("pixels", text(" → ".join(wide_by_high(size) for size in (file.size, file.result_size) if size))),
        ("seconds", f"{file.seconds:.1f}" if file.seconds else ""),
    )
    rest = "".join(f'<td class="{name}">{cell}</td>' for name, cell in cells)
    message = f'<p class="message">{text(file.message)}</p>' if file.message else ""
    return f'<tr class="{file.status.replace(" ", "-")}"><td class="thumbnail">{image}</td><th scope="row">{name}{message}</th>{rest}</tr>'


def _status(file: BatchFile) -> str:
    if file.status != "working":
        return _SAID[file.status]
    return f'{_SAID["working"]} {file.part:.0%}<span class="sr-bar"><span style="width:{file.part:.0%}"></span></span>'
