"""Draws the world: a seed goes in, a picture with its exact ground truth comes out.

Knows shapes, tints, light and fonts, and which seeds belong to training and which are held out. Knows nothing of
sentences, tokens or models.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from training.grammar import WORDS
from training.lexicon import COLOURS, KINDS, Colour, Kind
from training.world import Box, Scene, Thing, Writing

SIDE = 224
"""Width and height of a picture in pixels."""

TRAINING_SEEDS = range(1_000_000_000)
"""Seeds that training draws from: it never goes beyond."""

HELD_OUT_SEEDS = range(1_000_000_000, 2_000_000_000)
"""Seeds for evaluation. `held_out_seed` maps any number that a user gives into this range."""

SUPERSAMPLING = 4
LONG_SIDE = (52, 112)
"""Least and greatest long side of a thing in pixels, before it is turned."""

MOST_HIDDEN = 0.15
"""A thing is never hidden by more than this share of its area."""

Points = list[tuple[float, float]]


def held_out_seed(seed: int, index: int) -> int:
    """The seed of the `index`-th evaluation scene for a user's `seed`; training can never draw it."""
    return HELD_OUT_SEEDS.start + (seed * 1_000_003 + index) % len(HELD_OUT_SEEDS)


def draw(seed: int, *, things: tuple[int, int] = (1, 5), writing: float = 0.35) -> Scene:
    """Draws the scene of a seed.

    Args:
        seed: Any whole number. The same seed with the same other arguments gives the same scene to the pixel.
        things: Least and greatest number of things.
        writing: Chance that something is written in the picture.
    """
    rng = random.Random(seed)
    noise = np.random.default_rng(seed)
    canvas = _ground(rng, noise)
    lettering = _lettering(rng) if rng.random() < writing else None
    count = _count(rng, *things)
    if lettering is not None:
        count = min(count, max(things[0], 3))
    placed = _place(rng, count, None if lettering is None else lettering.box)
    for item in placed:
        _paint(canvas, item, rng)
    if lettering is not None:
        _write(canvas, lettering)
    visible = _visible(placed)
    found = []
    for item, mask in zip(placed, visible, strict=True):
        found.append(Thing(kind=item.kind, colour=item.colour, box=_tight(mask), mask=mask))
    found.sort(key=lambda thing: thing.centre)
    pixels = np.clip(canvas, 0, 255).astype(np.uint8)
    return Scene(
        seed=seed,
        image=Image.fromarray(pixels),
        things=tuple(found),
        writing=None if lettering is None else Writing(text=lettering.text, box=lettering.box),
    )


# Silhouettes. Coordinates run from -1 to 1, x to the right and y down, before scaling and turning.


@dataclass(frozen=True, slots=True)
class Part:
    """A closed outline.

    Attributes:
        points: Its corners.
        solid: Whether it adds to the silhouette or cuts a hole.
        tone: None for the silhouette itself; a number makes it a detail that only shades what is already there, below
            1 darker, above 1 lighter.
    """

    points: Points
    solid: bool = True
    tone: float | None = None


def _ellipse(x: float, y: float, width: float, height: float, start: float = 0.0, end: float = 360.0) -> Points:
    """Points along an ellipse of the given half axes, degrees clockwise from the right."""
    steps = max(12, int(abs(end - start) / 9))
    angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


def _box(x_min: float, y_min: float, x_max: float, y_max: float) -> Points:
    return [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)]


