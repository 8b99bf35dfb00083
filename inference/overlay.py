"""Draws detections on a picture: boxes, translucent masks with outlines, and labels.

Knows colours, fonts and where a label fits; knows nothing of models, texts or the page. Every function gives the same
result in every process: a colour depends on the labels alone.
"""

import math
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inference.lines import on_one_line
from inference.masks import pixel_box
from inference.types import Detection

Colour = tuple[int, int, int]

_FONT = Path(__file__).resolve().parents[1] / "assets" / "fonts" / "Roboto-Medium.ttf"

# Apart from each other in hue or in lightness, neighbours most of all, and none as dark or as pale as a usual ground.
_PALETTE: tuple[Colour, ...] = (
    (255, 66, 92), (45, 140, 255), (255, 196, 0), (0, 196, 140), (168, 85, 247), (255, 122, 26), (0, 200, 235),
    (241, 91, 181), (139, 201, 38), (124, 116, 255), (200, 132, 66), (240, 235, 60), (15, 150, 150), (255, 168, 190),
    (190, 220, 255), (205, 40, 125), (150, 240, 170), (70, 215, 60), (215, 180, 255), (122, 112, 15),
)  # fmt: skip

_MAX_LABEL_CHARACTERS = 48
_NO_CHARACTER = "\uffff"
_GAP = re.compile(r"…(?:\s*…)+")
_SHADOW = (0, 0, 0, 96)
_DARK: Colour = (18, 18, 24)
_LIGHT: Colour = (255, 255, 255)
_SMOOTHING = 4  # a rounded corner is drawn this many times larger and reduced


def colours_of(labels: Iterable[str]) -> dict[str, Colour]:
    """A colour for each label of a picture, distinct as long as the palette lasts.

    The same set of labels always gets the same colours, in whatever order they come. Capital letters make no
    difference. A label has the colour that it would have alone, unless an alphabetically earlier one has that; then it
    takes the next free one.

    Returns:
        The colour of each label as it was given.
    """
    labels = list(dict.fromkeys(labels))
    keys = sorted({_key(label) for label in labels})
    slots: dict[str, int] = {}
    taken: set[int] = set()
    for key in keys:
        if _slot(key) not in taken:
            slots[key] = _slot(key)
            taken.add(slots[key])
    for key in keys:
        if key not in slots:
            ways = ((_slot(key) + step) % len(_PALETTE) for step in range(len(_PALETTE)))
            slots[key] = next((slot for slot in ways if slot not in taken), _slot(key))
            taken.add(slots[key])
    return {label: _PALETTE[slots[_key(label)]] for label in labels}


def legend(
    detections: Iterable[Detection], language: str = "en", *, colours: Mapping[str, Colour] | None = None
) -> list[tuple[str, Colour, int]]:
    """What the colours of a drawing mean.

    Args:
        detections: Those that were drawn.
        language: "es" for translated labels where there are any.
        colours: Those that it was drawn with; see `draw`.

    Returns:
        Label, colour and number of things, in the order of the detections.
    """
    detections = tuple(detections)
    colours = colours_of(detection.label for detection in detections) if colours is None else colours
    groups: dict[str, list[Detection]] = {}
    for detection in detections:
        groups.setdefault(_key(detection.label), []).append(detection)
    return [(name_of(group[0], language), colours[group[0].label], len(group)) for group in groups.values()]


def draw(
    image: Image.Image,
    detections: Sequence[Detection],
    *,
    opacity: float = 0.45,
    boxes: bool = True,
    masks: bool = True,
    language: str = "en",
    colours: Mapping[str, Colour] | None = None,
) -> Image.Image:
    """Draws detections on a copy of a picture.

    The font has Latin, Greek and Cyrillic letters. Of a label in another script only the score is written; its colour
    stands for the name, which `legend` has.

    Args:
        image: The upright picture. It is not changed.
        detections: With boxes in its pixels and masks of its size.
        opacity: Of the masks, 0 (only outlines) to 1.
        boxes: Whether to draw boxes.
        masks: Whether to draw masks.
        language: "es" for translated labels where there are any.
        colours: Of the labels, by `colours_of`; of those given here if none. A drawing that leaves some things out
            takes the colours of all, so that what stays keeps its own.

    Returns:
        An RGB picture of the same size.

    Raises:
        ValueError: A mask has another size than the picture.
    """
    canvas = image.convert("RGB") if image.mode != "RGB" else image.copy()
    if not detections:
        return canvas
    scale = _Scale.of(*canvas.size)
    colours = colours_of(detection.label for detection in detections) if colours is None else colours
    # The largest first, so that what lies in it stays visible.
    ordered = sorted(detections, key=lambda detection: -_area(pixel_box(detection.box)))
    if masks:
        for detection in ordered:
            if detection.mask is not None:
                _draw_mask(canvas, detection, colours[detection.label], opacity=opacity, line=scale.line)
    if boxes:
        for detection in ordered:
            _draw_box(canvas, detection, colours[detection.label], line=scale.line)
    _draw_labels(canvas, detections, colours, scale=scale, language=language)
    return canvas


