"""The web page. `python app.py` serves it; `build_page` makes it around any sampler."""

import argparse
import atexit
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sampler_invsr import DEFAULT_CONFIG, InvSamplerSR
from utils.page.address import check_address, is_loopback
from utils.page.shared_sampler import SharedSampler
from utils.planning.arguments import OneLineParser
from utils.planning.checked_settings import make_settings
from utils.planning.errors import UserError

if TYPE_CHECKING:
    import gradio as gr

    from utils.page.models import Models

TITLE = "InvSR Studio"
EXPLANATION = (
    "Four times the size in one to five diffusion steps. Pictures stay on the computer that runs this page and are deleted when you close it."
)
FIRST_PORT = 7860
LARGEST_UPLOAD = "100mb"
LONGEST_QUEUE = 32


def build_page(shared: SharedSampler, models: "Models | None" = None) -> "gr.Blocks":
    """The page around a sampler that may still be loading. Uploads and results lie in the folder GRADIO_TEMP_DIR; `launch` serves it.

    models: those to be chosen from; without them the shipped presets are shown, and visitors cannot change the model.
    """
    import gradio as gr

    from utils.page import markup
    from utils.page.models import Models, read_presets
    from utils.page.models_panel import ModelsPanel
    from utils.page.sessions import Sessions
    from utils.page.settings_form import SettingsForm
    from utils.page.single_tab import SingleTab

    sessions = Sessions(Path(gr.utils.get_upload_folder()))

    def leave(request: gr.Request) -> None:
        sessions.leave(str(request.session_hash))

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        with gr.Row(elem_classes="sr-head"):
            gr.HTML(markup.heading(TITLE, EXPLANATION))
            model_line = gr.HTML(markup.model_line(shared.state, shared.settings), elem_id="model")
        model_error = gr.HTML(elem_id="model-error")
        with gr.Row():
            with gr.Column(scale=4, min_width=320), gr.Tabs(), gr.Tab("Single image"):
                single = SingleTab(shared, sessions)
            with gr.Column(scale=1, min_width=280), gr.Tabs(), gr.Tab("Settings"):
                panel = ModelsPanel(models or Models(shared, read_presets(DEFAULT_CONFIG.parent), may_change=False))
                form = SettingsForm(shared, sessions)
        single.connect(form)
        panel.follow(page, model_line, model_error)
        single.describe_after(form.suit_model_on(model_line.change))
        page.load(sessions.leave_overdue, None, None, api_visibility="private", queue=False)
        page.unload(leave)
    return page.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=1, api_open=False)


def launch(page: "gr.Blocks", host: str, port: int | None) -> str:
    """Serve the page without waiting for its end; its address. Without a port, the first free one from 7860 on. UserError if there is none."""
    import httpx

    from utils.page.theme import STYLE, theme

    _go_round_proxies(host)
    try:
        _, address, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,  # IPv6
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            inbrowser=False,
            share=False,
            max_file_size=LARGEST_UPLOAD,
            allowed_paths=[],
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            run_history=False,
            footer_links=[],
            theme=theme(),
            css_paths=STYLE,
        )
    except (OSError, httpx.HTTPError):  # the latter where an address can be listened at, but not be reached
        raise UserError(f"The page cannot be served at {host}, port {port or FIRST_PORT}; name a free one with --port, or another --host.") from None
    return address


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    options = _parser().parse_args(arguments)
    host = options.host.strip("[]")  # IPv6, written as in a browser
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio's calls of its own server
    try:
        check_address(host, options.port)
        shared = SharedSampler(InvSamplerSR, make_settings(options.config))
        from utils.page.models import Models, read_presets  # after the quick refusals

        may_change = is_loopback(host) if options.allow_model_switch is None else options.allow_model_switch
        models = Models(shared, read_presets(DEFAULT_CONFIG.parent, Path(options.config)), may_change)
        _keep_files_apart()
        page = build_page(shared, models)
        address = launch(page, host, options.port)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_greeting(address, host, options.port), flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the files of visitors are deleted then, too
    shared.start()  # only now: importing torch must not hold up the page
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C, while the first one closes the server
        page.block_thread()
    shared.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(description="Serve the web page.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine only; 0.0.0.0 is every network)")
    parser.add_argument("--port", type=int, help=f"port (default: the first free one from {FIRST_PORT} on)")
    parser.add_argument("--config", default=str(DEFAULT_CONFIG), help="settings file (default: the embedded model)")
    parser.add_argument(
        "--allow-model-switch",
        action=argparse.BooleanOptionalAction,
        help="whether visitors may download models and switch to another one for all (default: only where the page is for this machine alone)",
    )
    return parser


def _keep_files_apart() -> None:
    """Give uploads and results a folder of this process, deleted at its end, unless the operator has chosen one."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="invsr-page-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _go_round_proxies(host: str) -> None:
    """Gradio asks its own server whether it is up, and must not ask a proxy instead."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), host, "localhost")))


def _greeting(address: str, host: str, port: int | None) -> str:
    words = f"{TITLE} is at {address} (Ctrl-C ends it)."
    if port is None and not address.rstrip("/").endswith(f":{FIRST_PORT}"):
        words += f" Port {FIRST_PORT} was taken."
    if not is_loopback(host):
        words += " Everybody who can reach this machine can use the page: it has no login."
    return words


if __name__ == "__main__":
    sys.exit(main())
