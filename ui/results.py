"""The right side of the page: what came of a request, from the first token to the last drawing.

Knows components and results. Knows nothing of tasks and models.
"""

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from inference import overlay
from inference.pipeline import Progress
from inference.types import Result
from ui import components, markup
from ui.components import Drawing
from ui.look import Look, Shown, build_look
from ui.markup import Words
from ui.naming import Naming, language_of
from ui.texts import Texts

Update = dict[Any, Any]


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

    def empty(self, sentence: str) -> Update:
        """Before anything was asked.

        Args:
            sentence: What stands where an answer will be.
        """
        return self._cleared() | {self.status: "", self.answer: markup.empty(sentence)}

    def waiting(self, words: Words) -> Update:
        """Everything of an earlier answer out of sight."""
        return self._cleared() | {self.answer: ""} | self.progress(Progress("looking"), words)

    def progress(self, progress: Progress, words: Words, *, task: str = "") -> Update:
        """How far a request is.

        Args:
            progress: What the pipeline said last.
            words: The page's texts.
            task: What is asked, if anything is written yet.
        """
        seconds = math.ceil(progress.seconds or 0)
        match progress.stage:
            case "queued":
                about = "status.queued_about" if seconds else "status.queued"
                key = about if progress.ahead else "status.queued_next"
            case "writing":
                key = "status.writing_one" if progress.tokens == 1 else "status.writing"
            case stage:
                key = f"status.{stage}"
        told = {"ahead": progress.ahead, "seconds": seconds, "tokens": progress.tokens}
        line = words.now(key, **told)
        update: Update = {self.status: markup.status([line], live=True)}
        if progress.raw:
            update[self.answer] = markup.writing(progress.raw, words=words, task=task)
        return update

    def refused(self, message: str) -> Update:
        """A request that never began."""
        return {self.notes: markup.notes([message], tone="error")}

    def failed(self, message: str) -> Update:
        """A request that ended with an error; what was written until then stays."""
        return self.refused(message) | {self.status: ""}

    def stopped(self, words: Words) -> Update:
        """A request that the person stopped; what was written until then stays."""
        line = words.now("status.stopped")
        return {
            self.status: markup.status([line]),
            self.notes: markup.notes([words.now("note.stopped")]),
        }

    def result(
        self, result: Result, *, image: Image.Image | None, look: Shown, device: str, words: Words, naming: Naming
    ) -> Update:
        """A complete answer.

        Args:
            result: As the pipeline gave it.
            image: The upright picture; not needed for an answer in words.
            look: How to draw it.
            device: Where it was answered.
            words: The page's texts.
            naming: Says which words of an English answer may be looked for.
        """
        translation = result.translation.text if result.translation else None
        update: Update = {
            self.status: markup.status(timing_line(result, device, words)),
            self.notes: markup.notes(words.tell(problem) for problem in result.problems),
            self.details: gr.update(visible=True),
            self.raw: result.raw,
            self.json: result.to_json(),
            self.drawing: gr.update(visible=bool(result.detections)),
        }
        if image is not None and result.detections:
            return update | {self.answer: ""} | self.drawn(image, result, look=look, words=words)
        if not result.text and result.problems:
            return update | {self.answer: ""}  # which say why there is nothing
        language = language_of(result.prompt)
        names = naming if language == "en" else None
        shown = markup.answer(
            result.text,
            translation=translation,
            words=words,
            language=language,
            naming=names,
            task=result.task,
        )
        return update | {self.answer: shown}

    def drawn(self, image: Image.Image, result: Result, *, look: Shown, words: Words) -> Update:
        """Drawing, legend and table of the detections that the look does not hide."""
        seen, drawing = look.seen(result.detections), look.drawing(result)
        colours = drawing.colours or {}
        hidden = len(result.detections) - len(seen)
        legend = overlay.legend(seen, look.language, colours=colours)
        picture = overlay.draw(
            image,
            seen,
            opacity=drawing.opacity,
            boxes=drawing.boxes,
            masks=drawing.masks,
            language=drawing.language,
            colours=colours,
        )
        return {
            self.picture: gr.update(value=picture, alt_text=words.now("result.picture")),
            self.found: markup.summary(result.detections, hidden=hidden, threshold=look.threshold, words=words)
            + markup.legend(legend),
            self.rows: markup.table(seen, colours=colours, words=words, size=(result.width, result.height)),
        }

    def _cleared(self) -> Update:
        """Everything of an earlier answer out of sight."""
        return {
            self.notes: "",
            self.drawing: gr.update(visible=False),
            self.details: gr.update(visible=False),
        }


def build(texts: Texts) -> tuple[Results, Look]:
    """Puts the place for answers on the page."""
    later = texts.later
    status = components.html("", elem_id="status")
    notes = components.html("", elem_id="notes")
    answer = components.html(markup.empty(later("result.empty")), elem_id="answer-panel", events=True)
    with gr.Column(visible=False, elem_id="drawing", elem_classes="drawing") as drawing:
        found = components.html("", elem_id="found")
        picture = Drawing(
            label=later("result.picture"),
            show_label=False,
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="drawn",
            elem_classes="drawn",
        )
        controls = build_look(texts)
        rows = components.html("", elem_id="rows", events=True)
    with gr.Accordion(later("result.details"), open=False, visible=False, elem_id="details") as details:
        raw = gr.Textbox(
            label=later("result.raw"), interactive=False, lines=2, max_lines=8, buttons=["copy"], elem_id="raw"
        )
        json = gr.JSON(label=later("result.json"), max_height=420, elem_id="json")
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
    )
    return results, controls


def timing_line(result: Result, device: str, words: Words) -> list[str]:
    """Model, device, time and tokens of an answer."""
    now = words.now
    tokens = result.timing.tokens
    took = "status.cached" if result.timing.cached else "status.seconds"
    return [
        result.model,
        device,
        now(took, seconds=f"{result.timing.total:.1f}"),
        now("status.tokens_one" if tokens == 1 else "status.tokens_many", tokens=tokens),
    ]