@dataclass(frozen=True, slots=True)
class _Scale:
    """Sizes in pixels that suit a picture: about the same on the screen, where every picture is fitted to the page."""

    line: int
    text: int

    @classmethod
    def of(cls, width: int, height: int) -> "_Scale":
        side = math.sqrt(width * height)
        readable = min(11.0, max(7.0, side * 0.12))
        text = min(max(0.022 * side, readable), max(7.0, 0.25 * min(width, height)))
        return cls(line=max(1, round(0.0035 * side)), text=round(text))


_Rectangle = tuple[int, int, int, int]  # left, top, right, bottom; the last two are one past the last pixel


def _key(label: str) -> str:
    return " ".join(label.casefold().split())


def _slot(key: str) -> int:
    # Python's own hash of a string changes from process to process.
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % len(_PALETTE)


def name_of(detection: Detection, language: str) -> str:
    """What a thing is called in a language, "en" or "es"."""
    name = (language == "es" and detection.translated_label) or detection.label
    return name or ("objeto" if language == "es" else "object")


def _draw_mask(canvas: Image.Image, detection: Detection, colour: Colour, *, opacity: float, line: int) -> None:
    mask = detection.mask
    assert mask is not None
    if mask.shape != (canvas.height, canvas.width):
        raise ValueError(f"a mask of {mask.shape} does not belong to a picture of {(canvas.height, canvas.width)}")
    left, top, right, bottom = _clip(pixel_box(detection.box), canvas.size)
    inside = mask[top:bottom, left:right]
    if not inside.any():
        return
    edge = inside & ~_eroded(inside, line)
    strength = inside * np.uint8(round(255 * min(max(opacity, 0.0), 1.0)))
    strength[edge] = 255
    canvas.paste(colour, (left, top), Image.fromarray(strength))


def _eroded(mask: np.ndarray, reach: int) -> np.ndarray:
    """What is left of a mask when everything nearer than `reach` pixels to its border is taken off."""
    for axis in (0, 1):
        # The minimum over windows of 2 × reach + 1 pixels, by windows that double.
        padding = [(0, 0), (0, 0)]
        padding[axis] = (reach, reach)
        window = np.moveaxis(np.pad(mask, padding), axis, 0)
        length, wanted = 1, 2 * reach + 1
        while length < wanted:
            step = min(length, wanted - length)
            window = window[:-step] & window[step:]
            length += step
        mask = np.moveaxis(window, 0, axis)
    return mask


