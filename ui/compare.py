"""The tab in which two answers to one question stand side by side: of two models, or in Spanish made in two ways."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from inference.errors import Cancelled, InvalidInput
from inference.images import open_picture
from inference.many import Job, Outcome
from ui import components, examples, fields, inputs, markup
from ui.comparison import WAYS, Comparison
from ui.components import Drawing
from ui.context import PRIVATE, Context
from ui.faults import new_request_id, sentence, toast
from ui.markup import Words
from ui.runs import Runs, Update
from ui.turns import Gone, Superseded


@dataclass(frozen=True)
class Side:
    """The components that show one of the two answers."""

    text: gr.HTML
    picture: Drawing
    legend: gr.HTML


class CompareTab:
    """The tab's components and handlers.

    Args:
        context: What it talks to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ways = list(WAYS) if len(context.host.statuses()) > 1 else ["spanish"]
        self._runs = Runs(context, prefix="compare-", choices=WAYS[self._ways[0]].tasks)

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its two choices of a model.
        """
        later = self._context.texts.later
        with gr.Row(elem_classes="bench", equal_height=False):
            with gr.Column(scale=4, min_width=300, elem_classes="pane"):
                self._build_form()
            with gr.Column(scale=8, min_width=320, elem_classes="pane results"):
                self._status = components.html(markup.empty(later("compare.empty")), elem_id="compare-status")
                with gr.Row(elem_id="compare-sides", equal_height=False):
                    self._sides = tuple(self._build_side(name) for name in ("left", "right"))
                self._differences = components.html("", elem_id="compare-differences")
        self._wire()
        return [self._asked.model, self._other]

    @property
    def translate(self) -> gr.Checkbox:
        """Whether answers come in Spanish too."""
        return self._runs.asked.translate

    def _build_form(self) -> None:
        later = self._context.texts.later
        names = [status.name for status in self._context.host.statuses()]
        components.html(markup.intro(later("compare.about")))
        self._tried = examples.build_try(self._context.texts, prefix="compare-")
        self._image = fields.build_picture(self._context, prefix="compare-", height=220)
        self._way = gr.Radio(
            [(later(f"compare.{name}"), name) for name in self._ways],
            value=self._ways[0],
            label=later("compare.way"),
            info=None if len(names) > 1 else later("compare.one_model"),
            elem_id="compare-way",
            elem_classes="chips",
        )
        self._asked = self._runs.build()
        self._asked.model.label = later("compare.left_model")
        self._asked.translate.visible = self._ways[0] == "models"
        with gr.Column(visible=len(names) > 1, elem_id="compare-other-model") as self._other_column:
            self._other = gr.Radio(
                names,
                value=names[min(1, len(names) - 1)] if names else None,
                label=later("compare.right_model"),
                visible=len(names) > 1,
                elem_id="compare-other",
                elem_classes="chips",
            )
        self._runs.build_buttons()
        self._runs.buttons.run.value = later("compare.run")

    def _build_side(self, name: str) -> Side:
        with gr.Column(min_width=240, elem_id=f"compare-{name}"):
            text = components.html("", elem_id=f"compare-{name}-text")
            picture = Drawing(
                label=self._context.texts.later(f"compare.{name}"),
                show_label=False,
                interactive=False,
                visible=False,
                buttons=["download", "fullscreen"],
                elem_id=f"compare-{name}-drawn",
                elem_classes="drawn",
            )
            legend = components.html("", elem_id=f"compare-{name}-legend")
        return Side(text, picture, legend)

    def _wire(self) -> None:
        asked = self._asked
        given = {"image": self._image, "way": self._way, "other": self._other}
        shown = [self._status, self._differences]
        for side in self._sides:
            shown += vars(side).values()

        def fill(model: str | None, task: str) -> tuple[Update, str]:  # of what the model on the left knows
            found = examples.examples_for(self._context.host.statuses(), model)
            example = examples.example_of(task, found)
            return {self._image: str(example.picture)}, example.text

        self._runs.wire(self.respond, given=given, outputs=shown, tried=self._tried, fill=fill)
        changes = [self._image.upload, self._image.clear]
        gr.on(changes, self.forget, self._image, shown, trigger_mode="always_last", **PRIVATE)
        changed = [asked.task, asked.translate, asked.model, self._other_column]
        self._way.change(self.choose_way, [self._way, asked.task], changed, **PRIVATE)

    def choose_way(self, way: str, task: str) -> Update:
        """Offers the tasks that a comparison makes sense for, and the models that it needs."""
        later, tasks = self._context.texts.later, WAYS.get(way, WAYS["spanish"]).tasks
        models = way == "models"
        label = later("compare.left_model" if models else "model.label")
        return {
            self._asked.task: gr.update(
                choices=[(later(f"task.{name}"), name) for name in tasks],
                value=task if task in tasks else inputs.FIRST_TASK,
            ),
            self._asked.translate: gr.update(visible=models),
            self._asked.model: gr.update(label=label),
            self._other_column: gr.update(visible=models),
        }

    def forget(self, visitor: gr.Request, image: str | None) -> Update:
        """A comparison goes with its picture; one that is under way does so itself, unless it is about this one."""
        if self._runs.going(visitor, now_about=image):
            return gr.skip()
        return self._forgotten(image, self._context.words(visitor))

    def _forgotten(self, image: str | None, words: Words) -> Update:
        return self._cleared() | {self._status: "" if image else markup.empty(words("compare.empty"))}

    def respond(
        self, visitor: gr.Request, *, image: str | None, way: str, other: str | None, **values: Any
    ) -> Iterator[Update]:
        """Asks both sides at once, and shows each answer as soon as it is there.

        Args:
            visitor: Who asks.
            image: Path of the picture's file, or None.
            way: A key of `WAYS`.
            other: The model of the right side.
            values: Those of `Asked`, by their names.
        """
        context, runs, request_id = self._context, self._runs, new_request_id()
        words = self._context.words(visitor)
        try:
            if not image:
                raise InvalidInput(words.now("error.no_picture"))
            inputs.check(**values)
        except Exception as error:
            yield {self._status: runs.refusal(error, words)}  # an earlier comparison stays
            return
        with runs.turn(visitor, about=image) as turn:
            yield runs.buttons.update(busy=True)
            try:
                opened = open_picture(Path(image), context.limits)
                chosen = WAYS.get(way, WAYS["spanish"])
                both = chosen.requests(inputs.request_about(opened, **values, request_id=request_id), other)
                comparison = Comparison(chosen.name, both, image=opened, words=words, context=context)
                refusal = runs.stopped(words) if turn.stopped else ""
            except Exception as error:
                refusal = runs.refusal(error, words)
        if turn.superseded:
            yield gr.skip()
            return
        if turn.picture_gone:
            yield self._forgotten(turn.now_about, words) | runs.buttons.update(busy=False)
            return
        if refusal:
            yield {self._status: refusal} | runs.buttons.update(busy=False)  # here too
            return
        outcomes: list[Outcome | None] = [None, None]
        yield self._shown(comparison, *outcomes)
        try:
            jobs: list[Job] = [lambda side=side: side for side in both]  # type: ignore[misc]
            try:
                for outcome in runs.answer(visitor, jobs, about=image):
                    if outcome is not None:
                        outcomes[outcome.number] = outcome
                        yield self._shown(comparison, *outcomes)
            except Cancelled:
                pass  # a side without an answer says that it was stopped
            yield self._shown(comparison, *outcomes, over=True) | runs.buttons.update(busy=False)
        except Superseded:
            yield gr.skip()
        except Gone as gone:
            yield self._forgotten(gone.now_about, words) | runs.buttons.update(busy=False)
        except Exception as error:
            message = sentence(error, words, request_id=request_id)
            told = {self._status: markup.notes([message], tone="error")} | runs.buttons.update(busy=False)
            yield told if any(outcomes) else self._cleared() | told
            raise toast(message) from None

    def _cleared(self) -> Update:
        """Everything of an earlier comparison out of sight."""
        update: Update = {self._status: "", self._differences: ""}
        for side in self._sides:
            update |= {side.text: "", side.picture: gr.update(visible=False), side.legend: ""}
        return update

    def _shown(
        self, comparison: Comparison, left: Outcome | None, right: Outcome | None, *, over: bool = False
    ) -> Update:
        """Both sides as far as they are known, and below them what differs once both are there."""
        both = left, right
        update: Update = {self._status: "", self._differences: comparison.differences(both)}
        for number, side in enumerate(self._sides):
            picture = comparison.drawing(both, number)
            update |= {
                side.text: comparison.text(both, number, over=over),
                side.picture: gr.update(value=picture, visible=picture is not None, alt_text=comparison.alternative),
                side.legend: comparison.legend(both, number),
            }
        return update
