"""What became of every file of a job, for people and programs: rows, report.json and report.csv."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from utils.jobs.naming import printable, spreadsheet_text
from utils.pictures.whole_files import begins_with, write_whole
from utils.planning.errors import UserError

REPORT_JSON, REPORT_CSV = "report.json", "report.csv"
COLUMNS: tuple[str, ...] = ("input", "output", "status", "seconds", "message")
_BEGINNINGS = {REPORT_JSON: b'{\n "files": [', REPORT_CSV: ",".join(COLUMNS).encode()}
NOT_REACHED = "Not done, for "
"""How the message of a file begins that failed only because the job ended before it was done."""


@dataclass(frozen=True)
class Row:
    """What became of one file.

    status: done, failed, or skipped, which means done before and unchanged. output: None where it failed. seconds: of work on it. message: why it
    failed, or what is to be known of the result.
    """

    input: Path
    output: Path | None
    status: str
    seconds: float = 0.0
    message: str = ""

    @property
    def was_reached(self) -> bool:
        """Whether what became of it is its own, and not that the job ended before it was done."""
        return self.status != "failed" or not self.message.startswith(NOT_REACHED)

    def relative_to(self, root: Path, out_folder: Path) -> dict[str, Any]:
        """The row as plain data, its paths relative to the two folders."""
        output = None if self.output is None else self.output.relative_to(out_folder).as_posix()
        values = self.input.relative_to(root).as_posix(), output, self.status, round(self.seconds, 3), self.message
        return dict(zip(COLUMNS, values, strict=True))


@dataclass(frozen=True)
class Summary:
    """A job in figures: how many rows there are of each status, and how many of the failed ones were only not reached before the job ended.

    skipped: done before and unchanged. stopped: why it ended early, in a sentence, or empty. unreported: why there is no report, likewise.
    """

    files: int
    done: int
    failed: int
    not_reached: int
    skipped: int
    seconds: float
    stopped: str = ""
    unreported: str = ""

    def __str__(self) -> str:
        words = f"{self.done} of {self.files} pictures written"
        words += f", {self.skipped} done before and unchanged" if self.skipped else ""
        words += f", {self.failed - self.not_reached} failed" if self.failed > self.not_reached else ""
        words += f", {self.not_reached} not reached" if self.not_reached else ""
        return f"{words}, {self.seconds:.1f} s."


def summarised(rows: Sequence[Row], seconds: float, stopped: str = "") -> Summary:
    """Their summary; `seconds` by the clock."""
    done, failed, skipped = (sum(row.status == status for row in rows) for status in ("done", "failed", "skipped"))
    not_reached = sum(not row.was_reached for row in rows)
    return Summary(len(rows), done, failed, not_reached, skipped, round(seconds, 3), stopped)


def check_report(out_folder: Path) -> None:
    """UserError if a report in `out_folder` would replace a file that is something else."""
    for name, beginning in _BEGINNINGS.items():
        path = out_folder / name
        if path.is_file() and not begins_with(path, beginning):
            raise UserError(f"{path} was not made by this program and is not replaced; name another folder for the results.")


def write_report(rows: Sequence[Row], summary: Summary, root: Path, out_folder: Path) -> None:
    """Write report.json and report.csv into `out_folder`. UserError if that cannot be."""
    files = [row.relative_to(root, out_folder) for row in rows]
    facts = {name: value for name, value in asdict(summary).items() if name != "unreported"}
    _write_text(out_folder / REPORT_JSON, json.dumps({"files": files, "summary": facts}, indent=1) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows({name: spreadsheet_text(value) if isinstance(value, str) else value for name, value in row.items()} for row in files)
    _write_text(out_folder / REPORT_CSV, table.getvalue())


def _write_text(path: Path, text: str) -> None:
    write_whole(path, lambda stream: stream.write(printable(text).encode()))
