"""What the events of the page have in common."""

from threading import Event

import gradio as gr

from utils.page.events import stopped


def test_a_run_is_stopped_without_a_word_and_one_that_had_ended_is_said_to_have():
    with gr.Blocks():
        status = gr.HTML()
    stop = Event()
    assert stopped(stop, status) == {status: gr.skip()} and stop.is_set()
    assert "had ended" in stopped(stop, status)[status]
