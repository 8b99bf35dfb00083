"""Examples that run by a click: a picture, a task and its text on a card.

Knows the file that lists them and how a card looks. What a click does is its caller's business.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ui import components
from ui.texts import Texts

FOLDER = Path(__file__).parent.parent / "assets" / "examples"


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Attributes:
        picture: Its file.
        task: A key of `inference.tasks.TASKS`.
        text: What the task needs besides the picture.
        length: For descriptions.
        translate: Whether it shows Spanish too.
    """

    picture: Path
    task: str
    text: str = ""
    length: str = "short"
    translate: bool = False


def read_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The examples of `examples.json` in a folder; their pictures lie beside it."""
    entries = json.loads((folder / "examples.json").read_text("utf-8"))
    return tuple(Example(**entry | {"picture": folder / entry["picture"]}) for entry in entries)


def build_cards(examples: tuple[Example, ...], texts: Texts) -> list[gr.Button]:
    """A card for each example, in a row that scrolls where there is no room."""
    components.html(f'<h2 class="section">{texts.later("examples.label")}</h2>')
    with gr.Row(elem_id="examples"):
        return [
            gr.Button(
                card_label(example, texts),
                icon=example.picture,
                variant="secondary",
                size="sm",
                min_width=132,
                elem_classes="example",
                elem_id=f"example-{number}",
            )
            for number, example in enumerate(examples, start=1)
        ]


def card_label(example: Example, texts: Texts) -> str:
    """The task in the browser's language, and the text as it is."""
    label = texts.later(f"task.{example.task}")
    return f"{label}: {example.text}" if example.text else label
