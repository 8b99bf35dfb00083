"""How an answer is drawn: the controls that change it without asking the model again, and what they say.

Knows components and detections. Knows no pictures.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from inference import overlay
from inference.exports import Drawing
from inference.types import Detection, Result
from ui.texts import Texts

PARTS = ("both", "boxes", "masks")
LABELS = {"en": "English", "es": "Español"}


@dataclass(frozen=True, slots=True)
class Shown:
    """The values of `Look`.

    Attributes:
        threshold: What is less sure is hidden, 0 to 1.
        opacity: Of the masks, 0 to 1.
        parts: One of `PARTS`.
        language: Of the labels, where they are translated.
    """

    threshold: float
    opacity: float
    parts: str
    language: str

    @classmethod
    def of(cls, *, threshold: float, opacity: float, parts: str, labels: str | None, language: str) -> "Shown":
        """What the controls say.

        Args:
            threshold: In percent.
            opacity: In percent.
            parts: One of `PARTS`.
            labels: The language chosen for them, or None as long as nobody chose.
            language: The visitor's, for that case.
        """
        chosen = labels or ("es" if language == "es" else "en")
        return cls(threshold=threshold / 100, opacity=opacity / 100, parts=parts, language=chosen)

    def seen(self, detections: tuple[Detection, ...]) -> tuple[Detection, ...]:
        """Those that are sure enough, by the whole percents that are shown; what has no score is always there."""
        return tuple(each for each in detections if each.score is None or round(each.score, 2) >= self.threshold)

    def drawing(self, result: Result) -> Drawing:
        """How to draw what is seen of a result: in the colours that it would have beside all the rest."""
        masked = any(thing.mask is not None for thing in result.detections)
        return Drawing(
            opacity=self.opacity,
            boxes=self.parts != "masks" or not masked,
            masks=self.parts != "boxes",
            language=self.language,
            colours=overlay.colours_of(thing.label for thing in result.detections),
        )


@dataclass(frozen=True)
class Look:
    """The controls, by the names that `Shown.of` gives them."""

    threshold: gr.Slider
    opacity: gr.Slider
    parts: gr.Radio
    labels: gr.Radio

    def fitting(self, result: Result, shown: Shown) -> dict[Any, Any]:
        """Only the controls that change anything about this answer."""
        masked = any(thing.mask is not None for thing in result.detections)
        return {
            self.opacity: gr.update(visible=masked),
            self.parts: gr.update(visible=masked),
            self.labels: gr.update(
                visible=any(thing.translated_label for thing in result.detections), value=shown.language
            ),
        }


def build_look(texts: Texts) -> Look:
    """Puts the controls on the page."""
    with gr.Row(elem_id="look"):
        return Look(
            threshold=_percentage("threshold", texts, value=0),
            opacity=_percentage("opacity", texts, value=45),
            parts=_choice("parts", [(texts.later(f"parts.{name}"), name) for name in PARTS], texts, value=PARTS[0]),
            labels=_choice("labels", [(name, code) for code, name in LABELS.items()], texts, value=None),
        )


def _percentage(name: str, texts: Texts, *, value: int) -> gr.Slider:
    return gr.Slider(
        0, 100, value=value, step=1, label=texts.later(f"{name}.label"), buttons=[], elem_id=name, min_width=180
    )


def _choice(name: str, choices: list[tuple[str, str]], texts: Texts, *, value: str | None) -> gr.Radio:
    return gr.Radio(
        choices,
        value=value,
        label=texts.later(f"{name}.label"),
        visible=False,
        elem_id=name,
        elem_classes="chips small",
        min_width=180,
    )
