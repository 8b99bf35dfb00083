"""Reads the output text of PaliGemma 2 mix: boxes, mask codes and labels, and what was wrong with them.

Knows the grammar of the output,

    <loc y_min><loc x_min><loc y_max><loc x_max> [16 × <seg>] [label] [ ; next object]

and the ways in which real outputs depart from it. Knows nothing of tokens' numbers, probabilities, masks or pictures;
of a picture it needs only the width and height.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from inference.sentences import Sentence
from inference.types import Box, Detection, box_iou

MAX_DETECTIONS = 100
"""More objects than this are left out: by then the model repeats itself, and nobody can read the picture."""

_MAX_COORDINATE = 1023
_MAX_CODE = 127
_CODES = 16
_REPEATED_OVERLAP = 0.9
_REPEATED_STEPS = 2  # in units of a coordinate; for small boxes, which overlap little when moved a little

_SPECIAL = r"<(?:eos|bos|pad|unk|mask|image|start_of_turn|end_of_turn|unused[0-9]+)>"

# One pattern for box, codes and label, so that they cannot be mispaired. Every repeated part begins with a character
# that cannot continue the part before it, and nothing is required after them: reading takes linear time on any text.
# The label ends at a semicolon, a line break or the next token; a "<" that begins no token belongs to the label.
_OBJECT = re.compile(
    r"(?P<locations>(?:<loc[0-9]+>\s*)+)"
    r"(?P<codes>(?:<seg[0-9]+>\s*)*)"
    rf"(?P<label>(?:[^;<\n]|<(?!loc[0-9]|seg[0-9]|{_SPECIAL[1:]}))*)"
)
_LOCATION = re.compile(r"<loc([0-9]+)>")
_CODE = re.compile(r"<seg([0-9]+)>")
_LOCATIONS = re.compile(r"(?:<loc[0-9]+>\s*)+")
_LEFT_OUT = re.compile(rf"<seg[0-9]+>|{_SPECIAL}")
_CUT_TOKEN = re.compile(r"<(?:loc|seg)[0-9]*\Z")
_SPACES = re.compile(r"\s+")

_START = re.compile(rf"(?:\s|{_SPECIAL})*")
_COMMAND = re.compile(r"(?:cap|caption|describe) [a-z]{2,3}$|(?:detect|segment) \S|(?:answer|question) [a-z]{2,3} \S")
_ECHO_LINE = re.compile(
    r"(?:(?:cap|caption|describe) [a-z]{2,3}|ocr|(?:answer|question) [a-z]{2,3} [^\n<]+)\n"
    r"|(?P<objects>(?:detect|segment) [^\n<]+)\n?(?=<loc[0-9])"
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an output says.

    Attributes:
        detections: The objects that could be used, in the order of the output.
        problems: One sentence for each kind of thing that was wrong with it.
        text: The output without loc and seg tokens, special tokens and an echoed prompt; the labels of detected
            objects stand in it, separated by " ; ".
    """

    detections: tuple[Detection, ...]
    problems: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class _Found:
    """An object as it stands in the text: any numbers, any number of them."""

    locations: tuple[str, ...]
    codes: tuple[str, ...]
    label: str
    span: tuple[int, int]


@dataclass(slots=True)
class _Counts:
    """How often each thing went wrong."""

    cut: int = 0
    incomplete: int = 0
    out_of_range: int = 0
    empty: int = 0
    without_mask: int = 0
    stray_codes: int = 0
    repeated: int = 0
    too_many: int = 0
    unnamed: int = 0

    def sentences(self) -> tuple[Sentence, ...]:
        counted = (
            (self.incomplete, _INCOMPLETE),
            (self.out_of_range, _OUT_OF_RANGE),
            (self.empty, _EMPTY),
            (self.without_mask, _WITHOUT_MASK),
            (self.repeated, _REPEATED),
            (self.too_many, _TOO_MANY),
            (self.unnamed, _UNNAMED),
        )
        written = [
            Sentence(many, count=count, most=MAX_DETECTIONS) if count > 1 else Sentence(one, most=MAX_DETECTIONS)
            for count, (one, many) in counted
            if count
        ]
        if self.stray_codes:
            written.append(Sentence("Mask codes that belong to no box were left out."))
        if self.cut:
            written.append(Sentence("The answer ends in the middle of an object."))
        return tuple(written)


