"""The left side of the page: the picture, the task, and the inputs that the task needs and no others.

Knows components and the registry of tasks. Knows nothing of answers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from inference.batch import MAX_NEW_TOKENS
from inference.errors import InvalidInput
from inference.images import Limits, open_picture
from inference.tasks import LANGUAGES, LENGTHS, MAX_TEXT_CHARACTERS, TASKS, Task
from inference.types import Request
from ui import components
from ui.components import Picture
from ui.context import Context
from ui.texts import Texts

FIRST_TASK = next(iter(TASKS))


@dataclass(frozen=True)
class Inputs:
    """The components whose values make a request, by the names that `to_request` gives them."""

    image: Picture
    task: gr.Radio
    question: gr.Textbox
    answer: gr.Textbox
    objects: gr.Textbox
    prompt: gr.Textbox
    typed_in_spanish: gr.Checkbox
    length: gr.Radio
    translate: gr.Checkbox
    model: gr.Radio
    language: gr.Dropdown
    max_tokens: gr.Slider

    @property
    def texts(self) -> tuple[gr.Textbox, ...]:
        """The fields in which Enter runs the request."""
        return self.question, self.answer, self.objects, self.prompt


@dataclass(frozen=True)
class Buttons:
    """What starts and stops a request."""

    run: gr.Button
    stop: gr.Button

    def update(self, *, busy: bool) -> dict[gr.Button, Any]:
        """How they look while a request is being answered, or not."""
        return {self.run: gr.update(interactive=not busy), self.stop: gr.update(visible=busy)}


def build_picture(texts: Texts) -> Picture:
    """The place for the picture."""
    return Picture(
        type="filepath",
        label=texts.later("picture.label"),
        sources=["upload", "webcam", "clipboard"],
        buttons=["fullscreen"],
        height=260,
        elem_id="picture",
    )


def build(context: Context, image: Picture) -> tuple[Inputs, gr.HTML, Buttons]:
    """Puts the form below the picture.

    Returns:
        The inputs, the line that explains the chosen task, and the buttons.
    """
    later = context.texts.later
    task = gr.Radio(
        [(later(f"task.{name}"), name) for name in TASKS],
        value=FIRST_TASK,
        label=later("task.label"),
        elem_id="task",
        elem_classes="chips",
    )
    hint = components.html(hint_of(FIRST_TASK, context.texts), elem_id="hint")
    fields = {name: _text_field(name, context.texts) for name in ("question", "answer", "objects", "prompt")}
    length = gr.Radio(
        [(later(f"length.{name}"), name) for name in LENGTHS],
        value=next(iter(LENGTHS)),
        label=later("length.label"),
        elem_id="length",
        elem_classes="chips",
    )
    with gr.Row(elem_id="switches"):
        translate = gr.Checkbox(label=later("translate.label"), container=False, elem_id="translate", min_width=120)
        typed_in_spanish = gr.Checkbox(
            label=later("typed_in_spanish.label"),
            visible=False,
            container=False,
            elem_id="typed-in-spanish",
            min_width=120,
        )
    names = [status.name for status in context.host.statuses()]
    model = gr.Radio(
        names,
        value=names[0] if names else None,
        label=later("model.label"),
        visible=len(names) > 1,
        elem_id="model",
        elem_classes="chips",
    )
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
    with gr.Row(elem_id="actions"):
        run = gr.Button(later("run.label"), variant="primary", elem_id="run", scale=3, min_width=120)
        stop = gr.Button(later("stop.label"), variant="stop", visible=False, elem_id="stop", scale=1, min_width=96)
    inputs = Inputs(
        image=image,
        task=task,
        **fields,
        typed_in_spanish=typed_in_spanish,
        length=length,
        translate=translate,
        model=model,
        language=language,
        max_tokens=max_tokens,
    )
    return inputs, hint, Buttons(run, stop)


def hint_of(task: str, texts: Texts) -> str:
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


def to_request(
    *,
    image: str | None,
    task: str,
    question: str,
    answer: str,
    objects: str,
    prompt: str,
    typed_in_spanish: bool,
    length: str,
    translate: bool,
    model: str | None,
    language: str,
    max_tokens: float,
    limits: Limits,
    request_id: str,
    no_picture: str,
) -> Request:
    """The request that the values of the form make.

    The first twelve arguments are the values of the components of the same names in `Inputs`; then the limits of
    pictures, the request's name in the log, and what someone reads who has not added a picture.

    Raises:
        UserError: The picture is missing or cannot be used.
    """
    if not image:
        raise InvalidInput(no_picture)
    texts = {"question": question, "answer": answer, "objects": objects, "prompt": prompt}
    known = TASKS.get(task)
    return Request(
        image=open_picture(Path(image), limits),
        task=task,
        text=texts.get(known.text, "") if known and known.text else "",
        length=length,
        language=language,
        translate=translate,
        input_language="es" if typed_in_spanish else "en",
        model=model or None,
        max_new_tokens=int(max_tokens) or None,
        id=request_id,
    )


def _text_field(name: str, texts: Texts) -> gr.Textbox:
    has_info = f"{name}.info" in texts.by_language["en"]
    return gr.Textbox(
        label=texts.later(f"{name}.label"),
        placeholder=texts.later(f"{name}.placeholder"),
        info=texts.later(f"{name}.info") if has_info else None,
        visible=False,
        max_length=MAX_TEXT_CHARACTERS,
        elem_id=name,
    )
