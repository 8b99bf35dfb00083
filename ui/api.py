"""The public endpoints, one a task, one for clips and one for exports, the same for gradio_client and plain HTTP.

Knows their names, parameters and documentation, which people script against and which `ui.tools` tells assistants.
Knows no page: the components here are never seen, they only say how a value travels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from inference import overlay
from inference.errors import InvalidInput
from inference.exports import Exported, File, has_places
from inference.images import open_picture
from inference.received import result_from_json
from inference.sentences import Sentence
from inference.tasks import LANGUAGES, LENGTHS, TASKS
from inference.types import Request
from ui import exports
from ui.components import Choice, Drawing, Line, Parcel, Picture, ResultJson, Switch
from ui.context import QUEUE, Context
from ui.faults import new_request_id, plain_errors
from ui.uploads import clip_file
from ui.video import CLIP_TASKS
from ui.video_api import asked_about_clip

Answer = tuple[dict[str, Any], Image.Image | None]

EXPORTS: Mapping[str, str] = {
    "png": "drawn", "masks": "masks", "json": "json", "coco": "coco", "yolo": "yolo", "csv": "csv", "zip": exports.ALL,
}  # fmt: skip
"""What `export` calls the formats -> what the page's buttons call them."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The functions behind the endpoints; their names are the endpoints' names.

    Attributes:
        context: What they talk to.
    """

    context: Context

    def describe(self, image: str | None, length: str, language: str, translate: bool, model: str) -> Answer:
        """Describes a picture in words.

        For “what is in this picture?”. `answer` is better for one particular question, `read_text` for writing.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
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

        For signs, labels, screens and short passages; a page full of small print is more than the model sees.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
            translate: Whether to add a Spanish translation.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, with what was read as `text`, and null instead of a drawn picture.
        """
        return self._answer("read_text", image, translate=translate, model=model)

    def answer(
        self, image: str | None, question: str, language: str, translate: bool, input_language: str, model: str
    ) -> Answer:
        """Answers a question about a picture, in a word or a few.

        For one fact: a colour, a number, a kind, a yes or no. Each call stands alone; earlier ones are not remembered.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
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
        """Finds a question about a picture that has a given answer: `answer` the other way round.

        For making quizzes and data sets, not for learning about a picture.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
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

        For where things are and how many; name each kind by a noun. `segment` gives outlines too, and takes longer.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
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

        For areas, cut-outs and masks. `detect` is quicker where boxes are enough.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
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

        For what none of the other tasks does.

        Args:
            image: The picture, as an uploaded file. Web addresses are refused.
            prompt: What the model is given besides the picture.
            translate: Whether to add a Spanish translation.
            model: Name of the model, or empty for the default one.

        Returns:
            The result as JSON, and the picture with what was found drawn on it, or null if nothing was.
        """
        return self._answer("prompt", image, text=prompt, translate=translate, model=model)

    def video(
        self, video: str | None, task: str, text: str, frames: float, translate: bool, model: str
    ) -> dict[str, Any]:
        """Asks the same about evenly spaced frames of a clip, and makes subtitles of the answers.

        For what happens when. Each frame is answered by itself; the model knows nothing of the others.

        Args:
            video: The clip, as an uploaded file. Web addresses are refused.
            task: What to ask: describe, read_text, answer, detect or segment.
            text: The question, or the objects to look for separated by a semicolon; empty for the other tasks.
            frames: How many frames to ask about.
            translate: Whether to add Spanish translations, and subtitles in Spanish.
            model: Name of the model, or empty for the default one.

        Returns:
            JSON: `seconds` of the clip; `frames`, each with its `time` in seconds and its `result`, or null and an
            `error`; `subtitles` by language, each as `vtt` and `srt`; Spanish ones only where there is a translation.
        """
        request_id = new_request_id()
        with plain_errors(self.context.english, request_id=request_id):
            if task not in CLIP_TASKS:
                raise InvalidInput(
                    Sentence("Unknown task “{value}”. The tasks are: {allowed}.",
                             value=str(task)[:40], allowed=", ".join(CLIP_TASKS))
                )  # fmt: skip
            asked = {"task": task, "text": text or "", "translate": translate, "model": model or None}
            return asked_about_clip(self.context, video, asked, frames=frames, request_id=request_id)

    def export(self, image: str | None, result: dict[str, Any] | None, format: str) -> File:  # noqa: A002 (its name)
        """Makes a file of a result, as the page's buttons do, without asking the model again.

        Leave detections out of the result to leave them out of the file.

        Args:
            image: The picture that the result is about, as an uploaded file.
            result: The JSON that one of the tasks returned.
            format: png (the drawing in full size), masks (a zip of PNGs), json, coco, yolo (a zip), csv or zip (all).

        Returns:
            The file.
        """
        with plain_errors(self.context.english, request_id=new_request_id()):
            if format not in EXPORTS:
                raise InvalidInput(
                    Sentence("Unknown format “{value}”. It can be {allowed}.",
                             value=str(format)[:40], allowed=", ".join(EXPORTS))
                )  # fmt: skip
            with self.context.visitors.admit(None):
                picture = self._picture(image)
                received = result_from_json(result, about=picture.size)
                if EXPORTS[format] not in exports.formats_of(received):
                    raise InvalidInput(
                        Sentence("This result has nothing to write as {format}: it is in words only.", format=format)
                        if not has_places(received)
                        else Sentence("This result has no masks. The task “segment” makes them.")
                    )
                return exports.packed(Exported(Path(str(image)).name, picture, received), EXPORTS[format])

    def _answer(self, task: str, image: str | None, *, model: str, **fields: Any) -> Answer:
        request_id = new_request_id()
        given: dict[str, Any] = {name: "" if value is None else value for name, value in fields.items()}
        with plain_errors(self.context.english, request_id=request_id):
            with self.context.visitors.admit(None) as visit:
                request = Request(image=self._picture(image), task=task, model=model or None, id=request_id, **given)
                result = self.context.pipeline.run(visit.asking(request), left=visit.left)
                drawn = overlay.draw(request.image, result.detections) if has_places(result) else None
            return result.to_json(), drawn

    def _picture(self, image: str | None) -> Image.Image:
        if not image:
            raise InvalidInput(self.context.english.now("error.no_picture"))
        return open_picture(Path(image), self.context.limits)


