"""Widgets of gradio as the page uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# while a slider moves, by pointer or by keys, the image of its last position is drawn
LIVE: Mapping[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden"}


def still(gradio: Any, label: str, visible: bool = True) -> Any:
    """An image to look at and download, without gradio's button that sends it to a website."""
    return gradio.Image(
        label=label,
        format="png",
        interactive=False,
        visible=visible,
        buttons=["download", "fullscreen"],
    )
