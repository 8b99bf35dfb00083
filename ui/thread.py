"""What was asked about one picture, one question after another, and the list in which it stands on the page.

Each question was a fresh one for the model; only the page remembers. Knows how an answer is kept between two looks at
it; knows neither tasks nor models.
"""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from pycocotools import mask as coco

from inference.types import Detection, Result, encode_rle
from ui import components, markup
from ui.markup import Words

KEPT_FOR = 3600
"""Seconds for which an answer can be shown again; its picture's file is deleted then as well."""

LONGEST = 12
"""How many answers a thread keeps; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer in the form in which the server keeps it between two looks at it: small, its masks as run lengths.

    Attributes:
        picture: Path of the uploaded file.
        question: What was asked, for people.
        device: Where it was answered.
        bare: The result with detections that have no masks.
        masks: The mask of each detection as COCO's RLE, or None where it has none.
    """

    picture: str
    question: str
    device: str
    bare: Result
    masks: tuple[dict[str, Any] | None, ...]

    @classmethod
    def of(cls, result: Result, *, picture: str, question: str, device: str) -> "Kept":
        """Packs a result."""
        things = result.detections
        return cls(
            picture=picture,
            question=question,
            device=device,
            bare=replace(result, detections=tuple(replace(thing, mask=None) for thing in things)),
            masks=tuple(None if thing.mask is None else encode_rle(thing.mask) for thing in things),
        )

    def result(self) -> Result:
        """The result, with masks as arrays again."""
        return replace(self.bare, detections=tuple(map(_with_mask, self.bare.detections, self.masks)))


@dataclass(frozen=True, slots=True)
class Thread:
    """Questions about one picture, with their answers.

    Attributes:
        entries: The oldest first.
        chosen: Which of them the page shows, or None while it shows none.
    """

    entries: tuple[Kept, ...] = ()
    chosen: int | None = None

    @property
    def shown(self) -> Kept | None:
        """The answer that the page shows."""
        return None if self.chosen is None else self.entries[self.chosen]

    def about(self, picture: str | None) -> "Thread":
        """The thread in which the next question about a picture belongs; a new one if it is another picture."""
        same = bool(self.entries) and self.entries[0].picture == picture
        return Thread(self.entries if same else ())

    def answered(self, kept: Kept) -> "Thread":
        """With one more answer, which is the one shown."""
        entries = (*self.about(kept.picture).entries, kept)[-LONGEST:]
        return Thread(entries, len(entries) - 1)

    def choose(self, number: object) -> "Thread":
        """With another answer shown; unchanged if a browser asks for one that is not there."""
        known = {str(place): place for place in range(len(self.entries))}
        return replace(self, chosen=known.get(str(number), self.chosen))


@dataclass(frozen=True, slots=True)
class ThreadPanel:
    """The list of what was asked, and the thread behind it."""

    entries: gr.HTML
    thread: gr.State

    def showing(self, thread: Thread, words: Words) -> dict[Any, Any]:
        """A thread; its list has something to say only beside another answer."""
        earlier = len(thread.entries) > 1 or (thread.entries and thread.chosen is None)
        asked = [(kept.question, _said(kept.bare, words)) for kept in thread.entries]
        return {
            self.thread: thread,
            self.entries: markup.thread(asked, chosen=thread.chosen, words=words) if earlier else "",
        }


def build() -> ThreadPanel:
    """Puts the list on the page; it triggers `select` with the place of an entry, and `clear`."""
    return ThreadPanel(
        entries=components.html("", elem_id="thread", events=True),
        thread=gr.State(Thread(), time_to_live=KEPT_FOR),
    )


def _said(result: Result, words: Words) -> str:
    """An answer in a line."""
    if count := len(result.detections):
        key = "result.found_one" if count == 1 else "result.found_many"
        return words.now(key, count=count)
    if text := " ".join(result.text.split()):
        return text
    if result.problems:
        return words.tell(result.problems[-1])
    return words.now(markup.nothing(result.task))


def _with_mask(thing: Detection, mask: dict[str, Any] | None) -> Detection:
    return thing if mask is None else replace(thing, mask=coco.decode(mask).view(bool))
