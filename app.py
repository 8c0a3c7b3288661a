"""The web page. `python app.py` serves it; `build_page` makes it around any sampler."""

import argparse
import asyncio
import contextlib
import io
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sampler_invsr import DEFAULT_CONFIG, InvSamplerSR
from utils.page.address import check_address, check_exposure, is_loopback
from utils.page.logins import read_logins
from utils.page.server_folders import ServerFolders
from utils.page.sessions import PARTS, Sessions, session_of
from utils.page.shared_sampler import SharedSampler
from utils.page.turns import MOST_WAITING
from utils.planning.arguments import OneLineParser
from utils.planning.checked_settings import make_settings, with_overrides
from utils.planning.errors import UserError

if TYPE_CHECKING:
    import gradio as gr

    from utils.page.models import Models

TITLE = "InvSR Studio"
EXPLANATION = (
    "A larger and truer picture in one to five diffusion steps. Pictures stay on the computer that runs this page and are deleted when you close it."
)
FIRST_PORT = 7860
LARGEST_UPLOAD = "100mb"
MOST_SESSIONS = 500
"""Of visitors, whose choices and results' descriptions are kept in memory; who comes after these makes the longest unused one be forgotten."""
LONGEST_QUEUE = 32
"""How many events that take no turn with the model, such as plans, may wait."""
LIGHT_THREADS = 32
"""For everything that is not waiting for its turn with the model."""
_NO_FOLDERS = ServerFolders()


def build_page(
    shared: SharedSampler, folders: ServerFolders = _NO_FOLDERS, models: "Models | None" = None, sessions: Sessions | None = None
) -> "gr.Blocks":
    """The page around a sampler that may still be loading. Uploads and results lie in the folder GRADIO_TEMP_DIR; `launch` serves it.

    folders: those of this computer that visitors may name. models: those to be chosen from; without them the shipped presets are shown, and visitors
    cannot change the model. sessions: of visitors, in that folder, for whoever wants to end them.
    """
    import gradio as gr

    from utils.page import markup, scripts
    from utils.page.batch_tab import BatchTab
    from utils.page.compare_tab import CompareTab
    from utils.page.endpoints import add_endpoints
    from utils.page.models import Models, read_presets
    from utils.page.models_panel import ModelsPanel
    from utils.page.settings_form import SettingsForm
    from utils.page.single_tab import SingleTab
    from utils.page.uploads import GuardedBlocks

    sessions = sessions or Sessions(Path(gr.utils.get_upload_folder()))

    def leave(request: gr.Request) -> None:
        for part in PARTS:
            sessions.leave(session_of(request, part))
        if state := page.state_holder.session_data.get(str(request.session_hash)):
            state.config_values.clear()  # copies of all that was shown, for links to it, which this server does not give

    with GuardedBlocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        with gr.Row(elem_classes="sr-head"):
            gr.HTML(markup.heading(TITLE, EXPLANATION), js_on_load=scripts.RUNS)
            model_line = gr.HTML(markup.model_line(shared.state, shared.settings), elem_id="model")
        model_error = gr.HTML(elem_id="model-error")
        with gr.Row():
            with gr.Column(scale=4, min_width=320), gr.Tabs():
                with gr.Tab("Single image"):
                    single = SingleTab(shared, sessions)
                with gr.Tab("Batch"):
                    batch = BatchTab(shared, sessions, folders)
                with gr.Tab("Compare"):
                    compare = CompareTab(shared, sessions, single)
            with gr.Column(scale=1, min_width=280, elem_id="settings"):
                gr.HTML(markup.section("Settings"), js_on_load=scripts.DROPS)
                panel = ModelsPanel(models or Models(shared, read_presets(DEFAULT_CONFIG.parent), may_change=False))
                form = SettingsForm(shared, sessions)
        for tab in (single, batch, compare):
            tab.connect(form)
        panel.follow(page, model_line, model_error)
        model_changed = form.suit_model_on(model_line.change)
        single.describe_after(model_changed)
        batch.describe_after(model_changed)
        page.load(sessions.leave_overdue, None, None, api_visibility="private", queue=False)
        page.unload(leave)
        add_endpoints(shared, sessions)
    return page.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=1, api_open=False)