def _bezier(*control: tuple[float, float]) -> Points:
    """Points along one cubic curve."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = control
    points = []
    for step in range(17):
        t = step / 16
        s = 1 - t
        points.append(
            (
                s**3 * x0 + 3 * s * s * t * x1 + 3 * s * t * t * x2 + t**3 * x3,
                s**3 * y0 + 3 * s * s * t * y1 + 3 * s * t * t * y2 + t**3 * y3,
            )
        )
    return points


def _star() -> list[Part]:
    tips = [(math.sin(math.pi * i / 5), -math.cos(math.pi * i / 5)) for i in range(10)]
    outline = [(x * (1.0 if i % 2 == 0 else 0.44), y * (1.0 if i % 2 == 0 else 0.44)) for i, (x, y) in enumerate(tips)]
    facets = [Part([outline[i], outline[(i + 1) % 10], (0.0, 0.0)], tone=0.88) for i in range(0, 10, 2)]
    return [Part(outline), *facets]


def _heart() -> list[Part]:
    right = _bezier((0, -0.52), (0.2, -1.1), (1.05, -1.05), (1.0, -0.35))
    right += _bezier((1.0, -0.35), (0.95, 0.2), (0.35, 0.55), (0.0, 1.0))
    left = [(-x, y) for x, y in reversed(right)]
    return [Part(right + left), Part(_ellipse(-0.5, -0.45, 0.2, 0.14), tone=1.18)]


def _moon() -> list[Part]:
    outer = _ellipse(0.25, 0.0, 1.0, 1.0, 58, 302)
    inner = _ellipse(0.62, 0.0, 0.88, 0.86, 285, 75)
    shift = [(x - 0.15, y) for x, y in outer + inner]
    return [
        Part(shift),
        Part(_ellipse(-0.6, -0.15, 0.1, 0.1), tone=0.86),
        Part(_ellipse(-0.42, 0.42, 0.13, 0.13), tone=0.86),
    ]


def _ring() -> list[Part]:
    return [
        Part(_ellipse(0, 0, 1, 1)),
        Part(_ellipse(0, 0, 0.82, 0.82), tone=0.9),
        Part(_ellipse(0, 0, 0.56, 0.56), solid=False),
    ]


def _arrow() -> list[Part]:
    head = [(0.05, -0.7), (1.0, 0.0), (0.05, 0.7)]
    return [Part([(-1, -0.28), (0.05, -0.28), *head, (0.05, 0.28), (-1, 0.28)]), Part([*head], tone=1.1)]


def _cross() -> list[Part]:
    w = 0.34
    outline = [
        (-w, -1),
        (w, -1),
        (w, -w),
        (1, -w),
        (1, w),
        (w, w),
        (w, 1),
        (-w, 1),
        (-w, w),
        (-1, w),
        (-1, -w),
        (-w, -w),
    ]
    return [
        Part(outline),
        Part(_box(-w * 0.45, -0.85, w * 0.45, 0.85), tone=1.08),
        Part(_box(-0.85, -w * 0.45, 0.85, w * 0.45), tone=1.08),
    ]


def _house() -> list[Part]:
    outline = [(-0.8, 1), (-0.8, -0.1), (-1, -0.1), (0, -1), (0.42, -0.62), (0.42, -0.95), (0.68, -0.95), (0.68, -0.39)]
    outline += [(1, -0.1), (0.8, -0.1), (0.8, 1)]
    roof: Points = [(-1, -0.1), (0, -1), (1, -0.1)]
    details = [Part(roof, tone=0.8), Part(_box(-0.2, 0.35, 0.2, 1), tone=0.62)]
    return [
        Part(outline),
        *details,
        Part(_box(-0.62, 0.2, -0.34, 0.5), tone=1.3),
        Part(_box(0.34, 0.2, 0.62, 0.5), tone=1.3),
    ]


def _tree() -> list[Part]:
    outline = [(0, -1), (0.5, -0.42), (0.3, -0.42), (0.72, 0.08), (0.48, 0.08), (0.95, 0.6), (0.17, 0.6), (0.17, 1)]
    outline += [(-x, y) for x, y in reversed(outline)]
    tiers = [Part(_box(-0.17, 0.6, 0.17, 1), tone=0.6)]
    tiers.append(Part([(-0.48, 0.08), (0.48, 0.08), (0.3, 0.2), (-0.3, 0.2)], tone=0.82))
    tiers.append(Part([(-0.3, -0.42), (0.3, -0.42), (0.18, -0.3), (-0.18, -0.3)], tone=0.82))
    return [Part(outline), *tiers]


def _fish() -> list[Part]:
    body = _bezier((-0.55, 0.0), (-0.25, -0.75), (0.65, -0.8), (1.0, 0.0))
    body += _bezier((1.0, 0.0), (0.65, 0.8), (-0.25, 0.75), (-0.55, 0.0))
    tail = [(-0.35, 0.0), (-1.0, -0.6), (-0.82, 0.0), (-1.0, 0.6)]
    fin = [(0.0, -0.45), (0.2, -0.85), (0.55, -0.5)]
    gill = _bezier((0.42, -0.42), (0.25, -0.1), (0.25, 0.1), (0.42, 0.42))
    gill += _bezier((0.49, 0.42), (0.33, 0.1), (0.33, -0.1), (0.49, -0.42))
    return [
        Part(body),
        Part(tail),
        Part(fin),
        Part(tail, tone=0.86),
        Part(gill, tone=0.72),
        Part(_ellipse(0.66, -0.17, 0.09, 0.09), tone=0.3),
    ]


def _cup() -> list[Part]:
    body = [(-0.95, -0.75), (0.5, -0.75), *_bezier((0.5, -0.75), (0.5, 0.4), (0.4, 0.75), (0.1, 0.8))]
    body += [(-0.55, 0.8), *_bezier((-0.55, 0.8), (-0.85, 0.75), (-0.95, 0.4), (-0.95, -0.75))]
    handle = _ellipse(0.48, -0.15, 0.52, 0.48)
    hole = _ellipse(0.53, -0.15, 0.24, 0.23)
    # The hole is cut from the handle first; the body is laid over it, so that only the eye of the handle stays open.
    return [
        Part(handle),
        Part(hole, solid=False),
        Part(body),
        Part(_box(-0.95, -0.75, 0.5, -0.58), tone=1.15),
        Part(_box(-0.9, 0.0, 0.45, 0.18), tone=0.82),
    ]


def _key() -> list[Part]:
    bow = _ellipse(-0.55, 0, 0.45, 0.45)
    shaft = _box(-0.2, -0.13, 1.0, 0.13)
    bits = [(0.48, 0.1), (0.48, 0.48), (0.66, 0.48), (0.66, 0.34), (0.78, 0.34), (0.78, 0.48), (1.0, 0.48), (1.0, 0.1)]
    hole = _ellipse(-0.6, 0, 0.2, 0.2)
    return [Part(shaft), Part(bits), Part(bow), Part(_box(-0.2, 0.03, 1.0, 0.13), tone=0.84), Part(hole, solid=False)]


def _boat() -> list[Part]:
    hull = [(-1, 0.42), (1, 0.42), *_bezier((1, 0.42), (0.85, 0.8), (0.7, 0.95), (0.5, 0.95))]
    hull += [(-0.5, 0.95), *_bezier((-0.5, 0.95), (-0.7, 0.95), (-0.85, 0.8), (-1, 0.42))]
    mast = _box(-0.08, -1, 0.06, 0.5)
    main = [(0.06, -0.95), *_bezier((0.06, -0.95), (0.55, -0.6), (0.8, -0.1), (0.85, 0.27)), (0.06, 0.27)]
    jib = [(-0.08, -0.75), (-0.7, 0.27), (-0.08, 0.27)]
    details = [
        Part(jib, tone=1.12),
        Part(mast, tone=0.7),
        Part(hull, tone=0.78),
        Part(_box(-0.9, 0.52, 0.9, 0.6), tone=1.2),
    ]
    return [Part(hull), Part(mast), Part(main), Part(jib), *details]


def _mushroom() -> list[Part]:
    cap = [
        *_bezier((-1, 0.1), (-0.95, -0.7), (-0.5, -1), (0, -1)),
        *_bezier((0, -1), (0.5, -1), (0.95, -0.7), (1, 0.1)),
    ]
    cap += _bezier((1, 0.1), (0.5, 0.28), (-0.5, 0.28), (-1, 0.1))
    stem = [(-0.26, 0.1), (0.26, 0.1), *_bezier((0.26, 0.2), (0.28, 0.5), (0.3, 0.7), (0.42, 1.0))]
    stem += [*_bezier((-0.42, 1.0), (-0.3, 0.7), (-0.28, 0.5), (-0.26, 0.2))]
    spots = [(-0.45, -0.35, 0.17), (0.15, -0.62, 0.15), (0.5, -0.2, 0.18), (0.0, -0.12, 0.1)]
    return [
        Part(stem),
        Part(cap),
        Part(stem, tone=0.8),
        Part(cap, tone=1.0),
        *(Part(_ellipse(x, y, r, r), tone=1.32) for x, y, r in spots),
    ]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kind is drawn: its parts, its height over its width, and whether it may be mirrored."""

    parts: Callable[[], list[Part]]
    aspect: float = 1.0
    mirrored: bool = False