# For one object and for many: in another language more than the number may differ.
_INCOMPLETE = (
    "1 object was left out: a box needs exactly 4 coordinates.",
    "{count:,} objects were left out: a box needs exactly 4 coordinates.",
)
_OUT_OF_RANGE = (
    "1 object was left out: a coordinate was not in the range 0 to 1023.",
    "{count:,} objects were left out: a coordinate was not in the range 0 to 1023.",
)
_EMPTY = (
    "1 object was left out: the box had no area.",
    "{count:,} objects were left out: the box had no area.",
)
_WITHOUT_MASK = (
    "1 object was shown without a mask: its 16 mask codes were incomplete or wrong.",
    "{count:,} objects were shown without a mask: its 16 mask codes were incomplete or wrong.",
)
_REPEATED = (
    "1 object was left out: the model repeated itself.",
    "{count:,} objects were left out: the model repeated itself.",
)
_TOO_MANY = (
    "1 object was left out: only the first {most} are kept.",
    "{count:,} objects were left out: only the first {most} are kept.",
)
_UNNAMED = (
    "1 object was not named by the model, so it may be any of the things asked for.",
    "{count:,} objects were not named by the model, so they may be any of the things asked for.",
)


def parse(text: str, width: int, height: int, *, prompt: str = "") -> Parsed:
    """Reads objects and text out of what the model wrote.

    Takes linear time on any text and raises for none.

    Args:
        text: The decoded output, loc and seg tokens kept.
        width: Of the upright picture, in pixels.
        height: The same.
        prompt: What the model was given; taken off where the output begins with it. If it detects or segments, an
            object that the model gave no label is called what was asked for.

    Returns:
        Detections with boxes in pixels (a coordinate v stands for v / 1023 of the side), with codes where the object
        has 16 valid ones, and with the span of each object in `text`.

    Raises:
        ValueError: If width or height is not positive.
    """
    if width <= 0 or height <= 0:
        raise ValueError(f"a picture has at least one pixel, not {width} × {height}")
    start, echo = _after_echo(text, prompt)
    names = _objects_of(prompt) or _objects_of(echo)
    found, prose = _find(text, start)
    counts = _Counts(stray_codes=sum(1 for piece in prose if _CODE.search(piece)))
    counts.cut = int(_CUT_TOKEN.search(text, max(start, len(text) - 16)) is not None)

    kept: list[tuple[int, Detection]] = []
    for index, thing in enumerate(found):
        at_end = index == len(found) - 1 and not thing.label and not _CUT_TOKEN.sub("", text[thing.span[1] :]).strip()
        detection = _detection(thing, width, height, names=names, at_end=at_end, counts=counts)
        if detection is None:
            continue
        twin = next((place for place, (_, other) in enumerate(kept) if _same(detection, other, width, height)), None)
        if twin is not None:
            counts.repeated += 1
            if kept[twin][1].codes is None and detection.codes is not None:
                kept[twin] = (kept[twin][0], detection)  # the repeat has the mask that the first one lacks
        elif len(kept) == MAX_DETECTIONS:
            counts.too_many += 1
        else:
            kept.append((index, detection))
    counts.unnamed = sum(1 for index, _ in kept if not found[index].label) if len(names) > 1 else 0
    return Parsed(
        detections=tuple(detection for _, detection in kept),
        problems=counts.sentences(),
        text=_text(prose, dict(kept)) if kept else strip_tokens(text[start:]),
    )


def strip_tokens(text: str) -> str:
    """What a person can read of an output, complete or still growing.

    Args:
        text: Any part of an output that begins at its beginning.

    Returns:
        The text without loc, seg and special tokens; the labels of objects separated by " ; ".
    """
    text = _LEFT_OUT.sub("", _CUT_TOKEN.sub("", text))
    if not _LOCATION.search(text):
        return text.strip()
    # Where the model forgot the separator, the coordinates are the separator.
    pieces = (_clean(piece) for piece in _LOCATIONS.sub(";", text).split(";"))
    return " ; ".join(piece for piece in pieces if piece)


def _after_echo(text: str, prompt: str) -> tuple[int, str]:
    """Where the answer begins after an echo of the prompt, and the echo."""
    opening = _START.match(text)
    start = opening.end() if opening else 0
    prompt = prompt.strip()
    if prompt and text.startswith(prompt, start):
        end = start + len(prompt)
        rest = text[end:]
        # An answer may well begin with the words of an open question, and end there; then they are no echo.
        if (
            rest.startswith("\n")
            or _LOCATION.match(rest.lstrip())
            or (rest[:1].isspace() and rest.strip() and _COMMAND.match(prompt))
        ):
            return end, prompt
    if echo := _ECHO_LINE.match(text, start):
        return echo.end(), echo["objects"] or ""
    return start, ""