def launch(
    page: "gr.Blocks",
    host: str,
    port: int | None,
    *,
    logins: list[tuple[str, str]] | None = None,
    share: bool = False,
    insecure: bool = False,
    mcp: bool = False,
) -> str:
    """Serve the page without waiting for its end; its address, which with `share` is one on the internet.

    Without a port, the first free one from 7860 on. insecure: whether a page of this machine alone and without logins may nevertheless be asked for
    under any name, as it is by a proxy that others reach. UserError if there is none, or no way to share or to serve tools.
    """
    import httpx
    from starlette.middleware import Middleware

    from utils.page.gate import Gate
    from utils.page.theme import STYLE, theme
    from utils.page.uploads import RefusedUploadsLogged

    only_as = host if is_loopback(host) and not (share or logins or insecure) else None
    _go_round_proxies(host)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what Gradio announces, `main` says in its own words
            _, address, shared_address = page.launch(
                server_name=f"[{host}]" if ":" in host else host,  # IPv6
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                inbrowser=False,
                share=share,
                auth=logins,
                app_kwargs={"middleware": [Middleware(Gate, only_as=only_as), Middleware(RefusedUploadsLogged)]},
                max_threads=MOST_WAITING + LIGHT_THREADS,
                max_file_size=LARGEST_UPLOAD,
                state_session_capacity=MOST_SESSIONS,
                allowed_paths=[],
                enable_monitoring=False,
                mcp_server=mcp,
                ssr_mode=False,
                pwa=False,
                run_history=False,
                footer_links=["api"],
                _frontend=False,  # no more than that Gradio does not give up if the page takes 3 seconds to come, as it may on a busy machine
                theme=theme(),
                css_paths=STYLE,
            )
    except (OSError, httpx.HTTPError):  # the latter where an address can be listened at, but not be reached
        raise UserError(f"The page cannot be served at {host}, port {port or FIRST_PORT}; name a free one with --port, or another --host.") from None
    if share and not shared_address:
        raise UserError("The page cannot be shared: there is no way to the sharing service; check the internet connection, or leave --share out.")
    if mcp:
        _offer_one_tool(page)
    return shared_address or address


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio's calls of its own server
    try:
        with _files_apart() as sessions:
            page, shared, address = _started(options, sessions)
            _end_as_by_ctrl_c()
            print(_greeting(address, options), flush=True)
            try:
                shared.start()  # only now: importing torch must not hold up the page
                while page.is_running:
                    time.sleep(0.1)
            finally:
                _stop(page, shared)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _started(options: argparse.Namespace, sessions: Sessions) -> "tuple[gr.Blocks, SharedSampler, str]":
    """The page, served at an address, with a sampler that is yet to be loaded. UserError if that is not possible or not allowed."""
    host = options.host.strip("[]")  # IPv6, written as in a browser
    check_address(host, options.port)
    logins = None if options.auth is None else read_logins(options.auth)
    check_exposure(host, share=options.share, has_logins=bool(logins), insecure=options.insecure)
    if options.mcp:
        _check_tools_possible(bool(logins))
    given = {} if options.max_output_megapixels is None else {"max_output_megapixels": options.max_output_megapixels}
    shared = SharedSampler(InvSamplerSR, with_overrides(make_settings(options.config), given))
    folders = ServerFolders(options.allow_folder)
    from utils.page.models import Models, read_presets  # after the quick refusals

    may_change = (is_loopback(host) and not options.share) if options.allow_model_switch is None else options.allow_model_switch
    models = Models(shared, read_presets(DEFAULT_CONFIG.parent, Path(options.config), given), may_change)
    page = build_page(shared, folders, models, sessions)
    return page, shared, launch(page, host, options.port, logins=logins, share=options.share, insecure=options.insecure, mcp=options.mcp)