def _draw_box(canvas: Image.Image, detection: Detection, colour: Colour, *, line: int) -> None:
    box = _clip(pixel_box(detection.box), canvas.size)
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return
    line = max(1, min(line, (right - left) // 3, (bottom - top) // 3))
    shadow = max(1, line // 3)
    pen = ImageDraw.Draw(canvas, "RGBA")
    # A dark seam on both sides keeps the line visible on a ground of its own colour.
    _draw_frame(pen, (left - shadow, top - shadow, right + shadow, bottom + shadow), _SHADOW, width=shadow)
    if min(right - left, bottom - top) > 2 * (line + shadow):
        _draw_frame(pen, (left + line, top + line, right - line, bottom - line), _SHADOW, width=shadow)
    _draw_frame(pen, box, (*colour, 255), width=line)


def _draw_frame(pen: ImageDraw.ImageDraw, box: _Rectangle, fill: tuple[int, int, int, int], *, width: int) -> None:
    """Draws the four sides of a frame inside a rectangle; none covers another, so that a translucent one is even."""
    left, top, right, bottom = box
    upper, lower = min(top + width, bottom), max(bottom - width, top)
    sides = (
        (left, top, right, upper),
        (left, max(lower, upper), right, bottom),
        (left, upper, min(left + width, right), lower),
        (max(right - width, left + width), upper, right, lower),
    )
    for x_min, y_min, x_max, y_max in sides:
        if x_min < x_max and y_min < y_max:
            pen.rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=fill)


def _draw_labels(
    canvas: Image.Image, detections: Sequence[Detection], colours: Mapping[str, Colour], *, scale: _Scale, language: str
) -> None:
    font = _font(scale.text)
    ascent, descent = font.getmetrics()
    across, down = round(0.45 * scale.text), round(0.16 * scale.text)
    gap = round(font.getlength(" "))
    height = ascent + descent + 2 * down
    placed: list[_Rectangle] = []
    for detection in detections:
        score = "" if detection.score is None else f"{round(100 * detection.score)} %"
        room = canvas.width - 2 * across
        text = _written(name_of(detection, language))
        tail = font.getlength(score) + (gap if text else 0) if score else 0.0
        name = _fitting(text, font, room - tail)
        if text and not name:
            score, tail = "", 0.0
            name = _fitting(text, font, room)
        if not (name or score) or tail > room or height > canvas.height:
            continue  # there is nothing to write, or the picture is too small for any writing
        width = min(canvas.width, math.ceil(font.getlength(name) + tail) + 2 * across)
        chip = _place_chip(_clip(pixel_box(detection.box), canvas.size), (width, height), canvas.size, placed)
        placed.append(chip)
        colour = colours[detection.label]
        _draw_chip(canvas, chip, colour, radius=round(0.28 * scale.text))
        pen = ImageDraw.Draw(canvas, "RGBA")
        ink = _ink(colour)
        baseline = chip[1] + down + ascent
        pen.text((chip[0] + across, baseline), name, font=font, fill=ink, anchor="ls")
        if score:
            pen.text((chip[2] - across, baseline), score, font=font, fill=(*ink, 190), anchor="rs")


def _draw_chip(canvas: Image.Image, chip: _Rectangle, colour: Colour, *, radius: int) -> None:
    left, top, right, bottom = chip
    width, height = right - left, bottom - top
    shape = Image.new("L", (width * _SMOOTHING, height * _SMOOTHING))
    ImageDraw.Draw(shape).rounded_rectangle(
        (0, 0, width * _SMOOTHING - 1, height * _SMOOTHING - 1), radius * _SMOOTHING, fill=255
    )
    canvas.paste(colour, (left, top), shape.resize((width, height), Image.Resampling.BOX))


def _place_chip(
    box: _Rectangle, size: tuple[int, int], picture: tuple[int, int], placed: Sequence[_Rectangle]
) -> _Rectangle:
    """Where a label stands: on its box if there is room, else beside or in it, off the other labels where it can be."""
    left, top, right, bottom = box
    width, height = size
    places = [
        (left, top - height),
        (left, bottom),
        (left, top),
        (right - width, top - height),
        (right - width, bottom),
        (right - width, top),
        (left, bottom - height),
        (right - width, bottom - height),
    ]
    # A pile of labels at one place grows downwards and upwards.
    around = _covered(np.array([(left, top - height)]), (width, 2 * height), placed)[0]
    for other, near in zip(placed, around, strict=True):
        if near:
            places += [(left, other[3]), (left, other[1] - height)]

    # All places at once: in a crowd each is held against a hundred labels.
    wanted = np.array(places)
    start = np.clip(wanted, 0, np.array(picture) - size)
    moved = np.abs(start - wanted).sum(axis=1) / height
    covered = _covered(start, size, placed).sum(axis=1) / (width * height)
    hidden = _covered(start, size, [box])[:, 0] / max(1, _area(box))
    cost = 0.2 * np.arange(len(places)) + moved + 20 * covered + 2 * hidden
    chip_left, chip_top = start[cost.argmin()].tolist()
    return chip_left, chip_top, chip_left + width, chip_top + height


def _covered(start: np.ndarray, size: tuple[int, int], others: Sequence[_Rectangle]) -> np.ndarray:
    """(places, others): how many pixels of each a label would cover whose left and top are a row of `start`."""
    edges = np.array(others, dtype=int).reshape(-1, 4)
    first = np.maximum(start[:, None], edges[:, :2])
    last = np.minimum(start[:, None] + size, edges[:, 2:])
    shared: np.ndarray = np.maximum(last - first, 0).prod(axis=2)
    return shared


def _clip(box: _Rectangle, size: tuple[int, int]) -> _Rectangle:
    width, height = size
    left, top, right, bottom = box
    return min(max(left, 0), width), min(max(top, 0), height), min(max(right, 0), width), min(max(bottom, 0), height)


def _area(box: _Rectangle) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def _ink(ground: Colour) -> Colour:
    """Dark or light, whichever has the greater contrast (WCAG 2) on a ground."""
    luminance = _luminance(ground)
    on_light = (luminance + 0.05) / (_luminance(_DARK) + 0.05)
    on_dark = 1.05 / (luminance + 0.05)
    return _DARK if on_light >= on_dark else _LIGHT


def _luminance(colour: Colour) -> float:
    linear = [
        value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
    ]  # sRGB, IEC 61966-2-1
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _written(text: str) -> str:
    """As much of a label as the font can write, on one line and no longer than a chip may be.

    Emoji and what shows nothing by itself are left out; an ellipsis stands for letters of other scripts, unless nothing
    would be left beside it.
    """
    text = unicodedata.normalize("NFC", on_one_line(text))
    if len(text) > _MAX_LABEL_CHARACTERS:
        text = text[: _MAX_LABEL_CHARACTERS - 1].rstrip() + "…"
    text = "".join(character if _has_glyph(character) else "…" if character.isalnum() else "" for character in text)
    text = " ".join(_GAP.sub("…", text).split())
    return text if text.strip("… ") else ""


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    """Whether the font can write a character: it draws a box for one that it lacks, and shows some that are unseen."""
    if unicodedata.category(character) == "Cf":
        return False
    font = _font(20)
    drawn, missing = font.getmask(character), font.getmask(_NO_CHARACTER)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, or as much of its beginning as there is room for, or nothing if that is less than two characters."""
    if font.getlength(text) <= room:
        return text
    for end in range(len(text) - 1, 1, -1):
        shortened = text[:end].rstrip() + "…"
        if font.getlength(shortened) <= room:
            return shortened
    return ""


def _font(size: int) -> ImageFont.FreeTypeFont:
    # The basic layout is the same wherever Pillow runs; the other one needs libraries that not every system has.
    return ImageFont.truetype(_FONT, size, layout_engine=ImageFont.Layout.BASIC)
