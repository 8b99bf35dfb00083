"""The left side of the page: the picture, the task, and the inputs that the task needs and no others.

Knows components and the registry of tasks. Knows nothing of answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from inference import tasks
from inference.batch import MAX_NEW_TOKENS
from inference.images import Limits, open_picture
from inference.tasks import LANGUAGES, LENGTHS, MAX_TEXT_CHARACTERS, TASKS, Task
from inference.types import Request
from ui import components
from ui.components import Picture
from ui.context import PRIVATE, Context
from ui.texts import Texts

FIRST_TASK = next(iter(TASKS))
FIRST_LENGTH = next(iter(LENGTHS))


@dataclass(frozen=True)
class Asked:
    """What is asked, of one picture or of many, by the names that `request_about` gives the values."""

    task: gr.Radio
    question: gr.Textbox
    answer: gr.Textbox
    objects: gr.Textbox
    prompt: gr.Textbox
    typed_in_spanish: gr.Checkbox
    length: gr.Radio
    translate: gr.Checkbox
    model: gr.Radio

    @property
    def texts(self) -> tuple[gr.Textbox, ...]:
        """The fields in which Enter runs the request."""
        return self.question, self.answer, self.objects, self.prompt


@dataclass(frozen=True)
class Inputs(Asked):
    """The components whose values make a request, by the names that `to_request` gives them."""

    image: Picture
    language: gr.Dropdown
    max_tokens: gr.Slider


@dataclass(frozen=True)
class Buttons:
    """What starts and stops a request."""

    run: gr.Button
    stop: gr.Button

    def update(self, *, busy: bool) -> dict[gr.Button, Any]:
        """How they look while a request is being answered, or not."""
        return {self.run: gr.update(interactive=not busy), self.stop: gr.update(visible=busy)}

    def wire(self, started: Iterable[Any]) -> None:
        """Puts the page in order when a run is over.

        Args:
            started: The events of runs.
        """
        for run in started:
            # What fails outside the handler must not leave the buttons as they were meanwhile.
            failed = run.failure(lambda: self.update(busy=False), outputs=list(vars(self).values()), **PRIVATE)
            for ended in (run, failed):  # gradio leaves out what comes `then` where a run failed
                ended.then(None, js="() => { document.dispatchEvent(new Event('answered')); }", **PRIVATE)


def build(context: Context, image: Picture) -> tuple[Inputs, Buttons]:
    """Puts the form below the picture."""
    later = context.texts.later
    asked, hint = _build_asked(context)
    with gr.Accordion(later("advanced.label"), open=False, elem_id="advanced"):
        language = gr.Dropdown(
            [(name, code) for code, name in LANGUAGES.items()],
            value="en",
            label=later("language.label"),
            info=later("language.info"),
            elem_id="language",
        )
        max_tokens = gr.Slider(
            0,
            MAX_NEW_TOKENS,
            value=0,
            step=8,
            label=later("max_tokens.label"),
            info=later("max_tokens.info"),
            buttons=["reset"],
            elem_id="max-tokens",
        )
    inputs = Inputs(**vars(asked), image=image, language=language, max_tokens=max_tokens)
    _show_what_is_needed(context, inputs, hint)
    return inputs, build_buttons(context)


def build_buttons(context: Context, *, prefix: str = "") -> Buttons:
    """Puts what starts and stops a request on the page.

    Args:
        context: What the page talks to.
        prefix: Stands before the ids of the elements, which are unique in the page; empty for the first tab.
    """
    later = context.texts.later
    with gr.Row(elem_id=f"{prefix}actions", elem_classes="actions"):
        run = gr.Button(
            later("run.label"),
            variant="primary",
            elem_id=f"{prefix}run",
            elem_classes="run-button",
            scale=3,
            min_width=120,
        )
        stop = gr.Button(
            later("stop.label"),
            variant="stop",
            visible=False,
            elem_id=f"{prefix}stop",
            elem_classes="stop-button",
            scale=1,
            min_width=96,
        )
    return Buttons(run, stop)


def build_asked(context: Context, *, prefix: str, tasks: Iterable[str]) -> Asked:
    """Puts the task and what it may need on the page.

    Args:
        context: What the page talks to.
        prefix: Stands before the ids of the elements, which are unique in the page.
        tasks: The tasks to choose from, `FIRST_TASK` among them.
    """
    asked, hint = _build_asked(context, prefix=prefix, tasks=tasks)
    _show_what_is_needed(context, asked, hint)
    return asked


def _build_asked(context: Context, *, prefix: str = "", tasks: Iterable[str] = TASKS) -> tuple[Asked, gr.HTML]:
    """The components, and the line that explains the chosen task."""
    later = context.texts.later
    task = gr.Radio(
        [(later(f"task.{name}"), name) for name in tasks],
        value=FIRST_TASK,
        label=later("task.label"),
        elem_id=f"{prefix}task",
        elem_classes="chips",
    )
    hint = components.html(_hint_of(FIRST_TASK, context.texts), elem_id=f"{prefix}hint")
    fields = {
        name: _text_field(name, context.texts, prefix=prefix) for name in ("question", "answer", "objects", "prompt")
    }
    length = gr.Radio(
        [(later(f"length.{name}"), name) for name in LENGTHS],
        value=FIRST_LENGTH,
        label=later("length.label"),
        elem_id=f"{prefix}length",
        elem_classes="chips",
    )
    translate, typed_in_spanish = _switches(context.texts, prefix=prefix)
    model = _model_choice(context, prefix=prefix)
    asked = Asked(
        task=task,
        **fields,
        typed_in_spanish=typed_in_spanish,
        length=length,
        translate=translate,
        model=model,
    )
    return asked, hint


def _show_what_is_needed(context: Context, asked: Asked, hint: gr.HTML) -> None:
    """Lets the choice of a task show the inputs that it needs, hide the others, and change the hint."""
    optional = {name: field for name, field in vars(asked).items() if name in needed_by(TASKS[FIRST_TASK])}

    def choose(name: str) -> dict[Any, Any]:
        task = TASKS.get(name, TASKS[FIRST_TASK])
        needed = needed_by(task)
        shown = {field: gr.update(visible=needed[name]) for name, field in optional.items()}
        return {hint: _hint_of(task.name, context.texts)} | shown

    asked.task.change(choose, asked.task, [hint, *optional.values()], **PRIVATE)


def _hint_of(task: str, texts: Texts) -> str:
    """The line below the tasks; the browser puts in the words."""
    return f'<p class="hint">{texts.later(f"hint.{task}")}</p>'


def needed_by(task: Task) -> dict[str, bool]:
    """Which of the inputs that are not always there a task needs, by their names in `Inputs`."""
    texts = {name: name == task.text for name in ("question", "answer", "objects", "prompt")}
    return texts | {
        "typed_in_spanish": task.text is not None,
        "length": task.has_length,
        "language": task.has_language,
    }


def check(**values: Any) -> None:
    """Refuses what would be refused for any picture.

    Args:
        values: See `request_about`.

    Raises:
        InvalidInput: See `inference.tasks.check`.
    """
    tasks.check(request_about(Image.new("RGB", (1, 1)), request_id="", **values))


def to_request(*, image: str, limits: Limits, **values: Any) -> Request:
    """The request that the values of the form make.

    Args:
        image: The path of the picture's file.
        limits: What pictures may be.
        values: See `request_about`.

    Raises:
        InvalidPicture: The picture cannot be used.
    """
    return request_about(open_picture(Path(image), limits), **values)


def request_about(
    image: Image.Image,
    *,
    task: str,
    question: str | None,
    answer: str | None,
    objects: str | None,
    prompt: str | None,
    typed_in_spanish: bool | None,
    length: str | None,
    translate: bool | None,
    model: str | None,
    language: str | None = "en",
    max_tokens: float | None = 0,
    request_id: str,
) -> Request:
    """The request about an open picture that the values of the components of the same names make.

    A value is None while its field only just comes on the page. The last argument is the request's name in the log.
    """
    texts = {"question": question, "answer": answer, "objects": objects, "prompt": prompt}
    known = TASKS.get(task)
    return Request(
        image=image,
        task=task,
        text=(texts[known.text] or "") if known and known.text else "",
        length=length or FIRST_LENGTH,
        language=language or "en",
        translate=bool(translate),
        input_language="es" if typed_in_spanish else "en",
        model=model or None,
        max_new_tokens=int(max_tokens or 0) or None,
        id=request_id,
    )


def _switches(texts: Texts, *, prefix: str) -> tuple[gr.Checkbox, gr.Checkbox]:
    """Whether to translate the answer, and whether the text is in Spanish."""
    later = texts.later
    with gr.Row(elem_id=f"{prefix}switches", elem_classes="switches"):
        translate = gr.Checkbox(
            label=later("translate.label"), container=False, elem_id=f"{prefix}translate", min_width=120
        )
        typed_in_spanish = gr.Checkbox(
            label=later("typed_in_spanish.label"),
            visible=False,
            container=False,
            elem_id=f"{prefix}typed-in-spanish",
            min_width=120,
        )
    # Who types in Spanish reads Spanish.
    typed_in_spanish.input(
        None, [typed_in_spanish, translate], translate, js="(typed, translate) => typed || translate", **PRIVATE
    )
    return translate, typed_in_spanish


def _model_choice(context: Context, *, prefix: str) -> gr.Radio:
    names = [status.name for status in context.host.statuses()]
    return gr.Radio(
        names,
        value=names[0] if names else None,
        label=context.texts.later("model.label"),
        visible=len(names) > 1,
        elem_id=f"{prefix}model",
        elem_classes="chips",
    )


def _text_field(name: str, texts: Texts, *, prefix: str) -> gr.Textbox:
    has_info = f"{name}.info" in texts.by_language["en"]
    return gr.Textbox(
        label=texts.later(f"{name}.label"),
        placeholder=texts.later(f"{name}.placeholder"),
        info=texts.later(f"{name}.info") if has_info else None,
        visible=False,
        max_length=MAX_TEXT_CHARACTERS,
        # A telephone would begin what is typed with a capital, as a sentence, and models tell those apart.
        html_attributes=gr.InputHTMLAttributes(autocapitalize="none"),
        elem_id=f"{prefix}{name}",
    )
