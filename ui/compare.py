"""The tab in which two answers to one question stand side by side: of two models, or in Spanish made in two ways."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from inference.errors import InvalidInput
from inference.images import open_picture
from inference.many import Job, Outcome
from inference.tasks import TASKS
from ui import components, examples, inputs, markup
from ui.comparison import WAYS, Comparison
from ui.components import Drawing, Picture
from ui.context import PRIVATE, QUEUE, Context
from ui.faults import new_request_id, sentence, toast
from ui.markup import Words
from ui.runs import described
from ui.turns import Turns

Update = dict[Any, Any]
PREFIX = "compare-"


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
        self._turns = Turns()

    def build(self) -> Sequence[gr.Radio]:
        """Puts the tab on the page and wires it.

        Returns:
            Its two choices of a model.
        """
        later = self._context.texts.later
        with gr.Row(elem_id="compare", elem_classes="workbench", equal_height=False):
            with gr.Column(scale=4, min_width=300, elem_id="compare-form", elem_classes="panel"):
                self._build_form()
            with gr.Column(scale=8, min_width=320, elem_id="compare-results", elem_classes="panel"):
                self._status = components.html(markup.empty(later("compare.empty")), elem_id="compare-status")
                with gr.Row(elem_id="compare-sides", equal_height=False):
                    self._sides = tuple(self._build_side(name) for name in ("left", "right"))
                self._differences = components.html("", elem_id="compare-differences")
        self._wire()
        return [self._asked.model, self._other]

    def _build_form(self) -> None:
        later, statuses = self._context.texts.later, self._context.host.statuses()
        names = [status.name for status in statuses]
        ways = list(WAYS) if len(names) > 1 else ["spanish"]
        components.html(markup.intro(later("compare.about")))
        self._tried = examples.build_try(self._context.texts, prefix=PREFIX)
        self._image = Picture(
            type="filepath",
            label=later("picture.label"),
            sources=["upload", "webcam", "clipboard"],
            buttons=["fullscreen"],
            height=220,
            elem_id="compare-picture",
            elem_classes="picture",
        )
        self._way = gr.Radio(
            [(later(f"compare.{name}"), name) for name in ways],
            value=ways[0],
            label=later("compare.way"),
            info=None if len(names) > 1 else later("compare.one_model"),
            elem_id="compare-way",
            elem_classes="chips",
        )
        self._asked, self._hint = inputs.build_asked(self._context, prefix=PREFIX, tasks=WAYS[ways[0]].tasks)
        self._asked.model.label = later("compare.left_model")
        self._asked.translate.visible = ways[0] == "models"
        with gr.Column(visible=len(names) > 1, elem_id="compare-other-model") as self._other_column:
            self._other = gr.Radio(
                names,
                value=names[min(1, len(names) - 1)] if names else None,
                label=later("compare.right_model"),
                visible=len(names) > 1,
                elem_id="compare-other",
                elem_classes="chips",
            )
        self._buttons = inputs.build_buttons(self._context, prefix=PREFIX)
        self._buttons.run.value = later("compare.run")

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
        asked, buttons = self._asked, self._buttons
        fields = {"image": self._image, "way": self._way, "other": self._other, **vars(asked)}
        shown = [self._status, self._differences, *vars(buttons).values()]
        for side in self._sides:
            shown += vars(side).values()
        answering: dict[str, Any] = {
            "fn": self.respond,
            "inputs_kwargs": fields,
            "outputs": shown,
            "api_visibility": "private",
            "show_progress": "hidden",
        } | QUEUE
        filled = self._tried.click(self.fill, asked.model, [self._image, asked.task, asked.length], **PRIVATE)
        for event in (
            gr.on([buttons.run.click, *(text.submit for text in asked.texts)], trigger_mode="once", **answering),
            filled.success(**answering),
        ):
            event.failure(lambda: buttons.update(busy=False), outputs=list(vars(buttons).values()), **PRIVATE)
        buttons.stop.click(self.stop, **PRIVATE)
        needed = [getattr(asked, name) for name in inputs.needed_by(TASKS[inputs.FIRST_TASK]) if hasattr(asked, name)]
        asked.task.change(self.choose, asked.task, [self._hint, *needed], **PRIVATE)
        changed = [asked.task, asked.translate, asked.model, self._other_column]
        self._way.change(self.choose_way, [self._way, asked.task], changed, **PRIVATE)

    def fill(self, model: str | None) -> Update:
        """Puts an example into the form, of those that the model on the left knows."""
        picture = examples.pictures_for(self._context.host.statuses(), model)[0]
        return {self._image: str(picture)} | described(self._asked)

    def choose(self, task: str) -> Update:
        """Shows the inputs that a task needs and hides the others."""
        chosen = TASKS.get(task, TASKS[inputs.FIRST_TASK])
        return {self._hint: inputs.hint_of(chosen.name, self._context.texts)} | {
            getattr(self._asked, name): gr.update(visible=visible)
            for name, visible in inputs.needed_by(chosen).items()
            if hasattr(self._asked, name)
        }

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
        context, request_id = self._context, new_request_id()
        words = Words(context.texts, context.texts.language_of(visitor))
        yield self._cleared() | self._buttons.update(busy=True)
        try:
            if not image:
                raise InvalidInput(context.texts.now("error.no_picture", words.language))
            opened = open_picture(Path(image), context.limits)
            chosen = WAYS.get(way, WAYS["spanish"])
            asked = inputs.request_about(opened, **values, request_id=request_id)
            both = chosen.requests(asked, other)
            comparison = Comparison(chosen.name, both, image=opened, words=words, context=context)
            with self._turns.take(visitor.session_hash or "") as told_to_stop, context.visitors.admit(visitor) as visit:
                yield self._shown(comparison, None, None)
                jobs: list[Job] = [lambda side=side: side for side in both]  # type: ignore[misc]
                outcomes: list[Outcome | None] = [None, None]
                with closing(context.answers(visit, jobs, stopped=told_to_stop.is_set)) as answers:
                    for outcome in answers:
                        if outcome is not None:
                            outcomes[outcome.number] = outcome
                            yield self._shown(comparison, *outcomes)
                yield self._shown(comparison, *outcomes, over=True) | self._buttons.update(busy=False)
        except Exception as error:
            message = sentence(error, request_id=request_id, texts=context.texts, language=words.language)
            yield {self._status: markup.notes([message], tone="error")} | self._buttons.update(busy=False)
            raise toast(message) from None

    def stop(self, visitor: gr.Request) -> None:
        """Tells both sides to stop, which they do at their next token."""
        self._turns.stop(visitor.session_hash or "")

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
