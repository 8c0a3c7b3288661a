"""What programs can have done: one upscale, a batch of them, or only the plan."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from utils.jobs.inputs import Inputs
from utils.jobs.options import JobOptions
from utils.jobs.report import REPORT_CSV, REPORT_JSON, Row
from utils.page.archive import pack
from utils.page.running import Advanced, Finished, Waiting, upscale
from utils.page.sessions import Sessions
from utils.page.shared_sampler import SharedSampler
from utils.page.turn_taker import ModelChanged, TurnTaker
from utils.page.turns import MOST_WAITING, Cancelled
from utils.page.upload_tree import MOST_FILES, Upload, UploadTree
from utils.page.uploads import uploaded
from utils.planning.errors import UserError

ZIP_NAME = "results.zip"

Overrides = Mapping[str, Any]
Answer = TypeVar("Answer")


class Calls:
    """Work for programs, each in a thread that is told to stop when its caller cancels or leaves. Files lie in the caller's session."""

    def __init__(self, shared: SharedSampler, sessions: Sessions) -> None:
        self._shared, self._sessions = shared, sessions
        # More than can wait, so that who comes after those is refused rather than kept without a place.
        self._threads = ThreadPoolExecutor(MOST_WAITING + 16, thread_name_prefix="call")

    async def upscale(self, session_id: str, image: Any, overrides: Overrides) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        """The result as a file, its plan, and sentences on what is to be known of it."""
        (path,) = await self._taken(session_id, [image])
        folder = self._sessions.new_folder(session_id)

        def work(stop: threading.Event) -> Finished:
            progress, last = gr.Progress(), None
            for news in upscale(self._shared, path, folder, overrides, None, stop):
                if isinstance(news, Waiting):
                    progress(None, f"Waiting: {news.before} before you")
                elif isinstance(news, Advanced):
                    progress((news.done, news.total), "Upscaling", unit="tiles")
                last = news  # and to the end: a run that is left before counts as stopped
            assert isinstance(last, Finished)
            return last

        finished = await self._done(session_id, work, folder)
        assert finished.file is not None
        return _file(finished.file), finished.plan.to_dict(), list(finished.notes)

    async def upscale_batch(self, session_id: str, files: Any, overrides: Overrides) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A zip of the results with their report, and a row for every file, in their order."""
        if not isinstance(files, list) or not 1 <= len(files) <= MOST_FILES:
            raise UserError(f"files must be a list of 1 to {MOST_FILES} uploaded files.")
        paths = await self._taken(session_id, files)
        folder = self._sessions.new_folder(session_id)

        def work(stop: threading.Event) -> tuple[dict[str, Any], list[dict[str, Any]]]:
            given, results = folder / "given", folder / "results"
            names = UploadTree(given).add_each([Upload(path.name, path) for path in paths])
            rows = self._run_job(Inputs(given, tuple(names)), results, overrides, stop)
            zipped = folder / ZIP_NAME
            made = [row.output for row in rows if row.output is not None]
            pack({path.relative_to(results).as_posix(): path for path in (*made, results / REPORT_CSV, results / REPORT_JSON)}, zipped)
            for finished in (given, results):
                shutil.rmtree(finished, ignore_errors=True)
            return _file(zipped), [row.relative_to(given, results) for row in rows]

        return await self._done(session_id, work, folder)

    async def plan(self, session_id: str, image: Any, overrides: Overrides) -> dict[str, Any]:
        """What `upscale` would do, decided without running a network."""
        (path,) = await self._taken(session_id, [image])
        return await self._done(session_id, lambda stop: self._shared.get(stop).plan(path, **overrides).to_dict())

    async def _taken(self, session_id: str, files: Sequence[Any]) -> list[Path]:
        """Where the files lie that the caller names, which go with its session from now on."""

        def take() -> list[Path]:
            paths = []
            for file in files:
                paths.append(uploaded(file))
                self._sessions.own_upload(session_id, paths[-1])
            return paths

        return await asyncio.to_thread(take)  # a disk that is slow would hold up the whole server

    async def _done(self, session_id: str, work: Callable[[threading.Event], Answer], folder: Path | None = None) -> Answer:
        """What work(stop) gives. folder: what it writes into, and what is deleted unless it comes to its end while the session is there."""
        self._threads.submit(self._sessions.leave_overdue)
        stop = self._sessions.begin_call(session_id)
        context = copy_context()  # where the server looks up whose progress it is told of
        working = self._threads.submit(context.run, work, stop)
        try:
            answer = await asyncio.wrap_future(working)
            if stop.is_set():
                raise Cancelled
            if folder:
                self._sessions.keep_folder(session_id, folder)
            return answer
        except BaseException:
            if folder and working.done():
                await asyncio.to_thread(self._sessions.drop_folder, session_id, folder)
            elif folder:  # not before the work has ended: it could make the folder anew
                working.add_done_callback(lambda _: self._sessions.drop_folder(session_id, folder))
            raise
        finally:
            stop.set()

    def _run_job(self, inputs: Inputs, results: Path, overrides: Overrides, stop: threading.Event) -> list[Row]:
        from utils.jobs.job import Job, Watcher

        progress, finished = gr.Progress(), 0

        def on_row(row: Row) -> None:
            nonlocal finished
            finished += 1
            progress((finished, len(inputs.names)), "Upscaling", unit="files")

        try:
            rows = Job(inputs, results, TurnTaker(self._shared, overrides, stop), JobOptions()).run(watcher=Watcher(on_row=on_row, stop=stop))
        except ModelChanged:
            raise UserError("The model was changed meanwhile; call again for results of the new one.") from None
        if stop.is_set():
            raise Cancelled
        return rows


def _file(path: Path) -> dict[str, Any]:
    return gr.FileData(path=str(path), orig_name=path.name, size=path.stat().st_size).model_dump()
