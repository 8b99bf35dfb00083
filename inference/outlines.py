"""Turns a mask into the polygon of its outline.

Knows masks and points; knows nothing of detections, pictures or file formats. A mask may come from anybody: what one
costs grows with its pixels and not with the square of its corners.
"""

from itertools import pairwise

import numpy as np

Point = tuple[float, float]
"""x and y in pixels; the origin is the top left corner of the top left pixel."""

_LOOSEST = 1.5
_LOOSENESS = 0.01
"""How far, in pixels, the polygon may leave the mask's border: this part of the side of a square of the mask's area,
but never more than `_LOOSEST`."""

_SPECK = 0.002
"""Parts and holes below this part of the mask's area are left out: they cost points and show nothing."""

_LONGEST_BORDER = 20_000
"""Edges of pixels. A longer border is that of a huge picture, where half the height and width say as much, or noise."""

_STRETCH = 512
"""Corners that are simplified together: it takes up to the square of their number."""


def outline(mask: np.ndarray) -> list[Point]:
    """The outline of a mask as one closed polygon.

    Several parts are joined by seams: the polygon runs to the next part and back on the same line, which adds no area.
    A hole is joined in the same way and run around in the opposite direction, so that it is empty by the even-odd
    rule and by the non-zero rule.

    A mask whose border is longer than `_LONGEST_BORDER` is made smaller first, and its outline is as much coarser.

    Args:
        mask: bool (height, width).

    Returns:
        The points in order, without the first one again at the end, none of them outside the picture; empty if the mask
        is, or if it is nothing but specks.
    """
    height, width = mask.shape
    scale = 1
    while _border(mask) > _LONGEST_BORDER:
        mask, scale = _halved(mask), 2 * scale
    whole = np.count_nonzero(mask)
    loops = [loop for loop in _loops(mask) if abs(_area(loop)) >= _SPECK * whole]
    if not loops:
        return []
    tolerance = min(_LOOSEST, _LOOSENESS * float(np.count_nonzero(mask)) ** 0.5)
    loops.sort(key=lambda loop: -abs(_area(loop)))  # seams then run from small parts to large ones
    polygon, *others = (_simplified(loop, tolerance) for loop in loops)
    for loop in others:
        polygon = _joined(polygon, loop)
    return [(min(scale * float(x), width), min(scale * float(y), height)) for x, y in polygon]


def _border(mask: np.ndarray) -> int:
    """How many edges of pixels lie between a mask and what is around it."""
    return sum(int(np.count_nonzero(np.diff(mask, axis=axis, prepend=False, append=False))) for axis in (0, 1))


def _halved(mask: np.ndarray) -> np.ndarray:
    """A mask of half the height and width, rounded up: what covers half of four pixels or more is in it."""
    height, width = mask.shape
    four = np.pad(mask, ((0, height % 2), (0, width % 2)))
    covered: np.ndarray = np.add.reduce([four[y::2, x::2] for y in (0, 1) for x in (0, 1)], dtype=np.uint8)
    return covered >= 2


def _loops(mask: np.ndarray) -> list[np.ndarray]:
    """The borders of a mask along the edges of its pixels, with the mask on the right of the way.

    Returns:
        Closed ways (n, 2) of corners x, y; clockwise on the screen around a part, counter-clockwise around a hole. They
        may touch themselves and each other at corners.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    inside = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    # Steps along the upper, right, lower and left edge of a pixel whose neighbour there is outside.
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (down, across), (start_x, start_y), step in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (0, 1)),
        ((1, 0), (1, 1), (-1, 0)),
        ((0, -1), (0, 1), (0, -1)),
    ):
        edges = inside & ~np.roll(inside, (-down, -across), axis=(0, 1))
        for y, x in np.argwhere(edges).tolist():
            ways.setdefault((x + start_x, y + start_y), []).append(step)
    loops = []
    for place in list(ways):  # a dictionary that loses its first entries takes ever longer to find the next
        step = (0, 0)
        corners: list[tuple[int, int]] = []
        while place in ways:
            # Where two pixels touch only at a corner, two ways go on; either keeps the mask on its right.
            chosen = ways[place].pop()
            if not ways[place]:
                del ways[place]
            if chosen != step:
                corners.append(place)
            step = chosen
            place = (place[0] + step[0], place[1] + step[1])
        if corners:
            loops.append(np.array([(x + left - 1, y + top - 1) for x, y in corners], dtype=np.float64))
    return loops


def _area(loop: np.ndarray) -> float:
    """The area of a closed way: positive if it runs clockwise on the screen, else negative."""
    x, y = loop[:, 0], loop[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2


def _simplified(loop: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed way with fewer points, none of the left out ones further off than the tolerance (Douglas–Peucker)."""
    closed = np.concatenate([loop, loop[:1]])
    ends = [*range(0, len(loop), _STRETCH), len(loop)]
    keep = np.zeros(len(closed), dtype=np.bool_)
    keep[ends] = True
    parts = list(pairwise(ends))
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        way = closed[last] - closed[first]
        points = closed[first + 1 : last] - closed[first]
        length = np.hypot(*way)
        # A way that touches itself at a corner may begin and end at the same place.
        distances = np.abs(points @ (way[1], -way[0])) / length if length else np.hypot(*points.T)
        furthest = int(np.argmax(distances))
        if distances[furthest] > tolerance:
            middle = first + 1 + furthest
            keep[middle] = True
            parts += [(first, middle), (middle, last)]
    kept = closed[:-1][keep[:-1]]
    return kept if len(kept) > 2 else loop  # a sliver may lose its area, and it has few points anyway


def _joined(polygon: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """A polygon that goes on to a loop at a place where they are near, runs around it and comes back."""
    there = 0
    for _ in range(3):  # a few steps towards each other: there may be too many pairs of places to look at them all
        here = _nearest(polygon, loop[there])
        there = _nearest(loop, polygon[here])
    around = np.concatenate([loop[there:], loop[: there + 1]])
    return np.concatenate([polygon[: here + 1], around, polygon[here:]])


def _nearest(points: np.ndarray, place: np.ndarray) -> int:
    """The number of the point that is nearest to a place."""
    return int(np.argmin(np.hypot(*(points - place).T)))
