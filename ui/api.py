"""The public endpoints, one a task, the same for gradio_client, plain HTTP and MCP.

Knows their names, parameters and documentation, which people script against. Knows no page: the components here are
never seen, they only say how a value travels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from inference import overlay
from inference.errors import InvalidInput
from inference.images import open_picture
from inference.tasks import LANGUAGES, LENGTHS
from inference.types import Request
from ui.components import Choice, Drawing, Picture
from ui.context import QUEUE, Context
from ui.faults import new_request_id, plain_errors

Answer = tuple[dict[str, Any], Image.Image | None]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The functions behind the endpoints; their names are the endpoints' names.

    Attributes:
        context: What they talk to.
    """

    context: Context

    def describe(self, image: str | None, length: str, language: str, translate: bool, model: str) -> Answer:
        """Describes a picture in words.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            length: How much to say: short, medium or long.
            language: Code of the language that the model answers in; it speaks English (en) best.
            translate: Whether to add a Spanish translation.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with the description as `text`, and null instead of a drawn picture.
        """
        return self._answer("describe", image, length=length, language=language, translate=translate, model=model)

    def read_text(self, image: str | None, translate: bool, model: str) -> Answer:
        """Reads the text that stands in a picture.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            translate: Whether to add a Spanish translation.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with what was read as `text`, and null instead of a drawn picture.
        """
        return self._answer("read_text", image, translate=translate, model=model)

    def answer(
        self, image: str | None, question: str, language: str, translate: bool, input_language: str, model: str
    ) -> Answer:
        """Answers a question about a picture.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            question: One question about the picture.
            language: Code of the language that the model answers in; it speaks English (en) best.
            translate: Whether to add a Spanish translation.
            input_language: Language of the question: en, or es to have it translated first.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with the answer as `text`, and null instead of a drawn picture.
        """
        return self._answer(
            "answer", image, text=question, language=language, translate=translate, input_language=input_language,
            model=model,
        )  # fmt: skip

    def ask(
        self, image: str | None, answer: str, language: str, translate: bool, input_language: str, model: str
    ) -> Answer:
        """Finds a question about a picture that has a given answer.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            answer: The answer whose question is wanted.
            language: Code of the language that the model asks in; it speaks English (en) best.
            translate: Whether to add a Spanish translation.
            input_language: Language of the given answer: en, or es to have it translated first.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with the question as `text`, and null instead of a drawn picture.
        """
        return self._answer(
            "ask", image, text=answer, language=language, translate=translate, input_language=input_language,
            model=model,
        )  # fmt: skip

    def detect(self, image: str | None, objects: str, translate: bool, input_language: str, model: str) -> Answer:
        """Finds things in a picture and draws a box around each.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            objects: What to look for; several are separated by a semicolon.
            translate: Whether to translate the labels into Spanish.
            input_language: Language of the objects' names: en, or es to have them translated first.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with boxes in pixels as `detections`, and the picture with the boxes drawn on it.
        """
        return self._answer(
            "detect", image, text=objects, translate=translate, input_language=input_language, model=model
        )

    def segment(self, image: str | None, objects: str, translate: bool, input_language: str, model: str) -> Answer:
        """Finds things in a picture and draws the outline of each.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            objects: What to look for; several are separated by a semicolon.
            translate: Whether to translate the labels into Spanish.
            input_language: Language of the objects' names: en, or es to have them translated first.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with boxes and COCO RLE masks as `detections`, and the picture with them drawn on it.
        """
        return self._answer(
            "segment", image, text=objects, translate=translate, input_language=input_language, model=model
        )

    def prompt(self, image: str | None, prompt: str, translate: bool, model: str) -> Answer:
        """Sends a prompt to the model as it is: a sentence, or a prefix such as `cap en`, `ocr` or `detect cat`.

        Args:
            image: The picture, as an uploaded file or a data: URI. Web addresses are refused.
            prompt: What the model is given besides the picture.
            translate: Whether to add a Spanish translation.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, and the picture with what was found drawn on it, or null if nothing was.
        """
        return self._answer("prompt", image, text=prompt, translate=translate, model=model)

    def _answer(self, task: str, image: str | None, *, model: str, **fields: Any) -> Answer:
        request_id, texts = new_request_id(), self.context.texts
        with plain_errors(request_id=request_id, texts=texts, language="en"):
            if not image:
                raise InvalidInput(texts.now("error.no_picture", "en"))
            for name, value in fields.items():
                if value is None:
                    fields[name] = ""
            request = Request(
                image=open_picture(Path(image), self.context.limits),
                task=task,
                model=model or None,
                id=request_id,
                **fields,
            )
            result = self.context.pipeline.run(request)
            drawn = overlay.draw(request.image, result.detections) if result.detections else None
            return result.to_json(), drawn


def build(context: Context) -> None:
    """Adds the endpoints to the page, where nobody sees them."""
    endpoints = Endpoints(context)
    inputs: Mapping[str, Callable[[], gr.components.Component]] = {
        "image": lambda: Picture(type="filepath", label="image"),
        "question": lambda: gr.Textbox(None, label="question"),
        "answer": lambda: gr.Textbox(None, label="answer"),
        "objects": lambda: gr.Textbox(None, label="objects"),
        "prompt": lambda: gr.Textbox(None, label="prompt"),
        "length": lambda: Choice(list(LENGTHS), value="short", label="length"),
        "language": lambda: Choice(list(LANGUAGES), value="en", label="language"),
        "translate": lambda: gr.Checkbox(False, label="translate"),
        "input_language": lambda: Choice(["en", "es"], value="en", label="input_language"),
        "model": lambda: gr.Textbox("", label="model"),
    }
    with gr.Column(visible=False):
        for function in (
            endpoints.describe,
            endpoints.read_text,
            endpoints.answer,
            endpoints.ask,
            endpoints.detect,
            endpoints.segment,
            endpoints.prompt,
        ):
            names = [name for name in function.__annotations__ if name != "return"]
            gr.Button(function.__name__).click(
                function,
                [inputs[name]() for name in names],
                [gr.JSON(label="result"), Drawing(label="drawn")],
                api_name=function.__name__,
                **QUEUE,
            )