SHAPES: dict[str, Shape] = {
    "star": Shape(_star),
    "heart": Shape(_heart, 0.95),
    "moon": Shape(_moon, 1.1, mirrored=True),
    "ring": Shape(_ring),
    "arrow": Shape(_arrow, 0.9, mirrored=True),
    "cross": Shape(_cross),
    "house": Shape(_house),
    "tree": Shape(_tree, 1.25),
    "fish": Shape(_fish, 0.72, mirrored=True),
    "cup": Shape(_cup, 0.95, mirrored=True),
    "key": Shape(_key, 0.95, mirrored=True),
    "boat": Shape(_boat, mirrored=True),
    "mushroom": Shape(_mushroom),
}

# Hue, saturation and value ranges. Hues are in degrees; a range may pass 360.
PAINTS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((353, 363), (0.78, 0.9), (0.76, 0.92)),
    "orange": ((22, 29), (0.82, 0.95), (0.93, 1.0)),
    "yellow": ((47, 54), (0.72, 0.88), (0.95, 1.0)),
    "green": ((118, 152), (0.58, 0.78), (0.5, 0.7)),
    "blue": ((208, 226), (0.68, 0.85), (0.72, 0.92)),
    "purple": ((268, 288), (0.5, 0.68), (0.55, 0.75)),
    "black": ((200, 260), (0.05, 0.15), (0.12, 0.2)),
    "white": ((30, 60), (0.0, 0.04), (0.95, 1.0)),
}


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """One colour as float RGB from 0 to 255; hue in degrees."""
    channel = [(n + hue / 60) % 6 for n in (5, 3, 1)]
    return np.array([255 * value * (1 - saturation * max(0.0, min(k, 4 - k, 1.0))) for k in channel], dtype=np.float32)