def _end_as_by_ctrl_c() -> None:
    """Have the other requests to end obeyed in the same way, so that the files of visitors are deleted then, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in ("SIGHUP", "SIGBREAK"):  # of a terminal that is closed; each system has one of them
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _hang_up)


def _hang_up(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # it comes from the shell and from the system, and the second one must not cut the end short
    raise KeyboardInterrupt


def _stop(page: "gr.Blocks", shared: SharedSampler) -> None:
    """Take no more requests, and end what runs at its next tiles; at a second Ctrl-C, without waiting for them."""
    from gradio.tunneling import CURRENT_TUNNELS

    with contextlib.suppress(KeyboardInterrupt):
        with contextlib.suppress(OSError):  # the terminal is gone
            print("Stopping ...", flush=True)
        page.close(verbose=False)
        for tunnel in CURRENT_TUNNELS:
            tunnel.kill()
        shared.close()


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(description="Serve the web page.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine only; 0.0.0.0 is every network)")
    parser.add_argument("--port", type=int, help=f"port (default: the first free one from {FIRST_PORT} on)")
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", help="ask for this login; @FILE names a file of such lines, which stays out of lists of processes"
    )
    parser.add_argument("--share", action="store_true", help="also serve it on the internet, through Gradio's service; needs --auth")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow without a login: --share, addresses that others can reach, and any name for this page, as proxies pass on",
    )
    parser.add_argument("--mcp", action="store_true", help="offer upscaling as a tool to language models, by the Model Context Protocol")
    parser.add_argument("--config", default=str(DEFAULT_CONFIG), help="settings file, or a result (default: the embedded model)")
    parser.add_argument(
        "--max-output-megapixels",
        type=float,
        metavar="N",
        help="largest result that visitors may ask for (default: what the settings file says, 300)",
    )
    parser.add_argument(
        "--allow-folder", action="append", default=[], metavar="DIR", help="let everybody who uses the page work in this folder (repeatable)"
    )
    parser.add_argument(
        "--allow-model-switch",
        action=argparse.BooleanOptionalAction,
        help="whether visitors may download models and switch to another one for all (default: only where the page is for this machine alone)",
    )
    return parser


@contextlib.contextmanager
def _files_apart() -> Iterator[Sessions]:
    """Uploads and results in a folder of this process, deleted at its end; it lies in the one that the operator has chosen for them, if any."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    chosen = os.environ.get("GRADIO_TEMP_DIR")
    folder = os.environ["GRADIO_TEMP_DIR"] = _new_folder(chosen)
    sessions = Sessions(Path(folder).resolve())
    try:
        yield sessions
    finally:
        sessions.leave_all()
        if chosen:
            os.environ["GRADIO_TEMP_DIR"] = chosen
        else:
            del os.environ["GRADIO_TEMP_DIR"]
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder(within: str | None) -> str:
    try:
        if within:
            Path(within).mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix="invsr-page-", dir=within)
    except OSError as error:
        where = within or tempfile.gettempdir()
        raise UserError(f"There is no place for files in {where} ({error.strerror}); name another folder in the variable GRADIO_TEMP_DIR.") from None


def _go_round_proxies(host: str) -> None:
    """Gradio asks its own server whether it is up, and must not ask a proxy instead."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), host, "localhost")))


def _check_tools_possible(has_logins: bool) -> None:
    if has_logins:
        raise UserError("--mcp and --auth do not go together, for tools cannot log in; serve the tools at this machine only, without --auth.")
    if find_spec("mcp") is None:
        raise UserError("--mcp needs the package mcp; install it with: pip install 'gradio[mcp]==6.31.0'.")


def _offer_one_tool(page: "gr.Blocks") -> None:
    from utils.page.endpoints import TOOL

    async def results(job: Any) -> list[Any]:
        return list(await asyncio.to_thread(job.result))

    tools = page.mcp_server_obj
    assert tools is not None
    tools.tool_to_endpoint = {TOOL: f"/{TOOL}"}
    tools._execute_tool_without_progress = results  # Gradio's own takes several results for one, and then sends no picture


def _greeting(address: str, options: argparse.Namespace) -> str:
    words = f"{TITLE} is at {address} (Ctrl-C ends it)."
    if options.port is None and not options.share and not address.rstrip("/").endswith(f":{FIRST_PORT}"):
        words += f" Port {FIRST_PORT} was taken."
    if options.mcp:
        words += f" Its tool for language models is at {address.rstrip('/')}/gradio_api/mcp/."
    if options.insecure and not options.auth:
        words += " Everybody who can reach it can use it: it has no login."
    return words


if __name__ == "__main__":
    code = main()
    with contextlib.suppress(OSError):  # the terminal is gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # taking torch and Gradio apart, object by object, would take many seconds
