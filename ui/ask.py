"""The tab in which a person asks about one picture: all its wiring, and the handlers behind it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from inference.errors import InvalidInput
from inference.pipeline import Progress
from inference.tasks import MAX_TEXT_CHARACTERS, TASKS
from inference.types import Result
from ui import examples, fields, inputs
from ui.answers import Answers
from ui.components import pressed
from ui.context import PRIVATE, QUEUE, Context
from ui.examples import Shelf
from ui.faults import new_request_id, sentence, toast, told
from ui.links import Links
from ui.markup import Words
from ui.results import Update
from ui.thread import Kept, Thread
from ui.turns import Turn, Turns

PACE = 0.05
"""Seconds between two looks at an answer that is being written: a browser cannot draw more often than it helps."""

ASKED_BY_CLICK = ("detect", "segment")
"""What a click on a thing in an answer can ask for."""


class AskTab:
    """The tab's components and handlers.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._examples = examples.read_examples()
        self._turns = Turns()
        self._answers = Answers(context, self._turns)

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its choice of a model.
        """
        texts = self._context.texts
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_id="form", elem_classes="pane"):
                image = fields.build_picture(self._context)
                self._inputs, self._buttons = inputs.build(self._context, image)
                self.links = Links(self._context, self._inputs)
                self.links.build()
            with gr.Column(scale=6, min_width=320):
                self._answers.build()
                kinds = examples.kinds_for(self._context.host.statuses())
                cards = examples.build_cards(self._examples, texts, kinds=kinds)
                self.shelf = Shelf(self._examples, cards, self._context.host)
        self._answers.wire(image)
        self._wire(cards)
        return [self._inputs.model]

    @property
    def translate(self) -> gr.Checkbox:
        """Whether answers come in Spanish too."""
        return self._inputs.translate

    def _wire(self, cards: list[gr.Button]) -> None:
        fields, buttons = self._inputs, self._buttons
        answering: dict[str, Any] = {
            "fn": self.respond,
            "inputs_kwargs": vars(fields) | self._answers.inputs,
            "outputs": [*self._answers.outputs, *vars(buttons).values()],
            "api_visibility": "private",
            "show_progress": "hidden",
        } | QUEUE
        started = [
            gr.on([buttons.run.click, *(text.submit for text in fields.texts)], trigger_mode="once", **answering)
        ]
        filling = {"outputs": list(vars(fields).values())} | PRIVATE
        for clicks, fill in (([card.click for card in cards], self.fill), (self._answers.clicks, self.ask_for)):
            # A click takes over from what another one has asked, which then ends.
            started.append(gr.on(clicks, fill, **filling).success(trigger_mode="multiple", **answering))
        buttons.wire(started)
        buttons.stop.click(self.stop, fields.image, **PRIVATE)

    def fill(self, event: gr.EventData, visitor: gr.Request) -> Update:
        """Puts the example into the form whose card was clicked."""
        words = self._context.words(visitor)
        with told(words):
            example = self._examples[pressed(event, dict(enumerate(self.shelf.cards)))]
        fields = self._inputs
        update: Update = {
            fields.image: str(example.picture),
            fields.task: example.task,
            fields.length: example.length,
            fields.translate: example.translate or words.language == "es",
            fields.typed_in_spanish: False,
        }
        if name := TASKS[example.task].text:
            update[getattr(fields, name)] = example.text
        return update

    def ask_for(self, event: gr.EventData, visitor: gr.Request) -> Update:
        """Puts a thing into the form that was clicked in an answer.

        Raises:
            gr.Error: The browser sent what the page never does.
        """
        fields, asked = self._inputs, event._data or {}
        task, name = asked.get("task"), asked.get("word")
        if task not in ASKED_BY_CLICK or not isinstance(name, str) or not 0 < len(name) <= MAX_TEXT_CHARACTERS:
            raise toast(self._context.words(visitor).now("error.click"))
        return {fields.task: task, fields.objects: name, fields.typed_in_spanish: False}

    def respond(self, visitor: gr.Request, *, thread: Thread, **values: Any) -> Iterator[Update]:
        """Answers what the form asks, and shows it from the first token on.

        Args:
            visitor: Who asks.
            thread: What was asked before.
            values: Those of `Inputs`, and the rest of `Answers.inputs`, by their names.
        """
        context, request_id = self._context, new_request_id()
        words = context.words(visitor)
        asked = {name: values.pop(name) for name in vars(self._inputs)}
        if refusal := self._refusal(asked, words):
            yield self._answers.refused(refusal)  # what is being read or written stays
            return
        thread = thread.about(asked["image"])
        # The turn begins before the picture is opened, which may take seconds: Stop and a newer question find it.
        with self._turns.take(visitor.session_hash or "", about=asked["image"]) as turn:
            yield self._answers.waiting(thread, words) | self._buttons.update(busy=True)
            try:
                with context.visitors.admit(visitor) as visit:
                    request = inputs.to_request(**asked, limits=context.limits, request_id=request_id)
                    if turn.stopped:
                        yield self._ended(turn, words)
                        return
                    with closing(context.pipeline.stream(visit.asking(request), left=visit.left)) as stream:  # type: ignore[type-var]
                        for item in paced(stream):
                            if turn.outdated or (turn.stopped and not isinstance(item, Result)):
                                yield self._ended(turn, words)
                                return
                            if not isinstance(item, Result):
                                yield self._answers.progress(item, words, task=asked["task"])
                                continue
                            thread = thread.answered(self._kept(item, asked, words))
                            shown = self._answers.answered(thread, item, image=request.image, words=words, **values)
                            # The last words of a handler: gradio says them once more when it ends, and a slow browser
                            # may need that, where parts come back to the page together with what fills them.
                            yield shown | self._buttons.update(busy=False)
            except Exception as error:
                if turn.outdated:
                    yield self._ended(turn, words)
                    return
                message = sentence(error, words, request_id=request_id)
                yield self._answers.failed(message) | self._buttons.update(busy=False)
                raise toast(message) from None

    def _ended(self, turn: Turn, words: Words) -> Update:
        """The last words of an answer that is not wanted any more."""
        if turn.superseded:
            return gr.skip()  # the last words are said twice, so they must be none
        last = self._answers.forgotten(words) if turn.picture_gone else self._answers.stopped(words)
        return last | self._buttons.update(busy=False)

    def stop(self, visitor: gr.Request, image: str | None) -> None:
        """Tells the answer to stop, which it does at its next token; it then says so itself, or nothing.

        Args:
            visitor: Who is being answered.
            image: The picture that is there now; another one than the answer is about has pressed Stop by coming.
        """
        self._turns.change(visitor.session_hash or "", image)
        self._turns.stop(visitor.session_hash or "")

    def _refusal(self, asked: dict[str, Any], words: Words) -> str:
        """What is missing in the form or not allowed there, or nothing."""
        if not asked["image"]:
            return words.now("error.no_picture")
        try:
            inputs.check(**{name: value for name, value in asked.items() if name != "image"})
        except InvalidInput as error:
            return words.tell(error.sentence)
        return ""

    def _kept(self, result: Result, values: dict[str, Any], words: Words) -> Kept:
        task = TASKS[result.task]
        detail = values[task.text] if task.text else ""
        if task.has_length:
            detail = words.now(f"length.{values['length']}")
        label = words.now(f"task.{task.name}")
        return Kept.of(
            result,
            picture=values["image"],
            question=f"{label}: {detail}" if detail else label,
            device=self._device(result.model),
        )

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
