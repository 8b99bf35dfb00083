"""Results that come back as JSON: checked part by part, so that whatever is done with them afterwards can trust them.

Knows the JSON of `Result.to_json` and how run lengths are written. Knows nothing of who sent it.
"""

import json
from typing import Any, NoReturn

import numpy as np

from inference.errors import InvalidInput
from inference.parsing import MAX_DETECTIONS
from inference.sentences import Sentence
from inference.types import Box, Detection, Result, Translation

MAX_CHARACTERS = 20_000
"""Of each text in a result: several times what a model may write."""

MAX_RUN_CHARACTERS = 1_000_000
"""Of one mask: an outline over a picture of the largest size that is allowed takes a tenth of it."""

MAX_MASK_MEGAPIXELS = 1000
"""Of all masks of a result together, each of which takes a byte a pixel."""

_RUN_BITS = 5
_MAX_GROUPS = 7  # of five bits: 2³⁴ pixels are more than any picture has
_LARGEST = 1e12  # no edge and no score comes near
_ROUNDING = 0.01  # boxes travel with two decimals


def result_from_json(value: object, *, about: tuple[int, int]) -> Result:
    """Makes a result of the JSON that `Result.to_json` made.

    Keys that are not known are left out; what only tells how an answer came about (`problems`, `timing`) is too.

    Args:
        value: As `json.loads` gives it, or the text itself.
        about: Width and height of the picture that it is said to be about, in pixels.

    Raises:
        InvalidInput: It is not the JSON of a result, or of one that no model could have given about the picture.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            _refuse("result")
    result = _object(value, "result")
    image = _object(result.get("image"), "image")
    width, height = (_side(image.get(name), f"image.{name}") for name in ("width", "height"))
    if (width, height) != about:  # before anything of that size is made
        raise InvalidInput(Sentence("This result is about a picture of another size."))
    detections = result.get("detections")
    if not isinstance(detections, list) or len(detections) > MAX_DETECTIONS:
        _refuse("detections")
    masked = sum(1 for thing in detections if isinstance(thing, dict) and thing.get("mask") is not None)
    if masked * width * height > MAX_MASK_MEGAPIXELS * 1_000_000:
        raise InvalidInput(
            Sentence(
                "The masks of this result are too large: at most {most} million pixels together are allowed.",
                most=MAX_MASK_MEGAPIXELS,
            )
        )
    return Result(
        task=_text(result.get("task"), "task"),
        model=_text(result.get("model"), "model"),
        prompt=_text(result.get("prompt"), "prompt"),
        raw=_text(result.get("raw"), "raw"),
        text=_text(result.get("text"), "text"),
        width=width,
        height=height,
        translation=_translation(result.get("translation")),
        detections=tuple(
            _detection(thing, f"detections[{place}]", width=width, height=height)
            for place, thing in enumerate(detections)
        ),
    )


def decode_rle(mask: object, *, width: int, height: int, part: str = "mask") -> np.ndarray:
    """Decodes COCO's compressed run lengths, after checking that they make up the picture exactly.

    Args:
        mask: `{"size": [height, width], "counts": str}`, as `inference.types.encode_rle` makes it. pycocotools takes
            the memory for whatever size it is told, before it looks at the counts.
        width: Of the picture.
        height: Of the picture.
        part: What the mask is called in an error.

    Returns:
        bool (height, width).

    Raises:
        InvalidInput: The run lengths do not make up a picture of this size.
    """
    mask = _object(mask, part)
    if mask.get("size") != [height, width]:
        _refuse(f"{part}.size")
    counts = mask.get("counts")
    if not isinstance(counts, str) or not counts.isascii() or not 0 < len(counts) <= MAX_RUN_CHARACTERS:
        _refuse(f"{part}.counts")
    runs = _runs(np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48)
    # Each by itself too: numpy adds them up in 64 bits, where many huge ones can make any sum.
    if runs is None or runs.min() < 0 or runs.max() > width * height or runs.sum() != width * height:
        _refuse(f"{part}.counts")
    covered: np.ndarray = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return covered.reshape((height, width), order="F")


def _runs(digits: np.ndarray) -> np.ndarray | None:
    """Run lengths from base-64 digits of which five bits are the number, or None if they are not well-formed.

    Runs after the third are written as the difference to the run before the last.
    """
    if digits.min() < 0 or digits.max() > 63 or digits[-1] & 0x20:
        return None
    ends = np.flatnonzero(digits & 0x20 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_GROUPS:
        return None
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((digits & 0x1F) << (_RUN_BITS * places), starts)
    values -= np.where(digits[ends] & 0x10, np.int64(1) << (_RUN_BITS * lengths), 0)
    values[2::2] = np.cumsum(values[2::2])
    values[1::2] = np.cumsum(values[1::2])
    return values


def _detection(value: object, part: str, *, width: int, height: int) -> Detection:
    thing = _object(value, part)
    score, mask, translated = thing.get("score"), thing.get("mask"), thing.get("translated_label")
    if score is not None and not 0 <= _number(score, f"{part}.score") <= 1:
        _refuse(f"{part}.score")
    return Detection(
        label=_text(thing.get("label"), f"{part}.label"),
        box=_box(thing.get("box"), f"{part}.box", width=width, height=height),
        score=score,
        mask=None if mask is None else decode_rle(mask, width=width, height=height, part=f"{part}.mask"),
        translated_label=None if translated is None else _text(translated, f"{part}.translated_label"),
    )


def _translation(value: object) -> Translation | None:
    if value is None:
        return None
    translation = _object(value, "translation")
    language = translation.get("language")
    if language not in ("en", "es"):
        _refuse("translation.language")
    return Translation(language, _text(translation.get("text"), "translation.text"))


def _box(value: object, part: str, *, width: int, height: int) -> Box:
    if not isinstance(value, list) or len(value) != 4:
        _refuse(part)
    left, top, right, bottom = (_number(edge, part) for edge in value)
    if not (-_ROUNDING <= left <= right <= width + _ROUNDING and -_ROUNDING <= top <= bottom <= height + _ROUNDING):
        _refuse(part)
    return left, top, right, bottom


def _object(value: object, part: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(part)
    return value


def _text(value: object, part: str) -> str:
    # Half of a surrogate pair is allowed in JSON and in no file.
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS or any("\ud800" <= sign <= "\udfff" for sign in value):
        _refuse(part)
    return value


def _side(value: object, part: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1_000_000:
        _refuse(part)
    return value


def _number(value: object, part: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
        _refuse(part)
    return float(value)


def _refuse(part: str) -> NoReturn:
    raise InvalidInput(
        Sentence("This is not the JSON of a result: “{part}” is missing or not what a task returns.", part=part)
    )
