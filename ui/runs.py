"""What the tabs have in common in which the same is asked more than once: the form, and one run at a time.

Knows components, visitors and how a run is started and stopped. Knows nothing of what the tabs show.
"""

import base64
import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from inference import overlay
from inference.errors import Cancelled
from inference.many import Job, Outcome
from inference.sentences import Sentence
from inference.tasks import TASKS
from ui import inputs, markup
from ui.context import PRIVATE, QUEUE, Context
from ui.faults import sentence
from ui.inputs import FIRST_TASK, Asked
from ui.markup import RunRow, Words
from ui.turns import Gone, Superseded, Turn, Turns

Update = dict[Any, Any]

_BEAT = 1.0  # seconds

_PREVIEW = 1280  # pixels of the longer side of a picture that is looked at on the page
_THUMBNAIL = 240  # pixels of the longer side; twice what the page shows, for screens that have so many


class Runs:
    """The form of a tab, and its runs, one a visitor.

    Args:
        context: What it talks to.
        prefix: Stands before the ids of its elements.
        choices: The tasks to choose from.
    """

    def __init__(self, context: Context, *, prefix: str, choices: Iterable[str] = TASKS) -> None:
        self._context = context
        self._prefix = prefix
        self._choices = tuple(choices)
        self._turns = Turns()

    def build(self) -> Asked:
        """Puts the task and what it may need on the page."""
        self.asked = inputs.build_asked(self._context, prefix=self._prefix, tasks=self._choices)
        return self.asked

    def build_buttons(self) -> None:
        """Puts Run and Stop on the page."""
        self.buttons = inputs.build_buttons(self._context, prefix=self._prefix)

    def wire(
        self,
        respond: Callable[..., Any],
        *,
        given: dict[str, Any],
        outputs: list[Any],
        tried: gr.Button,
        fill: Callable[[str | None, str], tuple[Update, str]],
    ) -> None:
        """Makes the form react.

        Args:
            respond: Answers a run.
            given: What it is given besides `Asked`, by its names for it.
            outputs: What it changes besides the buttons.
            tried: The button that runs an example.
            fill: Puts what shows a task, by a model, into `given`, and says what the task may be asked about it.
        """
        buttons, asked = self.buttons, self.asked
        answering: dict[str, Any] = {
            "fn": respond,
            "inputs_kwargs": vars(asked) | given,
            "outputs": [*outputs, *vars(buttons).values()],
            "api_visibility": "private",
            "show_progress": "hidden",
        } | QUEUE

        def show(model: str | None, task: str, *typed: str | None) -> Update:
            update, text = fill(model, task)
            field = TASKS[task].text if task in TASKS else None
            if field is None or (typed[asked.texts.index(getattr(asked, field))] or "").strip():
                return update
            if not text:
                return update | {asked.task: FIRST_TASK}
            return update | {getattr(asked, field): text, asked.typed_in_spanish: False}

        filled = tried.click(
            show,
            [asked.model, asked.task, *asked.texts],
            [*given.values(), asked.task, *asked.texts, asked.typed_in_spanish],
            **PRIVATE,
        )
        asking = gr.on([buttons.run.click, *(text.submit for text in asked.texts)], trigger_mode="once", **answering)
        buttons.wire([asking, filled.success(trigger_mode="multiple", **answering)])
        buttons.stop.click(self.stop, **PRIVATE)

    def stop(self, visitor: gr.Request) -> None:
        """Tells the run to stop, which its answers do at their next token; it then says so itself."""
        self._turns.stop(visitor.session_hash or "")

    def going(self, visitor: gr.Request, *, now_about: str | None) -> bool:
        """Whether a run of this visitor has begun and not ended; one about something else is told to stop.

        Args:
            visitor: Who sees the page.
            now_about: The picture or clip that is there now.
        """
        return self._turns.change(visitor.session_hash or "", now_about)

    def turn(self, visitor: gr.Request, *, about: str | None = None) -> AbstractContextManager[Turn]:
        """Lets Stop, a newer run and another picture or clip than what the run is `about` find it."""
        return self._turns.take(visitor.session_hash or "", about=about)

    def answer(self, visitor: gr.Request, jobs: Iterable[Job], *, about: str | None = None) -> Iterator[Outcome | None]:
        """What comes of each request, as it is known, and None now and then.

        Args:
            visitor: Who asks.
            jobs: Make the requests.
            about: The picture or clip that they are about, if the run is to end with it.

        Raises:
            Busy: The visitor asks for too much at once.
            Cancelled: The visitor pressed Stop.
            Gone: What the run is about was taken away.
            Superseded: The visitor began another run.
        """
        with (
            self._context.visitors.admit(visitor) as visit,
            self.turn(visitor, about=about) as turn,
            closing(self._context.answers(visit, jobs, stopped=lambda: turn.stopped)) as outcomes,
        ):
            told = time.monotonic()
            for outcome in outcomes:
                # Each beat is a message to the browser, which closes the run of one that has gone.
                if outcome is not None or time.monotonic() - told > _BEAT:
                    told = time.monotonic()
                    yield outcome
            if turn.superseded:
                raise Superseded
            if turn.picture_gone:
                raise Gone(turn.now_about)
            if turn.stopped:
                raise Cancelled(Sentence("Stopped."))

    def refusal(self, error: Exception, words: Words) -> str:
        """The note that says why nothing can be begun with what was given."""
        return markup.notes([sentence(error, words)], tone="error")

    def stopped(self, words: Words) -> str:
        """The note that says that the visitor stopped the run."""
        return markup.notes([words.now("run.note_stopped")])

    def row(self, row: RunRow, outcome: Outcome, words: Words, *, request_id: str) -> tuple[RunRow, Image.Image | None]:
        """A row with what came of its picture, and the picture with what was found in it, no larger than a page."""
        if outcome.result is None or outcome.request is None:
            if isinstance(outcome.error, Cancelled):
                return replace(row, state="stopped"), None
            error = outcome.error or AssertionError("an outcome has a result or an error")
            return replace(row, state="failed", error=sentence(error, words, request_id=request_id)), None
        result = outcome.result
        problems = tuple(words.tell(problem) for problem in result.problems)
        bare = replace(result, detections=tuple(replace(thing, mask=None) for thing in result.detections))
        try:
            drawn = overlay.draw(outcome.request.image, result.detections, language=labels_in(words))
        except Exception as error:  # the other rows have nothing to do with it
            return replace(row, state="failed", error=sentence(error, words, request_id=request_id)), None
        drawn.thumbnail((_PREVIEW, _PREVIEW))
        row = replace(row, state="answered", result=bare, problems=problems, thumbnail=_thumbnail(drawn))
        return row, drawn


def given_up(rows: Iterable[RunRow]) -> list[RunRow]:
    """The rows of a run that ended before all were answered."""
    return [replace(row, state="stopped") if row.state == "waiting" else row for row in rows]


def labels_in(words: Words) -> str:
    """The language that labels are drawn in, where they are translated."""
    return "es" if words.language == "es" else "en"


def _thumbnail(image: Image.Image) -> str:
    """A small copy of a picture, as a data: address: small enough to be sent with the text beside it."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
