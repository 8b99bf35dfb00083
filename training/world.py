"""What a drawn picture holds: the ground truth that drawing makes and that language and training read.

Plain values. Knows nothing of pixels' colours, sentences or models.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.lexicon import Colour, Kind

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels, the origin at the top left; x_max and y_max are exclusive edges."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing in a scene.

    Attributes:
        kind, colour: What it is.
        box: The tight box around the part of it that is visible.
        mask: bool (height, width), the part of its silhouette that is visible.
    """

    kind: Kind
    colour: Colour
    box: Box
    mask: np.ndarray

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) of the box in pixels."""
        x_min, y_min, x_max, y_max = self.box
        return (x_min + x_max) / 2, (y_min + y_max) / 2


@dataclass(frozen=True, slots=True)
class Writing:
    """A word or short phrase written in a scene, and the tight box around it."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn picture and all that is true of it.

    Attributes:
        seed: The seed it was composed from; the same seed gives the same scene.
        image: RGB, square.
        things: 1 to 5 things, in reading order: left to right by the centre of the box.
        writing: What is written in it, or None.
    """

    seed: int
    image: Image.Image
    things: tuple[Thing, ...]
    writing: Writing | None
