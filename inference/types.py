"""The values that pass between the layers: requests, detections, results.

Frozen and picklable, so that a request may be answered in another process or on another machine. Knows no model and
no page.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright picture; the origin is its top left corner."""

Language = Literal["en", "es"]


def box_iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes: 0 to 1, and 0 where they share no area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found in a picture.

    Attributes:
        label: What the model called it, or the object asked for where the model gave no label.
        box: Where it is, in pixels.
        score: 0 to 1 from the probabilities of its tokens, or None where they are not known.
        mask: bool (height, width) of the picture, or None.
        codes: The 16 mask codes (0 to 127) of a segmented thing, or None.
        translated_label: The label in the language asked for, or None.
        span: First and one past the last character of the thing in the raw text.
    """

    label: str
    box: Box
    score: float | None = None
    mask: np.ndarray | None = field(default=None, compare=False)  # arrays have no single truth; the codes compare
    codes: tuple[int, ...] | None = None
    translated_label: str | None = None
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """One question about one picture.

    Attributes:
        image: RGB, upright, within limits (see `inference.images`).
        task: A key of `inference.tasks.TASKS`.
        text: What the task needs besides the picture: objects, a question, an answer or a prompt; else empty.
        length: For descriptions: "short", "medium" or "long".
        language: The language that the model itself answers in, a code of `inference.tasks.LANGUAGES`.
        translate: Whether to add a Spanish translation of the answer and the labels.
        input_language: The language of `text`; "es" is translated to English before the model sees it.
        model: The name of a loaded model, or None for the default one.
        max_new_tokens: Where to cut the answer, or None for the task's own limit.
        id: Names the request in logs and error messages.
        client: Who asks: names from the wider to the narrower group, divided by "/", that share a queue fairly.
    """

    image: Image.Image
    task: str
    text: str = ""
    length: str = "short"
    language: str = "en"
    translate: bool = False
    input_language: Language = "en"
    model: str | None = None
    max_new_tokens: int | None = None
    id: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds spent in each stage, how many tokens the model wrote, and whether it had written them before.

    Attributes:
        cached: Whether the answer was kept from the same question about the same picture.
    """

    queue: float = 0.0
    vision: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    total: float = 0.0
    tokens: int = 0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Translation:
    """A text in another language."""

    language: Language
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a request.

    Attributes:
        prompt: What the model was given, after translation and cleaning.
        raw: The model's own output.
        text: The output without loc and seg tokens.
        detections: In the order in which the model named them.
        width, height: Of the upright picture, in pixels.
        problems: Sentences about what was wrong with the output; empty if nothing was.
    """

    task: str
    model: str
    prompt: str
    raw: str
    text: str
    width: int
    height: int
    translation: Translation | None = None
    detections: tuple[Detection, ...] = ()
    problems: tuple[str, ...] = ()
    timing: Timing = field(default_factory=Timing)

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values; masks become COCO's compressed RLE, None stays null."""
        return {
            "task": self.task,
            "model": self.model,
            "prompt": self.prompt,
            "raw": self.raw,
            "text": self.text,
            "translation": dataclasses.asdict(self.translation) if self.translation else None,
            "detections": [_detection_to_json(detection) for detection in self.detections],
            "image": {"width": self.width, "height": self.height},
            "problems": list(self.problems),
            "timing": {
                name: round(value, 4) if isinstance(value, float) else value
                for name, value in dataclasses.asdict(self.timing).items()
            },
        }


def _detection_to_json(detection: Detection) -> dict[str, Any]:
    return {
        "label": detection.label,
        "translated_label": detection.translated_label,
        "box": [round(edge, 2) for edge in detection.box],
        "score": None if detection.score is None else round(detection.score, 4),
        "mask": None if detection.mask is None else encode_rle(detection.mask),
    }


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Encodes a mask as COCO's compressed run lengths.

    Args:
        mask: bool (height, width).

    Returns:
        `{"size": [height, width], "counts": str}`, as `pycocotools.mask.decode` reads it.
    """
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(map(int, encoded["size"])), "counts": encoded["counts"].decode("ascii")}
