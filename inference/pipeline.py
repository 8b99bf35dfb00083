"""From a request to its result, with what is known so far on the way.

Puts the layers together: task → prompt → engine → parser → masks → translation. Knows no page and loads nothing.
"""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from inference import tasks
from inference.engine import Queued, Started, Token
from inference.errors import Cancelled, InvalidInput, UserError
from inference.hosting import HostedModel, ModelHost
from inference.masks import add_masks
from inference.parsing import Parsed, parse, strip_tokens
from inference.repetition import before_repeats
from inference.sentences import Sentence
from inference.types import Detection, Request, Result, Translation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request is.

    Attributes:
        stage: "queued", then "looking" at the picture, "writing" the answer, "translating" it.
        ahead: How many requests wait before it, while it is queued.
        seconds: How long it will still wait, while it is queued, or None where nobody can tell.
        raw: The model's output so far.
        tokens: How many tokens that is.
    """

    stage: Literal["queued", "looking", "writing", "translating"]
    ahead: int = 0
    raw: str = ""
    tokens: int = 0
    seconds: float | None = None

    @property
    def text(self) -> str:
        """The output so far without loc and seg tokens; made when somebody looks, since that takes its whole length."""
        return strip_tokens(self.raw)


class Observer(Protocol):
    """Keeps count of what becomes of requests."""

    def answered(self, result: Result) -> None:
        """A request was answered."""
        ...

    def failed(self, task: str, error: BaseException) -> None:
        """A request ended without an answer; a `GeneratorExit` says that nobody wanted it any more."""
        ...


class Pipeline:
    """Answers requests.

    Args:
        host: Where the models are.
        deadline: Seconds after which a request fails whose last token is not there; what is translated after it is not
            counted.
        observer: Is told of every request, or None.
    """

    def __init__(self, host: ModelHost, *, deadline: float = 120.0, observer: Observer | None = None) -> None:
        self._host = host
        self._deadline = deadline
        self._observer = observer

    def run(self, request: Request, *, left: Callable[[], bool] | None = None) -> Result:
        """The result of a request; see `stream`."""
        for item in self.stream(request, left=left):
            if isinstance(item, Result):
                return item
        raise AssertionError("a stream ends with a result or an error")

    def stream(self, request: Request, *, left: Callable[[], bool] | None = None) -> Iterator[Progress | Result]:
        """Answers a request; the last item is its result. Closing the iterator cancels the request.

        Args:
            request: What is asked.
            left: Says whether nobody waits for the answer any more, which cancels the request too.

        Raises:
            UserError: The request is not allowed, the model is not there, or the answer was cut off: see the kinds in
                `inference.errors`.
        """
        answered = False
        try:
            with closing(self._answer(request, left)) as items:
                for item in items:
                    if isinstance(item, Result):
                        answered = True  # who closes the iterator after that has all there is
                        self._tell(request, item)
                    yield item
        except BaseException as error:
            if self._observer is not None and not answered:
                self._observer.failed(request.task, error)
            raise

    def _tell(self, request: Request, result: Result) -> None:
        logger.info(
            "%s answered: %s by %s in %.2f s, %d tokens",
            request.id or "a request", result.task, result.model, result.timing.total, result.timing.tokens,
        )  # fmt: skip
        if self._observer is not None:
            self._observer.answered(result)

    def _answer(self, request: Request, left: Callable[[], bool] | None) -> Generator[Progress | Result, None, None]:
        begin = time.perf_counter()
        task = tasks.check(request)
        max_new_tokens = request.max_new_tokens or task.max_new_tokens
        hosted = self._host.get(request.model)
        problems: list[str] = []

        cleaned = tasks.clean_text(request.text, keep_location_tokens=task.name == "prompt")
        typed = [name for name in map(tasks.clean_text, tasks.split_objects(request.text)) if name]
        if task.text == "objects":
            cleaned = " ; ".join(typed)
        if request.input_language != "en":
            yield Progress("translating")
        cleaned = self._to_english(hosted, replace(request, text=cleaned), is_list=task.text == "objects")
        prompt = task.prompt(replace(request, text=cleaned))

        generation = hosted.engine.submit(
            request.image,
            prompt,
            max_new_tokens=max_new_tokens,
            deadline=self._deadline - (time.perf_counter() - begin),
            client=request.client,
            left=left,
        )
        tokens: list[Token] = []
        ids: list[int] = []
        raw = ""
        until = None
        try:
            for event in generation:
                match event:
                    case Queued(ahead, seconds):
                        yield Progress("queued", ahead=ahead, seconds=seconds)
                    case Started():
                        yield Progress("looking")
                    case Token():
                        tokens.append(event)
                        ids.append(event.id)
                        raw += event.text
                        if (until := before_repeats(ids)) is not None:
                            break
                        if not event.more:
                            yield Progress("writing", raw=raw, tokens=len(tokens))
        finally:
            generation.cancel()  # no effect on a request that is complete

        width, height = request.image.size
        parsed = parse("".join(token.text for token in tokens[:until]), width, height, prompt=prompt)
        problems += parsed.problems
        if until is not None:
            problems.append(Sentence("The model said the same again and again, so it was stopped."))
            if parsed.text and not parsed.detections:
                parsed = replace(parsed, text=f"{parsed.text} …")
        elif len(tokens) >= max_new_tokens:
            problems.append(Sentence("The answer was cut off after {count} tokens.", count=max_new_tokens))
        detections = score(parsed.detections, tokens)
        if any(detection.codes for detection in detections):
            if hosted.loaded.mask_decoder is None:
                problems.append(hosted.loaded.mask_problem or Sentence("Masks cannot be drawn with this model."))
            else:
                detections = add_masks(detections, hosted.loaded.mask_decoder, width, height)
        if task.text == "objects" and (missing := _missing(typed, cleaned.split(" ; "), detections)):
            problems.append(Sentence("Not found: {names}.", names=", ".join(missing)))

        translation = None
        if request.translate:
            yield Progress("translating", raw=raw, tokens=len(tokens))
            if left is not None and left():
                raise Cancelled(Sentence("The request was stopped."))
            try:
                translation, detections = self._to_spanish(hosted, prompt, parsed, detections)
            except UserError as error:
                problems.append(Sentence("There is no Spanish translation: {why}", why=error.sentence))
        yield Result(
            task=task.name,
            model=hosted.loaded.name,
            prompt=prompt,
            raw=raw,
            text=parsed.text,
            width=width,
            height=height,
            translation=translation,
            detections=detections,
            problems=tuple(problems),
            timing=replace(generation.timing, total=time.perf_counter() - begin),
        )

    def _to_english(self, hosted: HostedModel, request: Request, *, is_list: bool) -> str:
        """The typed text in English; names of objects one by one, so that they stay apart."""
        if request.input_language == "en" or not request.text:
            return request.text
        if not is_list:
            return hosted.translators.translate("es-en", [request.text])[0]
        names = hosted.translators.translate("es-en", request.text.split(" ; "))
        return " ; ".join(name.strip(" .") for name in names)  # a translator may take a name for a sentence

    def _to_spanish(
        self, hosted: HostedModel, prompt: str, parsed: Parsed, detections: tuple[Detection, ...]
    ) -> tuple[Translation | None, tuple[Detection, ...]]:
        """The answer's and the labels' translation, labels each for itself and never with a token beside them."""
        translated = hosted.translators.translate("en-es", [detection.label for detection in detections])
        detections = tuple(
            replace(detection, translated_label=label) for detection, label in zip(detections, translated, strict=True)
        )
        if detections:
            return Translation("es", " ; ".join(translated)), detections
        if not parsed.text:
            return None, detections
        match tasks.read_command(prompt).language:
            case "es":  # the model itself answered in Spanish
                return Translation("es", parsed.text), detections
            case "en":
                pass
            case _:
                raise InvalidInput(Sentence("only answers in English are translated."))
        return Translation("es", hosted.translators.translate("en-es", [parsed.text])[0]), detections


def _missing(typed: Sequence[str], asked: Sequence[str], detections: Sequence[Detection]) -> list[str]:
    """The things that were asked for and not found; none if what was found has names of its own.

    Args:
        typed: What a person typed.
        asked: The same in English, as the model was asked for it and names it.
        detections: What was found.
    """
    found = {detection.label.casefold() for detection in detections}
    if not found <= {name.casefold() for name in asked}:
        return []
    names = typed if len(typed) == len(asked) else asked
    return [name for name, english in zip(names, asked, strict=True) if english.casefold() not in found]


def score(detections: Sequence[Detection], tokens: Sequence[Token]) -> tuple[Detection, ...]:
    """Gives each detection the geometric mean of the scores of the tokens that named its place and its label.

    Mask codes do not count: many different codes draw nearly the same mask.

    Args:
        detections: With spans in the joined text of the tokens.
        tokens: All that the model wrote, in order.
    """
    starts = []
    position = 0
    for token in tokens:
        starts.append(position)
        position += len(token.text)
    scored = []
    for detection in detections:
        first, end = detection.span
        logarithms = [
            math.log(max(token.score, 1e-9))
            for token, start in zip(tokens, starts, strict=True)
            if first <= start < end and token.text.strip() and not token.text.strip().startswith("<seg")
        ]
        if logarithms:
            detection = replace(detection, score=math.exp(sum(logarithms) / len(logarithms)))
        scored.append(detection)
    return tuple(scored)