# Composition.


@dataclass(frozen=True, slots=True)
class _Placed:
    """A thing cut out, before the things above it hide parts of it.

    Attributes:
        left, top: Where the cut-out lies in the picture.
        alpha: float32 (height, width), 0 to 1.
        tone: float32 (height, width), the shading that the details give.
    """

    kind: Kind
    colour: Colour
    left: int
    top: int
    alpha: np.ndarray
    tone: np.ndarray


def _count(rng: random.Random, least: int, most: int) -> int:
    choices = list(range(least, most + 1))
    weights = {1: 3, 2: 4, 3: 4, 4: 3, 5: 1.5}
    return rng.choices(choices, [weights.get(n, 1) for n in choices])[0]


def _outline(shape: Shape, long_side: float, turn: float, stretch: float, mirrored: bool) -> list[Part]:
    """The parts of a shape in pixels around (0, 0)."""
    half = long_side / 2
    aspect = shape.aspect * stretch
    width, height = (half, half * aspect) if aspect <= 1 else (half / aspect, half)
    cosine, sine = math.cos(turn), math.sin(turn)
    flip = -1 if mirrored else 1
    parts = []
    for part in shape.parts():
        points = []
        for x, y in part.points:
            x, y = x * width * flip, y * height
            points.append((x * cosine - y * sine, x * sine + y * cosine))
        parts.append(Part(points, part.solid, part.tone))
    return parts


