"""Examples that run by a click: a picture, a task and its text on a card.

Knows the file that lists them, which of them fit the models that are there, and how a card looks. What a click does is
its caller's business.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from inference.hosting import ModelHost, ModelStatus
from ui import components
from ui.context import PRIVATE
from ui.texts import Texts

Kind = Literal["drawn", "photo"]

FOLDER = Path(__file__).parent.parent / "assets" / "examples"
CLIP = FOLDER / "clip.webm"
CLIP_TEXTS = {"answer": "What color is the star?", "detect": "boat ; star ; fish", "segment": "boat ; star ; fish"}
"""What the tasks that need a text can be asked about the clip."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Attributes:
        kind: "drawn", of the world that the embedded checkpoint knows, or "photo".
        picture: Its file.
        task: A key of `inference.tasks.TASKS`.
        text: What the task needs besides the picture.
        length: For descriptions.
        translate: Whether it shows Spanish too.
    """

    kind: Kind
    picture: Path
    task: str
    text: str = ""
    length: str = "short"
    translate: bool = False


def read_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The examples of `examples.json` in a folder; their pictures lie beside it."""
    entries = json.loads((folder / "examples.json").read_text("utf-8"))
    return tuple(Example(**entry | {"picture": folder / entry["picture"]}) for entry in entries)


def kinds_for(statuses: Iterable[ModelStatus]) -> frozenset[Kind]:
    """The kinds of examples that the models which are ready can do something with.

    While none is ready it is the drawn ones, which no model is lost with.
    """
    ready: list[Kind] = ["drawn" if status.embedded else "photo" for status in statuses if status.state == "ready"]
    return frozenset(ready or ["drawn"])


def examples_for(statuses: Iterable[ModelStatus], model: str | None) -> list[Example]:
    """The examples that a chosen model can do something with; if it is unknown, that any can."""
    statuses = list(statuses)
    kinds = kinds_for([status for status in statuses if status.name == model] or statuses)
    return [example for example in read_examples() if example.kind in kinds]


def example_of(task: str, found: Sequence[Example]) -> Example:
    """The first that shows a task, or the first of all where none does."""
    return next((example for example in found if example.task == task), found[0])


def build_try(texts: Texts, *, prefix: str) -> gr.Button:
    """A button for those who have nothing at hand to try a tab with.

    Args:
        texts: The words of the page.
        prefix: Stands before its id, which is unique in the page.
    """
    return gr.Button(
        texts.later("examples.try"), size="sm", variant="secondary", elem_id=f"{prefix}try", elem_classes="try"
    )


@dataclass(frozen=True)
class Shelf:
    """The cards on the page, of which those stay in sight that fit the models.

    Attributes:
        examples: What is on the cards.
        cards: One for each.
        host: Says which models there are.
    """

    examples: tuple[Example, ...]
    cards: list[gr.Button]
    host: ModelHost

    def wire(self, *looks: Any) -> None:
        """Sorts the cards after each look at the models.

        Args:
            looks: The events of such looks.
        """
        for looked in looks:
            looked.then(self.sort, outputs=self.cards, **PRIVATE)

    def sort(self) -> list[Any]:
        """Which cards are in sight."""
        fitting = kinds_for(self.host.statuses())
        return [gr.update(visible=example.kind in fitting) for example in self.examples]


def build_cards(examples: tuple[Example, ...], texts: Texts, *, kinds: frozenset[Kind]) -> list[gr.Button]:
    """A card for each example, in a row that scrolls where there is no room.

    Args:
        examples: What is on the cards.
        texts: The words of the page.
        kinds: Those in sight.
    """
    components.html(f'<h2 class="section">{texts.later("examples.label")}</h2>')
    with gr.Row(elem_id="examples"):
        return [
            gr.Button(
                card_label(example, texts),
                icon=example.picture,
                variant="secondary",
                size="sm",
                visible=example.kind in kinds,
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
