"""The right side of the page: what came of a request, from the first token to the last drawing.

Knows components and results. Knows nothing of tasks and models.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from pycocotools import mask as coco

from inference import overlay
from inference.images import Limits, open_picture
from inference.pipeline import Progress
from inference.types import Detection, Result
from ui import components, markup
from ui.components import Drawing
from ui.markup import Words
from ui.texts import Texts

Update = dict[Any, Any]

KEPT_FOR = 3600
"""Seconds for which an answer can be drawn again; its picture's file is deleted then as well."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer in the form in which the server keeps it between two looks at it: small, with masks run-length encoded.

    Attributes:
        picture: Path of the uploaded file.
        answer: `Result.to_json()`.
        device: Where it was answered.
    """

    picture: str
    answer: dict[str, Any]
    device: str

    def detections(self) -> tuple[Detection, ...]:
        """What was found, with masks as arrays again."""
        return tuple(
            Detection(
                label=entry["label"],
                box=tuple(entry["box"]),
                score=entry["score"],
                mask=None if entry["mask"] is None else coco.decode(entry["mask"]).astype(bool),
                translated_label=entry["translated_label"],
            )
            for entry in self.answer["detections"]
        )


@dataclass(frozen=True)
class Look:
    """How an answer is drawn, in percent: changing it does not ask the model again."""

    threshold: gr.Slider
    opacity: gr.Slider

    def fitting(self, result: Result) -> Update:
        """Only what changes anything about this answer."""
        has_masks = any(detection.mask is not None for detection in result.detections)
        return {self.opacity: gr.update(visible=has_masks)}


@dataclass(frozen=True)
class Results:
    """The components that show an answer."""

    status: gr.HTML
    notes: gr.HTML
    answer: gr.HTML
    drawing: gr.Column
    picture: gr.Image
    found: gr.HTML
    rows: gr.HTML
    details: gr.Accordion
    raw: gr.Textbox
    json: gr.JSON
    kept: gr.State

    def waiting(self, words: Words) -> Update:
        """Everything of an earlier answer out of sight."""
        return self.progress(Progress("looking"), words) | {
            self.notes: "",
            self.answer: "",
            self.drawing: gr.update(visible=False),
            self.details: gr.update(visible=False),
            self.kept: None,
        }

    def progress(self, progress: Progress, words: Words) -> Update:
        """How far a request is."""
        match progress.stage:
            case "queued":
                key = "status.queued" if progress.ahead else "status.queued_next"
            case "writing":
                key = "status.writing_one" if progress.tokens == 1 else "status.writing"
            case stage:
                key = f"status.{stage}"
        line = words.texts.now(key, words.language, ahead=progress.ahead, tokens=progress.tokens)
        update: Update = {self.status: markup.status([line], live=True)}
        if progress.raw:
            update[self.answer] = markup.writing(progress.raw, words=words)
        return update

    def failed(self, message: str) -> Update:
        """A request that ended with an error; what was written until then stays."""
        return {self.status: "", self.notes: markup.notes([message], tone="error")}

    def stopped(self, words: Words) -> Update:
        """A request that the person stopped; what was written until then stays."""
        line = words.texts.now("status.stopped", words.language)
        return {
            self.status: markup.status([line]),
            self.notes: markup.notes([words.texts.now("note.stopped", words.language)]),
        }

    def result(self, result: Result, *, image: Image.Image, kept: Kept, look: "Shown", words: Words) -> Update:
        """A complete answer.

        Args:
            result: As the pipeline gave it.
            image: The upright picture.
            kept: The same answer, to be drawn again later.
            look: How to draw it.
            words: The page's texts.
        """
        translation = result.translation.text if result.translation else None
        in_words = markup.answer(result.text, translation=translation, words=words)
        return {
            self.status: markup.status(timing_line(result, kept.device, words)),
            self.notes: markup.notes(result.problems),
            self.answer: "" if result.detections else in_words,
            self.details: gr.update(visible=True),
            self.raw: result.raw,
            self.json: kept.answer,
            self.kept: kept,
            self.drawing: gr.update(visible=bool(result.detections)),
        } | (self.drawn(image, result.detections, look=look, words=words) if result.detections else {})

    def redrawn(self, kept: Kept | None, *, look: "Shown", limits: Limits, words: Words) -> Update:
        """The last answer once more, in another look.

        Raises:
            InvalidPicture: The picture's file is gone.
        """
        if kept is None or not kept.answer["detections"]:
            return {}
        return self.drawn(open_picture(Path(kept.picture), limits), kept.detections(), look=look, words=words)

    def drawn(self, image: Image.Image, detections: tuple[Detection, ...], *, look: "Shown", words: Words) -> Update:
        """Drawing, legend and table of the detections that the look does not hide."""
        seen = look.seen(detections)
        language = "es" if words.language == "es" and any(each.translated_label for each in seen) else "en"
        colours = {label: css(colour) for label, colour in overlay.colours_of(each.label for each in seen).items()}
        hidden = len(detections) - len(seen)
        legend = ((label, css(colour), count) for label, colour, count in overlay.legend(seen, language))
        return {
            self.picture: overlay.draw(image, seen, opacity=look.opacity, language=language),
            self.found: markup.summary(detections, hidden=hidden, threshold=look.threshold, words=words)
            + markup.legend(legend),
            self.rows: markup.table(seen, colours=colours, words=words),
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """The values of `Look`, as parts of 1."""

    threshold: float
    opacity: float

    @classmethod
    def from_percent(cls, *, threshold: float, opacity: float) -> "Shown":
        """What the sliders say."""
        return cls(threshold=threshold / 100, opacity=opacity / 100)

    def seen(self, detections: tuple[Detection, ...]) -> tuple[Detection, ...]:
        """Those that are sure enough; what has no score is always there."""
        return tuple(each for each in detections if each.score is None or each.score >= self.threshold)


def build(texts: Texts) -> tuple[Results, Look]:
    """Puts the place for answers on the page."""
    later = texts.later
    status = components.html("", elem_id="status")
    notes = components.html("", elem_id="notes")
    answer = components.html(f'<p class="empty">{later("result.empty")}</p>', elem_id="answer-panel")
    with gr.Column(visible=False, elem_id="drawing") as drawing:
        found = components.html("", elem_id="found")
        picture = Drawing(
            label=later("result.picture"),
            show_label=False,
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="drawn",
        )
        with gr.Row(elem_id="look"):
            threshold = _percentage("threshold", texts, value=0)
            opacity = _percentage("opacity", texts, value=45)
        rows = components.html("", elem_id="rows")
    with gr.Accordion(later("result.details"), open=False, visible=False, elem_id="details") as details:
        raw = gr.Textbox(
            label=later("result.raw"), interactive=False, lines=2, max_lines=8, buttons=["copy"], elem_id="raw"
        )
        json = gr.JSON(label=later("result.json"), max_height=420, elem_id="json")
    kept = gr.State(None, time_to_live=KEPT_FOR)
    results = Results(
        status=status,
        notes=notes,
        answer=answer,
        drawing=drawing,
        picture=picture,
        found=found,
        rows=rows,
        details=details,
        raw=raw,
        json=json,
        kept=kept,
    )
    return results, Look(threshold=threshold, opacity=opacity)


def _percentage(name: str, texts: Texts, *, value: int) -> gr.Slider:
    return gr.Slider(
        0, 100, value=value, step=1, label=texts.later(f"{name}.label"), buttons=[], elem_id=name, min_width=180
    )


def css(colour: overlay.Colour) -> str:
    """A colour of the drawing, for a style sheet."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def timing_line(result: Result, device: str, words: Words) -> list[str]:
    """Model, device, time and tokens of an answer."""
    now, language = words.texts.now, words.language
    tokens = result.timing.tokens
    return [
        result.model,
        device,
        now("status.seconds", language, seconds=f"{result.timing.total:.1f}"),
        now("status.tokens_one" if tokens == 1 else "status.tokens_many", language, tokens=tokens),
    ]