def _cut(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Rasterises parts into (alpha, tone), both float32 (height, width), centred on the parts' own origin."""
    reach = max(max(abs(x), abs(y)) for part in parts for x, y in part.points)
    half = math.ceil(reach) + 1
    size = 2 * half * SUPERSAMPLING
    alpha = Image.new("L", (size, size), 0)
    tone = Image.new("L", (size, size), 128)
    painter, shader = ImageDraw.Draw(alpha), ImageDraw.Draw(tone)
    for part in parts:
        points = [((x + half) * SUPERSAMPLING, (y + half) * SUPERSAMPLING) for x, y in part.points]
        if part.tone is None:
            painter.polygon(points, fill=255 if part.solid else 0)
        else:
            shader.polygon(points, fill=int(128 * part.tone))
    small_alpha = np.asarray(alpha.reduce(SUPERSAMPLING), dtype=np.float32) / 255
    small_tone = np.asarray(tone.reduce(SUPERSAMPLING), dtype=np.float32) / 128
    return small_alpha, small_tone


def _place(rng: random.Random, count: int, writing: Box | None) -> list[_Placed]:
    """Chooses and lays out things so that none hides much of another and none covers the writing."""
    covered = np.zeros((SIDE, SIDE), dtype=bool)
    if writing is not None:
        x_min, y_min, x_max, y_max = (round(v) for v in writing)
        covered[max(0, y_min - 3) : y_max + 3, max(0, x_min - 3) : x_max + 3] = True
    lettered = covered.copy()
    placed: list[_Placed] = []
    least, most = LONG_SIDE
    shrink = {1: 1.0, 2: 0.95, 3: 0.85, 4: 0.75, 5: 0.7}.get(count, 0.65)
    if writing is not None:
        shrink *= 0.85
    # Likeness makes the questions worth asking: a scene often repeats a kind or a colour that it already has.
    for _ in range(count):
        kind = rng.choice(placed).kind if placed and rng.random() < 0.3 else rng.choice(KINDS)
        colour = rng.choice(placed).colour if placed and rng.random() < 0.2 else rng.choice(COLOURS)
        shape = SHAPES[kind.en]
        limit = most * shrink
        for attempt in range(40):
            long_side = rng.uniform(least, max(least + 4, limit))
            turn = math.radians(rng.uniform(-25, 25))
            parts = _outline(shape, long_side, turn, rng.uniform(0.92, 1.08), shape.mirrored and rng.random() < 0.5)
            reach = [
                (
                    min(p[axis] for part in parts if part.tone is None for p in part.points),
                    max(p[axis] for part in parts if part.tone is None for p in part.points),
                )
                for axis in (0, 1)
            ]
            (x_low, x_high), (y_low, y_high) = reach
            x = rng.uniform(3 - x_low, SIDE - 3 - x_high)
            y = rng.uniform(3 - y_low, SIDE - 3 - y_high)
            x_min, x_max = int(x + x_low), math.ceil(x + x_high)
            y_min, y_max = int(y + y_low), math.ceil(y + y_high)
            window = (slice(y_min, y_max), slice(x_min, x_max))
            touched = covered[window].mean()
            if not lettered[window].any() and touched <= (0.08 if attempt < 30 else 0.0):
                break
            limit = max(least, limit * 0.96)
        else:
            continue
        alpha, tone = _cut(parts)
        left, top = round(x) - alpha.shape[1] // 2, round(y) - alpha.shape[0] // 2
        item = _crop(_Placed(kind, colour, left, top, alpha, tone))
        if placed and min(_shown(placed, item)) < 1 - MOST_HIDDEN:
            continue
        placed.append(item)
        covered[item.top : item.top + item.alpha.shape[0], item.left : item.left + item.alpha.shape[1]] = True
    if not placed:
        return _place(rng, 1, writing)
    return placed


def _crop(item: _Placed) -> _Placed:
    """Cuts a thing's raster to the part that lies in the picture."""
    top, left = max(0, -item.top), max(0, -item.left)
    bottom, right = min(item.alpha.shape[0], SIDE - item.top), min(item.alpha.shape[1], SIDE - item.left)
    window = (slice(top, bottom), slice(left, right))
    return _Placed(item.kind, item.colour, item.left + left, item.top + top, item.alpha[window], item.tone[window])


def _shown(below: Sequence[_Placed], above: _Placed) -> list[float]:
    """The share of each thing's silhouette that stays visible under one more thing."""
    masks = _visible([*below, above])
    return [mask.sum() / max(1, (item.alpha > 0.5).sum()) for mask, item in zip(masks, below, strict=False)]


def _visible(placed: Sequence[_Placed]) -> list[np.ndarray]:
    """Bool (SIDE, SIDE) masks of what is seen of each thing; later things lie above earlier ones."""
    hidden = np.zeros((SIDE, SIDE), dtype=bool)
    masks = []
    for item in reversed(placed):
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        height, width = item.alpha.shape
        mask[item.top : item.top + height, item.left : item.left + width] = item.alpha > 0.5
        masks.append(mask & ~hidden)
        hidden |= mask
    return masks[::-1]


def _tight(mask: np.ndarray) -> Box:
    """The tight box of a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


# Light and paint.


def _ground(rng: random.Random, noise: np.random.Generator) -> np.ndarray:
    """A calm background, float32 (SIDE, SIDE, 3), neither so light that white is lost nor so dark that black is."""
    hue, saturation, value = rng.uniform(0, 360), rng.uniform(0.06, 0.24), rng.uniform(0.56, 0.8)
    base = _rgb(hue, saturation, value)
    style = rng.choice(("plain", "graded", "graded", "grain", "clouds", "stripes", "checks"))
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    level = np.ones((SIDE, SIDE), dtype=np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    along = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
    if style == "graded":
        other = _rgb(hue + rng.uniform(-40, 40), saturation, min(0.84, max(0.5, value + rng.choice((-0.16, 0.14)))))
        share = np.clip(along + 0.5, 0, 1)[..., None]
        return base * (1 - share) + other * share + noise.normal(0, 1.5, (SIDE, SIDE, 1)).astype(np.float32)
    if style == "grain":
        level += noise.normal(0, 0.035, (SIDE, SIDE)).astype(np.float32)
    elif style == "clouds":
        coarse = Image.fromarray(noise.normal(0, 1, (7, 7)).astype(np.float32))
        level += 0.05 * np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    elif style == "stripes":
        level += 0.035 * np.tanh(4 * np.sin(along * rng.uniform(30, 75)))
    elif style == "checks":
        step = rng.uniform(20, 45)
        across = -(x - 0.5) * math.sin(angle) + (y - 0.5) * math.cos(angle)
        level += 0.03 * np.sign(np.sin(along * step) * np.sin(across * step))
    level += 0.06 * (0.5 - along)
    return base * level[..., None]


def _paint(canvas: np.ndarray, item: _Placed, rng: random.Random) -> None:
    """Lays a soft shadow and then the shaded thing over the canvas, in place."""
    height, width = item.alpha.shape
    margin = 8
    padded = Image.new("L", (width + 2 * margin, height + 2 * margin), 0)
    padded.paste(Image.fromarray((item.alpha * 255).astype(np.uint8)), (margin, margin))
    shadow = np.asarray(padded.filter(ImageFilter.BoxBlur(2.5)), dtype=np.float32) / 255
    top, left = item.top - margin + 4, item.left - margin + 3
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(SIDE, top + shadow.shape[0]), min(SIDE, left + shadow.shape[1])
    canvas[y0:y1, x0:x1] *= 1 - 0.38 * shadow[y0 - top : y1 - top, x0 - left : x1 - left, None]

    ranges = PAINTS[item.colour.en]
    paint = _rgb(*(rng.uniform(*limits) for limits in ranges))
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    light = 1.03 - 0.09 * down - 0.05 * across
    shading = light * item.tone
    if item.colour.en == "black":
        # Multiplying near-black changes nothing that an eye could see: its details are added instead.
        painted = paint + 26 * (item.tone[..., None] - 1) + 14 * (light[..., None] - 1) + 4
    else:
        painted = paint * shading[..., None]
        if item.colour.en == "white":
            painted = 255 - (255 - paint) - 120 * np.clip(1.04 - shading, 0, 0.5)[..., None]
        painted += 70 * np.clip(item.tone - 1.0, 0, 1)[..., None]
    window = canvas[item.top : item.top + height, item.left : item.left + width]
    window += (np.clip(painted, 0, 255) - window) * item.alpha[..., None]


# Writing.


@dataclass(frozen=True, slots=True)
class _Lettering:
    text: str
    box: Box
    ink: np.ndarray
    left: int
    top: int
    dark: bool


FONTS: tuple[tuple[str, str], ...] = (
    ("font_roboto", "Roboto-Bold.ttf"),
    ("font_source_sans_pro", "SourceSansPro-Bold.ttf"),
    ("font_source_serif_pro", "SourceSerifPro-Bold.ttf"),
    ("font_fredoka_one", "FredokaOne-Regular.ttf"),
)
"""Package and file of each font; all are under the SIL Open Font License or Apache 2.0 and come from PyPI."""


@cache
def _font(package: str, name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(files(package) / "files" / name), size)


def letter_edges(word: str) -> np.ndarray:
    """Where the letters of a word begin and end as shares of its width, (letters + 1,), about, whatever the font."""
    font = _font(*FONTS[0], 32)
    edges = np.array([font.getlength(word[:count]) for count in range(len(word) + 1)])
    return edges / edges[-1]


def _lettering(rng: random.Random) -> _Lettering:
    """Chooses a word or a phrase of two and where it stands. A phrase too wide for one line takes two."""
    text = rng.choice(WORDS)
    if rng.random() < 0.35:
        text = f"{text} {rng.choice([word for word in WORDS if word != text])}"
    package, name = rng.choice(FONTS)
    font = _font(package, name, rng.choice((28, 30, 32, 34, 36)))
    lines = [text] if font.getlength(text) <= 150 else text.split(" ")
    while max(font.getlength(line) for line in lines) > SIDE - 24:
        font = _font(package, name, int(font.size) - 2)
    sheet = Image.new("L", (SIDE, 96), 0)
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((8, 4 + number * font.size * 1.08), line, fill=255, font=font)
    ink = np.asarray(sheet, dtype=np.float32) / 255
    x_min, y_min, x_max, y_max = (int(v) for v in _tight(ink > 0.3))
    ink = ink[y_min:y_max, x_min:x_max]
    height, width = ink.shape
    left, top = rng.randint(8, SIDE - 8 - width), rng.randint(8, SIDE - 8 - height)
    box = (float(left), float(top), float(left + width), float(top + height))
    return _Lettering(text=text, box=box, ink=ink, left=left, top=top, dark=rng.random() < 0.5)


def _write(canvas: np.ndarray, lettering: _Lettering) -> None:
    """Inks the letters, in place. Things keep clear of them, so they go on last."""
    height, width = lettering.ink.shape
    window = canvas[lettering.top : lettering.top + height, lettering.left : lettering.left + width]
    ink = np.array((34, 36, 44) if lettering.dark else (252, 250, 244), dtype=np.float32)
    window += (ink - window) * lettering.ink[..., None]
