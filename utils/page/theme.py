"""How the page looks, as far as Gradio's theme says it; style.css has the rest. System fonts only: nothing is fetched."""

from pathlib import Path

import gradio as gr

STYLE = Path(__file__).with_name("style.css")


def theme() -> gr.themes.Base:
    """Quiet greys, so that colours of pictures are judged well, and one accent with readable contrast."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
    return gr.themes.Default(
        primary_hue="blue", secondary_hue="blue", neutral_hue="zinc", radius_size="md", font=fonts, font_mono=("ui-monospace", "monospace")
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_cancel_background_fill="#dc2626",
        button_cancel_background_fill_hover="#b91c1c",
        button_secondary_background_fill="*neutral_200",
        button_secondary_background_fill_dark="*neutral_800",
        button_large_text_weight="600",
        button_large_padding="0.65rem 1.25rem",
    )
