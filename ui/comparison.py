"""What two answers to one question look like side by side: whose they are, what differs, what each took.

Knows requests, results and words. Knows no components, and asks nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from PIL import Image

from inference import overlay
from inference.differences import Piece, compare_things, compare_words
from inference.errors import Cancelled
from inference.many import Outcome
from inference.tasks import TASKS
from inference.types import Request, Result
from ui import compare_markup, markup
from ui.compare_markup import Passage
from ui.context import Context
from ui.faults import sentence
from ui.markup import Words

Outcomes = tuple[Outcome | None, Outcome | None]
"""What came of the left and of the right side, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Way:
    """Something that can be compared.

    Attributes:
        name: Of its texts.
        tasks: The tasks that it makes sense for.
        requests: Makes the two requests from the form's request and the model chosen for the right side.
    """

    name: str
    tasks: tuple[str, ...]
    requests: Callable[[Request, str | None], tuple[Request, Request]]


def _two_models(request: Request, other: str | None) -> tuple[Request, Request]:
    return request, replace(request, model=other or None)


def _two_spanish(request: Request, _: str | None) -> tuple[Request, Request]:
    return replace(request, language="es", translate=False), replace(request, language="en", translate=True)


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        way.name: way
        for way in (
            Way("models", tuple(TASKS), _two_models),
            Way("spanish", tuple(name for name, task in TASKS.items() if task.has_language), _two_spanish),
        )
    }
)
"""What can be compared, by the names that the choice on the page has."""


class Comparison:
    """Two requests, and what is shown of their answers.

    Args:
        way: A key of `WAYS`.
        requests: Of the left and of the right side.
        image: The upright picture.
        words: The page's texts.
        context: What the page talks to.
    """

    def __init__(
        self, way: str, requests: tuple[Request, Request], *, image: Image.Image, words: Words, context: Context
    ) -> None:
        self._way = way
        self._image = image
        self._words = words
        self._context = context
        self._requests = requests

    @property
    def alternative(self) -> str:
        """What a drawing is called by whoever cannot see it."""
        return self._words.now("result.picture")

    def text(self, outcomes: Outcomes, number: int, *, over: bool) -> str:
        """A side's name, how far it is, and its words with what differs from the other side."""
        words, outcome = self._words, outcomes[number]
        show = partial(compare_markup.side, self._title(number), words=words)
        stopped = over if outcome is None else isinstance(outcome.error, Cancelled)
        if outcome is None or stopped:
            key = "status.stopped" if stopped else "compare.answering"
            return show(status=markup.status([words.now(key)], live=not stopped))
        if outcome.error is not None:
            message = sentence(outcome.error, words, request_id=self._requests[number].id)
            return show(notes=markup.notes([message], tone="error"))
        assert outcome.result is not None  # there is one where there is no error
        notes = markup.notes(words.tell(problem) for problem in outcome.result.problems)
        in_words = not outcome.result.detections and TASKS[outcome.result.task].text != "objects"
        return show(notes=notes, passages=self._passages(outcomes, number) if in_words else ())

    def drawing(self, outcomes: Outcomes, number: int) -> Image.Image | None:
        """The picture with what a side found, or None if it found nothing; a label has one colour on both sides."""
        result = _result(outcomes[number])
        if result is None or not result.detections:
            return None
        return overlay.draw(
            self._image, result.detections, language=self._labels(result), colours=self._colours(outcomes)
        )

    def legend(self, outcomes: Outcomes, number: int) -> str:
        """The colours of a side's drawing."""
        result = _result(outcomes[number])
        if result is None or not result.detections:
            return ""
        entries = overlay.legend(result.detections, self._labels(result), colours=self._colours(outcomes))
        return markup.legend(entries)

    def differences(self, outcomes: Outcomes) -> str:
        """What differs and what each side took, or nothing while an answer is missing."""
        left, right = map(_result, outcomes)
        if left is None or right is None:
            return ""
        if left.detections or right.detections or TASKS[left.task].text == "objects":
            pairs = compare_things(left.detections, right.detections)
            differing = compare_markup.thing_differences(pairs, words=self._words)
        else:
            count = sum(
                compare_words(one, other).count
                for one, other in zip(self._texts(left, 0).values(), self._texts(right, 1).values(), strict=False)
            )
            differing = compare_markup.word_differences(count, words=self._words)
        titles = self._title(0), self._title(1)
        return differing + compare_markup.timings(left.timing, right.timing, titles=titles, words=self._words)

    def _passages(self, outcomes: Outcomes, number: int) -> Iterator[Passage]:
        """The texts of a side; what differs is marked once both are there."""
        result, other = _result(outcomes[number]), _result(outcomes[1 - number])
        if result is None:
            return
        others = {} if other is None else self._texts(other, 1 - number)
        for language, text in self._texts(result, number).items():
            pieces: Sequence[Piece] = (Piece(text, differs=False),)
            if (against := others.get(language)) is not None:
                compared = compare_words(*((text, against) if number == 0 else (against, text)))
                pieces = compared.right if number else compared.left
            yield Passage(pieces, language=language, task=result.task)
        if self._way == "spanish" and number == 1:
            heading = self._words.now("compare.from_english")
            yield Passage((Piece(result.text, differs=False),), language="en", heading=heading, task=result.task)

    def _texts(self, result: Result, number: int) -> dict[str, str]:
        """The texts of a result that are compared with the other side's, by their languages."""
        translation = "" if result.translation is None else result.translation.text
        if self._way == "spanish":
            return {"es": translation if number else result.text}
        return {"en": result.text} | ({"es": translation} if translation else {})

    def _title(self, number: int) -> str:
        if self._way == "spanish":
            key = "compare.translated_spanish" if number else "compare.own_spanish"
            return self._words.now(key)
        name = self._requests[number].model
        return name or next((status.name for status in self._context.host.statuses()), "")

    def _labels(self, result: Result) -> str:
        translated = any(thing.translated_label for thing in result.detections)
        return "es" if self._words.language == "es" and translated else "en"

    def _colours(self, outcomes: Outcomes) -> dict[str, overlay.Colour]:
        labels = [thing.label for result in map(_result, outcomes) if result for thing in result.detections]
        return overlay.colours_of(labels)


def _result(outcome: Outcome | None) -> Result | None:
    return None if outcome is None else outcome.result