def _objects_of(prompt: str) -> tuple[str, ...]:
    """The objects that a prompt asks for, or none."""
    command, _, objects = prompt.strip().partition(" ")
    if command not in ("detect", "segment"):
        return ()
    return tuple(dict.fromkeys(name for part in objects.split(";") if (name := _clean(part))))


def _find(text: str, start: int) -> tuple[list[_Found], list[str]]:
    """Every object of a text, and the pieces of text before, between and after them (one more than objects)."""
    found: list[_Found] = []
    prose: list[str] = []
    end = start
    for match in _OBJECT.finditer(text, start):
        prose.append(text[end : match.start()])
        end = match.end()
        tokens = list(_LOCATION.finditer(text, *match.span("locations")))
        # Objects without labels may follow each other without a separator. A run that does not divide into boxes is
        # one object that went wrong: nothing says which of its numbers to trust.
        boxes = [tokens[i : i + 4] for i in range(0, len(tokens), 4)] if len(tokens) % 4 == 0 else [tokens]
        for box in boxes[:-1]:
            found.append(_Found(tuple(token[1] for token in box), (), "", (box[0].start(), box[-1].end())))
            prose.append("")
        last = text[boxes[-1][0].start() : match.end()].rstrip()
        found.append(
            _Found(
                tuple(token[1] for token in boxes[-1]),
                tuple(_CODE.findall(match["codes"])),
                _clean(match["label"]),
                (boxes[-1][0].start(), boxes[-1][0].start() + len(last)),
            )
        )
    prose.append(text[end:])
    return found, prose


def _detection(
    thing: _Found, width: int, height: int, *, names: Sequence[str], at_end: bool, counts: _Counts
) -> Detection | None:
    """The detection that an object makes, or None after counting why it makes none."""
    if len(thing.locations) != 4:
        if at_end and len(thing.locations) < 4:
            counts.cut = 1
        else:
            counts.incomplete += 1
        return None
    edges = _numbers(thing.locations, digits=4, most=_MAX_COORDINATE)
    if edges is None:
        counts.out_of_range += 1
        return None
    y_min, x_min, y_max, x_max = (edge / _MAX_COORDINATE for edge in edges)
    box = (x_min * width, y_min * height, x_max * width, y_max * height)
    if not _has_area(box):
        counts.empty += 1
        return None
    codes = _numbers(thing.codes, digits=3, most=_MAX_CODE) if len(thing.codes) == _CODES else None
    if thing.codes and codes is None:
        counts.without_mask += 1
        if at_end and len(thing.codes) < _CODES:
            counts.cut = 1
    return Detection(label=thing.label or " / ".join(names), box=box, codes=codes, span=thing.span)


def _numbers(values: Sequence[str], *, digits: int, most: int) -> tuple[int, ...] | None:
    """The values of tokens, or None if one of them is no token of the vocabulary."""
    # The length first: Python refuses to read a number of thousands of digits.
    if any(len(value) != digits or int(value) > most for value in values):
        return None
    return tuple(map(int, values))


def _has_area(box: Box) -> bool:
    """Whether a box, in pixels, covers something: also after its edges are rounded to pixels."""
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in box)
    return left < right and top < bottom


def _same(one: Detection, other: Detection, width: int, height: int) -> bool:
    """Whether two detections are one thing that the model named twice."""
    if one.label.casefold() != other.label.casefold():
        return False
    steps = (_REPEATED_STEPS + 0.5) / _MAX_COORDINATE
    sides = (width, height, width, height)
    if all(abs(a - b) <= steps * side for a, b, side in zip(one.box, other.box, sides, strict=True)):
        return True
    return box_iou(one.box, other.box) >= _REPEATED_OVERLAP


def _text(prose: Sequence[str], kept: dict[int, Detection]) -> str:
    """The text around objects with the labels of the kept ones in their places."""
    pieces: list[str] = []
    for index, piece in enumerate(prose):
        pieces.extend(strip_tokens(part).strip(" ;\n") for part in piece.split(";"))
        if index in kept:
            pieces.append(kept[index].label)
    return " ; ".join(piece for piece in pieces if piece)


def _clean(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
