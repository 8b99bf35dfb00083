"""The buttons by which an answer becomes a file, and the making of that file when one of them is pressed.

Knows components and which formats an answer has. Knows no format itself: that is `inference.exports`.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import gradio as gr

from inference import exports
from inference.errors import InvalidInput
from inference.exports import Drawing, Exported, File, has_places
from inference.images import Limits, open_picture
from inference.sentences import Sentence
from inference.types import Result
from ui import components
from ui.components import Parcel
from ui.context import PRIVATE
from ui.look import Shown
from ui.texts import Texts
from ui.thread import Kept

ALL = "all"
FORMATS = (*exports.FORMATS, ALL)
# Files of large pictures take seconds to pack, on processors that the model may need.
PACKING: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_id": "exports",
    "concurrency_limit": 2,
}

SAVE = "(file) => saveFile(file)"
"""What becomes of a file that was made; the function is in `assets/scripts/downloads.js`."""


@dataclass(frozen=True, slots=True)
class ExportPanel:
    """A button for each format, and the place where a file that was asked for lies on its way to the browser."""

    panel: gr.Column
    hint: gr.HTML
    buttons: Mapping[str, gr.Button]
    parcel: Parcel

    @property
    def outputs(self) -> list[Any]:
        """What `offering` and `none` change."""
        return [self.panel, self.hint, *self.buttons.values()]

    def offering(self, result: Result) -> dict[Any, Any]:
        """The formats that have something to say about an answer."""
        fitting = formats_of(result)
        buttons = {button: gr.update(visible=name in fitting) for name, button in self.buttons.items()}
        found = bool(result.detections)
        return {
            self.panel: gr.update(visible=found or bool(result.text)),
            self.hint: gr.update(visible=found),
        } | buttons

    def none(self) -> dict[Any, Any]:
        """While there is no answer."""
        return {self.panel: gr.update(visible=False)}


def wire(buttons: Iterable[gr.Button], make: Callable[..., File], *, parcel: Parcel, **given: Any) -> None:
    """Lets buttons hand a file to the browser.

    Args:
        buttons: One event for all of them: a browser that opens a page goes through all events for each component.
        make: Makes the file; which button was pressed it learns by `pressed`.
        parcel: Takes it to the browser.
        given: What `make` is given, as gradio's events name it.
    """
    clicks = [button.click for button in buttons]
    made = gr.on(clicks, make, outputs=parcel, trigger_mode="multiple", **given, **PACKING)
    made.success(None, inputs=parcel, js=SAVE, **PRIVATE)


def build(texts: Texts) -> ExportPanel:
    """Puts the buttons on the page."""
    with gr.Column(visible=False, elem_id="exports") as panel:
        # Gradio fills in one text for each component.
        components.html(f'<h3 class="heading">{texts.later("exports.label")}</h3>')
        hint = components.html(f'<p class="hint">{texts.later("exports.hint")}</p>')
        with gr.Row(elem_id="export-buttons"):
            buttons = {
                name: gr.Button(texts.later(f"exports.{name}"), size="sm", min_width=60, elem_id=f"export-{name}")
                for name in FORMATS
            }
    return ExportPanel(panel=panel, hint=hint, buttons=buttons, parcel=Parcel(visible=False))


def formats_of(result: Result) -> tuple[str, ...]:
    """Which of `FORMATS` have something to say about an answer."""
    fitting = {"json", "csv", ALL}
    if has_places(result):
        fitting |= {"drawn", "coco", "yolo"}
    if any(thing.mask is not None for thing in result.detections):
        fitting.add("masks")
    return tuple(name for name in FORMATS if name in fitting)


def make(kept: Kept, wanted: str, *, look: Shown, limits: Limits) -> File:
    """Makes the file of an answer: what the look hides is left out, and the drawing is the one on the page.

    Args:
        kept: The answer.
        wanted: One of `FORMATS`.
        look: How it is shown.
        limits: What its picture was allowed to be.

    Returns:
        The format's own file if it is only one, else a zip.

    Raises:
        InvalidPicture: The picture's file is gone.
        InvalidInput: The look hides everything that the file would tell of.
    """
    result = kept.result()
    picture = Path(kept.picture)
    seen = replace(result, detections=look.seen(result.detections))
    if wanted not in formats_of(seen):
        raise InvalidInput(Sentence("Everything that this file would tell of is hidden. Hide less above."))
    item = Exported(name=picture.name, image=open_picture(picture, limits), result=seen)
    return packed(item, wanted, drawing=look.drawing(result))


def packed(item: Exported, wanted: str, *, drawing: Drawing | None = None) -> File:
    """Makes the file of one result.

    Args:
        item: The result with its picture.
        wanted: One of `formats_of(item.result)`.
        drawing: How detections are drawn.

    Returns:
        The format's own file if it is only one, else a zip.
    """
    stem = PurePosixPath(exports.safe_name(item.name)).stem
    made = exports.files([item], None if wanted == ALL else [wanted], drawing=drawing)
    archive = io.BytesIO()
    if wanted == ALL:
        exports.pack(made, archive)
        return File(f"{stem}.zip", archive.getvalue())
    first, *others = made
    if not others:
        suffix = PurePosixPath(first.path).suffix
        return File(f"{stem}{'' if suffix == f'.{wanted}' else f'-{wanted}'}{suffix}", first.content)
    exports.pack([first, *others], archive)
    return File(f"{stem}-{wanted}.zip", archive.getvalue())
