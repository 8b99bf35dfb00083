"""Inputs for several pictures and for a clip, hardened as the one for a picture is; see `ui.components`.

Knows how files arrive over HTTP. Knows neither pictures nor clips: opening them is `inference.images` and
`inference.video`.

The components stand last: gradio writes a stub file beside the module of a subclass, with only what stands above it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.gallery import GalleryData
from gradio.data_classes import FileData
from gradio_client.utils import is_http_url_like

from ui.components import UploadedFile, documented
from ui.texts import DEFAULT, Texts


class UploadedPictures(GalleryData):
    """What a client sends for several pictures: the paths of files that it uploaded before."""

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> "UploadedPictures":
        """The files.

        Raises:
            gr.Error: One is not marked as a file; only what is marked is checked by gradio to be an upload.
        """
        for entry in obj if isinstance(obj, list) else [obj]:
            UploadedFile.model_validate(entry.get("image") if isinstance(entry, Mapping) else None)
        return super().model_validate(obj, **options)


class UploadedClip(FileData):
    """What a client sends for a clip: the path of a file that it uploaded before."""

    model_config = UploadedFile.model_config

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> "UploadedClip":
        """The file.

        Raises:
            gr.Error: It is not marked as a file; only what is marked is checked by gradio to be an upload.
        """
        UploadedFile.model_validate(obj)
        return super().model_validate(obj, **options)


def refuse_address(path: str | Path | None) -> None:
    """Refuses what gradio would fetch from elsewhere, whatever its size.

    Raises:
        gr.Error: A client put an address in the place of a file.
    """
    if path is not None and is_http_url_like(str(path)):
        # Raised before any handler runs, so that nobody knows the visitor's language yet.
        raise gr.Error(Texts.read().now("error.address", DEFAULT), print_exception=False)


class Pictures(gr.Gallery):
    """An input for several pictures whose value is the paths of the uploaded files, none of them opened yet."""

    is_template = True  # the browser shows the stock gallery
    data_model = UploadedPictures

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """Refuses addresses; else as gradio does."""
        refuse_address(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> list[str]:
        """The paths, in the order in which the browser shows the pictures."""
        return [entry.image.path for entry in payload.root if entry.image.path] if payload else []


class ClipFile(gr.File):
    """An input for a clip whose value is the path of the uploaded file, not opened yet.

    Not a `gr.Video`: that one may run ffmpeg on what a stranger uploaded. The constructor stays that of `gr.File`,
    which sets a data model of its own: see `clip_file`.
    """

    is_template = True

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """Refuses addresses; else as gradio does."""
        refuse_address(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> str | None:
        """The path of the file, or None."""
        return None if payload is None else payload.path

    def example_payload(self) -> Any:
        """The clip that the page has to try."""
        return documented("clip.webm")


def clip_file(**options: Any) -> ClipFile:
    """A `ClipFile` with the data model that belongs to it.

    Args:
        options: Those of `gr.File`.
    """
    clip = ClipFile(file_count="single", type="filepath", **options)
    clip.data_model = UploadedClip
    return clip
