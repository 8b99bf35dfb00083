"""The places for pictures and clips, each with a line below it that says why a file cannot be used.

Knows components and files. Knows nothing of tasks and answers.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gradio as gr

from inference.errors import Busy, InvalidPicture
from inference.images import check_file
from ui import components, markup
from ui.components import Picture
from ui.context import PRIVATE, Context
from ui.faults import sentence
from ui.texts import Texts

_SHOWN_BY_FEW = (".tif", ".tiff")  # browsers


def build_picture(context: Context, *, prefix: str = "", height: int = 260) -> Picture:
    """Puts the place for one picture on the page.

    Args:
        context: What the page talks to.
        prefix: Stands before the ids of the elements, which are unique in the page; empty for the first tab.
        height: In pixels.
    """
    picture = Picture(
        type="filepath",
        label=context.texts.later("picture.label"),
        sources=["upload", "webcam", "clipboard"],
        buttons=["fullscreen"],
        height=height,
        elem_id=f"{prefix}picture",
        elem_classes="media",
    )
    build_refusal(context.texts, f"{prefix}picture", "picture.only", megabytes=context.limits.max_megabytes)
    _build_hidden(context.texts.later("picture.no_device"), elem_id=f"{prefix}picture-no-device")
    note = components.html("", elem_id=f"{prefix}picture-note")
    # The browser shows an empty frame for what it cannot open. A second picture may come before the first is looked at.
    picture.change(_checker(context), picture, note, trigger_mode="always_last", **PRIVATE)
    return picture


def build_refusal(texts: Texts, field: str, key: str, *, megabytes: float) -> None:
    """Puts what `assets/scripts/files.js` shows below a field when a file comes there that it does not take.

    Args:
        texts: The words of the page.
        field: The id of the field.
        key: Of the sentence that says what kind of files it takes.
        megabytes: How large they may be, in units of 1024 × 1024 bytes.
    """
    most = f'data-most="{int(megabytes * 2**20)}"'
    too_large = f"{texts.later('files.too_large')} {megabytes:g} MB."
    _build_hidden(texts.later(key), elem_id=f"{field}-only")
    _build_hidden(too_large, more=most, elem_id=f"{field}-too-large")


def _build_hidden(text: str, *, elem_id: str, more: str = "") -> None:
    """A note that `files.js` shows; of its own, since gradio translates one text of an HTML component."""
    components.html(f'<p class="note error" role="alert" {more} hidden>{text}</p>', elem_id=elem_id)


def _checker(context: Context) -> Callable[..., str]:
    """The handler that says what is wrong with a picture that was just added."""
    limits = replace(context.limits, patience=0)

    def check(visitor: gr.Request, picture: str | None) -> str:
        try:
            if picture is not None:
                check_file(Path(picture), limits)
        except Busy:  # those who wait for an answer come first; Run looks at the picture too
            return ""
        except InvalidPicture as error:
            return markup.notes([sentence(error, context.words(visitor))], tone="error")
        if picture is not None and Path(picture).suffix.lower() in _SHOWN_BY_FEW:
            return markup.notes([context.words(visitor).now("picture.unseen")])
        return ""

    return check