def build(context: Context) -> None:
    """Adds the endpoints to the page, where nobody sees them."""
    endpoints = Endpoints(context)
    with gr.Column(visible=False):
        # Shared by the endpoints: a browser goes through all components times all events when it opens the page.
        inputs: dict[str, gr.components.Component] = {
            "image": Picture(type="filepath", label="image"),
            "question": Line(placeholder="How many moons are there?", label="question"),
            "answer": Line(placeholder="two", label="answer"),
            "objects": Line(placeholder="moon ; house", label="objects"),
            "prompt": Line(placeholder="detect moon", label="prompt"),
            "length": Choice(list(LENGTHS), value="short", label="length"),
            "language": Choice(list(LANGUAGES), value="en", label="language"),
            "translate": Switch(False, label="translate"),
            "input_language": Choice(["en", "es"], value="en", label="input_language"),
            "model": Line("", label="model"),
        }
        result, drawn, called = gr.JSON(label="result"), Drawing(label="drawn"), gr.Button()
        for task in TASKS:
            function = getattr(endpoints, task)
            taken = [inputs[name] for name in parameters_of(function)]
            called.click(function, taken, [result, drawn], api_name=task, **QUEUE)
        called.click(
            endpoints.video,
            [
                clip_file(label="video"),
                Choice(list(CLIP_TASKS), value="describe", label="task"),
                Line("", label="text"),
                gr.Number(context.settings.video_frames, precision=0, label="frames"),
                inputs["translate"],
                inputs["model"],
            ],
            result,
            api_name="video",
            **QUEUE,
        )
        called.click(
            endpoints.export,
            [inputs["image"], ResultJson(label="result"), Choice(list(EXPORTS), value="zip", label="format")],
            Parcel(label="file"),
            api_name="export",
            **exports.PACKING | {"api_visibility": "public"},
        )


def parameters_of(function: Callable[..., Answer]) -> list[str]:
    """The names of an endpoint's parameters, in order."""
    return [name for name in function.__annotations__ if name != "return"]
