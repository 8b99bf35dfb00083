"""The right side of the tab about one picture: the answer that is shown, those before it, and what to do with them.

Nothing here asks the model. Knows components and kept answers; knows nothing of the form but where the picture is.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from inference.exports import File
from inference.images import open_picture
from inference.pipeline import Progress
from inference.types import Result
from ui import exports, results, thread
from ui.components import Picture, pressed
from ui.context import PRIVATE, Context
from ui.faults import no_longer_kept, told
from ui.look import Shown
from ui.markup import Words
from ui.naming import Naming
from ui.results import Update
from ui.thread import Kept, Thread
from ui.turns import Turns


class Answers:
    """The components and handlers.

    Args:
        context: What they talk to.
        turns: The answers that are being given.
    """

    def __init__(self, context: Context, turns: Turns) -> None:
        self._context = context
        self._turns = turns
        self._naming = Naming.read()

    def build(self) -> None:
        """Puts everything on the page."""
        texts = self._context.texts
        self._thread = thread.build()
        with gr.Column(elem_id="results", elem_classes="pane results"):
            self._results, self._look = results.build(texts)
            self._exports = exports.build(texts)

    @property
    def inputs(self) -> dict[str, Any]:
        """What decides how an answer is shown, by the names that the handlers give it."""
        return vars(self._look) | {"thread": self._thread.thread}

    @property
    def outputs(self) -> list[Any]:
        """Everything that changes with the answer that is shown."""
        look, panel = self._look, self._thread
        fitted = [look.threshold, look.opacity, look.parts, look.labels]
        return [*vars(self._results).values(), *fitted, panel.entries, panel.thread, *self._exports.outputs]

    @property
    def clicks(self) -> list[Callable[..., Any]]:
        """The events of a click on a thing in an answer."""
        return [self._results.answer.click, self._results.rows.click]

    def wire(self, image: Picture) -> None:
        """Makes everything react, to a new picture too."""
        look, panel, shown = self._look, self._thread, self.inputs
        redrawing = [look.threshold.change, look.opacity.change, look.parts.input, look.labels.input]
        drawn = [self._results.picture, self._results.found, self._results.rows]
        gr.on(redrawing, self.redraw, inputs_kwargs=shown, outputs=drawn, trigger_mode="always_last", **PRIVATE)
        panel.entries.select(self.restore, inputs_kwargs=shown, outputs=self.outputs, **PRIVATE)
        panel.entries.clear(self.clear, outputs=self.outputs, **PRIVATE)
        exports.wire(self._exports.buttons.values(), self.export, parcel=self._exports.parcel, inputs_kwargs=shown)
        # In the browser, so that it cannot come after the first words of an answer about the new picture.
        forgotten = self._forgotten(self._context.texts.later("result.empty"))
        script = f"() => {{ document.getElementById('stop')?.click(); return {json.dumps([*forgotten.values()])}; }}"
        gr.on([image.upload, image.clear], None, outputs=list(forgotten), js=script, **PRIVATE)

    def waiting(self, thread: Thread, words: Words) -> Update:
        """A question that was just asked, beside those before it."""
        return self._results.waiting(words) | self._thread.showing(thread, words) | self._exports.none()

    def progress(self, progress: Progress, words: Words, *, task: str) -> Update:
        """How far it is."""
        return self._results.progress(progress, words, task=task)

    def stopped(self, words: Words) -> Update:
        """The person stopped it."""
        return self._results.stopped(words)

    def forgotten(self, words: Words) -> Update:
        """Its picture has gone from the page."""
        return self._forgotten(words("result.empty"))

    def refused(self, message: str) -> Update:
        """A question that could not be asked; an earlier answer stays."""
        return self._results.refused(message)

    def failed(self, message: str) -> Update:
        """It ended with an error."""
        return self._results.failed(message)

    def answered(
        self, thread: Thread, result: Result, *, image: Image.Image | None, words: Words, **controls: Any
    ) -> Update:
        """The chosen answer of a thread, with what can be done with it.

        Args:
            thread: What was asked about the picture.
            result: The chosen answer.
            image: The upright picture; not needed for an answer in words.
            words: The page's texts.
            controls: The values of `Look`.
        """
        fresh: Update = {self._look.threshold: 0} if len(thread.entries) == 1 else {}
        if fresh:  # what was hidden in another picture says nothing about this one
            controls["threshold"] = 0
        look = Shown.of(**controls, language=words.language)
        device = thread.shown.device if thread.shown else ""
        return (
            self._results.result(result, image=image, look=look, device=device, words=words, naming=self._naming)
            | fresh
            | self._look.fitting(result, look)
            | self._thread.showing(thread, words)
            | self._exports.offering(result)
        )

    def redraw(self, visitor: gr.Request, *, thread: Thread, **controls: Any) -> Update:
        """Draws the answer that is shown in another look."""
        words, kept = self._context.words(visitor), thread.shown
        if kept is None or not kept.bare.detections:
            return gr.skip()
        look = Shown.of(**controls, language=words.language)
        with told(words), self._context.visitors.admit(visitor):
            return self._results.drawn(self._picture(kept), kept.result(), look=look, words=words)

    def restore(self, event: gr.EventData, visitor: gr.Request, *, thread: Thread, **controls: Any) -> Update:
        """Shows an earlier answer again."""
        words = self._context.words(visitor)
        if self._turns.taken(visitor.session_hash or ""):  # whose words would come between
            return gr.skip()
        thread = thread.choose((event._data or {}).get("entry"))
        kept = thread.shown
        with told(words), self._context.visitors.admit(visitor):
            if kept is None:
                raise no_longer_kept()
            result = kept.result()
            image = self._picture(kept) if result.detections else None
            return self.answered(thread, result, image=image, words=words, **controls)

    def clear(self, visitor: gr.Request) -> Update:
        """Forgets what was asked about the picture, and what is being asked."""
        self._turns.change(visitor.session_hash or "", None)
        return self.forgotten(self._context.words(visitor)) | {self._thread.thread: Thread()}

    def export(self, event: gr.EventData, visitor: gr.Request, *, thread: Thread, **controls: Any) -> File:
        """The file of the answer that is shown, in the format whose button was pressed."""
        words, kept = self._context.words(visitor), thread.shown
        look = Shown.of(**controls, language=words.language)
        with told(words), self._context.visitors.admit(visitor):
            if kept is None:
                raise no_longer_kept()
            wanted = pressed(event, self._exports.buttons)
            return exports.make(kept, wanted, look=look, limits=self._context.limits)

    def _forgotten(self, sentence: str) -> Update:
        """The page without any answer.

        Args:
            sentence: What stands where an answer will be.
        """
        return self._results.empty(sentence) | self._exports.none() | {self._thread.entries: ""}

    def _picture(self, kept: Kept) -> Image.Image:
        return open_picture(Path(kept.picture), self._context.limits)
