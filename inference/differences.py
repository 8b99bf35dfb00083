"""Where two answers to the same question differ: word by word, and thing by thing.

Pure functions over texts and detections. Knows neither models nor pages, and takes no side.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inference.types import Detection, box_iou

_SCRIPTS_WITHOUT_SPACES = "぀-ヿ㐀-䶿一-鿿ก-๿"
_TOKENS = re.compile(rf"\s+|[{_SCRIPTS_WITHOUT_SPACES}]|[^\W{_SCRIPTS_WITHOUT_SPACES}]+|[^\w\s]")

SAME_PLACE = 0.8
"""Overlap (IoU) from which two boxes are in the same place: a twentieth of a side off, in each direction, is."""

SAME_THING = 0.1
"""Overlap (IoU) from which two boxes may be about the same thing."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        text: As it stands there, with its spaces.
        differs: Whether the other text has something else in its place, or nothing.
    """

    text: str
    differs: bool


@dataclass(frozen=True, slots=True)
class WordDifferences:
    """Two texts in pieces; the pieces of each make the text again when they are joined."""

    left: tuple[Piece, ...]
    right: tuple[Piece, ...]

    @property
    def count(self) -> int:
        """In how many places they differ."""
        return max(sum(piece.differs for piece in side) for side in (self.left, self.right))


Kind = Literal["same", "moved", "renamed", "only_left", "only_right"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A thing that was found on the left, on the right, or on both sides.

    Attributes:
        left, right: The detections, or None on the side where it was not found.
        overlap: IoU of the two boxes; 0 if there is only one.
    """

    left: Detection | None
    right: Detection | None
    overlap: float = 0.0

    @property
    def kind(self) -> Kind:
        """How the two sides agree."""
        if self.left is None:
            return "only_right"
        if self.right is None:
            return "only_left"
        if not _same_name(self.left, self.right):
            return "renamed"
        return "same" if self.overlap >= SAME_PLACE else "moved"


def compare_words(left: str, right: str) -> WordDifferences:
    """Marks the words of two texts that are not in both; of a script without spaces, the characters.

    Args:
        left: A text.
        right: Another one.
    """
    ours, theirs = _TOKENS.findall(left), _TOKENS.findall(right)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    pieces: tuple[list[Piece], list[Piece]] = [], []
    for tag, left_from, left_to, right_from, right_to in matcher.get_opcodes():
        for side, part in zip(pieces, (ours[left_from:left_to], theirs[right_from:right_to]), strict=True):
            if part:
                side.append(Piece("".join(part), differs=tag != "equal"))
    return WordDifferences(_joined(pieces[0]), _joined(pieces[1]))


def compare_things(left: Sequence[Detection], right: Sequence[Detection]) -> tuple[Pair, ...]:
    """Pairs the things of two answers by their places and names; what is left over was found on one side only.

    Things of the same name go together first, the closest pair before all others, then things in the same place that
    have other names.

    Args:
        left: What was found.
        right: What was found by another model in the same picture.

    Returns:
        Every thing once, in the order of the left answer, then what only the right one has.
    """
    candidates = []
    for ours, one in enumerate(left):
        for theirs, other in enumerate(right):
            same, overlap = _same_name(one, other), box_iou(one.box, other.box)
            if overlap >= (SAME_THING if same else SAME_PLACE):
                candidates.append((same, overlap, ours, theirs))
    candidates.sort(key=lambda candidate: (not candidate[0], -candidate[1]))
    partners: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for _, overlap, ours, theirs in candidates:
        if ours not in partners and theirs not in taken:
            partners[ours] = theirs, overlap
            taken.add(theirs)
    pairs = []
    for ours, one in enumerate(left):
        partner = partners.get(ours)
        pairs.append(Pair(one, None) if partner is None else Pair(one, right[partner[0]], partner[1]))
    return (*pairs, *(Pair(None, other) for theirs, other in enumerate(right) if theirs not in taken))


def _same_name(one: Detection, other: Detection) -> bool:
    return one.label.casefold() == other.label.casefold()


def _joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The same with spaces between two differences taken as part of them: one mark reads better than three."""
    joined: list[Piece] = []
    for index, piece in enumerate(pieces):
        between = 0 < index < len(pieces) - 1 and pieces[index - 1].differs and pieces[index + 1].differs
        differs = piece.differs or (between and piece.text.isspace())
        if joined and joined[-1].differs == differs:
            joined[-1] = Piece(joined[-1].text + piece.text, differs=differs)
        else:
            joined.append(Piece(piece.text, differs=differs))
    return tuple(joined)
