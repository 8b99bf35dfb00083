"""Gradio components that leave the checking of what comes in to the layers below.

Knows how a file or a choice arrives over HTTP. Knows no pictures: decoding is `inference.images`.

The components stand last: gradio writes a stub file beside the module of a subclass, with only what stands above it.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_bytes_to_cache
from gradio_client.utils import is_http_url_like
from PIL import Image
from pydantic import ConfigDict

from inference.exports import File
from ui.texts import DEFAULT, Texts

T = TypeVar("T")

EVENTS_SCRIPT = Path(__file__).parent.parent / "assets" / "scripts" / "components" / "events.js"
"""Runs in each component that triggers events, not once a page as the scripts in the folder above it."""

LARGE = 4_000_000
"""Pixels beyond which packing a PNG takes seconds."""


def html(value: str, elem_id: str | None = None, *, events: bool = False) -> gr.HTML:
    """A place for HTML that `ui.markup` made, without gradio's own look.

    Args:
        value: The HTML.
        elem_id: Its id on the page.
        events: Whether a click on a part with `data-event` triggers the event of that name, with the part's data.
    """
    script = EVENTS_SCRIPT.read_text("utf-8") if events else None
    return gr.HTML(value, apply_default_css=False, js_on_load=script, elem_id=elem_id)


def pressed(event: gr.EventData, buttons: Mapping[T, gr.Button]) -> T:
    """Which button was pressed, of those that share an event.

    Raises:
        KeyError: None of them, which the page never says.
    """
    # By its id on the page: gradio makes a new component of one that has changed in a visitor's session.
    return {button.elem_id: name for name, button in buttons.items()}[getattr(event.target, "elem_id", None)]


def _sentence(key: str, **fields: object) -> str:
    # Raised before any handler runs, so that nobody knows the visitor's language yet; rare enough to read the file.
    return Texts.read().now(key, DEFAULT, **fields)


def documented(name: str) -> dict[str, Any]:
    """An example file as the documentation of the API shows it: code that is copied from there runs in the repository.

    Args:
        name: Of a file in `assets/examples`.
    """
    path = f"assets/examples/{name}"
    # Gradio writes what stands as the address into the code, and its client takes a path there as well.
    return {"path": path, "url": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


class UploadedFile(ImageData):
    """What a client sends for a picture: the path of a file that it uploaded before."""

    model_config = ConfigDict(json_schema_extra={"description": "A local file; web addresses are refused."})

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> "UploadedFile":
        """The file, or a sentence to the client instead of pydantic's report.

        Raises:
            gr.Error: It is not marked as a file; only what is marked is checked by gradio to be an upload.
        """
        if not isinstance(obj, Mapping) or obj.get("meta") != {"_type": "gradio.FileData"}:
            raise gr.Error(_sentence("error.upload"), print_exception=False)
        return super().model_validate(obj, **options)


class Picture(gr.Image):
    """An image input whose value is the path of the uploaded file, not opened yet, and never a web address.

    Gradio would fetch an address that a client puts in its payload, whatever its size, and would decode a file before
    anyone looked at its header. The constructor stays that of `gr.Image`: gradio reads from its signature what the
    browser needs.
    """

    is_template = True  # the browser shows the stock image component
    data_model = UploadedFile

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """Refuses addresses; else as gradio does."""
        if url_or_file_path is not None and is_http_url_like(str(url_or_file_path)):
            raise gr.Error(_sentence("error.address"), print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> str | None:
        """The path of the file, or None."""
        return None if payload is None else payload.path

    def example_payload(self) -> Any:
        """A picture that has something for every task but reading."""
        return documented("moons.webp")


class Drawing(gr.Image):
    """An image output that loses nothing where it can, and does not let anyone wait for the packing of a large one."""

    is_template = True

    def postprocess(self, value: Image.Image | None) -> Any:
        """The picture as a file for the browser: PNG, or nearly lossless JPEG beyond `LARGE` pixels."""
        if value is None:
            return None
        packed = BytesIO()
        large = value.width * value.height > LARGE
        if large:
            value.save(packed, "JPEG", quality=92, subsampling=0)
        else:
            value.save(packed, "PNG", compress_level=3)
        name = "drawn.jpg" if large else "drawn.png"
        return super().postprocess(save_bytes_to_cache(packed.getvalue(), name, cache_dir=self.GRADIO_CACHE))


class Parcel(gr.DownloadButton):
    """Takes a file that was made in memory to the browser."""

    is_template = True

    def postprocess(self, value: File | None) -> Any:
        """The file, under its own name."""
        if value is None:
            return None
        return super().postprocess(save_bytes_to_cache(value.content, value.path, cache_dir=self.GRADIO_CACHE))


class Choice(gr.Radio):
    """A choice that is documented as one, and checked where the sentence about a wrong one is made."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """What was sent, in the choices or not, as text: nothing else can be one of them."""
        return None if payload is None else str(payload)


class Switch(gr.Checkbox):
    """Yes or no in the API: by itself gradio would take the text “false” for a yes."""

    is_template = True

    def preprocess(self, payload: Any) -> bool:
        """What was sent; nothing is no.

        Raises:
            gr.Error: It is neither.
        """
        if payload is not None and not isinstance(payload, bool):
            raise gr.Error(_sentence("error.switch", name=self.label), print_exception=False)
        return bool(payload)


class Line(gr.Textbox):
    """A text input of the API, documented by its placeholder."""

    is_template = True

    def example_payload(self) -> Any:
        """The placeholder, or nothing where the input may be left out."""
        return self.placeholder or ""


class ResultJson(gr.JSON):
    """An input of the API for the JSON of an answer."""

    is_template = True

    def example_payload(self) -> Any:
        """An answer about the picture that `Picture` is documented with."""
        return {
            "task": "detect",
            "model": "demo",
            "prompt": "detect moon",
            "raw": "<loc0297><loc0165><loc0693><loc0484> moon",
            "text": "moon",
            "detections": [{"label": "moon", "box": [108.39, 195.1, 317.94, 455.23]}],
            "image": {"width": 672, "height": 672},
        }
