"""The tab in which a person asks one thing about one picture: all its wiring, and the handlers behind it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import gradio as gr

from inference.pipeline import Progress
from inference.tasks import TASKS
from inference.types import Result
from ui import examples, inputs, results
from ui.context import PRIVATE, QUEUE, Context
from ui.examples import Example
from ui.faults import new_request_id, sentence, toast
from ui.markup import Words
from ui.results import Kept, Shown, Update
from ui.turns import Turns

PACE = 0.05
"""Seconds between two looks at an answer that is being written: a browser cannot draw more often than it helps."""


class AskTab:
    """The tab's components and handlers.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._examples = examples.read_examples()
        self._turns = Turns()

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its choice of a model.
        """
        texts = self._context.texts
        with gr.Row(elem_id="workbench", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_id="form"):
                image = inputs.build_picture(texts)
                self._inputs, self._hint, self._buttons = inputs.build(self._context, image)
            with gr.Column(scale=6, min_width=320):
                with gr.Column(elem_id="results"):
                    self._results, self._look = results.build(texts)
                cards = examples.build_cards(self._examples, texts)
        self._wire(cards)
        return [self._inputs.model]

    def _wire(self, cards: list[gr.Button]) -> None:
        fields, buttons, look = self._inputs, self._buttons, self._look
        shown = [*vars(self._results).values(), *vars(buttons).values(), look.opacity]
        answering: dict[str, Any] = {
            "fn": self.respond,
            "inputs_kwargs": vars(fields) | vars(look),
            "outputs": shown,
            "api_visibility": "private",
            "show_progress": "hidden",
        } | QUEUE
        started = [
            gr.on([buttons.run.click, *(text.submit for text in fields.texts)], trigger_mode="once", **answering)
        ]
        for card, example in zip(cards, self._examples, strict=True):
            filled = card.click(partial(self.fill, example), outputs=list(vars(fields).values()), **PRIVATE)
            started.append(filled.then(**answering))
        for event in started:  # what fails outside the handler must not leave the buttons as they were meanwhile
            event.failure(lambda: buttons.update(busy=False), outputs=list(vars(buttons).values()), **PRIVATE)
        buttons.stop.click(self.stop, **PRIVATE)
        needed = [getattr(fields, name) for name in inputs.needed_by(TASKS[inputs.FIRST_TASK])]
        fields.task.change(self.choose, fields.task, [self._hint, *needed], **PRIVATE)
        gr.on(
            [look.threshold.change, look.opacity.change],
            self.redraw,
            inputs_kwargs=vars(look) | {"kept": self._results.kept},
            outputs=[self._results.picture, self._results.found, self._results.rows],
            trigger_mode="always_last",
            **PRIVATE,
        )

    def choose(self, task: str) -> Update:
        """Shows the inputs that a task needs and hides the others."""
        chosen = TASKS.get(task, TASKS[inputs.FIRST_TASK])
        needed = inputs.needed_by(chosen)
        return {self._hint: inputs.hint_of(chosen.name, self._context.texts)} | {
            getattr(self._inputs, name): gr.update(visible=visible) for name, visible in needed.items()
        }

    def fill(self, example: Example) -> Update:
        """Puts an example into the form."""
        fields = self._inputs
        update: Update = {
            fields.image: str(example.picture),
            fields.task: example.task,
            fields.length: example.length,
            fields.translate: example.translate,
            fields.typed_in_spanish: False,
        }
        if name := TASKS[example.task].text:
            update[getattr(fields, name)] = example.text
        return update

    def respond(self, visitor: gr.Request, **values: Any) -> Iterator[Update]:
        """Answers what the form asks, and shows it from the first token on.

        Args:
            visitor: Who asks.
            values: Those of `Inputs` and `Look`, by their names.
        """
        context, request_id = self._context, new_request_id()
        words = Words(context.texts, context.texts.language_of(visitor))
        look = Shown.from_percent(threshold=values.pop("threshold"), opacity=values.pop("opacity"))
        yield self._results.waiting(words) | self._buttons.update(busy=True)
        try:
            request = inputs.to_request(
                **values,
                limits=context.limits,
                request_id=request_id,
                no_picture=context.texts.now("error.no_picture", words.language),
            )
            with (
                self._turns.take(visitor.session_hash or "") as told_to_stop,
                closing(context.pipeline.stream(request)) as stream,  # type: ignore[type-var]
            ):
                for item in paced(stream):
                    if isinstance(item, Result):
                        kept = Kept(values["image"], item.to_json(), self._device(item.model))
                        shown = self._results.result(item, image=request.image, kept=kept, look=look, words=words)
                        yield shown | self._look.fitting(item) | self._buttons.update(busy=False)
                    elif told_to_stop.is_set():
                        yield self._results.stopped(words) | self._buttons.update(busy=False)
                        return
                    else:
                        yield self._results.progress(item, words)
        except Exception as error:
            message = sentence(error, request_id=request_id, texts=context.texts, language=words.language)
            yield self._results.failed(message) | self._buttons.update(busy=False)
            raise toast(message) from None

    def stop(self, visitor: gr.Request) -> None:
        """Tells the answer to stop, which it does at its next token; it then says so itself."""
        self._turns.stop(visitor.session_hash or "")

    def redraw(self, visitor: gr.Request, *, threshold: float, opacity: float, kept: Kept | None) -> Update:
        """Draws the last answer in another look, without asking the model."""
        texts = self._context.texts
        words = Words(texts, texts.language_of(visitor))
        look = Shown.from_percent(threshold=threshold, opacity=opacity)
        try:
            return self._results.redrawn(kept, look=look, limits=self._context.limits, words=words)
        except Exception as error:
            message = sentence(error, request_id=new_request_id(), texts=texts, language=words.language)
            raise toast(message) from None

    def _device(self, model: str) -> str:
        return next((status.device for status in self._context.host.statuses() if status.name == model), "")


def paced(stream: Iterator[Progress | Result]) -> Iterator[Progress | Result]:
    """The same without what is written faster than a page can show; the result and each new stage always come."""
    last, stage = 0.0, ""
    for item in stream:
        now = time.monotonic()
        if isinstance(item, Progress) and item.stage == stage and now - last < PACE:
            continue
        last, stage = now, item.stage if isinstance(item, Progress) else ""
        yield item
